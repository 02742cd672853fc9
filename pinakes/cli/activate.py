"""`pinakes activate`: which space searches use."""

from __future__ import annotations

import click

from pinakes.settings import load_settings
from pinakes.store.collections import open_collection
from pinakes.store.database import open_database
from pinakes.store.space_registry import activate

LEAST_COVERAGE = 0.99
"""A space that lacks more of the collection than this would make pictures disappear from searches."""


@click.command("activate")
@click.argument("space")
@click.option("--collection", help="The collection; default: PINAKES_COLLECTION or 'pictures'.")
@click.option("--min-coverage", type=click.FloatRange(0, 1), default=LEAST_COVERAGE, show_default=True)
@click.option("--force", is_flag=True, help="Whatever the coverage is.")
def command(*, space: str, collection: str | None, min_coverage: float, force: bool) -> None:
    """Let searches use SPACE, at once and for everybody. The same command with the former space undoes it."""
    settings = load_settings()
    collection = collection or settings.collection
    with open_database(settings) as database, database.connection() as (conn, _):
        open_collection(conn, collection)
        before = activate(conn, collection, space, least_coverage=0.0 if force else min_coverage)
    click.echo(f"searches of {collection} use {space} now; before: {before.name}")
