"""The leader of a run whose batches workers embed: it hands them out, counts their results, and ends the run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from pinakes.errors import CheckpointError, DatabaseError
from pinakes.ingest.answers import EmbedStage
from pinakes.ingest.batch import Batch, BatchResult, reconcile
from pinakes.ingest.distributed.assignment import Assignment, work_as_rows
from pinakes.store.assignments import RunOfLeader

logger = logging.getLogger(__name__)

TELL_SECONDS = 0.5
"""How often the leader checks whether it should tell the workers to stop."""

DRAIN_SECONDS = 45.0
"""How long a run that failed waits for answers that are paid for: longer than one request takes."""

GRACE_SECONDS = 20.0
"""The same for a run that was told to end: Prefect's worker kills it after 30 s."""


class Leader:
    """The leader of a run. Use as a context manager around everything that workers embed.

    Inside the block every process that has the assignment may begin batches. When the run is stopping, the leader tells the
    workers. `reconcile` ends that, and so does leaving the block.

    Args:
        stage: hands out and counts the batches of a run that holds its lease.
        ways: how many workers the batches are spread over.
    """

    def __init__(self, stage: EmbedStage, ways: int) -> None:
        self.ways = ways
        self._stage = stage
        self._run = run = stage.run
        self._parts: list[Batch] = []
        self._open: dict[int, Batch] = {}
        self._reasons: dict[int, str] = {}
        self._spent = False
        self._store = RunOfLeader(run.database.dsn, run.run_id)
        self._ending = threading.Event()
        self._teller = threading.Thread(target=self._tell, name="leader", daemon=True)

    def __enter__(self) -> Self:
        run = self._run
        run.lease.check()
        left = None if run.budget is None else run.budget.left
        self._store.open((run.request.collection, run.space.name), left)
        self._teller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            # KeyboardInterrupt is a second Ctrl-C, of somebody who does not want to wait.
            if isinstance(exc, Exception):
                self._drain(DRAIN_SECONDS)
            elif exc is not None and not isinstance(exc, KeyboardInterrupt):
                self._drain(GRACE_SECONDS)
            self._end()
            self.collect()
            # A run that is told to end is entered as stopped, with all that its workers have done.
            if exc is not None and not isinstance(exc, Exception | KeyboardInterrupt):
                self.reconcile()
            self._store.forget()
        except (DatabaseError, CheckpointError) as also:
            if exc is None:
                raise
            logger.warning("the workers of the run could not be told that it ended: %s", also)
        finally:
            self._ending.set()
            self._store.close()

    # -- handing out ---------------------------------------------------------------------------------------------------

    @property
    def assignment(self) -> Assignment:
        """What a worker needs to embed for the run."""
        return Assignment.of(self._stage, self.ways, batches=len(self._parts))

    def batches(self) -> Iterator[Batch]:
        """The batches to hand out; ends early when the run is stopping."""
        for batch in self._stage.batches():
            if self._spent:
                self._run.tally.add_result(batch.deferred)
                continue
            self._open[batch.number] = batch
            yield batch

    def share_out(self) -> list[int]:
        """Enter all batches into the database, each for one shard; the numbers of the shards, from 1, that have any."""
        self._parts = list(self.batches())
        shards = min(self.ways, len(self._parts))
        self._store.enter(
            lambda: ((batch.number, self._shard_of(batch), work_as_rows(batch.work)) for batch in self._parts)
        )
        return list(range(1, shards + 1))

    # -- taking in -----------------------------------------------------------------------------------------------------

    def count(self, number: int, result: BatchResult) -> None:
        """Count the result of a batch."""
        batch = self._open.pop(number)
        self._stage.count(result)
        left = result.deferred + result.regions.deferred
        self._stage.progress.advance(batch.answers - left)
        self._stage.progress.batch_done()
        # The allowance is spent, or all were stopped. Other workers find out when they have used their own share of it.
        self._spent = self._spent or left > 0

    def collect(self) -> int:
        """Count the batches that the database says were finished since the last time; how many there were."""
        finished = self._store.results(self._open)
        for number, result in finished:
            self.count(number, BatchResult.of(result))
        return len(finished)

    def lost(self, numbers: Sequence[int], reason: str) -> None:
        """Note that the worker of these batches is gone, and why."""
        self._reasons |= dict.fromkeys(numbers, reason)

    def lost_shard(self, shard: int, reason: str) -> None:
        """Note that the worker of a shard is gone, and why."""
        self.lost([batch.number for batch in self._open.values() if self._shard_of(batch) == shard], reason)

    def reconcile(self) -> None:
        """Let nothing more be written, and account for what was handed out and did not come back.

        The answers that the checkpoint holds count; the rest is deferred, and the run ends unfinished.

        Raises:
            CheckpointError: the checkpoint cannot be read.
        """
        self._end()
        self.collect()
        if not self._open:
            return
        ledger = self._run.checkpoint.ledger()
        # A worker that died has reported no result, but the answers that it kept are paid for and count.
        for number, batch in self._open.items():
            known, left = reconcile(batch.work, ledger, self._stage.planned.at)
            error = self._reasons.get(number) if left else None
            self._stage.count(known + Batch(number, batch.total, left).deferred + BatchResult(error=error))
        self._open.clear()

    # -- the end -------------------------------------------------------------------------------------------------------

    def _shard_of(self, batch: Batch) -> int:
        return 1 + (batch.number - 1) % self.ways

    def _end(self) -> None:
        if not self._ending.is_set():
            self._ending.set()
            self._teller.join()
            self._store.end()

    def _drain(self, seconds: float) -> None:
        """Wait for answers that are on their way after the run has failed or was told to end."""
        self._store.ask_to_stop()
        given_up = time.monotonic() + seconds
        while self._store.at_work() and time.monotonic() < given_up:
            time.sleep(TELL_SECONDS)

    def _tell(self) -> None:
        """Tell the workers when the run is stopping."""
        while not self._ending.wait(TELL_SECONDS):
            if self._run.stopping():
                try:
                    self._store.ask_to_stop()
                except DatabaseError as exc:
                    logger.warning("%s (telling again)", exc)
                    continue
                return
