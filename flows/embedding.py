"""The stage of `ingest` that embeds: by threads of this process, on a cluster, or as shards on the work pool's workers."""

from __future__ import annotations

import time
from typing import Any

from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from flows.ending import PREFECT_SIGNALS, batches_in_flight
from flows.naming import shard_run_name
from pinakes.errors import PinakesError, one_line
from pinakes.ingest.answers import Embedded, EmbedStage
from pinakes.ingest.distributed.leader import Leader
from pinakes.ingest.listing import Planned
from pinakes.ingest.request_checks import THREADS
from pinakes.ingest.run import Ingestion
from pinakes.ingest.stopping import orderly
from pinakes.ingest.window import in_window
from tasks import ingestion as stages
from tasks.artifacts import shown_progress
from tasks.runners import is_lost, slots, started
from tasks.watching import NO_ANSWER, is_away

LOOK_SECONDS = 1.0
"""How often the leader checks its shards."""

SERVER_PATIENCE = 300.0
"""Seconds for which Prefect's server may be away before the leader gives up on its shards."""

UNBEGUN_SECONDS = 30.0
"""Seconds after which the log says that no worker has taken a shard."""


def embed_all(run: Ingestion, planned: Planned) -> Embedded:
    """Embed batch by batch, as many in parallel as speed up the embedder."""
    with orderly():
        if planned.plan.calls and run.request.shards > 1:
            return _on_shards(run, planned)
        if planned.plan.calls and run.request.runner != THREADS:
            return _on_a_cluster(run, planned)
        return _here(run, planned)


def _here(run: Ingestion, planned: Planned) -> Embedded:
    stage = EmbedStage(run, planned)
    width = run.embedder.facts.workers
    with (
        shown_progress(stage.progress) as show,
        started(THREADS, width) as runner,
        stage.progress,
        # The innermost: leaving the runner waits for its threads, which must know by then that the run is stopping.
        batches_in_flight(stage),
    ):
        for _, future in in_window(
            lambda batch: runner.submit(stages.embed, {"place": stage, "batch": batch}), stage.batches(), width
        ):
            future.result()
            show()
    return stage.ended()


def _on_a_cluster(run: Ingestion, planned: Planned) -> Embedded:
    width = run.embedder.facts.workers
    with started(run.request.runner, width) as runner:
        ways = slots(runner, width)
        stage = EmbedStage(run, planned, ways)
        with shown_progress(stage.progress) as show, Leader(stage, ways) as leader, stage.progress:
            assignment = leader.assignment
            # A second batch for each slot waits in the cluster, so that none is idle while the next is on its way.
            for batch, future in in_window(
                lambda batch: runner.submit(stages.embed_elsewhere, {"assignment": assignment, "batch": batch}),
                leader.batches(),
                2 * ways,
            ):
                try:
                    result = future.result()
                except Exception as exc:
                    if not is_lost(exc):
                        run.stopping.abandon()
                        raise
                    # Not handed out again: what its process has answered is known once the run is reconciled.
                    leader.lost([batch.number], f"the worker of batch {batch.number} is gone ({one_line(exc)}).")
                else:
                    leader.count(batch.number, result)
                show()
            leader.reconcile()
    return stage.ended()


def _on_shards(run: Ingestion, planned: Planned) -> Embedded:
    stage = EmbedStage(run, planned, run.request.shards)
    with (
        shown_progress(stage.progress) as show,
        Leader(stage, run.request.shards) as leader,
        get_client(sync_client=True) as client,
        stage.progress,
    ):
        shards = {number: _begin_shard(run, leader, number) for number in leader.share_out()}
        watch = _Watch(client, run, leader, shards)
        try:
            while watch.open:
                time.sleep(LOOK_SECONDS)
                watch.look()
                leader.collect()  # after the look: a shard that has ended entered its last batch before
                show()
        except PREFECT_SIGNALS:
            run.stopping.abandon()
            watch.look()  # cancels the shards that no worker has begun
            raise
        leader.reconcile()
    return stage.ended()


