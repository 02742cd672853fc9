"""Which parts of a picture draw the eye, computed without a model.

The map is the spectral residual of X. Hou and L. Zhang, "Saliency Detection: A Spectral Residual Approach" (CVPR 2007): what
the logarithm of a picture's amplitude spectrum has beyond its own local mean is what a picture has beyond all others.

Small frames around what draws the eye find the details that a person would cut out, and hardly any others; five large
frames cover the picture. Large frames that follow the map find fewer details of any size than those five do. See
`python -m benchmarks.regions`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageFilter

from pinakes.images.regions import SALIENT, Frame

SIDE: Final = 64
"""Pixels of the map's sides, as in the paper: what is smaller than one of them does not draw the eye."""

SALIENT_SIDE: Final = 0.25
"""The sides of the frames around what draws the eye, in fractions of the picture."""

COVER: Final[tuple[Frame, ...]] = tuple(
    (x, y, 0.5, 0.5) for x, y in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5), (0.25, 0.25))
)
"""The quarters of the picture and its middle: the fewest frames that leave no detail of half a side between them."""

STEPS: Final = 12
"""Steps in which frames are tried along each side."""

DAMPING: Final = 0.1
"""The share of the map that is left inside a chosen frame, so that the next frame is somewhere else."""

Map = npt.NDArray[np.float64]


def salient_frames(picture: Pillow.Image) -> tuple[Frame, ...]:
    """`SALIENT` different frames: those that draw the eye most, in that order, then `COVER`. Equal pixels, equal frames."""
    left = saliency(picture)
    candidates = [
        (x / STEPS * (1 - SALIENT_SIDE), y / STEPS * (1 - SALIENT_SIDE), SALIENT_SIDE, SALIENT_SIDE)
        for y in range(STEPS + 1)
        for x in range(STEPS + 1)
    ]
    chosen: list[Frame] = []
    for _ in range(SALIENT - len(COVER)):
        # A summed-area table (Crow, SIGGRAPH 1984): the sum inside any frame is then four look-ups.
        sums = np.pad(left, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
        best = max((frame for frame in candidates if frame not in chosen), key=lambda frame: _inside(sums, frame))
        chosen.append(best)
        x, y, right, lower = _corners(best)
        left[y:lower, x:right] *= DAMPING
    return (*((round(x, 4), round(y, 4), width, height) for x, y, width, height in chosen), *COVER)


def saliency(picture: Pillow.Image) -> Map:
    """How much each place draws the eye: shape (SIDE, SIDE), at least 0, sum 1."""
    small = picture.convert("L").resize((SIDE, SIDE), Pillow.Resampling.BOX)
    spectrum = np.fft.fft2(np.asarray(small, dtype=np.float64))
    log_amplitude = np.log(np.abs(spectrum) + 1e-9)
    # The spectrum is periodic, so the mean of 3 x 3 frequencies wraps around at its border.
    wrapped = np.pad(log_amplitude, 1, mode="wrap")
    mean = sum(wrapped[row : row + SIDE, column : column + SIDE] for row in range(3) for column in range(3)) / 9
    residual = np.exp(log_amplitude - mean + 1j * np.angle(spectrum))
    found = np.abs(np.fft.ifft2(residual)) ** 2
    # As bytes, since Pillow blurs only those; the small constant gives a sum above 0 to an even picture too.
    scaled = Pillow.fromarray((255 * found / found.max()).astype(np.uint8)) if found.max() > 0 else small
    smooth = np.asarray(scaled.filter(ImageFilter.GaussianBlur(2.5)), dtype=np.float64) + 1e-6
    return np.asarray(smooth / smooth.sum())


def _corners(frame: Frame) -> tuple[int, int, int, int]:
    x, y, width, height = frame
    return round(x * SIDE), round(y * SIDE), round((x + width) * SIDE), round((y + height) * SIDE)


def _inside(sums: Map, frame: Frame) -> float:
    x, y, right, lower = _corners(frame)
    return float(sums[lower, right] - sums[y, right] - sums[lower, x] + sums[y, x])
