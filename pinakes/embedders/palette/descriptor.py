"""The built-in embedder: colour and texture, without a model, an account or a download."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import numpy as np
from PIL import Image as Pillow

from pinakes.embedders.base import Embedder, Facts, Picture, TextReading, with_bytes
from pinakes.embedders.palette import words as palette_words
from pinakes.embedders.palette.blocks import (
    SHORT_SIDE,
    Doubles,
    Views,
    layout,
    orientations,
    unit,
)
from pinakes.embedders.palette.declaration import DESCRIPTOR, PALETTE
from pinakes.embedders.palette.histogram import ColourGrid, wished_colours, wished_layout
from pinakes.embedders.palette.reference import SAMPLES, noise
from pinakes.embedders.palette.texture import binary_patterns, covariance, phase_codes
from pinakes.embedders.palette.words import Wish
from pinakes.errors import UnreadableQueryError
from pinakes.types import ErrorClass, Failure, Vector

_WORKERS: Final = 2
"""Decoding releases the interpreter lock; most of the measuring does not."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parts of a vector of one dimension; the layout takes the components that the other blocks leave.

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

CUES: Final = MappingProxyType(
    {
        "colour": ("colour",),
        "covariance": ("covariance",),
        "texture": ("patterns", "phases"),
        "composition": ("layout", "edges", "opponents"),
    }
)
"""The blocks by what they measure. Those of one cue are much alike, so together they weigh as much as another cue."""

SPREADS: Final = MappingProxyType(
    {
        "colour": 0.2,
        "covariance": 0.25,
        "patterns": 0.24,
        "phases": 0.24,
        "layout": 0.35,
        "edges": 0.26,
        "opponents": 0.45,
    }
)
"""Standard deviations of the similarity of unrelated paintings in each block."""


def measured(views: Views, recipe: Recipe, dimension: int) -> dict[str, Doubles]:
    """The blocks of a picture, in their order, `dimension` components in all, not yet weighted."""
    blocks = {
        "colour": recipe.grid.histogram(views.lab[1]),
        "covariance": covariance(views, recipe.octaves),
        "patterns": unit(np.concatenate([binary_patterns(grey) for grey in views.grey[: recipe.patterns]])),
    }
    if recipe.phases:
        blocks["phases"] = phase_codes(views.grey[0])
    if recipe.cells:
        blocks["edges"] = orientations(views, recipe.cells, plane=0, bins=8, signed=False)
    if recipe.opponents:
        blocks["opponents"] = unit(
            np.concatenate([orientations(views, 1, plane=plane, bins=16, signed=True) for plane in (1, 2)])
        )
    blocks["layout"] = layout(views, dimension - sum(block.size for block in blocks.values()))
    return blocks


@lru_cache(maxsize=len(RECIPES))
def _reference(dimension: int) -> dict[str, Doubles]:
    """The mean blocks of the noise pictures, without colour and layout, for which noise has no meaning."""
    samples = [measured(Views.of(noise(sample)), RECIPES[dimension], dimension) for sample in range(SAMPLES)]
    return {
        name: np.mean([sample[name] for sample in samples], axis=0)
        for name in samples[0]
        if name not in ("colour", "layout")
    }


@lru_cache(maxsize=len(RECIPES))
def _weights(dimension: int) -> dict[str, float]:
    """The squared weight of each block of a recipe: every cue has the same influence on the order of the results.

    A block's influence is its weight times its spread. With equal blocks, composition would count three times, and a
    detail would not find the picture that it was cut from.
    """
    measured_blocks = {"colour", "layout", *_reference(dimension)}
    shares: dict[str, float] = {}
    for cue in CUES.values():
        blocks = measured_blocks.intersection(cue)
        shares |= {name: 1 / (SPREADS[name] * len(blocks)) for name in blocks}
    return shares


def describe(picture: Pillow.Image, dimension: int) -> Vector:
    """The descriptor of a picture of mode RGB: shape (dimension,), float32, at length 1.

    Args:
        picture: of mode RGB, any size.
        dimension: a key of `RECIPES`.
    """
    reference, weights = _reference(dimension), _weights(dimension)
    blocks = measured(Views.of(picture), RECIPES[dimension], dimension)
    weighted = [
        np.sqrt(weights[name]) * (unit(block - reference[name]) if name in reference else block)
        for name, block in blocks.items()
    ]
    return unit(np.concatenate(weighted)).astype(np.float32)


