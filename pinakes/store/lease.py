"""One writer per (collection, space): a lease with a fencing token.

A lease is a row that its holder renews; when the holder dies the lease runs out by itself. Every lease has a token of its
own, and each write transaction checks that the token is still in force (`Lease.guard`): a process that was paused and
wakes up after another took over cannot write. Times are the database's, never a client's.

A guarded transaction locks the row FOR KEY SHARE, so that the lease can be renewed but not change hands. A process that
takes over a lease that has run out ends such transactions first: those of a holder that was paused, or whose machine is
gone, would stay open for hours.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
from typing import Self

import psycopg

from pinakes.errors import DatabaseError, LeaseLostError, LockHeldError
from pinakes.store.addresses import reason
from pinakes.store.connection import Connection, connect, translated, value_of

logger = logging.getLogger(__name__)

# Two renewals in a row may fail before the lease runs out.
RENEWALS_PER_LEASE = 3

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux's clock of that name also counts the time in which the machine sleeps, as the lease does."""

# Lasts again for its full time; no row where the lease has changed hands.
_RENEW = """
UPDATE pinakes.locks
SET expires_at = clock_timestamp() + %s * interval '1 second'
WHERE resource = %s AND token = %s
RETURNING 1
"""

# Keeps a lease that is still held from changing hands until the transaction ends. The advisory lock blocks nobody: it
# tells whoever takes over which sessions have guarded transactions open.
_GUARD = """
SELECT pg_advisory_xact_lock_shared(hashtextextended('pinakes.lease ' || resource, 0))
FROM pinakes.locks
WHERE resource = %s AND token = %s AND expires_at > clock_timestamp()
FOR KEY SHARE
"""

# Ends the sessions that have guarded transactions of a resource open.
_END_GUARDED = """
SELECT count(pg_terminate_backend(l.pid))
FROM pg_locks AS l, hashtextextended('pinakes.lease ' || %s, 0) AS key
WHERE l.locktype = 'advisory'
    AND l.objsubid = 1
    AND l.mode = 'ShareLock'
    AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid = ((key >> 32) & 4294967295)::oid
    AND l.objid = (key & 4294967295)::oid
"""

# Takes a lease that nobody has had yet.
_NEW = """
INSERT INTO pinakes.locks (resource, holder, token, acquired_at, expires_at)
VALUES (
    %(resource)s, %(holder)s, nextval('pinakes.fencing_tokens'), clock_timestamp(),
    clock_timestamp() + %(seconds)s * interval '1 second'
)
ON CONFLICT (resource) DO NOTHING
RETURNING token
"""

# Takes a lease that has run out, unless a guarded transaction still locks its row.
_TAKE_OVER = """
WITH free AS (
    SELECT resource
    FROM pinakes.locks
    WHERE resource = %(resource)s AND expires_at <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
)
UPDATE pinakes.locks AS l
SET holder = %(holder)s,
    token = nextval('pinakes.fencing_tokens'),
    acquired_at = clock_timestamp(),
    expires_at = clock_timestamp() + %(seconds)s * interval '1 second'
FROM free
WHERE l.resource = free.resource
RETURNING l.token
"""

# Who holds a lease, and for how many seconds more.
_HOLDER = """
SELECT holder, token, expires_at, acquired_at, greatest(extract(epoch FROM expires_at - clock_timestamp()), 0)::float
FROM pinakes.locks
WHERE resource = %s
"""


def holder_name() -> str:
    """This process as the holder of a lease, so that a person can find it."""
    return f"process {os.getpid()} on {socket.gethostname()}"


