"""The colour histogram of the `palette` embedder, and the vectors of colour words that are compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from pinakes.embedders.palette.blocks import CHROMA_GAIN, LAYOUT_GRID, Doubles, Floats, hellinger, layout_of, unit
from pinakes.embedders.palette.colours import Region, oklab_planes
from pinakes.embedders.palette.words import Wish


@dataclass(frozen=True)
class ColourGrid:
    """Bins of OKLab: levels of lightness times rings of chroma, each ring cut by hue; the innermost ring is grey.

    A colour counts in the (up to eight) bins around it by trilinear shares, so that no colour jumps between bins. Bins
    that no colour of sRGB reaches are left out.

    Attributes:
        levels: of lightness, from black to white.
        hues: cuts of each ring.
        rings: the chroma of each ring; the first is 0.
    """

    levels: int
    hues: int
    rings: tuple[float, ...]

    @property
    def size(self) -> int:
        """How many bins there are."""
        return len(self.used)

    @cached_property
    def used(self) -> npt.NDArray[np.intp]:
        """Those of the full grid's bins that sRGB reaches, shape (size,)."""
        return np.flatnonzero(self.counts(_gamut()) > 1e-6)

    def histogram(self, lab: Floats) -> Doubles:
        """The square roots of the shares of the colours in `lab` (as in `Views`), shape (size,), at length 1."""
        return hellinger(self.counts(lab.reshape(3, -1))[self.used])

    def counts(self, lab: Floats, weights: Doubles | None = None) -> Doubles:
        """The trilinear counts of colours of shape (3, n) over the full grid."""
        rings = np.asarray(self.rings, np.float32)
        a, b = lab[1] / np.float32(CHROMA_GAIN), lab[2] / np.float32(CHROMA_GAIN)
        chroma = np.maximum(np.sqrt(a * a + b * b) - _NO_CHROMA, 0)
        ring, ring_share = _between(np.interp(chroma, rings, np.arange(len(rings))).astype(np.float32), len(rings))
        level, level_share = _between(lab[0] * np.float32(self.levels - 1), self.levels)
        turn = np.arctan2(b, a) * np.float32(self.hues / (2 * np.pi))
        whole = np.floor(turn)
        hue_share = turn - whole
        hue = whole.astype(np.intp) % self.hues
        after = hue + 1
        after[after == self.hues] = 0  # hue is a circle
        total = np.zeros(self.levels * len(rings) * self.hues)
        for up in (0, 1):
            by_level = (level_share if up else 1 - level_share) * (1.0 if weights is None else weights)
            for out in (0, 1):
                by_ring = by_level * (ring_share if out else 1 - ring_share)
                base = ((level + up) * len(rings) + ring + out) * self.hues
                total += np.bincount(base + hue, by_ring * (1 - hue_share), total.size)
                total += np.bincount(base + after, by_ring * hue_share, total.size)
        # Hue means nothing on the grey axis: all its bins become one.
        full = total.reshape(self.levels, len(rings), self.hues)
        full[:, 0, 0] = full[:, 0].sum(1)
        full[:, 0, 1:] = 0
        return full.ravel()


_NO_CHROMA: Final = np.float32(0.002)
"""Rounding leaves a pure grey less chroma than this; the square root would make even a millionth share visible."""


def _between(place: Floats, count: int) -> tuple[npt.NDArray[np.intp], Floats]:
    """The lower of the two neighbours of each place on 0…count - 1, and the share of the upper."""
    clipped = np.clip(place, 0, count - 1)
    lower = np.minimum(clipped.astype(np.intp), count - 2)
    return lower, clipped - lower.astype(np.float32)


_GAMUT_STEPS: Final = 33


@lru_cache(maxsize=1)
def _gamut() -> Floats:
    """Colours spread evenly over sRGB as in `Views`, shape (3, n)."""
    steps = np.linspace(0, 255, _GAMUT_STEPS).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(1, -1, 3)
    lab = oklab_planes(cube).reshape(3, -1)
    lab[1:] *= CHROMA_GAIN
    return lab


