"""Rate limits that all processes and machines share: a row per quota and window, reserved from by one statement.

The rows follow the generic cell rate algorithm (GCRA, ITU-T I.371) on the database's clock. `free_at` is the regular time
of the next slot; a reservation of n slots moves it n spacings on. The caller paces its slots by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pinakes.errors import DatabaseError
from pinakes.rates import CALL_TOKENS, Rate
from pinakes.settings import Settings
from pinakes.store.addresses import DATABASE_URL, LIMITER_URL, address, check_address, reason
from pinakes.store.cloudsql import SCHEME
from pinakes.store.connection import Connection, connect, translated
from pinakes.store.limit_statements import CORRECT, ENTER, FIGURES, RESERVE, REWIND, THROTTLE
from pinakes.store.migrate import SYSTEM_SCHEMA, migrate

WINDOW = ("unit", "seconds", "count", "burst", "spacing", "head_start", "lead", "lead_units", "lateness")
"""The attributes of a `Rate` that are columns of the table."""

_CONNECTION = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}
"""A connection that died without a word is noticed within 20 s."""


class LimitsUnreachableError(DatabaseError):
    """The database of the limits does not answer at present; asking again may help."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Slots that are this caller's alone.

    Attributes:
        slots: when a call may start, in seconds since 1970 on the database's clock, ascending. None where tokens are
            counted and the next is too far ahead.
        due: when the next slot was.
        lateness: seconds after its slot in which a call may still start.
        now: what the database's clock said.
        sent: `time.monotonic()` before the statement was sent.
        received: and after it was answered.
        generation: of the rows; a newer one voids these slots.
        rate: calls a second, each of that many tokens, that are allowed at present, all callers together.
        number: of the first of these calls, in the order in which the quota's calls were reserved; None where no window
            counts tokens.
    """

    slots: tuple[float, ...]
    due: float
    lateness: float
    now: float
    sent: float
    received: float
    generation: int
    rate: float
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Correction:
    """How many tokens a call counted.

    Attributes:
        number: of the call; see `Reservation`.
        slot: of the call.
        reserved: the tokens that it was reserved for.
        counted: the tokens that it counted; 0 where it was not made.
    """

    number: int
    slot: float
    reserved: int
    counted: int


@dataclass(frozen=True, slots=True)
class Limit:
    """One window of a quota as it stands.

    Attributes:
        quota: the quota's name.
        rate: as configured.
        pinned: whether a person set it; otherwise it is the embedder's default.
        effective: calls (or tokens) a second at present: less than configured for a while after a 429.
        next_free: when the next slot is.
        throttled: 429s seen so far.
        throttled_at: when the last one came, or None.
    """

    quota: str
    rate: Rate
    pinned: bool
    effective: float
    next_free: datetime
    throttled: int
    throttled_at: datetime | None


class LimitStore:
    """The rows of one quota, over one connection that is opened again when it is lost. Not thread-safe.

    Args:
        dsn: any PostgreSQL from 13; pgvector is not needed.
        quota: the name that all who share the quota use.
        rates: the windows to enter where the quota is not known yet.
        setting: which setting `dsn` is the value of.

    Raises:
        LimitsUnreachableError: by every method, when the database does not answer.
        DatabaseError: by every method, when it fails.
    """

    def __init__(self, dsn: str, quota: str, rates: Sequence[Rate], *, setting: str = DATABASE_URL) -> None:
        self.quota = quota
        self._setting = setting
        # Now, and not with the first call: a wrong address is no database that is away for a while.
        check_address(dsn, setting)
        # The connector of Cloud SQL makes its own connections, and its addresses take no such parameters.
        self._dsn = dsn if dsn.startswith(SCHEME) else make_conninfo(dsn, **_CONNECTION)
        self._rates = rates
        self._conn: Connection | None = None

    def reserve(self, count: int, *, interactive: bool = False, tokens: int = CALL_TOKENS) -> Reservation:
        """At most `count` slots, of those within the next second (`HORIZON`), for calls of `tokens` each.

        There is at least one, except where tokens are counted: there the next may be too far ahead (`TOKENS_HORIZON`).

        An interactive call gets its slot at once and is paid back later, while fewer than `lead` are owed.
        """
        values = {"asked": 1 if interactive else count, "interactive": interactive, "tokens": tokens}
        sent = time.monotonic()
        rows = self._rows(RESERVE, values)
        if not rows or rows[0][-1]:
            with self._connection() as conn:
                if rows:  # the clock was set back
                    conn.execute(REWIND, FIGURES | {"quota": self.quota})
                else:  # the quota was removed while this process was running
                    enter_default(conn, self.quota, self._rates)
            sent = time.monotonic()
            rows = self._rows(RESERVE, values)
        received = time.monotonic()
        # Every row has the same slots, which suit all windows; of what differs, the strictest holds.
        now, slots, due, *_, counted, number, _ = rows[0]
        return Reservation(
            slots=tuple(slots),
            due=due,
            lateness=min(row[4] for row in rows),
            now=now,
            sent=sent,
            received=received,
            generation=max(row[5] for row in rows),
            rate=1 / max(row[3] for row in rows),
            number=number if counted else None,
        )

    def throttled(self, retry_after: float | None) -> int:
        """Enter a 429; the generation from now on."""
        with self._connection() as conn, conn.transaction():
            # Unlike a slot, a pause of minutes must survive a crash of the server.
            conn.execute("SET LOCAL synchronous_commit TO on")
            rows = conn.execute(THROTTLE, FIGURES | {"quota": self.quota, "retry_after": retry_after}).fetchall()
        return max((generation for (generation,) in rows), default=0)

    def correct(self, corrections: Sequence[Correction]) -> None:
        """Enter what calls counted: what was reserved too much is free again, what was reserved too little is charged."""
        numbers, slots, reserved, counted = zip(*map(astuple, corrections), strict=True)
        values = {"numbers": numbers, "slots": slots, "reserved": reserved, "counted": counted}
        with self._connection() as conn:
            conn.execute(CORRECT, {name: list(each) for name, each in values.items()} | {"quota": self.quota})

    def generation(self) -> int:
        """The generation of the rows; 0 where the quota was removed."""
        ((generation,),) = self._rows("SELECT max(generation) FROM pinakes.limits WHERE quota = %(quota)s", {})
        return generation or 0

    def rate(self) -> float:
        """Calls a second that are allowed at present, all callers together; 0 where the quota was removed."""
        with self._connection() as conn:
            return rate_in_force(conn, self.quota) or 0.0

    def close(self) -> None:
        """Close the connection."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _rows(self, statement: LiteralString, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        with self._connection() as conn:
            return conn.execute(statement, FIGURES | values | {"quota": self.quota}).fetchall()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            if self._conn is None:
                self._conn = connect(self._dsn, setting=self._setting)
                self._prepare(self._conn)
            yield self._conn
        except DatabaseError as exc:
            # Opening and reading the rate translate their errors themselves.
            lost = isinstance(exc.__cause__, psycopg.OperationalError) if self._conn is None else self._conn.broken
            self.close()
            if lost:
                raise LimitsUnreachableError(str(exc)) from exc
            raise
        except (psycopg.OperationalError, psycopg.InterfaceError) as exc:
            self.close()
            raise LimitsUnreachableError(
                f"the rate limits at {address(self._dsn)} cannot be reached: {reason(exc)}."
            ) from exc
        except psycopg.Error as exc:
            self.close()
            raise DatabaseError(
                f"PostgreSQL at {address(self._dsn)} failed while reserving from {self.quota}: {reason(exc)}."
            ) from exc

    def _prepare(self, conn: Connection) -> None:
        # A slot is worthless after a second: a server that crashes, and so forgets the last ones, is away for longer.
        conn.settings["synchronous_commit"] = sql.SQL("off")
        migrate(conn, SYSTEM_SCHEMA, "system", None)
        enter_default(conn, self.quota, self._rates)
        # From here on each statement is a transaction of its own, so that the setting holds for it.
        conn.every_statement = True


