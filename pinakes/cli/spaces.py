"""`pinakes spaces`: the embedding spaces of a collection side by side."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import click

from pinakes.cli import options
from pinakes.cli.render import WIDTH, local_time, note, table
from pinakes.embedders.remote.retirement import retirement_of
from pinakes.settings import load_settings
from pinakes.store.collections import open_collection
from pinakes.store.database import open_database
from pinakes.store.index_settings import written
from pinakes.store.index_state import index_state
from pinakes.store.space_registry import coverage, spaces


@click.command("spaces")
@options.collection
@options.as_json
def command(*, collection: str | None, as_json: bool) -> None:
    """List the embedding spaces: rows, coverage, index with its settings, and when the model is retired."""
    settings = load_settings()
    collection = collection or settings.collection
    with open_database(settings) as database, database.connection() as (conn, _):
        open_collection(conn, collection)
        documents = []
        for registered in spaces(conn, collection):
            covered = coverage(conn, collection, registered.name)
            index = index_state(conn, collection, registered)
            built, refreshed = index.built_at, index.refreshed_at
            documents.append(
                {
                    "space": registered.name,
                    "active": registered.active,
                    "rows": covered.vectors,
                    "coverage": covered.share,
                    "index": index.kind,
                    "index_built_at": built.isoformat(timespec="seconds") if built else None,
                    "index_settings": index.settings,
                    "index_searched_with": index.searched_with,
                    "index_coverage": index.coverage,
                    "index_refreshed_at": refreshed.isoformat(timespec="seconds") if refreshed else None,
                    "retires": retirement_of(registered.space),
                }
            )
    if as_json:
        click.echo(json.dumps({"collection": collection, "spaces": documents}))
        return
    rows = [
        (
            "*" if space["active"] else "",
            space["space"],
            f"{space['rows']:,}",
            f"{space['coverage']:.1%}",
            f"{space['index']} {str(space['index_built_at'])[:10]}" if space["index"] else "none",
            space["retires"] or "–",
        )
        for space in documents
    ]
    click.echo(table(("", "space", "rows", "coverage", "index", "retires"), rows, right=(2, 3), whole=(1,)))
    for space in documents:
        if space["index"]:
            click.echo(f"\n{_index_of(space)}")


def _index_of(space: dict[str, Any]) -> str:
    """The index of a space, in a sentence."""
    # The registry still names an index that somebody dropped with SQL; then every search compares all vectors.
    if space["index_settings"] is None:
        return note(
            f"the {space['index']} index of {space['space']} is not there any more: 0.0% of {space['rows']:,} rows are"
            " indexed; the next pinakes ingest builds it"
        )
    settings = written(space["index_settings"]) or "pgvector's own settings"
    return textwrap.fill(
        f"{space['index']} index of {space['space']}: {settings}; searched with {written(space['index_searched_with'])};"
        f" covers {space['index_coverage']:.1%} of {space['rows']:,} rows; refreshed"
        f" {local_time(space['index_refreshed_at'])}",
        WIDTH,
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )
