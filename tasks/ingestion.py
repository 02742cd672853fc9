"""The stages of `ingest` as Prefect tasks. Each calls the function of the library that carries the stage out.

Vectors and listings stay in this process: Prefect keeps no result of these tasks. Nothing is retried here that is retried
below; a batch that is run twice finds its answers in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect import get_run_logger, task

from pinakes.ingest import answers, listing, loading
from pinakes.ingest.account import Account
from pinakes.ingest.answers import Embedded, EmbedStage
from pinakes.ingest.batch import Batch, BatchResult
from pinakes.ingest.distributed.assignment import Assignment
from pinakes.ingest.distributed.worker import Worker, worker_here
from pinakes.ingest.listing import Planned
from pinakes.ingest.loading import Indexed, Loaded, Pruned
from pinakes.ingest.opening import dry_run
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.run import Ingestion
from pinakes.settings import Settings
from tasks import lineage
from tasks.artifacts import show_plan
from tasks.blocks import run_settings
from tasks.slots import embedding_slot
from tasks.stage import NOT_KEPT, Made, stage


@stage("list and plan")
def list_and_plan(run: Ingestion) -> Planned:
    """List the source, compare it with what the checkpoint holds, and show the plan."""
    planned = listing.list_and_plan(run)
    counts = planned.plan.counts()
    get_run_logger().info("plan: %s", ", ".join(f"{n:,} {what}" for what, n in counts.items() if n))
    show_plan(counts, planned.estimate.as_dict())
    return planned


@stage("plan only")
def plan_only(request: IngestRequest, settings: Settings) -> dict[str, Any]:
    """Say what a run would do and what it would cost."""
    document = dry_run(request, settings)
    show_plan(document["plan"], document["planned"])
    return document


@stage("verify the embedder", when=lambda _run, planned: planned.plan.calls > 0)
def verify_embedder(run: Ingestion, planned: Planned) -> None:
    """Before a paid embedder's first batch: credentials, dimension and model version, by one image and one text."""
    answers.verify_embedder(run, planned)


@stage("reuse known answers", when=lambda _run, planned: planned.plan.answered_without_call)
def reuse_known_answers(run: Ingestion, planned: Planned) -> None:
    """Enter what needs no call: entries that cannot be read, and bytes that were answered under another name."""
    answers.reuse_known_answers(run, planned)


# No `stage`, whose task is called by the flow itself: these are submitted to a task runner, many at a time.
@task(name="embed", task_run_name="embed {batch.number}/{batch.total}", **NOT_KEPT)
def embed(place: EmbedStage | Worker, batch: Batch) -> BatchResult:
    """Embed one batch; every answer is in the checkpoint when the task ends."""
    with embedding_slot(place.stopping):
        return place.embed(batch)


@task(name="embed", task_run_name="embed {batch.number}/{batch.total}", **NOT_KEPT)
def embed_elsewhere(assignment: Assignment, batch: Batch) -> BatchResult:
    """The same in a process of a cluster, which opens what it needs at its first batch."""
    run_settings()  # puts the values of blocks where `worker_here` reads its settings
    worker = worker_here(assignment)
    with embedding_slot(worker.stopping):
        return worker.embed(batch)


def _counts(run: Ingestion, *names: str) -> dict[str, Any]:
    account = run.tally.account().as_dict()
    return {"collection": run.request.collection, "space": run.space.name, **{name: account[name] for name in names}}


def _checkpoint(run: Ingestion) -> Made:
    names = ("listed", "embedded", "reused", "failed", "skipped", "deferred", "calls", "answers")
    return Made(lineage.checkpoint(run), lineage.source(run), lambda: _counts(run, *names))


def _space(run: Ingestion) -> Made:
    return Made(lineage.space(run), lineage.checkpoint(run), lambda: _counts(run, "rows_written", "vanished"))


@stage("checkpoint", makes=_checkpoint)
def close_checkpoint(run: Ingestion, embedded: Embedded) -> Embedded:
    """Note what the checkpoint has of the source now."""
    account = run.tally.account()
    get_run_logger().info(
        "embedding has ended: %d embedded, %d failed, %d deferred; %s has every answer",
        *(account.embedded, account.failed, account.deferred, run.checkpoint.location),
    )
    return embedded


@stage("load", run_name="merge metadata and load", makes=_space)
def load(run: Ingestion, planned: Planned, begins: Callable[[], object]) -> Loaded:
    """Join the metadata and bring the table up to the checkpoint; `begins` is called once Prefect lets the task run."""
    begins()
    return loading.load(run, planned)


@stage("prune", when=lambda run, *_: run.request.prune)
def prune(run: Ingestion, planned: Planned, loaded: Loaded) -> Pruned:
    """Remove what was not listed any more, with `--prune`; a refusal fails the run, but only at its end."""
    pruned = loading.prune(run, planned, loaded)
    if pruned.refused is not None:
        get_run_logger().warning("%s", pruned.refused)
    return pruned


@stage("index")
def build_index(run: Ingestion) -> Indexed:
    """Build the vector index where the run asks for one, and compact the checkpoint."""
    return loading.build_index(run)


@stage("balance the account")
def close_account(run: Ingestion, planned: Planned) -> Account:
    """Check the account against the checkpoint and the table."""
    return loading.close_account(run, planned)
