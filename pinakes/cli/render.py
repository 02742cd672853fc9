"""What the terminal shows: tables that fit 80 columns."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinakes.search.answer import Hit, SearchResult

WIDTH = 80
LEAST_COLUMN = 16
"""If a table has a column that is never shortened, its columns up to this width are not shortened either: a date, a rate."""


def width_of(text: str) -> int:
    """Columns that a text takes in a terminal: wide characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """`text` on one line in at most `width` columns, ended by an ellipsis if it was longer."""
    text = " ".join(text.split())
    if width_of(text) <= width:
        return text
    kept = ""
    # Character by character, since a slice counts a wide character as one column.
    for character in text:
        if width_of(kept + character) > width - 1:
            break
        kept += character
    return kept.rstrip() + "…"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """`text` padded with spaces to `width` columns."""
    space = " " * max(0, width - width_of(text))
    return space + text if right else text + space


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[int] = (),
    whole: Sequence[int] = (),
    below: Iterable[Sequence[str]] = (),
) -> str:
    """Rows under a header, as wide as they need to be but within `WIDTH`: the widest columns are shortened.

    Args:
        header: the names of the columns.
        rows: cells, shown with `str`.
        right: numbers of the columns that are aligned to the right.
        whole: numbers of the columns that are never shortened, even past `WIDTH`: names that another command takes.
        below: for each row the lines under it, for texts that a cell has no room for.
    """
    # A line break in a title would tear its row apart.
    cells = [[" ".join(str(cell).split()) for cell in row] for row in rows]
    widths = [max(map(width_of, column)) for column in zip(header, *cells, strict=True)]
    room = WIDTH - 2 * (len(widths) - 1)
    elastic = [number for number in range(len(widths)) if number not in whole]
    least = LEAST_COLUMN if whole else 0
    # One column of the terminal at a time, so that the widest columns become equally wide.
    while sum(widths) > room and max(widths[number] for number in elastic) > least:
        widths[max(elastic, key=widths.__getitem__)] -= 1
    lines = [_line(header, widths, right), "  ".join("─" * width for width in widths)]
    for row, under in zip_longest(cells, below, fillvalue=()):
        lines += [_line(row, widths, right), *under]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    return "  ".join(
        pad(cut(cell, width), width, right=number in right)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()


def local_time(moment: str) -> str:
    """An ISO 8601 moment in this machine's time zone, to the minute."""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}"


def megabytes(size: int) -> str:
    """Bytes in units of 2^20."""
    return f"{size / 2**20:,.1f} MB"


