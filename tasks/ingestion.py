"""The stages of `ingest` as Prefect tasks. Each calls one method of `pinakes.ingest.run.Ingestion` and returns counts.

Vectors and listings never pass through Prefect: tasks work on one `Ingestion` and say how much they did. Nothing is
retried here that is retried below; a batch that is run twice finds its answers in the checkpoint.
"""

from __future__ import annotations

from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from pinakes.ingest.account import Account
from pinakes.ingest.batch import Batch, BatchResult
from pinakes.ingest.distributed.assignment import Ticket
from pinakes.ingest.distributed.worker import Outpost, outpost_here
from pinakes.ingest.opening import dry_run
from pinakes.ingest.plan import Plan
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.run import Ingestion
from pinakes.settings import Settings
from tasks.artifacts import show_plan

# Results are counts that only this run needs; hashing the inputs of a task would walk through whole listings.
_PLAIN: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


@task(name="list and plan", task_run_name="list and plan", tags=["pinakes"], **_PLAIN)
def list_and_plan(run: Ingestion) -> Plan:
    """List the source, compare it with what the checkpoint holds, and show the plan."""
    plan = run.list_and_plan()
    get_run_logger().info("plan: %s", ", ".join(f"{n:,} {what}" for what, n in plan.counts().items() if n))
    show_plan(plan.counts(), run.planned.as_dict())
    return plan


@task(name="plan only", task_run_name="plan only", tags=["pinakes"], **_PLAIN)
def plan_only(request: IngestRequest, settings: Settings) -> dict[str, Any]:
    """Say what a run would do and what it would cost."""
    document = dry_run(request, settings)
    show_plan(document["plan"], document["planned"])
    return document


@task(name="verify the embedder", task_run_name="verify the embedder", tags=["pinakes"], **_PLAIN)
def verify_embedder(run: Ingestion) -> None:
    """Before a paid embedder's first batch: credentials, dimension and model version, by one image and one text."""
    run.verify_embedder()


@task(name="reuse known answers", task_run_name="reuse known answers", tags=["pinakes"], **_PLAIN)
def reuse_known_answers(run: Ingestion) -> None:
    """Enter what needs no call: entries that cannot be read, and bytes that were answered under another name."""
    run.reuse_known_answers()


@task(name="embed", task_run_name="embed {batch.number}/{batch.total}", tags=["pinakes", "pinakes-embed"], **_PLAIN)
def embed(place: Ingestion | Outpost, batch: Batch) -> BatchResult:
    """Embed one batch; every answer is in the checkpoint when the task ends."""
    return place.embed(batch)


@task(name="embed", task_run_name="embed {batch.number}/{batch.total}", tags=["pinakes", "pinakes-embed"], **_PLAIN)
def embed_elsewhere(ticket: Ticket, batch: Batch) -> BatchResult:
    """The same in a process of a cluster, which opens what it needs at its first batch."""
    return outpost_here(ticket).embed(batch)


@task(name="load", task_run_name="merge metadata and load", tags=["pinakes"], **_PLAIN)
def load(run: Ingestion) -> None:
    """Join the metadata and bring the table up to the checkpoint."""
    run.load()


@task(name="prune", task_run_name="prune", tags=["pinakes"], **_PLAIN)
def prune(run: Ingestion) -> None:
    """Remove what was not listed any more, if asked to; a refusal ends the run at its end."""
    run.prune()
    if run.prune_refused is not None:
        get_run_logger().warning("%s", run.prune_refused)


@task(name="index", task_run_name="index", tags=["pinakes"], **_PLAIN)
def build_index(run: Ingestion) -> None:
    """Build the vector index where one is wanted, and compact the checkpoint."""
    run.build_index()


@task(name="balance the account", task_run_name="balance the account", tags=["pinakes"], **_PLAIN)
def close_account(run: Ingestion) -> Account:
    """Check the account against the checkpoint and the table."""
    return run.close_account()
