"""The built-in embedder: colour and texture, without a model, an account or a download."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from PIL import Image as Pillow

from pinakes.embedders import palette_words
from pinakes.embedders.base import Facts, Picture, Price, TextReading
from pinakes.embedders.palette_blocks import (
    SHORT_SIDE,
    Doubles,
    Views,
    layout,
    orientations,
    unit,
)
from pinakes.embedders.palette_histogram import ColourGrid
from pinakes.embedders.palette_texture import binary_patterns, covariance, phase_codes
from pinakes.errors import PictureError, SourceError, UsageError
from pinakes.pictures import decode
from pinakes.spaces import Space
from pinakes.types import ErrorClass, Failure, Vector

DEFAULT_DIMENSION: Final = 1024

PREPROCESSING: Final = "p1"
"""Bumped by hand with every change to how a picture is decoded or resized."""

VERSION: Final = "1"
"""Bumped by hand with every change to what is measured or how it is weighed."""

_WORKERS: Final = 2
"""Decoding lets other threads run, much of the measuring does not."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a vector of one dimension is made of; the layout takes the components that the other blocks leave.

    Attributes:
        grid: the bins of the colour histogram.
        octaves: scales of edges in the covariance.
        patterns: at how many sizes of the picture local binary patterns are counted.
        phases: whether local phase is counted too.
        cells: cells per side of the oriented gradients of lightness; 0 leaves them out.
        opponents: whether the directions of the colour edges are counted too.
    """

    grid: ColourGrid
    octaves: int
    patterns: int
    phases: bool
    cells: int
    opponents: bool


RECIPES: Final = MappingProxyType(
    {
        256: Recipe(ColourGrid(5, 8, (0, 0.05, 0.13)), 1, 1, phases=False, cells=0, opponents=False),
        512: Recipe(ColourGrid(6, 10, (0, 0.04, 0.10, 0.18)), 2, 2, phases=False, cells=2, opponents=False),
        1024: Recipe(ColourGrid(6, 10, (0, 0.04, 0.10, 0.18)), 3, 3, phases=True, cells=3, opponents=True),
    }
)

# Squared weights: the inverse of how much the similarity of two unrelated pictures varies in each block, so that no
# block outshouts the others; colour counts half, because it says least about who painted a picture.
_WEIGHTS: Final = MappingProxyType(
    {"colour": 1.0, "layout": 1.0, "covariance": 1.0, "patterns": 1.0, "phases": 1.0, "edges": 1.0, "opponents": 1.0}
)


def blocks(views: Views, recipe: Recipe, dimension: int) -> dict[str, Doubles]:
    """The weighted blocks of a picture, in their order, `dimension` components in all."""
    parts = {
        "colour": recipe.grid.histogram(views.lab[1]),
        "covariance": covariance(views, recipe.octaves),
        "patterns": unit(np.concatenate([binary_patterns(grey) for grey in views.grey[: recipe.patterns]])),
    }
    if recipe.phases:
        parts["phases"] = phase_codes(views.grey[0])
    if recipe.cells:
        parts["edges"] = orientations(views, recipe.cells, plane=0, bins=8, signed=False)
    if recipe.opponents:
        parts["opponents"] = unit(
            np.concatenate([orientations(views, 1, plane=plane, bins=16, signed=True) for plane in (1, 2)])
        )
    parts["layout"] = layout(views, dimension - sum(part.size for part in parts.values()))
    return {name: part * np.sqrt(_WEIGHTS[name]) for name, part in parts.items()}
