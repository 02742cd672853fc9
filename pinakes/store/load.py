"""Loading a collection: its images with their metadata, and the vectors of one space, under the run's lease."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import pandas as pd
import psycopg
from psycopg import sql

from pinakes.checkpoints.base import VectorChunk
from pinakes.errors import DatabaseError
from pinakes.spaces import Space
from pinakes.store.addresses import reason
from pinakes.store.connection import Connection, find_pgvector, translated, value_of
from pinakes.store.database import RECONNECT_SECONDS
from pinakes.store.lease import Lease
from pinakes.store.reload import Reload, reload_for
from pinakes.store.space_registry import count_rows, spaces
from pinakes.store.staging import (
    STAGED_IMAGES,
    STAGED_VECTORS,
    Written,
    copy_images,
    copy_vectors,
    create_staging,
    merge_images,
    merge_vectors,
)
from pinakes.store.strong_locks import LONG_PATIENCE, StrongLock, take_turn

logger = logging.getLogger(__name__)

_METADATA_INDEXES: Mapping[str, Any] = {
    "images_words": "USING gin (words)",
    "images_author": "(author)",
    "images_type": "(type)",
    "images_school": "(school)",
    "images_timeframe": "(timeframe)",
    "images_fingerprint": "(fingerprint)",
}

T = TypeVar("T")


class Loader:
    """Writes one collection and space, each transaction under the run's lease.

    Args:
        conn: a connection in autocommit mode that knows pgvector's types.
        collection: the collection.
        space: the space whose vectors are loaded.
        lease: checked inside every transaction.
        reconnect: opens another such connection; a part whose connection is lost is then loaded again. None: it fails.
    """

    def __init__(
        self,
        conn: Connection,
        collection: str,
        space: Space,
        lease: Lease,
        *,
        reconnect: Callable[[], Connection] | None = None,
    ) -> None:
        self._conn = conn
        self._space = space
        self._collection = collection
        self._lease = lease
        self._reconnect = reconnect
        self._images = sql.Identifier(collection, "images")
        self._vectors = sql.Identifier(collection, space.name)

    def read(self, action: Callable[[Connection], T]) -> T:
        """What somebody reads through the connection in use; begun again on another one when it is lost."""
        return self._lasting(lambda: action(self._conn))

    def close(self) -> None:
        """Close the connection in use, also when it is not the one that was given."""
        self._conn.close()

    # -- images --------------------------------------------------------------------------------------------------------

    def load_images(self, parts: Callable[[], Iterable[pd.DataFrame]], *, with_metadata: bool) -> Written:
        """Write the images of a listing.

        Args:
            parts: makes the frames, with image_id, uri, fingerprint and, `with_metadata`, `COLUMNS` and extra; every image
                once. Called again when a first load has to start over.
            with_metadata: False keeps the metadata that is stored and touches only where and what the picture is.
        """
        with translated("loading the images"):
            first = self._lasting(lambda: self._first_images(parts()))
            if first is not None:
                return first
            total = Written()
            for part in parts():
                total += self._lasting(partial(self._merge_images, part, with_metadata))
        return total

    def _first_images(self, parts: Iterable[pd.DataFrame]) -> Written | None:
        """Copy straight into an empty table, in one transaction; None where there are images already."""
        if not self._empty(self._images):
            return None
        with self._conn.transaction():
            self._lease.guard(self._conn)
            # Against a run that embeds the same collection into another space at the same time.
            lock = StrongLock((self._images,), "SHARE ROW EXCLUSIVE", f"loading the images of {self._collection}")
            lock.take(self._conn, patience=LONG_PATIENCE)
            return copy_images(self._conn, parts, self._images) if self._empty(self._images) else None

    def _merge_images(self, part: pd.DataFrame, with_metadata: bool) -> Written:
        with self._conn.transaction():
            self._lease.guard(self._conn)
            create_staging(self._conn, STAGED_IMAGES, self._images)
            copy_images(self._conn, (part,), STAGED_IMAGES)
            take_turn(self._conn, self._collection)
            self._drop_outdated_vectors()
            return merge_images(self._conn, self._images, with_metadata=with_metadata)

    def _drop_outdated_vectors(self) -> None:
        """Delete the vectors of staged images whose bytes changed, in every space: they would answer for another picture."""
        rows = self._conn.execute(
            sql.SQL(
                """
                SELECT s.image_id
                FROM {staged} AS s
                JOIN {images} AS i USING (image_id)
                WHERE s.fingerprint <> i.fingerprint
                """
            ).format(staged=STAGED_IMAGES, images=self._images)
        ).fetchall()
        if rows:
            changed = [image_id for (image_id,) in rows]
            for registered in spaces(self._conn, self._collection):
                table = sql.Identifier(self._collection, registered.name)
                self._conn.execute(sql.SQL("DELETE FROM {} WHERE image_id = ANY(%s)").format(table), (changed,))

    def remove(self, image_ids: Sequence[str]) -> int:
        """Delete images with their vectors in every space; how many there were."""
        with translated("removing images"):
            return self._lasting(partial(self._remove, image_ids))

    def _remove(self, image_ids: Sequence[str]) -> int:
        with self._conn.transaction():
            self._lease.guard(self._conn)
            take_turn(self._conn, self._collection)
            return self._conn.execute(
                sql.SQL("DELETE FROM {} WHERE image_id = ANY(%s)").format(self._images), (list(image_ids),)
            ).rowcount

    # -- vectors -------------------------------------------------------------------------------------------------------

    def load_vectors(self, chunks: Iterable[VectorChunk], *, expected: int = 0) -> Written:
        """Write vectors of the space, normalised to unit length; those of images that are not stored are left out.

        Args:
            chunks: at most one vector per image, shape (n, dimension), float32; none of them zero.
            expected: how many there will be. Many, into a space with an index, go into a second table that takes the
                place of the first: see `pinakes.store.reload`.
        """
        total = Written()
        with translated(f"loading the vectors of {self._space.name}"):
            pgvector = find_pgvector(self._conn)
            assert pgvector is not None
            reload = reload_for(self._conn, self._collection, self._space, expected, pgvector)
            if reload is not None:
                return self._reload_vectors(chunks, reload)
            first = self._empty(self._vectors)
            for chunk in chunks:
                total += self._lasting(partial(self._load_chunk, chunk, first))
        return total

    def _load_chunk(self, chunk: VectorChunk, first: bool) -> Written:
        with self._conn.transaction():
            self._lease.guard(self._conn)
            if first and self._all_current(chunk):
                return copy_vectors(self._conn, chunk, self._vectors)
            create_staging(self._conn, STAGED_VECTORS, self._vectors)
            copy_vectors(self._conn, chunk, STAGED_VECTORS)
            take_turn(self._conn, self._collection)
            return merge_vectors(self._conn, self._vectors, self._images)

    def _reload_vectors(self, chunks: Iterable[VectorChunk], reload: Reload) -> Written:
        """Load into a second table, build its index, and swap."""

        def move(chunk: VectorChunk, conn: Connection) -> None:
            create_staging(conn, STAGED_VECTORS, self._vectors)
            copy_vectors(conn, chunk, STAGED_VECTORS)
            reload.take(conn, STAGED_VECTORS)

        self._lasting(partial(self._guarded, reload.begin))
        for chunk in chunks:
            self._lasting(partial(self._guarded, partial(move, chunk)))
        self._lasting(partial(self._guarded, reload.keep))
        self._lasting(partial(self._guarded, reload.build))
        return Written(*self._lasting(partial(self._guarded, reload.end)))

    def _guarded(self, action: Callable[[Connection], T]) -> T:
        """Do something in a transaction under the lease."""
        with self._conn.transaction():
            self._lease.guard(self._conn)
            return action(self._conn)

    def _all_current(self, chunk: VectorChunk) -> bool:
        """Whether each vector of the chunk belongs to the bytes that its image has now."""
        current: int = value_of(
            self._conn,
            sql.SQL(
                """
                SELECT count(*)
                FROM unnest(%s::text[], %s::text[]) AS c (image_id, fingerprint)
                JOIN {images} AS i USING (image_id, fingerprint)
                """
            ).format(images=self._images),
            (list(chunk.image_ids), list(chunk.fingerprints)),
        )
        return current == len(chunk.image_ids)

    # -- the end of a load ---------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Enter the load in the registry; statistics and the indexes of the metadata are brought up to date."""
        with translated("finishing the load"):
            self._lasting(self._finish)

    def _finish(self) -> None:
        registry = sql.Identifier(self._collection, "spaces")
        self._index_metadata()
        with self._conn.transaction():
            self._lease.guard(self._conn)
            take_turn(self._conn, self._collection)
            self._conn.execute(
                sql.SQL("UPDATE {} SET loaded_at = now() WHERE space = %s").format(registry), (self._space.name,)
            )
            # Every space: a removed image takes its vectors in all of them along.
            count_rows(self._conn, self._collection)
        self._conn.execute(sql.SQL("ANALYZE {}, {}").format(self._images, self._vectors))

    def _index_metadata(self) -> None:
        """Create the indexes of the metadata that are missing; readers go on meanwhile, writers wait."""
        rows = self._conn.execute(
            "SELECT indexname FROM pg_indexes WHERE schemaname = %s AND tablename = 'images'", (self._collection,)
        ).fetchall()
        if _METADATA_INDEXES.keys() <= {name for (name,) in rows}:
            return
        with self._conn.transaction():
            self._lease.guard(self._conn)
            # Stronger than the indexes need, so that of two runs into two spaces one finds those of the other.
            lock = StrongLock((self._images,), "SHARE ROW EXCLUSIVE", f"indexing the metadata of {self._collection}")
            lock.take(self._conn, patience=LONG_PATIENCE)
            for name, definition in _METADATA_INDEXES.items():
                self._conn.execute(
                    sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} " + definition).format(
                        sql.Identifier(name), self._images
                    )
                )

    # -- the connection ------------------------------------------------------------------------------------------------

    def _lasting(self, action: Callable[[], T]) -> T:
        """Do something in a transaction of its own, and again on a new connection when the connection is lost."""
        for pause in RECONNECT_SECONDS:
            try:
                return action()
            except (psycopg.OperationalError, psycopg.InterfaceError, DatabaseError) as exc:
                if self._reconnect is None or not (self._conn.closed or self._conn.broken):
                    raise
                logger.warning("the connection was lost while loading (%s); trying again", reason(exc))
                time.sleep(pause)
                try:
                    self._conn = self._reconnect()
                except DatabaseError as again:
                    # The lost connection stays in use, so that the next try fails and waits longer.
                    logger.warning("%s", again)
        return action()

    def _empty(self, table: sql.Identifier) -> bool:
        return not value_of(self._conn, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table))
