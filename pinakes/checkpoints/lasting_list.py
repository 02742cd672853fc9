"""Lists of what people decided, next to a collection's spaces, where they outlive the database.

Files are written once and never changed: adding writes another one, and replacing writes the whole list before the
earlier files go. At every moment, and after a crash at any, all files together hold every entry.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import astuple, fields
from datetime import datetime
from typing import Any, Generic, TypeVar

from pinakes.checkpoints.base import Storage
from pinakes.checkpoints.folder import explain
from pinakes.checkpoints.locations import open_storage
from pinakes.checkpoints.parts import MAX_LISTINGS
from pinakes.errors import CheckpointError
from pinakes.tombstones import Tombstone
from pinakes.types import Decision

SUFFIX = ".json"

FORMAT_VERSION = 1
"""Raised by hand when the meaning of a field changes."""

Entry = TypeVar("Entry", bound=Decision | Tombstone)
"""Its fields are texts, and then a moment with its time zone."""


def decision_file(root: str, collection: str) -> LastingList[Decision]:
    """The decisions about copies in one collection, at `<root>/<collection>/decisions-<uuid>.json`."""
    what = ("decisions about copies", "without it they would have to be made again")
    return LastingList(root, collection, "decisions", Decision, what)


def tombstone_file(root: str, collection: str) -> LastingList[Tombstone]:
    """The pictures that one collection has forgotten, at `<root>/<collection>/forgotten-<uuid>.json`.

    Nothing may be indexed while it cannot be read: a forgotten picture could come back.
    """
    what = ("forgotten pictures", "without it they could come back")
    return LastingList(root, collection, "forgotten", Tombstone, what)


class LastingList(Generic[Entry]):
    """A list of one collection, at `<root>/<collection>/<name>-<uuid>.json`.

    Args:
        root: of the checkpoints: the path of a folder, or the address of a folder in a bucket.
        collection: the collection.
        name: begins the names of its files, and is the key of its entries in them.
        kind: the class of its entries.
        what: what it lists, and what is lost without it, for messages.

    Raises:
        UsageError: the root is neither, or the collection cannot have that name.
    """

    def __init__(self, root: str, collection: str, name: str, kind: type[Entry], what: tuple[str, str]) -> None:
        self._storage: Storage = open_storage(root, collection)
        self._name = name
        self._kind = kind
        self._fields = [field.name for field in fields(kind)]
        self._what = what

    def read(self) -> list[Entry]:
        """Every entry that is kept, some of them more than once.

        Raises:
            CheckpointError: a file cannot be read.
        """
        for _ in range(MAX_LISTINGS):
            names = self._names()
            try:
                entries = [entry for name in sorted(names) for entry in self._read(name)]
            except FileNotFoundError:
                continue
            # A file that replaces others is written before they are deleted: while none vanishes, no entry is missed.
            if names <= self._names():
                return entries
        raise CheckpointError(f"files kept vanishing from {self._storage.location} while it was read; try again.")

    def add(self, entries: Iterable[Entry]) -> None:
        """Keep these next to the entries that are kept already.

        Raises:
            CheckpointError: they cannot be written.
        """
        rows = [self._row(entry) for entry in entries]
        if rows:
            document = {"format": FORMAT_VERSION, self._name: rows}
            data = json.dumps(document, ensure_ascii=False, indent=1).encode()
            self._storage.write(f"{self._name}-{uuid.uuid4()}{SUFFIX}", lambda sink: sink.write(data))

    def replace(self, entries: Iterable[Entry]) -> None:
        """Keep these and no others; one process at a time may do that.

        Raises:
            CheckpointError: they cannot be written, or an earlier file cannot be removed.
        """
        # Listed before the new file is there, or it would be deleted with the others.
        earlier = self._names()
        self.add(entries)
        for name in earlier:
            self._storage.delete(name)

    def _names(self) -> set[str]:
        return {n for n in self._storage.names() if n.startswith(f"{self._name}-") and n.endswith(SUFFIX)}

    def _row(self, entry: Entry) -> dict[str, str]:
        *texts, at = astuple(entry)
        return dict(zip(self._fields, (*texts, at.isoformat()), strict=True))

    def _entry(self, row: dict[str, Any]) -> Entry:
        *texts, at = (row[name] for name in self._fields)
        moment = datetime.fromisoformat(at)
        if not all(isinstance(text, str) for text in texts) or moment.tzinfo is None:
            raise ValueError("a field has another type")
        return self._kind(**dict(zip(self._fields, (*texts, moment), strict=True)))

    def _read(self, name: str) -> list[Entry]:
        where = f"{name} in {self._storage.location}"
        try:
            with self._storage.open(name) as source:
                data: bytes = source.read()
        except FileNotFoundError:  # replaced meanwhile; `read` lists again
            raise
        except OSError as exc:
            raise CheckpointError(f"{where} cannot be read: {explain(exc)}") from exc
        try:
            document = json.loads(data)
            version = int(document["format"])
            if version <= FORMAT_VERSION:
                return [self._entry(row) for row in document[self._name]]
        except (ValueError, KeyError, TypeError) as exc:
            what, loss = self._what
            raise CheckpointError(
                f"{where} is not a list of {what} ({exc}); restore it from a backup: {loss}."
            ) from exc
        raise CheckpointError(
            f"{where} has format {version}, and this version of Pinakes reads up to {FORMAT_VERSION}; upgrade Pinakes."
        )
