"""What the process that leads a run and those that embed batches for it tell one another: by way of the database.

The leader holds the lease; the others know its token and look whether it is still in force before they begin anything and
before they write. What a batch came to is kept here as well, so that a batch that is handed out twice is counted once.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from pinakes.errors import LeaseLostError
from pinakes.store.connection import Connection
from pinakes.store.reconnecting import PATIENCE, Reconnecting

MOST_CALLS_AT_ONCE = 16
"""Calls of an allowance that a process takes with one statement."""

FINE_BELOW = 64
"""It takes at most one in so many of those that are left: the last ones are taken singly, and none is left over."""


class Standing(enum.Enum):
    """What a run that another process leads wants of the processes that embed for it."""

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
        result: what it came to, if another process has finished it; else None.
        stopping: whether the run has been asked to stop, so that no request may be begun for it.
    """

    times: int
    result: dict[str, Any] | None
    stopping: bool


class LedRun(Reconnecting):
    """A run that another process leads, as a process sees it that embeds batches for it. Thread-safe.

    Args:
        dsn: the database of the run.
        run_id: the run.
        resource: what the leader's lease is for.
        token: the fencing token of that lease.
        lease_seconds: how long the lease lasts without renewal. A leader that has been silent for twice as long is dead.
        patience: how many seconds a lost database is waited for.
    """

    def __init__(
        self, dsn: str, run_id: UUID, resource: str, token: int, lease_seconds: float, *, patience: float = PATIENCE
    ) -> None:
        super().__init__(dsn, patience)
        self._run_id = run_id
        self._resource = resource
        self._token = token
        self._lease_seconds = lease_seconds

    def standing(self) -> Standing | None:
        """What the run wants; None where this database knows no such run.

        Raises:
            DatabaseError: the database does not answer.
        """
        row = self.do(
            f"reading the state of the run {self._run_id}",
            lambda conn: conn.execute(
                "SELECT r.outposts, r.state = 'running' AND l.token IS NOT NULL,"
                "  coalesce(l.expires_at + %(seconds)s * interval '1 second' < clock_timestamp(), true)"
                " FROM pinakes.runs r"
                " LEFT JOIN pinakes.locks l ON l.resource = %(resource)s AND l.token = %(token)s"
                " WHERE r.run_id = %(run)s",
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
        outposts, led, leader_is_dead = row
        if not led or outposts == "closed":
            return Standing.OVER
        # A dead leader's answers are as good as any, until another run takes over.
        return Standing.STOPPING if leader_is_dead or outposts == "stopping" else Standing.OPEN

    def check(self) -> None:
        """See whether this process may still write for the run.

        Raises:
            LeaseLostError: the run has ended, or another one has taken over.
            DatabaseError: the database does not answer, so nobody knows.
        """
        if self.standing() in (None, Standing.OVER):
            raise self._over()

    def begin(self, number: int) -> Begun:
        """Enter that this process is about to embed a batch.

        Raises:
            LeaseLostError: the run takes no answers any more.
            DatabaseError: the database does not answer.
        """
        row = self.do(
            f"beginning batch {number} of the run {self._run_id}",
            lambda conn: conn.execute(
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
        """Enter what a batch came to; None: it raised.

        Raises:
            DatabaseError: the database does not answer.
        """
        self.do(
            f"ending batch {number} of the run {self._run_id}",
            lambda conn: conn.execute(
                "UPDATE pinakes.batches SET at_work = false, result = coalesce(%s, result)"
                " WHERE run_id = %s AND number = %s",
                (None if result is None else Jsonb(result), self._run_id, number),
            ),
        )

    def part(self, shard: int) -> Iterator[tuple[int, Any]]:
        """The number and the work of each batch of a shard that is not finished, in order, one in memory at a time.

        Raises:
            DatabaseError: the database does not answer.
        """
        after = 0

        def following(conn: Connection) -> tuple[Any, ...] | None:
            return conn.execute(
                "SELECT number, work FROM pinakes.batches"
                " WHERE run_id = %s AND shard = %s AND number > %s AND result IS NULL ORDER BY number LIMIT 1",
                (self._run_id, shard, after),
            ).fetchone()

        while True:
            row = self.do(f"reading shard {shard} of the run {self._run_id}", following)
            if row is None:
                return
            after, work = row
            yield after, work

    def take_calls(self) -> int:
        """Some of the calls that the run may still make; 0: there are none left.

        Raises:
            DatabaseError: the database does not answer.
        """
        row = self.do(
            "taking calls from the run's allowance",
            lambda conn: conn.execute(
                "WITH taken AS ("
                "  SELECT run_id, least(calls_left, greatest(1, least(%(most)s, calls_left / %(fine)s))) AS n"
                "  FROM pinakes.runs WHERE run_id = %(run)s FOR UPDATE)"
                " UPDATE pinakes.runs r SET calls_left = calls_left - n FROM taken WHERE r.run_id = taken.run_id"
                " RETURNING n",
                {"run": self._run_id, "most": MOST_CALLS_AT_ONCE, "fine": FINE_BELOW},
            ).fetchone(),
        )
        return 0 if row is None else int(row[0] or 0)

    def give_back_calls(self, calls: int) -> None:
        """Calls that were taken and not made.

        Raises:
            DatabaseError: the database does not answer.
        """
        self.do(
            "giving calls back to the run's allowance",
            lambda conn: conn.execute(
                "UPDATE pinakes.runs SET calls_left = calls_left + %s WHERE run_id = %s", (calls, self._run_id)
            ),
        )

    def _over(self) -> LeaseLostError:
        return LeaseLostError(
            f"the run {self._run_id} on {self._resource} has ended or another run has taken over, so nothing more was"
            " written for it; what was written before is kept."
        )
