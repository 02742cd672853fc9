"""Fisher vectors of the gradients of a picture: how its brushwork, edges and grain differ from those of the codebook.

Perronnin, Sánchez and Mensink, "Improving the Fisher kernel for large-scale image classification", ECCV 2010: local
descriptors, reduced by PCA, are compared with a mixture of Gaussians, by their first and second moments; the signed square
root of each component is taken. The descriptors are dense histograms of gradients (as in SIFT: Lowe, IJCV 60(2), 2004) at
two scales; half-rectified gradients, as in DAISY (Tola, Lepetit and Fua, PAMI 32(5), 2010), need no arc tangent.

The codebook, `codebook.npz`, was learnt from the painted sample gallery by `python -m benchmarks.codebook`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Final

import numpy as np

from pinakes.embedders.palette.blocks import Doubles, Floats, Views, gradients, unit

CELL: Final = 4
"""Pixels per side of a cell."""

CELLS: Final = 3
"""Cells per side of a local descriptor; they overlap."""

DIRECTIONS: Final = 8
_FAINT_CELLS: Final = 0.05
"""Gradients that are together much fainter than this (of a lightness of 1) stay faint instead of being amplified."""

SCALES: Final = 2


@dataclass(frozen=True, slots=True)
class Codebook:
    """A mixture of Gaussians with diagonal covariance over local descriptors that were reduced by PCA.

    Attributes:
        mean: of the local descriptors, shape (72,).
        axes: their first principal axes, shape (72, d).
        centres: of the Gaussians, shape (k, d).
        variances: of the Gaussians, shape (k, d).
        shares: of the Gaussians, shape (k,), summing to 1.
        noise: the means of texture blocks over noise with the spectrum of pictures, by the blocks' names.
    """

    mean: Doubles
    axes: Doubles
    centres: Doubles
    variances: Doubles
    shares: Doubles
    noise: Mapping[str, Doubles] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Components of a Fisher vector: a mean and a variance for each centre and axis."""
        return 2 * self.centres.size

    def responsibilities(self, reduced: Doubles) -> Doubles:
        """How likely each Gaussian is the one of each descriptor, rows summing to 1: shape (n, k)."""
        inverse = 1 / self.variances
        likelihood = (reduced * reduced) @ inverse.T - 2 * reduced @ (self.centres * inverse).T
        likelihood += (self.centres**2 * inverse + np.log(self.variances)).sum(1) - 2 * np.log(self.shares)
        # Relative to the most likely Gaussian: a descriptor far from all of them would otherwise have only zeros.
        likelihood = np.exp((likelihood.min(1, keepdims=True) - likelihood) / 2)
        chances: Doubles = likelihood / likelihood.sum(1, keepdims=True)
        return chances

    def fisher_vector(self, views: Views) -> Doubles:
        """The improved Fisher vector of a picture, shape (size,), at length 1."""
        reduced = local_descriptors(views, self.axes) - self.mean @ self.axes
        weights = self.responsibilities(reduced)
        total = weights.sum(0)[:, None]
        first, second = weights.T @ reduced, weights.T @ (reduced * reduced)
        shift = (first - total * self.centres) / np.sqrt(self.variances)
        spread = (second - 2 * self.centres * first + total * (self.centres**2 - self.variances)) / self.variances
        moments = np.concatenate([shift, spread / np.sqrt(2)], axis=1) / np.sqrt(self.shares)[:, None] / len(reduced)
        return unit(np.sign(moments) * np.sqrt(np.abs(moments)))


@lru_cache(maxsize=4)
def codebook(dimension: int) -> Codebook:
    """The codebook of the recipe of `dimension` components."""
    with (
        resources.files("pinakes.embedders.palette").joinpath("codebook.npz").open("rb") as file,
        np.load(file) as kept,
    ):
        centres = kept[f"centres_{dimension}"]
        axes = kept["axes"][:, : centres.shape[1]]
        begin = f"noise_{dimension}_"
        noise = {name.removeprefix(begin): kept[name] for name in kept.files if name.startswith(begin)}
        return Codebook(kept["mean"], axes, centres, kept[f"variances_{dimension}"], kept[f"shares_{dimension}"], noise)


def local_descriptors(views: Views, axes: Doubles) -> Doubles:
    """Local descriptors at full and at half size on the axes given, shape (72, d): shape (n, d).

    The 72 components are the square roots of the shares of 8 directions in 3 x 3 cells.
    """
    return np.concatenate([_descriptors(planes[0], axes) for planes in views.lab[:SCALES]])


def _descriptors(lightness: Floats, axes: Doubles) -> Doubles:
    cells = _cells(lightness)
    rows, columns = (side - CELLS + 1 for side in cells.shape[1:])
    corners = [(slice(i, i + rows), slice(j, j + columns)) for i in range(CELLS) for j in range(CELLS)]
    by_corner = axes.reshape(DIRECTIONS, len(corners), -1)
    strengths = cells.sum(0)
    roots = np.sqrt(cells)
    # The projection is added up corner by corner, because all descriptors of a picture would fill a megabyte.
    total = np.zeros((rows * columns, by_corner.shape[2]))
    strength = np.full((rows, columns), _FAINT_CELLS)
    for number, corner in enumerate(corners):
        total += roots[:, *corner].reshape(DIRECTIONS, -1).T @ by_corner[:, number]
        strength += strengths[corner]
    total /= np.sqrt(strength).reshape(-1, 1)
    return total


def _cells(lightness: Floats) -> Doubles:
    """The energy of the gradients of each direction in each cell, shape (8, rows, columns)."""
    along_x, along_y = gradients(lightness)
    strength = np.sqrt(along_x * along_x + along_y * along_y) + np.float32(1e-9)
    half = DIRECTIONS // 2
    cells = np.empty((DIRECTIONS, *(side // CELL for side in lightness.shape)))
    for direction, turn in enumerate(np.pi * np.arange(half) / half):
        towards: Floats = along_x * np.float32(np.cos(turn)) + along_y * np.float32(np.sin(turn))
        # Squared, so that a gradient counts in the three directions nearest to it.
        energy: Floats = towards * towards / strength
        # One product serves two opposite directions.
        both = _summed(energy)
        energy[towards < 0] = 0
        cells[direction] = _summed(energy)
        cells[direction + half] = np.maximum(both - cells[direction], 0)  # rounding may leave less than 0
    return cells


def _summed(plane: Floats) -> Floats:
    """The sums of the cells; pixels beyond the last whole cell are not counted."""
    # Strided additions, whose order is the same on every machine; that of `np.sum` along an axis is NumPy's choice.
    for axis in (0, 1):
        whole = np.moveaxis(plane, axis, 0)[: plane.shape[axis] // CELL * CELL]
        total = whole[::CELL] + whole[1::CELL]
        for further in range(2, CELL):
            total += whole[further::CELL]
        plane = np.moveaxis(total, 0, axis)
    return plane
