"""The flow `ingest`: list → plan → embed in batches (→ checkpoint) → merge metadata → upsert → index → report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Cancelled

from flows.embedding import embed_all
from flows.ending import ending_in_order
from flows.naming import ingest_run, say_what_was_done
from flows.parameters import declared_parameters, filled_in
from pinakes.errors import StoppedError
from pinakes.ingest.answers import Embedded
from pinakes.ingest.listing import Planned
from pinakes.ingest.loading import Loaded
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.run import Ingestion
from pinakes.ingest.stages import Stages, check_pruned, run_stages, shortfall
from pinakes.ingest.summary import summarise
from tasks import ingestion as stages
from tasks.artifacts import report
from tasks.blocks import run_settings
from tasks.conclusion import concluded
from tasks.watching import watched

AS_TASKS = Stages(
    list_and_plan=stages.list_and_plan,
    reuse_known_answers=stages.reuse_known_answers,
    verify_embedder=stages.verify_embedder,
    prune=stages.prune,
    build_index=stages.build_index,
    close_account=stages.close_account,
)
"""The stages of a run, each as a Prefect task. Those that embed and load depend on how a run is ended."""

FIRST = (
    *("source", "metadata", "collection", "embedder", "dry_run", "max_cost"),
    *("limit", "retry_failed", "allow_failures", "prune"),
)
"""What most people set; Prefect's form shows it before everything else."""


# Read from below: the signature is made first, since Prefect takes the parameters of the form from it.
@flow(name="ingest", flow_run_name=ingest_run, persist_result=False, validate_parameters=True)
@concluded
@declared_parameters(IngestRequest, FIRST)
def ingest(**options: Any) -> dict[str, Any] | State[Any]:
    """Make a picture collection searchable: list, embed, merge metadata, load into PostgreSQL.

    Run again it embeds and writes only what is new or changed.

    Returns:
        What was done: the account, the plan, where things are. The state Cancelled if somebody cancelled it in Prefect and
        there is no worker that ends it.
    """
    return watched(lambda: _ingest(options))


def _ingest(options: Mapping[str, Any]) -> dict[str, Any] | State[Any]:
    settings = run_settings()
    request = IngestRequest.with_settings(settings, filled_in(options))
    if request.dry_run:
        return stages.plan_only(request, settings)
    if request.wait:
        get_run_logger().info(
            "If another run writes %s and its space, this one waits for it, for up to %.0f s.",
            request.collection,
            request.wait,
        )
    with open_ingestion(request, settings) as run, ending_in_order(run) as watcher:

        def embed(run: Ingestion, planned: Planned) -> Embedded:
            watcher.to_load = planned  # before the first answer: an order to end may come at any of them
            embedded = embed_all(run, planned)
            watcher.raise_if_paused()
            return stages.close_checkpoint(run, embedded)

        def load(run: Ingestion, planned: Planned) -> Loaded:
            return stages.load(run, planned, watcher.load_begins)

        outcome = run_stages(run, replace(AS_TASKS, embed=embed, load=load))
        summary = summarise(run, outcome)
        report(run, outcome, summary)
        say_what_was_done(summary)
        check_pruned(outcome, summary)
    missing = shortfall(run, outcome, summary)
    if isinstance(missing, StoppedError) and watcher.cancelled:
        return Cancelled(message=str(missing), data=missing)
    if missing is not None:
        raise missing
    return summary
