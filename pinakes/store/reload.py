"""A load that replaces much of an indexed space: into a second table, whose index is built afterwards, and then a swap.

Row by row each new vector is linked into the HNSW graph by itself, and each old one stays in it until a vacuum removes it.
Building a whole graph is cheaper by far, and the new table and index hold nothing dead. Searches use the old table
and its index until the moment of the swap.
"""

from __future__ import annotations

from psycopg import sql

from pinakes.spaces import Space
from pinakes.store.connection import Connection, Pgvector, value_of
from pinakes.store.index_settings import IndexKind, kept_settings
from pinakes.store.indexes import (
    NEXT,
    built_settings,
    create_index,
    enter_index,
    held_bytes,
    lock_for_build,
    lock_gently,
    size_for_build,
)
from pinakes.store.region_table import picture_of
from pinakes.store.space_registry import primary_key, registered_as
from pinakes.store.strong_locks import LONG_PATIENCE, StrongLock

LARGE_SHARE = 0.25
"""From this share of the rows on a reload takes less time. See `python -m benchmarks.bloat --reload`."""

LEAST_ROWS = 2_000
"""Fewer are linked into any graph within seconds."""


def reload_for(conn: Connection, collection: str, space: Space, expected: int, pgvector: Pgvector) -> Reload | None:
    """A reload for `expected` vectors, or None where loading them row by row takes less time."""
    if expected < LEAST_ROWS:
        return None
    kind = registered_as(conn, collection, space).index_kind
    if kind is None:
        return None
    reload = Reload(collection, space, kind, pgvector)
    rows = reload.count(conn, reload.old)
    return reload if expected >= LARGE_SHARE * (rows + expected) else None


