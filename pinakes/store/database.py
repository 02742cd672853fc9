"""The database in use: the one that is set, or the embedded one while this process needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pinakes.settings import Settings
from pinakes.store.connection import Connection, Pgvector, connect, ensure_pgvector
from pinakes.store.embedded.server import embedded_server


@dataclass(frozen=True, slots=True)
class Database:
    """Where to connect to; picklable, so that workers on the same machine can be handed one."""

    dsn: str = field(repr=False)  # it may hold a password

    @contextmanager
    def connection(self) -> Iterator[tuple[Connection, Pgvector]]:
        """A connection in autocommit mode that knows pgvector's types.

        Raises:
            DatabaseError: the server cannot be reached, or has no suitable pgvector.
        """
        conn = connect(self.dsn)
        try:
            yield conn, ensure_pgvector(conn)
        finally:
            conn.close()

    def reconnect(self) -> Connection:
        """Such a connection without a block around it; the caller closes it.

        Raises:
            DatabaseError: the server cannot be reached.
        """
        conn = connect(self.dsn)
        ensure_pgvector(conn)
        return conn


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """The database for the length of the block; the embedded one is started if need be, and stopped with its last user."""
    if settings.database_url:
        yield Database(settings.database_url)
        return
    with embedded_server(settings.home) as dsn:
        yield Database(dsn)
