"""What a notebook shows: hits as a grid of pictures, a collection as a card.

The HTML is one piece: pictures are data URIs, nothing is fetched, nothing is run. Colours are the notebook's own or a
transparent grey, and all style is inline: so it fits light and dark themes, and pages that strip style sheets.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image

from pinakes.errors import PictureError, SourceError
from pinakes.images.decoding import decode
from pinakes.query.filters import write_filters
from pinakes.query.query import Crop, Query
from pinakes.search.answer import Hit, SearchPlan
from pinakes.search.query_vector import cut_out
from pinakes.sources.reading import read_uri
from pinakes.store.facets import Facets
from pinakes.store.space_registry import RegisteredSpace

LONG_SIDE = 220
"""Pixels of a thumbnail: a little more than a card's, and about 6 kB."""

QUALITY = 66

MAX_SHOWN = 60
"""Hits of a grid; the rest is counted."""

MAX_BYTES = 1_500_000
"""Characters of a grid: notebooks keep it in their file."""

READERS = 4
"""Pictures that are read at a time: they may be far away, and a large one takes memory."""

_CARD = 170
_FIELD = 150
_CARD_FACETS = 3
_QUIET = "opacity:.68;font-size:12px;line-height:1.35"
_FRAME = "background:rgba(128,128,128,.16);border-radius:4px"


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as a data URI with its height in its width, or the reason why there is none."""

    uri: str = ""
    shape: float = 0.65
    reason: str = ""


def grid(query: Query, plan: SearchPlan, hits: Sequence[Hit], asked_pictures: Sequence[Shown], more: bool) -> str:
    """The hits of a search.

    Args:
        query: what was asked.
        plan: how it was answered.
        hits: in their order.
        asked_pictures: those that the query was about.
        more: whether there is a further page.
    """
    head = _head(query, plan_line(plan, len(hits), more), plan.notes, asked_pictures)
    with ThreadPoolExecutor(READERS, thread_name_prefix="pinakes-thumbnails") as pool:
        pictures = list(pool.map(lambda hit: thumbnail(hit.uri), hits[:MAX_SHOWN]))
    # As high as the highest of them, so that they stand on one line without an empty band above.
    field = min(_FIELD, max((round(_CARD * picture.shape) for picture in pictures), default=0))
    figures: list[str] = []
    size = len(head)
    for number, (hit, picture) in enumerate(zip(hits, pictures, strict=False), start=1):
        figure = _figure(number, hit, picture, field)
        size += len(figure)
        if size > MAX_BYTES:
            break
        figures.append(figure)
    left = len(hits) - len(figures)
    tail = f"{left:,} more of these hits are not shown; <code>.to_pandas()</code> has them all."
    foot = f'<p style="margin:8px 0 0;{_QUIET}">{tail}</p>' if left else ""
    cards = f'<div style="display:flex;flex-wrap:wrap;gap:16px 14px;align-items:flex-start">{"".join(figures)}</div>'
    return f"<div>{head}{cards}{foot}</div>"


def thumbnail(uri: str, crop: Crop | None = None) -> Shown:
    """A stored picture, reduced."""
    try:
        return thumbnail_of(read_uri(uri), crop)
    except SourceError as exc:
        return Shown(reason=str(exc))


def thumbnail_of(data: bytes, crop: Crop | None = None) -> Shown:
    """The picture in a file's bytes, reduced."""
    try:
        picture = decode(data if crop is None else cut_out(data, crop), at_least=LONG_SIDE)
    except PictureError as exc:
        return Shown(reason=str(exc))
    picture.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
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
    rows: list[tuple[str, ...]] = [("space", "dimension", "vectors", "index", "")]
    rows += [
        (s.name, f"{s.space.dimension:,}", f"{count:,}", s.index_kind or "none: exact", "active" if s.active else "")
        for s, count in counted
    ]
    cells = 'style="text-align:left;padding:2px 16px 2px 0;border:0;background:none"'
    table = "".join(
        "<tr>" + "".join(f"<{tag} {cells}>{_text(value)}</{tag}>" for value in row) + "</tr>"
        for tag, row in zip(["th", *["td"] * len(counted)], rows, strict=True)
    )
    return (
        f'<div style="border:1px solid rgba(128,128,128,.35);border-radius:6px;padding:10px 16px;max-width:60em">'
        f'<div style="font-size:18px"><b>{_text(name)}</b></div>{"".join(f"<div>{_text(line)}</div>" for line in lines)}'
        f'<table style="margin:8px 0 0;border-collapse:collapse;{_QUIET}">{table}</table></div>'
    )