def _begin_shard(run: Ingestion, leader: Leader, number: int) -> FlowRun:
    deployment = run.request.shard_deployment
    given_up = time.monotonic() + SERVER_PATIENCE
    while True:
        try:
            return _run_of_shard(run, leader, number, deployment)
        except ObjectNotFound as exc:
            raise PinakesError(
                f"--shards needs the deployment {deployment}, which Prefect's server does not have: run prefect deploy"
                " --all in a checkout of the project (pinakes up does it), or name another with --shard-deployment."
            ) from exc
        except NO_ANSWER as exc:
            if not is_away(exc) or time.monotonic() > given_up:
                raise PinakesError(
                    f"Prefect's server did not let shard {number} begin: {one_line(exc)}. What is answered is kept; run the"
                    " same command again to resume."
                ) from exc
        time.sleep(LOOK_SECONDS)


def _run_of_shard(run: Ingestion, leader: Leader, number: int, deployment: str) -> FlowRun:
    begun = run_deployment(
        deployment,
        parameters={"assignment": leader.assignment.model_dump(mode="json"), "shard": number},
        flow_run_name=shard_run_name(run.request.collection, number, run.request.shards),
        timeout=0,
        as_subflow=True,
        idempotency_key=f"{run.run_id}/{number}",  # repeated after a lost answer, the request makes no second run
    )
    assert isinstance(begun, FlowRun)
    return begun


class _Watch:
    """Watches the flow runs of the shards until each of them has ended."""

    def __init__(self, client: SyncPrefectClient, run: Ingestion, leader: Leader, shards: dict[int, FlowRun]) -> None:
        self.open = shards
        self._client = client
        self._run = run
        self._leader = leader
        self._logger = get_run_logger()
        self._total = len(shards)
        self._begun_at = self._answered_at = time.monotonic()
        self._warned = False

    def look(self) -> None:
        """Find out which shards have ended, and how; cancel those that are not begun once the run is stopping.

        Raises:
            PinakesError: Prefect's server has been away for too long.
        """
        try:
            for number, shard in list(self.open.items()):
                state = self._client.read_flow_run(shard.id).state
                # No process has this shard that could be told to stop: it would stay Scheduled until a worker takes it.
                if state is not None and state.is_scheduled() and self._run.stopping():
                    state = self._client.set_flow_run_state(shard.id, Cancelled(message="the run is stopping")).state
                if state is not None and state.is_final():
                    del self.open[number]
                    self._ended(number, state)
                elif state is None or state.type in (StateType.SCHEDULED, StateType.PENDING):
                    self._warn_once(number)
        except (*NO_ANSWER, ObjectNotFound) as exc:
            if time.monotonic() - self._answered_at > SERVER_PATIENCE:
                raise PinakesError(
                    f"Prefect's server has not said for {SERVER_PATIENCE:.0f} s how the shards are doing: {one_line(exc)}."
                    " What they have answered is kept; run the same command again to resume."
                ) from exc
            self._logger.warning(
                "Prefect's server does not say how the shards are doing (asking again): %s", one_line(exc)
            )
        else:
            self._answered_at = time.monotonic()

    def _ended(self, number: int, state: State[Any]) -> None:
        if state.is_completed() or (state.is_cancelled() and self._run.stopping()):
            return
        message = f": {state.message.strip()}" if state.message else ""
        reason = f"shard {number} of {self._total} ended {state.name}{message}".rstrip(".") + "."
        self._logger.warning("%s", reason)
        self._leader.lost_shard(number, reason)

    def _warn_once(self, number: int) -> None:
        if not self._warned and time.monotonic() - self._begun_at > UNBEGUN_SECONDS:
            self._warned = True
            self._logger.warning(
                "no worker has taken shard %d for %.0f s: start one with prefect worker start --pool (the work pool)",
                number,
                UNBEGUN_SECONDS,
            )
