"""The contact sheet of a search: the query first, then the hits in order."""

from __future__ import annotations

import logging

from PIL import Image

from pinakes.errors import PictureError, SourceError
from pinakes.images.contact_sheet import Card, contact_sheet
from pinakes.images.decoding import decode
from pinakes.query.query import Query
from pinakes.search.answer import Hit, SearchPlan, SearchResult
from pinakes.search.query_vector import cut_out
from pinakes.sources.reading import read_uri

logger = logging.getLogger(__name__)

THUMBNAIL = 640
"""Pixels on the short side that a picture is decoded at: enough for any card of a sheet."""


def sheet_of(query: Query, result: SearchResult) -> Image.Image:
    """A contact sheet of a search.

    Args:
        query: what was asked; the first picture among its parts is shown.
        result: what was found; a picture that cannot be read any more is shown as a placeholder.
    """
    asked = query.label
    data = next((cut_out(part.picture, part.crop) for part in query.parts if part.picture is not None), None)
    plan = result.plan
    how = plan.embedder if plan.by_words else f"{plan.mode} · {plan.milliseconds:.0f} ms · {plan.embedder}"
    return contact_sheet(
        [_card(number, hit, plan) for number, hit in enumerate(result.hits, start=1)],
        heading=asked,
        subheading=how,
        query=None if data is None else Card(decode(data, at_least=THUMBNAIL), asked, note="the picture asked about"),
    )


def _card(number: int, hit: Hit, plan: SearchPlan) -> Card:
    distance = "" if hit.distance is None or plan.fused else f"distance {hit.distance:.2f}"
    notes = [str(number), hit.marked, distance]
    return Card(
        picture_of(hit),
        title=hit.caption.title,
        subtitle=hit.caption.author,
        note=" · ".join(filter(None, notes)),
        credit=hit.caption.credit,
        frame=hit.region,
    )


def picture_of(hit: Hit) -> Image.Image | None:
    """The picture of a hit, reduced; None, with a line in the log, when it cannot be read."""
    try:
        return decode(read_uri(hit.uri), at_least=THUMBNAIL)
    except (SourceError, PictureError) as exc:
        logger.warning("%s is shown without its picture: %s", hit.image_id, exc)
        return None
