"""Sheets of small pictures, from which a map is drawn."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Sequence

from PIL import Image

from pinakes.sources.thumbnails import SIZES, DiskCache, Thumbnail, Thumbnails

TILE = 40
"""Pixels of a small picture, which fills a square."""

ACROSS = 50
"""Small pictures in a row of a sheet, and rows of a sheet: 2,000 pixels, which every browser can hold."""

PER_SHEET = ACROSS * ACROSS

MAX_BYTES = 200 << 20
"""Of all sheets: those of 50,000 pictures take about 25 MB."""

QUALITY = 75

MISSING = "#8a867e"
"""The colour of a picture that has no thumbnail yet."""

Shown = Sequence[tuple[str, str]]
"""(fingerprint, uri) of pictures."""


class Sheets:
    """The sheets of a map.

    Args:
        thumbnails: where small pictures come from.
        kept: where finished sheets are.
    """

    def __init__(self, thumbnails: Thumbnails, kept: DiskCache) -> None:
        self._thumbnails = thumbnails
        self._kept = kept

    def sheet(self, shown: Shown, number: int) -> tuple[bytes, bool]:
        """A sheet as JPEG, and whether it is whole; pictures without a thumbnail are left grey, since none is made here."""
        return self._drawn(shown, number, lambda fingerprint, _uri: self._thumbnails.kept(fingerprint, SIZES[0]))

    def make(self, shown: Shown, number: int) -> None:
        """Make and keep a sheet, with every thumbnail that it needs."""
        self._drawn(shown, number, lambda fingerprint, uri: self._thumbnails.of(fingerprint, uri, SIZES[0]))

    def _drawn(
        self, shown: Shown, number: int, thumbnail: Callable[[str, str], Thumbnail | None]
    ) -> tuple[bytes, bool]:
        part = shown[number * PER_SHEET : (number + 1) * PER_SHEET]
        key = hashlib.sha256("\n".join(fingerprint for fingerprint, _ in part).encode()).hexdigest()[:32]
        if (known := self._kept.get(key)) is not None:
            return known, True
        whole = True
        sheet = Image.new("RGB", (ACROSS * TILE, -(-len(part) // ACROSS) * TILE), MISSING)
        for place, (fingerprint, uri) in enumerate(part):
            found = thumbnail(fingerprint, uri)
            if found is None:
                whole = False
            elif found.placeholder is None:
                row, column = divmod(place, ACROSS)
                with contextlib.closing(_tile(found.data)) as tile:
                    sheet.paste(tile, (column * TILE, row * TILE))
        out = io.BytesIO()
        sheet.save(out, "JPEG", quality=QUALITY)
        if whole:
            self._kept.put(key, out.getvalue())
        return out.getvalue(), whole


def _tile(data: bytes) -> Image.Image:
    """The middle of a picture as a square."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.draft("RGB", (TILE, TILE))
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        return picture.convert("RGB").resize(
            (TILE, TILE), Image.Resampling.BILINEAR, (left, top, left + side, top + side), reducing_gap=2.0
        )
