"""What the `palette` embedder measures in a picture: training-free descriptors of colour and texture.

Every histogram is taken to the square root, which turns the inner product of two of them into the Bhattacharyya
coefficient (the "Hellinger" map of Arandjelović and Zisserman, "Three things everyone should know to improve object
retrieval", CVPR 2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from pinakes.embedders.palette.colours import oklab_planes

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

AREA: Final = 30_000
"""Pixels of the measured picture, for all proportions: enough to see brushwork, few enough to take 10 ms."""

SHORT_SIDE: Final = 150
"""The short side of `AREA` pixels at 4:3; the decoder keeps at least as many."""

MIN_SIDE: Final = 32
"""Three octaves with a reach of two pixels must fit."""

CHROMA_GAIN: Final = 2.5
"""The a and b of OKLab span about 2/5 of the range of its L; this makes the three comparable."""


@dataclass(frozen=True, slots=True)
class Views:
    """One picture in the forms that the descriptors need.

    Attributes:
        lab: OKLab planes (a and b times `CHROMA_GAIN`) at full, half and quarter size, shape (3, height, width).
    """

    lab: tuple[Floats, ...]

    @classmethod
    def of(cls, picture: Pillow.Image) -> Views:
        """The views of a picture of mode RGB."""
        width, height = picture.size
        scale = (AREA / (width * height)) ** 0.5
        # Multiples of 8: the sides halve twice, and hold whole cells of the Fisher vector at full and at half size.
        # A long strip becomes thicker and shorter, so that it has enough rows and not too many pixels.
        size = tuple(min(AREA // MIN_SIDE, max(MIN_SIDE, 8 * round(side * scale / 8))) for side in (width, height))
        small = picture.resize((size[0] // 8 * 8, size[1] // 8 * 8), Pillow.Resampling.BILINEAR)
        lab = oklab_planes(np.asarray(small))
        lab[1:] *= CHROMA_GAIN
        half = halved(lab)
        return cls((lab, half, halved(half)))


def halved(planes: Floats) -> Floats:
    """The means of 2 x 2 pixels; the sides of `planes` are even."""
    total = planes[..., ::2, :] + planes[..., 1::2, :]
    mean: Floats = (total[..., ::2] + total[..., 1::2]) * np.float32(0.25)
    return mean


def unit(values: npt.NDArray[np.floating]) -> Doubles:
    """`values`, flattened, at length 1; zeros stay zeros."""
    flat = np.asarray(values, np.float64).ravel()
    length = float(np.sqrt(np.sum(flat * flat)))
    return flat / length if length > 1e-9 else np.zeros_like(flat)


def hellinger(counts: npt.NDArray[np.floating] | npt.NDArray[np.integer]) -> Doubles:
    """The square roots of a histogram's shares, at length 1."""
    return unit(np.sqrt(np.asarray(counts, np.float64)))


def layout(views: Views, coefficients: int) -> Doubles:
    """Colour layout: the lowest DCT coefficients of a 16 x 16 thumbnail in OKLab, shape (coefficients,).

    After the Color Layout Descriptor of MPEG-7 (ISO/IEC 15938-3; Kasutani and Yamada, ICIP 2001), which takes YCbCr.
    """
    return layout_of(pooled(views.lab[2], LAYOUT_GRID), coefficients)


LAYOUT_GRID: Final = 16


def layout_of(thumbnail: npt.NDArray[np.floating], coefficients: int) -> Doubles:
    """`layout` of a thumbnail of shape (3, 16, 16): L, and a and b times `CHROMA_GAIN`."""
    # Mid grey is 0, so that a picture darker than that is opposite to a brighter one.
    centred = np.asarray(thumbnail, np.float64) - np.array([0.5, 0, 0])[:, None, None]
    # The lowest frequencies of all three planes first: a smaller dimension has less detail, not less colour.
    spectrum = _DCT @ centred @ _DCT.T
    lowest = spectrum[:, _ZIGZAG[:, 0], _ZIGZAG[:, 1]].T.ravel()[:coefficients]
    shrunk: Doubles = lowest / np.sqrt(np.sum(lowest * lowest) + _FAINT_LAYOUT**2)
    return shrunk


