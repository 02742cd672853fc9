"""Loads pictures, and gives the transparent colour of a PNG as its pixels are then."""

from __future__ import annotations

from PIL import Image, PngImagePlugin

_FACTORS = {"L;2": 0x55, "L;4": 0x11}
"""Of grey of 2 and 4 bits, as Pillow calls them, to 8 bits."""


def load(picture: Image.Image) -> None:
    """Decode the pixels of `picture`. Pillow makes 8 bits of a PNG's 2, 4 or 16, but not of its transparent colour."""
    coded = picture.tile[0][3] if isinstance(picture, PngImagePlugin.PngImageFile) and picture.tile else ""
    picture.load()
    clear = picture.info.get("transparency")
    if isinstance(clear, int) and coded in _FACTORS:
        factor = _FACTORS[coded]
        picture.info["transparency"] = clear % (255 // factor + 1) * factor  # of larger values the lower bits count
    elif isinstance(clear, tuple) and coded == "RGB;16B":
        # Of the pixels only the upper halves are left: those that differ from the colour in the lower halves count as it.
        picture.info["transparency"] = tuple(value >> 8 for value in clear)
