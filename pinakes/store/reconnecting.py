"""A connection that survives a restart of the database, for what is asked now and then over hours."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from pinakes.errors import DatabaseError
from pinakes.store.connection import Connection, connect, translated

logger = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds to wait for a lost database: as long as the limiter waits."""

PAUSE = 0.5
"""Seconds between two attempts to reach it."""

T = TypeVar("T")


class Reconnecting:
    """One connection in autocommit mode for several threads, opened again when it is lost.

    A lost database is waited for up to `patience` seconds.
    """

    def __init__(self, dsn: str, patience: float) -> None:
        self._dsn = dsn
        self._patience = patience
        self._lock = threading.Lock()
        self._conn: Connection | None = None
        self._was_up = False

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def do(self, what: str, action: Callable[[Connection], T]) -> T:
        """The action's result; it is repeated when the connection broke, so it must be safe to repeat.

        Raises:
            DatabaseError: PostgreSQL failed, or the database was unreachable for too long.
        """
        given_up = time.monotonic() + self._patience
        with self._lock:
            while True:
                try:
                    with translated(what):
                        if self._conn is None:
                            self._conn = connect(self._dsn)
                            self._was_up = True
                        return action(self._conn)
                except DatabaseError as exc:
                    broken = self._conn is None or self._conn.broken or self._conn.closed
                    self._drop()
                    if not (broken and self._was_up) or time.monotonic() > given_up:
                        raise
                    logger.warning("%s (trying again)", exc)
                time.sleep(PAUSE)

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None
