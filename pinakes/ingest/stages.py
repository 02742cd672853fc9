"""A whole run of `ingest`: its stages in their order, which stands here and nowhere else.

list → plan → embed in batches (→ checkpoint) → merge metadata → upsert → index → report

`ingest` runs them in this process. The flow runs the same ones as Prefect tasks, and an import replaces those that call
the embedder.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from pinakes.errors import PruneRefusedError, StoppedError, TooManyFailuresError, UnfinishedError
from pinakes.ingest.batch import Batch, BatchResult
from pinakes.ingest.opening import dry_run, open_ingestion
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.run import Ingestion
from pinakes.ingest.stopping import orderly
from pinakes.ingest.summary import summarise, why_deferred
from pinakes.ingest.window import in_window
from pinakes.settings import Settings

Stage = Callable[[Ingestion], Any]


def embed_here(run: Ingestion) -> None:
    """Embed batch by batch on threads of this process, as many at once as the embedder gains from."""
    width = run.embedder.facts.workers

    with orderly(), ThreadPoolExecutor(width, thread_name_prefix="embed") as threads, run.progress:

        def begin(batch: Batch) -> Future[BatchResult]:
            return threads.submit(copy_context().run, run.embed, batch)  # log records carry the run's id

        try:
            for _, future in in_window(begin, run.batches(), width):
                future.result()
        except BaseException:
            run.stopping.abandon()
            raise


@dataclass(frozen=True, slots=True)
class Stages:
    """How each stage of a run is carried out."""

    list_and_plan: Stage = Ingestion.list_and_plan
    reuse_known_answers: Stage = Ingestion.reuse_known_answers
    verify_embedder: Stage = Ingestion.verify_embedder
    embed: Stage = embed_here
    load: Stage = Ingestion.load
    prune: Stage = Ingestion.prune
    build_index: Stage = Ingestion.build_index
    close_account: Stage = Ingestion.close_account


def run_stages(run: Ingestion, stages: Stages) -> dict[str, Any]:
    """Carry the stages out; what was done, as a plain document.

    Raises:
        AccountError: the account does not balance with the listing, the checkpoint or the table.
        PinakesError: a stage failed.
    """
    stages.list_and_plan(run)
    stages.reuse_known_answers(run)
    stages.verify_embedder(run)
    stages.embed(run)
    stages.load(run)
    stages.prune(run)
    stages.build_index(run)
    stages.close_account(run)
    return summarise(run)


def check_pruned(run: Ingestion, summary: dict[str, Any]) -> None:
    """See, inside the run, that what it was asked to prune was pruned.

    Raises:
        PruneRefusedError: it was not; the run counts as failed, with everything else loaded and reported.
    """
    if run.prune_refused is not None:
        raise PruneRefusedError(run.prune_refused, summary)


def shortfall(run: Ingestion, summary: dict[str, Any]) -> UnfinishedError | None:
    """Why a run that has ended in order did not do all that it was asked to; None if it did."""
    if run.stopped_by is not None:
        return UnfinishedError(f"{run.stopped_by} What was answered before is stored; the rest is deferred.", summary)
    if run.account.deferred:
        return StoppedError(why_deferred(run), summary)
    if run.request.allowed_failures.exceeded_by(run.account):
        return TooManyFailuresError(
            f"{run.account.new_failures:,} of the pictures failed and --allow-failures is {run.request.allow_failures};"
            " everything else was stored. See pinakes status for the reasons.",
            summary,
        )
    return None


def ingest(request: IngestRequest, settings: Settings) -> dict[str, Any]:
    """Run a whole ingest in this process, without Prefect; what was done, as a plain document.

    Raises:
        UnfinishedError: it did not do all that it was asked to; the error holds the document.
        PinakesError: it failed.
    """
    if request.dry_run:
        return dry_run(request, settings)
    with open_ingestion(request, settings) as run:
        summary = run_stages(run, Stages())
        check_pruned(run, summary)
    missing = shortfall(run, summary)
    if missing is not None:
        raise missing
    return summary
