"""What the leader of a run and the workers that embed batches for it tell one another, by way of the database.

The leader holds the lease. Workers know its token, and check that it is still in force before they begin anything and
before they write. The result of a batch is kept here as well, so that a batch that is handed out twice is counted once.

The column that says whether workers may begin batches is called `pinakes.runs.outposts`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from pinakes.errors import LeaseLostError
from pinakes.store.connection import Connection, value_of
from pinakes.store.reconnecting import Reconnecting

MOST_CALLS_AT_ONCE = 16
"""Calls of an allowance that a worker takes with one statement."""

FINE_BELOW = 64
"""It takes at most one in so many of those that are left: the last ones are taken singly, and none is left over."""


class Standing(enum.Enum):
    """What a run allows its workers to do."""

    OPEN = enum.auto()
    """Batches may be begun."""
    STOPPING = enum.auto()
    """What is being embedded may be finished and kept; nothing new is begun."""
    OVER = enum.auto()
    """Nothing may be written any more."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A batch that is about to be embedded.

    Attributes:
        times: how often it was begun, this time included.
        result: its result, if another worker has finished it; else None.
        stopping: whether the run has been asked to stop, so that no request may be begun for it.
    """

    times: int
    result: dict[str, Any] | None
    stopping: bool


class RunOfLeader(Reconnecting):
    """A run as its leader sees it. Thread-safe; every method raises DatabaseError where the database does not answer.

    Args:
        dsn: the database of the run.
        run_id: the run.
    """

    def __init__(self, dsn: str, run_id: UUID) -> None:
        super().__init__(dsn)
        self._run_id = run_id

    def open(self, resource: tuple[str, str], calls_left: int | None) -> None:
        """Let batches be begun, and drop what runs have left behind whose leader died.

        Args:
            resource: the collection and the space; the caller holds its lease, so no other run of it lives.
            calls_left: the calls that may be made; None: any number.
        """

        def enter(conn: Connection) -> None:
            with conn.transaction():
                conn.execute(
                    """
                    DELETE FROM pinakes.batches b
                    USING pinakes.runs r
                    WHERE b.run_id = r.run_id AND (r.collection, r.space) = (%s, %s)
                    """,
                    resource,
                )
                conn.execute(
                    "UPDATE pinakes.runs SET outposts = 'open', calls_left = %s WHERE run_id = %s",
                    (calls_left, self._run_id),
                )

        self.do("opening the run to its workers", enter)

    def enter(self, batches: Callable[[], Iterable[tuple[int, int, list[Any]]]]) -> None:
        """Enter the plan in batches: the number, shard and work of each."""

        def insert(conn: Connection) -> None:
            with conn.transaction(), conn.cursor() as cursor:
                # What an attempt has entered whose connection was lost after its commit.
                cursor.execute("DELETE FROM pinakes.batches WHERE run_id = %s", (self._run_id,))
                cursor.executemany(
                    "INSERT INTO pinakes.batches (run_id, number, shard, work) VALUES (%s, %s, %s, %s)",
                    ((self._run_id, number, shard, Jsonb(work)) for number, shard, work in batches()),
                )

        self.do("entering the batches of the run", insert)

    def results(self, wanted: Iterable[int]) -> list[tuple[int, dict[str, Any]]]:
        """Those of these batches that are finished, with their results."""
        numbers = list(wanted)
        return self.do(
            "reading the results of batches",
            lambda conn: conn.execute(
                """
                SELECT number, result
                FROM pinakes.batches
                WHERE run_id = %s AND number = ANY (%s) AND result IS NOT NULL
                ORDER BY number
                """,
                (self._run_id, numbers),
            ).fetchall(),
        )

    def at_work(self) -> int:
        """How many batches are being embedded."""
        statement: LiteralString = "SELECT count(*) FROM pinakes.batches WHERE run_id = %s AND at_work"
        return int(self.do("counting the batches at work", lambda conn: value_of(conn, statement, (self._run_id,))))

    def ask_to_stop(self) -> None:
        """Let nothing new be begun."""
        self._set("UPDATE pinakes.runs SET outposts = 'stopping' WHERE run_id = %s AND outposts = 'open'")

    def end(self) -> None:
        """Let nothing more be written."""
        self._set("UPDATE pinakes.runs SET outposts = 'closed' WHERE run_id = %s")

    def forget(self) -> None:
        """Remove the batches."""
        self._set("DELETE FROM pinakes.batches WHERE run_id = %s")

    def _set(self, statement: LiteralString) -> None:
        self.do("telling the workers of the run", lambda conn: conn.execute(statement, (self._run_id,)))


class RunOfWorker(Reconnecting):
    """A run as a worker of it sees it. Thread-safe; every method raises DatabaseError where the database does not answer.

    Args:
        dsn: the database of the run.
        run_id: the run.
        resource: what the leader's lease is for.
        token: the fencing token of that lease.
        lease_seconds: how long the lease lasts without renewal. A leader that has been silent for twice as long is dead.
    """

    def __init__(self, dsn: str, run_id: UUID, resource: str, token: int, lease_seconds: float) -> None:
        super().__init__(dsn)
        self._run_id = run_id
        self._resource = resource
        self._token = token
        self._lease_seconds = lease_seconds

    def standing(self) -> Standing | None:
        """What the run allows; None where this database knows no such run."""
        row = self.do(
            f"reading the state of the run {self._run_id}",
            lambda conn: conn.execute(
                """
                SELECT
                    r.outposts,
                    r.state = 'running' AND l.token IS NOT NULL,
                    coalesce(l.expires_at + %(seconds)s * interval '1 second' < clock_timestamp(), true)
                FROM pinakes.runs r
                LEFT JOIN pinakes.locks l ON l.resource = %(resource)s AND l.token = %(token)s
                WHERE r.run_id = %(run)s
                """,
                {
                    "seconds": self._lease_seconds,
                    "resource": self._resource,
                    "token": self._token,
                    "run": self._run_id,
                },
            ).fetchone(),
        )
        if row is None:
            return None
        outposts, has_leader, leader_is_dead = row
        if not has_leader or outposts == "closed":
            return Standing.OVER
        # A dead leader's answers are as good as any, until another run takes over.
        return Standing.STOPPING if leader_is_dead or outposts == "stopping" else Standing.OPEN

    def check(self) -> None:
        """Check that this worker may still write for the run.

        Raises:
            LeaseLostError: the run has ended, or another one has taken over.
        """
        if self.standing() in (None, Standing.OVER):
            raise self._over()

    def begin(self, number: int) -> Begun:
        """Enter that this worker is about to embed a batch.

        Raises:
            LeaseLostError: the run takes no answers any more.
        """
        row = self.do(
            f"beginning batch {number} of the run {self._run_id}",
            lambda conn: conn.execute(
                # In one statement: nothing is entered for a run that is closed in between.
                """
                WITH run AS (
                    SELECT run_id, outposts FROM pinakes.runs WHERE run_id = %s AND outposts <> 'closed'
                )
                INSERT INTO pinakes.batches AS b (run_id, number, begun, at_work)
                SELECT run_id, %s, 1, true FROM run
                ON CONFLICT (run_id, number) DO UPDATE SET begun = b.begun + 1, at_work = true
                RETURNING begun, result, (SELECT outposts = 'stopping' FROM run)
                """,
                (self._run_id, number),
            ).fetchone(),
        )
        if row is None:
            raise self._over()
        return Begun(*row)

    def end(self, number: int, result: dict[str, Any] | None) -> None:
        """Enter the result of a batch; None: it raised."""
        self.do(
            f"ending batch {number} of the run {self._run_id}",
            lambda conn: conn.execute(
                # A batch that was handed out twice keeps the result of the worker that finished it.
                """
                UPDATE pinakes.batches
                SET at_work = false, result = coalesce(%s, result)
                WHERE run_id = %s AND number = %s
                """,
                (None if result is None else Jsonb(result), self._run_id, number),
            ),
        )

    def part(self, shard: int) -> Iterator[tuple[int, Any]]:
        """The number and the work of each batch of a shard that is not finished, in order, one in memory at a time."""
        after = 0

        def following(conn: Connection) -> tuple[Any, ...] | None:
            return conn.execute(
                """
                SELECT number, work
                FROM pinakes.batches
                WHERE run_id = %s AND shard = %s AND number > %s AND result IS NULL
                ORDER BY number
                LIMIT 1
                """,
                (self._run_id, shard, after),
            ).fetchone()

        while row := self.do(f"reading shard {shard} of the run {self._run_id}", following):
            after, work = row
            yield after, work

    def take_calls(self) -> int:
        """Some of the calls that the run may still make; 0: there are none left."""
        taken = self.do(
            "taking calls from the run's allowance",
            lambda conn: value_of(
                conn,
                # The row is locked before it is read, so that no two workers take the same calls.
                """
                WITH taken AS (
                    SELECT run_id, least(calls_left, greatest(1, least(%(most)s, calls_left / %(fine)s))) AS n
                    FROM pinakes.runs
                    WHERE run_id = %(run)s
                    FOR UPDATE
                )
                UPDATE pinakes.runs r
                SET calls_left = calls_left - n
                FROM taken
                WHERE r.run_id = taken.run_id
                RETURNING n
                """,
                {"run": self._run_id, "most": MOST_CALLS_AT_ONCE, "fine": FINE_BELOW},
            ),
        )
        return int(taken or 0)

    def give_back_calls(self, calls: int) -> None:
        """Give back calls that were taken and not made."""
        attempts = count()

        def give(conn: Connection) -> None:
            # Once: an attempt whose connection was lost may have been carried out, and calls that are given back twice
            # would exceed what the run may cost.
            if next(attempts) == 0:
                statement = "UPDATE pinakes.runs SET calls_left = calls_left + %s WHERE run_id = %s"
                conn.execute(statement, (calls, self._run_id))

        self.do("giving calls back to the run's allowance", give)

    def _over(self) -> LeaseLostError:
        return LeaseLostError(
            f"the run {self._run_id} on {self._resource} has ended or another run has taken over, so nothing more was"
            " written for it; what was written before is kept."
        )
