"""The size of a picture from its header alone."""

from __future__ import annotations

from pinakes.images.decoding import orientation, with_header

SIDEWAYS = range(5, 9)
"""EXIF orientations that exchange width and height."""


def upright_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels of the picture that `decoding.decode` makes of `data`; nothing is decoded.

    Raises:
        PictureError: as `decoding.with_header`.
    """
    picture = with_header(data)
    width, height = picture.size
    # For a PNG, Pillow would decode the pixels to look for an EXIF block after them; a TIFF's size is upright already.
    if picture.format == "TIFF" or (picture.format == "PNG" and "exif" not in picture.info):
        return width, height
    return (height, width) if orientation(picture) in SIDEWAYS else (width, height)