def duration(seconds: float) -> str:
    """A length of time in a unit that is easy to grasp."""
    if seconds < 1:
        return "less than 1 s"
    for unit, name, most in ((1, "s", 120), (60, "min", 120), (3600, "h", 48)):
        if seconds < most * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:,.0f} days"


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values, one pair per line, with the values aligned."""
    shown = [(name, str(value)) for name, value in pairs]
    width = max((width_of(name) for name, _ in shown), default=0)
    return "\n".join(f"{pad(name, width)}  {value}" for name, value in shown)


def _compared(summary: dict[str, Any]) -> str:
    """For an embedder that costs money: planned against actual calls and cost, retries, and refusals over quota."""
    planned, actual = summary["planned"], summary["actual"]
    if not planned["price_per_image"]:
        return ""
    retries = f", {summary['retries']:,} retries, {summary['rate_limited']:,} times over quota"
    money = f", USD {actual['cost']:,.4f} (planned {planned['cost']:,.4f})"
    return f" (planned {planned['calls']:,}){money}{retries}"


def note(text: str) -> str:
    """A remark, wrapped to the terminal."""
    return textwrap.fill(f"note: {text}", WIDTH, subsequent_indent="      ", break_long_words=False)


def hits_table(result: SearchResult, *, first: int = 1, explain: bool = True) -> str:
    """The hits with title and author, and the plan that ran.

    Args:
        result: the hits.
        first: the number of the first of them.
        explain: whether to say what the embedder is, and how to phrase a better query.
    """
    plan = result.plan
    lines = []
    if result.hits:
        columns: dict[str, Callable[[Hit], str]] = {}
        # The hits of a fused search are in the order of their ranks: a column of distances would look like a mistake.
        if not plan.fused and any(hit.distance is not None for hit in result.hits):
            columns["distance"] = lambda hit: "–" if hit.distance is None else f"{hit.distance:.4f}"
        columns["title"] = lambda hit: hit.shown("title") or "–"
        columns["author"] = lambda hit: hit.shown("author") or "–"
        columns["image_id"] = lambda hit: hit.image_id
        if any(hit.region for hit in result.hits):
            columns["part (X,Y,W,H)"] = lambda hit: (
                ",".join(f"{side:g}" for side in hit.region) if hit.region else "whole"
            )
        rows = [
            (number, *(cell(hit) for cell in columns.values())) for number, hit in enumerate(result.hits, start=first)
        ]
        lines += [table(("", *columns), rows, right=(0, 1) if "distance" in columns else (0,)), ""]
        lines += [f"{number} is {hit.marked}" for number, hit in enumerate(result.hits, start=first) if hit.match]
    else:
        lines += ["nothing found", ""]
    pictures = "1 picture" if plan.matched_words == 1 else f"{plan.matched_words:,} pictures"
    if plan.by_words:
        lines.append(f"found by words of the catalogue: {pictures}, {plan.milliseconds:.0f} ms")
    else:
        how = [plan.mode]
        if plan.space:
            how.append(f"{plan.scanned:,} vectors of {plan.space}" if plan.scanned else plan.space)
        if "full-text" in plan.mode:
            how.append(f"{pictures} by words of the catalogue")
        line = f"plan: {', '.join(how)}, {plan.milliseconds:.0f} ms"
        lines += textwrap.wrap(line, WIDTH, subsequent_indent="      ", break_long_words=False, break_on_hyphens=False)
    lines += map(note, plan.notes)
    if explain:
        lines += map(note, plan.hints)
        if plan.space:
            lines.append(note(plan.embedder))
    return "\n".join(lines)


def account_table(summary: dict[str, Any]) -> str:
    """What a run did: the account that adds up, what it took, and where things are."""
    parts = ("embedded", "reused", "failed", "skipped", "deferred")
    rows = [(name, f"{summary[name]:,}") for name in parts if summary[name] or name in {"embedded", "reused"}]
    rows.append(("listed", f"{summary['listed']:,}"))
    seconds = summary["seconds"]
    # Without a rate for a run that embedded nothing: listing and loading alone would look very slow.
    rate = f" ({summary['embedded'] / seconds:,.1f} images/s)" if summary["embedded"] and seconds else ""
    lines = [
        table(("pictures", "count"), rows, right=(1,)),
        "",
        facts(
            [
                ("embedding calls", f"{summary['calls']:,}{_compared(summary)}"),
                ("rows written", f"{summary['rows_written']:,}"),
                ("seconds", f"{seconds:,.1f}{rate}"),
                ("collection", summary["collection"]),
                ("space", summary["space"]),
                ("index", summary["index"]),
                ("checkpoint", summary["checkpoint"]),
            ]
        ),
    ]
    lines += map(note, summary["notes"])
    return "\n".join(lines)


def plan_table(document: dict[str, Any]) -> str:
    """What a dry run found: the plan in counts, then calls, money and time."""
    rows = [(what, f"{count:,}") for what, count in document["plan"].items() if count or what in {"listed", "calls"}]
    return "\n".join(
        [
            table(("would be", "images"), rows, right=(1,)),
            "",
            facts(
                [*cost_facts(document["planned"]), ("collection", document["collection"]), ("space", document["space"])]
            ),
            *map(note, document["notes"]),
        ]
    )


def cost_facts(planned: dict[str, Any]) -> list[tuple[str, str]]:
    """Money, the price with its date and source, and time at the quota in force."""
    facts = [("cost", f"USD {planned['cost']:,.4f}")]
    if planned["price_per_image"]:
        as_of, source = planned["price_as_of"] or "no date", planned["price_source"] or "no source"
        price = f"USD {planned['price_per_image']:g} an image"
        dated = as_of[0].isdigit()
        facts.append(
            ("price", f"{price}; read {as_of}; {source}" if dated else f"{as_of}; reckoned with {price}; {source}")
        )
    seconds = planned["seconds"]
    time = "as fast as it goes" if seconds is None else f"{duration(seconds)} at the quota in force"
    if planned.get("bytes_scanned") is not None:
        facts.append(("BigQuery", f"scans {megabytes(planned['bytes_scanned'])}"))
    return [*facts, ("time", time)]
