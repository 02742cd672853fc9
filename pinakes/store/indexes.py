"""Vector indexes: built after the load, and only when an exact scan has become slow."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from psycopg import sql

from pinakes.errors import DatabaseError
from pinakes.spaces import RegionSpace, Space
from pinakes.store.connection import SAFE_PARALLEL_BUILDS, Connection, Pgvector, translated, value_of
from pinakes.store.index_progress import shown_progress
from pinakes.store.index_settings import (
    HNSW_M,
    KINDS,
    NOTHING,
    IndexChoice,
    IndexKind,
    kept_settings,
    measured_settings,
)
from pinakes.store.lease import Lease
from pinakes.store.nearness import signs
from pinakes.store.scoped_connection import pooler_problem
from pinakes.store.search_plan import EF_SEARCH, VISIT_COST
from pinakes.store.strong_locks import LONG_PATIENCE, StrongLock, naming_who_is_waited_for

logger = logging.getLogger(__name__)

EXACT_BYTES = 128 * 2**20
"""Up to this many bytes of vectors a search scans them all. See `python -m benchmarks.exact_or_index`. Regions, of
which there are many more, get an index as soon as asking it costs less than a scan."""

CHECKS_CLIENTS = 140000
"""PostgreSQL 14 can check during a statement whether the program that sent it is still connected."""

_CHECK_CLIENT = "client_connection_check_interval"
_SIZES = ("maintenance_work_mem", "max_parallel_maintenance_workers")

NEXT = "~next"
"""Ends the name of what will take the place of a table or an index; no name of a space holds a tilde."""

REBUILD_GROWTH = 2.0
"""An IVFFlat index keeps the cluster centres of its build; past this growth they no longer fit, so it is rebuilt."""


def wanted_kind(choice: IndexChoice, space: Space, rows: int) -> IndexKind | None:
    """The kind of index that `rows` vectors of a space should have; None for exact search."""
    if choice == "none" or rows == 0:
        return None
    if choice == "auto":
        if isinstance(space, RegionSpace):
            return "hnsw" if rows > VISIT_COST["hnsw"] * EF_SEARCH["hnsw"] else None
        return "hnsw" if rows * space.dimension * 2 > EXACT_BYTES else None
    return choice


def ensure_index(
    conn: Connection,
    collection: str,
    space: Space,
    choice: IndexChoice,
    lease: Lease,
    pgvector: Pgvector,
    settings: Mapping[str, int] = NOTHING,
) -> IndexKind | None:
    """Build, keep or drop the index of a space, as `choice`, `settings` and its size require; its kind afterwards.

    PostgreSQL itself keeps a built HNSW index up to date. With `auto` an index that was asked for stays, and without
    `settings` so do those that it was built with; of `settings`, what is not named is what was measured. Where an index
    takes the place of another, searches use the old one until the new one is built.
    """
    table = sql.Identifier(collection, space.name)
    with translated(f"indexing the space {space.name}"), conn.transaction():
        lease.guard(conn)
        rows, entered_kind, built_rows = _state(conn, collection, space)
        built = None if entered_kind is None else built_settings(conn, collection, space, entered_kind)
        kind = wanted_kind(choice, space, rows)
        # An index that was asked for, or that was worth building once, stays when the space shrinks.
        if choice == "auto" and entered_kind is not None:
            kind = entered_kind
        stale = kind == "ivfflat" and rows > REBUILD_GROWTH * (built_rows or 0)
        with_settings = {} if kind is None else {**measured_settings(kind, rows), **settings}
        as_wanted = kind == entered_kind and (kind is None or built is not None)
        if as_wanted and not stale and (not settings or built == with_settings):
            return kind
        if kind is not None:
            if as_wanted and not settings:
                with_settings = kept_settings(kind, rows, built or {}, built_rows or 0)
            lock_for_build(conn, table, space)
            size_for_build(conn, rows, held_bytes(space, kind), pgvector, with_settings, only_here=True)
            create_index(conn, table, f"{space.name}_{kind}{NEXT}", kind, space, with_settings)
        # Dropping an index locks its table exclusively; a table without one has nothing to drop.
        if entered_kind is not None:
            lock_gently(conn, table)
        for old in KINDS:
            conn.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(index_name(collection, space, old)))
        if kind is not None:
            conn.execute(
                sql.SQL("ALTER INDEX {} RENAME TO {}").format(
                    sql.Identifier(collection, f"{space.name}_{kind}{NEXT}"), sql.Identifier(f"{space.name}_{kind}")
                )
            )
        enter_index(conn, collection, space, kind, rows)
    return kind


def create_index(
    conn: Connection,
    table: sql.Identifier,
    name: str,
    kind: IndexKind,
    space: Space,
    settings: Mapping[str, int],
) -> None:
    """Build an index of `kind`; readers continue meanwhile, writers wait. How far it has come is logged."""
    indexed = sql.SQL("({} bit_hamming_ops)").format(signs(sql.SQL("embedding"), space.dimension))
    statement = sql.SQL("CREATE INDEX {} ON {} USING {} {} WITH ({})").format(
        sql.Identifier(name),
        table,
        sql.SQL("ivfflat" if kind == "ivfflat" else "hnsw"),
        indexed if kind == "binary" else sql.SQL("(embedding halfvec_cosine_ops)"),
        sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in settings.items()
        ),
    )
    with shown_progress(conn, table, f"building the {kind} index of {space.name}"):
        conn.execute(statement)


def built_settings(conn: Connection, collection: str, space: Space, kind: str) -> dict[str, int] | None:
    """What the index of a space was built with, as PostgreSQL keeps it; None where there is none that it can use."""
    rows = conn.execute(
        """
        SELECT option_name, option_value::int
        FROM pg_index
        JOIN pg_class ON oid = indexrelid
        LEFT JOIN LATERAL pg_options_to_table(reloptions) ON true
        WHERE indexrelid = to_regclass(%s) AND indisvalid
        """,
        (index_name(collection, space, kind).as_string(conn),),
    ).fetchall()
    return {name: value for name, value in rows if name is not None} if rows else None


def enter_index(conn: Connection, collection: str, space: Space, kind: str | None, rows: int) -> None:
    """Enter into the registry that an index of `kind` over `rows` vectors has just been built, or that there is none.

    What an index of another kind was searched with is forgotten.
    """
    table = None if kind is None else index_name(collection, space, kind).as_string(conn)
    conn.execute(
        sql.SQL(
            """
            UPDATE {registry}
            SET index_kind = %(kind)s,
                index_rows = CASE WHEN %(built)s THEN %(rows)s END,
                index_bytes = pg_relation_size(to_regclass(%(table)s)),
                index_built_at = CASE WHEN %(built)s THEN now() END,
                ef_search = CASE WHEN index_kind = %(kind)s THEN ef_search END,
                ef_search_recall = CASE WHEN index_kind = %(kind)s THEN ef_search_recall END,
                ef_search_filtered = CASE WHEN index_kind = %(kind)s THEN ef_search_filtered END
            WHERE space = %(space)s
            """
        ).format(registry=sql.Identifier(collection, "spaces")),
        {"kind": kind, "built": kind is not None, "rows": rows, "table": table, "space": space.name},
    )


def index_bytes(conn: Connection, collection: str, space: Space, kind: str) -> int:
    """The size of a space's index."""
    name = index_name(collection, space, kind).as_string(conn)
    size: int = value_of(conn, "SELECT pg_relation_size(to_regclass(%s))", (name,))
    return size


