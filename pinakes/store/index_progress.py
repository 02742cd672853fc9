"""How far an index build has come, in the log and at a terminal: PostgreSQL shows it to other sessions only."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager
from typing import Any

import psycopg
from psycopg import sql

from pinakes.store.connection import Connection
from pinakes.store.strong_locks import watched

logger = logging.getLogger(__name__)

LINE_SECONDS = 10.0
"""Seconds between two lines, as in `pinakes.ingest.progress`; a build that takes less says nothing."""

_STATE = """
SELECT blocks_done, blocks_total
FROM pg_stat_progress_create_index
WHERE relid = to_regclass(%s) AND datname = current_database() AND blocks_total > 0
"""


def shown_progress(conn: Connection, table: sql.Identifier, what: str) -> AbstractContextManager[None]:
    """Around the one statement that builds an index of `table`: a line in the log every `LINE_SECONDS`."""
    started, name = time.monotonic(), table.as_string(conn)

    def look(other: psycopg.Connection[Any]) -> None:
        row = other.execute(_STATE, (name,)).fetchone()
        if row is not None:
            logger.info("%s", line(what, row[0] / row[1], time.monotonic() - started))

    return watched(conn, look, every=LINE_SECONDS)


def line(what: str, share: float, seconds: float) -> str:
    """How far a build has come. The share is of the rows read; the later ones take longer, in a larger graph."""
    left = f"about {seconds * (1 - share) / share:,.0f} s left" if 0 < share < 1 else "writing it"
    return f"{what}: {share:.0%} after {seconds:,.0f} s, {left if share else 'time left unknown'}"