_FAINT_LAYOUT: Final = 0.1
"""A layout much fainter than this (an even mid grey has none at all) stays short instead of being amplified."""


def _dct(size: int) -> Doubles:
    """The orthonormal DCT-II of `size` points, shape (size, size)."""
    k, x = np.arange(size)[:, None], np.arange(size)[None]
    matrix: Doubles = np.cos(np.pi * (x + 0.5) * k / size) * np.sqrt(2 / size)
    matrix[0] /= np.sqrt(2)
    return matrix


_DCT: Final = _dct(LAYOUT_GRID)
_ZIGZAG: Final = np.array(
    sorted(((k, m) for k in range(LAYOUT_GRID) for m in range(LAYOUT_GRID)), key=lambda p: (p[0] + p[1], p[0]))
)


def pooled(planes: npt.NDArray[np.floating], grid: int) -> Doubles:
    """Means over a `grid` x `grid` of overlapping cells (bilinear), shape (planes, grid, grid)."""
    rows, columns = (_cells(side, grid) for side in planes.shape[1:])
    means: Doubles = (rows @ planes @ columns.T).astype(np.float64)
    return means


@lru_cache(maxsize=256)
def _cells(side: int, grid: int) -> Floats:
    """The weight of each of `side` pixels in each of `grid` cells, rows summing to 1: shape (grid, side)."""
    place = np.clip((np.arange(side) + 0.5) / side * grid - 0.5, 0, grid - 1)
    weights = np.maximum(0.0, 1 - np.abs(place[None] - np.arange(grid)[:, None]))
    shares: Floats = (weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)).astype(np.float32)
    return shares


def gradients(planes: Floats) -> tuple[Floats, Floats]:
    """Central differences of each plane along x and along y, zero at the border."""
    along_x, along_y = np.zeros_like(planes), np.zeros_like(planes)
    np.subtract(planes[..., 2:], planes[..., :-2], out=along_x[..., 1:-1])
    np.subtract(planes[..., 2:, :], planes[..., :-2, :], out=along_y[..., 1:-1, :])
    return along_x, along_y


_FAINT_EDGE: Final = 1e-3
"""Added to every bin: where there are no edges (colour edges of a grey picture) none of the directions prevails."""


def orientations(views: Views, grid: int, *, plane: int, bins: int, signed: bool) -> Doubles:
    """Gradient energy by direction in a grid of cells, shape (bins * grid * grid,).

    Histograms of oriented gradients (Dalal and Triggs, CVPR 2005) over the whole picture, as in PHOG (Bosch, Zisserman
    and Munoz, CIVR 2007): one normalisation for all cells, so that where the edges are counts as much as how they run.
    `bins` is a power of two.
    """
    dx, dy = (part.ravel() for part in gradients(views.lab[1][plane]))
    turn = np.arctan2(dy, dx) * np.float32(bins / (2 * np.pi if signed else np.pi))
    strength = np.sqrt(dx * dx + dy * dy)
    # Soft votes for the two nearest directions; the first axis wraps around.
    whole = np.floor(turn)
    share = (turn - whole) * strength
    lower = whole.astype(np.intp) & (bins - 1)  # the remainder even of negative numbers, as `bins` is a power of two
    upper = (lower + 1) & (bins - 1)
    if grid == 1:
        total = np.bincount(lower, strength - share, bins) + np.bincount(upper, share, bins)
        return hellinger(total / turn.size + _FAINT_EDGE)
    # One plane of votes for each direction, which `pooled` then sums into overlapping cells.
    pixels = np.arange(turn.size)
    votes = np.zeros(bins * turn.size, np.float32)
    votes[lower * turn.size + pixels] = strength - share
    votes[upper * turn.size + pixels] = share
    return hellinger(pooled(votes.reshape(bins, *views.lab[1].shape[1:]), grid) + _FAINT_EDGE)
