"""What decoding a picture takes, computed from its header: bytes of memory, and whether its time has a bound.

The bytes are those of the format's decoder, of the decoded picture in its own mode, and of the picture that is made from
it in bands. `tests/unit/test_decoding_bounds.py` compares them with measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import Final

from PIL import ImageFile, Jpeg2KImagePlugin, JpegImagePlugin, TiffImagePlugin

MAX_BYTES: Final = 640 << 20
"""For one picture. RGB of 150 megapixels, which is what the largest camera backs make, takes 600 MB."""

MAX_BYTES_HERE: Final = 160 << 20
"""A picture that takes more is decoded in a process of its own, which gives all memory back when it ends."""

BAND_PIXELS: Final = 1 << 20
"""Large pictures are converted in bands of about this many pixels, so that all copies stay small."""

_BAND_BYTES: Final = 24
"""Bytes a pixel of a band: its copy, its colour, its alpha, its sRGB and the white below it."""

_MODE_BYTES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""Bytes a pixel of a decoded picture; all other modes take 4."""

_WEBP_BYTES: Final = 16
"""Two canvases of 4 bytes a pixel, the decoder's own picture, and the copy that Pillow takes."""

_AVIF_BYTES: Final = 18
"""Planes of 16 bits with alpha, the picture in RGBA, and the copy that Pillow takes."""

_JPEG2000_BYTES: Final = 6
"""For each channel: integers of 32 bits, and what the decoder needs for them."""

_SCANNED_PIXELS: Final = 1_000_000_000
"""Pixels times scans of a JPEG that take a few seconds at most. Ten scans are usual."""

_AVIF_PIXELS_HERE: Final = 4_000_000
"""A larger AVIF counts as a picture that may take endless time."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What decoding takes.

    Attributes:
        size: bytes of memory at most.
        endless: a small file may take minutes.
        shrink: by how much the sides are divided while the picture is converted.
    """

    size: int
    endless: bool
    shrink: int

    @property
    def apart(self) -> bool:
        """Whether it is decoded in a process of its own, which can be ended."""
        return self.endless or self.size > MAX_BYTES_HERE


def bands(size: tuple[int, int], step: int = 1) -> list[tuple[int, int, int, int]]:
    """The bands of a picture as boxes (left, upper, right, lower), from top to bottom, of a multiple of `step` rows each."""
    width, height = size
    rows = max(1, BAND_PIXELS // (width * step)) * step
    return [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]


def prepare(picture: ImageFile.ImageFile, data: bytes, at_least: int | None) -> Cost:
    """What decoding `picture` will take. Its decoder is first told to make it smaller, where it can.

    Args:
        picture: its header read, nothing decoded.
        data: the file.
        at_least: pixels that are needed on the short side; None: all.
    """
    # Start-of-scan markers. Within a scan 0xFF is always escaped, so only an embedded thumbnail can add to the number.
    scans = data.count(b"\xff\xda") if picture.format == "JPEG" else 1
    endless = scans > 1 and scans * prod(picture.size) > _SCANNED_PIXELS
    decoder = 0
    if isinstance(picture, JpegImagePlugin.JpegImageFile):
        decoder = _coefficients(picture) if scans > 1 else 0  # of the full size, so before `draft` changes it
        if at_least is not None:
            picture.draft(None, (at_least, at_least))
    width, height = picture.size
    if isinstance(picture, Jpeg2KImagePlugin.Jpeg2KImageFile):
        endless = True  # its packets are loops within loops, which the size of a picture does not bound
        halved = _halvings(picture, data, at_least)
        picture.reduce = halved
        width, height = ceil(width / 2**halved), ceil(height / 2**halved)
        decoder = width * height * len(picture.getbands()) * _JPEG2000_BYTES
    elif picture.format == "AVIF":
        endless = width * height > _AVIF_PIXELS_HERE
        decoder = width * height * _AVIF_BYTES
    elif picture.format == "WEBP":
        decoder = width * height * _WEBP_BYTES
    elif isinstance(picture, TiffImagePlugin.TiffImageFile):
        decoder = _strip(picture)
    decoded = width * height * _MODE_BYTES.get(picture.mode, 4)
    shrink = 1
    # Only where memory or time demands it: averaging blocks takes the place of most of the caller's own filter.
    if at_least is not None and (endless or decoded + _converted(picture.mode, width, height, 1) > MAX_BYTES_HERE):
        shrink = max(1, min(width, height) // at_least)
    # A decoder is done before its picture is converted.
    return Cost(decoded + max(decoder, _converted(picture.mode, width, height, shrink)), endless, shrink)


def _converted(mode: str, width: int, height: int, shrink: int) -> int:
    """Bytes of what is made of a decoded picture, and of the bands between."""
    pixels = width * height
    deep = 2 if mode in {"I", "F"} or mode.startswith("I;16") else 0  # its grey and its alpha
    made = ceil(width / shrink) * ceil(height / shrink) * 4
    return pixels * deep + made + min(pixels, max(BAND_PIXELS, width)) * _BAND_BYTES


def _coefficients(picture: JpegImagePlugin.JpegImageFile) -> int:
    """Bytes of the coefficients of a JPEG with several scans, which are all kept, whatever the scale: 2 each."""
    across, down = (max((layer[at] for layer in picture.layer), default=1) or 1 for at in (1, 2))
    samples = sum(layer[1] * layer[2] for layer in picture.layer) / (across * down)
    return int(prod(picture.size) * samples * 2)


def _halvings(picture: Jpeg2KImagePlugin.Jpeg2KImageFile, data: bytes, at_least: int | None) -> int:
    """How often the sides of a JPEG 2000 must be halved to fit into memory, if its levels and the caller allow it."""
    coding = data.find(b"\xff\x52", data.find(b"\xff\x4f\xff\x51"))  # marker, length, style, four of SGcod, levels
    levels = data[coding + 9] if 0 <= coding < len(data) - 9 else 0
    pixels, channels = prod(picture.size), len(picture.getbands())
    halved = 0
    while (
        at_least is not None
        and halved < levels
        and min(picture.size) >> (halved + 1) >= at_least
        and (pixels >> (2 * halved)) * (channels * _JPEG2000_BYTES + 8) > MAX_BYTES
    ):
        halved += 1
    return halved


def _strip(picture: TiffImagePlugin.TiffImageFile) -> int:
    """Bytes of the largest strip or tile of a TIFF, which is decoded in one piece."""
    tags = picture.tag_v2
    width, height = tags.get(322) or picture.width, tags.get(323) or min(tags.get(278) or 2**32, picture.height)
    bits = tags.get(258) or (1,)
    channels = tags.get(277) or 1
    # A tile may reach beyond the picture, though hardly by more than this; a damaged tag may name any size.
    width, height = min(int(width), picture.width + 4096), min(int(height), picture.height + 4096)
    return int(width * height * channels * max(bits)) // 8
