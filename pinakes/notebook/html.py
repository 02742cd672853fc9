"""The HTML that a notebook shows: hits as a grid of pictures, a collection as a card.

The HTML is self-contained: pictures are data URIs, nothing is fetched and no script runs. It takes its colours from the
notebook or uses a transparent grey, so it fits light and dark themes.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from pinakes.errors import PictureError, SourceError
from pinakes.images.decoding import decode
from pinakes.query.filters import write_filters
from pinakes.query.query import Crop, Query
from pinakes.search.answer import FOUND_BY_WORDS, Hit, SearchPlan
from pinakes.search.query_vector import cut_out
from pinakes.sources.reading import read_uri
from pinakes.store.facets import Facets
from pinakes.store.space_registry import RegisteredSpace

LONG_SIDE = 220
"""Pixels of a thumbnail: a little more than the card shows, and about 6 kB."""

QUALITY = 66

MAX_SHOWN = 60
"""Hits in a grid; the others are only counted."""

MAX_BYTES = 1_500_000
"""The largest grid, in characters: notebooks save it in their file."""

READERS = 4
"""Pictures that are read at once: they may be on a slow server, and a large one takes memory."""

_CARD_WIDTH = 170
_PICTURE_HEIGHT = 150
_CARD_FACETS = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as a data URI with the ratio of its height to its width, or the reason why there is none."""

    uri: str = ""
    shape: float = 0.65
    reason: str = ""


def grid(query: Query, plan: SearchPlan, hits: Sequence[Hit], asked_pictures: Sequence[Shown], more: bool) -> str:
    """The hits of a search.

    Args:
        query: the query.
        plan: how it was answered.
        hits: in their order.
        asked_pictures: the pictures of the query.
        more: whether there is a further page.
    """
    head = _parts.head(
        asked_line(query), [plan_line(plan, len(hits), more), *plan.notes, *first_hints(plan)], asked_pictures
    )
    with ThreadPoolExecutor(READERS, thread_name_prefix="pinakes-thumbnails") as pool:
        pictures = list(pool.map(lambda hit: thumbnail(hit.uri), hits[:MAX_SHOWN]))
    # All as high as the tallest one, so that the captions line up without an empty band above the pictures.
    height = min(_PICTURE_HEIGHT, max((round(_CARD_WIDTH * picture.shape) for picture in pictures), default=0))
    figures: list[str] = []
    size = len(head)
    for number, (hit, picture) in enumerate(zip(hits, pictures, strict=False), start=1):
        figure = _parts.figure(number, hit, plan, picture, _CARD_WIDTH, height)
        size += len(figure)
        if size > MAX_BYTES:  # the template counts the hits that are left out
            break
        figures.append(figure)
    return str(_parts.grid(head, figures, len(hits) - len(figures)))


def thumbnail(uri: str, crop: Crop | None = None) -> Shown:
    """A stored picture, reduced."""
    try:
        return thumbnail_of(read_uri(uri), crop)
    except SourceError as exc:  # one missing file must not hide the other hits
        return Shown(reason=str(exc))


def thumbnail_of(data: bytes, crop: Crop | None = None) -> Shown:
    """The picture in a file's bytes, reduced."""
    try:
        picture = decode(cut_out(data, crop), at_least=LONG_SIDE)
    except PictureError as exc:
        return Shown(reason=str(exc))
    picture.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    # WebP takes about two thirds of JPEG at this size, and all of it is saved with the notebook.
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=QUALITY, method=4)
    encoded = base64.b64encode(out.getvalue()).decode("ascii")
    return Shown(f"data:image/webp;base64,{encoded}", shape=picture.height / picture.width)


def collection_card(name: str, root: str, facets: Facets, counted: Sequence[tuple[RegisteredSpace, int]]) -> str:
    """A collection in a few lines and the table of its spaces.

    Args:
        name: the collection's.
        root: its source.
        facets: of all of it.
        counted: its spaces, each with how many current vectors it has.
    """
    lines = [f"{facets.total:,} {'image' if facets.total == 1 else 'images'} from {root}"]
    if facets.years is not None:
        lines.append("made in the years {} to {}".format(*facets.years))
    for facet in facets.columns[:_CARD_FACETS]:
        values = [f"{value} {count:,}" for value, count in facet.values]
        lines.append(f"{facet.column}: {' · '.join(values)}{' · …' if facet.more else ''}")
    return str(_parts.card(name, lines, counted))


def asked_line(query: Query) -> str:
    """The query in one line."""
    conditions = write_filters(query.filters)
    return f"{query.label}, where {', '.join(conditions)}" if conditions else query.label


def plan_line(plan: SearchPlan, hits: int, more: bool) -> str:
    """How a search was answered, in one line."""
    counted = f"{hits:,} {'hit' if hits == 1 else 'hits'}"
    phrases = [f"{counted}, more with .next()" if more else counted, FOUND_BY_WORDS if plan.by_words else plan.mode]
    if plan.scanned:
        phrases.append(f"{plan.scanned:,} compared")
    phrases.append(f"{plan.milliseconds:.0f} ms")
    return " · ".join([*phrases, *filter(None, [plan.space])])


def first_hints(plan: SearchPlan) -> Sequence[str]:
    """The hints of the first plan of this session that has any; of every other plan none."""
    # The plan is remembered, not only that hints were shown: a notebook makes the text of a result before its HTML, and
    # shows only the HTML.
    if plan.hints and not _hinting:
        _hinting.append(plan)
    return plan.hints if any(plan is first for first in _hinting) else ()


_hinting: list[SearchPlan] = []


def _plain(value: str, length: int | None = None) -> str:
    """`value` on one line, without characters that HTML does not allow, and cut to `length` characters."""
    text = " ".join("".join(c if c.isprintable() else " " for c in value).split())
    return text if length is None or len(text) <= length else text[: length - 1].rstrip() + "…"


_environment = Environment(
    loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_environment.filters["plain"] = _plain
_parts: Any = _environment.get_template("parts.html").module
"""The macros of the template as functions; they give markup that is not escaped a second time."""
