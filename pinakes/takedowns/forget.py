"""Take-downs: a picture leaves the table, the checkpoint and the caches, and a tombstone keeps it from coming back.

The tombstone is written first. A take-down that dies after that is finished by the next one, by `pinakes maintain` and, in
the table, by the next run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from pinakes import ids
from pinakes.checkpoints.checkpoint import Checkpoint, open_checkpoint
from pinakes.checkpoints.folder import SET_ASIDE
from pinakes.checkpoints.lasting_list import tombstone_file
from pinakes.checkpoints.ledger import PROVES_EQUAL, Ledger, LedgerRow
from pinakes.checkpoints.locations import kept_spaces, open_storage
from pinakes.errors import UsageError
from pinakes.images.regions import whole
from pinakes.settings import Settings
from pinakes.sources.etags import EtagCache
from pinakes.sources.fingerprints import FingerprintCache
from pinakes.sources.iiif.documents import DocumentCache
from pinakes.sources.thumbnails import forget_thumbnails
from pinakes.spaces import Space
from pinakes.store.collections import collection_names, open_collection, prepare, require_collection
from pinakes.store.connection import Connection
from pinakes.store.database import Database
from pinakes.store.image_changes import count_again
from pinakes.store.lease import Lease
from pinakes.store.space_registry import spaces
from pinakes.store.tombstones import (
    StoredImage,
    add_tombstones,
    images_of,
    remove_images,
    remove_tombstones,
    scrub,
)
from pinakes.takedowns.sync import known_tombstones, list_lease
from pinakes.tombstones import Tombstone, Tombstones
from pinakes.types import utc_now

THUMBNAILS = ("cache", "thumbnails")
"""The search page's folder of thumbnails, below PINAKES_HOME."""


@dataclass(slots=True)
class TakedownPlan:
    """What a take-down will remove.

    Attributes:
        image_ids: the pictures, those of equal bytes included where they were asked for.
        tombstones: (image_id, fingerprint) of each tombstone that will be left; "" where an id is kept out by itself.
        fingerprints: bytes that are kept out under every id.
        known_bytes: every fingerprint under which something of these pictures is kept.
        stored: their rows in the table.
        equal: other pictures of equal bytes, which stay.
        notes: what is worth knowing before it is done.
    """

    image_ids: list[str]
    tombstones: list[tuple[str, str]] = field(default_factory=list)
    fingerprints: frozenset[str] = frozenset()
    known_bytes: frozenset[str] = frozenset()
    stored: list[StoredImage] = field(default_factory=list)
    equal: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Forgotten:
    """What a take-down has removed.

    Attributes:
        image_ids: the pictures.
        vectors: rows of each space of the table.
        answers: rows of each space of the checkpoint, superseded ones included.
        parts: parts of the checkpoint that were rewritten.
        thumbnails, cached: files of the search page, and fingerprints of local files and of URLs, on this machine.
        notes: what could not be reached.
    """

    image_ids: list[str]
    vectors: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    parts: int = 0
    thumbnails: int = 0
    cached: int = 0
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """A plain document; every value fits JSON."""
        return {
            "forgotten": self.image_ids,
            "vectors": self.vectors,
            "answers": self.answers,
            "parts": self.parts,
            "thumbnails": self.thumbnails,
            "cached_fingerprints": self.cached,
            "notes": self.notes,
        }


