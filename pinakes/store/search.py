"""Searching one space: the nearest vectors, the best words, and what the plan was.

A search by vector first takes the nearest by `halfvec`'s arithmetic, then computes the distances of those few in single
precision. Exact mode scans; index mode uses the space's index and falls back to a scan when that answers too few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pgvector import HalfVector
from pgvector import Vector as PgVector
from psycopg import sql

from pinakes.metadata.columns import COLUMNS
from pinakes.metadata.folding import fold
from pinakes.store.collections import RegisteredSpace, collection_language
from pinakes.store.connection import ITERATIVE_SCANS, Connection, Pgvector, translated
from pinakes.types import Vector

MARGIN = 32
"""Rows taken beyond k before distances are computed in single precision: the half-precision order may be off by a few."""

EF_SEARCH = 100
"""Candidates of an HNSW scan; pgvector's default of 40 is quicker and misses more."""

Filters = Mapping[str, Sequence[str]]
"""Column → the values that it may have; a column that is none of ours is looked up in `extra`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One stored image that matched, with its distance where vectors were compared."""

    image_id: str
    uri: str
    metadata: dict[str, Any]
    distance: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """Rows in order, how they were found, and how many vectors or texts were candidates."""

    rows: list[Row]
    mode: str
    scanned: int


def nearest(
    conn: Connection,
    pgvector: Pgvector,
    collection: str,
    registered: RegisteredSpace,
    query: Vector,
    k: int,
    *,
    filters: Filters | None = None,
    exclude_ids: Sequence[str] = (),
    exclude_fingerprints: Sequence[str] = (),
    exact: bool = False,
) -> Found:
    """The k images nearest to a vector, by cosine distance, ties by image_id.

    Args:
        conn: a connection that knows pgvector's types.
        pgvector: its version decides what an index may be asked.
        collection: the collection.
        registered: the space that `query` belongs to.
        query: shape (dimension,), float32, not zero.
        k: how many.
        filters: only images with these values.
        exclude_ids: images left out.
        exclude_fingerprints: pictures of these bytes left out.
        exact: scan every vector even where there is an index.
    """
    conditions = _conditions(filters)
    # A few ids are cheaper to drop from the candidates than to compare with every row of a scan.
    excluded = _excluded("v", (), exclude_fingerprints)
    use_index = registered.index_kind is not None and not exact and not filters and pgvector.version >= ITERATIVE_SCANS
    with translated(f"searching {collection}"), conn.transaction():
        if use_index:
            found = _scan(conn, collection, registered, query, k, conditions, excluded, exclude_ids, index=True)
            if len(found) >= k:
                return Found(found, str(registered.index_kind), len(found))
        scanned = _count(conn, collection, registered, conditions) if filters else registered.rows
        found = _scan(conn, collection, registered, query, k, conditions, excluded, exclude_ids, index=False)
        return Found(found, "exact", scanned)


def by_words(
    conn: Connection,
    collection: str,
    text: str,
    k: int,
    *,
    filters: Filters | None = None,
    exclude_ids: Sequence[str] = (),
) -> Found:
    """The k images whose words fit best: those with all of the words first, then by how many and how close.

    Image ids break ties; a text without any word finds nothing.
    """
    conditions = _conditions(filters)
    excluded = _excluded("i", exclude_ids, ())
    language = collection_language(conn, collection)
    with translated(f"searching the words of {collection}"):
        rows = conn.execute(
            sql.SQL(
                "WITH asked AS (SELECT plainto_tsquery(%(language)s::regconfig, %(text)s) AS every),"
                " query AS (SELECT every, replace(every::text, '&', '|')::tsquery AS some FROM asked)"
                " SELECT {columns}, NULL::float8, count(*) OVER () FROM {images} i, query"
                " WHERE i.words @@ query.some AND {conditions} AND {excluded}"
                " ORDER BY (i.words @@ query.every) DESC, ts_rank_cd(i.words, query.some) DESC, i.image_id LIMIT %(k)s"
            ).format(
                columns=_COLUMNS,
                images=sql.Identifier(collection, "images"),
                conditions=conditions.where,
                excluded=excluded.where,
            ),
            {"language": language, "text": fold(text), "k": k, **conditions.values, **excluded.values},
        ).fetchall()
    return Found([_row(r) for r in rows], "full-text", rows[0][-1] if rows else 0)


def stored_vector(conn: Connection, collection: str, space: str, image_id: str) -> Vector | None:
    """The stored unit vector of an image, float32, or None where the space has none."""
    with translated("reading a stored vector"):
        row = conn.execute(
            sql.SQL("SELECT embedding::vector FROM {} WHERE image_id = %s").format(sql.Identifier(collection, space)),
            (image_id,),
        ).fetchone()
    return None if row is None else np.asarray(row[0].to_numpy(), dtype=np.float32)


def stored_image(conn: Connection, collection: str, image_id: str) -> Row | None:
    """An image by its id, or None."""
    with translated("reading an image"):
        row = conn.execute(
            sql.SQL("SELECT {}, NULL::float8 FROM {} i WHERE image_id = %s").format(
                _COLUMNS, sql.Identifier(collection, "images")
            ),
            (image_id,),
        ).fetchone()
    return None if row is None else _row(row)


@dataclass(frozen=True, slots=True)
class _Conditions:
    """A condition in SQL with its values."""

    where: sql.Composable
    values: dict[str, Any]


