"""Forgotten pictures in the database: their tombstones, and the removal of their rows, dead ones included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from psycopg import sql

from pinakes.store.connection import Connection, translated, value_of
from pinakes.store.duplicates import drop_unused_sketches
from pinakes.store.lease import Lease
from pinakes.store.pixels import drop_unused
from pinakes.store.space_registry import count_rows, vector_tables
from pinakes.store.strong_locks import LONG_PATIENCE, StrongLock, short_waits, take_turn
from pinakes.tombstones import Tombstone, Tombstones

FORCE_FLUSH = 150000
"""PostgreSQL 15 keeps statistics in shared memory, and has a function that brings them up to date at once."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """The names under which something of a stored image is kept in other places."""

    image_id: str
    uri: str
    fingerprint: str


def stored_tombstones(conn: Connection, collection: str) -> Tombstones:
    """The tombstones of a collection that its table holds."""
    with translated(f"reading what {collection} has forgotten"):
        rows = conn.execute(
            sql.SQL("SELECT image_id, fingerprint, forgotten_at FROM {}").format(_table(collection))
        ).fetchall()
    return Tombstones(Tombstone(*row) for row in rows)


def add_tombstones(conn: Connection, collection: str, tombstones: Tombstones) -> None:
    """Enter tombstones; those that are entered already stay as they are."""
    with translated(f"entering what {collection} has forgotten"), conn.cursor() as cursor:
        cursor.executemany(
            sql.SQL(
                """
                INSERT INTO {tombstones} (image_id, fingerprint, forgotten_at)
                VALUES (%s, %s, %s)
                ON CONFLICT DO NOTHING
                """
            ).format(tombstones=_table(collection)),
            [(tombstone.image_id, tombstone.fingerprint, tombstone.forgotten_at) for tombstone in tombstones],
        )


def remove_tombstones(conn: Connection, collection: str, tombstones: Tombstones) -> None:
    """Take tombstones out."""
    with translated(f"entering what {collection} may hold again"), conn.cursor() as cursor:
        cursor.executemany(
            sql.SQL("DELETE FROM {} WHERE image_id = %s AND fingerprint = %s").format(_table(collection)),
            [(tombstone.image_id, tombstone.fingerprint) for tombstone in tombstones],
        )


def images_of(
    conn: Connection, collection: str, image_ids: Set[str], fingerprints: Set[str] = frozenset()
) -> list[StoredImage]:
    """The stored images with these ids, or of these bytes, by image_id."""
    with translated("looking images up"):
        rows = conn.execute(
            sql.SQL(
                """
                SELECT image_id, uri, fingerprint
                FROM {images}
                WHERE image_id = ANY(%s) OR fingerprint = ANY(%s)
                ORDER BY image_id
                """
            ).format(images=sql.Identifier(collection, "images")),
            (sorted(image_ids), sorted(fingerprints)),
        ).fetchall()
    return [StoredImage(*row) for row in rows]


def remove_images(
    conn: Connection, collection: str, image_ids: Sequence[str], leases: Iterable[Lease]
) -> dict[str, int]:
    """Delete images with their vectors; returns how many vectors of each space were deleted.

    `leases` are those of all its spaces.

    Raises:
        DatabaseError: a session that is not a run of Pinakes has been writing one of the tables for `LONG_PATIENCE` seconds;
            the message says who. Or PostgreSQL failed.
    """
    held, ids = list(leases), list(image_ids)

    def once() -> dict[str, int]:
        gone: dict[str, int] = {}
        with conn.transaction(), short_waits(conn):
            for lease in held:
                lease.guard(conn)
            if conn.info.server_version >= FORCE_FLUSH:
                # Counted at the end of this transaction, and so before `scrub`, which another session may carry out.
                conn.execute("SELECT pg_stat_force_next_flush()")
            take_turn(conn, collection)
            # Before the images, whose deletion takes their vectors along without saying how many.
            for name, table in tables.items():
                deleted = conn.execute(sql.SQL("DELETE FROM {} WHERE image_id = ANY(%s)").format(table), (ids,))
                gone[name] = deleted.rowcount
            conn.execute(sql.SQL("DELETE FROM {} WHERE image_id = ANY(%s)").format(images), (ids,))
            count_rows(conn, collection)
            drop_unused(conn, collection, "pixels")
            drop_unused_sketches(conn, collection)
        return gone

    images = sql.Identifier(collection, "images")
    with translated("removing images"):
        tables = {name: sql.Identifier(collection, name) for name in vector_tables(conn, collection)}
        # It is not taken, since rows are locked singly: it repeats the action, and names who keeps it waiting.
        others = StrongLock((*tables.values(), images), "SHARE ROW EXCLUSIVE", f"removing pictures of {collection}")
        return others.persist(conn, once, patience=LONG_PATIENCE)


def scrub(conn: Connection, collection: str, tables: Iterable[str]) -> list[str]:
    """VACUUM tables so that neither they nor their indexes hold a dead row; returns those that still do.

    A transaction that began before the deletion and is still open keeps dead rows in place.

    Raises:
        DatabaseError: another vacuum, an index build or an ALTER TABLE has kept one for `LONG_PATIENCE` seconds; the
            message says whose. Or PostgreSQL failed.
    """
    unclean = []
    with translated("vacuuming"):
        if conn.info.server_version >= FORCE_FLUSH:
            conn.execute("SELECT pg_stat_force_next_flush()")
        for name in tables:
            table = sql.Identifier(collection, name)
            lock = StrongLock((table,), "SHARE UPDATE EXCLUSIVE", f"vacuuming {collection}.{name}")
            # Without INDEX_CLEANUP a few dead rows would be left to the next vacuum, and their vectors in the graph.
            vacuum = sql.SQL("VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON)")
            lock.persist_with_vacuum(conn, vacuum, patience=LONG_PATIENCE)
            dead = "SELECT n_dead_tup FROM pg_stat_all_tables WHERE relid = to_regclass(%s)"
            if value_of(conn, dead, (table.as_string(conn),)):
                unclean.append(name)
    return unclean


def _table(collection: str) -> sql.Identifier:
    return sql.Identifier(collection, "forgotten")