class Takedowns:
    """The take-downs of one collection.

    The collection may be gone from the database; `checkpoint` is the root of its checkpoints, else the settings'.

    Raises:
        UsageError: neither the database nor the checkpoint knows such a collection.
    """

    def __init__(
        self, settings: Settings, database: Database, collection: str, *, checkpoint: str | None = None
    ) -> None:
        self._settings = settings
        self._database = database
        self._collection = collection
        self._root = checkpoint or settings.checkpoint
        self._file = tombstone_file(self._root, collection)
        with database.connection() as (conn, _):
            prepare(conn)
            self._in_table = collection in collection_names(conn)
            if self._in_table:
                open_collection(conn, collection)
            elif not list(kept_spaces(self._root, collection)) and not self._file.read():
                require_collection(conn, collection)

    def tombstones(self) -> Tombstones:
        """Every picture that was forgotten, by the checkpoint and the table together."""
        with self._database.connection() as (conn, _):
            return known_tombstones(conn, self._collection, self._root)

    def find(self, images: Sequence[str], *, equal_bytes: bool = False, ahead: bool = False) -> TakedownPlan:
        """What taking these pictures down would remove; nothing is changed.

        Args:
            images: image_ids.
            equal_bytes: every picture of equal bytes, too, and these bytes under any other name that they may get.
            ahead: allow pictures of which nothing is known yet: they are to be kept out.

        Raises:
            UsageError: there is no such picture.
            CheckpointError: the checkpoint cannot be read.
        """
        named = {_image_id(name) for name in images}
        with self._database.connection() as (conn, _):
            ledgers = [self._checkpoint(space).ledger() for space in self._spaces(conn)]
            stored = images_of(conn, self._collection, named) if self._in_table else []
            # A picture that could not be read since the table was made is stored without a fingerprint.
            newest = _newest(ledgers, named) | {each.image_id: each.fingerprint for each in stored if each.fingerprint}
            known = {each.image_id for each in stored} | known_tombstones(conn, self._collection, self._root).ids
            for name in sorted(named):
                if not ahead and name not in known and not any(ledger.known(name) for ledger in ledgers):
                    raise UsageError(
                        f"there is no image {name!r} in {self._collection}: check how it is written, or use --ahead to"
                        " keep it out before it is ever listed."
                    )
            # A tombstone of any other kind of fingerprint could keep out a picture that only looks equal by it.
            proven = {name: value for name, value in newest.items() if value.startswith(PROVES_EQUAL)}
            others = {pair for pair in self._of_bytes(conn, ledgers, set(proven.values())) if pair[0] not in named}
            plan = TakedownPlan(sorted(named), [(name, "") for name in sorted(named)])
            if equal_bytes:
                # Each id is paired with its own bytes only. Paired with those of another picture as well, its bytes would
                # stay out after its own tombstones are undone, until the other picture is let in too.
                plan.tombstones = sorted({*others, *((name, proven.get(name, "")) for name in named)})
                plan.fingerprints = frozenset(proven.values())
                plan.image_ids = sorted({image_id for image_id, _ in plan.tombstones})
                plan.notes += [
                    f"{name}: no MD5 of its bytes is known, so it is forgotten by its id alone"
                    for name in sorted(named - proven.keys())
                ]
            else:
                plan.equal = sorted({image_id for image_id, _ in others})
            if self._in_table:
                plan.stored = images_of(conn, self._collection, set(plan.image_ids))
        plan.known_bytes = frozenset(
            {image.fingerprint for image in plan.stored}.union(*(_fingerprints(o, plan.image_ids) for o in ledgers))
            - {""}
        )
        return plan

    def forget(self, found: TakedownPlan, *, wait: float = 0.0) -> Forgotten:
        """Remove the pictures for good and leave tombstones.

        Args:
            found: what `find` returned.
            wait: seconds to queue behind a run that writes a space of the collection.

        Raises:
            LockHeldError: a run is writing a space; nothing was changed, or the tombstones alone.
            CheckpointError: the checkpoint cannot be written; run it again to finish.
        """
        now = utc_now()
        new = Tombstones(Tombstone(*pair, now) for pair in found.tombstones)
        done = Forgotten(found.image_ids)
        with self._database.connection() as (conn, _), ExitStack() as leases:
            held = self._lock(self._spaces(conn), leases, wait)
            with self._list_locked():
                # The file first: what is only in the table is lost with its schema.
                self._file.replace(known_tombstones(conn, self._collection, self._root) | new)
                if self._in_table:
                    add_tombstones(conn, self._collection, new)
            # A run that entered a space before it could see the tombstones ends first; later ones do see them.
            entered = self._spaces(conn)
            held |= self._lock([space for space in entered if space.name not in held], leases, wait)
            if self._in_table:
                # Looked up again: since `find` a run may have given a picture other bytes, or these bytes another name.
                stored = images_of(conn, self._collection, set(found.image_ids), found.fingerprints)
                found.stored = sorted({*found.stored, *stored}, key=lambda image: image.image_id)
                found.known_bytes |= {image.fingerprint for image in stored}
                gone = [image.image_id for image in stored]
                done.vectors = remove_images(conn, self._collection, gone, held.values())
                count_again(conn, self._collection)
            for space in entered:
                # No transaction guards files: a lease that ran out meanwhile must be noticed before each rewriting.
                held[space.name].check()
                checkpoint = self._checkpoint(space)
                erased = checkpoint.erase(set(found.image_ids), found.fingerprints)
                done.answers[space.name] = erased.rows
                done.parts += erased.parts
                done.notes += checkpoint.problems
                if SET_ASIDE in open_storage(self._root, self._collection, space.name).folders():
                    done.notes.append(f"files set aside in {checkpoint.location}/{SET_ASIDE} were not searched")
            self._clear_caches(found, done)
            if self._in_table:
                # A deleted row stays in its file, and its vector in the index, until a vacuum.
                dead = scrub(conn, self._collection, ["images", "counted_values", "pixels", "sketches", *done.vectors])
                done.notes += [
                    f"a transaction that is still open keeps dead rows of {name}; pinakes maintain removes them later"
                    for name in dead
                ]
        return done

    def undo(self, images: Sequence[str], *, equal_bytes: bool = False) -> list[str]:
        """Remove tombstones, so that the next run may embed the pictures again; the image_ids.

        Args:
            images: image_ids.
            equal_bytes: also the tombstones of other pictures that keep the same bytes out.

        Raises:
            UsageError: one of them was not forgotten.
        """
        named = {_image_id(name) for name in images}
        with self._database.connection() as (conn, _), self._list_locked():
            known = known_tombstones(conn, self._collection, self._root)
            strangers = sorted(named - known.ids)
            if strangers:
                raise UsageError(
                    f"the image {strangers[0]!r} was not forgotten in {self._collection}; pinakes forget --list names those"
                    " that were."
                )
            gone = Tombstones(each for each in known if each.image_id in named)
            if equal_bytes:
                gone |= Tombstones(each for each in known if each.fingerprint in gone.fingerprints)
            # The file first: dying before the table's turn leaves the pictures out, and undoing again lets them in.
            self._file.replace(known - gone)
            if self._in_table:
                remove_tombstones(conn, self._collection, gone)
        return sorted(gone.ids)

    # -- where pictures are kept ---------------------------------------------------------------------------------------

    def _spaces(self, conn: Connection) -> list[Space]:
        """The spaces that the registry or the checkpoint knows, as they are now, by name."""
        found = {space.name: space for space in kept_spaces(self._root, self._collection)}
        if self._in_table:
            found |= {registered.name: registered.space for registered in spaces(conn, self._collection)}
        return [found[name] for name in sorted(found)]

    def _checkpoint(self, space: Space) -> Checkpoint:
        return open_checkpoint(self._root, self._collection, space)

    def _of_bytes(self, conn: Connection, ledgers: Iterable[Ledger], fingerprints: set[str]) -> set[tuple[str, str]]:
        """Every (image_id, fingerprint) with one of these fingerprints, regions counted as their pictures."""
        if not fingerprints:
            return set()
        pairs = {
            (image_id, fingerprint)
            for ledger in ledgers
            for image_id in set(ledger.ids_of(fingerprints))
            for fingerprint in _fingerprints(ledger, [image_id]) & fingerprints
        }
        if self._in_table:
            # The bytes that are stored count, not former ones; without an MD5 nobody knows whether they are others.
            stored = images_of(conn, self._collection, {image_id for image_id, _ in pairs}, fingerprints)
            now = {each.image_id: each.fingerprint for each in stored if each.fingerprint.startswith(PROVES_EQUAL)}
            pairs = {pair for pair in pairs if pair[0] not in now}
            pairs |= {(image_id, value) for image_id, value in now.items() if value in fingerprints}
        return pairs

    def _list_locked(self) -> Lease:
        return list_lease(self._database, self._collection, self._settings.lease_seconds)

    def _lock(self, some: Iterable[Space], leases: ExitStack, wait: float) -> dict[str, Lease]:
        """Take the leases of some spaces, until `leases` is closed; by the names of the spaces."""
        held = {}
        for space in some:
            resource = f"{self._collection}/{space.name}"
            lease = Lease(self._database.dsn, resource, seconds=self._settings.lease_seconds, wait=wait)
            held[space.name] = leases.enter_context(lease)
        return held

    def _clear_caches(self, found: TakedownPlan, done: Forgotten) -> None:
        """Remove the pictures from this machine's caches."""
        folder = self._settings.home.joinpath(*THUMBNAILS)
        try:
            done.thumbnails = forget_thumbnails(folder, found.known_bytes)
        except OSError as exc:
            done.notes.append(f"thumbnails in {folder} cannot be removed: {exc.strerror or exc}")
        files = [unquote_to_bytes(i.uri.removeprefix("file://")) for i in found.stored if i.uri.startswith("file://")]
        urls = [i.uri for i in found.stored if i.uri.startswith(("https://", "http://"))]
        with FingerprintCache(self._settings.home) as cache:
            hashed = cache.forget(files, found.known_bytes)
        with EtagCache(self._settings.home) as etags:
            fetched = etags.forget(urls, found.known_bytes)
        with DocumentCache(self._settings.home) as documents:
            # Only pictures with a URL can be described by a IIIF document.
            described = documents.forget_all() if urls else 0
        if None in (hashed, fetched, described):
            done.notes.append(f"a cache of fingerprints in {self._settings.home} cannot be used; remove *.sqlite there")
        done.cached = (hashed or 0) + (fetched or 0)


def _image_id(name: str) -> str:
    try:
        return ids.image_id(name)
    except ids.BadNameError as exc:
        raise UsageError(f"{name!r} cannot be an image_id: {exc}.") from exc


def _newest(ledgers: Iterable[Ledger], image_ids: Iterable[str]) -> dict[str, str]:
    """The fingerprint of the newest answer about each image that has one."""
    newest: dict[str, LedgerRow] = {}
    for ledger in ledgers:
        for image_id in image_ids:
            for row in ledger.rows_of(image_id):
                if row.fingerprint and (image_id not in newest or newest[image_id].embedded_at < row.embedded_at):
                    newest[image_id] = row
    return {image_id: whole(row.fingerprint) for image_id, row in newest.items()}


def _fingerprints(ledger: Ledger, image_ids: Iterable[str]) -> set[str]:
    """Every fingerprint that some images have had."""
    return {whole(row.fingerprint) for image_id in image_ids for row in ledger.rows_of(image_id)}