_COLUMNS = sql.SQL(", ").join(sql.Identifier("i", c) for c in ("image_id", "uri", "fingerprint", *COLUMNS, "extra"))


_BY_INDEX = sql.SQL("v.embedding <=> {half}")
# The sum keeps the planner from the index; the id orders equal distances before the limit cuts them.
_BY_SCAN = sql.SQL("(v.embedding <=> {half}) + 0, v.image_id")


def _conditions(filters: Filters | None) -> _Conditions:
    """The filters, over `i`, the images."""
    parts: list[sql.Composable] = []
    values: dict[str, Any] = {}
    for number, (column, wanted) in enumerate((filters or {}).items()):
        values[f"f{number}"] = list(wanted)
        if column in COLUMNS or column in {"image_id", "fingerprint"}:
            parts.append(sql.SQL("{} = ANY({})").format(sql.Identifier("i", column), sql.Placeholder(f"f{number}")))
        else:
            values[f"c{number}"] = column
            parts.append(
                sql.SQL("i.extra ->> {} = ANY({})").format(sql.Placeholder(f"c{number}"), sql.Placeholder(f"f{number}"))
            )
    return _Conditions(sql.SQL(" AND ").join(parts) if parts else sql.SQL("true"), values)


def _excluded(table: str, ids: Sequence[str], fingerprints: Sequence[str]) -> _Conditions:
    """What is left out, over a table that has both columns: the images (`i`) or the vectors (`v`)."""
    parts: list[sql.Composable] = []
    if ids:
        parts.append(sql.SQL("{} <> ALL(%(ids)s)").format(sql.Identifier(table, "image_id")))
    if fingerprints:
        parts.append(sql.SQL("{} <> ALL(%(fingerprints)s)").format(sql.Identifier(table, "fingerprint")))
    where = sql.SQL(" AND ").join(parts) if parts else sql.SQL("true")
    return _Conditions(where, {"ids": list(ids), "fingerprints": list(fingerprints)})


def _scan(
    conn: Connection,
    collection: str,
    registered: RegisteredSpace,
    query: Vector,
    k: int,
    conditions: _Conditions,
    excluded: _Conditions,
    exclude_ids: Sequence[str],
    *,
    index: bool,
) -> list[Row]:
    if index:
        _allow_enough(conn, str(registered.index_kind), k)
    half = sql.SQL(f"%(half)s::halfvec({registered.space.dimension:d})")
    # The candidates carry no vectors: PostgreSQL would copy each row of the scan into its sort.
    statement = sql.SQL(
        "WITH candidates AS MATERIALIZED (SELECT v.image_id FROM {space} v {filtered} WHERE {conditions} AND {excluded}"
        " ORDER BY {order} LIMIT %(take)s),"
        " nearest AS MATERIALIZED (SELECT image_id, v.embedding::vector <=> %(full)s AS distance"
        " FROM candidates JOIN {space} v USING (image_id) WHERE image_id <> ALL(%(ids)s)"
        " ORDER BY distance, image_id LIMIT %(k)s)"
        " SELECT {columns}, distance FROM nearest JOIN {images} i USING (image_id) ORDER BY distance, image_id"
    ).format(
        space=sql.Identifier(collection, registered.name),
        filtered=_joined(collection) if conditions.values else sql.SQL(""),
        conditions=conditions.where,
        excluded=excluded.where,
        order=_BY_INDEX.format(half=half) if index else _BY_SCAN.format(half=half),
        columns=_COLUMNS,
        images=sql.Identifier(collection, "images"),
    )
    parameters = conditions.values | excluded.values | {"half": HalfVector(query), "full": PgVector(query)}
    parameters |= {"k": k, "take": k + MARGIN + len(exclude_ids), "ids": list(exclude_ids)}
    return [_row(r) for r in conn.execute(statement, parameters, binary=True)]


def _joined(collection: str) -> sql.Composed:
    """Only where the images decide must the vectors be joined with them before the nearest are taken."""
    return sql.SQL("JOIN {} i USING (image_id)").format(sql.Identifier(collection, "images"))


def _allow_enough(conn: Connection, kind: str, k: int) -> None:
    if kind == "hnsw":
        ef_search = min(1000, max(EF_SEARCH, k + MARGIN))
        conn.execute("SELECT set_config('hnsw.ef_search', %s, true)", (str(ef_search),))
        conn.execute("SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true)")
    else:
        conn.execute("SELECT set_config('ivfflat.probes', '10', true)")
        conn.execute("SELECT set_config('ivfflat.iterative_scan', 'relaxed_order', true)")


def _count(conn: Connection, collection: str, registered: RegisteredSpace, conditions: _Conditions) -> int:
    row = conn.execute(
        sql.SQL("SELECT count(*) FROM {} v {} WHERE {}").format(
            sql.Identifier(collection, registered.name), _joined(collection), conditions.where
        ),
        conditions.values,
    ).fetchone()
    return int(row[0]) if row else 0


def _row(values: Sequence[Any]) -> Row:
    image_id, uri, fingerprint, *columns = values[: 3 + len(COLUMNS)]
    metadata = {name: value for name, value in zip(COLUMNS, columns, strict=True) if value is not None}
    metadata["fingerprint"] = fingerprint
    metadata.update({f: v for f, v in (values[3 + len(COLUMNS)] or {}).items() if f not in metadata})
    distance = values[4 + len(COLUMNS)]
    return Row(image_id, uri, metadata, None if distance is None else float(distance))
