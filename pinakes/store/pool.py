"""A pool of connections, for a program that answers many people at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool

from pinakes.errors import DatabaseError
from pinakes.store.addresses import address, reason
from pinakes.store.connection import Connection, connect, ensure_pgvector

STATEMENT_SECONDS = 30
"""A statement that takes longer is cancelled, so that a few of them cannot keep everyone waiting."""

RECONNECT_SECONDS = 5.0
"""How long one attempt to connect again lasts; the next request begins another."""

REST_SECONDS = 2.0
"""After one request has waited in vain, others are refused immediately for so long: they would only pile up."""


class Connections:
    """Connections in autocommit mode that know pgvector's types; opened when they are needed, replaced when they are lost.

    At most `most` at one time; a request waits `wait_seconds` for one.
    """

    def __init__(self, dsn: str, *, most: int, wait_seconds: float) -> None:
        self._dsn = dsn
        self._closed_until = 0.0

        # The pool is given no connections but a class, and calls its `connect`.
        class Made(Connection):
            """Connects as the rest of Pinakes does, Cloud SQL's connector included."""

            @classmethod
            def connect(cls, conninfo: str = "", **_options: object) -> Connection:  # type: ignore[override]
                return connect(conninfo)

        self._pool: ConnectionPool[Connection] = ConnectionPool(
            dsn,
            connection_class=Made,
            min_size=1,
            max_size=most,
            timeout=wait_seconds,
            reconnect_timeout=RECONNECT_SECONDS,
            configure=_configure,
            # A restart of the server breaks idle connections without a word: they are tried before they are handed out.
            check=ConnectionPool.check_connection,
            name="pinakes",
            open=True,
        )

    def close(self) -> None:
        """Close idle connections now, and the others as they are returned."""
        self._pool.close(timeout=1.0)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for the length of the block.

        Raises:
            DatabaseError: none was free, or the server could not be reached, for `wait_seconds`.
        """
        if time.monotonic() < self._closed_until and not self._pool.get_stats()["pool_available"]:
            raise DatabaseError(f"PostgreSQL at {address(self._dsn)} had no connection for a request just now.")
        # Not the pool's own `connection()`: an error of the block would be taken for one of waiting.
        try:
            conn = self._pool.getconn()
        except psycopg.Error as exc:
            self._closed_until = time.monotonic() + REST_SECONDS
            raise DatabaseError(
                f"PostgreSQL at {address(self._dsn)} has no connection for this request: {reason(exc)}."
            ) from exc
        try:
            yield conn
        finally:
            self._pool.putconn(conn)


def _configure(conn: Connection) -> None:
    ensure_pgvector(conn)
    conn.settings["statement_timeout"] = sql.Literal(f"{STATEMENT_SECONDS:d}s")
    conn.every_statement = True
