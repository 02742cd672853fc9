"""Decoding pictures: any raster file in, an upright sRGB picture out, or the reason why not.

This is the one way from a file to a picture, for ingest, page, thumbnails and sheets alike, so memory and time are bounded
here. `pinakes.images.cost` computes from the header what a picture takes. One that takes too much is refused, and ordinary
ones are decoded in this process. One that takes much memory, or may take endless time, is decoded in a process of its own
(`pinakes.images.apart`), which costs a third of a second more and can be ended when its time is up.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from functools import lru_cache
from math import ceil

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from pinakes.errors import PictureError
from pinakes.images import apart, cost, transparency
from pinakes.images.formats import HEAD_BYTES, other_kind, sniff
from pinakes.images.turns import Turns, give_memory_back
from pinakes.types import ErrorClass

MAX_PIXELS = 178_956_970
"""Twice Pillow's `MAX_IMAGE_PIXELS`, where Pillow itself refuses. Most formats reach `cost.MAX_BYTES` before."""

_here = Turns(2 * cost.MAX_BYTES_HERE)
_elsewhere = Turns(cost.MAX_BYTES)
"""Memory of the pictures that are being decoded. Two budgets, so that large pictures never hold up the ordinary ones."""

_GIVE_BACK_BYTES = 16 << 20
"""After a picture that took more, the C library is told to give free memory back to the machine: by itself it keeps it."""

_DECODERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
}
"""The decoders are called directly and not through `Image.open`, which warns on stderr about large pictures before
its caller can see their size, and hides a decoder's own reason behind "cannot identify"."""

DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,  # a TIFF tag of the wrong type
    EOFError,
    IndexError,
    RuntimeError,  # AVIF
    struct.error,
    zlib.error,
    Image.DecompressionBombError,  # beyond `MAX_PIXELS`, which is its limit
)
"""What Pillow's decoders raise over damaged bytes; found by damaging files of every format."""

_BREAKS_OFF = re.compile(r"truncated|EOF|not enough|only got", re.IGNORECASE)
_NOT_HANDLED = re.compile(
    r"unknown (pixel mode|data organization)|unsupported|(?<!' )not supported|cannot handle|No codec"
)
_JARGON = re.compile(r"literal|unpack|index|decoder error|object|instances|identified|NoneType|argument|SEQUENCE")
"""Messages of Pillow and Python that mean nothing to a person."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation (tag 0x0112) to what undoes it."""

