"""Rows on their way into a table: binary COPY, and the merge of a staging table into the table itself.

Into an empty table rows are copied directly. Otherwise they go through a staging table and one statement that inserts what
is new and updates what differs; a row that is equal is not touched, not even locked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pgvector import HalfVector
from psycopg import sql
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int4
from psycopg.types.range import Range

from pinakes.checkpoints.base import VectorChunk
from pinakes.store.connection import Connection
from pinakes.store.folded_texts import TEXT_COLUMNS, foldings, full_text
from pinakes.store.region_table import picture_of

IMAGE_COLUMNS = (*TEXT_COLUMNS, "extra", "folded", "foldings", "several", "dated")
VECTOR_COLUMNS = ("image_id", "fingerprint", "norm", "embedding")

STAGED_IMAGES = sql.Identifier("pg_temp", "staged_images")
STAGED_VECTORS = sql.Identifier("pg_temp", "staged_vectors")


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


def create_staging(conn: Connection, staged: sql.Identifier, like: sql.Identifier) -> None:
    """Create a temporary table with the columns of `like`, which lasts until the end of this transaction.

    Behind a pooler the next transaction may run in another session.
    """
    conn.execute(sql.SQL("CREATE TEMP TABLE {} (LIKE {} INCLUDING DEFAULTS) ON COMMIT DROP").format(staged, like))


def copy_images(conn: Connection, parts: Iterable[pd.DataFrame], table: sql.Identifier) -> Written:
    """Copy the images of some frames, with the folded form of their texts."""
    copied = 0
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(table, _listed(IMAGE_COLUMNS))
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        # PostgreSQL converts nothing in a binary COPY: these have to be the very types of the columns.
        copy.set_types(("text",) * len(TEXT_COLUMNS) + ("jsonb", "text", "jsonb", "jsonb", "int4range"))
        for part in parts:
            for row in _image_rows(part):
                copy.write_row(row)
            copied += len(part)
    return Written(inserted=copied)


def copy_vectors(conn: Connection, chunk: VectorChunk, table: sql.Identifier) -> Written:
    """Copy vectors, normalised to unit length, with their former lengths."""
    vectors, norms = normalised(chunk.vectors)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(table, _listed(VECTOR_COLUMNS))
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(("text", "text", "float4", "halfvec"))
        rows = zip(chunk.image_ids, chunk.fingerprints, norms.tolist(), map(HalfVector, vectors), strict=True)
        for row in rows:
            copy.write_row(row)
    return Written(inserted=len(vectors))


def merge_images(conn: Connection, images: sql.Identifier, *, with_metadata: bool) -> Written:
    """Merge the staged images into the table; without metadata, only their addresses and fingerprints."""
    if not with_metadata:
        conn.execute(
            # The metadata that is kept has folded forms, too: those of the new address are added to them.
            sql.SQL(
                """
                UPDATE {staged} AS s
                SET foldings = i.foldings || coalesce(s.foldings, '{{}}')
                FROM {images} AS i
                WHERE i.image_id = s.image_id AND i.foldings IS NOT NULL
                """
            ).format(staged=STAGED_IMAGES, images=images)
        )
    updated = IMAGE_COLUMNS[1:] if with_metadata else ("uri", "fingerprint", "foldings")
    return _merge(conn, sql.SQL("{} AS s").format(STAGED_IMAGES), images, IMAGE_COLUMNS, updated)


def merge_vectors(
    conn: Connection, vectors: sql.Identifier, images: sql.Identifier, key: Sequence[str] = ("image_id",)
) -> Written:
    """Merge the staged vectors into the table, except those of other bytes than their image has now."""
    current = sql.SQL("{} AS s JOIN {} AS i ON i.image_id = s.image_id AND i.fingerprint = {}").format(
        STAGED_VECTORS, images, picture_of("s")
    )
    updated = [name for name in VECTOR_COLUMNS if name not in key]
    return _merge(conn, current, vectors, VECTOR_COLUMNS, updated, key)


def _merge(
    conn: Connection,
    staged: sql.Composed,
    table: sql.Identifier,
    columns: Sequence[str],
    updated: Sequence[str],
    key: Sequence[str] = ("image_id",),
) -> Written:
    """Insert the rows `s` of `staged` that are new, update those that differ in `updated`, and leave the others alone."""
    rows = conn.execute(
        # Rows that are equal are sorted out by the join, so that they are never locked; a row that another transaction
        # wrote in between is compared again. `xmax` is 0 for a row that was inserted.
        sql.SQL(
            """
            INSERT INTO {table} AS t ({columns})
            SELECT {staged_columns}
            FROM {staged}
            LEFT JOIN {table} AS o ON ({old_key}) = ({new_key})
            WHERE o.image_id IS NULL OR ({old}) IS DISTINCT FROM ({new})
            ON CONFLICT ({key}) DO UPDATE
            SET {assignments}
            WHERE ({current}) IS DISTINCT FROM ({excluded})
            RETURNING t.xmax = 0
            """
        ).format(
            table=table,
            columns=_listed(columns),
            staged=staged,
            staged_columns=_listed(columns, "s"),
            key=_listed(key),
            old_key=_listed(key, "o"),
            new_key=_listed(key, "s"),
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


def normalised(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of unit length and their former lengths.

    Args:
        vectors: shape (n, dimension), float32, no row zero.

    Returns:
        Unit vectors, shape (n, dimension), float32; norms, shape (n,), float32.
    """
    # In single precision the squares of large components would overflow.
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return (vectors / norms[:, None]).astype(np.float32), norms.astype(np.float32)


def _listed(columns: Sequence[str], table: str | None = None) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(table, c) if table else sql.Identifier(c) for c in columns)


def _image_rows(part: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """The rows of a frame in the order of `IMAGE_COLUMNS`; columns that the frame lacks are empty."""
    columns: list[Any] = []
    for name in TEXT_COLUMNS:
        if name in part:
            # pandas says NaN, a number, where a text is missing.
            column = part[name].astype(object)
            columns.append(column.where(column.notna(), None).tolist())
        else:
            columns.append([None] * len(part))
    columns += [part[name].tolist() if name in part else [None] * len(part) for name in ("extra", "several", "dated")]
    for *texts, extra, several, dated in zip(*columns, strict=True):
        extra = extra if isinstance(extra, dict) else {}
        yield (
            *texts,
            Jsonb(extra),
            full_text(texts, extra),
            _json(foldings(texts, extra)),
            _json(several),
            None if dated is None else Range(Int4(dated[0]), Int4(dated[1]), "[]"),
        )


def _json(value: Mapping[str, Any] | None) -> Jsonb | None:
    return None if value is None else Jsonb(value)
