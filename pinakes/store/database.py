"""The database in use: the one that is set, or the embedded one while this process needs it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from pinakes.errors import DatabaseError
from pinakes.settings import Settings
from pinakes.store.connection import Connection, Pgvector, connect, ensure_pgvector
from pinakes.store.embedded.server import embedded_server

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses before connecting again after a loss: together a minute, which a restart of PostgreSQL takes."""

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

    def lasting(self, action: Callable[[Connection, Pgvector], T]) -> T:
        """What an action on such a connection gives; it is begun again on another one when the connection is lost.

        Raises:
            DatabaseError: PostgreSQL failed, or stayed away.
        """
        lost = False
        for pause in RECONNECT_SECONDS:
            conn = None
            try:
                with self.connection() as (conn, pgvector):
                    return action(conn, pgvector)
            except DatabaseError as exc:
                lost = lost if conn is None else conn.broken
                if not lost:
                    raise
                logger.warning("%s (trying again)", exc)
            time.sleep(pause)
        with self.connection() as (conn, pgvector):
            return action(conn, pgvector)

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
