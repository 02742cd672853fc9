"""`pinakes forget`: removes pictures for good and keeps them out."""

from __future__ import annotations

import json
from typing import Any

import click

from pinakes.cli import options
from pinakes.cli.render import table
from pinakes.errors import UsageError
from pinakes.settings import load_settings
from pinakes.store.database import open_database
from pinakes.takedowns.forget import TakedownPlan, Takedowns

NAMED = 20
"""Pictures that the confirmation names; it counts all of them."""


@click.command("forget")
@click.argument("images", metavar="IMAGE…", nargs=-1, callback=options.utf8)
@click.option(
    "--bytes", "equal_bytes", is_flag=True, help="Also forget every picture of equal bytes under another name."
)
@click.option("--ahead", is_flag=True, help="Also keep out pictures that have never been listed.")
@click.option("--list", "listing", is_flag=True, help="Show what was forgotten.")
@click.option("--undo", is_flag=True, help="Let the pictures in again from the next run on.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@options.wait
@options.collection
@options.checkpoint
@options.as_json
def command(
    *,
    images: tuple[str, ...],
    equal_bytes: bool,
    ahead: bool,
    listing: bool,
    undo: bool,
    yes: bool,
    wait: float,
    collection: str | None,
    checkpoint: str | None,
    as_json: bool,
) -> None:
    """Take the pictures IMAGE… (image ids) out of the collection for good, and keep them out.

    They are removed from the table, from the checkpoint of every space and from this machine's caches. The files in the
    source are not touched, but no later run embeds or shows them. docs/backup.md says what backups still hold.
    """
    if listing == bool(images) or (listing and undo):
        raise UsageError("name the pictures to forget (or to --undo), or use --list by itself.")
    settings = load_settings()
    collection = collection or settings.collection
    with open_database(settings) as database:
        takedowns = Takedowns(settings, database, collection, checkpoint=checkpoint)
        if listing:
            _list(takedowns, as_json=as_json)
        elif undo:
            allowed = takedowns.undo(images, equal_bytes=equal_bytes)
            # A picture may come back by its id and still be kept out by bytes that were forgotten under another one.
            bytes_kept_out = bool(takedowns.tombstones().fingerprints)
            _print_undone(collection, allowed, bytes_kept_out=bytes_kept_out, as_json=as_json)
        else:
            plan = takedowns.find(images, equal_bytes=equal_bytes, ahead=ahead)
            # Asked before any lock is taken: a run must not wait until somebody answers at a terminal.
            if not yes:
                _confirm(collection, plan)
            done = takedowns.forget(plan, wait=wait).as_dict()
            done["notes"] = plan.notes + _equal_bytes_note(plan) + done["notes"]
            click.echo(json.dumps(done, ensure_ascii=False) if as_json else _rendered(collection, done))


def _confirm(collection: str, plan: TakedownPlan) -> None:
    lines = [f"  {image_id}" for image_id in plan.image_ids[:NAMED]]
    if len(plan.image_ids) > NAMED:
        lines.append(f"  … and {len(plan.image_ids) - NAMED:,} more")
    lines += [f"note: {note}" for note in plan.notes + _equal_bytes_note(plan)]
    options.confirm("\n".join(lines), f"Forget {_pictures(len(plan.image_ids))} of {collection} for good?")


def _equal_bytes_note(plan: TakedownPlan) -> list[str]:
    count = len(plan.equal)
    if not count:
        return []
    return [
        f"{_pictures(count)} of equal bytes stay{'s' * (count == 1)}, among them {plan.equal[0]}; --bytes takes all"
    ]


def _rendered(collection: str, done: dict[str, Any]) -> str:
    vectors, answers = sum(done["vectors"].values()), sum(done["answers"].values())
    lines = [
        f"{_pictures(len(done['forgotten']))} of {collection} forgotten",
        f"  vectors out of the table        {vectors:,}",
        f"  answers out of the checkpoint   {answers:,}   (parts rewritten: {done['parts']:,})",
        f"  entries out of the caches       {done['thumbnails'] + done['cached_fingerprints']:,}",
    ]
    return "\n".join(lines + [f"note: {note}" for note in done["notes"]])


def _list(takedowns: Takedowns, *, as_json: bool) -> None:
    documents = [
        {
            "image_id": tombstone.image_id,
            "fingerprint": tombstone.fingerprint or None,
            "forgotten_at": tombstone.forgotten_at.isoformat(timespec="seconds"),
        }
        for tombstone in takedowns.tombstones()
    ]
    if as_json:
        click.echo(json.dumps({"forgotten": documents}, ensure_ascii=False))
    elif not documents:
        click.echo("nothing was forgotten")
    else:
        rows = [(d["image_id"], d["fingerprint"] or "–", str(d["forgotten_at"])[:10]) for d in documents]
        click.echo(table(("image", "bytes kept out", "since"), rows))


def _print_undone(collection: str, allowed: list[str], *, bytes_kept_out: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"let_in_again": allowed}, ensure_ascii=False))
        return
    click.echo(
        f"{_pictures(len(allowed))} may come back to {collection}: pinakes ingest embeds those that the source still has"
    )
    if bytes_kept_out:
        click.echo("note: bytes that are kept out because of other pictures stay out; see --list, --undo --bytes")


def _pictures(count: int) -> str:
    return f"{count:,} picture{'' if count == 1 else 's'}"
