"""Collections and their embedding spaces as the database knows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from pinakes.errors import DatabaseError, UsageError
from pinakes.ids import check_collection
from pinakes.spaces import Space
from pinakes.store.connection import Connection, Pgvector, ensure_pgvector, translated
from pinakes.store.lease import Lease
from pinakes.store.migrate import SYSTEM_SCHEMA, migrate
from pinakes.store.prepared_database import check_temporary
from pinakes.store.strong_locks import START_PATIENCE, StrongLock

PLAIN = "p"
"""pg_attribute.attstorage of vectors that are stored in their row as they are."""


@dataclass(frozen=True, slots=True)
class RegisteredSpace:
    """A space as the registry of its collection shows it.

    Attributes:
        space: what makes its vectors comparable.
        active: whether searches use it when they name none.
        created_at, loaded_at: when it was registered, and when a load last ended.
        rows: vectors that it held then.
        index_kind: `hnsw`, `ivfflat`, or None while searches are exact.
        index_rows: rows when the index was built.
        index_built_at: when.
        ef_search, ef_search_recall: the candidates of an HNSW scan that were chosen by `pinakes evaluate`, and the recall
            that they were measured to give.
    """

    space: Space
    active: bool
    created_at: datetime
    loaded_at: datetime | None
    rows: int
    index_kind: str | None
    index_rows: int | None
    index_built_at: datetime | None
    ef_search: int | None = None
    ef_search_recall: float | None = None

    @property
    def name(self) -> str:
        """The space's name, which is its table's name."""
        return self.space.name


def prepare(conn: Connection) -> Pgvector:
    """Make the database ready: pgvector, and the schema that all collections share."""
    pgvector = ensure_pgvector(conn)
    migrate(conn, SYSTEM_SCHEMA, "system", pgvector)
    return pgvector


def foresee_collection(conn: Connection, name: str, source_root: str, *, language: str = "simple") -> None:
    """See, before a run waits for its lock, whether `ensure_collection` can succeed; nothing is made or changed.

    Raises:
        UsageError: the name or the language cannot be used, or the collection holds pictures of another root.
    """
    check_collection(name)
    known = conn.execute("SELECT 1 FROM pg_ts_config WHERE cfgname = %s", (language,)).fetchone()
    if known is None:
        raise UsageError(f"the database has no text search configuration {language!r}; see \\dF in psql.")
    if name in collection_names(conn) and _holds_images(conn, name):
        check_root(conn, name, source_root)


def ensure_collection(
    conn: Connection,
    name: str,
    source_root: str,
    *,
    language: str = "simple",
    lease: Lease | None = None,
    patience: float = START_PATIENCE,
) -> None:
    """Create the collection, or check that it is the one of `source_root`. One that is there and is, is only read.

    One that holds no picture, and that nobody else writes, takes another root: the run that made it may have failed over a
    mistyped folder.

    Args:
        conn: a connection in autocommit mode.
        name: the collection.
        source_root: where its pictures are listed.
        language: the text search configuration of a new collection.
        lease: the run's own, which does not count as somebody who writes.
        patience: how many seconds somebody is waited for who uses what has to change.

    Raises:
        UsageError: the name cannot be used, or the collection has another source root.
        DatabaseError: PostgreSQL refused, or `language` is no text search configuration.
    """
    pgvector = prepare(conn)
    check_temporary(conn)
    foresee_collection(conn, name, source_root, language=language)
    migrate(conn, name, "collection", pgvector, language=language, patience=patience)
    table = sql.Identifier(name, "collection")
    with translated(f"entering the collection {name!r}"):
        entered = conn.execute(sql.SQL("SELECT source_root FROM {}").format(table)).fetchone()
        if entered is None:
            conn.execute(
                sql.SQL("INSERT INTO {} (source_root, language) VALUES (%s, %s) ON CONFLICT DO NOTHING").format(table),
                (source_root, language),
            )
        if entered != (source_root,):
            conn.execute(
                sql.SQL(
                    "UPDATE {collection} SET source_root = %(root)s WHERE source_root <> %(root)s"
                    " AND NOT EXISTS (SELECT FROM {images}) AND NOT EXISTS (SELECT FROM pinakes.locks"
                    "  WHERE starts_with(resource, %(name)s || '/') AND expires_at > clock_timestamp()"
                    "   AND token <> %(own)s)"
                ).format(collection=table, images=sql.Identifier(name, "images")),
                {"root": source_root, "name": name, "own": 0 if lease is None else lease.token},
            )
    check_root(conn, name, source_root)


def check_root(conn: Connection, name: str, source_root: str) -> None:
    """See that an existing collection is the one of `source_root`.

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
        DatabaseError: its schema was made by a newer Pinakes, or PostgreSQL refused.
    """
    pgvector = prepare(conn)
    require_collection(conn, name)
    migrate(conn, name, "collection", pgvector)
    return pgvector


def collection_names(conn: Connection) -> list[str]:
    """All collections of the database that this user may use, by name."""
    with translated("listing the collections"):
        rows = conn.execute(
            "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relname = 'collection' AND c.relkind = 'r'"
            "  AND EXISTS (SELECT FROM pg_class s WHERE s.relnamespace = n.oid AND s.relname = 'spaces')"
            "  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'source_root')"
            "  AND has_schema_privilege(n.oid, 'USAGE')"
            " ORDER BY 1"
        ).fetchall()
    return [name for (name,) in rows]


def require_collection(conn: Connection, name: str) -> str:
    """The source root of a collection that must exist.

    Raises:
        UsageError: there is none of that name; the message lists those that there are.
    """
    check_collection(name)
    names = collection_names(conn)
    if name not in names:
        others = f"; there are: {', '.join(names)}" if names else " yet; pinakes ingest makes one"
        raise UsageError(f"there is no collection {name!r}{others}.")
    row = conn.execute(sql.SQL("SELECT source_root FROM {}").format(sql.Identifier(name, "collection"))).fetchone()
    if row is None:
        raise DatabaseError(f"the collection {name!r} has lost its source root; run pinakes ingest again.")
    return str(row[0])


def _holds_images(conn: Connection, name: str) -> bool:
    row = conn.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(name, "images"))).fetchone()
    return row is not None and bool(row[0])


def collection_language(conn: Connection, name: str) -> str:
    """The text search configuration that a collection's words are kept in."""
    row = conn.execute(sql.SQL("SELECT language FROM {}").format(sql.Identifier(name, "collection"))).fetchone()
    return str(row[0]) if row else "simple"


