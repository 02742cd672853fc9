"""Searching one space by a vector: its nearest images, page by page.

A first page takes the nearest by `halfvec`'s arithmetic, or the index's candidates, and then orders these few by their
distances in single precision. Later pages and groups compare every vector that passes in single precision: they continue
after an exact place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, LiteralString

from pgvector import HalfVector
from pgvector import Vector as PgVector
from psycopg import sql

from pinakes.query.cursor import DIGEST_BYTES, Cursor
from pinakes.query.query import Mode
from pinakes.store.conditions import Conditions, column
from pinakes.store.connection import Connection, Pgvector, translated
from pinakes.store.images import IMAGE_COLUMNS, Row, joined_copies, region_row_of, row_of
from pinakes.store.nearness import nearness
from pinakes.store.search_plan import MARGIN, Plan, farther, plan
from pinakes.store.search_settings import searching
from pinakes.store.space_registry import RegisteredSpace
from pinakes.types import Vector

JOIN_MEMORY = "64MB"
"""For joining what passes a filter with the vectors: a hash table of half a million ids, which spills otherwise."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a search is to find in a space.

    Attributes:
        k: how many.
        passing: conditions on the images.
        exclude_ids: images left out.
        exclude_fingerprints: pictures of these bytes left out.
        max_distance: the largest cosine distance of a hit.
        group_by: a column; only the nearest image of each of its values is found.
        collapse: only the preferred, else the nearest, image of each group of copies is found.
        after: continue after this place.
        mode: how vectors are compared.
        effort: see `pinakes.query.query.Query`.
    """

    k: int
    passing: Conditions = field(default_factory=Conditions)
    exclude_ids: tuple[str, ...] = ()
    exclude_fingerprints: tuple[str, ...] = ()
    max_distance: float | None = None
    group_by: str | None = None
    collapse: bool = False
    after: Cursor | None = None
    mode: Mode = "auto"
    effort: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Rows in order, how they were found, and how many vectors or texts were candidates.

    Of texts, the first `whole` rows have all of the words.
    """

    rows: list[Row]
    mode: str
    scanned: int
    whole: int = 0


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
    deep = wanted.k + len(wanted.exclude_ids)
    whole = wanted.after is not None or wanted.group_by is not None or wanted.collapse
    mode: Mode = "exact" if whole else wanted.mode
    chosen = plan(conn, collection, registered, wanted.passing, deep, mode, pgvector, effort=wanted.effort)
    search = _Search(collection, registered, query, wanted, deep + MARGIN)
    with translated(f"searching {collection}"):
        if chosen.index:
            found = search.by_index(conn, chosen)
            if found is not None and _lost(found, chosen.far):
                found = search.by_index(conn, farther(chosen, str(registered.index_kind)))
            if found is not None:
                return found
        with searching(conn, {"work_mem": JOIN_MEMORY} if wanted.passing else None):
            rows = search.whole(conn) if whole else search.by_scan(conn)
    # The planner stops counting where the index is worth asking; if that answered too few, the full count is due now.
    matching = chosen.matching
    if matching is None:
        matching = plan(conn, collection, registered, wanted.passing, deep, "exact", pgvector).matching
    return Found(rows, "exact", min(matching or 0, registered.rows))


def _lost(found: Found, far: float | None) -> bool:
    """Whether an index seems to have led to the wrong place: nothing that it found is near, or near enough for the query."""
    return far is not None and (not found.rows or (found.rows[0].distance or 0) > far)


