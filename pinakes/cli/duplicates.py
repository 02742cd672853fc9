"""`pinakes duplicates`: which pictures are the same, and what was decided about them."""

from __future__ import annotations

import codecs
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast, get_args

import click

from pinakes.cli import options
from pinakes.cli.render import WIDTH
from pinakes.duplicates.decisions import Verdict, decide, sync_decisions
from pinakes.duplicates.finding import WITHIN, find_copies, regroup
from pinakes.duplicates.groups import groups_of
from pinakes.errors import PictureError, SourceError, UsageError
from pinakes.files import whole_file
from pinakes.settings import load_settings
from pinakes.store.collections import open_collection
from pinakes.store.database import Database, open_database
from pinakes.store.duplicates import Member, read_groups
from pinakes.store.images import Row
from pinakes.store.restrictions import visible
from pinakes.store.space_registry import resolve_space

if TYPE_CHECKING:
    from pinakes.images.contact_sheet import Card

SHEET_PICTURES = 60
"""Pictures on one sheet: more would be too small to compare."""

Group = list[tuple[Member, Row]]


@click.group("duplicates", invoke_without_command=True)
@options.collection
@options.checkpoint
@click.option("--space", metavar="NAME", help="The space whose neighbours are compared. Default: the active one.")
@click.option(
    "--within",
    type=click.FloatRange(min=0, max=2),
    default=WITHIN,
    show_default=True,
    metavar="D",
    help="The largest cosine distance of two pictures that are compared in detail; crops need the most.",
)
@click.option(
    "--csv",
    "csv_file",
    is_flag=False,
    flag_value="-",
    metavar="[FILE]",
    help="Write the groups as CSV to this file, or to standard output. Default: none.",
)
@options.sheet("the first groups")
@options.as_json
@click.pass_context
def command(context: click.Context, /, **given: Any) -> None:
    """Find pictures that are the same: files saved again, resized, cropped, without colours, in other colours, turned.

    Neighbours in the embedding space and pictures of the same shape are compared in detail; the groups are printed with
    the largest change in each. Two sides of a leaf (12r.jpg, 12v.jpg) are pairs by their names. Nothing is deleted. A run
    that was stopped continues where it was, and a later one compares only what is new.

    pinakes duplicates decide same|different|preferred|undecided IMAGE_ID... corrects the result, and pinakes search
    --collapse-duplicates shows one of each group.
    """
    if context.invoked_subcommand is None:
        _find(**given)
    else:
        options.refuse_before(context, context.invoked_subcommand)


def _find(
    *,
    collection: str | None,
    checkpoint: str | None,
    space: str | None,
    within: float,
    csv_file: str | None,
    sheet: Path | None,
    as_json: bool,
) -> None:
    if as_json and csv_file == "-":
        raise UsageError("--json and --csv both write to standard output; give --csv a file, or leave one of them out.")
    settings = load_settings()
    name = collection or settings.collection
    root = checkpoint or settings.checkpoint
    quiet = as_json or csv_file == "-"
    with open_database(settings) as database:
        with database.connection() as (conn, _):
            open_collection(conn, name)
            registered = resolve_space(conn, name, space)
        # Decisions that were made in another database come with the checkpoint, and groups depend on them.
        sync_decisions(database, name, root, lease_seconds=settings.lease_seconds)
        progress = _show_progress if sys.stderr.isatty() else None
        compared = find_copies(database, name, registered, within, progress)
        if progress and (compared.sketched or compared.compared or compared.unreadable):
            click.echo(err=True)  # the groups begin on a line of their own
        regroup(database, name)
        # Groups are read again for each form: of millions of pictures they do not fit into memory.
        if as_json:
            _print_json(_groups(database, name), name)
        elif csv_file == "-":
            _write_csv(_groups(database, name), sys.stdout)
        else:
            _print_groups(_groups(database, name), name)
        if csv_file is not None and csv_file != "-":
            with whole_file(Path(csv_file), "the table") as out:
                _write_csv(_groups(database, name), codecs.getwriter("utf-8")(out))
        if sheet is not None:
            _write_sheet(_groups(database, name), name, sheet)
    if compared.unreadable and not quiet:
        click.echo(
            f"{compared.unreadable:,} could not be read, and were compared by their names and bytes alone", err=True
        )


