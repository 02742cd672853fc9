"""The leader's side of `pinakes.store.assignments`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from pinakes.store.connection import Connection
from pinakes.store.reconnecting import PATIENCE, Reconnecting


class LeadingRun(Reconnecting):
    """A run as its leader sees it, whose batches other processes embed. Thread-safe.

    Args:
        dsn: the database of the run.
        run_id: the run.
        patience: how many seconds a lost database is waited for.
    """

    def __init__(self, dsn: str, run_id: UUID, *, patience: float = PATIENCE) -> None:
        super().__init__(dsn, patience)
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
                    "DELETE FROM pinakes.batches b USING pinakes.runs r"
                    " WHERE b.run_id = r.run_id AND (r.collection, r.space) = (%s, %s)",
                    resource,
                )
                conn.execute(
                    "UPDATE pinakes.runs SET outposts = 'open', calls_left = %s WHERE run_id = %s",
                    (calls_left, self._run_id),
                )

        self.do("opening the run to other processes", enter)

    def enter(self, batches: Callable[[], Iterable[tuple[int, int, list[Any]]]]) -> None:
        """Enter the parts of the plan: number, shard and work of each batch."""

        def insert(conn: Connection) -> None:
            with conn.transaction(), conn.cursor() as cursor:
                cursor.execute("DELETE FROM pinakes.batches WHERE run_id = %s", (self._run_id,))
                cursor.executemany(
                    "INSERT INTO pinakes.batches (run_id, number, shard, work) VALUES (%s, %s, %s, %s)",
                    ((self._run_id, number, shard, Jsonb(work)) for number, shard, work in batches()),
                )

        self.do("entering the parts of the plan", insert)

    def results(self, wanted: Iterable[int]) -> list[tuple[int, dict[str, Any]]]:
        """Those of these batches that are finished, with what they came to."""
        numbers = list(wanted)
        return self.do(
            "reading what batches came to",
            lambda conn: conn.execute(
                "SELECT number, result FROM pinakes.batches"
                " WHERE run_id = %s AND number = ANY (%s) AND result IS NOT NULL ORDER BY number",
                (self._run_id, numbers),
            ).fetchall(),
        )

    def at_work(self) -> int:
        """How many batches are being embedded."""
        row = self.do(
            "counting the batches at work",
            lambda conn: conn.execute(
                "SELECT count(*) FROM pinakes.batches WHERE run_id = %s AND at_work", (self._run_id,)
            ).fetchone(),
        )
        assert row is not None
        return int(row[0])

    def ask_to_stop(self) -> None:
        """Let nothing new be begun."""
        self._set("UPDATE pinakes.runs SET outposts = 'stopping' WHERE run_id = %s AND outposts = 'open'")

    def close_outposts(self) -> None:
        """Let nothing more be written."""
        self._set("UPDATE pinakes.runs SET outposts = 'closed' WHERE run_id = %s")

    def forget(self) -> None:
        """Remove the batches."""
        self._set("DELETE FROM pinakes.batches WHERE run_id = %s")

    def _set(self, statement: LiteralString) -> None:
        self.do("telling the other processes of the run", lambda conn: conn.execute(statement, (self._run_id,)))
