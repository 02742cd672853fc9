"""The flow `embed`: one shard of a run of `ingest`, on whichever machine its worker is."""

# No `from __future__ import annotations`: Prefect would look up the names of types where the decorator below is defined.
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled

from pinakes.errors import EmbedderError, LeaseLostError
from pinakes.ingest.batch import BatchResult
from pinakes.ingest.distributed.assignment import Assignment
from pinakes.ingest.distributed.worker import open_worker
from pinakes.ingest.request_checks import THREADS
from pinakes.ingest.window import in_window
from tasks import ingestion as stages
from tasks.blocks import run_settings
from tasks.conclusion import concluded
from tasks.runners import started
from tasks.watching import watched


@flow(name="embed", persist_result=False, validate_parameters=True)
@concluded
def embed(assignment: Assignment, shard: int) -> dict[str, Any] | State[Any]:
    """Embed one part of a run's plan; `pinakes ingest --shards` starts it, and nobody else needs to.

    Run again, it continues with what has no answer yet.

    Args:
        assignment: says for which run; keys and the database's address come from this worker's own settings.
        shard: whose part of the plan, from 1.

    Returns:
        What was done, counted; the state Cancelled where the run ended before this shard did.
    """
    try:
        total = watched(lambda: _embed(assignment, shard))
    except LeaseLostError as exc:
        return Cancelled(message=str(exc))  # not Failed: the run was stopped, and nobody waits for this shard any more
    if total.error is not None:
        raise EmbedderError(total.error)
    return total.as_dict()


def _embed(assignment: Assignment, shard: int) -> BatchResult:
    total = BatchResult()
    with open_worker(assignment, run_settings()) as worker:
        width = worker.embedder.facts.workers
        with started(THREADS, width) as runner:
            try:
                for _, future in in_window(
                    lambda batch: runner.submit(stages.embed, {"place": worker, "batch": batch}),
                    worker.batches(shard),
                    width,
                ):
                    total += future.result()
                    # Its other batches would meet the same error, and may pay for it.
                    if total.error is not None:
                        worker.stopping.abandon()
            except BaseException:  # within the runner, whose end waits for the batches in flight
                worker.stopping.abandon()
                raise
    return total
