"""Strong locks on tables, requested so that nobody has to queue behind the request.

In PostgreSQL nobody overtakes a request that conflicts with theirs, even one that is not granted yet: an ALTER TABLE that
waits for one long reader stops every search that comes after it. So a lock is requested for a second at a time, and others
are let through in between, until it is granted or patience ends with a sentence that names who is in the way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import psycopg
from psycopg import sql

from pinakes.errors import DatabaseError
from pinakes.store.scoped_connection import ScopedConnection

logger = logging.getLogger(__name__)

LOCK_SECONDS = 1.0
"""How long others may have to wait behind one attempt, at most."""

PAUSE_SECONDS = 2.0
"""How long they are let through between two attempts."""

START_PATIENCE = 300.0
"""Seconds after which a run that has done nothing yet gives up."""

LONG_PATIENCE = 1800.0
"""Seconds after which work that took long, or that cost money, is given up."""

MOST_NAMED = 4
"""Tables that a message names: dropping a collection locks some twenty."""

POLL_SECONDS = 0.1
"""How often a session checks whether another one has finished creating what both need."""

Mode = Literal["SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE"]

_WRITING = (
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
_CONFLICTING: dict[Mode, tuple[str, ...]] = {
    "SHARE UPDATE EXCLUSIVE": (*_WRITING[1:], "ShareLock"),
    "SHARE": _WRITING,
    "SHARE ROW EXCLUSIVE": (*_WRITING, "ShareLock"),
    "ACCESS EXCLUSIVE": (*_WRITING, "ShareLock", "RowShareLock", "AccessShareLock"),
}
"""What keeps each mode from being granted: https://www.postgresql.org/docs/current/explicit-locking.html."""

# The session that has held a lock on tables, or the advisory lock of a key, for longest. Without the right to see other
# users' sessions only their process and name are shown.
_HOLDER = """
SELECT a.pid, coalesce(nullif(a.application_name, ''), a.backend_type, 'unknown program'),
    coalesce(a.usename::text, 'unknown user'), a.xact_start
FROM pg_locks AS l
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.granted
    AND l.pid <> pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (
        l.locktype = 'relation'
            AND l.mode = ANY(%(modes)s)
            AND l.relation IN (SELECT to_regclass(name) FROM unnest(%(tables)s::text[]) AS name)
        OR l.locktype = 'advisory'
            AND l.objsubid = 1
            AND ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended(%(key)s, 0)
    )
ORDER BY a.xact_start NULLS LAST
LIMIT 1
"""

