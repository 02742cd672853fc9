"""What a database accumulates over the years, counted and removed: bloated indexes, dead rows, old runs, old queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from pinakes.spaces import Space
from pinakes.store.connection import Connection, translated
from pinakes.store.indexes import index_name
from pinakes.store.strong_locks import LONG_PATIENCE, StrongLock

DEAD_ROWS = 50
"""Fewer are not worth a vacuum. PostgreSQL's own autovacuum_vacuum_threshold."""

DEAD_SHARE = 0.1
CHANGED_SHARE = 0.05
"""A table is vacuumed and analysed from these shares of dead and of changed rows on: half of what autovacuum waits for."""


@dataclass(frozen=True, slots=True)
class IndexState:
    """An index, and what its size would be if it were built now.

    Attributes:
        kind: `hnsw`, `binary` or `ivfflat`.
        rows: of the table, now.
        built_rows: when it was built.
        size: bytes, now.
        fresh: bytes that it would have now at its size per row when it was built; None where that was not kept.
        dead: rows of the table that are dead; their vectors are still in the index.
    """

    kind: str
    rows: int
    built_rows: int
    size: int
    fresh: float | None
    dead: int

    @property
    def bloat(self) -> float:
        """Its size against that of an index built now; 1.0 where that is not known."""
        return self.size / self.fresh if self.fresh else 1.0

    @property
    def dead_share(self) -> float:
        """Dead rows against all, 0 to 1."""
        return self.dead / (self.rows + self.dead) if self.dead else 0.0


@dataclass(frozen=True, slots=True)
class TableState:
    """A table that is due for a vacuum, or for new statistics, with its dead and its changed rows."""

    schema: str
    name: str
    dead: int
    changed: int
    vacuum: bool
    analyze: bool


def index_state(conn: Connection, collection: str, space: Space) -> IndexState | None:
    """The index of a space; None where it has none."""
    table = sql.Identifier(collection, space.name)
    with translated(f"looking at the index of {space.name}"):
        row = conn.execute(
            sql.SQL(
                """
                SELECT index_kind, index_rows, index_bytes, (SELECT count(*) FROM {space})
                FROM {registry}
                WHERE space = %s
                """
            ).format(space=table, registry=sql.Identifier(collection, "spaces")),
            (space.name,),
        ).fetchone()
        if row is None or row[0] is None:
            return None
        kind, built_rows, built_bytes, rows = row
        name = index_name(collection, space, kind).as_string(conn)
        sizes = conn.execute(
            """
            SELECT
                coalesce(pg_relation_size(to_regclass(%s)), 0),
                coalesce(pg_stat_get_dead_tuples(to_regclass(%s)), 0)
            """,
            (name, table.as_string(conn)),
        ).fetchone()
        assert sizes is not None
    # In proportion to the rows: the size of a graph is that of its nodes.
    fresh = built_bytes / built_rows * max(rows, 1) if built_bytes and built_rows else None
    return IndexState(kind, rows, built_rows or 0, sizes[0], fresh, sizes[1])


def tables_due(conn: Connection, schemas: Sequence[str]) -> Iterator[TableState]:
    """The tables of some schemas for which a vacuum or new statistics are due."""
    with translated("looking for dead rows"):
        rows = conn.execute(
            # Counted by the server as it writes, and so known without reading a table.
            """
            SELECT schemaname, relname, n_dead_tup, n_mod_since_analyze,
                n_dead_tup > %(rows)s + %(dead)s * n_live_tup,
                n_mod_since_analyze > %(rows)s + %(changed)s * n_live_tup
            FROM pg_stat_all_tables
            WHERE schemaname = ANY(%(schemas)s)
            ORDER BY schemaname, relname
            """,
            {"rows": DEAD_ROWS, "dead": DEAD_SHARE, "changed": CHANGED_SHARE, "schemas": list(schemas)},
        ).fetchall()
    return (state for state in (TableState(*row) for row in rows) if state.vacuum or state.analyze)


def tidy(conn: Connection, table: TableState) -> None:
    """VACUUM or ANALYZE a table as it is due; readers and writers continue meanwhile.

    Raises:
        DatabaseError: another vacuum, an index build or an ALTER TABLE has kept it for `LONG_PATIENCE` seconds; the message
            says whose. Or PostgreSQL failed.
    """
    what = "VACUUM (SKIP_LOCKED, ANALYZE)" if table.analyze else "VACUUM (SKIP_LOCKED)"
    named = sql.Identifier(table.schema, table.name)
    with translated(f"vacuuming {table.schema}.{table.name}"):
        lock = StrongLock((named,), "SHARE UPDATE EXCLUSIVE", f"vacuuming {table.schema}.{table.name}")
        lock.persist_with_vacuum(
            conn, sql.SQL(what if table.vacuum else "ANALYZE (SKIP_LOCKED)"), patience=LONG_PATIENCE
        )


def prune_runs(conn: Connection, days: int) -> int:
    """Remove runs that began more than `days` ago, except the newest of each collection and space; returns how many."""
    with translated("removing old runs"):
        return conn.execute(
            """
            DELETE FROM pinakes.runs AS r
            WHERE started_at < now() - %s * interval '1 day'
                AND EXISTS (
                    SELECT FROM pinakes.runs AS n
                    WHERE (n.collection, n.space) = (r.collection, r.space)
                        AND (n.started_at, n.run_id) > (r.started_at, r.run_id)
                )
            """,
            (days,),
        ).rowcount


def prune_locks(conn: Connection, days: int) -> int:
    """Remove locks that ran out more than `days` ago; returns how many. Their holders can no longer renew them."""
    with translated("removing old locks"):
        return conn.execute(
            "DELETE FROM pinakes.locks WHERE expires_at < clock_timestamp() - %s * interval '1 day'", (days,)
        ).rowcount


def trim_queries(conn: Connection, days: int, orphan_days: int, spaces: Sequence[str]) -> int:
    """Remove vectors of queries that have not been used for so long; returns how many.

    Those in one of `spaces`, which collections have, are kept for `days`, all others for `orphan_days`.
    """
    with translated("removing old queries"):
        return conn.execute(
            """
            DELETE FROM pinakes.query_vectors
            WHERE used_at < now() - CASE WHEN space = ANY(%s) THEN %s ELSE %s END * interval '1 day'
            """,
            (list(spaces), days, orphan_days),
        ).rowcount


def enter_baseline(conn: Connection, collection: str, space: Space, state: IndexState) -> None:
    """Enter the present size of an index as that of its build, which was not kept then."""
    with translated(f"entering the size of the index of {space.name}"):
        conn.execute(
            sql.SQL("UPDATE {} SET index_rows = %s, index_bytes = %s WHERE space = %s AND index_bytes IS NULL").format(
                sql.Identifier(collection, "spaces")
            ),
            (state.rows, state.size, space.name),
        )
