"""Fields of smooth randomness: what clouds, bark, waves and worn canvas have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Field = npt.NDArray[Any]
"""Shape (height, width); float32 wherever it is large."""

Colours = npt.NDArray[Any]
"""RGB in 0…1; the last axis has 3 entries."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""


def fractal(
    rng: np.random.Generator,
    shape: Sequence[int],
    cell: float,
    *,
    octaves: int = 4,
    gain: float = 0.5,
    stretch: float = 1.0,
) -> Field:
    """Fractal value noise of mean 0 and standard deviation 1.

    Args:
        rng: the source of randomness.
        shape: rows and columns.
        cell: size in pixels of the largest features, measured down the picture.
        octaves: how many times the features are halved; those below two pixels are left out.
        gain: weight of each octave relative to the one before.
        stretch: how much wider than high the features are.
    """
    height, width = shape
    total: Field | None = None
    weight, before, factor = 1.0, 1, 1
    for _ in range(octaves):
        # Broad features are drawn on coarse grids and enlarged step by step: nobody sees it, and it is much faster.
        factor = 1 if cell < 16 else 2 ** int(math.log2(cell / 8))
        rows, columns = -(-height // factor), -(-width // factor)
        layer = weight * _lattice(rng, rows, columns, cell / factor, stretch)
        total = layer if total is None else layer + _enlarged(total, rows, columns, before / factor)
        weight, before, cell = weight * gain, factor, cell * 0.5
        if cell < 2.0:
            break
    assert total is not None, "at least one octave"
    total = _enlarged(total, height, width, factor)
    sparse = total[::3, ::3]  # a ninth of the values: their mean and deviation are as good
    return np.asarray((total - sparse.mean()) / (sparse.std() + 1e-6), np.float32)


def _enlarged(field: Field, height: int, width: int, times: float) -> Field:
    """The upper left part of a smooth field on a grid that is finer by `times`."""
    if times == 1:
        return field
    image = Image.fromarray(field).resize(
        (width, height), Image.Resampling.BILINEAR, box=(0, 0, width / times, height / times)
    )
    return np.asarray(image, np.float32)


def _lattice(rng: np.random.Generator, height: int, width: int, cell: float, stretch: float) -> Field:
    """One octave: random values on a lattice, joined smoothly."""
    rows, columns = height / max(cell, 1.0), width / max(cell * stretch, 1.0)
    values = rng.random((int(rows) + 5, int(columns) + 5), dtype=np.float32)
    left, top = 1 + rng.random(), 1 + rng.random()
    return resize(values, height, width, (left, top, left + columns, top + rows))


def resize(field: Field, height: int, width: int, box: Box | None = None) -> Field:
    """`field` at another size, bicubic; `box` chooses a part of it."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box=box), dtype=np.float32)


def line(rng: np.random.Generator, width: int, cell: float, *, octaves: int = 5, gain: float = 0.5) -> Field:
    """Fractal noise along one axis: mean 0, standard deviation 1, shape (width,)."""
    total = np.zeros(width, np.float32)
    for octave in range(octaves):
        size = max(cell * 0.5**octave, 1.0)
        place = np.arange(width, dtype=np.float32) / size + rng.random(dtype=np.float32)
        knots = rng.random(int(width / size) + 3, dtype=np.float32)
        left = place.astype(np.intp)
        total += gain**octave * (knots[left] + (knots[left + 1] - knots[left]) * smoothstep(0, 1, place - left))
        if size < 4.0:
            break
    return np.asarray((total - total.mean()) / (total.std() + 1e-6), np.float32)


def blur(field: Field, radius: float) -> Field:
    """A soft blur of about `radius` pixels, made by going through a smaller picture.

    A field of shape (height, width) keeps its range; a picture of shape (height, width, 3) is taken to be in 0…1 and
    blurred in 8 bits, which is ten times as fast.
    """
    if field.ndim == 2:
        return np.asarray(soft(Image.fromarray(np.ascontiguousarray(field, dtype=np.float32)), radius), np.float32)
    return np.asarray(soft(as_image(field), radius), np.float32) / 255


def soft(image: Image.Image, radius: float) -> Image.Image:
    """`image` blurred by about `radius` pixels."""
    if radius < 0.8:
        return image
    small = max(2, round(image.width / radius)), max(2, round(image.height / radius))
    return image.resize(small, Image.Resampling.HAMMING).resize(image.size, Image.Resampling.BICUBIC)


def as_image(colours: Colours) -> Image.Image:
    """Colours of shape (height, width, 3) in 0…1 as an RGB picture."""
    return Image.fromarray((np.clip(colours, 0, 1) * 255 + 0.5).astype(np.uint8))


def shifted(field: Field, right: int, down: int) -> Field:
    """`field` moved by whole pixels; what enters at the edges repeats the edge."""
    height, width = field.shape
    rows = (np.arange(height) - down).clip(0, height - 1)
    return np.asarray(field[rows][:, (np.arange(width) - right).clip(0, width - 1)])


def smoothstep(low: float, high: float, value: Field) -> Field:
    """0 below `low`, 1 above `high`, a smooth cubic between them (`low` may be the greater one: then it falls)."""
    part = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(part * part * (3.0 - 2.0 * part), dtype=np.float32)


def bell(value: Field, width: float | Field) -> Field:
    """A Gaussian: 1 where `value` is 0, 1/e where it is `width`."""
    part = value / width
    return np.asarray(np.exp(-part * part), dtype=np.float32)
