"""The checks of `pinakes doctor` on a Prefect server: what `server_setup` makes, and what the server runs on.

They make and change nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import prefect
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from deployments.constants import EMBED_TAG, LEASE_STORAGE, POOL
from deployments.schedule_health import schedules_finding
from deployments.server_client import keeps_leases_in_memory, server_settings
from deployments.server_setup import AUTOMATION
from pinakes.errors import first_line
from pinakes.operations.checks import Check, Finding, State, clock_finding, findings
from pinakes.settings import is_loopback

DEPLOYMENTS: Final = ("ingest/ingest", "ingest/reindex", "search/search", "evaluate/evaluate", "embed/shard")
"""What prefect.yaml deploys, as Prefect names it."""

_SET_UP = "run pinakes setup"


@dataclass
class Server:
    """The server that is checked.

    Attributes:
        client: of the server.
        url: of its API.
        pool: the work pool that the deployments use.
        answers: whether the first check has found that it answers.
    """

    client: SyncPrefectClient
    url: str
    pool: str
    answers: bool = False

    @cached_property
    def settings(self) -> dict[str, Any] | None:
        """Its own settings; None if it keeps them to itself."""
        return server_settings(self.client)


def examine(pool: str = POOL) -> Iterator[Finding]:
    """Go through `CHECKS` with the server of PREFECT_API_URL.

    Args:
        pool: the work pool that the deployments use.
    """
    url = PREFECT_API_URL.value()
    if not url:
        yield Finding(
            State.OK, "no server is set (PREFECT_API_URL): a command that needs one starts its own", what="Prefect"
        )
        return
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        yield from findings(
            CHECKS,
            Server(client, url, pool),
            errors=(httpx.HTTPError, ValueError),
            told=lambda exc: f"the request to {url} failed: {exc}",
        )


def _version(at: Server) -> Finding:
    unreachable = at.client.api_healthcheck()
    if unreachable is not None:
        start = "start it (pinakes up, or prefect server start), or correct PREFECT_API_URL"
        return Finding(State.ERROR, f"no server answers at {at.url}: {first_line(unreachable)}", start)
    at.answers = True
    theirs, ours = at.client.api_version(), prefect.__version__
    shown = f"{theirs} at {at.url}"
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        return Finding(State.OK, shown)
    return Finding(State.WARN, f"{shown}, and {ours} here", f"run that server with prefect {ours}, as here")


def _clock(at: Server) -> Iterator[Finding]:
    before = time.monotonic()
    sent = datetime.now(UTC)
    date = at.client.request("GET", "/health").headers.get("date")
    way = timedelta(seconds=(time.monotonic() - before) / 2)
    if date is None:
        return  # a proxy may remove the header
    # The header counts whole seconds, and servers write it once a second: the clock may be up to two seconds later.
    second = timedelta(seconds=1)
    yield clock_finding(parsedate_to_datetime(date) + second - (sent + way), way + second)


def _database(at: Server) -> Finding:
    if at.settings is None:
        return Finding(State.OK, "whoever runs this server looks after it; it does not say which it is")
    kind = _kind(at.settings["database"], at.url)
    if kind is None:
        return Finding(
            State.WARN,
            "the server's API hides which it is",
            "set PREFECT_SERVER_DATABASE_DRIVER=postgresql+asyncpg along with its address on the server to show it",
        )
    if kind.startswith("postgresql"):
        return Finding(State.OK, "PostgreSQL")
    return Finding(
        State.WARN,
        "SQLite: one writer at a time, for one machine and few runs at once",
        "set PREFECT_SERVER_DATABASE_CONNECTION_URL on the server to a PostgreSQL; see docs/deploy.md",
    )


def _kind(database: dict[str, Any], url: str) -> str | None:
    """The driver of the server's database: the one it names, or on this machine that of the settings here; or None."""
    if database["driver"]:
        return str(database["driver"])
    if database["host"]:
        return "postgresql"
    if not is_loopback(urlsplit(url).hostname or ""):
        return None
    address = get_current_settings().server.database.connection_url
    return None if address is None else address.get_secret_value().split(":")[0]  # the rest may hold a password


