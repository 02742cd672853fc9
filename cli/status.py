"""`pinakes status`: how a collection stands."""

from __future__ import annotations

import json
from typing import Any

import click

from cli.render import facts, note, table
from pinakes.settings import load_settings
from pinakes.status import status
from pinakes.store.database import open_database


@click.command("status")
@click.option("--collection", help="The collection; default: PINAKES_COLLECTION or 'pictures'.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
def command(*, collection: str | None, as_json: bool) -> None:
    """Show counts by status, the pictures that failed and why, spaces, rows and indexes."""
    settings = load_settings()
    with open_database(settings) as database, database.connection() as (conn, _):
        document = status(conn, settings, collection or settings.collection)
    click.echo(json.dumps(document, ensure_ascii=False) if as_json else _rendered(document))


def _rendered(document: dict[str, Any]) -> str:
    blocks = [
        facts(
            [
                ("collection", document["collection"]),
                ("source", document["source"]),
                ("database", f"PostgreSQL {document['postgresql']}, {document['database']}"),
                ("last run", _last_run(document["last_run"])),
            ]
        )
    ]
    for space in document["spaces"]:
        blocks.append(
            facts(
                [
                    ("space", space["space"] + (" (active)" if space["active"] else "")),
                    ("vectors", f"{space['rows']:,} of {space['images']:,} images ({space['coverage']:.1%})"),
                    ("size", f"{space['bytes'] / 2**20:,.1f} MB with its indexes"),
                    ("index", space["index"] or "none: searches compare every vector"),
                    ("checkpoint", space["checkpoint"]),
                    ("images", ", ".join(f"{n:,} {what}" for what, n in space["statuses"].items() if n) or "none"),
                ]
            )
        )
        if space["failures"]:
            rows = [(f["image_id"], f["reason"], f["attempts"], f["message"]) for f in space["failures"]]
            blocks.append(table(("failed", "reason", "tries", "message"), rows, right=(2,)))
        blocks += map(note, space["problems"])
    return "\n\n".join(blocks)


def _last_run(run: dict[str, Any] | None) -> str:
    if run is None:
        return "none"
    return f"{run['state']}, begun {run['started_at']}" + (f": {run['message']}" if run["message"] else "")
