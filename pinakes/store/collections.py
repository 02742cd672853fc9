"""Collections as the database knows them: one schema each, with one source root."""

from __future__ import annotations

from psycopg import sql

from pinakes.errors import DatabaseError, UsageError
from pinakes.ids import check_collection
from pinakes.store.connection import Connection, Pgvector, ensure_pgvector, is_empty, translated, value_of
from pinakes.store.languages import PLAIN, check_language
from pinakes.store.lease import Lease
from pinakes.store.migrate import SYSTEM_SCHEMA, migrate
from pinakes.store.prepared_database import check_temporary


def prepare(conn: Connection) -> Pgvector:
    """Make the database ready: pgvector, and the schema that all collections share."""
    pgvector = ensure_pgvector(conn)
    migrate(conn, SYSTEM_SCHEMA, "system", pgvector)
    return pgvector


def foresee_collection(conn: Connection, name: str, source_root: str, *, language: str | None = None) -> None:
    """Check, before a run waits for its lock, that `ensure_collection` can succeed. Nothing is created or changed.

    Raises:
        UsageError: the name or the language cannot be used, or the collection holds pictures of another root.
    """
    check_collection(name)
    if language is not None:
        check_language(conn, language)
    if name in collection_names(conn) and not is_empty(conn, sql.Identifier(name, "images")):
        check_root(conn, name, source_root)


def ensure_collection(
    conn: Connection,
    name: str,
    source_root: str,
    *,
    language: str | None = None,
    lease: Lease | None = None,
) -> None:
    """Create the collection, or check that it is the one of `source_root`; a collection that matches is only read.

    A collection that holds no picture, and that nobody else is writing, takes another root: the run that created it may
    have failed over a mistyped folder.

    Args:
        conn: a connection in autocommit mode.
        name: the collection.
        source_root: where its pictures are listed.
        language: of the words of a new collection; None: the first run that brings texts guesses it.
        lease: the run's own, which does not count as another writer.

    Raises:
        UsageError: the name cannot be used, or the collection has another source root.
        DatabaseError: PostgreSQL failed, or it does not know the language.
    """
    pgvector = prepare(conn)
    check_temporary(conn)
    foresee_collection(conn, name, source_root, language=language)
    migrate(conn, name, "collection", pgvector, language=language or PLAIN)
    table = sql.Identifier(name, "collection")
    with translated(f"entering the collection {name!r}"):
        root = _root(conn, name)
        if root is None:
            conn.execute(
                # Enters the root and the language of a new collection. Of two first runs the later one keeps what the other
                # has entered, and `check_root` refuses it if that is another root.
                sql.SQL(
                    """
                    INSERT INTO {collection} (source_root, language, language_open)
                    VALUES (%s, %s, %s)
                    ON CONFLICT DO NOTHING
                    """
                ).format(collection=table),
                (source_root, language or PLAIN, language is None),
            )
        if root != source_root:
            conn.execute(
                # Gives an empty collection another root, unless another run holds a lock of one of its spaces.
                sql.SQL(
                    """
                    UPDATE {collection}
                    SET source_root = %(root)s
                    WHERE source_root <> %(root)s
                        AND NOT EXISTS (SELECT FROM {images})
                        AND NOT EXISTS (
                            SELECT FROM pinakes.locks
                            WHERE starts_with(resource, %(name)s || '/')
                                AND expires_at > clock_timestamp()
                                AND token <> %(own)s
                        )
                    """
                ).format(collection=table, images=sql.Identifier(name, "images")),
                {"root": source_root, "name": name, "own": 0 if lease is None else lease.token},
            )
    check_root(conn, name, source_root)


def check_root(conn: Connection, name: str, source_root: str) -> None:
    """Check that an existing collection is the one of `source_root`.

    Raises:
        UsageError: it has another one.
    """
    root = require_collection(conn, name)
    if root != source_root:
        raise UsageError(
            f"the collection {name!r} holds the pictures of {root}, and this run lists {source_root}: a collection has"
            " one source root; name another with --collection."
        )


def open_collection(conn: Connection, name: str) -> Pgvector:
    """Make the connection and an existing collection ready to be searched: its schema is brought up to date.

    Raises:
        UsageError: there is no such collection.
        DatabaseError: its schema was made by a newer Pinakes, or PostgreSQL failed.
    """
    pgvector = prepare(conn)
    require_collection(conn, name)
    migrate(conn, name, "collection", pgvector)
    return pgvector


def collection_names(conn: Connection) -> list[str]:
    """The collections that this user may use, by name: the schemas that have both tables of a collection."""
    with translated("listing the collections"):
        rows = conn.execute(
            """
            SELECT n.nspname
            FROM pg_class AS c
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE c.relname = 'collection'
                AND c.relkind = 'r'
                AND EXISTS (SELECT FROM pg_class AS s WHERE s.relnamespace = n.oid AND s.relname = 'spaces')
                AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'source_root')
                AND has_schema_privilege(n.oid, 'USAGE')
            ORDER BY n.nspname
            """
        ).fetchall()
    return [name for (name,) in rows]


def require_collection(conn: Connection, name: str) -> str:
    """The source root of a collection that must exist.

    Raises:
        UsageError: there is none of that name; the message lists those that exist.
    """
    check_collection(name)
    names = collection_names(conn)
    if name not in names:
        others = f"; there are: {', '.join(names)}" if names else " yet; pinakes ingest makes one"
        raise UsageError(f"there is no collection {name!r}{others}.")
    root = _root(conn, name)
    if root is None:
        raise DatabaseError(f"the collection {name!r} has lost its source root; run pinakes ingest again.")
    return root


def _root(conn: Connection, name: str) -> str | None:
    """The source root as entered; None where there is none yet."""
    root: str | None = value_of(conn, sql.SQL("SELECT source_root FROM {}").format(sql.Identifier(name, "collection")))
    return root