def limits_address(settings: Settings, dsn: str) -> tuple[str, str]:
    """Where the limits are kept, and which setting says so; `dsn` is the database of the collections."""
    return (settings.limiter_url, LIMITER_URL) if settings.limiter_url else (dsn, DATABASE_URL)


@contextmanager
def limits_connection(dsn: str, setting: str = DATABASE_URL) -> Iterator[Connection]:
    """A connection to the database of the limits, with their table created if need be; `dsn` is the value of `setting`.

    Raises:
        DatabaseError: it cannot be reached, or fails.
    """
    with connect(dsn, setting=setting) as conn:
        migrate(conn, SYSTEM_SCHEMA, "system", None)
        yield conn


def list_limits(conn: Connection) -> list[Limit]:
    """All limits, by quota and window."""
    with translated("reading the rate limits"):
        rows = conn.execute(
            """
            SELECT quota, count, seconds, burst, unit, pinned, spacing, factor + greatest(0, t.now - factor_at) / recovery,
                greatest(t.now, blocked_until, free_at - head_start), throttled, throttled_at
            FROM pinakes.limits, (SELECT extract(epoch FROM clock_timestamp())::float8) AS t (now)
            ORDER BY quota, unit, seconds
            """
        ).fetchall()
    return [
        Limit(
            quota=quota,
            rate=Rate(count, seconds, burst, unit),
            pinned=pinned,
            effective=min(1.0, share) / spacing,
            next_free=datetime.fromtimestamp(next_free, UTC),
            throttled=throttled,
            throttled_at=None if throttled_at is None else datetime.fromtimestamp(throttled_at, UTC),
        )
        for quota, count, seconds, burst, unit, pinned, spacing, share, next_free, throttled, throttled_at in rows
    ]


