"""The texture measures of the `palette` embedder: second-order statistics and counts of local codes."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from pinakes.embedders.palette.blocks import Doubles, Views, gradients, halved, hellinger, unit

RIDGE: Final = 1e-3
"""Variance added to each feature, of a typical variance of 1: bounds how far a square root can amplify rounding."""

_PLANE_SPREAD: Final = (0.18, 0.10, 0.10)
_EDGE_SPREAD: Final = ((0.06, 0.08, 0.10), (0.018, 0.02, 0.025), (0.018, 0.02, 0.025))


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
    return unit(root[rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2.0)))


def _uniform_codes() -> npt.NDArray[np.intp]:
    """The bin of each of 256 codes: 58 with at most two changes around the circle, and one for all others."""
    bins, following = np.full(256, 58, np.intp), 0
    for code in range(256):
        turned = (code >> 1) | ((code & 1) << 7)
        if (code ^ turned).bit_count() <= 2:
            bins[code] = following
            following += 1
    return bins


_UNIFORM: Final = _uniform_codes()
_CIRCLE: Final = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
_LBP_STEP: Final = 3
"""A neighbour counts as brighter if it is at least this many of 255 steps brighter, so that grain and JPEG noise do not."""


def binary_patterns(grey: npt.NDArray[np.uint8]) -> Doubles:
    """Uniform local binary patterns, shape (59,): Ojala, Pietikäinen and Mäenpää, PAMI 24(7), 2002."""
    signed = grey.astype(np.int16)
    rows, columns = grey.shape
    threshold = signed[1:-1, 1:-1] + _LBP_STEP
    code = np.zeros(threshold.shape, np.uint8)
    for bit, (down, right) in enumerate(_CIRCLE):
        neighbour = signed[1 + down : rows - 1 + down, 1 + right : columns - 1 + right]
        code |= (neighbour >= threshold).view(np.uint8) << np.uint8(bit)
    counts = np.bincount(code.ravel(), minlength=256)
    return hellinger(np.bincount(_UNIFORM, weights=counts, minlength=59))


_COS1, _COS2, _SIN1, _SIN2 = 79, -207, 243, 150
"""cos and sin of 72 and 144 degrees times 256; rounded so that 256 + 2 * 79 - 2 * 207 is exactly 0 on a flat part."""


def _waves(values: npt.NDArray[np.int32], axis: int) -> tuple[npt.NDArray[np.int32], ...]:
    """Sum, cosine and sine over windows of five along `axis` (the sums times 1, the waves times 256)."""
    v = np.moveaxis(values, axis, 0)
    near, far = v[3:-1] + v[1:-3], v[4:] + v[:-4]
    near_step, far_step = v[3:-1] - v[1:-3], v[4:] - v[:-4]
    middle = v[2:-2]
    parts = (
        middle + near + far,
        256 * middle + _COS1 * near + _COS2 * far,
        _SIN1 * near_step + _SIN2 * far_step,
    )
    return tuple(np.moveaxis(part, 0, axis) for part in parts)


def phase_codes(grey: npt.NDArray[np.uint8]) -> Doubles:
    """Local phase quantisation in 5 x 5 windows, shape (256,): Ojansivu and Heikkilä, ICISP 2008.

    The signs of the real and imaginary parts of the four lowest frequencies; blur hardly changes them.
    """
    flat, cosine, sine = _waves(grey.astype(np.int32), 1)
    (_, below_cosine, below_sine) = _waves(flat, 0)
    (across_cosine, both_cosine, mixed_down) = _waves(cosine, 0)
    (across_sine, mixed_right, both_sine) = _waves(sine, 0)
    parts = (
        across_cosine,
        across_sine,
        below_cosine,
        below_sine,
        both_cosine - both_sine,
        mixed_down + mixed_right,
        both_cosine + both_sine,
        mixed_right - mixed_down,
    )
    code = np.zeros(parts[0].shape, np.uint8)
    for bit, part in enumerate(parts):
        code |= (part > 0).view(np.uint8) << np.uint8(bit)
    return hellinger(np.bincount(code.ravel(), minlength=256))
