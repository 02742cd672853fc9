"""The shortlist: pictures that a visitor collects in the address, as a page, a sheet to print and a table."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from PIL import Image

from pinakes.images.contact_sheet import PAPER, Card, contact_sheet
from pinakes.sources.thumbnails import SIZES
from pinakes.store.images import Row
from pinakes.web import views
from pinakes.web.api import Served
from pinakes.web.pages import error_page, page
from pinakes.web.place import PLACE, link
from pinakes.web.service import Service

A4 = (1240, 1754)
DPI = 150
"""A4 at this resolution has `A4` pixels; a page takes 6.5 MB while the sheet is made."""

ROWS, COLUMNS = 3, 3
"""The pictures on a page of the sheet."""

router = APIRouter(include_in_schema=False)


@router.get("/shortlist")
def shortlist_page(service: Served) -> Response:
    """The pictures that the address keeps."""
    rows = _kept(service)
    return page(
        "shortlist.html",
        service,
        cards=[views.card(row) for row in rows],
        gone=len(PLACE.get().kept) - len(rows),
        saves=[(name, link(f"/shortlist.{kind}")) for kind, (name, _, _) in _kinds().items()],
        emptied=link("/shortlist", (), ()),
    )


@router.get("/shortlist.{kind}")
def shortlist_file(kind: str, request: Request, service: Served) -> Response:
    """The shortlist as a file."""
    if kind not in (kinds := _kinds()):
        return error_page(request, 404, f"the shortlist cannot be saved as {kind!r}.")
    _, media_type, written = kinds[kind]
    name = f'attachment; filename="{service.collection}-shortlist.{kind}"'
    return Response(written(service, _kept(service)), media_type=media_type, headers={"Content-Disposition": name})


def _kinds() -> dict[str, tuple[str, str, Callable[[Service, list[Row]], bytes]]]:
    """The files that can be made, by their suffixes: the text of the button, the media type, and the function."""
    kinds: dict[str, tuple[str, str, Callable[[Service, list[Row]], bytes]]] = {
        "pdf": ("PDF sheet", "application/pdf", _pdf),
        "csv": ("CSV", "text/csv; charset=utf-8", _csv),
    }
    # A button that cannot work is not shown.
    if importlib.util.find_spec("openpyxl") is not None:
        kinds["xlsx"] = ("Excel", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", _xlsx)
    return kinds


def _kept(service: Service) -> list[Row]:
    """The kept images that the collection has and shows."""
    return [row for image_id in PLACE.get().kept if (row := service.image(image_id)) is not None]


def _table(rows: list[Row]) -> list[list[Any]]:
    """A header, and a row for each picture: image_id, then its metadata. No text in it is a formula."""
    from pinakes.operations.export import not_a_formula  # takes half a second, and most visitors never save a table

    known = [{"image_id": row.image_id, **row.metadata} for row in rows]
    names = dict.fromkeys(["image_id", *(name for each in known for name in each)])
    shown = [name for name in names if name not in views.HIDDEN_COLUMNS]
    table: list[list[Any]] = [shown, *([each.get(name) for name in shown] for each in known)]
    return [[not_a_formula(value) for value in values] for values in table]


def _csv(_service: Service, rows: list[Row]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(_table(rows))
    # Excel reads a CSV file as UTF-8 only if it begins with a byte order mark.
    return text.getvalue().encode("utf-8-sig")


def _xlsx(service: Service, rows: list[Row]) -> bytes:
    from pinakes.metadata.excel import write_excel

    out = io.BytesIO()
    write_excel(out, _table(rows), title=service.collection[:31], frozen="B2")
    return out.getvalue()


def _pdf(service: Service, rows: list[Row]) -> bytes:
    out = io.BytesIO()
    with service.sheets.turn(1):  # one at a time: all pages are in memory until the file is written
        first, *others = _pages(service, rows)
        title = f"{service.collection}: shortlist"
        first.save(out, "PDF", resolution=DPI, save_all=True, append_images=others, title=title, producer="Pinakes")
    return out.getvalue()


def _pages(service: Service, rows: list[Row]) -> Iterator[Image.Image]:
    """The pages of the sheet, RGB, each of the size `A4`; one page if there is no picture."""
    per_page = ROWS * COLUMNS
    pages = max(1, -(-len(rows) // per_page))
    for number in range(pages):
        cards = [_card(service, row) for row in rows[number * per_page : (number + 1) * per_page]]
        counted = f"{len(rows):,} {'picture' if len(rows) == 1 else 'pictures'}, page {number + 1} of {pages}"
        heading = f"{service.collection.replace('_', ' ')}: shortlist"
        sheet = contact_sheet(cards, heading=heading, subheading=counted, columns=COLUMNS, width=A4[0])
        # A sheet is as high as its captions need; on paper all pages have one size.
        whole = Image.new("RGB", A4, PAPER)
        whole.paste(sheet)
        yield whole


def _card(service: Service, row: Row) -> Card:
    thumbnail = service.thumbnail_of(row, SIZES[1])
    picture = None if thumbnail.placeholder else Image.open(io.BytesIO(thumbnail.data))
    caption = row.caption
    return Card(picture, caption.title, caption.made, row.image_id, caption.credit)
