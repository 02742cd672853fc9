"""The list of forgotten pictures next to a collection's spaces, where it outlives the database.

Files are written once and never changed: adding writes another one, and replacing writes the whole list before the
earlier files go. At every moment, and after a crash at any, all files together hold every tombstone.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

from pinakes.checkpoints.base import Storage
from pinakes.checkpoints.folder import explain
from pinakes.checkpoints.locations import open_storage
from pinakes.checkpoints.parts import MAX_LISTINGS
from pinakes.errors import CheckpointError
from pinakes.tombstones import Tombstone, Tombstones

PREFIX = "forgotten-"
SUFFIX = ".json"

FORMAT_VERSION = 1
"""Raised by hand when the meaning of a field changes."""


class TombstoneFile:
    """The tombstones of one collection, at `<root>/<collection>/forgotten-<uuid>.json`.

    Args:
        root: of the checkpoints: the path of a folder, or gs://bucket/folder.
        collection: the collection.

    Raises:
        UsageError: the root is neither, or the collection cannot have that name.
    """

    def __init__(self, root: str, collection: str) -> None:
        self._storage: Storage = open_storage(root, collection)

    def read(self) -> Tombstones:
        """Every tombstone that is kept.

        Raises:
            CheckpointError: a file cannot be read. Nothing may be indexed then: a forgotten picture could come back.
        """
        for _ in range(MAX_LISTINGS):
            names = self._names()
            try:
                found = [each for name in sorted(names) for each in self._read(name)]
            except FileNotFoundError:
                continue
            # A file that replaces others is there before they go: a listing in which nothing went has missed none.
            if names <= self._names():
                return Tombstones(found)
        raise CheckpointError(f"files kept vanishing from {self._storage.location} while it was read; try again.")

    def add(self, tombstones: Tombstones) -> None:
        """Keep these along with what is there.

        Raises:
            CheckpointError: they cannot be written.
        """
        if len(tombstones):
            self._write(tombstones)

    def replace(self, tombstones: Tombstones) -> None:
        """Keep these and no others; one process at a time may do that.

        Raises:
            CheckpointError: they cannot be written, or an earlier file cannot be removed.
        """
        earlier = self._names()
        self.add(tombstones)
        for name in earlier:
            self._storage.delete(name)

    def _names(self) -> set[str]:
        return {name for name in self._storage.names() if name.startswith(PREFIX) and name.endswith(SUFFIX)}

    def _write(self, tombstones: Tombstones) -> None:
        document = {
            "format": FORMAT_VERSION,
            "forgotten": [
                {
                    "image_id": each.image_id,
                    "fingerprint": each.fingerprint,
                    "forgotten_at": each.forgotten_at.isoformat(),
                }
                for each in tombstones
            ],
        }
        data = json.dumps(document, ensure_ascii=False, indent=1).encode()
        self._storage.write(f"{PREFIX}{uuid.uuid4()}{SUFFIX}", lambda sink: sink.write(data))

    def _read(self, name: str) -> list[Tombstone]:
        where = f"{name} in {self._storage.location}"
        try:
            with self._storage.open(name) as source:
                data: bytes = source.read()
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise CheckpointError(f"{where} cannot be read: {explain(exc)}") from exc
        try:
            document = json.loads(data)
            version = int(document["format"])
            if version <= FORMAT_VERSION:
                return [_tombstone(row) for row in document["forgotten"]]
        except (ValueError, KeyError, TypeError) as exc:
            raise CheckpointError(
                f"{where} is not a list of forgotten pictures ({exc}); restore it from a backup: without it they could"
                " come back."
            ) from exc
        raise CheckpointError(
            f"{where} has format {version}, and this version of Pinakes reads up to {FORMAT_VERSION}; upgrade Pinakes."
        )


def _tombstone(row: dict[str, Any]) -> Tombstone:
    at = datetime.fromisoformat(row["forgotten_at"])
    if not isinstance(row["image_id"], str) or not isinstance(row["fingerprint"], str) or at.tzinfo is None:
        raise ValueError("a field has another type")
    return Tombstone(row["image_id"], row["fingerprint"], at)
