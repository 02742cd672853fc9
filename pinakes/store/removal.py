"""Removing a whole collection from the database, and what it takes there."""

from __future__ import annotations

from psycopg import sql

from pinakes.errors import LockHeldError
from pinakes.store.collections import require_collection
from pinakes.store.connection import Connection, translated, value_of
from pinakes.store.lease import Lease
from pinakes.store.strong_locks import START_PATIENCE, StrongLock, short_waits


def schema_exists(conn: Connection, name: str) -> bool:
    """Whether the database has a schema of this name, be it a collection or not."""
    return value_of(conn, "SELECT to_regnamespace(%s) IS NOT NULL", (name,)) is True


def collection_size(conn: Connection, name: str) -> tuple[int, int]:
    """The pictures of a collection, and the bytes of its tables with their indexes."""
    with translated(f"measuring the collection {name!r}"):
        row = conn.execute(
            sql.SQL(
                """
                SELECT
                    (SELECT count(*) FROM {images}),
                    (
                        SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint
                        FROM pg_class
                        WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r'
                    )
                """
            ).format(images=sql.Identifier(name, "images")),
            (name,),
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def drop_collection(conn: Connection, name: str, *, own: Lease | None = None, patience: float = START_PATIENCE) -> None:
    """Remove a collection from the database: pictures, metadata, vectors, indexes, restrictions. Runs stay listed.

    Args:
        conn: a connection in autocommit mode.
        name: the collection.
        own: the lease of the run that asks, which does not count as another writer.
        patience: how many seconds to wait for others who use its tables.

    Raises:
        UsageError: there is no such collection.
        LockHeldError: a run writes it.
        DatabaseError: its tables stayed in use, or this user may not drop its schema.
    """
    require_collection(conn, name)
    purpose = f"dropping the collection {name!r}"

    def lock() -> StrongLock:
        # Every table of the schema, since DROP SCHEMA waits without a limit for whoever reads one of them.
        tables = conn.execute(
            """
            SELECT relname
            FROM pg_class
            WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r'
            ORDER BY relname <> 'images', relname
            """,
            (name,),
        ).fetchall()
        return StrongLock(tuple(sql.Identifier(name, table) for (table,) in tables), "ACCESS EXCLUSIVE", purpose)

    def drop() -> None:
        with conn.transaction():
            # Read again each time: a load may have put a second table in the place of the first.
            lock().attempt(conn)
            # Under the locks: a run that takes its lease later waits for them, and then finds no collection.
            writer = value_of(
                conn,
                # Who holds a lock of one of its spaces.
                """
                SELECT holder
                FROM pinakes.locks
                WHERE starts_with(resource, %s || '/') AND expires_at > clock_timestamp() AND token <> %s
                LIMIT 1
                """,
                (name, 0 if own is None else own.token),
            )
            if writer is not None:
                raise LockHeldError(
                    f"the collection {name!r} is being written by {writer}: wait for that run to end, or stop it."
                )
            with short_waits(conn):  # a table that was created meanwhile is not locked
                conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))

    with translated(purpose):
        lock().persist(conn, drop, patience=patience)
