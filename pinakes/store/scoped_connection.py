"""A connection whose settings apply to its transactions and never to the server's session.

Behind a pooler such as PgBouncer in transaction mode, each transaction may run in another session of the server, and every
session serves other clients too. A session's setting would reach those clients and be missing where it is needed; the
same is true of advisory locks of the session, temporary tables and prepared statements. So Pinakes uses none of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row


class ScopedConnection(psycopg.Connection[tuple[Any, ...]]):
    """A psycopg connection that sends its settings with each transaction, as `SET LOCAL`.

    Attributes:
        settings: PostgreSQL's settings by name; they are in force inside `transaction()`.
        every_statement: whether a statement outside of `transaction()` gets a transaction of its own, so that the
            settings hold for it as well. VACUUM and everything CONCURRENTLY cannot run on such a connection.
    """

    def __init__(self, pgconn: psycopg.pq.abc.PGconn, row_factory: Any = tuple_row) -> None:
        super().__init__(pgconn, row_factory)
        # Prepared statements belong to a session of the server.
        self.prepare_threshold = None
        self.settings: dict[str, sql.Composable] = {}
        self.every_statement = False
        self._made_by: psycopg.Connection[Any] | None = None

    @classmethod
    def around(cls, made: psycopg.Connection[Any]) -> Self:
        """The same connection to the server, as one of this class; for connectors that make their own."""
        conn = cls(made.pgconn)
        conn._made_by = made  # it warns when it is deleted while its connection is open
        return conn

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        """As psycopg's; the outermost one begins with the settings."""
        outermost = self.info.transaction_status == TransactionStatus.IDLE
        with super().transaction(savepoint_name, force_rollback) as transaction:
            if outermost:
                for name, value in self.settings.items():
                    # A command and no call of set_config(): after that the isolation could not be chosen any more.
                    super().execute(sql.SQL("SET LOCAL {} TO {}").format(sql.Identifier(name), value))
            yield transaction

    def execute(self, query: Any, params: Any = None, **options: Any) -> psycopg.Cursor[tuple[Any, ...]]:
        """As psycopg's, in a transaction of its own where `every_statement` says so."""
        if not self.every_statement or self.info.transaction_status != TransactionStatus.IDLE:
            return super().execute(query, params, **options)
        with self.pipeline(), self.transaction():
            return super().execute(query, params, **options)


def pooler_problem(conn: psycopg.Connection[Any], what: str) -> str | None:
    """Why something that needs a session of its own cannot be done over a connection; None where it can.

    A pooler reports another process id than that of the server process that does the work.
    """
    row = conn.execute("SELECT pg_backend_pid()").fetchone()
    if row is not None and row[0] == conn.info.backend_pid:
        return None
    return (
        f"{what} needs a session of its own, and this address is that of a connection pooler: set PINAKES_DATABASE_URL to"
        " the server's own address for this command."
    )