@lru_cache(maxsize=256)
def membership(grid: ColourGrid, region: Region) -> Doubles:
    """How far the colours of each bin belong to `region` on average, shape (grid.size,), 0 to 1."""
    gamut = _gamut()
    lab = gamut.T / np.array([1, CHROMA_GAIN, CHROMA_GAIN])
    members: Doubles = grid.counts(gamut, region.membership(lab))[grid.used]
    return members / grid.counts(gamut)[grid.used]


def wished_colours(wishes: Sequence[Wish], grid: ColourGrid) -> Doubles:
    """The histogram block of a text, shape (grid.size,): the bins of the wished colours minus those of the denied ones.

    The membership of the bins orders pictures by how much of the colour they contain; a histogram of the colour itself
    would favour pictures that spread over all of its bins.
    """
    total = np.zeros(grid.size)
    for wish in wishes:
        total += (1.0 if wish.present else -1.0) * unit(membership(grid, wish.region) ** _SHARPNESS)
    return total


def amounts(wishes: Sequence[Wish], shares: Doubles, grid: ColourGrid) -> Doubles:
    """How much of what a text asks for is in pictures, by their histograms (n, grid.size): shape (n,).

    A picture of nothing but the colour has 1. Of several colours the one with the smallest amount counts, and denied
    colours are subtracted. A tenth of the picture counts for more than a tenth of the amount, as it does to the eye.
    """
    by_presence = {True: [np.ones(len(shares))], False: [np.zeros(len(shares))]}
    for wish in wishes:
        weights = membership(grid, wish.region) ** 2
        # What a picture of the colour alone would have, by which the pictures' amounts are divided.
        lab = np.array(wish.region.focus.lab, np.float32)[:, None] * np.array([[1], [CHROMA_GAIN], [CHROMA_GAIN]])
        alone = grid.counts(lab.astype(np.float32))[grid.used] ** _PROMINENCE @ weights
        by_presence[wish.present].append(shares**_PROMINENCE @ weights / max(float(alone), 1e-6))
    # The ones stand for all colours where the text only denies some.
    amount: Doubles = np.min(by_presence[True][1:] or by_presence[True], axis=0) - np.sum(by_presence[False], axis=0)
    return amount


_PROMINENCE: Final = 0.75
"""The power to which shares of a picture are raised; below 1, so that small areas count for more."""

_SHARPNESS: Final = 1.5
"""The power to which memberships of bins are raised: bins overlap with their neighbours' colours, which blurs them."""


def wished_layout(wishes: Sequence[Wish]) -> Doubles:
    """The layout block of a text: its placed colours, relative to the mean; zeros if none is placed."""
    thumbnail = np.zeros((3, LAYOUT_GRID, LAYOUT_GRID))
    for wish in wishes:
        if wish.place:
            mask = _mask(wish.place)
            lightness, a, b = wish.region.focus.lab
            colour = np.array([lightness - 0.5, a * CHROMA_GAIN, b * CHROMA_GAIN])
            # Without the mean, only the place counts here: how much there is of the colour is the histogram's matter.
            thumbnail += (colour if wish.present else -colour)[:, None, None] * (mask - mask.mean())
    thumbnail[0] += 0.5  # which `layout_of` subtracts
    return layout_of(thumbnail, 3 * LAYOUT_GRID**2)


def _mask(place: str) -> Doubles:
    """Where a place is, shape (LAYOUT_GRID, LAYOUT_GRID), 0 to 1; borders are soft."""
    ramp = (np.arange(LAYOUT_GRID) + 0.5) / LAYOUT_GRID
    near = np.clip(1.5 - 2 * ramp, 0, 1)
    inside = np.clip(2 - 4 * np.abs(ramp - 0.5), 0, 1)
    ones = np.ones(LAYOUT_GRID)
    middle: Doubles = np.outer(inside, inside)
    masks: dict[str, Doubles] = {
        "top": np.outer(near, ones),
        "bottom": np.outer(near[::-1], ones),
        "left": np.outer(ones, near),
        "right": np.outer(ones, near[::-1]),
        "centre": middle,
        "edges": 1 - middle,
    }
    return masks[place]
