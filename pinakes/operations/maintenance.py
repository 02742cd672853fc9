"""Housekeeping: what accumulates over the years is merged, rebuilt or removed, while the collections stay searchable.

Nothing here changes what a search finds or what a run would do. Each step is done only if it is due, so maintenance may run
as often as a schedule likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pinakes.checkpoints.checkpoint import Checkpoint, open_checkpoint
from pinakes.checkpoints.locations import kept_spaces
from pinakes.errors import LockHeldError
from pinakes.evaluation.recall import settle
from pinakes.maps.making import renew_map
from pinakes.settings import Settings
from pinakes.sources.thumbnails import MAX_BYTES, DiskCache
from pinakes.spaces import RegionSpace, Space
from pinakes.store import maintenance as store
from pinakes.store.collections import collection_names, open_collection, prepare, require_collection
from pinakes.store.connection import Connection, Pgvector
from pinakes.store.database import Database
from pinakes.store.image_changes import count_again
from pinakes.store.indexes import REBUILD_GROWTH, drop_half_built, ensure_index, rebuild_index
from pinakes.store.lease import Lease
from pinakes.store.migrate import SYSTEM_SCHEMA
from pinakes.store.scoped_connection import pooler_problem
from pinakes.store.space_registry import RegisteredSpace, spaces
from pinakes.store.tombstones import images_of, remove_images
from pinakes.takedowns.forget import THUMBNAILS
from pinakes.takedowns.sync import sync_tombstones
from pinakes.tombstones import Tombstones

MANY_SMALL_PARTS = 8
"""The number of small parts from which they are merged: reading fewer is quick, and merging rewrites them all."""

BLOATED = 1.5
"""An index that has grown to this many times the size of a new one is rebuilt. See `python -m benchmarks.bloat`."""

DEAD_SHARE = 0.1
"""From this share of dead rows on an index is rebuilt before the vacuum, which takes longer to repair the graph around
each of them than a build takes. See `python -m benchmarks.bloat --vacuum`."""

KEEP_RUNS_DAYS = 365
KEEP_QUERIES_DAYS = 365
KEEP_ORPHANED_QUERIES_DAYS = 30
"""For vectors of queries in a space that no collection has: it may come back, from its checkpoint."""
KEEP_LOCKS_DAYS = 1


@dataclass(frozen=True, slots=True)
class Act:
    """One step of the maintenance.

    Attributes:
        where: the collection, with a space or a table; or what all collections share.
        what: the kind of step: tombstones, checkpoint, index, map, values, vacuum, runs, locks, queries, thumbnails.
        done: whether anything was changed.
        detail: what was done, or why nothing was.
    """

    where: str
    what: str
    done: bool
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """A plain document; every value fits JSON."""
        return asdict(self)


class Maintenance:
    """The maintenance of some collections and of what all collections share.

    Args:
        settings: the settings.
        database: the database.
        checkpoint: the root of the checkpoints; None: that of the settings.
        wait: seconds to queue behind a run; a space that is still being written then is left for the next time.
    """

    def __init__(
        self, settings: Settings, database: Database, *, checkpoint: str | None = None, wait: float = 0.0
    ) -> None:
        self._settings = settings
        self._database = database
        self._root = checkpoint or settings.checkpoint
        self._wait = wait

    def run(self, collections: Sequence[str] | None = None) -> Iterator[Act]:
        """Maintain some collections, or all, step by step; each step is yielded when it is done.

        Raises:
            UsageError: there is no such collection.
            PinakesError: something cannot be read or written; what was done before stays done.
        """
        with self._database.connection() as (conn, _):
            prepare(conn)
            everything = collection_names(conn)
            for name in collections or ():  # all names are checked before hours of work on the first one
                require_collection(conn, name)
            for name in everything if collections is None else collections:
                yield from self._collection(conn, name)
            # Of all collections, even if only one is maintained: queries of the others' spaces are not orphaned.
            known: list[str] = []
            for name in everything:
                open_collection(conn, name)
                known += [registered.name for registered in spaces(conn, name)]
            yield from self._shared(conn, known)
            yield from self._vacuum(conn, SYSTEM_SCHEMA)
        yield from self._caches()

    def _collection(self, conn: Connection, collection: str) -> Iterator[Act]:
        pgvector = open_collection(conn, collection)
        tombstones = sync_tombstones(self._database, collection, self._root, lease_seconds=self._settings.lease_seconds)
        registered = {each.name: each for each in spaces(conn, collection)}
        # A space may be in the checkpoint only, after a drop or before the first load.
        known = {space.name: space for space in kept_spaces(self._root, collection)}
        known |= {name: each.space for name, each in registered.items()}
        for name, space in sorted(known.items()):
            where = f"{collection}/{name}"
            # The lease of a run: while one writes the space, neither its parts nor its index may be replaced.
            lease = Lease(self._database.dsn, where, seconds=self._settings.lease_seconds, wait=self._wait)
            try:
                with lease:
                    yield from self._checkpoint(where, collection, space, tombstones, lease)
                    if name in registered:
                        yield from self._forgotten(conn, where, collection, tombstones, lease)
                        for each in filter(None, (registered[name], registered[name].regions)):
                            at = f"{collection}/{each.name}"
                            yield from self._index(conn, at, collection, each.space, lease, pgvector)
            except LockHeldError as exc:
                yield Act(where, "space", False, f"left for the next time: {exc}")
        # These need no lease. They come last, and the vacuum after them, because the steps above change rows.
        for each in spaces(conn, collection):
            yield from self._map(conn, collection, each)
        counted = count_again(conn, collection)
        yield Act(collection, "values", counted, "counted again" if counted else "counted since they last changed")
        yield from self._vacuum(conn, collection)

    @staticmethod
    def _map(conn: Connection, collection: str, registered: RegisteredSpace) -> Iterator[Act]:
        renewed = renew_map(conn, collection, registered)
        if renewed is not None:
            changed, made = renewed
            detail = f"{changed:.0%} of its pictures had changed" if made else f"{changed:.0%} of its pictures changed"
            yield Act(f"{collection}/{registered.name}", "map", made is not None, detail)

    def _checkpoint(
        self, where: str, collection: str, space: Space, tombstones: Tombstones, lease: Lease
    ) -> Iterator[Act]:
        """Finish a take-down that died, and merge small parts."""
        checkpoint = open_checkpoint(self._root, collection, space)
        # Before the merge, which would copy the forgotten answers into a new part.
        if self._holds_forgotten(checkpoint, tombstones):
            lease.check()  # listing a large checkpoint may take longer than the lease lasts
            erased = checkpoint.erase(tombstones.ids, tombstones.fingerprints)
            yield Act(where, "tombstones", True, f"forgotten answers removed: {erased.rows:,}")
        parts = len(checkpoint.ledger().parts)
        if not checkpoint.needs_compaction(MANY_SMALL_PARTS):
            yield Act(where, "checkpoint", False, f"parts: {parts:,}")
            return
        lease.check()
        # In the format of most of its parts: a collection that was kept as CSV stays CSV.
        open_checkpoint(self._root, collection, space, format=checkpoint.kept_as).compact()
        yield Act(where, "checkpoint", True, f"parts: {parts:,}, now {len(checkpoint.ledger().parts):,}")

    @staticmethod
    def _holds_forgotten(checkpoint: Checkpoint, tombstones: Tombstones) -> bool:
        ledger = checkpoint.ledger()
        if any(map(ledger.known, tombstones.ids)):
            return True
        return bool(tombstones.fingerprints) and any(True for _ in ledger.ids_of(tombstones.fingerprints))

    @staticmethod
    def _forgotten(
        conn: Connection, where: str, collection: str, tombstones: Tombstones, lease: Lease
    ) -> Iterator[Act]:
        left = images_of(conn, collection, tombstones.ids, tombstones.fingerprints) if len(tombstones) else []
        if left:
            remove_images(conn, collection, [image.image_id for image in left], [lease])
            yield Act(where, "tombstones", True, f"forgotten pictures removed: {len(left):,}")

    @staticmethod
    def _index(
        conn: Connection, where: str, collection: str, space: Space, lease: Lease, pgvector: Pgvector
    ) -> Iterator[Act]:
        if drop_half_built(conn, collection, space):
            yield Act(where, "index", True, "a half-built one was dropped")
        state = store.index_state(conn, collection, space)
        if state is None:
            yield Act(where, "index", False, "none: searches are exact")
            return
        # An index of an earlier version has no size to compare with: it is measured against its present one next time.
        if state.fresh is None:
            store.enter_baseline(conn, collection, space, state)
        sizes = f"{state.bloat:.2f} times its size when built, {state.dead_share:.0%} dead"
        # The lists of IVFFlat were chosen for the rows of that time: with many more it is slow, though not bloated.
        if state.kind == "ivfflat" and state.rows > REBUILD_GROWTH * state.built_rows:
            ensure_index(conn, collection, space, "ivfflat", lease, pgvector)
            yield Act(where, "index", True, f"rebuilt: {state.built_rows:,} rows have become {state.rows:,}")
        elif state.bloat > BLOATED or state.dead_share > DEAD_SHARE:
            problem = pooler_problem(conn, "rebuilding the index")
            if problem is not None:
                yield Act(where, "index", False, f"{sizes}; {problem}")
                return
            rebuild_index(conn, collection, space, lease, pgvector)
            # A new graph is another graph: how far a search must look in it is measured again.
            if not isinstance(space, RegionSpace):
                settle(conn, pgvector, collection, space)
            yield Act(where, "index", True, f"rebuilt: it was {sizes}")
            # The new index knows no dead row, so that the vacuum has no graph to repair.
            if state.dead:
                store.tidy(conn, store.TableState(collection, space.name, state.dead, state.dead, True, True))
                yield Act(where, "vacuum", True, f"dead rows: {state.dead:,}")
        else:
            yield Act(where, "index", False, sizes)

    @staticmethod
    def _vacuum(conn: Connection, schema: str) -> Iterator[Act]:
        due = list(store.tables_due(conn, [schema]))
        for table in due:
            store.tidy(conn, table)
            what = "vacuum" if table.vacuum else "analyze"
            detail = f"rows dead: {table.dead:,}, changed: {table.changed:,}"
            yield Act(f"{schema}.{table.name}", what, True, detail)
        if not due:
            yield Act(schema, "vacuum", False, "no table is due")

    @staticmethod
    def _shared(conn: Connection, known: Sequence[str]) -> Iterator[Act]:
        runs = store.prune_runs(conn, KEEP_RUNS_DAYS)
        yield Act(SYSTEM_SCHEMA, "runs", runs > 0, f"{runs:,} removed ({KEEP_RUNS_DAYS} days old)")
        locks = store.prune_locks(conn, KEEP_LOCKS_DAYS)
        yield Act(SYSTEM_SCHEMA, "locks", locks > 0, f"{locks:,} removed (had run out)")
        queries = store.trim_queries(conn, KEEP_QUERIES_DAYS, KEEP_ORPHANED_QUERIES_DAYS, known)
        yield Act(SYSTEM_SCHEMA, "queries", queries > 0, f"{queries:,} removed (long not asked)")

    def _caches(self) -> Iterator[Act]:
        before, after = DiskCache(self._settings.home.joinpath(*THUMBNAILS), MAX_BYTES).trim()
        detail = f"{after / 2**20:,.0f} MB of {MAX_BYTES / 2**20:,.0f}"
        yield Act("this machine", "thumbnails", after < before, detail)