class Lease:
    """The right to write one resource, renewed in the background until it is closed.

    Use as a context manager. Entering waits for a lease that is no longer renewed (its holder died) and refuses one that
    is, unless `wait` says to queue.

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
        self._good_until = math.inf
        self._asking = threading.Lock()
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
        # A daemon, so that a process whose main thread dies does not live on to renew a lease that nobody uses.
        self._thread = threading.Thread(target=self._renew_until_closed, name=f"lease {self.resource}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        assert self._thread is not None
        assert self._conn is not None
        # First the thread: it uses the same connection, and would renew what is being given up.
        self._thread.join()
        try:
            # By the token: a run that was overtaken must leave the lease to its new holder.
            self._conn.execute(
                "DELETE FROM pinakes.locks WHERE resource = %s AND token = %s", (self.resource, self.token)
            )
        except psycopg.Error as exc:
            logger.warning(
                "the lock of %s could not be released and runs out by itself: %s", self.resource, reason(exc)
            )
        finally:
            self._conn.close()

    def guard(self, conn: Connection) -> None:
        """Inside a write transaction of `conn`: keep the lease from changing hands until the transaction ends.

        A lease that ran out while the database was unreachable, and that nobody has taken, is renewed.

        Raises:
            LeaseLostError: it has changed hands already.
        """
        if self._guarded(conn):
            return
        with connect(self._dsn) as other:  # in a transaction of its own: `conn` would keep others from renewing it
            self._renew(other)
        self.check()
        if not self._guarded(conn):
            self._lost.set()
            self.check()

    def check(self) -> None:
        """Check that this process may still write.

        While the lease cannot have run out, nothing is asked. After that, as when this process was paused, the database
        is. While it does not answer, nobody can take over through it either, and what is paid for is kept.

        Raises:
            LeaseLostError: it may not; once lost, a lease stays so.
        """
        if not self._lost.is_set() and _now() >= self._good_until:
            self._ask()
        if self._lost.is_set():
            raise LeaseLostError(
                f"the lock of {self.resource} ran out while this run was not able to renew it, and another run may have"
                " taken over; nothing more was written. Start the run again: it resumes from the checkpoint."
            )

    def _ask(self) -> None:
        # One thread asks for all of them; those that have waited find its answer.
        with self._asking:
            if self._lost.is_set() or _now() < self._good_until:
                return
            try:
                with connect(self._dsn) as conn:
                    self._renew(conn)
            except (psycopg.Error, DatabaseError) as exc:
                logger.warning("whether the lock of %s is still held is not known: %s", self.resource, reason(exc))

    def _guarded(self, conn: Connection) -> bool:
        return conn.execute(_GUARD, (self.resource, self.token)).fetchone() is not None

    def _acquire(self, conn: Connection) -> None:
        deadline = time.monotonic() + self._wait
        seen: tuple[int, object] | None = None
        logged = False
        while True:
            token = self._try(conn)
            if token is not None:
                self.token = token
                return
            with translated(f"reading the lock of {self.resource}"):
                row = conn.execute(_HOLDER, (self.resource,)).fetchone()
            if row is None:
                continue
            holder, other, expires_at, acquired_at, left = row
            if not left:
                self._end_guarded(conn, holder)
            # Only a living process changes the row: its holder by a renewal, or another one by taking over.
            renewed = seen is not None and seen != (other, expires_at)
            if renewed and time.monotonic() >= deadline:
                raise LockHeldError(
                    f"{self.resource} is being written by {holder} since {acquired_at:%Y-%m-%d %H:%M:%S %Z}; wait for it"
                    " to end, or use --wait SECONDS to queue behind it."
                )
            if renewed and not logged:
                logger.warning(
                    "%s is being written by %s; waiting for it, for up to %.0f s", self.resource, holder, self._wait
                )
                logged = True
            if seen is None:
                logger.info("%s is locked by %s; checking whether that run is alive", self.resource, holder)
            seen = (other, expires_at)
            # A living holder renews within a third of its lease; a dead one's lease ends in `left` seconds.
            time.sleep(min(left, self.seconds / RENEWALS_PER_LEASE) + 0.05)

    def _try(self, conn: Connection) -> int | None:
        values = {"resource": self.resource, "holder": holder_name(), "seconds": self.seconds}
        # Reckoned before the statement is sent: the database's time begins later, and so ends later than this.
        good_until = _now() + self.seconds
        with translated(f"locking {self.resource}"):
            row = conn.execute(_NEW, values).fetchone() or conn.execute(_TAKE_OVER, values).fetchone()
        if row is None:
            return None
        self._good_until = good_until
        return int(row[0])

    def _end_guarded(self, conn: Connection, holder: str) -> None:
        """End the open transactions of a holder that does not renew its lease any more."""
        with translated(f"ending the transactions of {holder}, which has not renewed its lock of {self.resource}"):
            ended = value_of(conn, _END_GUARDED, (self.resource,))
        if ended:
            logger.info("ended %d open transaction(s) of %s, which has not renewed its lock", ended, holder)

    def _renew_until_closed(self) -> None:
        while not self._closing.wait(self.seconds / RENEWALS_PER_LEASE):
            try:
                assert self._conn is not None
                if self._conn.closed:
                    self._conn = connect(self._dsn)
                self._renew(self._conn)
            except (psycopg.Error, DatabaseError) as exc:
                logger.warning("the lock of %s could not be renewed (trying again): %s", self.resource, reason(exc))
                # The next round opens another: this one may be half dead, and never say so.
                if self._conn is not None:
                    self._conn.close()
            if self._lost.is_set():
                return

    def _renew(self, conn: Connection) -> None:
        good_until = _now() + self.seconds
        if conn.execute(_RENEW, (self.seconds, self.resource, self.token)).fetchone() is None:
            self._lost.set()
        else:
            self._good_until = good_until


def _now() -> float:
    return time.clock_gettime(_CLOCK)
