"""`pinakes collections`: what a database holds."""

from __future__ import annotations

import json
from typing import Any

import click

from pinakes.cli import options
from pinakes.cli.render import local_time, megabytes, table
from pinakes.operations.collection_list import collections
from pinakes.settings import load_settings
from pinakes.store.collections import prepare
from pinakes.store.database import open_database


@click.command("collections")
@options.as_json
def command(*, as_json: bool) -> None:
    """List the collections: pictures, spaces, the space that searches use, size, and the last run."""
    with open_database(load_settings()) as database, database.connection() as (conn, _):
        prepare(conn)  # a database that no run has used has no tables to read
        documents = collections(conn)
    if as_json:
        click.echo(json.dumps({"collections": documents}, ensure_ascii=False))
    elif not documents:
        click.echo("no collection yet; pinakes ingest makes one")
    else:
        click.echo(_rendered(documents))


def _rendered(documents: list[dict[str, Any]]) -> str:
    """A row of numbers for each collection, and below it the space that searches use, whose name is long."""
    rows = [
        (
            document["collection"],
            f"{document['pictures']:,}",
            len(document["spaces"]),
            megabytes(document["bytes"]),
            "–" if (last := document["last_run"]) is None else f"{local_time(last['started_at'])} {last['state']}",
        )
        for document in documents
    ]
    header = ("collection", "pictures", "spaces", "size", "last run")
    below = [[f"  active: {document['active'] or 'no space yet'}"] for document in documents]
    return table(header, rows, right=(1, 2, 3), whole=(0,), below=below)
