"""Searching one space: the nearest vectors and the best words, page by page.

A first page takes the nearest by `halfvec`'s arithmetic, or the index's candidates, and then orders these few by their
distances in single precision. Later pages and groups compare every vector that passes in single precision: they go on
after an exact place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pgvector import HalfVector
from pgvector import Vector as PgVector
from psycopg import sql

from pinakes.metadata.folding import fold_words
from pinakes.query.cursor import DIGEST_BYTES, Cursor
from pinakes.query.query import Mode
from pinakes.store.collections import RegisteredSpace, collection_language
from pinakes.store.conditions import Conditions, column
from pinakes.store.connection import Connection, Pgvector, translated
from pinakes.store.images import IMAGE_COLUMNS, Row, row_of
from pinakes.store.search_plan import Plan, plan
from pinakes.store.search_settings import searching
from pinakes.types import Vector

MARGIN = 32
"""Rows taken beyond k before distances are computed in single precision: the half-precision order may be off by a few."""

JOIN_MEMORY = "64MB"
"""For joining what passes a filter with the vectors: a hash table that spills would write the vectors to disk. It holds
about half a million ids."""

PROBES = 10
"""Lists that an IVFFlat scan begins with; it goes on to others while it has too few."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a space is wanted.

    Attributes:
        k: how many.
        passing: conditions on the images.
        exclude_ids: images left out.
        exclude_fingerprints: pictures of these bytes left out.
        max_distance: cosine distance beyond which nothing is wanted.
        group_by: a column of which each value gives its nearest image alone.
        after: go on after this place.
        mode: how vectors are compared.
    """

    k: int
    passing: Conditions = field(default_factory=Conditions)
    exclude_ids: tuple[str, ...] = ()
    exclude_fingerprints: tuple[str, ...] = ()
    max_distance: float | None = None
    group_by: str | None = None
    after: Cursor | None = None
    mode: Mode = "auto"


@dataclass(frozen=True, slots=True)
class Found:
    """Rows in order, how they were found, and how many vectors or texts were candidates."""

    rows: list[Row]
    mode: str
    scanned: int


def nearest(
    conn: Connection, pgvector: Pgvector, collection: str, registered: RegisteredSpace, query: Vector, wanted: Wanted
) -> Found:
    """The images nearest to a vector, by cosine distance, ties by image_id.

    Args:
        conn: a connection that knows pgvector's types.
        pgvector: its version decides what an index may be asked.
        collection: the collection.
        registered: the space that `query` belongs to.
        query: shape (dimension,), float32, not zero.
        wanted: which of them, and how many.

    Raises:
        UsageError: an index was asked for and there is none.
    """
    take = wanted.k + MARGIN + len(wanted.exclude_ids)
    whole = wanted.after is not None or wanted.group_by is not None
    mode: Mode = "exact" if whole else wanted.mode
    chosen = plan(conn, collection, registered, wanted.passing, take, mode, pgvector)
    asked = _Statement(collection, registered, query, wanted, take)
    with translated(f"searching {collection}"):
        if chosen.index:
            found = asked.by_index(conn, chosen)
            if found is not None:
                return found
        with searching(conn, {"work_mem": JOIN_MEMORY} if wanted.passing else None):
            rows = asked.whole(conn) if whole else asked.by_scan(conn)
    # A full count is due where the planner stopped counting, and the index then answered too few.
    matching = chosen.matching
    if matching is None:
        matching = plan(conn, collection, registered, wanted.passing, take, "exact", pgvector).matching
    return Found(rows, "exact", min(matching or 0, registered.rows))


def by_words(
    conn: Connection, collection: str, registered: RegisteredSpace, text: str, query: Vector | None, wanted: Wanted
) -> Found:
    """The images whose words fit best: those with all of the words first, then by how many and how close.

    Image ids break ties; a text without any word finds nothing. `scanned` is how many matched. With a vector the rows have
    their distances to it, and a cut-off holds for them.
    """
    language = collection_language(conn, collection)
    passing = wanted.passing
    with translated(f"searching the words of {collection}"), searching(conn):
        rows = conn.execute(
            sql.SQL(
                "WITH asked AS (SELECT plainto_tsquery(%(language)s::regconfig, %(text)s) AS every),"
                " query AS (SELECT every, replace(every::text, '&', '|')::tsquery AS some FROM asked),"
                " matching AS MATERIALIZED (SELECT i.image_id, i.words @@ query.every AS whole,"
                "   ts_rank_cd(i.words, query.some) AS rank, count(*) OVER () AS matched FROM {images} i, query"
                "   WHERE i.words @@ query.some AND {passing} AND i.image_id <> ALL(%(ids)s)"
                "   AND i.fingerprint <> ALL(%(fingerprints)s) ORDER BY whole DESC, rank DESC, i.image_id LIMIT %(k)s)"
                " SELECT {columns}, {distance} AS distance, matched FROM matching JOIN {images} i USING (image_id)"
                " LEFT JOIN {space} v USING (image_id) ORDER BY whole DESC, rank DESC, i.image_id"
            ).format(
                columns=IMAGE_COLUMNS,
                images=sql.Identifier(collection, "images"),
                space=sql.Identifier(collection, registered.name),
                distance=_distance_to(query),
                passing=passing.where,
            ),
            {
                "language": language,
                "text": fold_words(text),
                "full": None if query is None else PgVector(query),
                "k": wanted.k,
                "ids": list(wanted.exclude_ids),
                "fingerprints": list(wanted.exclude_fingerprints),
                **passing.values,
            },
        ).fetchall()
    found = [row for row in map(row_of, rows) if query is None or _near_enough(row, wanted.max_distance)]
    return Found(found, "full-text", rows[0][-1] if rows else 0)


def in_order(
    conn: Connection,
    collection: str,
    registered: RegisteredSpace,
    query: Vector | None,
    digests: Sequence[bytes],
    wanted: Wanted,
) -> list[tuple[int, Row]]:
    """The first images of a fixed order that are still there and still pass, each with its place in it, from 1 on.

    Args:
        conn: a connection that knows pgvector's types.
        collection: the collection.
        registered: the space that `query` belongs to.
        query: what distances are measured to; None: nothing.
        digests: the order, as `pinakes.query.cursor.shown_digest` names images.
        wanted: how many, and which may pass.
    """
    passing = wanted.passing
    with translated(f"going on with a search of {collection}"), searching(conn):
        rows = conn.execute(
            sql.SQL(
                "WITH named AS (SELECT digest, place FROM unnest(%(digests)s::text[]) WITH ORDINALITY AS n(digest, place)),"
                " there AS MATERIALIZED (SELECT i.image_id, place FROM {images} i"
                "   JOIN named ON named.digest = left(md5(i.image_id), {digits})"
                "   WHERE {passing} ORDER BY place, i.image_id LIMIT %(k)s)"
                " SELECT {columns}, {distance} AS distance, place FROM there JOIN {images} i USING (image_id)"
                " LEFT JOIN {space} v USING (image_id) ORDER BY place, i.image_id"
            ).format(
                columns=IMAGE_COLUMNS,
                images=sql.Identifier(collection, "images"),
                space=sql.Identifier(collection, registered.name),
                distance=_distance_to(query),
                digits=sql.Literal(2 * DIGEST_BYTES),
                passing=passing.where,
            ),
            {
                "digests": [digest.hex() for digest in digests],
                "full": None if query is None else PgVector(query),
                "k": wanted.k,
                **passing.values,
            },
        ).fetchall()
    return [(row[-1], row_of(row)) for row in rows]


def _distance_to(query: Vector | None) -> sql.SQL:
    """The distance of `v` to the parameter `full`, where there is one."""
    return sql.SQL("NULL::float8" if query is None else "v.embedding::vector <=> %(full)s")


def _near_enough(row: Row, limit: float | None) -> bool:
    return limit is None or (row.distance is not None and row.distance <= limit)


class _Statement:
    """One search as SQL, in each of the ways in which it can be carried out."""

    def __init__(self, collection: str, registered: RegisteredSpace, query: Vector, wanted: Wanted, take: int) -> None:
        self._space = sql.Identifier(collection, registered.name)
        self._images = sql.Identifier(collection, "images")
        self._kind = str(registered.index_kind)
        self._wanted = wanted
        self._take = take
        self._half = sql.SQL(f"%(half)s::halfvec({registered.space.dimension:d})")
        self._values: dict[str, Any] = {
            **wanted.passing.values,
            "half": HalfVector(query),
            "full": PgVector(query),
            "k": wanted.k,
            "take": take,
            "ids": list(wanted.exclude_ids),
            "fingerprints": list(wanted.exclude_fingerprints),
            "max": wanted.max_distance,
        }

    def by_scan(self, conn: Connection) -> list[Row]:
        """The nearest of all that pass."""
        # The candidates carry no vectors: PostgreSQL would copy each row of the scan into its sort. The sum keeps the
        # planner from the index; the id orders equal distances before the limit cuts them.
        statement = sql.SQL(
            "WITH candidates AS MATERIALIZED (SELECT v.image_id FROM {space} v {joined} WHERE {passing}"
            " ORDER BY (v.embedding <=> {half}) + 0, v.image_id LIMIT %(take)s),"
            " scored AS (SELECT image_id, v.embedding::vector <=> %(full)s AS distance"
            " FROM candidates JOIN {space} v USING (image_id)),"
            " nearest AS MATERIALIZED (SELECT * FROM scored WHERE {kept} ORDER BY distance, image_id LIMIT %(k)s)"
            " SELECT {columns}, distance FROM nearest JOIN {images} i USING (image_id) ORDER BY distance, image_id"
        )
        return [row_of(r) for r in conn.execute(self._filled(statement), self._values, binary=True)]

    def by_index(self, conn: Connection, chosen: Plan) -> Found | None:
        """The nearest of the index's candidates, or None when it ended before it had enough of them."""
        # What PostgreSQL counted in this transaction says how many vectors the index has handed over.
        statement = sql.SQL(
            "WITH candidates AS MATERIALIZED (SELECT v.image_id, v.embedding::vector <=> %(full)s AS distance"
            " FROM {space} v {joined} WHERE {passing} ORDER BY v.embedding <=> {half} LIMIT %(take)s),"
            " nearest AS MATERIALIZED (SELECT * FROM candidates WHERE {kept} ORDER BY distance, image_id LIMIT %(k)s),"
            " ended AS MATERIALIZED (SELECT count(*) AS candidates FROM candidates)"
            " SELECT {columns}, distance, candidates, pg_stat_get_xact_tuples_fetched(%(table)s::regclass)"
            " FROM ended LEFT JOIN nearest ON true LEFT JOIN {images} i USING (image_id) ORDER BY distance, i.image_id"
        )
        with searching(conn, _index_settings(self._kind, chosen.ef_search, filtered=bool(self._wanted.passing))):
            values = {**self._values, "table": self._space.as_string(conn)}
            rows = conn.execute(self._filled(statement), values, binary=True).fetchall()
        candidates, fetched = rows[0][-2:]
        if candidates < self._take:
            return None
        return Found([row_of(r) for r in rows if r[0] is not None], self._kind, max(fetched, candidates))

    def whole(self, conn: Connection) -> list[Row]:
        """The nearest of all that pass after a place, or of each group, every distance in single precision."""
        after = self._wanted.after
        position, boundary = (after.position, after.boundary) if after else (None, None)
        values = {
            **self._values,
            "from_distance": position.distance if position else None,
            "from_id": position.image_id if position else None,
            "shown_distance": boundary.distance if boundary else None,
            "shown_id": boundary.image_id if boundary else None,
            "shown": [shown.hex() for shown in after.shown] if after else [],
        }
        group = self._wanted.group_by
        key = column(group, "group", values) if group else sql.SQL("v.image_id")
        scored = sql.SQL(
            "WITH scored AS (SELECT v.image_id, v.embedding::vector <=> %(full)s AS distance, {key} AS key"
            " FROM {space} v {joined} WHERE {passing})"
        )
        best = sql.SQL(
            # A group's key and an image's own name must never be taken for each other.
            ", best AS (SELECT DISTINCT ON (key IS NULL, coalesce(key, image_id)) * FROM scored WHERE {kept}"
            " ORDER BY key IS NULL, coalesce(key, image_id), distance, image_id)"
        )
        nearest = sql.SQL(
            ", nearest AS MATERIALIZED (SELECT image_id, distance FROM {best} WHERE {kept}"
            " AND (%(from_id)s::text IS NULL OR (distance, image_id) > (%(from_distance)s::float8, %(from_id)s::text))"
            " AND (%(shown_id)s::text IS NULL OR (distance, image_id) > (%(shown_distance)s::float8, %(shown_id)s::text)"
            "   OR left(md5(image_id), {digits}) <> ALL(%(shown)s))"
            " ORDER BY distance, image_id LIMIT %(k)s)"
            " SELECT {columns}, distance FROM nearest JOIN {images} i USING (image_id) ORDER BY distance, image_id"
        )
        statement = sql.SQL("{}{}{}").format(
            self._filled(scored, key=key, joined=self._joined),
            self._filled(best) if group else sql.SQL(""),
            self._filled(nearest, best=sql.SQL("best" if group else "scored"), digits=sql.Literal(2 * DIGEST_BYTES)),
        )
        return [row_of(r) for r in conn.execute(statement, values, binary=True)]

    @property
    def _joined(self) -> sql.Composed:
        return sql.SQL("JOIN {} i USING (image_id)").format(self._images)

    def _filled(self, statement: sql.SQL, **others: sql.Composable) -> sql.Composed:
        passing: sql.Composable = self._wanted.passing.where
        if self._wanted.exclude_fingerprints:
            passing = sql.SQL("{} AND v.fingerprint <> ALL(%(fingerprints)s)").format(passing)
        kept: sql.Composable = sql.SQL("image_id <> ALL(%(ids)s)")
        if self._wanted.max_distance is not None:
            kept = sql.SQL("{} AND distance <= %(max)s").format(kept)
        names: dict[str, sql.Composable] = {
            "space": self._space,
            "images": self._images,
            # Only where the images decide must the vectors be joined with them before the nearest are taken.
            "joined": self._joined if self._wanted.passing else sql.SQL(""),
            "passing": passing,
            "kept": kept,
            "half": self._half,
            "columns": IMAGE_COLUMNS,
        }
        return statement.format(**(names | others))


def _index_settings(kind: str, ef_search: int, *, filtered: bool) -> dict[str, str]:
    """The settings of an index scan, for the transaction."""
    settings = {f"{kind}.iterative_scan": "relaxed_order"}
    settings |= {"hnsw.ef_search": str(ef_search)} if kind == "hnsw" else {"ivfflat.probes": str(PROBES)}
    if filtered:
        # Every other plan compares all vectors that pass, which is what an exact search is for.
        settings |= dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_sort"), "off")
    return settings