def lock_for_build(conn: Connection, table: sql.Identifier, space: Space) -> None:
    """Inside a transaction: keep writers out of a table whose index is built, but do not wait for one of them for good.

    Raises:
        DatabaseError: somebody has been writing it for `LONG_PATIENCE` seconds; the message says who.
    """
    StrongLock((table,), "SHARE", f"building the index of {space.name}").take(conn, patience=LONG_PATIENCE)


def lock_gently(conn: Connection, *tables: sql.Identifier) -> None:
    """Inside a transaction: lock tables exclusively, without keeping searches waiting behind a long reader.

    Raises:
        DatabaseError: somebody has been reading them for `LONG_PATIENCE` seconds; the message says who.
    """
    StrongLock(tables, "ACCESS EXCLUSIVE", "putting a new index in place").take(conn, patience=LONG_PATIENCE)


def rebuild_index(conn: Connection, collection: str, space: Space, lease: Lease, pgvector: Pgvector) -> None:
    """Build the index of a space again next to the old one, and swap; neither readers nor writers wait.

    The connection is in autocommit mode, the space has an index, and the caller holds the lease.

    Raises:
        DatabaseError: the connection goes through a pooler, or PostgreSQL failed.
    """
    # This build runs in no transaction, so its memory has to be set for the session.
    problem = pooler_problem(conn, f"rebuilding the index of {space.name}")
    if problem is not None:
        raise DatabaseError(problem)
    with translated(f"rebuilding the index of {space.name}"):
        drop_half_built(conn, collection, space)
        rows, kind, _ = _state(conn, collection, space)
        assert kind is not None
        settings = built_settings(conn, collection, space, kind) or {}
        size_for_build(conn, rows, held_bytes(space, kind), pgvector, settings, only_here=False)
        try:
            lease.check()
            what, table = f"rebuilding the index of {space.name}", sql.Identifier(collection, space.name)
            with naming_who_is_waited_for(conn, what, patience=LONG_PATIENCE), shown_progress(conn, table, what):
                conn.execute(sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(index_name(collection, space, kind)))
        finally:
            if not conn.closed:
                for name in (*_SIZES, *([_CHECK_CLIENT] if conn.info.server_version >= CHECKS_CLIENTS else [])):
                    conn.execute(sql.SQL("RESET {}").format(sql.Identifier(name)))
        with conn.transaction():
            lease.guard(conn)
            enter_index(conn, collection, space, kind, rows)


