"""The database in use: the one that is set, or the embedded one while this process needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from pinakes.settings import Settings
from pinakes.store.addresses import check_address
from pinakes.store.connection import Connection, Pgvector, connect, ensure_pgvector
from pinakes.store.embedded.server import embedded_server
from pinakes.store.reconnecting import Reconnecting

T = TypeVar("T")


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

    def reconnecting(self) -> Reconnecting:
        """Such a connection that is opened when it is first needed, and again when it is lost; the caller closes it."""
        return Reconnecting(self.dsn, ensure_pgvector)

    def do(self, what: str, action: Callable[[Connection], T]) -> T:
        """`Reconnecting.do` on a connection for this alone."""
        with self.reconnecting() as conn:
            return conn.do(what, action)


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """The database for the length of the block; the embedded one is started if need be, and stopped with its last user."""
    if settings.database_url:
        check_address(settings.database_url)
        yield Database(settings.database_url)
        return
    with embedded_server(settings.home) as dsn:
        yield Database(dsn)
