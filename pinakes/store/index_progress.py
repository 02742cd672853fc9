"""How far an index build has come, in the log and at a terminal: PostgreSQL tells it to another session."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql

from pinakes.store.connection import Connection

logger = logging.getLogger(__name__)

LINE_SECONDS = 10.0
"""Seconds between two lines, as in `pinakes.ingest.progress`; a build that takes less says nothing."""

_STATE = """
SELECT blocks_done, blocks_total
FROM pg_stat_progress_create_index
WHERE relid = to_regclass(%s) AND datname = current_database() AND blocks_total > 0
"""


@contextmanager
def shown_progress(conn: Connection, table: sql.Identifier, what: str) -> Iterator[None]:
    """Around the one statement that builds an index of `table`: a line every `LINE_SECONDS`.

    Where the server cannot be asked from a second session, there are no lines.
    """
    ended = threading.Event()
    name, address, password = table.as_string(conn), conn.info.dsn, conn.info.password

    def look() -> None:
        started = time.monotonic()
        if ended.wait(LINE_SECONDS):
            return
        with (
            suppress(psycopg.Error),
            psycopg.connect(address, password=password or None, autocommit=True, connect_timeout=5) as other,
        ):
            while True:
                row = other.execute(_STATE, (name,)).fetchone()
                if row is not None:
                    logger.info("%s", line(what, row[0] / row[1], time.monotonic() - started))
                if ended.wait(LINE_SECONDS):
                    return

    thread = threading.Thread(target=look, name="index progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def line(what: str, share: float, seconds: float) -> str:
    """Where a build stands. The share is of the rows read; the later ones take longer, in a larger graph."""
    left = f"about {seconds * (1 - share) / share:,.0f} s left" if 0 < share < 1 else "writing it"
    return f"{what}: {share:.0%} after {seconds:,.0f} s, {left if share else 'time left unknown'}"
