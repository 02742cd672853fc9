"""`pinakes maintain`: the housekeeping of a database, its checkpoints and caches."""

from __future__ import annotations

import json

import click

from cli.render import table
from pinakes.maintenance import Maintenance
from pinakes.settings import load_settings
from pinakes.store.database import open_database


@click.command("maintain")
@click.option("--collection", "collections", multiple=True, help="Only this one; default: every collection.")
@click.option("--checkpoint", metavar="URL", help="Where embeddings are kept; default: under PINAKES_HOME.")
@click.option("--wait", type=float, default=0.0, help="Seconds to queue behind a run that is writing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
def command(*, collections: tuple[str, ...], checkpoint: str | None, wait: float, as_json: bool) -> None:
    r"""Do what is due: everything stays searchable meanwhile, and what is not due is left alone.

    \b
    checkpoint   small parts are merged
    index        built anew where it has bloated, beside the old one
    vacuum       dead rows are taken out, statistics brought up to date
    runs …       what nobody needs any more is removed: runs of more than a year ago,
                 old vectors of queries, thumbnails beyond their room

    Made for a schedule, e.g. once a week. A space that is being written is left for the next time.
    """
    settings = load_settings()
    with open_database(settings) as database:
        maintenance = Maintenance(settings, database, checkpoint=checkpoint, wait=wait)
        acts = list(maintenance.run(collections or None))
    if as_json:
        click.echo(json.dumps({"acts": [act.as_dict() for act in acts]}, ensure_ascii=False))
        return
    rows = [("*" if act.done else "", act.where, act.what, act.detail) for act in acts]
    click.echo(table(("", "where", "what", "* done, or as it is"), rows))