# The session that this one waits for.
_BLOCKING = """
SELECT a.pid, coalesce(nullif(a.application_name, ''), a.backend_type, 'unknown program'),
    coalesce(a.usename::text, 'unknown user'), a.xact_start
FROM unnest(pg_blocking_pids(%s)) AS blocking
JOIN pg_stat_activity AS a ON a.pid = blocking
LIMIT 1
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StrongLock:
    """A lock on tables that keeps others from using them.

    Attributes:
        tables: which, in the order in which everybody locks them.
        mode: as LOCK TABLE takes it.
        purpose: what it is for, for messages: "registering the space …".
    """

    tables: tuple[sql.Identifier, ...]
    mode: Mode
    purpose: str

    def attempt(self, conn: ScopedConnection) -> None:
        """Inside a transaction: lock the tables, or fail after `LOCK_SECONDS`.

        Raises:
            psycopg.errors.LockNotAvailable: one of them is in use.
        """
        with short_waits(conn, len(self.tables)):
            for table in self.tables:
                conn.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(table, sql.SQL(self.mode)))

    def take(self, conn: ScopedConnection, *, patience: float) -> None:
        """Inside a transaction: lock the tables, a second at a time.

        Raises:
            DatabaseError: one of them stayed in use for `patience` seconds; the message says by whom.
        """

        def once() -> None:
            with conn.transaction():  # tables that were locked are released with the savepoint
                self.attempt(conn)

        self.persist(conn, once, patience=patience)

    def persist(self, conn: ScopedConnection, action: Callable[[], T], *, patience: float) -> T:
        """The result of an action that locks the tables; it is repeated while they are in use.

        The action leaves nothing behind when it fails: it opens a transaction or a savepoint of its own.

        Raises:
            DatabaseError: one of them stayed in use for `patience` seconds; the message says by whom.
        """
        given_up = time.monotonic() + patience
        logged = False
        while True:
            try:
                return action()
            # A deadlock too: somebody locks the same tables in another order, and the attempt has released them.
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as exc:
                holder = self._holder(conn)
                if time.monotonic() >= given_up:
                    raise DatabaseError(
                        f"{self.purpose} needs {self._named(conn)} to itself for a moment, and {holder} has not let go of"
                        f" it for {patience:g} s. Wait for that to end, or end it, and run this again."
                    ) from exc
                if not logged:
                    logger.warning("%s waits for %s, which is used by %s", self.purpose, self._named(conn), holder)
                    logged = True
            time.sleep(PAUSE_SECONDS)

    def persist_with_vacuum(self, conn: ScopedConnection, what: sql.SQL, *, patience: float) -> None:
        """VACUUM or ANALYZE the tables outside of transactions; one that another session has locked is tried again.

        PostgreSQL itself would wait for that session for good, and a limit to that can only be set for a whole session,
        which is shared with others behind a pooler.

        Args:
            conn: a connection in autocommit mode.
            what: VACUUM or ANALYZE; with options that stand in parentheses, SKIP_LOCKED among them.
            patience: how many seconds to wait for others.

        Raises:
            DatabaseError: one of them stayed in use for `patience` seconds; the message says by whom.
        """
        skipped: list[str] = []

        # SKIP_LOCKED passes over a table with a warning and no error; only its code tells that it did.
        def collect(notice: psycopg.errors.Diagnostic) -> None:
            if notice.sqlstate == psycopg.errors.LockNotAvailable.sqlstate:
                skipped.append(notice.message_primary or "")

        def once() -> None:
            while left:
                conn.execute(sql.SQL("{} {}").format(what, left[0]))
                if skipped:
                    raise psycopg.errors.LockNotAvailable(skipped.pop())
                del left[0]

        left = list(self.tables)
        conn.add_notice_handler(collect)
        try:
            self.persist(conn, once, patience=patience)
        finally:
            conn.remove_notice_handler(collect)

    def _holder(self, conn: ScopedConnection) -> str:
        tables = [table.as_string(conn) for table in self.tables]
        return _who(conn, modes=_CONFLICTING[self.mode], tables=tables) or "a transaction that has just ended"

    def _named(self, conn: ScopedConnection) -> str:
        names = [table.as_string(conn).replace('"', "") for table in self.tables] or ["the schema"]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        return ", ".join(names[:MOST_NAMED]) + more


@contextmanager
def short_waits(conn: ScopedConnection, shares: int = 1) -> Iterator[None]:
    """Inside a transaction: no statement of the block waits longer for a lock than its share of `LOCK_SECONDS`."""
    row = conn.execute("SELECT current_setting('lock_timeout')").fetchone()
    assert row is not None
    # PostgreSQL takes 0 for no limit.
    milliseconds = max(1, int(LOCK_SECONDS * 1000 / max(shares, 1)))
    conn.execute("SELECT set_config('lock_timeout', %s, true)", (f"{milliseconds}ms",))
    yield
    # Where the block fails, its transaction or savepoint takes the setting back.
    conn.execute("SELECT set_config('lock_timeout', %s, true)", row)


@contextmanager
def one_at_a_time(conn: ScopedConnection, what: str, *, patience: float = LONG_PATIENCE) -> Iterator[None]:
    """A transaction that keeps other first users out while something is created: `IF NOT EXISTS` is not safe against itself.

    The block checks first whether the thing exists by now. The lock is the transaction's: behind a pooler, a session's lock
    would stay on a session that belongs to nobody. It is polled, each time in a new transaction: a statement that waited
    would keep index builds of others waiting for its snapshot.

    Raises:
        DatabaseError: another session has held it for `patience` seconds; the message says which.
    """
    key = f"pinakes.{what}"
    begun = time.monotonic()
    logged = False
    while True:
        with conn.transaction():
            if _locked(conn, key):
                yield
                return
        waited = time.monotonic() - begun
        # Most wait for a moment only, which is not worth a line in the log.
        if waited < min(PAUSE_SECONDS, patience):
            time.sleep(POLL_SECONDS)
            continue
        holder = _who(conn, key=key) or "a session that has just ended"
        if waited >= patience:
            raise DatabaseError(
                f"the {what} of this database is being made by {holder}, for more than {patience:g} s. Wait for that to"
                " end, or end it, and run this again."
            )
        if not logged:
            logger.warning("waiting for the %s of this database, which is being made by %s", what, holder)
            logged = True
        time.sleep(POLL_SECONDS)


@contextmanager
def naming_who_is_waited_for(conn: ScopedConnection, purpose: str, *, patience: float) -> Iterator[None]:
    """Around one statement outside of transactions, such as REINDEX CONCURRENTLY, that waits for those of others.

    It keeps nobody waiting, but ends only when transactions that began before it have ended. The log says once whom it
    waits for.

    Raises:
        DatabaseError: it has waited for one of them for `patience` seconds; the message says whom.
    """
    named: list[str] = []
    pid = conn.info.backend_pid

    def look(other: psycopg.Connection[Any]) -> None:
        row = other.execute(_BLOCKING, (pid,)).fetchone()
        if row is not None and not named:
            named.append(_described(row))
            logger.warning("%s waits for %s", purpose, named[0])

    with watched(conn, look, every=PAUSE_SECONDS):
        # For the session, since the statement runs in no transaction of ours.
        conn.execute("SELECT set_config('lock_timeout', %s, false)", (f"{max(1, int(patience * 1000))}ms",))
        try:
            yield
        except psycopg.errors.LockNotAvailable as exc:
            raise DatabaseError(
                f"{purpose} has waited for {patience:g} s for {named[0] if named else 'the transaction of somebody else'}."
                " Wait for that to end, or end it, and run this again."
            ) from exc
        finally:
            if not conn.closed:
                conn.execute("RESET lock_timeout")


@contextmanager
def watched(conn: ScopedConnection, look: Callable[[psycopg.Connection[Any]], None], *, every: float) -> Iterator[None]:
    """Around one long statement of `conn`: a second connection is given to `look` every `every` seconds.

    Where the server accepts no second connection, it is not called.
    """
    ended = threading.Event()
    # libpq leaves the password out of the address that it reports.
    address, password = conn.info.dsn, conn.info.password or None

    def watch() -> None:
        # Most statements end sooner, and cost no second connection.
        if ended.wait(every):
            return
        with (
            suppress(psycopg.Error),
            psycopg.connect(address, password=password, autocommit=True, connect_timeout=5) as other,
        ):
            while True:
                look(other)
                if ended.wait(every):
                    return

    thread = threading.Thread(target=watch, name="watching a statement", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def take_turn(conn: ScopedConnection, collection: str) -> None:
    """Inside a transaction: wait for short transactions of others that write the images, or several spaces, of a collection.

    Two runs may fill two spaces of one collection. They lock rows of the same tables, in orders that depend on the data,
    and PostgreSQL would end one of them as deadlocked.
    """
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"pinakes.rows {collection}",))


def _locked(conn: ScopedConnection, key: str) -> bool:
    row = conn.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (key,)).fetchone()
    return row is not None and bool(row[0])


def _who(conn: ScopedConnection, *, modes: Sequence[str] = (), tables: Sequence[str] = (), key: str = "") -> str | None:
    """The session that has held such a lock for longest, for messages; None where there is none any more."""
    row = conn.execute(_HOLDER, {"modes": list(modes), "tables": list(tables), "key": key}).fetchone()
    return None if row is None else _described(row)


def _described(row: Sequence[Any]) -> str:
    pid, program, user, since = row
    begun = "" if since is None else f", in a transaction since {since:%Y-%m-%d %H:%M:%S %Z}"
    return f"process {pid} of the server ({program}, user {user}{begun})"
