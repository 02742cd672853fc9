"""Vector indexes: built after the load, and only when an exact scan has become slow."""

from __future__ import annotations

import os
from typing import Literal

from psycopg import sql

from pinakes.spaces import Space
from pinakes.store.connection import SAFE_PARALLEL_BUILDS, Connection, Pgvector, translated
from pinakes.store.lease import Lease

IndexChoice = Literal["auto", "none", "hnsw", "ivfflat"]

EXACT_BYTES = 128 * 2**20
"""Up to this many bytes of vectors a search scans them all. See `python -m benchmarks.exact_or_index`."""

HNSW_M = 16
HNSW_EF_CONSTRUCTION = 64
"""pgvector's defaults; m is the links of a node, ef_construction the candidates looked at while building."""

REBUILD_GROWTH = 2.0
"""An IVFFlat index keeps the cluster centres of its build; past this growth they no longer fit, so it is built anew."""


def wanted_kind(choice: IndexChoice, space: Space, rows: int) -> str | None:
    """The kind of index that `rows` vectors of a space should have: `hnsw`, `ivfflat`, or None for exact search."""
    if choice == "none" or rows == 0:
        return None
    if choice == "auto":
        return "hnsw" if rows * space.dimension * 2 > EXACT_BYTES else None
    return choice


def ensure_index(
    conn: Connection, collection: str, space: Space, choice: IndexChoice, lease: Lease, pgvector: Pgvector
) -> str | None:
    """Build, keep or drop the index of a space, as `choice` and its size ask; what stands afterwards.

    A built HNSW index is kept up by PostgreSQL itself. With `auto` an index that somebody asked for stays.
    """
    registry = sql.Identifier(collection, "spaces")
    table = sql.Identifier(collection, space.name)
    with translated(f"indexing the space {space.name}"), conn.transaction():
        lease.guard(conn)
        rows, built_kind, built_rows = _state(conn, registry, table, space)
        kind = wanted_kind(choice, space, rows)
        if choice == "auto" and built_kind is not None:
            kind = built_kind
        stale = kind == "ivfflat" and rows > REBUILD_GROWTH * (built_rows or 0)
        if kind == built_kind and not stale:
            return built_kind
        for old in ("hnsw", "ivfflat"):
            conn.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(index_name(collection, space, old)))
        if kind is not None:
            _size_for_build(conn, rows, space, parallel=pgvector.version >= SAFE_PARALLEL_BUILDS)
            conn.execute(
                sql.SQL(
                    "CREATE INDEX {name} ON {table} USING {kind} (embedding halfvec_cosine_ops) WITH ({options})"
                ).format(
                    name=sql.Identifier(index_name(collection, space, kind).as_string(conn).split(".")[-1].strip('"')),
                    table=table,
                    kind=sql.SQL("hnsw" if kind == "hnsw" else "ivfflat"),
                    options=_options(kind, rows),
                )
            )
        conn.execute(
            sql.SQL(
                "UPDATE {} SET index_kind = %s, index_rows = %s,"
                " index_built_at = CASE WHEN %s THEN now() END WHERE space = %s"
            ).format(registry),
            (kind, rows if kind else None, kind is not None, space.name),
        )
    return kind


def index_name(collection: str, space: Space, kind: str) -> sql.Identifier:
    """The qualified name of a space's vector index."""
    return sql.Identifier(collection, f"{space.name}_{kind}")


def build_memory() -> int:
    """Bytes that one index build may use: a quarter of the machine's memory, at most 4 GiB."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min(machine // 4, 4 * 2**30))


def _state(
    conn: Connection, registry: sql.Identifier, table: sql.Identifier, space: Space
) -> tuple[int, str | None, int | None]:
    row = conn.execute(
        sql.SQL("SELECT (SELECT count(*) FROM {}), index_kind, index_rows FROM {} WHERE space = %s").format(
            table, registry
        ),
        (space.name,),
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def _size_for_build(conn: Connection, rows: int, space: Space, *, parallel: bool) -> None:
    """Memory for the whole graph where there is that much: a build that spills is many times slower."""
    graph = rows * (space.dimension * 2 + HNSW_M * 2 * 8 + 200) * 3 // 2
    memory = max(64 * 2**20, min(graph, build_memory()))
    conn.execute("SELECT set_config('maintenance_work_mem', %s, true)", (f"{memory // 1024}kB",))
    workers = max((os.cpu_count() or 1) - 1, 0) if parallel else 0
    conn.execute("SELECT set_config('max_parallel_maintenance_workers', %s, true)", (str(workers),))


def _options(kind: str, rows: int) -> sql.Composable:
    if kind == "hnsw":
        return sql.SQL(f"m = {HNSW_M:d}, ef_construction = {HNSW_EF_CONSTRUCTION:d}")
    # pgvector's advice: rows / 1000 lists up to a million rows, then the square root.
    lists = max(1, rows // 1000 if rows <= 1_000_000 else int(rows**0.5))
    return sql.SQL(f"lists = {lists:d}")
