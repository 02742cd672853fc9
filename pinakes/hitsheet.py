"""The contact sheet of a search: the query first, then the hits in order."""

from __future__ import annotations

import logging

from PIL import Image

from pinakes.errors import PictureError, SourceError
from pinakes.pictures import decode
from pinakes.search import Hit, SearchResult
from pinakes.sheet import Card, contact_sheet
from pinakes.sources.reading import read_uri

logger = logging.getLogger(__name__)

THUMBNAIL = 640
"""Pixels on the short side that a picture is decoded at: enough for any card of a sheet."""


def sheet_of(asked: str, picture: bytes | None, result: SearchResult) -> Image.Image:
    """Draw a search.

    Args:
        asked: the query in words, or the name of what was asked about.
        picture: the bytes of the picture that was asked about, if one was.
        result: what was found; a picture that cannot be read any more is shown as a placeholder.
    """
    query = Card(decode(picture, at_least=THUMBNAIL) if picture is not None else None, asked, note="query")
    plan = result.plan
    return contact_sheet(
        [_card(number, hit) for number, hit in enumerate(result.hits, start=1)],
        heading=asked,
        subheading=f"{plan.mode} · {plan.milliseconds:.0f} ms · {plan.embedder}",
        query=query,
    )


def _card(number: int, hit: Hit) -> Card:
    distance = "" if hit.distance is None else f" · {hit.distance:.3f}"
    return Card(
        picture_of(hit),
        title=str(hit.metadata.get("title") or hit.image_id),
        subtitle=str(hit.metadata.get("author") or ""),
        note=f"{number}{distance}",
    )


def picture_of(hit: Hit) -> Image.Image | None:
    """The picture of a hit, reduced; None, with a line in the log, when it cannot be read."""
    try:
        return decode(read_uri(hit.uri), at_least=THUMBNAIL)
    except (SourceError, PictureError) as exc:
        logger.warning("%s is shown without its picture: %s", hit.image_id, exc)
        return None
