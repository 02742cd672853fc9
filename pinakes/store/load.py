"""Loading: images with their metadata, and vectors, each by binary COPY.

Into an empty table rows go straight in. Otherwise each part goes through a staging table and one statement that inserts
what is new and updates what differs; a row that is equal is not touched, not even locked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import psycopg
from pgvector import HalfVector
from psycopg import sql
from psycopg.types.json import Jsonb

from pinakes.checkpoints.base import VectorChunk
from pinakes.errors import DatabaseError
from pinakes.spaces import Space
from pinakes.store.collections import spaces
from pinakes.store.connection import Connection, find_pgvector, translated
from pinakes.store.lease import Lease
from pinakes.store.reload import Reload, reload_for
from pinakes.store.strong_locks import LONG_PATIENCE, StrongLock
from pinakes.store.texts import TEXT_COLUMNS, foldings, full_text

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses before a lost connection is made anew: together a minute, which a restart of PostgreSQL takes."""

T = TypeVar("T")

_ALL_COLUMNS = (*TEXT_COLUMNS, "extra", "folded", "foldings")
_IMAGE_TYPES = ("text",) * len(TEXT_COLUMNS) + ("jsonb", "text", "jsonb")


@dataclass(frozen=True, slots=True)
class Written:
    """Rows of the collection that a load wrote."""

    inserted: int = 0
    updated: int = 0

    @property
    def rows(self) -> int:
        """Inserted and updated together."""
        return self.inserted + self.updated

    def __add__(self, other: Written) -> Written:
        return Written(self.inserted + other.inserted, self.updated + other.updated)


