"""What is checked and corrected before a request is paid for: a picture's format, bytes and pixels, a text's length.

A picture that the provider would refuse is re-encoded or made smaller on this machine. Where that is impossible, it fails
without a request.
"""

from __future__ import annotations

import io
import math
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow

from pinakes.embedders.base import Limits, Picture, with_bytes
from pinakes.embedders.remote.provider import Prepared
from pinakes.errors import PictureError
from pinakes.images.decoding import decode, with_header
from pinakes.images.formats import suffix
from pinakes.images.regions import is_region
from pinakes.types import ErrorClass, Failure, Image

JPEG_QUALITY = 95
"""A higher quality makes larger files without visible gain. Encoded 4:4:4, so that fine colour survives."""

MOST_LOSSLESS_PIXELS = 4_000_000
"""A larger picture is sent as JPEG: as PNG it would take tens of megabytes, and providers scale it down anyway."""

CHECK_SIDE = 64
"""A file is decoded before it is sent, so that a broken one is not paid for; a JPEG only at about this size."""

_PROOF_BYTES = 1024
"""Bytes of a JPEG's scan that are decoded: enough for the decoder to fail where tables are missing or do not fit."""

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""What ends the scan of a JPEG: 0xFF before anything but a zero, another 0xFF, or a restart marker (ITU-T T.81, B.1.1)."""

_END_OF_IMAGE = b"\xff\xd9"

SHRINK = 0.9
"""The factor on the sides of a picture whose encoding has too many bytes, in each further try."""

MIME_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "JPEG2000": "image/jp2",
    "PPM": "image/x-portable-anymap",
}
"""By the format names of `pinakes.images.formats.sniff`."""

_BY_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".jp2": "JPEG2000",
}
_BY_CONTENT_TYPE = {kind: name for name, kind in MIME_TYPES.items()} | {"image/jpg": "JPEG", "image/x-ms-bmp": "BMP"}
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
"""Pictures of other modes (inks, 16 bits) are converted here, and not left to whatever decoder the provider has."""

_LOSSY = frozenset({"JPEG", "WEBP", "AVIF", "JPEG2000"})
"""These are encoded as JPEG again, since as PNG the loss would stay and the file would be several times as large."""

_PNG_DEPTH_AT = 24
"""Pillow's modes do not show it: it reads a PNG of 16 bits a channel as RGB."""

_decoding = threading.BoundedSemaphore(os.cpu_count() or 1)
"""Pictures that are decoded at once: one for each processor, although many more threads wait for answers."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the first bytes say about a picture.

    Attributes:
        format: Pillow's name of the format.
        width: in pixels.
        height: in pixels.
        plain: whether it has at most 8 bits a channel, grey or RGB.
        scan: where the first scan of a JPEG begins, after its header; otherwise None.
    """

    format: str
    width: int
    height: int
    plain: bool
    scan: int | None


def prepare(picture: Picture, limits: Limits, reads_itself: Callable[[str], bool]) -> Prepared | Failure:
    """The picture as it is sent, or why the provider would not accept it.

    Where the provider reads the uri itself and the listing shows no reason against that, the picture is not read.

    Args:
        picture: read at most once.
        limits: the provider's.
        reads_itself: whether the provider can read a uri.
    """
    image = picture.image
    # A region has no address of its own: the provider would read the whole picture.
    listed = None if is_region(image.fingerprint) else _listed_format(image)
    if listed and _accepted(listed, limits) and _fits(image, limits) and reads_itself(image.uri):
        return Prepared(None, MIME_TYPES[listed], image.uri)
    return with_bytes(picture, lambda data: _sendable(data, limits))


def check_picture(limits: Limits) -> Prepared:
    """A small gradient in a format that the provider accepts, for a request that checks it."""
    kind = "PNG" if _accepted("PNG", limits) else "JPEG"
    side = max(64, limits.min_side or 0)
    ramp = np.linspace(0, 255, side, dtype=np.uint8)
    pixels = np.dstack(np.broadcast_arrays(ramp[None, :], ramp[:, None], np.uint8(128)))
    out = io.BytesIO()
    Pillow.fromarray(pixels).save(out, kind)
    return Prepared(out.getvalue(), MIME_TYPES[kind])


def ignored_words(text: str, limits: Limits) -> tuple[str, ...]:
    """The words of a text that are beyond the provider's limit and are therefore not sent."""
    return () if limits.max_words is None else tuple(text.split()[limits.max_words :])


def _listed_format(image: Image) -> str | None:
    """The format according to the source's content type, or to the file name where there is none."""
    if image.content_type:  # the type that the provider will see too; a name may say anything
        return _BY_CONTENT_TYPE.get(image.content_type.partition(";")[0].strip())
    return _BY_SUFFIX.get(suffix(image.image_id))


def _accepted(name: str, limits: Limits) -> bool:
    return limits.formats is None or name in limits.formats


def _fits(image: Image, limits: Limits) -> bool:
    # A size of 0 means that the source does not know it.
    return 0 < image.size <= (limits.max_bytes or math.inf)


