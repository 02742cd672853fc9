"""Where batches are embedded for a run that another process leads: a shard of it, or a worker of a cluster.

What travels is a ticket and the batch. Keys and the database's address do not: an outpost reads them from its own settings,
opens source, embedder and checkpoint once for all batches of a run, and embeds as the leader itself would. The limiter and
the leader's lease are in the database, so all processes share them.
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
from pinakes.ingest.batch import Batch, BatchResult, Calls, embed_batch, settle, work_of_rows
from pinakes.ingest.distributed.assignment import Ticket
from pinakes.ingest.early_checks import choice_of, source_of
from pinakes.ingest.stopping import Stopping
from pinakes.quota.embedder_pool import Budget, Embedders
from pinakes.settings import Settings, load_settings
from pinakes.store.assignments import LedRun, Standing
from pinakes.store.connection import address
from pinakes.store.database import open_database

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often an outpost looks whether its run is stopping or over."""


class Outpost:
    """Embeds batches of a run that another process leads. Thread-safe.

    Args:
        ticket: says for which run.
        settings: of this process.

    Raises:
        SettingsError: its database is not the run's, or its embedder makes other vectors.
        SourceError: it finds another source than the run lists.
        LeaseLostError: the run is over.
        PinakesError: what it needs cannot be opened.
    """

    def __init__(self, ticket: Ticket, settings: Settings) -> None:
        self.ticket = ticket
        self.stopping = Stopping()
        self.over = threading.Event()
        """Set when the run takes no answers any more and everything is closed."""
        request = ticket.request
        self._lock = threading.Lock()
        self._at_work = 0
        self._closing = threading.Event()
        with ExitStack() as stack:
            stack.enter_context(self._logged())
            database = stack.enter_context(open_database(settings))
            self._run = LedRun(database.dsn, ticket.run_id, ticket.resource, ticket.token, ticket.lease_seconds)
            stack.callback(self._run.close)
            if self._run.standing() is None:
                raise SettingsError(
                    f"the database at {address(database.dsn)} knows nothing of the run {ticket.run_id}: all machines of a"
                    " run need one PINAKES_DATABASE_URL, and the embedded database serves one PINAKES_HOME alone."
                )
            self._run.check()
            self.source = source_of(request, settings)
            if self.source.root != ticket.root:
                raise SourceError(
                    f"the run lists {ticket.root}, and this process finds {self.source.root} under {request.source!r}:"
                    " let all machines see the pictures under one path."
                )
            self._budget = _SharedBudget(self._run) if ticket.budgeted else None
            if self._budget is not None:
                self.stopping.budget_used_up = lambda: self._budget is not None and self._budget.used_up
            embedders = Embedders(settings, database.dsn)
            stack.callback(embedders.close)
            self.embedder = embedders.open(
                choice_of(request),
                rate=request.rate,
                allow=lambda _price: self._budget,
                stopping=self.stopping.at_once,
            )
            space = self.embedder.facts.space
            if space.name != ticket.space:
                raise SettingsError(
                    f"the run embeds into {ticket.space}, and this process into {space.name}: give all machines the same"
                    f" model of {space.provider} and the same settings."
                )
            self.checkpoint = open_checkpoint(
                request.checkpoint, request.collection, space, format=request.format, guard=self._run.check
            )
            self._reported = Calls.of(self.embedder)
            self._stack = stack.pop_all()
        self._thread = threading.Thread(target=self._watch, name=f"outpost of {ticket.run_id}", daemon=True)
        self._thread.start()

    def batches(self, shard: int) -> Iterator[Batch]:
        """The batches of a shard that are not finished; ends early when the run is stopping.

        Raises:
            DatabaseError: the database does not answer.
        """
        for number, rows in self._run.part(shard):
            if self.stopping():
                return
            yield Batch(number, self.ticket.batches, work_of_rows(rows))

    def embed(self, batch: Batch) -> BatchResult:
        """Embed a batch into the run's checkpoint; one that was begun before is gone on with.

        Raises:
            LeaseLostError: the run is over; nothing was written after that.
            CheckpointError: an answer could not be kept.
            DatabaseError: the database does not answer.
        """
        with self._using(), self._logged():
            self._run.check()
            begun = self._run.begin(batch.number)
            if begun.result is not None:
                self._run.end(batch.number, None)
                return BatchResult.of(begun.result)
            if begun.stopping:  # the leader counts on it: once no batch is at work it takes no more answers
                self.stopping.abandon()
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
            stack, self._stack = self._stack, ExitStack()
        stack.close()
        self.over.set()

    def _embed(self, batch: Batch, *, again: bool) -> BatchResult:
        done, left = BatchResult(), list(batch.work)
        if again:
            done, left = settle(left, self.checkpoint.ledger(), self.ticket.planned_at)
        if left:
            done += embed_batch(
                Batch(batch.number, batch.total, left),
                self.source,
                self.embedder,
                self.checkpoint,
                stopping=self.stopping,
                abandon=self.stopping.abandon,
                advance=lambda _: None,
            )
        return replace(done, elsewhere=done.elsewhere + self._calls_since())

    def _logged(self) -> AbstractContextManager[None]:
        return logs.belonging_to(self.ticket.run_id, self.ticket.request.collection, self.ticket.space)

    def _calls_since(self) -> Calls:
        """The requests that no batch has reported yet: batches at once share one embedder, and only their sum is exact."""
        with self._lock:
            now = Calls.of(self.embedder)
            new, self._reported = now - self._reported, now
        return new

    @contextmanager
    def _using(self) -> Iterator[None]:
        with self._lock:
            if self._closing.is_set():
                raise LeaseLostError(f"the run {self.ticket.run_id} is over; nothing more is embedded for it.")
            self._at_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1
                idle = not self._at_work
            if idle and self._budget is not None:
                self._budget.release()

    def leave(self) -> None:
        """Look at once whether the run is over, and close if it is and nobody is at work."""
        self._look()

    def _watch(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        """Begin nothing new once the run is stopping; close when it is over and nobody is at work."""
        try:
            standing = self._run.standing()
        except DatabaseError as exc:
            logger.warning("%s; nothing new is begun for the run %s", exc, self.ticket.run_id)
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
    """A part of the run's allowance, taken from the database as it is used."""

    def __init__(self, run: LedRun) -> None:
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
def open_outpost(ticket: Ticket, settings: Settings) -> Iterator[Outpost]:
    """An outpost for the length of the block; see `Outpost` for what it raises."""
    outpost = Outpost(ticket, settings)
    try:
        yield outpost
    finally:
        outpost.close()


_opening = threading.Lock()
_here: dict[UUID, Outpost] = {}


def outpost_here(ticket: Ticket) -> Outpost:
    """The outpost of this process for a run: opened by its first batch, closed by itself when the run is over.

    See `Outpost` for what it raises.
    """
    with _opening:
        for run_id in [run_id for run_id, outpost in _here.items() if outpost.over.is_set()]:
            del _here[run_id]
        if ticket.run_id not in _here:
            _here[ticket.run_id] = Outpost(ticket, load_settings())
        return _here[ticket.run_id]


def close_outposts() -> None:
    """Close this process's outposts of runs that are over, without waiting for them to notice."""
    with _opening:
        for outpost in list(_here.values()):
            outpost.leave()