def _leases(at: Server) -> Iterator[Finding]:
    if at.settings is None:
        return
    if not keeps_leases_in_memory(at.settings):
        yield Finding(State.OK, "outlive a restart of the server")
        return
    yield Finding(
        State.WARN,
        "in the server's memory: a restart while batches run leaves their slots taken",
        f"start the server with PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE={LEASE_STORAGE}",
    )


def _pool(at: Server) -> Finding:
    try:
        found = at.client.read_work_pool(at.pool)
    except ObjectNotFound:
        return Finding(State.ERROR, "there is none", _SET_UP, at.pool)
    if found.is_paused:
        return Finding(State.WARN, "paused: no run begins", f"prefect work-pool resume {at.pool}", at.pool)
    workers = at.client.request(
        "POST", "/work_pools/{work_pool_name}/workers/filter", path_params={"work_pool_name": at.pool}, json={}
    ).json()
    online = [worker["name"] for worker in workers if worker["status"] == "ONLINE"]
    if online:
        shown = f"type {found.type}, {len(online)} workers online: {', '.join(online)}"
        return Finding(State.OK, shown, what=at.pool)
    seen = f"the last of {len(workers)} has gone" if workers else "there has never been one"
    start = f"prefect worker start --pool {at.pool}"
    return Finding(State.ERROR, f"no worker is online ({seen})", start, at.pool)


def _deployments(at: Server) -> Finding:
    missing, paused = [], []
    for name in DEPLOYMENTS:
        try:
            if at.client.read_deployment_by_name(name).paused:
                paused.append(name)
        except ObjectNotFound:
            missing.append(name)
    if missing:
        deploy = "in a checkout of the project: prefect --no-prompt deploy --all"
        return Finding(State.ERROR, f"missing: {', '.join(missing)}", deploy)
    if paused:
        resume = "resume them on their pages in the UI"
        return Finding(State.WARN, f"their schedules are paused: {', '.join(paused)}", resume)
    return Finding(State.OK, ", ".join(DEPLOYMENTS))


def _automation(at: Server) -> Finding:
    found = at.client.read_automations_by_name(AUTOMATION)
    if not found:
        return Finding(State.ERROR, "no automation marks them Crashed: they stay Running forever", _SET_UP)
    if not found[0].enabled:
        resume = f'prefect automation resume "{AUTOMATION}"'
        return Finding(State.WARN, "the automation that marks them Crashed is paused", resume)
    return Finding(State.OK, "an automation marks them Crashed")


def _limit(at: Server) -> Finding:
    name = f"tag:{EMBED_TAG}"
    try:
        limit = at.client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        return Finding(State.ERROR, f"there is none on the tag {EMBED_TAG}", _SET_UP)
    if not limit.active:
        return Finding(State.WARN, "switched off", f"prefect gcl update {name} --enable")
    slots = f"{limit.active_slots} of {limit.limit} slots"
    running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])))
    # Leases that a server has lost in a restart never run out, and every batch would wait for their slots.
    if limit.active_slots and not at.client.read_flow_runs(flow_run_filter=running, limit=1):
        free = f"if that stays so: prefect gcl update {name} --active-slots 0"
        return Finding(State.WARN, f"{slots} are taken, but nothing is running", free)
    return Finding(State.OK, f"{slots} taken")


def _answers(at: Server) -> bool:
    """When the other checks are made: without a server each would wait for its own timeout to say the same."""
    return at.answers


_LOG: Final = "see the server's log"

CHECKS: Final[tuple[Check[Server], ...]] = (
    Check("Prefect", _version, _LOG),
    Check("clock of Prefect", _clock, _LOG, _answers),
    Check("Prefect's database", _database, _LOG, _answers),
    Check("leases of limits", _leases, _LOG, _answers),
    Check("work pool", _pool, _LOG, _answers),
    Check("deployments", _deployments, _LOG, _answers),
    Check("schedules", lambda at: schedules_finding(at.client, at.pool), _LOG, _answers),
    Check("dead runs", _automation, _LOG, _answers),
    Check("limit of batches", _limit, _LOG, _answers),
)
"""Every check, in the order in which they are made."""
