"""Colours as points and regions of OKLab, the perceptual colour space.

OKLab: Björn Ottosson, "A perceptual color space for image processing", 2020 (bottosson.github.io/posts/oklab), also in
CSS Color Module Level 4. L is lightness (0 black, 1 white); a (green to red) and b (blue to yellow) are 0 for greys and
stay within ±0.32 for sRGB. Chroma is hypot(a, b), hue is atan2(b, a). The transfer function is that of IEC 61966-2-1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

GREY_CHROMA: Final = 0.04
"""Below about this chroma, a colour of any hue is seen as grey."""

_CODES = np.arange(256) / 255
_LINEAR: Final = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)
_TO_LMS: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_FROM_LMS: Final = np.linalg.inv(_TO_LMS)
_FROM_LAB: Final = np.linalg.inv(_TO_LAB)

_ROOT_STEPS: Final = (1 << 16) - 1
_ROOTS: Final = np.cbrt(np.arange(_ROOT_STEPS + 1) / _ROOT_STEPS).astype(np.float32)
"""Cube roots of 0…1. A table, because the last bit of `np.cbrt` depends on the processor; the error in L is below 0.002
for the very darkest colours and below 0.0001 from sRGB 16 upwards."""


def oklab_planes(rgb: npt.NDArray[np.uint8]) -> Floats:
    """`rgb`, shape (height, width, 3), as OKLab planes of shape (3, height, width), float32, bit for bit everywhere."""
    # Sums written out instead of a matrix product, whose order of adding depends on the machine's BLAS.
    red, green, blue = _LINEAR.take(rgb.reshape(-1, 3).T)
    roots = []
    for row in (_TO_LMS * _ROOT_STEPS).astype(np.float32):
        place = red * row[0] + green * row[1] + blue * row[2] + np.float32(0.5)
        roots.append(_ROOTS.take(place.astype(np.int32), mode="clip"))
    planes = np.stack([roots[0] * row[0] + roots[1] * row[1] + roots[2] * row[2] for row in _TO_LAB.astype(np.float32)])
    return planes.reshape(3, *rgb.shape[:2])


@dataclass(frozen=True, slots=True)
class Colour:
    """One colour in OKLab's polar form.

    Attributes:
        lightness: 0 to 1.
        chroma: 0 (grey) to about 0.32.
        hue: radians; without meaning when chroma is 0.
    """

    lightness: float
    chroma: float
    hue: float

    @classmethod
    def from_lab(cls, lightness: float, a: float, b: float) -> Colour:
        """The colour at a point of OKLab."""
        return cls(lightness, float(np.hypot(a, b)), float(np.arctan2(b, a)))

    @classmethod
    def from_hex(cls, text: str) -> Colour:
        """The colour of `#rrggbb`."""
        linear = _LINEAR[list(bytes.fromhex(text.removeprefix("#")))].astype(np.float64)
        lab = _TO_LAB @ np.cbrt(_TO_LMS @ linear)
        return cls.from_lab(*(float(value) for value in lab))

    @property
    def lab(self) -> tuple[float, float, float]:
        """(L, a, b)."""
        return self.lightness, self.chroma * float(np.cos(self.hue)), self.chroma * float(np.sin(self.hue))

    @property
    def in_gamut(self) -> bool:
        """Whether sRGB can show it."""
        linear = _FROM_LMS @ (_FROM_LAB @ np.array(self.lab)) ** 3
        return bool(np.all((linear > -0.002) & (linear < 1.002)))

    def shown(self) -> Colour:
        """The nearest colour that sRGB can show: same lightness (within 0 to 1) and hue, less chroma."""
        colour = replace(self, lightness=min(1.0, max(0.0, self.lightness)))
        # Hue and lightness are what the name of a colour means, so only its chroma gives way.
        while not colour.in_gamut and colour.chroma > 0.001:
            colour = replace(colour, chroma=colour.chroma * 0.96)
        return colour

    def towards(self, other: Colour, share: float) -> Colour:
        """The mixture with `share` of `other`, on the straight line in OKLab."""
        return Colour.from_lab(
            *((1 - share) * mine + share * theirs for mine, theirs in zip(self.lab, other.lab, strict=True))
        )


@dataclass(frozen=True, slots=True)
class Region:
    """A soft region of OKLab around one colour: what a colour word stands for.

    Attributes:
        focus: its middle.
        lightness_spread: standard deviation in L.
        chroma_spread: standard deviation in chroma.
        hue_spread: standard deviation of hue in radians; infinite for any hue.
        open_chroma: whether colours more vivid than the focus belong to it as fully as the focus does.
    """

    focus: Colour
    lightness_spread: float
    chroma_spread: float
    hue_spread: float
    open_chroma: bool = False

    def membership(self, lab: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """How far each colour of `lab`, shape (n, 3), belongs to the region: shape (n,), 0 to 1."""
        lightness, a, b = np.asarray(lab, np.float64).T
        chroma = np.hypot(a, b)
        excess = chroma - self.focus.chroma
        if self.open_chroma:
            excess = np.minimum(excess, 0)
        turn = np.angle(np.exp(1j * (np.arctan2(b, a) - self.focus.hue)))  # -pi to pi, also across the jump of arctan2
        distance = ((lightness - self.focus.lightness) / self.lightness_spread) ** 2
        distance += (excess / self.chroma_spread) ** 2
        if np.isfinite(self.hue_spread) and self.focus.chroma > GREY_CHROMA / 2:
            # Near the grey axis hue counts less and less, as the eye cannot see it there.
            distance += (turn / self.hue_spread) ** 2 * np.minimum(1.0, chroma / GREY_CHROMA)
        weight: npt.NDArray[np.float64] = np.exp(-distance / 2)
        return weight
