"""`pinakes spaces`: the embedding spaces of a collection side by side."""

from __future__ import annotations

import json

import click

from pinakes.cli import options
from pinakes.cli.render import table
from pinakes.embedders.remote.retirement import retirement_of
from pinakes.settings import load_settings
from pinakes.store.collections import open_collection
from pinakes.store.database import open_database
from pinakes.store.space_registry import coverage, spaces


@click.command("spaces")
@options.collection
@options.as_json
def command(*, collection: str | None, as_json: bool) -> None:
    """List the embedding spaces: rows, coverage, index and its age, and when the model is retired."""
    settings = load_settings()
    collection = collection or settings.collection
    with open_database(settings) as database, database.connection() as (conn, _):
        open_collection(conn, collection)
        documents = []
        for registered in spaces(conn, collection):
            counted = coverage(conn, collection, registered.name)
            built = registered.index_built_at
            documents.append(
                {
                    "space": registered.name,
                    "active": registered.active,
                    "rows": counted.vectors,
                    "coverage": counted.share,
                    "index": registered.index_kind,
                    "index_built_at": built.isoformat(timespec="seconds") if built else None,
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