class Reload:
    """The second table of one space. Each method is called inside a transaction of its own, under the run's lease.

    Images that are removed meanwhile, by a run into another space, take their vectors in both tables along.
    """

    def __init__(self, collection: str, space: Space, kind: IndexKind, pgvector: Pgvector) -> None:
        self._collection = collection
        self._space = space
        self._kind = kind
        self._pgvector = pgvector
        self._index = f"{space.name}_{kind}"
        self._images = sql.Identifier(collection, "images")
        self._key = sql.SQL(", ").join(map(sql.Identifier, space.key))
        self.old = sql.Identifier(collection, space.name)
        self.table = sql.Identifier(collection, f"{space.name}{NEXT}")
        self._ended: tuple[int, int] | None = None

    def begin(self, conn: Connection) -> None:
        """Create the second table, empty; what a load that died has left is dropped."""
        left = value_of(conn, "SELECT to_regclass(%s) IS NOT NULL", (self.table.as_string(conn),))
        purpose = f"making a second table of {self._space.name}"
        if left:  # to drop a table, PostgreSQL also locks what it refers to
            StrongLock((self._images, self.table), "ACCESS EXCLUSIVE", purpose).take(conn, patience=LONG_PATIENCE)
            conn.execute(sql.SQL("DROP TABLE {}").format(self.table))
        else:  # a foreign key takes the same lock, but would wait for writers without a limit
            StrongLock((self._images,), "SHARE ROW EXCLUSIVE", purpose).take(conn, patience=LONG_PATIENCE)
        conn.execute(
            sql.SQL(
                """
                CREATE TABLE {second} (
                    LIKE {first} INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMMENTS,
                    {primary_key},
                    FOREIGN KEY (image_id) REFERENCES {images} ON DELETE CASCADE
                )
                """
            ).format(second=self.table, first=self.old, images=self._images, primary_key=primary_key(self._space))
        )
        self._grant_as_before(conn)

    def take(self, conn: Connection, staged: sql.Identifier) -> None:
        """Move vectors from a staging table; those of other bytes than their image has now are left out."""
        conn.execute(
            # Rows that exist stay: those of a chunk that is loaded again and, against the first table's, those of this load.
            sql.SQL(
                """
                INSERT INTO {second} (image_id, fingerprint, norm, embedding)
                SELECT s.image_id, s.fingerprint, s.norm, s.embedding
                FROM {staged} AS s
                JOIN {images} AS i ON i.image_id = s.image_id AND i.fingerprint = {picture}
                ON CONFLICT DO NOTHING
                """
            ).format(second=self.table, staged=staged, images=self._images, picture=picture_of("s"))
        )

    def keep(self, conn: Connection) -> None:
        """Take over the vectors of the first table that this load does not bring."""
        self.take(conn, self.old)
        # Before the build, so that the graph holds none of them.
        self._drop_outdated(conn)

    def build(self, conn: Connection) -> None:
        """Build the index of the second table; a run that removes images waits for that."""
        # Left by a build whose connection was lost after its commit.
        conn.execute(
            sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(self._collection, f"{self._index}{NEXT}"))
        )
        lock_for_build(conn, self.table, self._space)
        rows = self.count(conn, self.table)
        built = built_settings(conn, self._collection, self._space, self._kind) or {}
        before = registered_as(conn, self._collection, self._space).index_rows or 0
        settings = kept_settings(self._kind, rows, built, before)
        held = held_bytes(self._space, self._kind)
        size_for_build(conn, rows, held, self._pgvector, settings, only_here=True)
        create_index(conn, self.table, f"{self._index}{NEXT}", self._kind, self._space, settings)

    def end(self, conn: Connection) -> tuple[int, int]:
        """Put the second table in the place of the first.

        It holds no lock while it waits for those who write images, or the two would wait for each other. Searches wait while
        it checks that no image has changed: about a second for a million rows.

        Returns:
            How many of the vectors are new, and how many took the place of another.
        """
        # Called again after a lost connection, it finds no second table where the first call was committed.
        if self._ended and value_of(conn, "SELECT to_regclass(%s) IS NULL", (self.table.as_string(conn),)):
            return self._ended
        # The images too: dropping a table that refers to them locks them, and would wait for their readers without a limit.
        lock_gently(conn, self._images, self.old)
        # An image may have changed since `keep` has looked. Nothing can change from here on.
        self._drop_outdated(conn)
        self._ended = self._written(conn)
        # PostgreSQL has given the second table's constraints names of its own; those of the first are kept.
        names = self._constraints(conn, self.old)
        conn.execute(sql.SQL("DROP TABLE {}").format(self.old))
        conn.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(self.table, sql.Identifier(self._space.name)))
        conn.execute(
            sql.SQL("ALTER INDEX {} RENAME TO {}").format(
                sql.Identifier(self._collection, f"{self._index}{NEXT}"), sql.Identifier(self._index)
            )
        )
        for kind, name in self._constraints(conn, self.old).items():
            if names.get(kind, name) != name:
                conn.execute(
                    sql.SQL("ALTER TABLE {} RENAME CONSTRAINT {} TO {}").format(
                        self.old, sql.Identifier(name), sql.Identifier(names[kind])
                    )
                )
        enter_index(conn, self._collection, self._space, self._kind, self.count(conn, self.old))
        return self._ended

    def count(self, conn: Connection, table: sql.Identifier) -> int:
        """The rows of a table."""
        counted: int = value_of(conn, sql.SQL("SELECT count(*) FROM {}").format(table))
        return counted

    def _drop_outdated(self, conn: Connection) -> None:
        """Delete vectors of other bytes than their image has now."""
        conn.execute(
            sql.SQL(
                """
                DELETE FROM {second} AS n
                WHERE NOT EXISTS (
                    SELECT FROM {images} AS i
                    WHERE i.image_id = n.image_id AND i.fingerprint = {picture}
                )
                """
            ).format(second=self.table, images=self._images, picture=picture_of("n"))
        )

    def _written(self, conn: Connection) -> tuple[int, int]:
        """How many vectors of the second table are new, and how many differ from those of the first."""
        row = conn.execute(
            sql.SQL(
                """
                SELECT
                    count(*) FILTER (WHERE o.image_id IS NULL),
                    count(*) FILTER (
                        WHERE o.image_id IS NOT NULL
                            AND (o.fingerprint, o.norm, o.embedding)
                                IS DISTINCT FROM (n.fingerprint, n.norm, n.embedding)
                    )
                FROM {second} AS n
                LEFT JOIN {first} AS o USING ({key})
                """
            ).format(second=self.table, first=self.old, key=self._key)
        ).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])

    def _constraints(self, conn: Connection, table: sql.Identifier) -> dict[str, str]:
        """The names of the primary key (`p`) and of the foreign key (`f`)."""
        rows = conn.execute(
            """
            SELECT contype::text, conname
            FROM pg_constraint
            WHERE conrelid = to_regclass(%s) AND contype IN ('p', 'f')
            """,
            (table.as_string(conn),),
        ).fetchall()
        return {str(kind): str(name) for kind, name in rows}

    def _grant_as_before(self, conn: Connection) -> None:
        """Grant on the second table what is granted on the first."""
        rows = conn.execute(
            """
            SELECT privilege_type, CASE WHEN grantee <> 0 THEN grantee::regrole::text END, is_grantable
            FROM pg_class, aclexplode(relacl)
            WHERE oid = to_regclass(%s) AND grantee <> relowner
            """,
            (self.old.as_string(conn),),
        ).fetchall()
        for privilege, grantee, grantable in rows:
            conn.execute(
                sql.SQL("GRANT {} ON {} TO {}{}").format(
                    sql.SQL(privilege),
                    self.table,
                    sql.SQL(grantee or "PUBLIC"),  # quoted where it has to be, by regrole
                    sql.SQL(" WITH GRANT OPTION" if grantable else ""),
                )
            )