def asked_line(query: Query) -> str:
    """What was asked, in a line."""
    conditions = write_filters(query.filters)
    return f"{query.label}, where {', '.join(conditions)}" if conditions else query.label


def plan_line(plan: SearchPlan, hits: int, more: bool) -> str:
    """How a search was answered, in a line."""
    counted = f"{hits:,} {'hit' if hits == 1 else 'hits'}"
    said = [f"{counted}, more with .next()" if more else counted, plan.mode]
    if plan.scanned:
        said.append(f"{plan.scanned:,} compared")
    said.append(f"{plan.milliseconds:.0f} ms")
    return " · ".join([*said, *filter(None, [plan.space])])


def caption(hit: Hit) -> tuple[str, str]:
    """A hit's title, and who made it when; an image without a title is called by its id."""
    known = [hit.metadata.get("author"), hit.metadata.get("date")]
    return str(hit.metadata.get("title") or hit.image_id), ", ".join(str(value) for value in known if value)


def _head(query: Query, answered: str, notes: Sequence[str], asked_pictures: Sequence[Shown]) -> str:
    pictures = "".join(
        f'<img src="{shown.uri}" alt="what was asked about" style="height:64px;width:auto;margin:0;border-radius:3px">'
        for shown in asked_pictures
        if shown.uri
    )
    words = f'<div style="font-size:16px"><b>{_text(_cut(asked_line(query), 300))}</b></div>'
    quiet = "".join(f'<div style="{_QUIET}">{_text(line)}</div>' for line in (answered, *notes))
    row = "display:flex;gap:10px;align-items:center;margin:4px 0 12px"
    return f'<div style="{row}">{pictures}<div>{words}{quiet}</div></div>'


def _figure(number: int, hit: Hit, shown: Shown, field: int) -> str:
    title, made = caption(hit)
    alt = _text(f"{title}, {made}" if made else title)
    place = f"display:block;width:{_CARD}px;height:{field}px;margin:0"
    if shown.uri:
        picture = f'<img src="{shown.uri}" alt="{alt}" style="{place};object-fit:contain;object-position:left bottom">'
    else:
        picture = (
            f'<div role="img" aria-label="{alt}: no picture" style="{place};{_FRAME};box-sizing:border-box;padding:8px;'
            f'overflow:hidden;overflow-wrap:anywhere;font-size:11px;line-height:1.3">{_text(_cut(shown.reason, 200))}</div>'
        )
    distance = "" if hit.distance is None else f" · {hit.distance:.3f}"
    return (
        f'<figure style="margin:0;width:{_CARD}px">{picture}'
        f'<figcaption title="{_text(hit.image_id)}" style="margin-top:5px;text-align:left;overflow-wrap:anywhere">'
        f'<div style="font-size:13px;line-height:1.3">{_text(_cut(title, 80))}</div>'
        f'<div style="{_QUIET}">{_text(_cut(made, 60))}</div><div style="{_QUIET}">{number}{distance}</div>'
        f"</figcaption></figure>"
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _text(value: str) -> str:
    """`value` as HTML text or the value of an attribute, on one line, without what HTML does not allow."""
    printable = "".join(c if c.isprintable() else " " for c in value)
    return html.escape(" ".join(printable.split()))
