"""Settings of PostgreSQL for one statement of a search, which end with its transaction.

Not the session's: behind a pooler the next statement may run in another session, and this session may be somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from psycopg import sql

from pinakes.store.connection import Connection

NO_JIT = {"jit": "off"}
"""PostgreSQL compiles a plan to machine code where it expects it to cost much. Ours call functions of pgvector, which are
compiled already, and take milliseconds; compiling takes hundreds where plans are turned off by cost, which makes any other
plan look expensive enough. See `python -m benchmarks.jit`."""


@contextmanager
def searching(conn: Connection, settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """A transaction for the statements of a search, without compilation and with `settings`, sent in one round trip.

    Args:
        conn: a connection that is in no transaction: settings of a savepoint would stay until the end of the whole.
        settings: further ones.
    """
    chosen = NO_JIT | dict(settings or {})
    statement = sql.SQL("SELECT {}").format(
        sql.SQL(", ").join(
            sql.SQL("set_config({}, {}, true)").format(sql.Literal(name), sql.Literal(value))
            for name, value in chosen.items()
        )
    )
    with conn.pipeline(), conn.transaction():
        conn.execute(statement)
        yield
