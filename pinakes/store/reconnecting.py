"""A connection that survives a restart of the database: the one way in which work continues after a connection is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Self, TypeVar

from pinakes.errors import DatabaseError
from pinakes.store.connection import Connection, connect, translated

logger = logging.getLogger(__name__)

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds before each further attempt: together a minute, which a restart of PostgreSQL takes. Attempts are counted and
not the time that passes, so that an action of ten minutes is repeated as well as a short one."""

T = TypeVar("T")


class Reconnecting:
    """One connection in autocommit mode for several threads, opened when it is first needed and again when it is lost.

    Args:
        dsn: where to connect to.
        prepare: what each new connection needs.
        pauses: before each further attempt after a loss; none: the loss is an error.
    """

    def __init__(
        self, dsn: str, prepare: Callable[[Connection], object] = lambda _: None, *, pauses: Sequence[float] = PAUSES
    ) -> None:
        self._dsn = dsn
        self._prepare = prepare
        self._pauses = pauses
        self._lock = threading.Lock()
        self._conn: Connection | None = None
        self._was_up = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def do(self, what: str, action: Callable[[Connection], T]) -> T:
        """The action's result; it is repeated when the connection broke, so it must be safe to repeat.

        Args:
            what: is being done, for messages.
            action: is given the connection.

        Raises:
            DatabaseError: PostgreSQL failed, could not be reached at all, or stayed away.
        """
        with self._lock:
            for pause in self._pauses:
                try:
                    return self._try(what, action)
                except DatabaseError as exc:
                    # A server that was never reached has a wrong address. Where the connection still works, the statement
                    # failed by itself, and would fail again.
                    if not self._was_up or (self._conn is not None and not self._conn.broken):
                        raise
                    self._drop()
                    logger.warning("%s (trying again)", exc)
                time.sleep(pause)
            return self._try(what, action)

    def _try(self, what: str, action: Callable[[Connection], T]) -> T:
        with translated(what):
            if self._conn is None or self._conn.closed:
                self._conn = None
                with ExitStack() as stack:
                    conn = stack.enter_context(closing(connect(self._dsn)))
                    self._prepare(conn)
                    stack.pop_all()
                self._conn, self._was_up = conn, True
            return action(self._conn)

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None