class _Search:
    """One search as SQL, in each of the ways in which it can be carried out."""

    def __init__(self, collection: str, registered: RegisteredSpace, query: Vector, wanted: Wanted, take: int) -> None:
        self._collection = collection
        self._space = sql.Identifier(collection, registered.name)
        regions = registered.regions
        self._regions = sql.Identifier(collection, regions.name) if regions and regions.rows else None
        self._images = sql.Identifier(collection, "images")
        self._kind = str(registered.index_kind)
        self._wanted = wanted
        self._take = take
        self._dimension = registered.space.dimension
        self._half = sql.SQL("%(half)s::halfvec({})").format(sql.Literal(self._dimension))
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
        statement = self._filled(
            """
            WITH candidates AS MATERIALIZED (
                SELECT v.image_id
                FROM {space} AS v {joined}
                WHERE {passing} AND v.fingerprint <> ALL(%(fingerprints)s)
                ORDER BY (v.embedding <=> {half}) + 0, v.image_id
                LIMIT %(take)s
            ), scored AS (
                SELECT image_id, v.embedding::vector <=> %(full)s AS distance
                FROM candidates
                JOIN {space} AS v USING (image_id)
            ), nearest AS MATERIALIZED (
                SELECT *
                FROM scored
                WHERE image_id <> ALL(%(ids)s) AND (%(max)s::float8 IS NULL OR distance <= %(max)s)
                ORDER BY distance, image_id
                LIMIT %(k)s
            )
            SELECT {columns}, distance
            FROM nearest
            JOIN {images} AS i USING (image_id)
            ORDER BY distance, image_id
            """
        )
        return [row_of(row) for row in conn.execute(statement, self._values, binary=True)]

    def by_index(self, conn: Connection, chosen: Plan) -> Found | None:
        """The nearest of the index's candidates, or None when it ended before it had enough of them."""
        # What PostgreSQL counted in this transaction says how many vectors the index has handed over.
        statement = self._filled(
            """
            WITH candidates AS MATERIALIZED (
                SELECT v.image_id, v.embedding::vector <=> %(full)s AS distance
                FROM {space} AS v {joined}
                WHERE {passing} AND v.fingerprint <> ALL(%(fingerprints)s)
                ORDER BY {nearness}
                LIMIT %(take)s
            ), nearest AS MATERIALIZED (
                SELECT *
                FROM candidates
                WHERE image_id <> ALL(%(ids)s) AND (%(max)s::float8 IS NULL OR distance <= %(max)s)
                ORDER BY distance, image_id
                LIMIT %(k)s
            ), ended AS MATERIALIZED (
                SELECT count(*) AS candidates FROM candidates
            )
            SELECT {columns}, distance, candidates, pg_stat_get_xact_tuples_fetched(%(table)s::regclass)
            FROM ended
            LEFT JOIN nearest ON true
            LEFT JOIN {images} AS i USING (image_id)
            ORDER BY distance, i.image_id
            """,
            nearness=nearness(self._kind, sql.SQL("v.embedding"), self._half, self._dimension),
        )
        with searching(conn, index_settings(self._kind, chosen, filtered=bool(self._wanted.passing))):
            values = {**self._values, "table": self._space.as_string(conn), "take": chosen.candidates}
            rows = conn.execute(statement, values, binary=True).fetchall()
        candidates, fetched = rows[0][-2:]
        if candidates < chosen.candidates:
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
        collapse = self._wanted.collapse
        # A group's key and an image's own name must never be taken for each other: whether there is a key comes first.
        best = """
                SELECT DISTINCT ON (key IS NULL, coalesce(key, image_id)) *
                FROM kept
                ORDER BY key IS NULL, coalesce(key, image_id), passed_over, distance, image_id"""
        nearest_part = """
                SELECT DISTINCT ON (image_id) *
                FROM measured
                ORDER BY image_id, distance, fingerprint"""
        statement = self._filled(
            """
            WITH measured AS (
                SELECT v.image_id, v.fingerprint, v.embedding::vector <=> %(full)s AS distance, {key} AS key,
                    {passed_over} AS passed_over
                FROM {vectors} AS v
                JOIN {images} AS i USING (image_id) {copies}
                WHERE {passing} AND {allowed}
            ), scored AS ({scored}
            ), kept AS (
                SELECT *
                FROM scored
                WHERE image_id <> ALL(%(ids)s) AND (%(max)s::float8 IS NULL OR distance <= %(max)s)
            ), best AS ({best}
            ), nearest AS MATERIALIZED (
                SELECT image_id, distance, fingerprint AS vector
                FROM best
                WHERE (%(from_id)s::text IS NULL OR (distance, image_id) > (%(from_distance)s::float8, %(from_id)s::text))
                    AND (
                        %(shown_id)s::text IS NULL
                        OR (distance, image_id) > (%(shown_distance)s::float8, %(shown_id)s::text)
                        OR left(md5(image_id), {digits}) <> ALL(%(shown)s)
                    )
                ORDER BY distance, image_id
                LIMIT %(k)s
            )
            SELECT {columns}, distance, vector
            FROM nearest
            JOIN {images} AS i USING (image_id)
            ORDER BY distance, image_id
            """,
            vectors=self._with_regions,
            allowed=allowed(self._wanted),
            scored=sql.SQL(nearest_part if self._regions else "SELECT * FROM measured"),
            key=sql.SQL("d.work") if collapse else column(group, "group", values) if group else sql.SQL("v.image_id"),
            passed_over=sql.SQL("d.preferred IS NOT TRUE" if collapse else "false"),
            copies=joined_copies(self._collection) if collapse else sql.SQL(""),
            best=sql.SQL(best if group or collapse else "SELECT * FROM kept"),
            digits=sql.Literal(2 * DIGEST_BYTES),
        )
        return [region_row_of(row) for row in conn.execute(statement, values, binary=True)]

    @property
    def _with_regions(self) -> sql.Composable:
        """The vectors of the wholes and, where there are any, of the regions."""
        if self._regions is None:
            return self._space
        return sql.SQL(
            "(SELECT image_id, fingerprint, embedding FROM {} UNION ALL SELECT image_id, fingerprint, embedding FROM {})"
        ).format(self._space, self._regions)

    def _filled(self, statement: LiteralString, **others: sql.Composable) -> sql.Composed:
        joined = sql.SQL("JOIN {} AS i USING (image_id)").format(self._images)
        return sql.SQL(statement).format(
            space=self._space,
            images=self._images,
            # Only where the images decide must the vectors be joined with them before the nearest are taken.
            joined=joined if self._wanted.passing else sql.SQL(""),
            passing=self._wanted.passing.where,
            half=self._half,
            columns=IMAGE_COLUMNS,
            **others,
        )


def allowed(wanted: Wanted) -> sql.SQL:
    """The condition that a vector `v`, of a whole or a region, is of no picture whose bytes are left out."""
    if not wanted.exclude_fingerprints:
        return sql.SQL("true")
    # In any other collation this would take ten times as long as comparing the vectors.
    return sql.SQL("split_part(v.fingerprint COLLATE \"C\", '#', 1) <> ALL(%(fingerprints)s)")


def index_settings(kind: str, chosen: Plan, *, filtered: bool) -> dict[str, str]:
    """The settings of an index scan, for the transaction."""
    if kind == "ivfflat":
        settings = {"ivfflat.iterative_scan": "relaxed_order", "ivfflat.probes": str(chosen.probes)}
    else:
        settings = {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": str(chosen.ef_search)}
    if filtered:
        # Every other plan compares all vectors that pass, which is what an exact search is for.
        settings |= dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_sort"), "off")
    return settings