# Damaged EXIF blocks and pictures of more than 89 megapixels are judged here; Pillow would also print them to stderr.
# Once for the process: `warnings.catch_warnings` is not safe among threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode(data: bytes, *, at_least: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture in `data`: upright, sRGB, mode "RGB", the first frame, transparency over white.

    Args:
        data: a whole file.
        at_least: the caller needs only about this many pixels on the short side; a JPEG is then decoded at
            the smallest of 1/8, 1/4, 1/2 and full scale that still has them.
        max_pixels: a picture with more (width x height in its header) is refused before it is decoded.

    Raises:
        PictureError: it cannot be decoded; `error_class` is EMPTY, UNDECODABLE, TOO_MANY_PIXELS, UNSUPPORTED, or
            INTERNAL where memory ran out.
        BusyError: too many others are being decoded, and `WAITING` sets a limit to waiting.
        LeftError: nobody waits for it any more.
    """
    picture, work = _weighed(data, at_least, max_pixels)
    if not work.apart:
        with _here.turn(work.size):
            made = _decoded(picture, data, work)
        if work.size > _GIVE_BACK_BYTES:
            give_memory_back()
        return made
    del picture  # the other process has its own, and the turn may be minutes away
    with _elsewhere.turn(work.size + len(data) + apart.PROCESS_BYTES):
        return apart.decode(data, at_least, max_pixels)


def decode_within(data: bytes, at_least: int | None, max_pixels: int) -> Image.Image:
    """`decode` in this process, whatever it takes: for a process of its own.

    Raises:
        PictureError: as `decode`.
    """
    picture, work = _weighed(data, at_least, max_pixels)
    return _decoded(picture, data, work)


def _weighed(data: bytes, at_least: int | None, max_pixels: int) -> tuple[ImageFile.ImageFile, cost.Cost]:
    """A picture with its header read, and what decoding it takes.

    Raises:
        PictureError: it takes too much, or the header is not that of a picture.
    """
    picture = with_header(data)
    width, height = picture.size
    if width * height > max_pixels:
        raise PictureError(
            f"{width:,} x {height:,} pixels are {width * height:,}; the limit is {max_pixels:,}",
            ErrorClass.TOO_MANY_PIXELS,
        )
    try:
        if isinstance(picture, TiffImagePlugin.TiffImageFile) and _is_camera_raw(picture):
            raise PictureError("this is a camera raw file, which cannot be decoded", ErrorClass.UNSUPPORTED)
        work = cost.prepare(picture, data, at_least)
    except DAMAGE as exc:
        raise _damaged(exc, data) from exc
    if work.size > cost.MAX_BYTES:
        raise PictureError(
            f"{width:,} x {height:,} pixels of this kind ({picture.format}, {picture.mode}) would take"
            f" {work.size >> 20:,} MB of memory to decode; the limit is {cost.MAX_BYTES >> 20} MB; make the picture smaller",
            ErrorClass.TOO_MANY_PIXELS,
        )
    return picture, work


def _decoded(picture: ImageFile.ImageFile, data: bytes, work: cost.Cost) -> Image.Image:
    width, height = picture.size
    try:
        return upright_srgb(picture, work.shrink)
    except MemoryError as exc:
        raise PictureError(
            f"this machine lacks the memory to decode {width:,} x {height:,} pixels", ErrorClass.INTERNAL
        ) from exc
    except DAMAGE as exc:
        raise _damaged(exc, data) from exc


def upright_srgb(picture: Image.Image, shrink: int = 1) -> Image.Image:
    """A picture that Pillow has opened or made, in the form that `decode` gives. It raises `DAMAGE` as Pillow does."""
    transparency.load(picture)
    # Read after loading: Pillow itself turns a TIFF upright while it loads it, and then removes the orientation.
    upright = _UPRIGHT.get(orientation(picture))
    rgb = _srgb(picture, shrink)
    if upright is not None:
        rgb = rgb.transpose(upright)
    rgb.info = {}  # a profile or a transparent colour that has been applied must not be applied again
    return rgb


def thumbnail_jpeg(data: bytes, *, long_side: int, quality: int = 85) -> bytes:
    """A JPEG of the picture in `data` with at most `long_side` pixels on its long side; never enlarged.

    Raises:
        PictureError: as `decode`.
    """
    picture = decode(data, at_least=long_side)
    # With a gap of 2, Pillow first shrinks by whole factors, which is much faster and cannot be seen.
    picture.thumbnail((long_side, long_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()


def with_header(data: bytes) -> ImageFile.ImageFile:
    """The decoder of `data` with its header read (`format`, `size`, `mode`), nothing decoded yet.

    Raises:
        PictureError: there is no header of a picture; `error_class` is EMPTY, UNSUPPORTED, TOO_MANY_PIXELS or UNDECODABLE.
    """
    if not data:
        raise PictureError("the file is empty (0 bytes)", ErrorClass.EMPTY)
    head = data[:HEAD_BYTES]
    name = sniff(head)
    if name is None:
        kind = other_kind(head)
        if kind:
            raise PictureError(f"this is {kind}, which cannot be decoded", ErrorClass.UNSUPPORTED)
        raise PictureError(f"this is not a picture but {_what_else(head)}", ErrorClass.UNDECODABLE)
    try:
        return _DECODERS[name](io.BytesIO(data))
    except DAMAGE as exc:
        raise _damaged(exc, data) from exc


def _is_camera_raw(picture: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether the first page of a TIFF is the preview of a DNG, NEF or ARW."""
    reduced_page, dng_version = 1, 50706
    return dng_version in picture.tag_v2 or picture.tag_v2.get(254) == reduced_page


def orientation(picture: Image.Image) -> int:
    """The EXIF orientation 1 to 8; 1 if the EXIF block is damaged."""
    try:
        value = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except (*DAMAGE, KeyError):
        return 1
    return value if isinstance(value, int) else 1


