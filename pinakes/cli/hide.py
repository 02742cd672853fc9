"""`pinakes hide`: removes restricted pictures from every search, facet and thumbnail."""

from __future__ import annotations

import json
from typing import Any

import click

from pinakes.cli import options
from pinakes.errors import UsageError
from pinakes.query.filters import columns_of, parse_filters
from pinakes.settings import load_settings
from pinakes.store.collections import open_collection
from pinakes.store.column_check import unknown_columns
from pinakes.store.conditions import Conditions
from pinakes.store.connection import Connection
from pinakes.store.database import open_database
from pinakes.store.image_changes import count_again
from pinakes.store.restrictions import Restriction, hide, restrictions, unhide


@click.command("hide")
@click.argument("condition", metavar="[COL=VALUE]", required=False, callback=options.utf8)
@click.option("--undo", is_flag=True, help="Lift the restriction with this condition.")
@options.collection
@options.as_json
def command(*, condition: str | None, undo: bool, collection: str | None, as_json: bool) -> None:
    """Restrict the pictures that meet a condition, including those that are ingested later.

    They disappear at once from every search, facet, thumbnail and notebook of this collection. COL=VALUE, COL~TEXT and
    years=1950..2000 are conditions; image_id=ID names one picture. Without a condition it lists the restrictions. A
    restriction that matches no picture is kept, with a warning.

    The vectors stay as they are: to remove a picture for good, use `pinakes forget`.
    """
    if undo and condition is None:
        raise UsageError("--undo lifts one restriction: say which; pinakes hide lists them.")
    settings = load_settings()
    collection = collection or settings.collection
    with open_database(settings) as database, database.connection() as (conn, _):
        open_collection(conn, collection)
        # The stored counts hold who is restricted: until they are made again, every facet reads all images instead.
        if condition is not None and undo:
            unhide(conn, collection, condition)
            count_again(conn, collection)
            document: dict[str, Any] = {"collection": collection, "lifted": condition}
            text, warnings = f"{condition}: shown again in {collection}", []
        elif condition is not None:
            restriction = hide(conn, collection, condition)
            count_again(conn, collection)
            document = {"collection": collection} | _as_dict(conn, collection, restriction)
            several = "" if restriction.images == 1 else "s"
            text = f"{condition}: {restriction.images:,} picture{several} of {collection} restricted"
            warnings = document["warnings"]
        else:
            listed = [_as_dict(conn, collection, restriction) for restriction in restrictions(conn, collection)]
            document = {"collection": collection, "restrictions": listed}
            text = "\n".join(entry["condition"] for entry in listed) or f"nothing in {collection} is restricted"
            warnings = [warning for entry in listed for warning in entry["warnings"]]
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(text)
        for warning in warnings:
            click.echo(f"WARNING: {warning}", err=True)


def _as_dict(conn: Connection, collection: str, restriction: Restriction) -> dict[str, Any]:
    warnings = [] if restriction.problem is None else [restriction.problem]
    # Empty `Conditions`: a column counts as known if any picture has it, restricted ones included.
    warnings += [
        f"no picture of {collection} has a column {name!r} so far; is it spelt right?"
        for name in unknown_columns(conn, collection, columns_of(parse_filters([restriction.condition])), Conditions())
    ]
    return {"condition": restriction.condition, "pictures": restriction.images, "warnings": warnings}