def register_space(
    conn: Connection, collection: str, space: Space, *, lease: Lease | None = None, patience: float = START_PATIENCE
) -> None:
    """Enter a space and make its table; the first space of a collection becomes the active one.

    A space that is there is only read, so that no search waits for a run that starts.

    Args:
        conn: a connection in autocommit mode.
        collection: the collection.
        space: the space.
        lease: the run's; what is made is made only while it is held.
        patience: how many seconds somebody is waited for who writes images, or uses a table that has to change.

    Raises:
        DatabaseError: what has to be locked was in use for too long; the message says by whom.
    """
    table = sql.Identifier(collection, space.name)
    with translated(f"registering the space {space.name}"):
        if not _is_registered(conn, collection, space):
            with conn.transaction():
                if lease is not None:
                    lease.guard(conn)
                _make_space(conn, collection, space, patience)
        elif _storage(conn, table) != PLAIN:
            with conn.transaction():
                if lease is not None:
                    lease.guard(conn)
                lock = StrongLock((table,), "ACCESS EXCLUSIVE", f"changing how the vectors of {space.name} are stored")
                lock.take(conn, patience=patience)
                _store_plain(conn, table)


def _is_registered(conn: Connection, collection: str, space: Space) -> bool:
    row = conn.execute(
        sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE space = %s) AND to_regclass(%s) IS NOT NULL").format(
            sql.Identifier(collection, "spaces")
        ),
        (space.name, sql.Identifier(collection, space.name).as_string(conn)),
    ).fetchone()
    return row is not None and bool(row[0])


def _make_space(conn: Connection, collection: str, space: Space, patience: float) -> None:
    """Inside a transaction: enter the space, and make its table. Nobody who only reads waits for it."""
    registry = sql.Identifier(collection, "spaces")
    images = sql.Identifier(collection, "images")
    # The registry, so that one space alone becomes the first; the images, since the table refers to them.
    lock = StrongLock((images, registry), "SHARE ROW EXCLUSIVE", f"registering the space {space.name}")
    lock.take(conn, patience=patience)
    conn.execute(
        sql.SQL(
            "INSERT INTO {registry} (space, provider, model, version, dimension, preprocessing, active)"
            " VALUES (%s, %s, %s, %s, %s, %s, NOT EXISTS (SELECT FROM {registry} WHERE active))"
            " ON CONFLICT (space) DO NOTHING"
        ).format(registry=registry),
        (space.name, space.provider, space.model, space.version, space.dimension, space.preprocessing),
    )
    table = sql.Identifier(collection, space.name)
    conn.execute(
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {table} ("
            ' image_id text COLLATE "C" PRIMARY KEY REFERENCES {images} ON DELETE CASCADE,'
            " fingerprint text NOT NULL, norm real NOT NULL, embedding {halfvec} NOT NULL)"
        ).format(table=table, images=images, halfvec=sql.SQL(f"halfvec({space.dimension:d})"))
    )
    if _storage(conn, table) != PLAIN:
        _store_plain(conn, table)


def _storage(conn: Connection, table: sql.Identifier) -> str | None:
    """How PostgreSQL stores the vectors of a space: `PLAIN`, or in a way that may put them elsewhere."""
    row = conn.execute(
        "SELECT attstorage::text FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = 'embedding'",
        (table.as_string(conn),),
    ).fetchone()
    return None if row is None else str(row[0])


