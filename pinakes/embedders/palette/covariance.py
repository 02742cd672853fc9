"""The covariance of colour and edges: how they vary together in a picture."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from pinakes.embedders.palette.blocks import Doubles, Views, gradients, halved, unit

RIDGE: Final = 1e-3
"""Variance added to each feature, of a typical variance of 1: bounds how far a square root can amplify rounding."""

_PLANE_SPREAD: Final = (0.18, 0.10, 0.10)
"""Typical standard deviations of L, a and b."""

_EDGE_SPREAD: Final = ((0.06, 0.08, 0.10), (0.018, 0.02, 0.025), (0.018, 0.02, 0.025))
"""Typical standard deviations of the edges of L, a and b, at each of three octaves."""


def covariance(views: Views, octaves: int) -> Doubles:
    """The square root of the covariance of colour and edge strength, its upper triangle at length 1.

    Features of a pixel (of the picture at half size): L, a, b and, of each, |dx| and |dy| at `octaves` scales. Region
    covariance: Tuzel, Porikli and Meer, ECCV 2006. Its matrix square root instead of its logarithm: Lin and Maji,
    "Improved bilinear pooling with CNNs", BMVC 2017. Shape (n * (n + 1) / 2,) with n = 3 + 6 * octaves.
    """
    rows, columns = views.lab[1].shape[1:]
    features = np.empty((3 + 6 * octaves, rows, columns), np.float32)
    features[:3] = views.lab[1]
    for octave in range(octaves):
        for axis, slope in enumerate(gradients(views.lab[octave])):
            strength = np.abs(slope, out=slope)
            # Every octave is brought to half size, the size of the colours.
            if octave == 0:
                strength = halved(strength)
            elif octave == 2:
                strength = strength.repeat(2, axis=1).repeat(2, axis=2)
            features[3 + 6 * octave + 3 * axis : 6 + 6 * octave + 3 * axis] = strength
    # In double precision: the root below would show the rounding of single.
    flat = features.reshape(len(features), -1).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    flat /= _scales(octaves)[:, None]
    return root_triangle(flat @ flat.T / flat.shape[1])


@lru_cache(maxsize=4)
def _scales(octaves: int) -> Doubles:
    """The typical standard deviation of each feature of `covariance`, shape (3 + 6 * octaves,)."""
    edges = (_EDGE_SPREAD[plane][octave] for octave in range(octaves) for _ in "xy" for plane in range(3))
    return np.array([*_PLANE_SPREAD, *edges])


def root_triangle(matrix: Doubles) -> Doubles:
    """The square root of a covariance as a vector whose inner products are those of the matrices, at length 1."""
    size = len(matrix)
    values, vectors = np.linalg.eigh(matrix + RIDGE * np.eye(size))
    root = (vectors * np.sqrt(np.maximum(values, RIDGE))) @ vectors.T - np.sqrt(RIDGE) * np.eye(size)
    rows, columns = np.triu_indices(size)
    # Each entry off the diagonal stands for two of the symmetric matrix, hence the square root of 2.
    return unit(root[rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2.0)))
