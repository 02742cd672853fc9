"""Pictures that take as much memory as is allowed, and a little more, in files of at most a few megabytes.

`python -m tests.bombs FOLDER` paints them, in a process of its own, since painting some takes as much memory.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests import pictures as make
from tests.unit.test_decoding_bounds import many_scans, one_colour_webp

GREY = 0x55


def deflated(rows: int, row: bytes) -> bytes:
    """Equal rows, compressed without ever being in memory together."""
    packer = zlib.compressobj(1)
    return b"".join([*(packer.compress(row) for _ in range(rows)), packer.flush()])


def png(side: int, colour_type: int, pixel: bytes, extra: dict[bytes, bytes] | None = None) -> bytes:
    """A whole PNG of one colour."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, colour_type, 0, 0, 0))
    middle = b"".join(chunk(name, body) for name, body in (extra or {}).items())
    data = chunk(b"IDAT", deflated(side, b"\0" + pixel * side))
    return b"\x89PNG\r\n\x1a\n" + head + middle + data + chunk(b"IEND", b"")


def tiff(side: int) -> bytes:
    """RGB in one strip, compressed with deflate."""
    data = deflated(side, bytes([GREY]) * (3 * side))
    return make.tiff({259: (3, 8), 262: (3, 2), 277: (3, 3)}, data, (side, side))


def saved(mode: str, kind: str, **options: object) -> Callable[[int], bytes]:
    """A picture of one colour as Pillow writes it."""
    return lambda side: make.saved(
        Image.new(mode, (side, side), (GREY,) * len(mode) if len(mode) > 1 else GREY), kind, **options
    )


PALETTE = {b"PLTE": bytes(range(30)), b"tRNS": bytes([9])}
KINDS: dict[str, tuple[Callable[[int], bytes], int, int]] = {
    "png-rgba": (lambda side: png(side, 6, bytes([GREY] * 4)), 12_500, 13_000),
    "png-palette": (lambda side: png(side, 3, b"\3", PALETTE), 13_300, 13_500),
    "webp": (lambda side: one_colour_webp(side, side), 5_700, 6_000),
    "gif": (saved("P", "GIF"), 13_300, 13_500),
    "tiff": (tiff, 9_600, 10_000),
    "jpeg2000": (saved("RGB", "JPEG2000", num_resolutions=1, irreversible=True, quality_layers=[100]), 5_300, 5_700),
    "avif": (saved("RGB", "AVIF", speed=10, subsampling="4:4:4"), 5_400, 5_700),
    "progressive": (saved("RGB", "JPEG", progressive=True, subsampling=0), 10_200, 10_700),
}
"""How one is painted, and its sides just below and just above what is allowed."""


def paint(folder: Path) -> None:
    """All of them: KIND-below, KIND-above, and a JPEG whose scans take a minute of a processor."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (painted, below, above) in KINDS.items():
        for what, side in (("below", below), ("above", above)):
            (folder / f"{name}-{what}").write_bytes(painted(side))
    (folder / "endless").write_bytes(many_scans((6000, 4000), 150_000))


if __name__ == "__main__":
    paint(Path(sys.argv[1]))
