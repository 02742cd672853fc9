"""One writer per (collection, space): a lease with a fencing token.

A lease is a row that its holder renews; when the holder dies the lease runs out by itself. Every lease has a token of its
own, and each write transaction looks whether the token is still in force (`Lease.guard`): a process that was paused and
wakes up after another took over cannot write. Times are the database's, never a client's.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from types import TracebackType
from typing import Self

import psycopg

from pinakes.errors import DatabaseError, LeaseLostError, LockHeldError
from pinakes.store.connection import Connection, connect, translated

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 3


_RENEW = (
    "UPDATE pinakes.locks SET expires_at = clock_timestamp() + %s * interval '1 second'"
    " WHERE resource = %s AND token = %s RETURNING 1"
)


def holder_name() -> str:
    """Who holds what this process holds, in words a person can act on."""
    return f"process {os.getpid()} on {socket.gethostname()}"


class Lease:
    """The right to write one resource, renewed in the background until it is closed.

    Use as a context manager. Entering waits for a lease that is not renewed any more (its holder died) and refuses one
    that is, unless `wait` says to queue.

    Args:
        dsn: the database; the lease has a connection of its own, so that no long transaction delays its renewal.
        resource: what is locked, e.g. ``semart/palette_…``.
        seconds: how long the lease lasts without renewal.
        wait: how many seconds to queue behind a living holder; 0 refuses at once.
    """

    def __init__(self, dsn: str, resource: str, *, seconds: float, wait: float = 0.0) -> None:
        self.resource = resource
        self.seconds = seconds
        self.token = 0
        self._dsn = dsn
        self._wait = wait
        self._lost = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._conn: Connection | None = None

    def __enter__(self) -> Self:
        self._conn = connect(self._dsn)
        try:
            self._acquire(self._conn)
        except BaseException:
            self._conn.close()
            raise
        self._thread = threading.Thread(target=self._renew_until_closed, name=f"lease {self.resource}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        assert self._thread is not None
        assert self._conn is not None
        self._thread.join()
        try:
            self._conn.execute(
                "DELETE FROM pinakes.locks WHERE resource = %s AND token = %s", (self.resource, self.token)
            )
        except psycopg.Error as exc:
            logger.warning("the lock of %s could not be given back and ends by itself: %s", self.resource, exc)
        finally:
            self._conn.close()

    def guard(self, conn: Connection) -> None:
        """Inside a write transaction of `conn`: keep the lease from changing hands until the transaction ends.

        A lease that has run out while the database was away, and that nobody has taken, is taken up again.

        Raises:
            LeaseLostError: it has changed hands already.
        """
        row = conn.execute(
            "SELECT 1 FROM pinakes.locks WHERE resource = %s AND token = %s AND expires_at > clock_timestamp() FOR SHARE",
            (self.resource, self.token),
        ).fetchone()
        if row is None:
            row = conn.execute(_RENEW, (self.seconds, self.resource, self.token)).fetchone()
        if row is None:
            self._lost.set()
            self.check()

    def check(self) -> None:
        """Raises LeaseLostError once the lease is known to be lost; asks nobody."""
        if self._lost.is_set():
            raise LeaseLostError(
                f"the lock of {self.resource} ran out while this run was not able to renew it, and another run may have"
                " taken over; nothing more was written. Start the run again: it resumes from the checkpoint."
            )

    def _acquire(self, conn: Connection) -> None:
        deadline = time.monotonic() + self._wait
        seen: tuple[int, object] | None = None
        while True:
            token = self._try(conn)
            if token is not None:
                self.token = token
                return
            with translated(f"reading the lock of {self.resource}"):
                row = conn.execute(
                    "SELECT holder, token, expires_at, acquired_at,"
                    " greatest(extract(epoch FROM expires_at - clock_timestamp()), 0)::float"
                    " FROM pinakes.locks WHERE resource = %s",
                    (self.resource,),
                ).fetchone()
            if row is None:
                continue
            holder, other, expires_at, acquired_at, left = row
            renewed = seen is not None and seen != (other, expires_at)
            if renewed and time.monotonic() >= deadline:
                raise LockHeldError(
                    f"{self.resource} is being written by {holder} since {acquired_at:%Y-%m-%d %H:%M:%S %Z}; wait for it"
                    " to end, or use --wait SECONDS to queue behind it."
                )
            if seen is None:
                logger.info("%s is locked by %s; seeing whether that run is alive", self.resource, holder)
            seen = (other, expires_at)
            # A living holder renews within a third of its lease; a dead one's lease ends in `left` seconds.
            time.sleep(min(left, self.seconds / RENEWALS_PER_LEASE) + 0.05)

    def _try(self, conn: Connection) -> int | None:
        with translated(f"locking {self.resource}"):
            row = conn.execute(
                "INSERT INTO pinakes.locks AS l (resource, holder, token, acquired_at, expires_at)"
                " VALUES (%(resource)s, %(holder)s, nextval('pinakes.fencing_tokens'), clock_timestamp(),"
                "  clock_timestamp() + %(seconds)s * interval '1 second')"
                " ON CONFLICT (resource) DO UPDATE SET holder = excluded.holder, token = excluded.token,"
                "  acquired_at = excluded.acquired_at, expires_at = excluded.expires_at"
                " WHERE l.expires_at <= clock_timestamp() RETURNING token",
                {"resource": self.resource, "holder": holder_name(), "seconds": self.seconds},
            ).fetchone()
        return None if row is None else int(row[0])

    def _renew_until_closed(self) -> None:
        while not self._closing.wait(self.seconds / RENEWALS_PER_LEASE):
            try:
                self._renew()
            except (psycopg.Error, DatabaseError) as exc:
                logger.warning("the lock of %s could not be renewed (trying again): %s", self.resource, exc)
                if self._conn is not None:
                    self._conn.close()
            if self._lost.is_set():
                return

    def _renew(self) -> None:
        assert self._conn is not None
        if self._conn.closed:
            self._conn = connect(self._dsn)
        row = self._conn.execute(_RENEW, (self.seconds, self.resource, self.token)).fetchone()
        if row is None:
            self._lost.set()