def _sendable(data: bytes, limits: Limits) -> Prepared:
    header = _header(data)
    width, height = header.width, header.height
    if limits.min_side is not None and min(width, height) < limits.min_side:
        raise PictureError(
            f"the picture has {width:,} x {height:,} pixels, and the provider accepts none with a side of less than"
            f" {limits.min_side}",
            ErrorClass.UNSUPPORTED,
        )
    # An unchanged file is sent wherever possible: encoding it again costs time, and changes what the model sees.
    scale = _scale(width, height, limits)
    too_long = limits.max_bytes is not None and len(data) > limits.max_bytes
    if header.plain and _accepted(header.format, limits) and scale == 1 and not too_long:
        with _decoding:
            decode(_proof(data, header), at_least=CHECK_SIDE)
        return Prepared(data, MIME_TYPES[header.format])
    with _decoding:
        return _reencoded(data, header, scale, limits)


def _header(data: bytes) -> Header:
    """The header of a picture that can be decoded.

    Raises:
        PictureError: there is none.
    """
    opened = with_header(data)
    name = str(opened.format)
    deep = name == "PNG" and data[_PNG_DEPTH_AT] > 8
    scan = opened.fp.tell() if name == "JPEG" and opened.fp else None  # Pillow stops reading there
    return Header(name, *opened.size, plain=opened.mode in _EIGHT_BIT_MODES and not deep, scan=scan)


def _proof(data: bytes, header: Header) -> bytes:
    """As many bytes of a picture as must be decoded to know that all of it can be: the whole file, except for most JPEGs.

    libjpeg silently skips damage in a scan and fails only where a file is cut off. So where a JPEG's one scan is followed
    by the end of the image, decoding all of it shows nothing that its beginning does not show, and takes six times as
    long. A file that is cut off, or has several scans, is decoded as a whole.
    """
    if header.scan is None:
        return data
    marker = _MARKER.search(data, header.scan)
    if marker is None or marker.group() != _END_OF_IMAGE:
        return data
    return data[: min(marker.start(), header.scan + _PROOF_BYTES)] + _END_OF_IMAGE


def _scale(width: int, height: int, limits: Limits) -> float:
    """The factor by which the sides must shrink to meet the provider's limits; 1 where they already do."""
    by_pixels = math.sqrt((limits.max_pixels or math.inf) / (width * height))
    by_side = (limits.max_side or math.inf) / max(width, height)
    return min(1.0, by_pixels, by_side)


def _reencoded(data: bytes, header: Header, scale: float, limits: Limits) -> Prepared:
    """The picture decoded, made as small as necessary, and encoded again.

    Raises:
        PictureError: it cannot be decoded, or no encoding fits.
    """
    full = decode(data, at_least=math.ceil(min(header.width, header.height) * scale))
    # Lossless where the original was: the model then sees the same pixels.
    if header.plain and header.format not in _LOSSY and _accepted("PNG", limits):
        lossless = _resized(full, header, scale, limits)
        if lossless.width * lossless.height <= MOST_LOSSLESS_PIXELS:
            encoded = _encoded(lossless, "PNG")
            if limits.max_bytes is None or len(encoded) <= limits.max_bytes:
                return Prepared(encoded, MIME_TYPES["PNG"])
    kind = "JPEG" if _accepted("JPEG", limits) else "PNG"
    while True:
        encoded = _encoded(_resized(full, header, scale, limits), kind)
        if limits.max_bytes is None or len(encoded) <= limits.max_bytes:
            return Prepared(encoded, MIME_TYPES[kind])
        # Bytes grow a little slower than pixels.
        scale *= min(SHRINK, SHRINK * math.sqrt(limits.max_bytes / len(encoded)))


def _resized(full: Pillow.Image, header: Header, scale: float, limits: Limits) -> Pillow.Image:
    """`full`, with the sides of `header` times `scale`, rounded down, so that no limit is exceeded."""
    sides = sorted((header.width, header.height), reverse=full.width > full.height)  # upright may be turned
    width, height = (max(1, math.floor(side * scale)) for side in sides)
    if min(width, height) < (limits.min_side or 1) or max(width, height) == 1:
        raise PictureError(
            f"the picture of {header.width:,} x {header.height:,} pixels cannot be made to fit what the provider accepts:"
            f" {_spelled(limits)}",
            ErrorClass.TOO_LARGE,
        )
    return full if (width, height) == full.size else full.resize((width, height), Pillow.Resampling.LANCZOS)


def _spelled(limits: Limits) -> str:
    named = {
        "bytes at most": limits.max_bytes,
        "pixels at most": limits.max_pixels,
        "pixels a side at least": limits.min_side,
        "pixels a side at most": limits.max_side,
    }
    return ", ".join(f"{value:,} {what}" for what, value in named.items() if value is not None)


def _encoded(image: Pillow.Image, kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "JPEG":
        image.save(out, kind, quality=JPEG_QUALITY, subsampling=0)
    else:
        image.save(out, kind)
    return out.getvalue()
