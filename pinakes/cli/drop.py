"""`pinakes drop`: removes a collection from the database."""

from __future__ import annotations

import json
from typing import Any

import click

from pinakes.cli import options
from pinakes.cli.render import facts, megabytes
from pinakes.operations.collection_list import about, kept
from pinakes.settings import load_settings
from pinakes.store.collections import prepare
from pinakes.store.database import open_database
from pinakes.store.removal import drop_collection


@click.command("drop")
@click.argument("collection")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@options.checkpoint
@options.as_json
def command(*, collection: str, yes: bool, checkpoint: str | None, as_json: bool) -> None:
    """Remove COLLECTION from the database: its pictures, metadata, vectors and indexes.

    The source and the checkpoint are not touched: pinakes ingest makes the collection again from them without paying
    twice. What stays, and the command that deletes it, is shown.
    """
    settings = load_settings()
    with open_database(settings) as database, database.connection() as (conn, _):
        prepare(conn)
        # Read before the drop: afterwards the database no longer knows the collection's source, size and spaces.
        document = about(conn, collection) | kept(checkpoint or settings.checkpoint, collection)
        if not yes:
            options.confirm(_shown(document), f"Drop {collection} from the database?")
        drop_collection(conn, collection)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    click.echo(f"{collection} is dropped")
    if document["checkpoint_spaces"]:
        click.echo(
            f"Its embeddings stay in {document['checkpoint']}: pinakes ingest loads them again without paying twice.\n"
            f"To delete them too: {document['delete']}"
        )


def _shown(document: dict[str, Any]) -> str:
    return facts(
        [
            ("collection", document["collection"]),
            ("source", document["source"]),
            ("pictures", f"{document['pictures']:,}"),
            ("spaces", ", ".join(document["spaces"]) or "none"),
            ("size", megabytes(document["bytes"])),
        ]
    )
