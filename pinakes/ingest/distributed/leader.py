"""Leading a run whose batches other processes embed: what is handed out, what came of it, and what is left in the end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from pinakes.errors import CheckpointError, DatabaseError
from pinakes.ingest.answers import EmbedStage
from pinakes.ingest.batch import Batch, BatchResult, settle, work_as_rows
from pinakes.ingest.distributed.assignment import Ticket
from pinakes.store.leader import LeadingRun

logger = logging.getLogger(__name__)

TELL_SECONDS = 0.5
"""How often the leader looks whether it should tell the others to stop."""

DRAIN_SECONDS = 45.0
"""How long a run that failed waits for the answers that are paid for and on their way: more than one request takes."""

GRACE_SECONDS = 20.0
"""The same of a run that was told to end: Prefect's worker kills it after 30 s."""


class Lead:
    """The leader's side of a run. Use as a context manager around everything that is embedded elsewhere.

    Inside the block batches may be begun by whoever has the ticket; when the leader is asked to stop it tells the others.
    `settle` ends that, and leaving the block does in any case.

    Args:
        stage: hands out and counts the batches of a run that holds its lease.
        ways: how many processes the batches are spread over.
    """

    def __init__(self, stage: EmbedStage, ways: int) -> None:
        self.ways = ways
        self._stage = stage
        self._run = run = stage.run
        self._parts: list[Batch] = []
        self._open: dict[int, Batch] = {}
        self._reasons: dict[int, str] = {}
        self._spent = False
        self._store = LeadingRun(run.database.dsn, run.run_id)
        self._ending = threading.Event()
        self._teller = threading.Thread(target=self._tell, name="leading", daemon=True)

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
            if isinstance(exc, Exception):
                self._drain(DRAIN_SECONDS)
            elif exc is not None and not isinstance(exc, KeyboardInterrupt):
                self._drain(GRACE_SECONDS)
            self._end()
            self.collect()
            if exc is not None and not isinstance(exc, Exception | KeyboardInterrupt):
                self.settle()
            self._store.forget()
        except (DatabaseError, CheckpointError) as also:
            if exc is None:
                raise
            logger.warning("the other processes of the run could not be told that it ended: %s", also)
        finally:
            self._ending.set()
            self._store.close()

    # -- handing out ---------------------------------------------------------------------------------------------------

    @property
    def ticket(self) -> Ticket:
        """What a process needs to embed for the run."""
        return Ticket.of(self._run, self._stage.planned.at, self.ways, batches=len(self._parts))

    def batches(self) -> Iterator[Batch]:
        """The batches to hand out; ends early when a stop is asked for."""
        for batch in self._stage.batches():
            if self._spent:
                self._run.tally.add(deferred=batch.images)
                continue
            self._open[batch.number] = batch
            yield batch

    def deal(self) -> list[int]:
        """Deal all batches out to shards, by way of the database; the numbers of the shards, from 1, that have any."""
        self._parts = list(self.batches())
        shards = min(self.ways, len(self._parts))
        self._store.enter(
            lambda: ((batch.number, self._shard_of(batch), work_as_rows(batch.work)) for batch in self._parts)
        )
        return list(range(1, shards + 1))

    # -- taking in -----------------------------------------------------------------------------------------------------

    def count(self, number: int, result: BatchResult) -> None:
        """Enter into the account what a batch came to."""
        batch = self._open.pop(number)
        self._stage.count(result)
        self._stage.progress.advance(batch.images - result.deferred)
        self._stage.progress.batch_done()
        # The money is spent, unless all were stopped; the others find that out when they have used what they took of it.
        self._spent = self._spent or result.deferred > 0

    def collect(self) -> int:
        """Enter what has been finished since the last time, by what the database says; how many batches."""
        finished = self._store.results(self._open)
        for number, result in finished:
            self.count(number, BatchResult.of(result))
        return len(finished)

    def lost(self, numbers: Sequence[int], reason: str) -> None:
        """The process that had these batches is gone."""
        self._reasons |= dict.fromkeys(numbers, reason)

    def lost_shard(self, shard: int, reason: str) -> None:
        """The process of a shard is gone."""
        self.lost([batch.number for batch in self._open.values() if self._shard_of(batch) == shard], reason)

    def settle(self) -> None:
        """Let nothing more be written, and account for what was handed out and did not come back.

        What the checkpoint has got of it counts; the rest is deferred, and the run ends unfinished.

        Raises:
            CheckpointError: the checkpoint cannot be read.
        """
        self._end()
        self.collect()
        if not self._open:
            return
        ledger = self._run.checkpoint.ledger()
        for number, batch in self._open.items():
            known, left = settle(batch.work, ledger, self._stage.planned.at)
            deferred = sum(item.images for item in left)
            error = self._reasons.get(number) if deferred else None
            self._stage.count(known + BatchResult(deferred=deferred, error=error))
        self._open.clear()

    # -- the end -------------------------------------------------------------------------------------------------------

    def _shard_of(self, batch: Batch) -> int:
        return 1 + (batch.number - 1) % self.ways

    def _end(self) -> None:
        if not self._ending.is_set():
            self._ending.set()
            self._teller.join()
            self._store.close_outposts()

    def _drain(self, seconds: float) -> None:
        """Wait for the answers that are on their way, after the run has failed or was told to end."""
        self._store.ask_to_stop()
        given_up = time.monotonic() + seconds
        while self._store.at_work() and time.monotonic() < given_up:
            time.sleep(TELL_SECONDS)

    def _tell(self) -> None:
        """Tell the others when the run is asked to stop."""
        while not self._ending.wait(TELL_SECONDS):
            if self._run.stopping():
                try:
                    self._store.ask_to_stop()
                except DatabaseError as exc:
                    logger.warning("%s (telling again)", exc)
                    continue
                return
