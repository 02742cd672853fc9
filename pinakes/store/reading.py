"""Reading a collection as a whole: its metadata, its vectors, and how many there are of each.

Restricted images are in none of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql

from pinakes.metadata.columns import COLUMNS
from pinakes.query.filters import Filter
from pinakes.store.collections import RegisteredSpace
from pinakes.store.conditions import Conditions, conditions
from pinakes.store.connection import Connection, translated
from pinakes.store.images import IMAGE_COLUMNS, Row, row_of
from pinakes.store.restrictions import hidden_conditions

ROWS_AT_ONCE = 2000
"""Rows that a server-side cursor sends at a time: 8 MB of vectors of 2,048 components."""


@dataclass(frozen=True, slots=True)
class Dated:
    """A stored image with the first and the last year that its DATE or TIMEFRAME means."""

    row: Row
    first_year: int | None
    last_year: int | None


def count_images(conn: Connection, collection: str) -> int:
    """How many images there are."""
    return _count(conn, collection, _images(collection), _shown(conn, collection))


def count_vectors(conn: Connection, collection: str, space: str) -> int:
    """How many images have a current vector in a space: one that was made from the bytes that the image has now."""
    return _count(conn, collection, _vectors(collection, space), _shown(conn, collection))


def read_images(conn: Connection, collection: str, filters: Sequence[Filter] = ()) -> Iterator[Dated]:
    """The images that pass the filters, by image_id, streamed."""
    shown = _shown(conn, collection, filters)
    # `row_of` expects a distance after the columns, and there is none here.
    statement = sql.SQL(
        "SELECT {columns}, NULL::float8, lower(i.years), upper(i.years) - 1 FROM {images} WHERE {shown} ORDER BY i.image_id"
    ).format(columns=IMAGE_COLUMNS, images=_images(collection), shown=shown.where)
    years_at = 5 + len(COLUMNS)
    for values in _streamed(conn, collection, statement, shown.values):
        yield Dated(row_of(values), *values[years_at:])


def read_vectors(
    conn: Connection, collection: str, registered: RegisteredSpace, ids: Sequence[str] | None = None
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """The current vectors of a space.

    Args:
        conn: a connection that knows pgvector's types.
        collection: the collection.
        registered: the space.
        ids: only of these images, in this order; those without a vector are left out. None: of all, by image_id.

    Returns:
        image_ids, and shape (image_ids, dimension), float32, unit length but for the rounding of `halfvec`.
    """
    shown = _shown(conn, collection)
    if ids is not None:
        wanted = sql.SQL("i.image_id = ANY(%(wanted)s)")
        shown = Conditions((*shown.parts, wanted), {**shown.values, "wanted": list(ids)})
    source = _vectors(collection, registered.name)
    statement = sql.SQL("SELECT i.image_id, v.embedding FROM {} WHERE {} ORDER BY i.image_id").format(
        source, shown.where
    )
    found: list[str] = []
    with translated(f"reading the vectors of {collection}"), conn.transaction():
        # Counting first lets each vector be put where it belongs, without a second copy of them all: one snapshot for both.
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        vectors = np.empty((_count(conn, collection, source, shown), registered.space.dimension), dtype=np.float32)
        for image_id, vector in _streamed(conn, collection, statement, shown.values):
            vectors[len(found)] = vector.to_numpy()
            found.append(image_id)
    if ids is None:
        return found, vectors
    at = {image_id: position for position, image_id in enumerate(found)}
    asked = [image_id for image_id in ids if image_id in at]
    return asked, vectors[[at[image_id] for image_id in asked]]


def _images(collection: str) -> sql.Composed:
    return sql.SQL("{} i").format(sql.Identifier(collection, "images"))


def _vectors(collection: str, space: str) -> sql.Composed:
    """The images with their current vectors, under `v`."""
    return sql.SQL("{} JOIN {} v ON v.image_id = i.image_id AND v.fingerprint = i.fingerprint").format(
        _images(collection), sql.Identifier(collection, space)
    )


def _shown(conn: Connection, collection: str, filters: Sequence[Filter] = ()) -> Conditions:
    return conditions(filters, hidden_conditions(conn, collection))


def _count(conn: Connection, collection: str, source: sql.Composable, shown: Conditions) -> int:
    with translated(f"counting {collection}"):
        row = conn.execute(
            sql.SQL("SELECT count(*) FROM {} WHERE {}").format(source, shown.where), shown.values
        ).fetchone()
    return int(row[0]) if row else 0


def _streamed(
    conn: Connection, collection: str, statement: sql.Composed, values: dict[str, Any]
) -> Iterator[tuple[Any, ...]]:
    with translated(f"reading {collection}"), conn.transaction(), conn.cursor("reading", binary=True) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(statement, values)
        yield from cursor
