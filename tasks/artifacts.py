"""What a run leaves in Prefect's UI: plan, progress, statuses, the provider's figures, failures, and a contact sheet.

Pictures go inline into Markdown; an artifact stays under 1 MB.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from PIL import Image
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from pinakes.errors import PictureError, SourceError
from pinakes.images.contact_sheet import Card, contact_sheet, to_jpeg_under
from pinakes.images.decoding import decode
from pinakes.ingest.plan import Plan
from pinakes.ingest.progress import Progress
from pinakes.ingest.run import Ingestion
from pinakes.ingest.summary import Outcome
from pinakes.store.images import stored_image
from tasks.stage import stage
from tasks.watching import OUTBOX, show_markdown, show_table

PICTURE_BYTES = 700_000
"""Of a picture inside an artifact of less than 1 MB: base64 adds a third."""

MAX_FAILURES = 100
"""Rows of the table of failures; `pinakes status --failures` has all of them."""

SHOWN = 12
"""Pictures on the contact sheet of a run."""

SHOWN_SIDE = 480

PROGRESS_SECONDS = 2.0
"""An update costs about 6 ms of the flow and some of the server's time; Prefect's pages ask no more often."""


@contextmanager
def shown_progress(progress: Progress) -> Iterator[Callable[[], None]]:
    """What shows the progress in the UI when called, at most every `PROGRESS_SECONDS`, and once more after the block."""
    if not progress.images:
        yield lambda: None
        return
    artifact: UUID | None = None
    last = time.monotonic()

    def send() -> None:
        nonlocal artifact
        share, line = 100 * progress.done / progress.images, progress.line()
        if artifact is None:
            created = create_progress_artifact(progress=share, key="progress", description=line)
            assert isinstance(created, UUID)
            artifact = created
        else:
            update_progress_artifact(artifact, progress=share, description=line)

    def show_now_and_then() -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_SECONDS:
            last = time.monotonic()
            OUTBOX.put("progress", send)

    OUTBOX.put("progress", send)  # the bar is there before the first batch has ended
    yield show_now_and_then
    OUTBOX.put("progress", send)


def show_plan(counts: Mapping[str, int], planned: Mapping[str, Any]) -> None:
    """Leave what the run is going to do, and what that takes."""
    named = {"calls": "calls", "cost": "USD", "price_per_image": "USD per image"}
    rows = dict(counts) | {named.get(what, what.replace("_", " ")): value for what, value in planned.items()}
    show_table(
        key="plan",
        table=_figures(rows, "listed", "calls"),
        description="What this run is going to do, before it does it",
    )


def _figures(rows: Mapping[str, Any], *always: str) -> list[dict[str, Any]]:
    """Names and values of what is not zero and is known, and of what is `always` shown."""
    return [
        {"what": what, "value": "–" if value is None else value}
        for what, value in rows.items()
        if value or what in always
    ]


@stage("report")
def report(run: Ingestion, outcome: Outcome, summary: dict[str, Any]) -> None:
    """Leave what the run did: statuses, how the provider answered, failures with their reasons, some of the pictures."""
    states = ("embedded", "reused", "failed", "skipped", "deferred", "listed")
    extra = ("calls", "duplicates", "vanished", "pruned", "rows_written", "seconds")
    show_table(
        key="statuses",
        table=[{"status": name, "count": summary[name]} for name in (*states, *extra)],
        description=f"The account of {summary['collection']} in {summary['space']}: the first five add up to listed",
    )
    show_table(
        key="provider",
        table=_provider(summary),
        description=f"How {summary['provider']['provider']} answered, and what it was planned to take and took",
    )
    show_table(
        key="failures",
        table=[{name: in_cell(value) for name, value in row.items()} for row in summary["failures"][:MAX_FAILURES]]
        # A table without a row would leave open whether nothing failed or nothing was shown.
        or [{"image_id": "–", "reason": "–", "message": "nothing failed"}],
        description=_how_many_failed(summary),
    )
    if summary["skipped"]:
        named = summary["skipped_entries"]
        show_table(
            key="skipped",
            table=named,
            description=f"Entries that are no pictures: {summary['skipped']:,}; "
            + ("all of them" if len(named) == summary["skipped"] else f"the first {len(named):,}")
            + " with their reasons",
        )
    sheet = _sheet(run, outcome.planned.plan)
    if sheet is not None:
        show_markdown(
            key="pictures",
            markdown=f"{inline(sheet)}\n",
            description="Some pictures of the collection",
        )


def _how_many_failed(summary: Mapping[str, Any]) -> str:
    failed = summary["failed"]
    if not failed:
        return "No picture failed"
    more = f"the first {MAX_FAILURES:,}, and {failed - MAX_FAILURES:,} more behind pinakes status --failures"
    which = more if failed > MAX_FAILURES else "all of them"
    return f"Pictures that failed: {failed:,}; {which} with their reasons"


def _provider(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Names and values: calls and money, planned and actual; then throughput, latency, 429s and retries."""
    planned, actual, figures = summary["planned"], summary["actual"], summary["provider"]
    timed = "time of a picture" if figures["in_flight"] is None else "latency of a request"
    rows = {
        "model": in_cell(figures["model"]),
        "calls planned": planned["calls"],
        "calls made": actual["calls"],
        "USD planned": planned["cost"],
        "USD spent": actual["cost"],
        "pictures embedded a second": figures["per_second"],
        f"{timed} p50, ms": figures["p50_ms"],
        f"{timed} p95, ms": figures["p95_ms"],
        "times over quota (429)": figures["rate_limited"],
        "retries": figures["retries"],
        "answers lost": figures["lost"],
        "requests in flight at the end": figures["in_flight"],
    }
    return _figures(rows, "calls planned", "calls made")