class Loader:
    """Writes one collection and space, each transaction under the run's lease.

    Args:
        conn: a connection in autocommit mode that knows pgvector's types.
        collection: the collection.
        space: the space whose vectors are loaded.
        lease: checked inside every transaction.
        reconnect: makes such a connection anew; a part whose connection is lost is then loaded again. None: it fails.
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

    @property
    def conn(self) -> Connection:
        """The connection in use, which is another one after a loss."""
        return self._conn

    def load_images(self, parts: Callable[[], Iterable[pd.DataFrame]], *, with_metadata: bool) -> Written:
        """Write the images of a listing.

        Args:
            parts: makes the frames, with image_id, uri, fingerprint and, `with_metadata`, `COLUMNS` and extra; every image
                once. Called again when a first load has to begin anew.
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

    def load_vectors(self, chunks: Iterable[VectorChunk], *, expected: int = 0) -> Written:
        """Write vectors of the space, normalised to unit length; images that are not stored (any more) are left out.

        Args:
            chunks: at most one vector per image, shape (n, dimension), float32; none of them zero.
            expected: how many there will be. Many, into a space with an index, go into a second table that takes the
                place of the first: see `pinakes.store.reload`.
        """
        total = Written()
        with translated(f"loading the vectors of {self._space.name}"):
            reload = self._reload_for(expected)
            if reload is not None:
                return self._load_anew(chunks, reload)
            first = self._empty(self._vectors)
            for chunk in chunks:
                total += self._lasting(partial(self._load_chunk, chunk, first))
        return total

    def close(self) -> None:
        """Close the connection in use, also when it is not the one that was given."""
        self._conn.close()

    def _first_images(self, parts: Iterable[pd.DataFrame]) -> Written | None:
        """Copy straight into an empty table, in one transaction; None where there are images already."""
        if not self._empty(self._images):
            return None
        with self._conn.transaction():
            self._lease.guard(self._conn)
            # Against a run that embeds the same collection into another space at the same time.
            lock = StrongLock((self._images,), "SHARE ROW EXCLUSIVE", f"loading the images of {self._collection}")
            lock.take(self._conn, patience=LONG_PATIENCE)
            return self._copy_images(iter(parts), self._images) if self._empty(self._images) else None

    def _merge_images(self, part: pd.DataFrame, with_metadata: bool) -> Written:
        with self._conn.transaction():
            self._lease.guard(self._conn)
            self._stage("images", self._images)
            self._copy_images(iter((part,)), sql.Identifier("pg_temp", "staged_images"))
            self._drop_outdated_vectors()
            staged = sql.Identifier("pg_temp", "staged_images")
            if not with_metadata:
                # The metadata that is kept has its forms, too: those of the new address are added to them.
                self._conn.execute(
                    sql.SQL(
                        "UPDATE {} s SET foldings = i.foldings || coalesce(s.foldings, '{{}}') FROM {} i"
                        " WHERE i.image_id = s.image_id AND i.foldings IS NOT NULL"
                    ).format(staged, self._images)
                )
            columns = _ALL_COLUMNS[1:] if with_metadata else ("uri", "fingerprint", "foldings")
            return self._merge(staged, self._images, columns)

    def _load_chunk(self, chunk: VectorChunk, first: bool) -> Written:
        current = sql.SQL("JOIN {} i ON i.image_id = s.image_id AND i.fingerprint = s.fingerprint").format(self._images)
        staged = sql.Identifier("pg_temp", "staged_vectors")
        with self._conn.transaction():
            self._lease.guard(self._conn)
            if first and self._all_current(chunk):
                return self._copy_vectors(chunk, self._vectors)
            self._stage("vectors", self._vectors)
            self._copy_vectors(chunk, staged)
            return self._merge(staged, self._vectors, ("fingerprint", "norm", "embedding"), only_if=current)

    def _reload_for(self, expected: int) -> Reload | None:
        pgvector = find_pgvector(self._conn)
        assert pgvector is not None
        return reload_for(self._conn, self._collection, self._space, expected, pgvector)

    def _load_anew(self, chunks: Iterable[VectorChunk], reload: Reload) -> Written:
        self._lasting(partial(self._guarded, reload.begin))
        for chunk in chunks:
            self._lasting(partial(self._load_beside, chunk, reload))
        self._lasting(partial(self._guarded, reload.keep))
        self._lasting(partial(self._guarded, reload.build))
        return Written(*self._lasting(partial(self._guarded, reload.end)))

    def _load_beside(self, chunk: VectorChunk, reload: Reload) -> None:
        with self._conn.transaction():
            self._lease.guard(self._conn)
            self._stage("vectors", self._vectors)
            staged = sql.Identifier("pg_temp", "staged_vectors")
            self._copy_vectors(chunk, staged)
            reload.take(self._conn, staged)

    def _guarded(self, action: Callable[[Connection], T]) -> T:
        with self._conn.transaction():
            self._lease.guard(self._conn)
            return action(self._conn)

    def _lasting(self, action: Callable[[], T]) -> T:
        """Do something in a transaction of its own, and again on a new connection when the connection is lost."""
        for pause in RECONNECT_SECONDS:
            try:
                return action()
            except (psycopg.OperationalError, psycopg.InterfaceError) as exc:
                if self._reconnect is None or not (self._conn.closed or self._conn.broken):
                    raise
                logger.warning("the connection was lost while loading (%s); trying again", str(exc).splitlines()[0])
                self._renew_connection(pause)
        return action()

    def _renew_connection(self, pause: float) -> None:
        assert self._reconnect is not None
        time.sleep(pause)
        try:
            self._conn = self._reconnect()
        except DatabaseError as exc:
            # The lost connection stays in use, so that the next try fails and waits longer.
            logger.warning("%s", exc)

    def remove(self, image_ids: Sequence[str]) -> int:
        """Delete images with their vectors in every space; how many there were."""
        with translated("removing images"), self._conn.transaction():
            self._lease.guard(self._conn)
            return self._conn.execute(
                sql.SQL("DELETE FROM {} WHERE image_id = ANY(%s)").format(self._images), (list(image_ids),)
            ).rowcount

    def finish(self) -> None:
        """Enter the load in the registry; ANALYZE and the indexes of the metadata are brought up to date."""
        registry = sql.Identifier(self._collection, "spaces")
        with translated("finishing the load"):
            self._index_metadata()
            with self._conn.transaction():
                self._lease.guard(self._conn)
                self._conn.execute(
                    sql.SQL("UPDATE {} SET loaded_at = now() WHERE space = %s").format(registry), (self._space.name,)
                )
                # Every space: a removed image takes its vectors in all of them along.
                for registered in spaces(self._conn, self._collection):
                    self._conn.execute(
                        sql.SQL("UPDATE {} SET rows = (SELECT count(*) FROM {}) WHERE space = %s").format(
                            registry, sql.Identifier(self._collection, registered.name)
                        ),
                        (registered.name,),
                    )
            self._conn.execute(sql.SQL("ANALYZE {}, {}").format(self._images, self._vectors))

    def _index_metadata(self) -> None:
        """Make the indexes of the metadata that are missing; readers go on meanwhile, writers wait."""
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

    def _empty(self, table: sql.Identifier) -> bool:
        row = self._conn.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table)).fetchone()
        return row is not None and not row[0]

    def _all_current(self, chunk: VectorChunk) -> bool:
        """Whether each vector of the chunk belongs to the bytes that its image has now."""
        row = self._conn.execute(
            sql.SQL(
                "SELECT count(*) FROM unnest(%s::text[], %s::text[]) AS c (image_id, fingerprint)"
                " JOIN {} i USING (image_id, fingerprint)"
            ).format(self._images),
            (list(chunk.image_ids), list(chunk.fingerprints)),
        ).fetchone()
        return row is not None and row[0] == len(chunk.image_ids)

    def _stage(self, name: str, like: sql.Identifier) -> None:
        """A temporary table of the shape of `like`, for this transaction: behind a pooler the next is another session's."""
        self._conn.execute(
            sql.SQL("CREATE TEMP TABLE {} (LIKE {} INCLUDING DEFAULTS) ON COMMIT DROP").format(
                sql.Identifier(f"staged_{name}"), like
            )
        )

    def _copy_images(self, parts: Iterator[pd.DataFrame], table: sql.Identifier) -> Written:
        copied = 0
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(table, _listed(_ALL_COLUMNS))
        with self._conn.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(_IMAGE_TYPES)
            for part in parts:
                for row in _image_rows(part):
                    copy.write_row(row)
                copied += len(part)
        return Written(inserted=copied)

    def _copy_vectors(self, chunk: VectorChunk, table: sql.Identifier) -> Written:
        vectors, norms = normalised(chunk.vectors)
        statement = sql.SQL("COPY {} (image_id, fingerprint, norm, embedding) FROM STDIN (FORMAT BINARY)").format(table)
        with self._conn.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(("text", "text", "float4", "halfvec"))
            for image_id, fingerprint, norm, vector in zip(
                chunk.image_ids, chunk.fingerprints, norms.tolist(), vectors, strict=True
            ):
                copy.write_row((image_id, fingerprint, norm, HalfVector(vector)))
        return Written(inserted=len(vectors))

    def _drop_outdated_vectors(self) -> None:
        """Vectors of bytes that a staged image no longer has, in every space: they would answer for another picture."""
        rows = self._conn.execute(
            sql.SQL(
                "SELECT s.image_id FROM pg_temp.staged_images s JOIN {} i USING (image_id)"
                " WHERE s.fingerprint <> i.fingerprint"
            ).format(self._images)
        ).fetchall()
        changed = [image_id for (image_id,) in rows]
        if not changed:
            return
        for registered in spaces(self._conn, self._collection):
            self._conn.execute(
                sql.SQL("DELETE FROM {} WHERE image_id = ANY(%s)").format(
                    sql.Identifier(self._collection, registered.name)
                ),
                (changed,),
            )

    def _merge(
        self,
        staged: sql.Identifier,
        table: sql.Identifier,
        updated: Sequence[str],
        *,
        only_if: sql.Composed | None = None,
    ) -> Written:
        """Insert the staged rows that are new, update those that differ in `updated`, leave the others untouched."""
        columns = _ALL_COLUMNS if table is self._images else ("image_id", "fingerprint", "norm", "embedding")
        rows = self._conn.execute(
            sql.SQL(
                "INSERT INTO {table} AS t ({columns}) SELECT {staged_columns} FROM {staged} s {only_if}"
                " LEFT JOIN {table} o ON o.image_id = s.image_id"
                " WHERE o.image_id IS NULL OR ({old}) IS DISTINCT FROM ({new})"
                " ON CONFLICT (image_id) DO UPDATE SET {assignments}"
                " WHERE ({current}) IS DISTINCT FROM ({excluded}) RETURNING t.xmax = 0"
            ).format(
                table=table,
                columns=_listed(columns),
                staged=staged,
                staged_columns=_listed(columns, "s"),
                only_if=only_if or sql.SQL(""),
                old=_listed(updated, "o"),
                new=_listed(updated, "s"),
                current=_listed(updated, "t"),
                excluded=_listed(updated, "excluded"),
                assignments=sql.SQL(", ").join(
                    sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in updated
                ),
            )
        ).fetchall()
        inserted = sum(new for (new,) in rows)
        return Written(inserted, len(rows) - inserted)