def _store_plain(conn: Connection, table: sql.Identifier) -> None:
    """A scan that need not fetch toasted vectors is about five times as fast."""
    conn.execute(sql.SQL("ALTER TABLE {} ALTER COLUMN embedding SET STORAGE PLAIN").format(table))


def spaces(conn: Connection, collection: str) -> list[RegisteredSpace]:
    """The spaces of a collection, the active one first."""
    with translated("reading the spaces"):
        rows = conn.execute(
            sql.SQL(
                "SELECT provider, model, version, dimension, preprocessing, active, created_at, loaded_at, rows,"
                " index_kind, index_rows, index_built_at, ef_search, ef_search_recall"
                " FROM {} ORDER BY active DESC, created_at, space"
            ).format(sql.Identifier(collection, "spaces"))
        ).fetchall()
    return [RegisteredSpace(Space(*row[:5]), *row[5:]) for row in rows]


def resolve_space(conn: Connection, collection: str, name: str | None = None) -> RegisteredSpace:
    """The space that a search uses: the one named, or the active one.

    Raises:
        UsageError: there is no such collection or space, or none at all.
    """
    check_collection(collection)
    try:
        found = spaces(conn, collection)
    except DatabaseError as exc:
        if isinstance(exc.__cause__, psycopg.errors.UndefinedTable):
            require_collection(conn, collection)
        raise
    for registered in found:
        if registered.name == name or (name is None and registered.active):
            return registered
    if not found:
        raise UsageError(f"the collection {collection!r} has no embeddings yet; run pinakes ingest.")
    raise UsageError(
        f"the collection {collection!r} has no space {name!r}; there are: {', '.join(r.name for r in found)}."
    )


def activate(conn: Connection, collection: str, name: str, *, least_coverage: float) -> RegisteredSpace:
    """Let searches use a space, in one statement; the one that was active before.

    Args:
        conn: a connection in autocommit mode.
        collection: the collection.
        name: the space.
        least_coverage: the share of the images that it must hold current vectors of, 0 to 1.

    Raises:
        UsageError: there is no such space, or it holds too few.
    """
    resolve_space(conn, collection, name)
    counted = coverage(conn, collection, name)
    if counted.share < least_coverage:
        raise UsageError(
            f"the space {name} holds {counted.current:,} of {counted.images:,} images ({counted.share:.1%}), less than"
            f" {least_coverage:.0%}: finish pinakes ingest into it; or, where the rest has failed (pinakes status says why),"
            " use --force."
        )
    registry = sql.Identifier(collection, "spaces")
    with translated(f"activating the space {name}"), conn.transaction():
        conn.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(registry))
        before = resolve_space(conn, collection)
        conn.execute(sql.SQL("UPDATE {} SET active = false WHERE active").format(registry))
        conn.execute(sql.SQL("UPDATE {} SET active = true WHERE space = %s").format(registry), (name,))
    return before


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a collection a space holds.

    Attributes:
        images: rows of the collection.
        vectors: rows of the space.
        current: rows of the space whose fingerprint is their image's.
        table_bytes: the space's table with its indexes.
    """

    images: int
    vectors: int
    current: int
    table_bytes: int

    @property
    def share(self) -> float:
        """The share of the images that the space holds current vectors of, 0 to 1."""
        return self.current / self.images if self.images else 0.0


def coverage(conn: Connection, collection: str, space: str) -> Coverage:
    """Count a space against its collection."""
    with translated(f"counting the space {space}"):
        row: Any = conn.execute(
            sql.SQL(
                "SELECT (SELECT count(*) FROM {images}), (SELECT count(*) FROM {space}),"
                " (SELECT count(*) FROM {space} v JOIN {images} i USING (image_id) WHERE v.fingerprint = i.fingerprint),"
                " pg_total_relation_size({name}::regclass)"
            ).format(
                images=sql.Identifier(collection, "images"),
                space=sql.Identifier(collection, space),
                name=sql.Literal(sql.Identifier(collection, space).as_string(conn)),
            )
        ).fetchone()
    return Coverage(*row)


def current_vectors(conn: Connection, collection: str, space: str) -> Iterator[tuple[str, str]]:
    """(image_id, fingerprint) of every row of a space, streamed."""
    statement = sql.SQL("SELECT image_id, fingerprint FROM {}").format(sql.Identifier(collection, space))
    yield from _streamed(conn, statement)


def stored_images(conn: Connection, collection: str) -> Iterator[tuple[str, str]]:
    """(image_id, fingerprint) of every image of a collection, streamed."""
    statement = sql.SQL("SELECT image_id, fingerprint FROM {}").format(sql.Identifier(collection, "images"))
    yield from _streamed(conn, statement)


def _streamed(conn: Connection, statement: sql.Composed) -> Iterator[tuple[str, str]]:
    with translated("reading what is stored"), conn.transaction(), conn.cursor("stored") as cursor:
        cursor.itersize = 10_000
        cursor.execute(statement)
        yield from cursor
