"""Loading a collection: its images with their metadata, and the vectors of one space, under the run's lease."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, TypeVar

import pandas as pd
from psycopg import sql

from pinakes.checkpoints.base import VectorChunk
from pinakes.images.regions import RegionKind
from pinakes.spaces import Space
from pinakes.store.connection import Connection, find_pgvector, is_empty, value_of
from pinakes.store.image_changes import ImageState, Said, count_again
from pinakes.store.lease import Lease
from pinakes.store.pixels import drop_unused
from pinakes.store.reconnecting import Reconnecting
from pinakes.store.region_table import drop_other_regions, picture_of
from pinakes.store.reload import Reload, reload_for
from pinakes.store.space_registry import count_rows, vector_tables
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

_METADATA_INDEXES: Mapping[str, Any] = {
    "images_words": "USING gin (words)",
    "images_author": "(author)",
    "images_type": "(type)",
    "images_school": "(school)",
    "images_timeframe": "(timeframe)",
    "images_fingerprint": "(fingerprint)",
    # As `pinakes.store.conditions.YEARS_SAID` is compared.
    "images_said_years": "USING gist (coalesce(dated, years))",
}

T = TypeVar("T")


class Loader:
    """Writes one collection and space, each transaction under the run's lease.

    Args:
        conn: knows pgvector's types; a part whose connection is lost is loaded again.
        collection: the collection.
        space: the space whose vectors are loaded.
        lease: checked inside every transaction.
    """

    def __init__(self, conn: Reconnecting, collection: str, space: Space, lease: Lease) -> None:
        self._conn = conn
        self._space = space
        self._collection = collection
        self._lease = lease
        self._images = sql.Identifier(collection, "images")
        self._vectors = sql.Identifier(collection, space.name)
        self._own: set[int] = set()
        """Transactions after which the metadata of each image is still from the table that it was from."""

    # -- images --------------------------------------------------------------------------------------------------------

    def load_images(self, parts: Callable[[], Iterable[pd.DataFrame]], *, with_metadata: bool) -> Written:
        """Write the images of a listing.

        Args:
            parts: makes the frames, with image_id, uri, fingerprint and, `with_metadata`, `COLUMNS` and extra; every image
                once. Called again when a first load has to start over.
            with_metadata: False keeps the metadata that is stored and touches only where and what the picture is.
        """
        what = "loading the images"
        first = self._write(what, lambda conn: self._first_images(conn, parts()), own=with_metadata)
        if first is not None:
            return first
        total = Written()
        for part in parts():
            total += self._write(what, partial(self._merge_images, part, with_metadata), own=with_metadata)
        return total

    def _first_images(self, conn: Connection, parts: Iterable[pd.DataFrame]) -> Written | None:
        """Copy straight into an empty table, in one transaction; None where there are images already."""
        # Before the lock as well: nearly every run finds images, and must not keep others from writing to learn that.
        if not is_empty(conn, self._images):
            return None
        # Against a run that embeds the same collection into another space at the same time.
        lock = StrongLock((self._images,), "SHARE ROW EXCLUSIVE", f"loading the images of {self._collection}")
        lock.take(conn, patience=LONG_PATIENCE)
        return copy_images(conn, parts, self._images) if is_empty(conn, self._images) else None

    def _merge_images(self, part: pd.DataFrame, with_metadata: bool, conn: Connection) -> Written:
        create_staging(conn, STAGED_IMAGES, self._images)
        copy_images(conn, (part,), STAGED_IMAGES)
        # Only from here on do two runs lock the same rows; what they copy into tables of their own delays nobody.
        take_turn(conn, self._collection)
        # Before the merge, after which no fingerprint tells any more whose bytes have changed.
        self._drop_outdated_vectors(conn)
        return merge_images(conn, self._images, with_metadata=with_metadata)

    def _drop_outdated_vectors(self, conn: Connection) -> None:
        """Delete the vectors of staged images whose bytes changed, in every space: they would answer for another picture."""
        rows = conn.execute(
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
            for name in vector_tables(conn, self._collection):
                table = sql.Identifier(self._collection, name)
                conn.execute(sql.SQL("DELETE FROM {} WHERE image_id = ANY(%s)").format(table), (changed,))

    def remove(self, image_ids: Sequence[str]) -> int:
        """Delete images with their vectors in every space; how many there were."""
        statement = sql.SQL("DELETE FROM {} WHERE image_id = ANY(%s)").format(self._images)

        def delete(conn: Connection) -> int:
            take_turn(conn, self._collection)
            return conn.execute(statement, (list(image_ids),)).rowcount

        return self._write("removing images", delete, own=True)

    # -- vectors -------------------------------------------------------------------------------------------------------

    def load_vectors(self, chunks: Iterable[VectorChunk], *, expected: int = 0) -> Written:
        """Write vectors of the space, normalised to unit length; those of images that are not stored are left out.

        Args:
            chunks: at most one vector per image, shape (n, dimension), float32; none of them zero.
            expected: how many there will be. Many, into a space with an index, go into a second table that takes the
                place of the first: see `pinakes.store.reload`.
        """
        what = f"loading the vectors of {self._space.name}"

        def begin(conn: Connection) -> tuple[Reload | None, bool]:
            pgvector = find_pgvector(conn)
            assert pgvector is not None
            reload = reload_for(conn, self._collection, self._space, expected, pgvector)
            return reload, is_empty(conn, self._vectors)

        reload, first = self._conn.do(what, begin)
        if reload is not None:
            return self._reload_vectors(what, chunks, reload)
        total = Written()
        for chunk in chunks:
            total += self._write(what, partial(self._load_chunk, chunk, first, count()))
        return total

    def _load_chunk(self, chunk: VectorChunk, first: bool, attempts: Iterator[int], conn: Connection) -> Written:
        # A connection may be lost between a commit and the news of it: copied again, the same rows would break the key.
        if first and next(attempts) == 0 and self._all_current(conn, chunk):
            return copy_vectors(conn, chunk, self._vectors)
        create_staging(conn, STAGED_VECTORS, self._vectors)
        copy_vectors(conn, chunk, STAGED_VECTORS)
        take_turn(conn, self._collection)
        return merge_vectors(conn, self._vectors, self._images, self._space.key)

    def _reload_vectors(self, what: str, chunks: Iterable[VectorChunk], reload: Reload) -> Written:
        """Load into a second table, build its index, and swap."""

        def move(chunk: VectorChunk, conn: Connection) -> None:
            create_staging(conn, STAGED_VECTORS, self._vectors)
            copy_vectors(conn, chunk, STAGED_VECTORS)
            reload.take(conn, STAGED_VECTORS)

        self._write(what, reload.begin)
        for chunk in chunks:
            self._write(what, partial(move, chunk))
        self._write(what, reload.keep)
        self._write(what, reload.build)
        return Written(*self._write(what, reload.end))

    def _all_current(self, conn: Connection, chunk: VectorChunk) -> bool:
        """Whether each vector of the chunk belongs to the bytes that its image has now."""
        current: int = value_of(
            conn,
            sql.SQL(
                """
                SELECT count(*)
                FROM unnest(%s::text[], %s::text[]) AS c (image_id, fingerprint)
                JOIN {images} AS i ON i.image_id = c.image_id AND i.fingerprint = {picture}
                """
            ).format(images=self._images, picture=picture_of("c")),
            (list(chunk.image_ids), list(chunk.fingerprints)),
        )
        return current == len(chunk.image_ids)

    def drop_regions(self, kind: RegionKind) -> int:
        """Delete the regions that are not of this kind, or of bytes that their image no longer has; how many there were."""

        def drop(conn: Connection) -> int:
            take_turn(conn, self._collection)
            return drop_other_regions(conn, self._collection, self._space, kind)

        return self._write("removing regions", drop)

    # -- the end of a load ---------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Enter the load in the registry; statistics and the indexes of the metadata are brought up to date.

        After the first load PostgreSQL also learns that everybody sees all vectors: before, what their table holds has to be
        read from its rows, not from its key alone. Later, autovacuum sees to it when there is enough to clean in the index.
        """
        what = "finishing the load"
        # After the rows: building an index once costs less than entering every row into it.
        self._write(what, self._index_metadata)
        first = self._write(what, self._enter_load)
        images = sql.SQL("ANALYZE {}").format(self._images)
        vectors = sql.SQL("VACUUM (ANALYZE, TRUNCATE OFF) {}" if first else "ANALYZE {}").format(self._vectors)
        # Outside of any transaction and of the lease: these change nothing that a reader could see.
        self._conn.do(what, lambda conn: conn.execute(images))
        self._conn.do(what, lambda conn: conn.execute(vectors))

    def count_again(self, said: Said | None = None, since: ImageState | None = None) -> None:
        """See `pinakes.store.image_changes.count_again`."""
        self._write(
            "counting the values",
            lambda conn: count_again(conn, self._collection, own=self._own, said=said, since=since),
        )

    def _enter_load(self, conn: Connection) -> bool:
        """Enter the load; whether it is the first into this space."""
        registry = sql.Identifier(self._collection, "spaces")
        take_turn(conn, self._collection)
        never = sql.SQL("SELECT loaded_at IS NULL FROM {} WHERE space = %s").format(registry)
        first = bool(value_of(conn, never, (self._space.name,)))
        conn.execute(sql.SQL("UPDATE {} SET loaded_at = now() WHERE space = %s").format(registry), (self._space.name,))
        count_rows(conn, self._collection)  # of every space: a removed image takes its vectors in all of them along
        drop_unused(conn, self._collection, "pixels")
        return first

    def _index_metadata(self, conn: Connection) -> None:
        """Create the indexes of the metadata that are missing; readers continue meanwhile, writers wait."""
        rows = conn.execute(
            "SELECT indexname FROM pg_indexes WHERE schemaname = %s AND tablename = 'images'", (self._collection,)
        ).fetchall()
        if _METADATA_INDEXES.keys() <= {name for (name,) in rows}:
            return
        # Stronger than the indexes need, so that of two runs into two spaces one finds those of the other.
        lock = StrongLock((self._images,), "SHARE ROW EXCLUSIVE", f"indexing the metadata of {self._collection}")
        lock.take(conn, patience=LONG_PATIENCE)
        for name, definition in _METADATA_INDEXES.items():
            statement = sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} " + definition)
            conn.execute(statement.format(sql.Identifier(name), self._images))

    def _write(self, what: str, action: Callable[[Connection], T], *, own: bool = False) -> T:
        """The result of an action in a transaction of its own under the lease; repeated when the connection is lost."""

        def guarded(conn: Connection) -> T:
            with conn.transaction():
                # First: an action that waits for a lock does so under the lease, and cannot outlive it.
                self._lease.guard(conn)
                if own:
                    # The number that the trigger of `image_changes` enters for this transaction.
                    self._own.add(value_of(conn, "SELECT txid_current()"))
                return action(conn)

        return self._conn.do(what, guarded)
