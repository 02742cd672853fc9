"""Colours as small float arrays, and the words people use for them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

from gallery.noise import Colours, Field

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""


def rgb(code: str) -> Colours:
    """`#rrggbb` as an array of shape (3,)."""
    digits = code.lstrip("#")
    return np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)], np.float32)


WHITE = rgb("#ffffff")


def mix(first: Colours, second: Colours, part: float | Field) -> Colours:
    """`first` at `part` 0, `second` at 1; a field of parts gives a picture."""
    weight = np.asarray(part, np.float32)
    if not weight.ndim or max(first.ndim, second.ndim) > 1:
        return np.asarray(first + (second - first) * (weight[..., None] if weight.ndim else weight), np.float32)
    planes = np.empty((*weight.shape, 3), np.float32)
    for channel in range(3):  # five times as fast as broadcasting over an axis of three
        planes[..., channel] = weight * (second[channel] - first[channel]) + first[channel]
    return planes


def luminance(colours: Colours) -> Field:
    """Brightness in 0…1 over the last axis."""
    return np.asarray(colours[..., 0] * LUMA[0] + colours[..., 1] * LUMA[1] + colours[..., 2] * LUMA[2], np.float32)


def ramp(stops: Sequence[tuple[float, Colours]], at: Field) -> Colours:
    """Colours along a gradient: `stops` are (place, colour) in rising order, `at` may have any shape."""
    places = [place for place, _ in stops]
    channels = [np.interp(at, places, [colour[channel] for _, colour in stops]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


_HUES = {
    12: "red",
    24: "vermilion",
    40: "orange",
    50: "golden",
    66: "yellow",
    155: "green",
    190: "turquoise",
    248: "blue",
    285: "violet",
    322: "purple",
    346: "pink",
    361: "red",
}
"""Names by their upper ends in degrees of the hue circle."""


def name_of(colour: Colours) -> str:
    """The plain English word for a colour, e.g. `dark blue`, `ochre`, `grey`."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(float(min(max(c, 0.0), 1.0)) for c in colour))
    if value < 0.17:
        return "black"
    if saturation < 0.13:
        return "white" if value > 0.84 else "pale grey" if value > 0.62 else "grey" if value > 0.34 else "dark grey"
    word = next(name for end, name in _HUES.items() if hue * 360 < end)
    if word in {"vermilion", "orange", "golden", "yellow"}:
        if saturation < 0.34 and value > 0.72:
            return "cream"
        if value < 0.55:
            return "brown" if word != "yellow" else "olive"
        if saturation < 0.62:
            return "ochre" if word != "vermilion" else "salmon"
        return word
    if word == "red" and saturation < 0.5 and value > 0.7:
        return "pink"
    if value < 0.38:
        return f"dark {word}"
    return f"pale {word}" if saturation < 0.38 and value > 0.7 else word
