"""Fields of smooth randomness: what clouds, bark, waves and worn canvas have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Field = npt.NDArray[np.floating[Any]]
"""Shape (height, width); float32 wherever it is large."""

Colours = npt.NDArray[np.floating[Any]]
"""RGB in 0…1; the last axis has 3 entries."""


def resize(field: Field, height: int, width: int, box: tuple[float, float, float, float] | None = None) -> Field:
    """`field` at another size, bicubic; `box` (left, top, right, bottom) chooses a part of it."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box=box), dtype=np.float32)


def fractal(
    rng: np.random.Generator,
    height: int,
    width: int,
    cell: float,
    *,
    octaves: int = 4,
    gain: float = 0.5,
    stretch: float = 1.0,
) -> Field:
    """Fractal value noise of mean 0 and standard deviation 1, shape (height, width).

    Args:
        rng: the source of randomness.
        height: rows.
        width: columns.
        cell: size in pixels of the largest features, measured down the picture.
        octaves: how many times the features are halved; those below two pixels are left out.
        gain: weight of each octave relative to the one before.
        stretch: how much wider than high the features are.
    """
    sums: dict[int, Field] = {}
    weight = 1.0
    for _ in range(octaves):
        coarse = 4 if cell >= 16 else 2 if cell >= 8 else 1
        layer = _lattice(rng, -(-height // coarse), -(-width // coarse), cell / coarse, stretch)
        layer *= weight
        sums[coarse] = layer + sums[coarse] if coarse in sums else layer
        weight *= gain
        cell *= 0.5
        if cell < 2.0:
            break
    # Broad features are summed on coarser grids: nobody sees the difference, and it is several times as fast.
    if 4 in sums and 2 in sums:
        rows, columns = sums[2].shape
        sums[2] += _double(sums.pop(4), rows, columns, (0, 0, columns / 2, rows / 2))
    total = sums.get(1)
    for coarse in (2, 4):
        if coarse in sums:
            wide = _double(sums[coarse], height, width, (0, 0, width / coarse, height / coarse))
            total = wide.copy() if total is None else total + wide
    assert total is not None, "at least one octave"
    sparse = total[::3, ::3]
    total -= sparse.mean()
    total /= sparse.std() + 1e-6
    return total


def _double(field: Field, height: int, width: int, box: tuple[float, float, float, float]) -> Field:
    """A smooth field on a finer grid; bilinear is good enough for that, and quick."""
    image = Image.fromarray(field).resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image, dtype=np.float32)


def _lattice(rng: np.random.Generator, height: int, width: int, cell: float, stretch: float) -> Field:
    """One octave: random values on a lattice, joined smoothly."""
    rows, columns = height / max(cell, 1.0), width / max(cell * stretch, 1.0)
    values = rng.random((int(rows) + 5, int(columns) + 5), dtype=np.float32)
    left, top = 1 + rng.random(), 1 + rng.random()
    return resize(values, height, width, (left, top, left + columns, top + rows)).copy()


def line(rng: np.random.Generator, width: int, cell: float, *, octaves: int = 5, gain: float = 0.5) -> Field:
    """Fractal noise along one axis: mean 0, standard deviation 1, shape (width,)."""
    total = np.zeros(width, np.float32)
    weight = 1.0
    at = np.arange(width, dtype=np.float32)
    for _ in range(octaves):
        knots = rng.random(int(width / max(cell, 1.0)) + 3, dtype=np.float32)
        place = at / max(cell, 1.0) + rng.random()
        left = place.astype(np.intp)
        part = place - left
        part = part * part * (3 - 2 * part)
        total += weight * (knots[left] * (1 - part) + knots[left + 1] * part)
        weight *= gain
        cell *= 0.5
        if cell < 2.0:
            break
    total -= total.mean()
    total /= total.std() + 1e-6
    return total


def blur(field: Field, radius: float) -> Field:
    """A soft blur of about `radius` pixels, made by going through a smaller picture.

    A field of shape (height, width) keeps its range; a picture of shape (height, width, 3) is taken to be in 0…1 and
    blurred in 8 bits, which is ten times as fast.
    """
    if radius < 0.8:
        return field
    height, width = field.shape[:2]
    small = max(2, round(width / radius)), max(2, round(height / radius))
    if field.ndim == 2:
        image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    else:
        image = Image.fromarray((np.clip(field, 0, 1) * 255 + 0.5).astype(np.uint8))
    reduced = image.resize(small, Image.Resampling.HAMMING)
    soft = np.asarray(reduced.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    return soft if field.ndim == 2 else soft / 255


def shifted(field: Field, right: int, down: int) -> Field:
    """`field` moved by whole pixels; what enters at the edges repeats the edge."""
    height, width = field.shape
    rows = (np.arange(height) - down).clip(0, height - 1)
    columns = (np.arange(width) - right).clip(0, width - 1)
    return np.asarray(field[rows][:, columns])


def smoothstep(low: float, high: float, value: Field) -> Field:
    """0 below `low`, 1 above `high`, a smooth cubic between them (`low` may be the greater one: then it falls)."""
    part = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(part * part * (3.0 - 2.0 * part), dtype=np.float32)
