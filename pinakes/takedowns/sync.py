"""Which pictures a collection has forgotten, according to its checkpoint and its table together."""

from __future__ import annotations

from pinakes.checkpoints.lasting_list import tombstone_file
from pinakes.store.collections import collection_names, open_collection
from pinakes.store.connection import Connection
from pinakes.store.database import Database
from pinakes.store.lease import Lease
from pinakes.store.tombstones import add_tombstones, stored_tombstones
from pinakes.tombstones import Tombstones

LIST_SECONDS = 60.0
"""How long to queue for changing the list of tombstones."""


def sync_tombstones(database: Database, collection: str, root: str, *, lease_seconds: float) -> Tombstones:
    """The tombstones of a collection from checkpoint and table; each receives those that only the other has.

    So a schema that was dropped gets them from the checkpoint, and a checkpoint that was started elsewhere from the table.

    Raises:
        CheckpointError: they cannot be read, or the missing ones cannot be written.
    """
    file = tombstone_file(root, collection)
    with database.connection() as (conn, _):
        kept, stored = Tombstones(file.read()), stored_tombstones(conn, collection)
        # Nearly always both have the same, and then a run need not wait for the lease.
        if len(stored - kept) or len(kept - stored):
            with list_lease(database, collection, lease_seconds):
                # Read again: an `undo` between the two may have removed what would be added here.
                kept, stored = Tombstones(file.read()), stored_tombstones(conn, collection)
                file.add(stored - kept)
                add_tombstones(conn, collection, kept - stored)
    return kept | stored


def known_tombstones(conn: Connection, collection: str, root: str) -> Tombstones:
    """The tombstones of checkpoint and table together, with nothing written; the collection need not exist yet."""
    kept = Tombstones(tombstone_file(root, collection).read())
    if collection not in collection_names(conn):
        return kept
    open_collection(conn, collection)
    return kept | stored_tombstones(conn, collection)


def list_lease(database: Database, collection: str, seconds: float) -> Lease:
    """The lease under which the list of tombstones is changed, in the checkpoint and in the table; it is held briefly."""
    return Lease(database.dsn, f"{collection}/forgotten", seconds=seconds, wait=LIST_SECONDS)