def _srgb(picture: Image.Image, shrink: int) -> Image.Image:
    """`picture` as sRGB over white, its sides divided by `shrink`; a large one is converted in bands."""
    deep = picture.mode.startswith("I;16") or picture.mode in {"I", "F"}
    colour, alpha = _eight_bits(picture) if deep else (picture, None)
    profile = picture.info.get("icc_profile")
    # A band holds whole blocks of `shrink` rows: a block that was split would be averaged in two parts.
    bands = cost.bands(colour.size, shrink)
    if len(bands) == 1 and shrink == 1:
        return _band(colour, alpha, profile)
    made = Image.new("RGB", (ceil(colour.width / shrink), ceil(colour.height / shrink)))
    for box in bands:
        band = _band(colour.crop(box), None if alpha is None else alpha.crop(box), profile)
        made.paste(band.reduce(shrink) if shrink > 1 else band, (0, box[1] // shrink))
    return made


def _band(picture: Image.Image, alpha: Image.Image | None, profile: object) -> Image.Image:
    """A picture of 8 bits a channel, or a part of one, as sRGB over white."""
    colour = picture
    if alpha is None:
        colour, alpha = _colour_and_alpha(picture)
    transform = _transform(profile, colour.mode) if isinstance(profile, bytes) and profile else None
    rgb = colour.convert("RGB") if transform is None else transform.apply(colour)
    if alpha is None:
        return rgb
    # The picture is laid on white only after the conversion, so that the white is that of sRGB.
    white = Image.new("RGB", rgb.size, "white")
    white.paste(rgb, mask=alpha)
    return white


def _colour_and_alpha(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """`picture` as L, RGB, CMYK or LAB of 8 bits a channel, and its alpha as L."""
    image: Image.Image = picture
    if picture.has_transparency_data:
        image = picture.convert("LA" if picture.mode in {"1", "L", "La", "LA"} else "RGBA")
    elif picture.mode == "1":
        image = picture.convert("L")
    elif picture.mode not in {"L", "RGB", "CMYK", "LAB"}:
        image = picture.convert("RGB")
    if image.mode in {"RGBA", "LA"}:
        return image.convert(image.mode[:-1]), image.getchannel("A")
    return image, None


def _eight_bits(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Grey of more than 8 bits as L, and its alpha.

    Pillow's own conversion clips at 255, which leaves nearly all of a 16-bit picture white.
    """
    bits, signed, inverted = 16, False, False
    # BitsPerSample, SampleFormat (2: signed) and PhotometricInterpretation (0: zero is white); only TIFF has a choice.
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        bits = picture.tag_v2.get(258, (16,))[0]
        signed = picture.tag_v2.get(339, (1,))[0] == 2
        inverted = picture.tag_v2.get(262) == 0
    white = float(2 ** (bits - signed) - 1)
    if picture.mode == "F":
        # 1.0 is white by convention; where the values go beyond it, the largest is.
        bands = (np.asarray(picture.crop(box)) for box in cost.bands(picture.size))
        white = max(1.0, *(float(np.nan_to_num(band, posinf=0.0).max()) for band in bands))
    clear = picture.info.get("transparency")
    grey = Image.new("L", picture.size)
    alpha = Image.new("L", picture.size, 255) if isinstance(clear, int) else None
    for box in cost.bands(picture.size):
        values = np.asarray(picture.crop(box))
        # Pillow's mode "I" is signed, also where the file's numbers are not.
        whole = values.view(np.uint32) if picture.mode == "I" and bits == 32 and not signed else values
        scaled = np.nan_to_num(whole.astype(np.float32)) * np.float32(255 / white)
        levels = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
        grey.paste(Image.fromarray(255 - levels if inverted else levels), box)
        if alpha is not None:
            alpha.paste(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)), box)
    return grey, alpha


# Pictures of one camera or scanner share a profile, and making a transform takes longer than applying it to a small picture.
@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From an embedded ICC profile to sRGB, or None if the profile is broken or for another mode."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        return ImageCms.ImageCmsTransform(source, target, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _what_else(head: bytes) -> str:
    """What a file that begins with `head` is, in a few words. Its bytes are never quoted: a list may name a private file."""
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page"
    return "text" if all(byte >= 32 or byte in b"\t\r\n" for byte in head) else "data of another kind"


def _damaged(exc: BaseException, data: bytes) -> PictureError:
    """Pillow's complaint about damaged bytes, in words for a person."""
    if isinstance(exc, Image.DecompressionBombError):
        return PictureError(f"the picture has more than {MAX_PIXELS:,} pixels", ErrorClass.TOO_MANY_PIXELS)
    text = str(exc)
    if _NOT_HANDLED.search(text):
        return PictureError(f"this kind of picture cannot be decoded ({text})", ErrorClass.UNSUPPORTED)
    if _BREAKS_OFF.search(text) or isinstance(exc, EOFError):
        why = f"the file is truncated: after {len(data):,} bytes its picture is not complete"
    elif not text or _JARGON.search(text):
        why = "the file is damaged: its picture data make no sense"
    else:
        why = f"the file is damaged ({text})"
    return PictureError(why, ErrorClass.UNDECODABLE)
