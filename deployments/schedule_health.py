"""The check of `pinakes doctor` that every schedule of a Prefect server has a run ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import DeploymentSchedule, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import NoSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.server.schemas.schedules import SCHEDULE_TYPES
from pydantic import TypeAdapter

from pinakes.operations.checks import Finding, State

SCHEDULED_WITHIN: Final = timedelta(minutes=2)
"""Prefect's server looks at its schedules every minute; one that was just made or changed may still have no run."""

SCHEDULED_AHEAD: Final = timedelta(days=99)
"""Prefect's server makes runs for dates up to 100 days ahead; a yearly schedule rightly has none for most of the year."""

_SCHEDULER = (
    "look in the server's log for errors of schedule_deployments (prefect before 3.9 schedules nothing with SQLAlchemy 2.1),"
    " and see that the server was not started with --no-services, or with false as PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED"
)


def schedules_finding(client: SyncPrefectClient, pool: str) -> Finding:
    """Whether every active schedule has a run ahead: the server makes these runs, and without one nothing ever begins."""
    now = datetime.now(UTC)
    ahead, new, idle = [], [], []
    for deployment in _deployments_of(client, pool):
        active = [schedule for schedule in deployment.schedules if schedule.active and _comes_up(schedule, now)]
        if deployment.paused or not active:
            continue
        name = f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
        runs = _runs_ahead(client, deployment, now)
        if runs:
            ahead.append(f"{name} {runs[0]:%Y-%m-%d %H:%M %Z}")
        elif all(now - (schedule.updated or now) < SCHEDULED_WITHIN for schedule in active):
            new.append(name)
        else:
            idle.append(name)
    if idle:
        return Finding(State.ERROR, f"active, and no run is scheduled: {', '.join(idle)}", _SCHEDULER)
    if new:
        again = f"run pinakes doctor again in {SCHEDULED_WITHIN.total_seconds() / 60:.0f} minutes"
        return Finding(State.WARN, f"made just now, and no run is scheduled yet: {', '.join(new)}", again)
    return Finding(State.OK, f"next runs: {', '.join(ahead)}" if ahead else f"none is active in the pool {pool}")


def _deployments_of(client: SyncPrefectClient, pool: str) -> Iterator[DeploymentResponse]:
    of_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    offset = 0
    # Page by page: one answer has at most 200.
    while page := client.read_deployments(work_pool_filter=of_pool, offset=offset):
        yield from page
        offset += len(page)


def _runs_ahead(client: SyncPrefectClient, deployment: DeploymentResponse, now: datetime) -> list[datetime]:
    """When the next runs begin that the server made for a schedule; runs that a person scheduled do not count."""
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            next_scheduled_start_time=FlowRunFilterNextScheduledStartTime.model_validate({"after_": now}),
        ),
        sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
    )
    return [run.next_scheduled_start_time for run in runs if run.auto_scheduled and run.next_scheduled_start_time]


def _comes_up(schedule: DeploymentSchedule, now: datetime) -> bool:
    """Whether a schedule has a date near enough for the server to have made a run for it."""
    if isinstance(schedule.schedule, NoSchedule):
        return False
    # The client's schedule has no dates; the server's class of the same fields counts them as the server does.
    dated = TypeAdapter(SCHEDULE_TYPES).validate_python(schedule.schedule.model_dump())
    return bool(asyncio.run(dated.get_dates(n=1, start=now, end=now + SCHEDULED_AHEAD)))
