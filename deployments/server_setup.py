"""Sets up a running Prefect server: work pool, limit on batches, variables, automation for dead runs, deployments.

It reads everything first and writes only what differs, so it may be run at any time and any number of times. What a
person has switched off or set to another value stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    DeploymentUpdate,
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
    VariableCreate,
    WorkPoolCreate,
)
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from deployments.constants import CONCURRENT_BATCHES, EMBED_TAG, HEARTBEAT_SECONDS, POOL, RUN_TAG, VARIABLES
from deployments.server_client import answering_server, keeps_leases_in_memory, server_settings
from pinakes.errors import UsageError

SILENCE: Final = timedelta(seconds=3 * HEARTBEAT_SECONDS)
"""A run is dead after three missing heartbeats: one may be lost while the server is restarted."""

AUTOMATION: Final = "pinakes: runs that stop sending heartbeats are Crashed"

_HEARTBEAT = "prefect.flow-run.heartbeat"

# Each of these states is the end of heartbeats too, and no sign of a dead process.
_NO_LONGER_RUNNING = (
    "Completed",
    "Cached",
    "Failed",
    "TimedOut",
    "Crashed",
    "Cancelled",
    "Paused",
    "Suspended",
    "AwaitingRetry",
)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the server needs.

    Attributes:
        what: the thing and its name.
        done: "made", "changed" or "unchanged".
        remark: a detail, such as the number that is set; may be empty.
    """

    what: str
    done: str
    remark: str = ""

    @property
    def wrote(self) -> bool:
        """Whether anything was written."""
        return self.done != "unchanged"

    def line(self) -> str:
        """For a person."""
        return f"{self.what}: {self.done}{f' ({self.remark})' if self.remark else ''}"


def set_up(
    api_url: str | None = None,
    *,
    pool: str = POOL,
    concurrent_batches: int | None = None,
    silence: timedelta = SILENCE,
) -> list[Step]:
    """Create what is missing and change what differs.

    Args:
        api_url: of Prefect's API; None: the one that is set.
        pool: the work pool's name; one that exists keeps its type.
        concurrent_batches: embed batches that may run at once on this server, over all runs; None leaves an existing limit
            as it is, and sets a new one to `CONCURRENT_BATCHES`.
        silence: how long after a heartbeat the next one may come before the run counts as dead; at least 10 s.

    Raises:
        SettingsError: no API is set.
        UsageError: `concurrent_batches` is below 1.
        PinakesError: no Prefect server answers there, or it refuses.
    """
    if concurrent_batches is not None and concurrent_batches < 1:
        raise UsageError(f"--concurrent-batches {concurrent_batches} would stop every run; it must be at least 1.")
    with answering_server(api_url) as client:
        return [
            _work_pool(client, pool),
            _limit(client, concurrent_batches),
            _variables(client),
            _automation(client, silence),
            *_parameters(client, pool),
        ]


def leases_are_lost(api_url: str | None = None) -> bool:
    """Whether a restart of the server would lose the leases of its limits.

    False if the server does not say (Prefect Cloud).

    Raises:
        SettingsError: no API is set.
        PinakesError: no Prefect server answers there.
    """
    with answering_server(api_url) as client:
        settings = server_settings(client)
    return settings is not None and keeps_leases_in_memory(settings)


def _work_pool(client: SyncPrefectClient, name: str) -> Step:
    what = f"work pool {name}"
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        # As `prefect work-pool create` does: a pool without a template has no variables that a deployment could set.
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=name, type=ProcessWorker.type, base_job_template=template))
        return Step(what, "made", f"type {ProcessWorker.type}")
    return Step(what, "unchanged", f"type {pool.type}{', paused' if pool.is_paused else ''}")


def _limit(client: SyncPrefectClient, wanted: int | None) -> Step:
    what = f"limit on the tag {EMBED_TAG}"
    name = f"tag:{EMBED_TAG}"
    try:
        limit = client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        number = wanted or CONCURRENT_BATCHES
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=number))
        return Step(what, "made", f"{number} batches at once")
    if wanted is None or wanted == limit.limit:
        off = "" if limit.active else ", switched off"
        return Step(what, "unchanged", f"{limit.limit} batches at once{off}")
    client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(limit=wanted))
    return Step(what, "changed", f"{wanted} batches at once, {limit.limit} before")


def _variables(client: SyncPrefectClient) -> Step:
    """The variables that prefect.yaml takes its schedules from; one that exists keeps its value."""
    done, remarks = "unchanged", []
    for name, value in VARIABLES.items():
        variable = client.read_variable_by_name(name)
        if variable is None:
            client.create_variable(VariableCreate(name=name, value=value))
            done = "made"
        remarks.append(f"{name.removeprefix('pinakes_')} {value if variable is None else variable.value}")
    return Step("variables of schedules", done, ", ".join(remarks))


def _automation(client: SyncPrefectClient, silence: timedelta) -> Step:
    what = "automation for dead runs"
    wanted = _dead_runs(silence)
    remark = f"Crashed after {silence.total_seconds():.0f} s without a heartbeat"
    for found in client.read_automations_by_name(AUTOMATION):
        if not found.enabled:
            remark += ", paused"
        if _essence(found) == _essence(wanted):
            return Step(what, "unchanged", remark)
        client.update_automation(found.id, wanted.model_copy(update={"enabled": found.enabled}))
        return Step(what, "changed", remark)
    client.create_automation(wanted)
    return Step(what, "made", remark)


def _parameters(client: SyncPrefectClient, pool: str) -> list[Step]:
    """Have the server refuse parameters that a flow does not have; `prefect deploy` leaves that to the flow's process."""
    deployments = client.read_deployments(
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[RUN_TAG])),
    )
    closed = {"additionalProperties": False}
    accepting = [found for found in deployments if not closed.items() <= (found.parameter_openapi_schema or {}).items()]
    for found in accepting:
        schema = (found.parameter_openapi_schema or {}) | closed
        client.update_deployment(found.id, DeploymentUpdate(parameter_openapi_schema=schema))
    if not deployments:
        return []
    remark = f"{len(deployments)} deployments refuse unknown names"
    return [Step("parameters of deployments", "changed" if accepting else "unchanged", remark)]


def _dead_runs(silence: timedelta) -> AutomationCore:
    return AutomationCore(
        name=AUTOMATION,
        description=(
            f"A flow run tagged {RUN_TAG} sends a heartbeat every {HEARTBEAT_SECONDS} s. If they stop, its process is dead,"
            " and Prefect would show it as Running forever."
        ),
        enabled=True,
        trigger=EventTrigger(
            type="event",
            posture=Posture.Proactive,
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{RUN_TAG}"},
            # Only a run that has sent a heartbeat is watched: others may be of processes that send none.
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *(f"prefect.flow-run.{state}" for state in _NO_LONGER_RUNNING)},
            for_each={"prefect.resource.id"},
            threshold=1,
            within=silence,
        ),
        actions=[
            ChangeFlowRunState(
                type="change-flow-run-state",
                state=StateType.CRASHED,
                name="Crashed",
                force=False,
                message=(
                    f"No heartbeat for {silence.total_seconds():.0f} s: the run's process is dead. What it has paid for is"
                    " kept; run it again to resume."
                ),
            )
        ],
    )


def _essence(automation: AutomationCore) -> dict[str, Any]:
    """What two equal automations have in common, apart from the server's ids and whether a person paused them."""
    return automation.model_dump(include={"description", "trigger", "actions"})
