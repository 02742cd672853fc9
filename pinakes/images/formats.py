"""Which files are pictures, by the extension of the name and by the first bytes.

A name only decides whether a file is opened; its first bytes decide its format, so a JPEG called `x.png` is decoded as the
JPEG that it is.
"""

from __future__ import annotations

import re
from functools import lru_cache

HEAD_BYTES = 64
"""How many first bytes `sniff` and `other_kind` need."""

_DECODABLE = re.compile(r"jpe?g|jpe|jfif|mpo|a?png|gif|bmp|dib|tiff?|webp|p[bfgnp]m|avif|jp[2cfx]|j2[ck]")

_FOREIGN = re.compile(r"hei[cf]|hif|jxl|ps[bd]|dng|nef|cr[23w]|arw|orf|ra[fw]|rw2|pef|srw|3fr|iiq|tga|ico|pcx|exr|hdr")
"""Pictures that cannot be decoded: they are listed so that each is reported as a failure."""

_EXTENSION = re.compile(r"[A-Za-z0-9_+~-]{1,10}")
"""Anything else after a dot is a part of the name: `St. Jerome in his study`."""

_SIGNATURES: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("WEBP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    ("TIFF", re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+")),
    # "BM" alone also begins texts. The byte is the length of the next header, which has one of seven values.
    ("BMP", re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)),
    ("PPM", re.compile(rb"P[1-6](\s*#|\s+\d)|P[Ff]\s+\d")),
    # Files of the brands mif1 and msf1 may be HEIF or AVIF; the list of compatible brands that follows says which.
    ("AVIF", re.compile(rb".{4}ftyp(avif|avis|(mif1|msf1).{0,44}?avi[fs])", re.DOTALL)),
    ("JPEG2000", re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51")),
)

_CANON_RAW = re.compile(rb"II\*\0.{4}CR|.{4}ftypcrx ", re.DOTALL)

_FOREIGN_KINDS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    # `sniff` is asked before this list is, so a file of mif1 or msf1 is no AVIF here.
    ("a HEIF picture", re.compile(rb".{4}ftyp(hei|hev|mif1|msf1)", re.DOTALL)),
    ("a Canon raw file", _CANON_RAW),
    ("a camera raw file", re.compile(rb"FUJIFILMCCD-RAW|II(RO|RS|U\0)|MMOR")),
    ("a JPEG XL picture", re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n")),
    ("a Photoshop document", re.compile(rb"8BPS")),
    ("an OpenEXR picture", re.compile(rb"\x76\x2f\x31\x01")),
)

_DOCUMENT_KINDS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("an icon", re.compile(rb"\0\0[\1\2]\0")),
    ("PostScript", re.compile(rb"%!PS|\xc5\xd0\xd3\xc6")),
    ("a PDF document", re.compile(rb"%PDF-")),
    ("an SVG drawing", re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg[\s>]", re.DOTALL)),
)


def suffix(name: str) -> str:
    """The extension of `name` in lower case with its dot, or "" if it has none.

    Digits are not an extension: `Interior, c.1650` is a name without one.
    """
    return _extension(_after_dot(name))[0]


def suffix_reason(name: str) -> str | None:
    """Why a file of that name is skipped without being opened, or None if it may be a picture.

    A name without an extension may be a picture's; `head_reason` then decides.
    """
    return _extension(_after_dot(name))[1]


def _after_dot(name: str) -> str:
    """What follows the last dot of `name`; "" if there is none, or if the file's name begins with it (`.htaccess`)."""
    stem, _, ending = name.rpartition(".")
    return "" if not stem or stem.endswith("/") else ending


# A listing of a million names has only a few extensions.
@lru_cache(maxsize=256)
def _extension(ending: str) -> tuple[str, str | None]:
    """The extension that follows a name's last dot ("" if it is none), and why it is not that of a picture."""
    if not _EXTENSION.fullmatch(ending) or ending.isdigit():
        return "", None
    lower = ending.lower()
    if _DECODABLE.fullmatch(lower) or _FOREIGN.fullmatch(lower):
        return f".{lower}", None
    return f".{lower}", f"not an image by its name (.{lower})"


def sniff(head: bytes) -> str | None:
    """Pillow's name of the picture format that starts with `head`, among those that can be decoded; else None."""
    if _CANON_RAW.match(head):  # a TIFF by its first four bytes
        return None
    return next((name for name, pattern in _SIGNATURES if pattern.match(head)), None)


def other_kind(head: bytes) -> str | None:
    """The kind of file that starts with `head`, if it is a picture or a document that is never decoded; else None."""
    return next((kind for kind, pattern in _FOREIGN_KINDS + _DOCUMENT_KINDS if pattern.match(head)), None)


def head_reason(head: bytes) -> str | None:
    """Why a file without an extension that starts with `head` is no picture, or None if it is one."""
    if sniff(head) or any(pattern.match(head) for _, pattern in _FOREIGN_KINDS):
        return None
    return "not an image by its first bytes"
