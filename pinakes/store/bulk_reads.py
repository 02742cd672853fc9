"""Reading a collection as a whole: its images, its vectors, and how many there are of each.

What people get to see leaves restricted images out. What a run or an evaluation compares (`stored_images`,
`current_vectors`, `sampled_vectors`, `vector_blocks`) has them in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pgvector import HalfVector
from psycopg import sql
from psycopg.abc import Params

from pinakes.metadata.columns import COLUMNS
from pinakes.query.filters import Filter
from pinakes.store.conditions import YEARS_SAID
from pinakes.store.connection import Connection, is_empty, translated, value_of
from pinakes.store.images import IMAGE_COLUMNS, Row, row_of
from pinakes.store.restrictions import visible
from pinakes.store.space_registry import RegisteredSpace

if TYPE_CHECKING:
    import pyarrow as pa

IDS_AT_ONCE = 10_000
VECTORS_AT_ONCE = 2048
"""Rows that a server-side cursor sends at a time. So many vectors take 8 MB at 2,048 components."""

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Dated:
    """A stored image with the first and the last year that its DATE or TIMEFRAME means."""

    row: Row
    first_year: int | None
    last_year: int | None


@contextmanager
def one_state(conn: Connection) -> Iterator[None]:
    """Everything that is read in the block is of one state of the collection, however much is written meanwhile."""
    with translated("reading one state of the collection"), conn.transaction():
        # Of the transaction only: a level of the session would reach whoever has it next behind a pooler.
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


# -- what people see ---------------------------------------------------------------------------------------------------


def count_images(conn: Connection, collection: str) -> int:
    """How many images there are."""
    shown = visible(conn, collection)
    with translated(f"counting {collection}"):
        counted: int = value_of(
            conn,
            sql.SQL("SELECT count(*) FROM {images} AS i WHERE {shown}").format(
                images=sql.Identifier(collection, "images"), shown=shown.where
            ),
            shown.values,
        )
    return counted


def count_vectors(conn: Connection, collection: str, space: str, ids: Sequence[str] | None = None) -> int:
    """How many images (or those with these ids) have a current vector: one made from the bytes that they have now."""
    shown = visible(conn, collection)
    with translated(f"counting {collection}"):
        counted: int = value_of(
            conn,
            sql.SQL(
                """
                SELECT count(*)
                FROM {images} AS i
                JOIN {space} AS v USING (image_id, fingerprint)
                WHERE {shown} AND (%(ids)s::text[] IS NULL OR image_id = ANY(%(ids)s))
                """
            ).format(
                images=sql.Identifier(collection, "images"),
                space=sql.Identifier(collection, space),
                shown=shown.where,
            ),
            {**shown.values, "ids": None if ids is None else list(ids)},
        )
    return counted


def read_images(conn: Connection, collection: str, filters: Sequence[Filter] = ()) -> Iterator[Dated]:
    """The images that pass the filters, by image_id, streamed."""
    shown = visible(conn, collection, filters)
    # `row_of` expects a distance after the columns, and there is none here.
    statement = sql.SQL(
        """
        SELECT {columns}, NULL::float8, lower({years}), upper({years}) - 1
        FROM {images} AS i
        WHERE {shown}
        ORDER BY i.image_id
        """
    ).format(columns=IMAGE_COLUMNS, years=YEARS_SAID, images=sql.Identifier(collection, "images"), shown=shown.where)
    years_at = 6 + len(COLUMNS)
    with translated(f"reading {collection}"), conn.transaction():
        for values in streamed(conn, statement, shown.values, at_once=VECTORS_AT_ONCE):
            yield Dated(row_of(values), *values[years_at:])


def read_vectors(
    conn: Connection, collection: str, registered: RegisteredSpace, ids: Sequence[str] | None = None
) -> tuple[list[str], Matrix]:
    """The current vectors of a space.

    Args:
        conn: a connection that knows pgvector's types.
        collection: the collection.
        registered: the space.
        ids: only of these images, in this order; those without a vector are left out. None: of all, by image_id.

    Returns:
        image_ids, and shape (image_ids, dimension), float32, unit length but for the rounding of `halfvec`.
    """
    found: list[str] = []
    # Counting first lets each vector be put where it belongs, without a second copy of them all. The restrictions too are
    # read in this one state: with others the vectors would not be as many as were counted.
    with one_state(conn):
        shown = visible(conn, collection)
        statement = sql.SQL(
            """
            SELECT i.image_id, v.embedding
            FROM {images} AS i
            JOIN {space} AS v USING (image_id, fingerprint)
            WHERE {shown} AND (%(ids)s::text[] IS NULL OR image_id = ANY(%(ids)s))
            ORDER BY i.image_id
            """
        ).format(
            images=sql.Identifier(collection, "images"),
            space=sql.Identifier(collection, registered.name),
            shown=shown.where,
        )
        values = {**shown.values, "ids": None if ids is None else list(ids)}
        count = count_vectors(conn, collection, registered.name, ids)
        vectors = np.empty((count, registered.space.dimension), dtype=np.float32)
        for image_id, vector in streamed(conn, statement, values, at_once=VECTORS_AT_ONCE):
            vectors[len(found)] = vector.to_numpy()
            found.append(image_id)
    if ids is None:
        return found, vectors
    at = {image_id: position for position, image_id in enumerate(found)}
    in_order = [image_id for image_id in ids if image_id in at]
    return in_order, vectors[[at[image_id] for image_id in in_order]]


# -- what a run compares -----------------------------------------------------------------------------------------------


def stored_listing(conn: Connection, collection: str) -> Iterator[tuple[str, str, str]]:
    """(image_id, uri, fingerprint) of every image of a collection, restricted ones too, by image_id, streamed."""
    images = sql.Identifier(collection, "images")
    statement = sql.SQL("SELECT image_id, uri, fingerprint FROM {} ORDER BY image_id").format(images)
    with translated("reading what is stored"), conn.transaction():
        yield from streamed(conn, statement, at_once=IDS_AT_ONCE)


def stored_images(conn: Connection, collection: str) -> pa.Table:
    """image_id, uri and fingerprint of every image of a collection, as `pa.large_string()`."""
    return _texts(conn, sql.Identifier(collection, "images"), "image_id", "uri", "fingerprint")


def current_vectors(conn: Connection, collection: str, space: str) -> pa.Table:
    """image_id and fingerprint of every row of a space, as `pa.large_string()`."""
    return _texts(conn, sql.Identifier(collection, space), "image_id", "fingerprint")


def held_pairs(
    conn: Connection, collection: str, space: str, pairs: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Those of the given (image_id, fingerprint) that a space has a vector of; none while it has no table."""
    table = sql.Identifier(collection, space)
    with translated(f"looking for vectors of {space}"):
        # A first run asks for each of its pictures: an empty table answers for all of them at once.
        if value_of(conn, "SELECT to_regclass(%s)", (table.as_string(conn),)) is None or is_empty(conn, table):
            return
        for start in range(0, len(pairs), IDS_AT_ONCE):
            part = pairs[start : start + IDS_AT_ONCE]
            yield from conn.execute(_HELD.format(columns=sql.SQL(""), table=table), _columns(part)).fetchall()