def drop_half_built(conn: Connection, collection: str, space: Space) -> int:
    """Drop the invalid indexes that concurrent builds left on a space's table when they died; returns how many.

    The caller holds the lease, so a build that is still running is one whose program was killed: it is ended first.
    """
    end_builds(conn, collection, space)
    # REINDEX CONCURRENTLY gives its indexes these endings; an invalid index of another name is somebody else's.
    left = conn.execute(
        """
        SELECT c.relname
        FROM pg_index AS x
        JOIN pg_class AS c ON c.oid = x.indexrelid
        WHERE x.indrelid = to_regclass(%s) AND NOT x.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'
        """,
        (sql.Identifier(collection, space.name).as_string(conn),),
    ).fetchall()
    for (name,) in left:
        with naming_who_is_waited_for(conn, f"dropping the half-built index {name}", patience=LONG_PATIENCE):
            conn.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(collection, name)))
    return len(left)


def end_builds(conn: Connection, collection: str, space: Space) -> None:
    """End builds of an index of this space that are still running in the server although their program is gone.

    The caller holds the lease. Otherwise a load would wait until they have ended.
    """
    with translated(f"ending index builds of {space.name}"):
        ended = value_of(
            conn,
            """
            SELECT count(pg_terminate_backend(pid))
            FROM pg_stat_progress_create_index
            WHERE relid = to_regclass(%s)
                AND datname = current_database()
                AND pid <> pg_backend_pid()
            """,
            (sql.Identifier(collection, space.name).as_string(conn),),
        )
    if ended:
        logger.warning("ended an index build of %s that a killed run or maintenance had left in the server", space.name)


def index_name(collection: str, space: Space, kind: str) -> sql.Identifier:
    """The qualified name of a space's vector index."""
    return sql.Identifier(collection, f"{space.name}_{kind}")


def build_memory() -> int:
    """Bytes that one index build may use: a quarter of the machine's memory, at most 4 GiB."""
    # Of this machine: PostgreSQL does not say how much memory its own has.
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min(machine // 4, 4 * 2**30))


def _state(conn: Connection, collection: str, space: Space) -> tuple[int, IndexKind | None, int | None]:
    """The vectors that a space holds now, the kind of its index, and the vectors when that was built."""
    row = conn.execute(
        sql.SQL(
            """
            SELECT (SELECT count(*) FROM {space}), index_kind, index_rows
            FROM {registry}
            WHERE space = %s
            """
        ).format(space=sql.Identifier(collection, space.name), registry=sql.Identifier(collection, "spaces")),
        (space.name,),
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def held_bytes(space: Space, kind: IndexKind) -> int:
    """Bytes of a vector as an index of `kind` holds it."""
    return space.dimension // 8 if kind == "binary" else space.dimension * 2


def size_for_build(
    conn: Connection,
    rows: int,
    held: int,
    pgvector: Pgvector,
    settings: Mapping[str, int] = NOTHING,
    *,
    only_here: bool,
) -> None:
    """Memory for the whole graph where there is that much: a build that spills is many times slower.

    Args:
        conn: a connection, whose settings are changed.
        rows: how many vectors there are.
        held: bytes of each.
        pgvector: its version decides whether several processes may build.
        settings: of the index.
        only_here: until the end of the transaction, else of the session.
    """
    graph = rows * (held + settings.get("m", HNSW_M) * 2 * 8 + 200) * 3 // 2
    memory = max(64 * 2**20, min(graph, build_memory()))
    conn.execute("SELECT set_config('maintenance_work_mem', %s, %s)", (f"{memory // 1024}kB", only_here))
    parallel = pgvector.version >= SAFE_PARALLEL_BUILDS
    # Besides the session itself, which builds along with them.
    workers = max((os.cpu_count() or 1) - 1, 0) if parallel else 0
    conn.execute("SELECT set_config('max_parallel_maintenance_workers', %s, %s)", (str(workers), only_here))
    # The server ends the build of a program that was killed.
    if conn.info.server_version >= CHECKS_CLIENTS:
        conn.execute("SELECT set_config(%s, '2s', %s)", (_CHECK_CLIENT, only_here))
