"""`pinakes maintain`: the housekeeping of a database, its checkpoints and caches."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

import click

from pinakes.cli import options
from pinakes.cli.render import WIDTH, pad
from pinakes.operations.maintenance import Act, Maintenance
from pinakes.settings import load_settings
from pinakes.store.database import open_database


@click.command("maintain")
@click.option(
    "--collection",
    "collections",
    multiple=True,
    metavar="NAME",
    help="Maintain only this collection; repeatable. Default: every collection.",
)
@options.checkpoint
@options.wait
@options.as_json
def command(*, collections: tuple[str, ...], checkpoint: str | None, wait: float, as_json: bool) -> None:
    """Do the maintenance that is due. Everything stays searchable meanwhile.

    \b
    checkpoint   small parts are merged
    index        rebuilt if it has bloated; the old one serves until then
    map          made again if a tenth of its pictures has changed
    vacuum       dead rows are removed, statistics are updated
    runs …       old data is removed: runs of more than a year ago, old vectors
                 of queries, thumbnails beyond their limit

    Run it on a schedule, such as once a week. A space that is being written is left for the next time.
    """
    settings = load_settings()
    with open_database(settings) as database:
        maintenance = Maintenance(settings, database, checkpoint=checkpoint, wait=wait)
        acts = list(maintenance.run(collections or None))  # Click gives an empty tuple if none is named
    if as_json:
        click.echo(json.dumps({"acts": [act.as_dict() for act in acts]}, ensure_ascii=False))
        return
    click.echo(rendered(acts))


def rendered(acts: Sequence[Act]) -> str:
    """Under each place its steps, marked with `*` if anything was changed; details are wrapped, not cut."""
    names = max((len(act.what) for act in acts), default=0)
    lines = ["* done; the others needed nothing"]
    for number, act in enumerate(acts):
        if number == 0 or acts[number - 1].where != act.where:
            lines.append(act.where)
        lines += textwrap.wrap(
            act.detail,
            WIDTH,
            initial_indent=f"{'*' if act.done else ' '} {pad(act.what, names)}  ",
            subsequent_indent=" " * (names + 4),
            break_on_hyphens=False,
        )
    return "\n".join(lines)
