"""`pinakes activate`: which space searches use."""

from __future__ import annotations

import click

from pinakes.cli import options
from pinakes.settings import load_settings
from pinakes.store.collections import open_collection
from pinakes.store.database import open_database
from pinakes.store.space_registry import activate

LEAST_COVERAGE = 0.99
"""With a space that covers less of the collection, pictures would disappear from searches."""


@click.command("activate")
@click.argument("space")
@options.collection
@click.option(
    "--min-coverage",
    type=click.FloatRange(0, 1),
    default=LEAST_COVERAGE,
    show_default=True,
    metavar="SHARE",
    help="The least share of the images, between 0 and 1, that must have a vector in SPACE.",
)
@click.option("--force", is_flag=True, help="Activate SPACE even if fewer images have a vector in it.")
def command(*, space: str, collection: str | None, min_coverage: float, force: bool) -> None:
    """Make all searches use SPACE from now on. The same command with the previous space undoes it."""
    settings = load_settings()
    collection = collection or settings.collection
    with open_database(settings) as database, database.connection() as (conn, _):
        open_collection(conn, collection)
        # The space of before is shown, because its name is what undoes this.
        before = activate(conn, collection, space, least_coverage=0.0 if force else min_coverage)
    click.echo(f"searches of {collection} use {space} now; before: {before.name}")
