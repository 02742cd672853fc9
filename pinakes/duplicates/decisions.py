"""What people decide about copies. Decisions are in the checkpoint and in the table; each gets what only the other has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Literal

from pinakes.checkpoints.lasting_list import decision_file
from pinakes.duplicates.finding import regroup
from pinakes.duplicates.groups import newest
from pinakes.errors import UsageError
from pinakes.store.database import Database
from pinakes.store.duplicates import enter_decisions, stored_decisions
from pinakes.store.lease import Lease
from pinakes.store.tombstones import images_of
from pinakes.types import Decision, utc_now

Verdict = Literal["same", "different", "preferred", "undecided"]

LIST_SECONDS = 60.0
"""How long to wait for others that are changing the list."""


def sync_decisions(
    database: Database, collection: str, root: str, *, lease_seconds: float, new: Sequence[Decision] = ()
) -> dict[tuple[str, str], Decision]:
    """Every decision that holds, by its images, after `new` ones were entered.

    Raises:
        CheckpointError: they cannot be read, or the missing ones cannot be written.
    """
    file = decision_file(root, collection)
    lock = Lease(database.dsn, f"{collection}/decisions", seconds=lease_seconds, wait=LIST_SECONDS)
    with lock, database.connection() as (conn, _):
        kept = newest(file.read())
        stored = newest(Decision(*row) for row in stored_decisions(conn, collection))
        held = newest(kept.values(), stored.values(), new)
        # The file first: what is only in the table is lost with its schema.
        if held != kept:
            file.replace(held.values())
        enter_decisions(conn, collection, [astuple(each) for key, each in held.items() if stored.get(key) != each])
    return held


def decide(
    database: Database, collection: str, root: str, verdict: Verdict, images: Sequence[str], *, lease_seconds: float
) -> int:
    """Keep a decision and group the pictures again; how many pairs of pictures, or pictures, were decided about.

    Args:
        database: where the collection is.
        collection: its name.
        root: of its checkpoints.
        verdict: `same` and `different` hold for the first image and each of the others, `preferred` for one alone;
            `undecided` takes back what was decided about any of them.
        images: image_ids.
        lease_seconds: of the lock on the list.

    Raises:
        UsageError: there is no such image, or their number does not fit the verdict.
        CheckpointError: the decision cannot be kept.
    """
    names = list(dict.fromkeys(images))
    if verdict in ("same", "different") and len(names) < 2:
        raise UsageError(f"the decision {verdict!r} is about two pictures or more; name the others as well.")
    if verdict == "preferred" and len(names) != 1:
        raise UsageError("one picture of a group is preferred; name that one alone.")
    with database.connection() as (conn, _):
        known = {image.image_id for image in images_of(conn, collection, set(names))}
    if strangers := [name for name in names if name not in known]:
        raise UsageError(f"there is no image {strangers[0]!r} in {collection}; check how it is written.")
    now = utc_now()
    if verdict == "preferred":
        new = [Decision(names[0], "", verdict, now)]
    elif verdict == "undecided":
        held = sync_decisions(database, collection, root, lease_seconds=lease_seconds)
        # Entered as a verdict of its own: without it, the earlier one would come back from the table or the checkpoint.
        new = [Decision(*key, verdict, now) for key in held if set(names) & set(key)]
    else:
        new = [Decision(min(names[0], each), max(names[0], each), verdict, now) for each in names[1:]]
    sync_decisions(database, collection, root, lease_seconds=lease_seconds, new=new)
    regroup(database, collection)
    return len(new)
