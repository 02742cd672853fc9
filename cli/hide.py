"""`pinakes hide`: takes restricted pictures out of every search, facet and thumbnail."""

from __future__ import annotations

import click

from pinakes.filters import columns_of, parse_filters
from pinakes.settings import load_settings
from pinakes.store.collections import open_collection
from pinakes.store.columns import unknown_columns
from pinakes.store.database import open_database
from pinakes.store.hidden import hidden, hide, unhide


@click.command("hide")
@click.argument("condition", metavar="[COL=VALUE]", required=False)
@click.option("--undo", is_flag=True, help="Lift the restriction with this condition.")
@click.option("--collection", help="The collection; default: PINAKES_COLLECTION or 'pictures'.")
def command(*, condition: str | None, undo: bool, collection: str | None) -> None:
    """Restrict the pictures that meet a condition, also those that are ingested later.

    At once, and in every search, facet, thumbnail and notebook of this collection. COL=VALUE, COL~TEXT and
    years=1950..2000 are conditions; image_id=ID names one picture. Without a condition it lists the restrictions.
    The vectors stay as they are: to remove a picture for good use `pinakes forget`.
    """
    settings = load_settings()
    collection = collection or settings.collection
    with open_database(settings) as database, database.connection() as (conn, _):
        open_collection(conn, collection)
        if condition is None:
            known = hidden(conn, collection)
            click.echo("\n".join(known) if known else f"nothing in {collection} is restricted")
        elif undo:
            unhide(conn, collection, condition)
            click.echo(f"{condition}: shown again in {collection}")
        else:
            count = hide(conn, collection, condition)
            click.echo(f"{condition}: {count:,} picture{'' if count == 1 else 's'} of {collection} restricted")
            for name in unknown_columns(conn, collection, columns_of(parse_filters([condition]))):
                click.echo(f"no picture of {collection} has a column {name!r} so far; is it spelt so?", err=True)
