"""The page of copies: group by group, with the decisions that visitors may make. It works without a script."""

from __future__ import annotations

from itertools import islice
from typing import cast, get_args

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from pinakes.duplicates.decisions import Verdict
from pinakes.duplicates.groups import TWO_SIDES
from pinakes.errors import UsageError
from pinakes.store.images import Row
from pinakes.web import views
from pinakes.web.api import Served, in_utf8
from pinakes.web.pages import FORM_BYTES, SEE_OTHER, page
from pinakes.web.place import link
from pinakes.web.service import Service

GROUPS = 12
"""Groups on a page."""

MEMBERS = 50
"""The most pictures of a group that are shown. The buttons that decide about a whole group send the id of each."""

DECISIONS = 20
"""The latest decisions, which the page lists; the command line can withdraw any."""

KINDS = {
    "equal-bytes": "the same file",
    "re-encoded": "saved again",
    "resized": "in other sizes",
    "greyscale": "one without its colours",
    "colour-cast": "in other colours",
    "turned": "one turned or mirrored",
    "crop": "one a part of another",
    "same-work": "the same work, as somebody decided",
    TWO_SIDES: "two sides of a leaf, by their names",
}

UNREDUCED = 1 << 30
"""More pixels than any picture has on a side."""

VERDICTS = {"same": "are the same work", "different": "are not the same", "preferred": "is preferred"}

router = APIRouter(include_in_schema=False)


@router.get("/duplicates")
def duplicates_page(request: Request, service: Served) -> Response:
    """The groups after the one in the address."""
    sent = request.query_params
    found = service.duplicates((sent.get("after", ""), sent.get("pair") == "1"), GROUPS + 1)
    groups = []
    for members in found[:GROUPS]:
        cards = [(views.card(row), member, _size(service, row)) for member, row in members[:MEMBERS]]
        kind = members[0][0].kind
        groups.append(
            {
                "kind": KINDS.get(kind, kind),
                "copies": kind != TWO_SIDES,
                "members": cards,
                "count": len(members),
                "more": len(members) - len(cards),
            }
        )
    more = ""
    if len(found) > GROUPS:
        last = found[GROUPS - 1][0][0]
        more = link("/duplicates", [("after", last.work), *([("pair", "1")] if last.kind == TWO_SIDES else [])])
    # Lazily: each decision costs queries for its images, and a collection may have thousands of decisions.
    visible = (
        (decision, VERDICTS.get(decision.verdict, decision.verdict))
        for decision in service.decisions()
        if all(service.image(name) is not None for name in (decision.image_id, decision.other) if name)
    )
    return page(
        "duplicates.html",
        service,
        cards=groups,
        groups=groups,
        first=not sent.get("after"),
        more=more,
        here=[(name, sent[name]) for name in ("after", "pair") if sent.get(name)],
        decided=list(islice(visible, DECISIONS)),
        read_only=service.read_only,
    )


def _size(service: Service, row: Row) -> str:
    """Width and height in pixels, which help to choose the preferred picture; empty if they are not known."""
    width, height = service.size(row, UNREDUCED)
    return "" if width == UNREDUCED else f"{width:,} × {height:,} pixels"


def changing(service: Served) -> None:
    """A dependency of every route that changes something: it refuses if the page is read-only."""
    if service.read_only:
        raise HTTPException(403, "this page only shows the collection, and nothing can be changed here.")


@router.post("/duplicates", dependencies=[Depends(changing), Depends(in_utf8)])
async def decide(request: Request, service: Served) -> Response:
    """Keep a decision, and show the same page again."""
    async with request.form(max_files=0, max_fields=2 * MEMBERS, max_part_size=FORM_BYTES) as form:
        verdict = form.get("verdict")
        images = [value for value in form.getlist("image") if isinstance(value, str)]
        here = [(name, str(form[name])) for name in ("after", "pair") if form.get(name)]
    if verdict not in get_args(Verdict):
        raise UsageError(f"a decision is one of {', '.join(get_args(Verdict))}.")
    await run_in_threadpool(service.decide, cast("Verdict", verdict), images)
    return RedirectResponse(link("/duplicates", here), SEE_OTHER)  # a reload does not decide again