def held_vectors(
    conn: Connection, collection: str, space: str, pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], npt.NDArray[np.float32]]:
    """The vectors of some (image_id, fingerprint), float32, as the provider gave them but for the rounding of `halfvec`."""
    statement = _HELD.format(columns=sql.SQL(", norm, embedding"), table=sql.Identifier(collection, space))
    with translated(f"reading vectors of {space}"):
        rows = conn.execute(statement, _columns(pairs), binary=True).fetchall()
    return {
        (image_id, fingerprint): np.float32(norm) * vector.to_numpy().astype(np.float32)
        for image_id, fingerprint, norm, vector in rows
    }


def regions_of(conn: Connection, collection: str, table: str, image_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(image_id, fingerprint) of the regions of some images that have a vector; none while there is no table of regions."""
    named = sql.Identifier(collection, table)
    with translated(f"looking for regions in {table}"):
        if value_of(conn, "SELECT to_regclass(%s) IS NULL", (named.as_string(conn),)):
            return
        rows = conn.execute(
            sql.SQL("SELECT image_id, fingerprint FROM {} WHERE image_id = ANY(%s)").format(named), (list(image_ids),)
        ).fetchall()
    yield from rows


_HELD = sql.SQL(
    """
    SELECT image_id, fingerprint{columns}
    FROM {table}
    JOIN unnest(%s::text[], %s::text[]) AS asked (image_id, fingerprint) USING (image_id, fingerprint)
    """
)


def _columns(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [image_id for image_id, _ in pairs], [fingerprint for _, fingerprint in pairs]


def _texts(conn: Connection, table: sql.Identifier, *names: str) -> pa.Table:
    """Some columns of a table in Arrow's form, which takes a third of the memory of as many Python strings."""
    import pyarrow as pa  # which a search does without

    statement = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(map(sql.Identifier, names)), table)
    schema = pa.schema([(name, pa.large_string()) for name in names])
    batches = []
    with translated("reading what is stored"), conn.transaction():
        for rows in _blocks(conn, statement, IDS_AT_ONCE):
            columns = [pa.array(column, pa.large_string()) for column in zip(*rows, strict=True)]
            batches.append(pa.RecordBatch.from_arrays(columns, schema=schema))
    return pa.Table.from_batches(batches, schema)