_PLACE_INFLUENCE: Final = 0.5
"""The influence of the layout on the similarity of a text that names places, relative to that of its colours."""

_UNREADABLE: Final = (
    "the palette embedder reads only colours, and there is none in {text!r}: try names such as 'ultramarine', 'dark blue"
    " and gold' or 'pale pink sky', or one of dark, bright, colourful, muted and monochrome."
)


def wished(wishes: Sequence[Wish], dimension: int) -> Vector:
    """The vector of the colours that a text asks for: shape (dimension,), float32, at length 1."""
    recipe = RECIPES[dimension]
    weights = _weights(dimension)
    vector = np.zeros(dimension)
    colour = unit(wished_colours(wishes, recipe.grid))
    places = unit(wished_layout(wishes))
    vector[: colour.size] = colour
    if places.any():
        start = colour.size + sum(block.size for block in _reference(dimension).values())
        # The weights of the pictures' blocks are divided out, so that places count equally in every dimension.
        vector[start:] = (
            _PLACE_INFLUENCE * np.sqrt(weights["colour"] / weights["layout"]) * unit(places[: dimension - start])
        )
    return unit(vector).astype(np.float32)


NEARLY_IDENTICAL: Final = MappingProxyType({256: 0.015, 512: 0.03, 1024: 0.04})
"""Cosine distance up to which two pictures are one, by the components of a vector: less than half of what the two nearest
of 150 different paintings are apart (0.037, 0.068, 0.099). In 1,024 components the same paintings, of 222 to 800 pixels,
were at most 0.012 from themselves saved again as JPEG of quality 75, at most 0.036 scaled to 400 pixels, and 95 in 100
within 0.043 as JPEG of quality 50."""


class Palette(Embedder):
    """Pictures by their colours and textures, texts by the colours they name; no semantic model.

    Args:
        dimension: components of a vector, one of `RECIPES`: fewer are quicker to search, more find better.
    """

    def __init__(self, dimension: int = DESCRIPTOR.default_dimension) -> None:
        self.facts = Facts(
            space=PALETTE.spaces(DESCRIPTOR).space(dimension),
            description="Colour and texture, computed on this machine; it is not a semantic model: it knows what a"
            " picture looks like, not what it shows, and from text it understands only colour words.",
            workers=_WORKERS,
            nearly_identical=NEARLY_IDENTICAL[dimension],
        )
        self._dimension = dimension
        self._calls = 0
        self._counting = threading.Lock()

    @property
    def calls(self) -> int:
        """How many pictures and texts have been embedded so far."""
        return self._calls

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """One `(index, vector or failure)` for each picture, in order; vectors have length 1."""
        for index, picture in enumerate(batch):
            result = self._embed(picture)
            if not isinstance(result, Failure):
                self._count()
            yield index, result

    def embed_text(self, text: str) -> TextReading:
        """The vector of the colours that `text` names; its texture is zero, so that it ranks by colour alone.

        Raises:
            UnreadableQueryError: no word is a colour, or the colours cancel out.
        """
        reading = palette_words.read(text)
        if not reading.wishes:
            raise UnreadableQueryError(_UNREADABLE.format(text=text))
        vector = wished(reading.wishes, self._dimension)
        if not vector.any():
            raise UnreadableQueryError(
                f"{text!r} asks for a colour and for its absence at once; leave one of them out."
            )
        self._count()
        return TextReading(vector, reading.read, reading.unread)

    def _embed(self, picture: Picture) -> Vector | Failure:
        from pinakes.images.decoding import decode  # searches by words need none of its formats

        result = with_bytes(picture, lambda data: describe(decode(data, at_least=SHORT_SIDE), self._dimension))
        if isinstance(result, Failure) or result.any():
            return result
        return Failure(ErrorClass.ZERO_VECTOR, "the picture has no measurable colour or texture")

    def _count(self) -> None:
        with self._counting:
            self._calls += 1
