"""The list of forgotten pictures next to a collection's spaces, where it outlives the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pinakes.checkpoints.lasting_list import LastingList
from pinakes.tombstones import Tombstone, Tombstones


class TombstoneFile:
    """The tombstones of one collection, at `<root>/<collection>/forgotten-<uuid>.json`; see `LastingList`."""

    def __init__(self, root: str, collection: str) -> None:
        what = ("forgotten pictures", "without it they could come back")
        self._list = LastingList(root, collection, "forgotten", _row, _tombstone, what)

    def read(self) -> Tombstones:
        """Every tombstone that is kept.

        Raises:
            CheckpointError: a file cannot be read. Nothing may be indexed then: a forgotten picture could come back.
        """
        return Tombstones(self._list.read())

    def add(self, tombstones: Tombstones) -> None:
        """Keep these next to those that are kept already.

        Raises:
            CheckpointError: they cannot be written.
        """
        self._list.add(tombstones)

    def replace(self, tombstones: Tombstones) -> None:
        """Keep these and no others; one process at a time may do that.

        Raises:
            CheckpointError: they cannot be written, or an earlier file cannot be removed.
        """
        self._list.replace(tombstones)


def _row(entry: Tombstone) -> dict[str, Any]:
    at = entry.forgotten_at.isoformat()
    return {"image_id": entry.image_id, "fingerprint": entry.fingerprint, "forgotten_at": at}


def _tombstone(row: dict[str, Any]) -> Tombstone:
    at = datetime.fromisoformat(row["forgotten_at"])
    if not isinstance(row["image_id"], str) or not isinstance(row["fingerprint"], str) or at.tzinfo is None:
        raise ValueError("a field has another type")
    return Tombstone(row["image_id"], row["fingerprint"], at)