_METADATA_INDEXES: Mapping[str, Any] = {
    "images_words": "USING gin (words)",
    "images_author": "(author)",
    "images_type": "(type)",
    "images_school": "(school)",
    "images_timeframe": "(timeframe)",
    "images_fingerprint": "(fingerprint)",
}


def normalised(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of unit length and their former lengths.

    Args:
        vectors: shape (n, dimension), float32, no row zero.

    Returns:
        Unit vectors, shape (n, dimension), float32; norms, shape (n,), float32.
    """
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return (vectors / norms[:, None]).astype(np.float32), norms.astype(np.float32)


def _listed(columns: Sequence[str], table: str | None = None) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(table, c) if table else sql.Identifier(c) for c in columns)


def _image_rows(part: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """The rows of a frame in the order of `_ALL_COLUMNS`; columns that the frame lacks are empty."""
    columns: list[Any] = []
    for name in TEXT_COLUMNS:
        if name in part:
            column = part[name].astype(object)
            columns.append(column.where(column.notna(), None).tolist())
        else:
            columns.append([None] * len(part))
    extras = part["extra"].tolist() if "extra" in part else [None] * len(part)
    for *texts, extra in zip(*columns, extras, strict=True):
        extra = extra if isinstance(extra, dict) else {}
        forms = foldings(texts, extra)
        yield (*texts, Jsonb(extra), full_text(texts, extra), None if forms is None else Jsonb(forms))
