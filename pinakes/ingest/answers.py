"""The stages that give every planned picture its answer in the checkpoint, with a call only where none is known."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field

from pinakes.ingest.batch import Batch, BatchResult, batched, embed_batch, even_size
from pinakes.ingest.listing import Planned
from pinakes.ingest.lost_answers import refuse_to_pay_again, take_from_table
from pinakes.ingest.measuring import measuring
from pinakes.ingest.plan import Plan
from pinakes.ingest.progress import Progress
from pinakes.ingest.run import ANSWERS_PER_PART, Ingestion, in_parts
from pinakes.ingest.stopping import orderly
from pinakes.ingest.window import in_window
from pinakes.types import Answer


@dataclass(frozen=True, slots=True)
class Embedded:
    """What the stage that embeds hands on.

    Attributes:
        results: the sum of the results of all batches.
        seconds: from the beginning of the first batch to the end of the last one.
    """

    results: BatchResult = field(default_factory=BatchResult)
    seconds: float = 0.0


def reuse_known_answers(run: Ingestion, planned: Planned) -> None:
    """Enter what needs no call: entries that cannot be read, and bytes that were answered under another name."""
    _keep_rejected(run, planned)
    for plan in planned.plan.both:
        _copy_known_answers(run, plan)
        take_from_table(run, plan)


def _keep_rejected(run: Ingestion, planned: Planned) -> None:
    """Enter what could not be named or read into the ledger; what is known to have failed for good stays as it is."""
    ledger = run.checkpoint.ledger()
    answers = []
    for entry in planned.plan.rejected:
        row = ledger.get(entry.image_id, "")
        # Otherwise every run would add a part that says the same, and raise the exit code for it again.
        if row is None or not (row.final and entry.failure.final):
            attempts = 1 + (row.attempts if row else 0)
            answers.append(Answer(entry.image_id, "", None, entry.failure, attempts, run.space.version))
    run.keep(answers)
    run.tally.add(failed=len(planned.plan.rejected), new_failures=len(answers))


def _copy_known_answers(run: Ingestion, plan: Plan) -> None:
    """Give images whose bytes were answered under another id a row of their own; no call."""
    copies = plan.copies
    if not copies:
        return
    copied = 0
    ledger = run.checkpoint.ledger()
    for part in in_parts(copies, ANSWERS_PER_PART):
        if run.stopping():
            break
        # Read part by part, since a folder that was renamed copies the whole collection.
        vectors = run.checkpoint.vectors_of([(donor, image.fingerprint) for image, donor in part])
        # One that a damaged part has just lost is left for the next run.
        found = [(image, pair) for image, donor in part if (pair := (donor, image.fingerprint)) in vectors]
        answers = []
        for image, pair in found:
            row = ledger.get(*pair)
            # With the donor's version, which says whether its vector was rounded.
            version = run.space.version if row is None else row.model_version
            answers.append(Answer(image.image_id, image.fingerprint, vectors[pair], None, 1, version))
        run.keep(answers)
        run.tally.add_known(plan, reused=len(found))
        copied += len(found)
    run.tally.add_known(plan, deferred=len(copies) - copied)


def verify_embedder(run: Ingestion, planned: Planned) -> None:
    """Let the embedder check itself: a paid one requests one image and one text, so that a wrong key costs two calls.

    Before that, check that nothing is paid for twice, that its answers can be kept, and that the cap on the cost leaves
    something for a picture.

    Raises:
        EmbedderError: it cannot be used.
        CheckpointError: the checkpoint cannot be written, or has lost answers that would be paid for again.
    """
    if not planned.plan.calls:
        return
    refuse_to_pay_again(run, planned.plan, planned.held)
    run.checkpoint.check_writable()
    if run.budget is not None and run.budget.left <= run.embedder.check_units:
        run.budget.use_up()  # not even one picture would be left to pay for
        return
    run.lease.check()
    run.embedder.check()


class EmbedStage:
    """Hands out the batches of a plan and counts their results. Thread-safe.

    Args:
        run: whose pictures are embedded.
        planned: the calls to make.
        ways: how many processes they are spread over, with equally many batches each.
    """

    def __init__(self, run: Ingestion, planned: Planned, ways: int = 1) -> None:
        self.run = run
        self.stopping = run.stopping
        self.planned = planned
        plan = planned.plan
        self._work = plan.all_work()
        self._size = even_size(plan.calls, run.request.batch_size, ways)
        self.progress = Progress(
            "embedding",
            sum(item.answers for item in self._work),
            -(-plan.calls // self._size),
            "pictures and regions" if plan.regions and plan.regions.work else "images",
        )
        self._began = math.inf
        self._seconds = 0.0
        self._at_work = 0
        self._changed = threading.Condition()

    def batches(self) -> Iterator[Batch]:
        """The batches to embed; ends early when the run is stopping. Batches that were not handed out are deferred."""
        for batch in batched(self._work, self._size):
            if self.stopping():  # goes on through the rest, so that every batch is counted as deferred
                self.run.tally.add_result(batch.deferred)
            else:
                self._began = min(self._began, time.monotonic())
                yield batch

    def embed(self, batch: Batch) -> BatchResult:
        """Embed one batch into the checkpoint in this process, and count its result.

        It is counted here and not by the flow that waits for it: a flow that is cancelled or suspended never gets it.
        """
        run = self.run
        with self._changed:
            self._at_work += 1
        try:
            # Before each batch, and not only before its answers are written: without the lease nothing may be paid for.
            run.lease.check()
            with measuring(run.source.read, run.database.dsn, run.request.collection) as read:
                result = embed_batch(
                    batch,
                    read,
                    run.embedder,
                    run.checkpoint,
                    stopping=run.stopping,
                    abandon=run.stopping.abandon,
                    advance=self.progress.advance,
                )
            self.count(result)  # before the batch stops counting as at work: `wait_for_batches` promises counts
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()
        self.progress.batch_done()
        return result

    def count(self, result: BatchResult) -> None:
        """Count the result of a batch, wherever it was embedded; an error of its embedder ends the run."""
        self.run.tally.add_result(result)
        self._seconds = time.monotonic() - self._began
        if result.error is not None:
            self.stopping.abandon()

    def wait_for_batches(self, seconds: float) -> bool:
        """Wait until no thread of this process embeds a batch; False if that takes longer than `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._at_work, seconds)

    def ended(self) -> Embedded:
        """The results of the batches that have ended."""
        return Embedded(self.run.tally.results, self._seconds)


def embed_here(run: Ingestion, planned: Planned) -> Embedded:
    """Embed batch by batch on threads of this process, as many in parallel as speed up the embedder."""
    stage = EmbedStage(run, planned)
    width = run.embedder.facts.workers

    with orderly(), ThreadPoolExecutor(width, thread_name_prefix="embed") as threads, stage.progress:

        def begin(batch: Batch) -> Future[BatchResult]:
            return threads.submit(copy_context().run, stage.embed, batch)  # log records carry the run's id

        try:
            for _, future in in_window(begin, stage.batches(), width):
                future.result()
        except BaseException:
            # The pool waits for the batches in flight, which would otherwise go on to their last picture.
            run.stopping.abandon()
            raise
    return stage.ended()


def defer_the_rest(run: Ingestion, planned: Planned) -> Embedded:
    """Embed nothing: everything that would need a call is deferred."""
    run.tally.add_result(Batch(0, 0, planned.plan.all_work()).deferred)
    return Embedded()
