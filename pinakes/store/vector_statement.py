"""The statement of a search by vector: the nearest of candidates that an index, a scan or all vectors give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from pinakes.query.cursor import DIGEST_BYTES
from pinakes.store.conditions import Conditions
from pinakes.store.connection import Connection
from pinakes.store.images import IMAGE_COLUMNS, Row, region_row_of
from pinakes.store.nearness import nearness
from pinakes.store.one_of_each import NOTHING, OneOfEach
from pinakes.store.region_table import picture_of
from pinakes.store.search_plan import Plan
from pinakes.store.search_settings import searching
from pinakes.store.space_registry import RegisteredSpace

READING = {"work_mem": "64MB"}
"""For joining what passes a filter with the vectors: a hash table of half a million ids, which spills otherwise."""

ALONE = {"max_parallel_workers_per_gather": "0"}
"""For comparing some thousands: starting other processes takes longer than they do."""

FULL = sql.SQL("v.embedding::vector <=> %(full)s")
"""The distance in single precision."""

CANDIDATES = sql.SQL("SELECT * FROM candidates")

NEAR_ENOUGH = sql.SQL("image_id <> ALL(%(ids)s) AND (%(max)s::float8 IS NULL OR {distance} <= %(max)s)")

NOT_SHOWN = sql.SQL(
    """
    {name} NOT IN (
        SELECT {name}
        FROM kept
        WHERE (distance, image_id) <= (%(shown_distance)s::float8, %(shown_id)s::text)
            AND left(md5(image_id), {digits}) = ANY(%(shown)s)
    )
    """
)
"""The first page, whose order may be the index's, has shown nothing of this group: what it missed comes on the next one."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one statement found.

    Attributes:
        rows: in order, each with the keys of which it alone is shown.
        mode: how.
        candidates: how many there were.
        farthest: the distance of the last of them.
        scanned: how many vectors were compared, or handed over by the index.
    """

    rows: list[tuple[Row, Sequence[str]]]
    mode: str
    candidates: int
    farthest: float
    scanned: int


@dataclass(frozen=True, slots=True)
class VectorStatement:
    """Finds the nearest of some candidates, in each of the ways in which these are taken.

    Attributes:
        conn: a connection that knows pgvector's types.
        collection: the collection.
        tables: of the wholes and, where there are any, of the regions.
        passing: conditions on the images.
        one: what of several is shown.
        values: the parameters: `half` and `full`, the query in half and in single precision; `k`; `ids` and `fingerprints`
            that are left out; `max`, the largest distance; `from_…`, the place after which to continue; `shown…`, what the
            first page has shown.
    """

    conn: Connection
    collection: str
    tables: Sequence[RegisteredSpace]
    passing: Conditions
    one: OneOfEach
    values: Mapping[str, Any]

    def by_index(self, table: RegisteredSpace, chosen: Plan, take: int) -> Taken:
        """The nearest of the index's candidates, of which there are fewer than `take` where it has ended before."""
        kind = str(table.index_kind)
        order = nearness(kind, sql.SQL("v.embedding"), self._half, self.tables[0].space.dimension)
        taken = self._run(
            table,
            sql.Identifier(self.collection, table.name),
            sql.SQL("ORDER BY {} LIMIT {}").format(order, sql.Literal(take)),
            settings=_index_settings(kind, chosen, filtered=bool(self.passing)),
        )
        return replace(taken, mode=kind)

    def by_scan(self, tables: Sequence[RegisteredSpace], take: int) -> Taken:
        """The nearest of all vectors of some of the tables that are of images that pass."""
        # The candidates carry no vectors: PostgreSQL would copy each row of the scan into its sort. The sum keeps the
        # planner from the index; the names order equal distances before the limit cuts them.
        vectors = self._vectors_of(tables)
        first = sql.SQL("ORDER BY distance, v.image_id, v.fingerprint LIMIT {}").format(sql.Literal(take))
        taken = self._run(
            tables[0],
            vectors,
            # Behind a filter all that pass are candidates, so that they are counted.
            NOTHING if self.passing else first,
            near=sql.SQL("(v.embedding <=> {}) + 0").format(self._half),
            measured=sql.SQL(
                """
                SELECT v.image_id, v.fingerprint, {distance} AS distance
                FROM (SELECT * FROM candidates AS v {first}) AS candidates
                JOIN {vectors} AS v USING (image_id, fingerprint)
                """
            ).format(distance=FULL, first=first, vectors=vectors),
            # Where there is an index and it was not worth asking, few pass.
            settings=READING | (ALONE if self.passing and tables[0].index_kind is not None else {}),
        )
        return replace(taken, scanned=taken.candidates if self.passing else sum(table.rows for table in tables))

    def every_vector(self) -> Taken:
        """The nearest of all that pass, after a place, every distance in single precision."""
        return self._run(self.tables[0], self._vectors_of(self.tables))

    def _run(
        self,
        table: RegisteredSpace,
        vectors: sql.Composable,
        taken: sql.Composable = NOTHING,
        *,
        near: sql.Composable = FULL,
        measured: sql.Composable = CANDIDATES,
        settings: Mapping[str, str] = READING,
    ) -> Taken:
        """Find the nearest of some candidates.

        Args:
            table: whose vectors the index hands over.
            vectors: among which the candidates are.
            taken: their order and number; nothing: all of them.
            near: the distance by which they are.
            measured: the candidates with their distances in single precision.
            settings: for the statement.
        """
        images = sql.Identifier(self.collection, "images")
        joined = sql.SQL("JOIN {} AS i USING (image_id)").format(images)
        passing = sql.SQL("{} AND {}").format(self.passing.where, self._allowed)
        preferred = sql.SQL("JOIN {} AS v USING (image_id) WHERE {} AND {}").format(
            self._vectors_of(self.tables), passing, NEAR_ENOUGH.format(distance=FULL)
        )
        # Of each group the nearest of all is chosen before the place of the page is looked for: a group that was shown would
        # else come again with its second image.
        names = [sql.Identifier(name) for name in self.one.names]
        kept: sql.Composable = sql.SQL("kept")
        if self.values["shown"]:
            kept = sql.SQL("(SELECT * FROM kept WHERE {})").format(
                sql.SQL(" AND ").join(NOT_SHOWN.format(name=name, digits=2 * DIGEST_BYTES) for name in names)
            )
        statement = sql.SQL(
            """
            WITH candidates AS (
                SELECT v.image_id, v.fingerprint, {near} AS distance
                FROM {vectors} AS v {joined}
                WHERE {passing}
                {taken}
            ), measured AS (
                {measured}
            ), kept AS (
                SELECT m.*{keys}
                FROM measured AS m {grouped}
                WHERE {near_enough} AND {considered}
            ), nearest AS MATERIALIZED (
                SELECT *
                FROM {best} AS best
                WHERE %(from_id)s::text IS NULL OR (distance, image_id) > (%(from_distance)s::float8, %(from_id)s::text)
                ORDER BY distance, image_id
                LIMIT %(k)s
            ), ended AS MATERIALIZED (
                SELECT count(*) AS candidates, max(distance) AS farthest
                FROM candidates
            )
            SELECT {columns}, distance, nearest.fingerprint, {names}, candidates, farthest,
                pg_stat_get_xact_tuples_fetched(%(table)s::regclass)
            FROM ended
            LEFT JOIN nearest ON true
            LEFT JOIN {images} AS i USING (image_id)
            ORDER BY distance, i.image_id
            """
        ).format(
            near=near,
            vectors=vectors,
            # Only where the images decide must the vectors be joined with them before the nearest are taken.
            joined=joined if self.passing else NOTHING,
            passing=passing,
            taken=taken,
            measured=measured,
            keys=self.one.columns,
            grouped=sql.SQL("{} {}").format(joined, self.one.joined) if self.one.keys else NOTHING,
            near_enough=NEAR_ENOUGH.format(distance=sql.SQL("distance")),
            considered=self.one.considered(preferred),
            # An image of which nothing but the whole is compared comes once.
            best=self.one.of(kept, sql.SQL("distance, image_id, fingerprint"))
            if self.one.keys or len(self.tables) > 1
            else kept,
            columns=IMAGE_COLUMNS,
            names=sql.SQL(", ").join(sql.SQL("nearest.{}").format(name) for name in names),
            images=images,
        )
        # What PostgreSQL counted in this transaction says how many vectors the index has handed over.
        values = {**self.values, "table": sql.Identifier(self.collection, table.name).as_string(self.conn)}
        with searching(self.conn, settings):
            rows = self.conn.execute(statement, values, binary=True).fetchall()
        candidates, farthest, fetched = rows[0][-3:]
        return Taken(
            [(region_row_of(row), row[-3 - len(names) : -3]) for row in rows if row[0] is not None],
            "exact",
            candidates,
            farthest or 0.0,
            max(fetched, candidates),
        )

    @property
    def _half(self) -> sql.Composable:
        return sql.SQL("%(half)s::halfvec({})").format(sql.Literal(self.tables[0].space.dimension))

    def _vectors_of(self, tables: Sequence[RegisteredSpace]) -> sql.Composable:
        of_one = [
            sql.SQL("SELECT image_id, fingerprint, embedding FROM {}").format(
                sql.Identifier(self.collection, table.name)
            )
            for table in tables
        ]
        return sql.SQL("({})").format(sql.SQL(" UNION ALL ").join(of_one))

    @property
    def _allowed(self) -> sql.Composable:
        """The condition that a vector `v`, of a whole or a region, is of no picture whose bytes are left out."""
        if not self.values["fingerprints"]:
            return sql.SQL("true")
        return sql.SQL("{} <> ALL(%(fingerprints)s)").format(picture_of("v"))


def _index_settings(kind: str, chosen: Plan, *, filtered: bool) -> dict[str, str]:
    """The settings of an index scan, for the transaction."""
    if kind == "ivfflat":
        settings = {"ivfflat.iterative_scan": "relaxed_order", "ivfflat.probes": str(chosen.probes)}
    else:
        settings = {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": str(chosen.ef_search)}
    if filtered:
        # Every other plan compares all vectors that pass, which is what an exact search is for.
        settings |= dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_sort"), "off")
    return settings
