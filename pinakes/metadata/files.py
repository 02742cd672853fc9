"""Metadata files as lines of text: opened (gzip or not), their encoding detected, every bad byte reported with its line."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from pinakes.errors import MetadataError
from pinakes.files import open_regular

Encoding = Literal["utf-8", "cp1252"]

_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")

# After decoding with `surrogateescape`: what is not UTF-8 (neighbours may be one cut character), and what is.
_BAD_BYTES = re.compile("[\udc80-\udcff]+")
_OUTSIDE_ASCII = re.compile("[^\x00-\x7f\udc80-\udcff]")


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """The bytes of `path`, unpacked if they are gzip (the first two bytes decide, not the name).

    Raises:
        MetadataError: the file is missing, unreadable, or damaged gzip.
    """
    try:
        with open(path, "rb", opener=open_regular) as plain:
            packed = plain.read(2) == _GZIP_MAGIC
            plain.seek(0)
            if packed:
                with gzip.open(plain) as unpacked:
                    yield unpacked
            else:
                yield plain
    except (gzip.BadGzipFile, EOFError, zlib.error) as exc:
        raise MetadataError(f"the metadata file {path} is damaged gzip ({exc}); copy it again.") from exc
    except OSError as exc:
        fix = "; give each of its tables with a --metadata of its own" if isinstance(exc, IsADirectoryError) else ""
        raise MetadataError(f"the metadata file {path} cannot be read: {exc.strerror or exc}{fix}.") from exc


def detect_encoding(path: Path) -> Encoding:
    """UTF-8 when the whole file is valid UTF-8 (with or without a byte order mark), otherwise cp1252.

    Where some bytes are not UTF-8, the majority decides which of the two was meant: in real cp1252 text hardly any
    accented letter happens to form a UTF-8 sequence. The file is read once, line by line.

    Raises:
        MetadataError: the file is UTF-16, holds a NUL byte, or is UTF-8 with damaged bytes; the message names the
            line and the byte. Also what `open_bytes` raises.
    """
    marked = False
    valid = invalid = 0
    first_bad = ""
    with open_bytes(path) as stream:
        for number, raw in enumerate(stream, start=1):
            if number == 1:
                if raw.startswith(_UTF16_BOMS):
                    raise MetadataError(f"the metadata file {path} is UTF-16; save it as UTF-8.")
                marked = raw.startswith(_UTF8_BOM)
            if b"\0" in raw:
                raise MetadataError(
                    f"the metadata file {path} holds a NUL byte in line {number}, so it is not text in UTF-8 or cp1252;"
                    " save it as UTF-8."
                )
            if raw.isascii():
                continue
            text = raw.decode("utf-8", "surrogateescape")
            bad = _BAD_BYTES.findall(text)
            invalid += len(bad)
            valid += len(_OUTSIDE_ASCII.findall(text))
            first_bad = first_bad or (f"byte 0x{ord(bad[0][0]) - 0xDC00:02x} in line {number}" if bad else "")
    if not invalid:
        return "utf-8"
    if marked or valid >= invalid:
        raise MetadataError(
            f"the metadata file {path} looks like UTF-8, but {first_bad} is not UTF-8; save the whole file in UTF-8."
        )
    return "cp1252"


def read_lines(path: Path, encoding: Encoding) -> Iterator[tuple[int, str]]:
    r"""Each line of `path` as (number from 1, text without its `\n`); a byte order mark is taken away.

    Raises:
        MetadataError: a byte has no meaning in `encoding`; the message names the line, the byte and its column.
    """
    with open_bytes(path) as stream:
        for number, raw in enumerate(stream, start=1):
            data = raw.removeprefix(_UTF8_BOM) if number == 1 and encoding == "utf-8" else raw
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError as exc:
                raise MetadataError(
                    f"the metadata file {path}, line {number}: byte 0x{data[exc.start]:02x} at position {exc.start + 1}"
                    f" of the line is not defined in {encoding}; save the file as UTF-8."
                ) from exc
            yield number, text.removesuffix("\n")
