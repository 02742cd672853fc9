"""`pinakes status`: the state of a collection, and its runs."""

from __future__ import annotations

import json
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pinakes.cli import options
from pinakes.cli.render import WIDTH, cut, facts, local_time, megabytes, note, table
from pinakes.errors import UsageError
from pinakes.operations.runs import runs
from pinakes.operations.status import status, write_failures
from pinakes.settings import load_settings
from pinakes.store.database import open_database

SHOWN = 100
"""Failed pictures of a space that are named unless all are asked for."""

RUNS = 20
"""Runs that are shown unless --limit says how many."""

ALL = "-"


@click.command("status")
@click.option(
    "--collection",
    metavar="NAME",
    help="The collection. Default: PINAKES_COLLECTION, or 'pictures'; with --runs: all.",
)
@click.option("--runs", "show_runs", is_flag=True, help="Show the runs instead, newest first.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"With --runs: the number of runs to show. Default: {RUNS}.",
)
@click.option(
    "--failures",
    is_flag=False,
    flag_value=ALL,
    metavar="[FILE]",
    help="Show all pictures that failed; with FILE, write them there as CSV. Default: the first 100 are shown.",
)
@options.checkpoint
@options.as_json
def command(
    *,
    collection: str | None,
    show_runs: bool,
    limit: int | None,
    failures: str | None,
    checkpoint: str | None,
    as_json: bool,
) -> None:
    """Show counts by status, the pictures that failed and why, spaces, rows and indexes; or the runs."""
    if show_runs and failures is not None:
        raise UsageError("--failures shows pictures, and --runs shows runs; leave one out.")
    if limit is not None and not show_runs:
        raise UsageError("--limit is the number of runs to show; give --runs as well, or leave it out.")
    settings = load_settings()
    # In another checkpoint than that of the runs every picture would look as if it had not been embedded yet.
    settings = replace(settings, checkpoint=checkpoint or settings.checkpoint)
    with open_database(settings) as database, database.connection() as (conn, _):
        if show_runs:
            document: dict[str, Any] = {"runs": runs(conn, settings, collection, limit or RUNS)}
        else:
            document = status(conn, settings, collection or settings.collection)
    to_file = failures is not None and failures != ALL
    if to_file:
        written = write_failures(document, Path(failures or ""))
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    elif to_file:
        click.echo(f"{written:,} failures written to {failures}")
    else:
        click.echo(_runs_table(document["runs"]) if show_runs else _rendered(document, None if failures else SHOWN))


def _runs_table(shown: list[dict[str, Any]]) -> str:
    """A row of numbers for each run, and below it the collection, who ran it, its id, and why it failed."""
    if not shown:
        return "no run yet"
    header = ("begun", "state", "listed", "embedded", "failed", "calls", "written", "s", "USD")
    rows = [
        (
            local_time(run["started_at"]),
            run["state"],
            *(_number(run[name]) for name in ("listed", "embedded", "failed", "calls", "rows_written", "seconds")),
            "–" if run["cost"] is None else f"{run['cost']:,.2f}",
        )
        for run in shown
    ]
    below = []
    for run in shown:
        whose = f"{run['collection']}, {run['who']}, run {run['run_id']}"
        message = run["message"]
        # A process that was killed could not write why.
        if run["state"] == "died" and not message:
            message = "its process ended without reporting an error, or lost its connection to the database"
        below.append([f"  {cut(whose, WIDTH - 2)}", *_indented(message or "")])
    return table(header, rows, right=range(2, len(header)), below=below)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _rendered(document: dict[str, Any], shown: int | None) -> str:
    blocks = [
        facts(
            [
                ("collection", document["collection"]),
                ("source", document["source"]),
                ("database", f"PostgreSQL {document['postgresql']}, {document['database']}"),
                ("last run", _last_run(document["last_run"])),
                *(
                    ("restricted", f"{each['condition']}: {_number(each['pictures'])} pictures")
                    for each in document["restrictions"]
                ),
            ]
        ),
        *map(note, document["problems"]),
    ]
    for space in document["spaces"]:
        blocks.append(
            facts(
                [
                    ("space", space["space"] + (" (active)" if space["active"] else "")),
                    ("vectors", f"{space['rows']:,} of {space['images']:,} images ({space['coverage']:.1%})"),
                    ("size", f"{megabytes(space['bytes'])} with its indexes"),
                    *_regions(space["regions"]),
                    ("index", space["index"] or "none: searches compare every vector"),
                    ("checkpoint", space["checkpoint"]),
                    ("images", ", ".join(f"{n:,} {what}" for what, n in space["statuses"].items() if n) or "none"),
                ]
            )
        )
        if space["failures"]:
            blocks.append(_failures_table(space["failures"], shown))
        blocks += map(note, space["problems"])
    if document["skipped_entries"]:
        blocks.append(_skipped_table(document["skipped_entries"], document["skipped"]))
    return "\n\n".join(blocks)


def _regions(regions: dict[str, Any] | None) -> list[tuple[str, str]]:
    if regions is None:
        return []
    how = f"searched by {regions['index']}" if regions["index"] else "all compared"
    return [("regions", f"{regions['rows']:,} parts of images, {megabytes(regions['bytes'])}, {how}")]


def _skipped_table(entries: list[dict[str, str]], total: int) -> str:
    """The entries that the last listing skipped: names are never shortened, so that they can be searched for."""
    rows = table(("skipped", "reason"), [(entry["name"], entry["reason"]) for entry in entries], whole=(0,))
    return rows + (f"\nand {total - len(entries):,} more" if total > len(entries) else "")


def _failures_table(failures: list[dict[str, Any]], at_most: int | None) -> str:
    """A row for each failed picture, and below it the reason in full: half a reason does not help."""
    shown = failures[:at_most]
    rows = [(failure["image_id"], failure["reason"], failure["attempts"]) for failure in shown]
    messages = [_indented(failure["message"]) for failure in shown]
    left = len(failures) - len(shown)
    more = f"\nand {left:,} more: pinakes status --failures [FILE] has all" if left else ""
    return table(("failed", "reason", "tries"), rows, right=(2,), below=messages) + more


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _last_run(run: dict[str, Any] | None) -> str:
    if run is None:
        return "none"
    return f"{run['state']}, begun {run['started_at']}" + (f": {run['message']}" if run["message"] else "")
