"""The collections of a database, and what a checkpoint keeps of one that is dropped."""

from __future__ import annotations

import shlex
from typing import Any

from pinakes.buckets.addresses import in_bucket, removing
from pinakes.checkpoints.locations import kept_spaces, open_storage
from pinakes.store.collections import collection_names, open_collection, require_collection
from pinakes.store.connection import Connection
from pinakes.store.removal import collection_size
from pinakes.store.runs import latest_runs
from pinakes.store.space_registry import spaces


def collections(conn: Connection) -> list[dict[str, Any]]:
    """A document for each collection that this user may use, by name; every value fits JSON."""
    return [about(conn, name) for name in collection_names(conn)]


def about(conn: Connection, name: str) -> dict[str, Any]:
    """One collection: pictures, spaces with the active one, bytes of its tables with their indexes, the last run.

    Raises:
        UsageError: there is no such collection.
    """
    open_collection(conn, name)
    registered = spaces(conn, name)
    pictures, size = collection_size(conn, name)
    last = next(iter(latest_runs(conn, name, limit=1)), None)
    return {
        "collection": name,
        "source": require_collection(conn, name),
        "pictures": pictures,
        "spaces": [space.name for space in registered],
        "active": next((space.name for space in registered if space.active), None),
        "bytes": size,
        "last_run": None
        if last is None
        else {"started_at": last.started_at.isoformat(timespec="seconds"), "state": last.state},
    }


def kept(checkpoint: str, name: str) -> dict[str, Any]:
    """What the checkpoint at this root keeps of a collection, and the command that deletes it; every value fits JSON.

    Raises:
        UsageError, CheckpointError: see `kept_spaces`.
    """
    location = open_storage(checkpoint, name).location
    # Quoted: the user copies the command, and a space in a folder's name would make it delete another one.
    delete = removing(location) if in_bucket(location) else f"rm -r {shlex.quote(location)}"
    return {
        "checkpoint": location,
        "checkpoint_spaces": [space.name for space in kept_spaces(checkpoint, name)],
        "delete": delete,
    }