@command.command("decide")
@click.argument("verdict", type=click.Choice(get_args(Verdict)))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE_ID...", callback=options.utf8)
@options.collection
@options.checkpoint
@options.as_json
def decide_command(
    *, verdict: str, images: tuple[str, ...], collection: str | None, checkpoint: str | None, as_json: bool
) -> None:
    """Keep a decision about copies, in the database and with the checkpoint, where it outlives the database.

    \b
    same        the first picture and each of the others show one work
    different   the first picture is no copy of any of the others
    preferred   this picture is shown for its group
    undecided   withdraws all decisions about these pictures
    """
    settings = load_settings()
    name = collection or settings.collection
    with open_database(settings) as database:
        with database.connection() as (conn, _):
            open_collection(conn, name)
        made = decide(
            database,
            name,
            checkpoint or settings.checkpoint,
            cast("Verdict", verdict),
            images,
            lease_seconds=settings.lease_seconds,
        )
    if as_json:
        click.echo(json.dumps({"collection": name, "verdict": verdict, "decisions": made}))
    else:
        click.echo(f"{verdict}: {made:,} {'decision' if made == 1 else 'decisions'} kept")


def _show_progress(step: str, done: int) -> None:
    # Padded, because a shorter line leaves the end of a longer one on the screen.
    click.echo(f"\r{step} {done:,} pictures".ljust(WIDTH), nl=False, err=True)


def _groups(database: Database, collection: str) -> Iterator[Group]:
    with database.connection() as (conn, _):
        yield from groups_of(read_groups(conn, collection, visible(conn, collection)))


def _as_dict(group: Group) -> dict[str, Any]:
    preferred = next((member.image_id for member, _ in group if member.preferred), None)
    return {"images": [member.image_id for member, _ in group], "kind": group[0][0].kind, "preferred": preferred}


def _print_json(groups: Iterator[Group], collection: str) -> None:
    """One document, written group by group."""
    click.echo('{"groups": [', nl=False)
    for number, group in enumerate(groups):
        click.echo((", " if number else "") + json.dumps(_as_dict(group), ensure_ascii=False), nl=False)
    click.echo(f'], "collection": {json.dumps(collection)}}}')


def _write_csv(groups: Iterator[Group], out: IO[str] | codecs.StreamWriter) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("group", "kind", "image_id", "preferred"))
    for number, group in enumerate(groups, start=1):
        for member, _ in group:
            writer.writerow((number, member.kind, member.image_id, "yes" if member.preferred else ""))


def _print_groups(groups: Iterator[Group], collection: str) -> None:
    number = pictures = 0
    for number, group in enumerate(groups, start=1):  # noqa: B007 - counted
        pictures += len(group)
        click.echo(f"{click.style(group[0][0].kind, bold=True)}, {len(group)} pictures")
        for member, _ in group:
            click.echo(f"  {member.image_id}{'  (preferred)' if member.preferred else ''}")
    if number:
        click.echo(f"{number:,} {'group' if number == 1 else 'groups'} of {pictures:,} pictures in {collection}")
    else:
        click.echo(f"no two pictures of {collection} are the same")


def _write_sheet(groups: Iterator[Group], collection: str, path: Path) -> None:
    from pinakes.images.contact_sheet import contact_sheet, save_sheet

    cards: list[Card] = []
    shown = 0
    for group in groups:
        # A group is never divided between sheets; one that is larger than a sheet is shown by its first pictures.
        if cards and len(cards) + len(group) > SHEET_PICTURES:
            break
        shown += 1
        cards += [_card(shown, member, row) for member, row in group[:SHEET_PICTURES]]
    several = "group" if shown == 1 else "groups"
    heading = f"{collection.replace('_', ' ')}: pictures that are the same"
    save_sheet(contact_sheet(cards, heading=heading, subheading=f"{shown:,} {several}", columns=6), path)


def _card(number: int, member: Member, row: Row) -> Card:
    from pinakes.images.contact_sheet import Card
    from pinakes.images.decoding import decode
    from pinakes.sources.reading import read_uri

    try:
        picture = decode(read_uri(row.uri), at_least=320)
    except (SourceError, PictureError):  # the sheet has a placeholder for it
        picture = None
    note = f"group {number} · {member.kind}{' · preferred' if member.preferred else ''}"
    return Card(picture, title=member.image_id, note=note)
