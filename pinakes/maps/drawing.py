"""Sheets of small pictures, from which a page draws a map."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Sequence

from PIL import Image

from pinakes.sources.thumbnails import SIZES, DiskCache, Thumbnail, Thumbnails
from pinakes.types import ErrorClass

TILE = 40
"""Pixels of a small picture, which fills a square."""

ACROSS = 50
"""Small pictures in a row of a sheet, and rows of a sheet: 2,000 pixels, which every browser can hold."""

PER_SHEET = ACROSS * ACROSS

MAX_BYTES = 200 << 20
"""Most bytes of all sheets together: those of 50,000 pictures take about 25 MB."""

QUALITY = 75

MISSING = "#8a867e"
"""The colour of a picture that has no thumbnail."""

INCOMPLETE = "-incomplete"
"""Ends the names of kept sheets that lack pictures that could not be read; they are made again the next time."""

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
        """A sheet as JPEG, and whether it is whole; no thumbnail is made for it, and a picture without one is left grey."""
        part, key = _part(shown, number)
        if (kept := self._kept.get(key)) is not None:
            return kept, True
        if (kept := self._kept.get(key + INCOMPLETE)) is not None:
            return kept, False
        data, whole = _drawn(part, lambda fingerprint, _uri: self._thumbnails.kept(fingerprint, SIZES[0]))
        if whole:
            self._kept.put(key, data)
        return data, whole

    def make(self, shown: Shown, number: int) -> None:
        """Make and keep a sheet, with every thumbnail that it needs."""
        part, key = _part(shown, number)
        if self._kept.get(key) is None:
            data, whole = _drawn(part, lambda fingerprint, uri: self._thumbnails.of(fingerprint, uri, SIZES[0]))
            # Also where a picture could not be read, or the page would draw the sheet again for each visitor.
            self._kept.put(key if whole else key + INCOMPLETE, data)


def _part(shown: Shown, number: int) -> tuple[Shown, str]:
    """The pictures of a sheet, and the name that the sheet is kept under."""
    part = shown[number * PER_SHEET : (number + 1) * PER_SHEET]
    # Named by what is on it: a sheet of other pictures, or in another order, is another file, and none goes out of date.
    return part, hashlib.sha256("\n".join(fingerprint for fingerprint, _ in part).encode()).hexdigest()[:32]


def _drawn(part: Shown, thumbnail: Callable[[str, str], Thumbnail | None]) -> tuple[bytes, bool]:
    """A sheet as JPEG, and whether no picture is missing that may have a thumbnail later."""
    whole = True
    sheet = Image.new("RGB", (ACROSS * TILE, -(-len(part) // ACROSS) * TILE), MISSING)
    for place, (fingerprint, uri) in enumerate(part):
        found = thumbnail(fingerprint, uri)
        if found is None or (found.placeholder is not None and not ErrorClass(found.placeholder).final):
            whole = False
        elif found.placeholder is None:
            row, column = divmod(place, ACROSS)
            with contextlib.closing(_tile(found.data)) as tile:
                sheet.paste(tile, (column * TILE, row * TILE))
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=QUALITY)
    return out.getvalue(), whole


def _tile(data: bytes) -> Image.Image:
    """The middle of a picture as a square."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.draft("RGB", (TILE, TILE))  # decodes a JPEG at a fraction of its size
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        return picture.convert("RGB").resize(
            (TILE, TILE), Image.Resampling.BILINEAR, (left, top, left + side, top + side), reducing_gap=2.0
        )
