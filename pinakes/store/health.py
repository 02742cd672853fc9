"""What a database reports about itself, for `pinakes doctor`. Nothing is created or changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import sql

from pinakes.spaces import Space
from pinakes.store.collections import collection_names
from pinakes.store.connection import Connection, Pgvector, find_pgvector, translated, value_of
from pinakes.store.migrate import SYSTEM_SCHEMA, Kind, scripts
from pinakes.store.prepared_database import has_migrations
from pinakes.store.space_registry import coverage, spaces
from pinakes.types import utc_now


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL server.

    Attributes:
        version: as it writes it.
        pgvector: the extension in this database; None where it was not created.
        available: the version of it that could be created; None where the server has none.
        may_create: whether this user may create schemas in this database.
        connections: how many there are.
        most_connections: how many there may be.
    """

    version: str
    pgvector: Pgvector | None
    available: str | None
    may_create: bool
    connections: int
    most_connections: int


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema of Pinakes and its migrations: the last one applied, and the last one that this version knows."""

    name: str
    applied: int
    known: int


@dataclass(frozen=True, slots=True)
class Size:
    """A space as stored: `rows` vectors in `table_bytes` with its indexes."""

    collection: str
    space: Space
    rows: int
    table_bytes: int


def server(conn: Connection) -> Server:
    """Versions, rights and connections."""
    with translated("asking the server for its versions"):
        row = conn.execute(
            """
            SELECT
                current_setting('server_version'),
                (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'),
                has_database_privilege(current_database(), 'CREATE'),
                (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                current_setting('max_connections')::int
            """
        ).fetchone()
        assert row is not None
        return Server(row[0], find_pgvector(conn), *row[1:])


def buffers(conn: Connection) -> int:
    """The bytes of tables and indexes that the server keeps in its own memory."""
    with translated("asking the server for its buffers"):
        return int(value_of(conn, "SELECT pg_size_bytes(current_setting('shared_buffers'))"))


def clock(conn: Connection) -> tuple[timedelta, timedelta]:
    """How far the server's clock is ahead of this machine's, and how much of that the transfer may explain."""
    best: tuple[timedelta, timedelta] | None = None
    # The answer that came soonest says most: what delayed the others may have been on either way.
    for _ in range(3):
        before = utc_now()
        with translated("asking the server for the time"):
            theirs: datetime = value_of(conn, "SELECT clock_timestamp()")
        after = utc_now()
        way = (after - before) / 2
        if best is None or way < best[1]:
            best = theirs - (before + way), way
    assert best is not None
    return best


def schemas(conn: Connection) -> Iterator[Schema]:
    """The schema that collections share, and those of the collections; none in a database that is still empty."""
    kinds: list[tuple[str, Kind]] = [(SYSTEM_SCHEMA, "system")]
    kinds += [(name, "collection") for name in collection_names(conn)]
    for name, kind in kinds:
        table = sql.Identifier(name, "migrations")
        with translated(f"reading the migrations of {name!r}"):
            if not has_migrations(conn, name):
                continue
            applied: int = value_of(conn, sql.SQL("SELECT coalesce(max(number), 0) FROM {}").format(table))
        yield Schema(name, applied, scripts(kind)[-1][0])


def sizes(conn: Connection, collections: list[str]) -> Iterator[Size]:
    """The spaces of collections whose schema is up to date."""
    for name in collections:
        for registered in spaces(conn, name):
            counted = coverage(conn, name, registered.name)
            yield Size(name, registered.space, counted.vectors, counted.table_bytes)