def rate_in_force(conn: Connection, quota: str) -> float | None:
    """Calls a second, of `CALL_TOKENS` each, that a quota allows at present; None where it is not known. Writes nothing."""
    try:
        limits = list_limits(conn)
    except DatabaseError as exc:
        if isinstance(exc.__cause__, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
            return None  # nothing was ever limited here, or by an older Pinakes only
        raise
    return min((limit.effective / limit.rate.lead_units for limit in limits if limit.quota == quota), default=None)


def change_limit(conn: Connection, quota: str, rates: Sequence[Rate]) -> None:
    """Set all windows of a quota, also while it is in use: runs honour it within a second."""
    with translated(f"setting the rate of {quota}"), conn.transaction():
        _alone(conn, quota)
        _enter(conn, quota, rates, pinned=True)


def remove_limit(conn: Connection, quota: str) -> bool:
    """Remove a quota, so that its next user enters the embedder's default; False if there was none."""
    with translated(f"removing the rate of {quota}"):
        return conn.execute("DELETE FROM pinakes.limits WHERE quota = %s", (quota,)).rowcount > 0


def enter_default(conn: Connection, quota: str, rates: Sequence[Rate]) -> None:
    """Enter a quota's windows, unless a person has set them or they are entered already."""
    default = sorted((rate.unit, rate.seconds, rate.count, rate.burst) for rate in rates)
    with conn.transaction():
        _alone(conn, quota)
        entered = conn.execute(
            "SELECT unit, seconds, count, burst, pinned FROM pinakes.limits WHERE quota = %s ORDER BY unit, seconds",
            (quota,),
        ).fetchall()
        # Entering equal rates would void the slots of everybody who has reserved some.
        if not any(pinned for *_, pinned in entered) and [row[:4] for row in entered] != default:
            _enter(conn, quota, rates, pinned=False)


def _alone(conn: Connection, quota: str) -> None:
    """Keep others from entering the same quota until the transaction ends: a new one has no row yet to lock."""
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"pinakes.limits {quota}",))


def _enter(conn: Connection, quota: str, rates: Sequence[Rate], *, pinned: bool) -> None:
    # In the order in which every statement locks the rows of a quota.
    for rate in sorted(rates, key=lambda rate: (rate.unit, rate.seconds)):
        window = {name: getattr(rate, name) for name in WINDOW}
        conn.execute(ENTER, FIGURES | window | {"quota": quota, "pinned": pinned})
    conn.execute(
        """
        DELETE FROM pinakes.limits
        WHERE quota = %s AND (unit, seconds) NOT IN (SELECT * FROM unnest(%s::text[], %s::float8[]))
        """,
        (quota, [rate.unit for rate in rates], [rate.seconds for rate in rates]),
    )