def plain(value: object) -> str:
    """A foreign text as one line of Markdown that shows it as it is: no link, no picture, no HTML, no new cell."""
    escaped = _MARKUP.sub(r"\\\g<0>", " ".join(str(value).split()))
    return _DOTTED.sub(r"\1\.", escaped)


def in_cell(value: object) -> str:
    """A foreign text in a table. One of Prefect's UIs reads it as Markdown, the other shows it literally.

    So only what could make a link, a picture or HTML is escaped.
    """
    return _LINKING.sub(r"\\\g<0>", str(value))


_LINKING = re.compile(r"(?i)[\\`\[\]<>&@]|:(?=//)|(?<=\bwww)\.")

_MARKUP = re.compile(r"[\\`*_{}\[\]()<>#|~&!:@^$]|^[-+=]")
"""What means something in Markdown: signs anywhere, and what begins a list or a heading."""

_DOTTED = re.compile(r"(?i)(\bwww|^\d+)\.")
"""What becomes a link by itself, and what begins a numbered list."""


def inline(picture: Image.Image) -> str:
    """A picture as Markdown that contains it."""
    return f"![pictures](data:image/jpeg;base64,{base64.b64encode(to_jpeg_under(picture, PICTURE_BYTES)).decode()})"


def _sheet(run: Ingestion, plan: Plan) -> Image.Image | None:
    """Pictures spread evenly over the listing; those that failed have none to show, and restricted ones stay hidden.

    Pictures that only the provider has read are left out: nothing is downloaded just for an artifact.
    """
    spread = plan.images[:: max(1, len(plan.images) // SHOWN)][:SHOWN]
    chosen = [image for image in spread if not run.embedder.reads_itself(image.uri)]
    stored = run.database.do(
        "reading the pictures of the sheet",
        lambda conn: [(image, stored_image(conn, run.request.collection, image.image_id)) for image in chosen],
    )
    cards = []
    for image, row in stored:
        if row is None:
            continue
        try:
            picture = decode(run.source.read(image), at_least=SHOWN_SIDE)
        except (PictureError, SourceError, OSError):
            continue  # it is in the table of failures, or has gone since
        title, author = (str(row.metadata.get(name) or "") for name in ("title", "author"))
        cards.append(Card(picture, title or image.image_id, author))
    if not cards:
        return None
    return contact_sheet(cards, heading=run.request.collection, subheading=f"{len(plan.images):,} pictures")
