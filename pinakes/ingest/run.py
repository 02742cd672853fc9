"""One run of `ingest`, stage by stage: what the flow calls in order, and a program can call without Prefect.

list → plan → embed in batches (→ checkpoint) → merge metadata → upsert → index → report
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, TypeVar
from uuid import UUID

import pandas as pd

from pinakes.checkpoints.checkpoint import Checkpoint
from pinakes.checkpoints.ledger import Ledger
from pinakes.embedders.base import Embedder
from pinakes.embedders.remote.client import Remote
from pinakes.embedders.remote.counters import Latencies
from pinakes.ingest.account import Account
from pinakes.ingest.batch import Batch, BatchResult, Calls, batched, embed_batch, even_size
from pinakes.ingest.estimate import estimate
from pinakes.ingest.plan import Plan, make_plan
from pinakes.ingest.progress import Progress
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.stopping import Stopping
from pinakes.metadata.join import Join
from pinakes.metadata.report import JoinReport
from pinakes.metadata.table import Metadata
from pinakes.quota.embedder_pool import Budget
from pinakes.sources.base import Source, keep_out
from pinakes.store.collections import (
    current_vectors,
    resolve_space,
    stored_images,
)
from pinakes.store.connection import warn_of_old_pgvector
from pinakes.store.database import Database
from pinakes.store.indexes import ensure_index
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.runs import end_run
from pinakes.takedowns.sync import bring_together
from pinakes.tombstones import Tombstones
from pinakes.types import Answer, Image, Vector, utc_now

logger = logging.getLogger(__name__)

ROWS_PER_PART = 5_000
"""Images that are joined with their metadata and loaded at once."""

COPIES_PER_PART = 256
"""Answers copied to another image of equal bytes at once: as many as a part of the checkpoint holds."""

T = TypeVar("T")


class Ingestion:
    """A run with everything it works on, made by `open_ingestion`; one stage after the other fills `account`."""

    def __init__(
        self,
        request: IngestRequest,
        source: Source,
        embedder: Embedder,
        checkpoint: Checkpoint,
        database: Database,
        lease: Lease,
        metadata: Metadata | None,
        stopping: Stopping,
        budget: Budget | None = None,
    ) -> None:
        self.request = request
        self.source = source
        self.embedder = embedder
        self.space = embedder.facts.space
        self.checkpoint = checkpoint
        self.database = database
        self.lease = lease
        self.metadata = metadata
        self.stopping = stopping
        self.budget = budget
        self.run_id: UUID | None = None
        self.calls_elsewhere = Calls()
        self.timed = Latencies()
        self.embedded_in = 0.0
        """Seconds from the first batch's beginning to the last one's end."""
        self.planned_at = utc_now()
        self.account = Account()
        self.plan = Plan()
        self.planned = estimate(self.plan, embedder)
        self.progress = Progress("embedding", 0, 0)
        self.join_report: JoinReport | None = None
        self.index_kind: str | None = None
        self.stopped_by: str | None = None
        self.prune_refused: str | None = None
        self.active = True
        self.tombstones = Tombstones()
        self.to_load = False
        """Whether pictures may have been embedded that `load` has not begun to load."""
        self._counting = threading.Condition()
        self._at_work = 0
        self._vanished: list[str] = []
        self._embedding_since = math.inf
        self._started = time.monotonic()

    # -- the stages, in their order ------------------------------------------------------------------------------------

    def list_and_plan(self) -> Plan:
        """List the source and compare it with the ledger.

        Raises:
            SourceError: the source is missing, unreadable or holds no image.
            CheckpointError: which pictures were forgotten cannot be read.
        """
        self.planned_at = utc_now()
        self.tombstones = bring_together(
            self.database, self.request.collection, self.request.checkpoint, lease_seconds=self.lease.seconds
        )
        entries = keep_out(self.source, self.tombstones)
        self.plan = make_plan(entries, self.checkpoint.ledger(), retry_failed=self.request.retry_failed)
        batches = -(-self.plan.calls // self.request.batch_size)
        self.progress = Progress("embedding", self.plan.to_embed, batches)
        self.account.listed = self.plan.listed
        self.account.skipped = self.plan.skipped.total()
        self.account.reused = self.plan.reused
        self.account.duplicates = self.plan.duplicates
        self.planned = estimate(self.plan, self.embedder)
        self.account.failed = len(self.plan.known_failures)
        return self.plan

    def import_answers(self, vectors: Iterable[tuple[Image, Vector]]) -> int:
        """Enter vectors that were paid for elsewhere as answers, and plan anew; how many there were."""
        answers = (Answer(i.image_id, i.fingerprint, vector, None, 1, self.space.version) for i, vector in vectors)
        for part in _parts(answers, COPIES_PER_PART):
            self._keep(part)
        self.list_and_plan()
        return self.account.answers

    def reuse_known_answers(self) -> None:
        """Enter what needs no call: entries that cannot be read, and bytes that were answered under another name."""
        self._keep_rejected()
        self._copy_known_answers()

    def _keep_rejected(self) -> None:
        """Enter what could not be named or read into the ledger; what is known to have failed for good stays as it is."""
        ledger = self.checkpoint.ledger()
        answers = []
        for entry in self.plan.rejected:
            row = ledger.get(entry.image_id, "")
            if row is not None and row.final and entry.failure.final:
                continue
            attempts = 1 + (row.attempts if row else 0)
            answers.append(Answer(entry.image_id, "", None, entry.failure, attempts, self.space.version))
        for part in _parts(iter(answers), COPIES_PER_PART):
            self._keep(part)
        self.account.failed += len(self.plan.rejected)
        self.account.new_failures += len(answers)

    def _copy_known_answers(self) -> None:
        """Give images whose bytes were answered under another id a row of their own; no call."""
        for part in _parts(iter(self.plan.copies), COPIES_PER_PART):
            if self.stopping():
                break
            donors = self.checkpoint.vectors_of([(donor, image.fingerprint) for image, donor in part])
            self._keep(
                [
                    Answer(
                        image.image_id, image.fingerprint, donors[donor, image.fingerprint], None, 1, self.space.version
                    )
                    for image, donor in part
                ]
            )
            self.account.reused += len(part)
        copied = self.account.reused - self.plan.reused
        self.account.deferred += len(self.plan.copies) - copied

    def verify_embedder(self) -> None:
        """Ask a paid embedder for one image and one text, so that a wrong key, model or dimension costs two calls.

        Before that, see that its answers can be kept, and that the cap on the cost leaves something for a picture.

        Raises:
            EmbedderError: it cannot be used.
            CheckpointError: the checkpoint cannot be written.
        """
        if self.plan.work:
            self.checkpoint.check_writable()
        if isinstance(self.embedder, Remote) and self.plan.work:
            if self.budget is not None and self.budget.left <= self.embedder.check_units:
                self.budget.use_up()  # not even one picture would be left to pay for
                return
            self.lease.check()
            self.embedder.check()
            self.account.calls = self.embedder.calls

    def batches(self, ways: int = 1) -> Iterator[Batch]:
        """The batches to embed; ends early when a stop is asked for. What was never handed out is deferred.

        Args:
            ways: how many processes they are spread over; each gets as many of them.
        """
        self.to_load = True
        size = even_size(self.plan.calls, self.request.batch_size, ways)
        self.progress.batches = -(-self.plan.calls // size)
        for batch in batched(self.plan.work, size):
            if self.stopping():
                self.defer(batch.images)
            else:
                self._embedding_since = min(self._embedding_since, time.monotonic())
                yield batch

    def defer(self, images: int) -> None:
        """Enter so many images as not reached; thread-safe."""
        with self._counting:
            self.account.deferred += images

    def defer_the_rest(self) -> None:
        """Enter everything that would need a call as not reached."""
        self.stopping.abandon()
        for _ in self.batches():
            raise AssertionError("nothing is handed out once a run is abandoned")

    def embed(self, batch: Batch) -> BatchResult:
        """Embed one batch into the checkpoint, and enter what came of it into the account; thread-safe.

        It is counted here, and not by whoever waits for the result: one that is cancelled or suspended never gets it.
        """
        with self._counting:
            self._at_work += 1
        try:
            self.lease.check()
            result = embed_batch(
                batch,
                self.source,
                self.embedder,
                self.checkpoint,
                stopping=self.stopping,
                abandon=self.stopping.abandon,
                advance=self.progress.advance,
            )
            self.count(result)
        finally:
            with self._counting:
                self._at_work -= 1
                self._counting.notify_all()
        self.progress.batch_done()
        return result

    def count(self, result: BatchResult) -> None:
        """Enter into the account what a batch came to that another process has embedded; thread-safe."""
        with self._counting:
            self.account.embedded += result.embedded
            self.account.failed += result.failed
            self.account.new_failures += result.failed
            self.account.deferred += result.deferred
            self.account.answers += result.answers
            self.calls_elsewhere += result.elsewhere
            self.timed += result.timed
            self.embedded_in = time.monotonic() - self._embedding_since
            self._count_calls()
        if result.error is not None:
            self.stopped_by = self.stopped_by or result.error
            self.stopping.abandon()

    def wait_for_batches(self, seconds: float) -> bool:
        """Wait until no thread of this process embeds a batch; whether that came within so many seconds."""
        with self._counting:
            return self._counting.wait_for(lambda: not self._at_work, seconds)

    def defer_unreached(self) -> None:
        """Close the account of a run that is cut short: what has become nothing else was not reached."""
        account = self.account
        with self._counting:
            self._count_calls()
            account.seconds = time.monotonic() - self._started
            account.deferred = 0
            account.deferred = max(0, account.listed - account.accounted_for)

    def enter_end(self, state: str, message: str | None = None) -> None:
        """Enter into the database how the run ended, with the account as it is; what was entered before is replaced.

        Raises:
            DatabaseError: the database does not answer.
        """
        assert self.run_id is not None
        with self.database.connection() as (conn, _):
            end_run(conn, self.run_id, state, self.account.as_dict() | {"cost": self.spent}, message)

    def load(self) -> None:
        """Bring the table up to the checkpoint: images with their metadata, then the vectors that it lacks."""
        self.to_load = False
        ledger = self.checkpoint.ledger()
        collection = self.request.collection
        join = Join(self.metadata, self._listed_ids(), match=self.request.match)
        self.join_report = join.report if self.metadata is not None else None
        with self.database.connection() as (conn, _):
            loader = Loader(conn, collection, self.space, self.lease, reconnect=self.database.reconnect)
            written = loader.load_images(
                lambda: map(join.rows, self._image_frames()), with_metadata=self.metadata is not None
            )
            listed = set(self._listed_ids())
            unlisted = [stored for stored in stored_images(loader.conn, collection) if stored[0] not in listed]
            # A forgetting that died after it had left its tombstones is finished here.
            forgotten = [image_id for image_id, bytes_ in unlisted if self.tombstones.cover(image_id, bytes_)]
            removed = loader.remove(forgotten) if forgotten else 0
            kept = {image_id for image_id, _ in unlisted}.difference(forgotten)
            self._vanished = [] if self.request.limit else sorted(kept)
            self.account.vanished = len(self._vanished)
            lacking = self._with_vector(ledger)
            held = 0
            for image_id, fingerprint in current_vectors(loader.conn, collection, self.space.name):
                held += 1
                if lacking.get(image_id) == fingerprint:
                    del lacking[image_id]
            if lacking:
                vectors = self.checkpoint.vectors(lambda i, f: lacking.get(i) == f)
                written += loader.load_vectors(vectors, expected=len(lacking))
            self.account.rows_written = written.rows + removed
            # A load that was killed may have left rows behind without having finished.
            entered = resolve_space(loader.conn, collection, self.space.name)
            if written.rows or removed or entered.loaded_at is None or entered.rows != held:
                loader.finish()
            loader.close()

    def prune(self) -> None:
        """Remove what is stored and was not listed, where the run was asked to.

        Nothing is removed where the listing is not whole or too much would go. `prune_refused` says so then, for the end
        of the run: what it has loaded is indexed and accounted for all the same.
        """
        if not self.request.prune:
            return
        self.prune_refused = self._why_not_to_prune()
        if self.prune_refused is not None:
            return
        with self.database.connection() as (conn, _):
            loader = Loader(conn, self.request.collection, self.space, self.lease)
            self.account.pruned = loader.remove(self._vanished)
            if self.account.pruned:
                loader.finish()
        self.account.rows_written += self.account.pruned

    def build_index(self) -> None:
        """Build, keep or drop the index of the space, see whether searches use the space, and compact the checkpoint."""
        with self.database.connection() as (conn, pgvector):
            warn_of_old_pgvector(pgvector)
            self.index_kind = ensure_index(
                conn, self.request.collection, self.space, self.request.index, self.lease, pgvector
            )
            self.active = resolve_space(conn, self.request.collection).name == self.space.name
        self._compact()

    def _compact(self) -> None:
        """Merge small parts of the checkpoint where there are many."""
        if self.checkpoint.needs_compaction():
            self.lease.check()
            self.checkpoint.compact()

    def close_account(self) -> Account:
        """Balance the account against the listing, the checkpoint and the table.

        Raises:
            AccountError: it does not balance.
        """
        account = self.account
        account.seconds = time.monotonic() - self._started
        account.check_sum()
        ledger = self.checkpoint.ledger()
        with_vector = self._with_vector(ledger)
        failed = sum(self._has_failed(ledger, image.image_id, image.fingerprint) for image in self.plan.images)
        failed += sum(self._has_failed(ledger, entry.image_id, "") for entry in self.plan.rejected)
        # A deferred retry is still a failure in the ledger, and not yet one of this run.
        account.check_against("the checkpoint", ok=len(with_vector), failed=None if account.deferred else failed)
        with self.database.connection() as (conn, _):
            stored = sum(
                with_vector.get(image_id) == fingerprint
                for image_id, fingerprint in current_vectors(conn, self.request.collection, self.space.name)
            )
        account.check_against("the table", ok=stored)
        return account

    def failures(self, most: int) -> list[dict[str, Any]]:
        """The first failed pictures of the listing, with their reasons, as plain documents."""
        ledger = self.checkpoint.ledger()
        entries = chain(
            ((image.image_id, image.fingerprint) for image in self.plan.images),
            ((entry.image_id, "") for entry in self.plan.rejected),
        )
        rows = (ledger.get(*entry) for entry in entries)
        return [row.as_failure() for row in islice((row for row in rows if row is not None and not row.ok), most)]

    # -- what they are made of -----------------------------------------------------------------------------------------

    @property
    def spent(self) -> float:
        """US dollars so far, in all processes of the run: pictures and texts each at their price."""
        return round((Calls.of(self.embedder) + self.calls_elsewhere).cost(self.embedder.facts.price), 6)

    def _count_calls(self) -> None:
        self.account.calls = self.embedder.calls + self.calls_elsewhere.calls

    def _keep(self, answers: list[Answer]) -> None:
        self.lease.check()
        self.checkpoint.write(answers)
        self.account.answers += len(answers)

    def _listed_ids(self) -> list[str]:
        return [image.image_id for image in self.plan.images] + [entry.image_id for entry in self.plan.rejected]

    def _image_frames(self) -> Iterator[pd.DataFrame]:
        images = ((image.image_id, image.uri, image.fingerprint) for image in self.plan.images)
        rejected = ((entry.image_id, entry.uri, "") for entry in self.plan.rejected)
        for part in _parts(chain(images, rejected), ROWS_PER_PART):
            yield pd.DataFrame(part, columns=["image_id", "uri", "fingerprint"])

    def _with_vector(self, ledger: Ledger) -> dict[str, str]:
        """image_id → fingerprint of the listed images that the checkpoint has a vector for."""
        return {
            image.image_id: image.fingerprint
            for image in self.plan.images
            if (row := ledger.get(image.image_id, image.fingerprint)) is not None and row.status == "ok"
        }

    @staticmethod
    def _has_failed(ledger: Ledger, image_id: str, fingerprint: str) -> bool:
        row = ledger.get(image_id, fingerprint)
        return row is not None and row.status != "ok"

    def _why_not_to_prune(self) -> str | None:
        if self.request.limit:
            return "--prune needs the whole listing; leave out --limit."
        if self.source.problems:
            return (
                f"nothing was pruned: the listing is not complete ({self.source.problems[0]}), so a picture that is not"
                " listed may still be there."
            )
        gone, share = len(self._vanished), self.request.prune_share
        total = len(self.plan.images) + len(self.plan.rejected) + gone
        if gone > share * total:
            return (
                f"nothing was pruned: {gone} of {total} pictures are not listed any more, and --prune removes at most"
                f" {share:.0%}; if that is right, raise --prune-share."
            )
        return None


def _parts(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while part := list(islice(items, size)):
        yield part
