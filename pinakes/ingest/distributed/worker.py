"""A worker embeds batches for a run that another process leads: those of a shard, or what a cluster sends it.

Only the assignment and the batches travel. A worker reads keys and the database's address from its own settings, opens
source, embedder and checkpoint once for all batches of a run, and embeds as the leader itself would. The limiter and the
leader's lease are in the database, so that all of them share both.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from uuid import UUID

from pinakes import logs
from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.errors import DatabaseError, LeaseLostError, SettingsError, SourceError
from pinakes.ingest.batch import Batch, BatchResult, Calls, embed_batch, reconcile
from pinakes.ingest.distributed.assignment import Assignment, work_of_rows
from pinakes.ingest.early_checks import choice_of, source_of
from pinakes.ingest.measuring import measuring
from pinakes.ingest.stopping import Stopping
from pinakes.quota.embedder_pool import Budget, Embedders
from pinakes.settings import Settings, load_settings
from pinakes.sources.base import Listing
from pinakes.store.addresses import address
from pinakes.store.assignments import RunOfWorker, Standing
from pinakes.store.database import open_database

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often a worker checks whether its run is stopping or over."""


class Worker:
    """Embeds batches of a run that another process leads. Thread-safe.

    Args:
        assignment: says for which run.
        settings: of this process.

    Raises:
        SettingsError: its database is not the run's, or its embedder makes other vectors.
        SourceError: it finds another source than the run lists.
        LeaseLostError: the run is over.
        PinakesError: what it needs cannot be opened.
    """

    def __init__(self, assignment: Assignment, settings: Settings) -> None:
        self.assignment = assignment
        self.stopping = Stopping()
        self.over = threading.Event()
        """Set when the run takes no answers any more and everything is closed."""
        request = assignment.request
        self._lock = threading.Lock()
        self._at_work = 0
        self._closing = threading.Event()
        with ExitStack() as stack:
            stack.enter_context(self._logged())
            database = stack.enter_context(open_database(settings))
            self._dsn = database.dsn
            self._run = RunOfWorker(
                self._dsn, assignment.run_id, assignment.resource, assignment.token, assignment.lease_seconds
            )
            stack.callback(self._run.close)
            if self._run.standing() is None:
                raise SettingsError(
                    f"the database at {address(database.dsn)} knows nothing of the run {assignment.run_id}: all machines of"
                    " a run need one PINAKES_DATABASE_URL, and the embedded database serves one PINAKES_HOME alone."
                )
            self._run.check()
            self.source = source_of(request, settings)
            if self.source.root != assignment.root:
                raise SourceError(
                    f"the run lists {assignment.root}, and this process finds {self.source.root} under {request.source!r}:"
                    " let all machines see the pictures under one path."
                )
            budget = self._budget = _SharedBudget(self._run) if assignment.budgeted else None
            if budget is not None:
                self.stopping.budget_used_up = lambda: budget.used_up
            embedders = Embedders(settings, database.dsn)
            stack.callback(embedders.close)
            if isinstance(self.source, Listing):
                self.source.paced_by(embedders.pacing(self.stopping.at_once))
            self.embedder = embedders.open(
                choice_of(request),
                rate=request.rate,
                allow=lambda _price: budget,
                stopping=self.stopping.at_once,
            )
            space = self.embedder.facts.space
            if space.name != assignment.space:
                raise SettingsError(
                    f"the run embeds into {assignment.space}, and this process into {space.name}: give all machines the same"
                    f" model of {space.provider} and the same settings."
                )
            self.checkpoint = open_checkpoint(
                request.checkpoint, request.collection, space, format=request.format, guard=self._check_keeping
            )
            self._reported = Calls.of(self.embedder)
            # Everything is open: from here on `close` ends it. An exception before this has closed what was opened.
            self._stack = stack.pop_all()
        self._thread = threading.Thread(target=self._watch, name=f"worker of {assignment.run_id}", daemon=True)
        self._thread.start()

    def batches(self, shard: int) -> Iterator[Batch]:
        """The batches of a shard that are not finished; ends early when the run is stopping.

        Raises:
            DatabaseError: the database does not answer.
        """
        for number, rows in self._run.part(shard):
            if self.stopping():
                return
            yield Batch(number, self.assignment.batches, work_of_rows(rows))

    def embed(self, batch: Batch) -> BatchResult:
        """Embed a batch into the run's checkpoint; one that was begun before is resumed.

        Raises:
            LeaseLostError: the run is over; nothing was written after that.
            CheckpointError: an answer could not be kept.
            DatabaseError: the database does not answer.
        """
        with self._using(), self._logged():
            self._run.check()
            begun = self._run.begin(batch.number)
            # Handed out a second time, when its first worker finished it and was lost before it could say so.
            if begun.result is not None:
                self._run.end(batch.number, None)
                return BatchResult.of(begun.result)
            if begun.stopping:  # the leader counts on it: once no batch is at work it takes no more answers
                self.stopping.abandon()
            # Ended whatever happens: while a batch is entered as at work, a leader that ends waits for it.
            document = None
            try:
                result = self._embed(batch, again=begun.times > 1)
                document = result.as_dict()
            finally:
                self._run.end(batch.number, document)
            return result

    def close(self) -> None:
        """End the threads and connections."""
        self._closing.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        with self._lock:
            stack, self._stack = self._stack, ExitStack()  # closed once, however often this is called
        stack.close()
        self.over.set()

    def _embed(self, batch: Batch, *, again: bool) -> BatchResult:
        done, left = BatchResult(), list(batch.work)
        if again:  # its first worker may have kept answers before it died
            done, left = reconcile(left, self.checkpoint.ledger(), self.assignment.planned_at)
        if left:
            with measuring(self.source.read, self._dsn, self.assignment.request.collection) as read:
                done += embed_batch(
                    Batch(batch.number, batch.total, left),
                    read,
                    self.embedder,
                    self.checkpoint,
                    stopping=self.stopping,
                    abandon=self.stopping.abandon,
                    advance=lambda _: None,
                )
        return replace(done, elsewhere=done.elsewhere + self._calls_since())

    def _check_keeping(self) -> None:
        """Check, before answers are kept, that the run still takes them.

        While the database does not answer, nobody can take the run over through it either, and what is paid for is kept.

        Raises:
            LeaseLostError: the run is over.
        """
        try:
            self._run.check()
        except DatabaseError as exc:
            logger.warning("%s; answers are kept all the same", exc)

    def _logged(self) -> AbstractContextManager[None]:
        return logs.belonging_to(self.assignment.run_id, self.assignment.request.collection, self.assignment.space)

    def _calls_since(self) -> Calls:
        """The requests that no batch has reported yet: parallel batches share one embedder, and only their sum is exact."""
        with self._lock:
            now = Calls.of(self.embedder)
            new, self._reported = now - self._reported, now
        return new

    @contextmanager
    def _using(self) -> Iterator[None]:
        # Counted, since `look` must not close what a batch still works with when the run is over.
        with self._lock:
            if self._closing.is_set():
                raise LeaseLostError(f"the run {self.assignment.run_id} is over; nothing more is embedded for it.")
            self._at_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1
                idle = not self._at_work
            # Another worker may still need what this one has taken of the allowance and not used.
            if idle and self._budget is not None:
                self._budget.release()

    def _watch(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Begin nothing new once the run is stopping; close when it is over and no batch is at work."""
        try:
            standing = self._run.standing()
        except DatabaseError as exc:
            # Without the database nobody can say that the run goes on; what is in flight is paid for and may be kept.
            logger.warning("%s; nothing new is begun for the run %s", exc, self.assignment.run_id)
            standing = Standing.STOPPING
        if standing is Standing.OPEN:
            return
        self.stopping.abandon()
        if standing is Standing.STOPPING:
            return
        with self._lock:
            if self._at_work or self._closing.is_set():
                return
            self._closing.set()
        self.close()


class _SharedBudget(Budget):
    """A share of the run's allowance, taken from the database as it is used."""

    def __init__(self, run: RunOfWorker) -> None:
        super().__init__(0)
        self._run = run

    def _more(self) -> int:
        return self._run.take_calls()

    def release(self) -> None:
        """Give back what is not used."""
        with self._lock:
            unused, self._left = self._left, 0
            if unused:
                self._run.give_back_calls(unused)


@contextmanager
def open_worker(assignment: Assignment, settings: Settings) -> Iterator[Worker]:
    """A worker for the length of the block; see `Worker` for what it raises."""
    worker = Worker(assignment, settings)
    try:
        yield worker
    finally:
        worker.close()


_opening = threading.Lock()
_workers: dict[UUID, Worker] = {}
"""Of this process, by run: a cluster's process is sent batches one by one, and should open everything only once."""


def worker_here(assignment: Assignment) -> Worker:
    """The worker of this process for a run: opened by its first batch, closed by itself when the run is over.

    See `Worker` for what it raises.
    """
    with _opening:
        for run_id in [run_id for run_id, worker in _workers.items() if worker.over.is_set()]:
            del _workers[run_id]
        if assignment.run_id not in _workers:
            _workers[assignment.run_id] = Worker(assignment, load_settings())
        return _workers[assignment.run_id]


def close_workers() -> None:
    """Close this process's workers of runs that are over, without waiting for them to notice."""
    with _opening:
        for worker in list(_workers.values()):
            worker.look()