# -- what an evaluation compares ---------------------------------------------------------------------------------------


def sampled_vectors(conn: Connection, collection: str, space: str, count: int, seed: int) -> tuple[list[str], Matrix]:
    """`count` images of a space, or all if it has fewer: their ids and vectors, shape (n, dimension).

    The same seed gives the same images as long as the collection holds them.
    """
    with translated(f"sampling {space}"):
        rows = conn.execute(
            sql.SQL(
                """
                SELECT image_id, embedding
                FROM {space}
                ORDER BY md5(%s || image_id), image_id
                LIMIT %s
                """
            ).format(space=sql.Identifier(collection, space)),
            (f"{seed}/", count),
            binary=True,
        ).fetchall()
    return [image_id for image_id, _ in rows], _matrix([vector for _, vector in rows])


def vector_blocks(conn: Connection, collection: str, space: str) -> Iterator[tuple[list[str], Matrix]]:
    """Every vector of a space, `VECTORS_AT_ONCE` at a time: ids, and shape (n, dimension); call it inside `one_state`."""
    table = sql.Identifier(collection, space)
    for rows in _blocks(conn, sql.SQL("SELECT image_id, embedding FROM {}").format(table)):
        yield [image_id for image_id, _ in rows], _matrix([vector for _, vector in rows])


def vectors_in_order(conn: Connection, collection: str, space: str) -> Iterator[tuple[list[tuple[str, str]], Matrix]]:
    """The same by image_id, so that it is equal each time: (image_id, fingerprint), and shape (n, dimension)."""
    statement = sql.SQL("SELECT image_id, fingerprint, embedding FROM {} ORDER BY image_id")
    for rows in _blocks(conn, statement.format(sql.Identifier(collection, space))):
        yield [(image_id, fingerprint) for image_id, fingerprint, _ in rows], _matrix([vector for *_, vector in rows])


def _blocks(
    conn: Connection, statement: sql.Composed, at_once: int = VECTORS_AT_ONCE
) -> Iterator[list[tuple[Any, ...]]]:
    """Inside a transaction: the rows of a statement, `at_once` at a time."""
    with conn.cursor("blocks", binary=True, scrollable=False) as cursor:
        cursor.execute(statement)
        while rows := cursor.fetchmany(at_once):
            yield rows


def _matrix(vectors: Sequence[HalfVector]) -> Matrix:
    if not vectors:
        return np.empty((0, 0), dtype=np.float32)
    return np.stack([vector.to_numpy() for vector in vectors]).astype(np.float32)


def streamed(
    conn: Connection, statement: sql.Composed, values: Params | None = None, *, at_once: int
) -> Iterator[tuple[Any, ...]]:
    """Inside a transaction: the rows of a statement through a server-side cursor, `at_once` in memory."""
    with conn.cursor("streamed", binary=True) as cursor:
        cursor.itersize = at_once
        cursor.execute(statement, values)
        yield from cursor
