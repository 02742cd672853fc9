"""Looks at a Prefect server for `pinakes doctor`: what `server_setup` makes, and what the server runs on.

Nothing is made or changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import prefect
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from deployments.constants import EMBED_TAG, LEASE_STORAGE, POOL
from deployments.schedule_health import schedules
from deployments.server_setup import AUTOMATION
from pinakes.operations.checks import Check, State, clock_check
from pinakes.settings import is_loopback

DEPLOYMENTS: Final = ("ingest/ingest", "ingest/reindex", "search/search", "evaluate/evaluate", "embed/shard")
"""What prefect.yaml deploys, as Prefect names it."""

_SET_UP = "run pinakes setup"
_DEPLOY = "in a checkout of the project: prefect --no-prompt deploy --all"
_POSTGRESQL = "set PREFECT_SERVER_DATABASE_CONNECTION_URL on the server to a PostgreSQL; see docs/deploy.md"


def examine(pool: str = POOL) -> Iterator[Check]:
    """Look at the server of PREFECT_API_URL.

    Args:
        pool: the work pool that the deployments use.
    """
    url = PREFECT_API_URL.value()
    if not url:
        yield Check("Prefect", State.OK, "no server is set (PREFECT_API_URL): a command that needs one starts its own")
        return
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        unreachable = client.api_healthcheck()
        if unreachable is not None:
            reason = (str(unreachable).splitlines() or [type(unreachable).__name__])[0]
            yield Check(
                "Prefect",
                State.ERROR,
                f"no server answers at {url}: {reason}",
                "start it (pinakes up, or prefect server start), or mend PREFECT_API_URL",
            )
            return
        for look in (_version, _clock, _database, _pool, _deployments, schedules, _automation, _limit):
            try:
                yield from look(client, url, pool)
            except (httpx.HTTPError, ValueError) as exc:
                name = look.__name__.strip("_")
                yield Check(f"Prefect's {name}", State.ERROR, f"{url} refused: {exc}", "see the server's log")


def _version(client: SyncPrefectClient, url: str, _pool: str) -> Iterator[Check]:
    theirs, ours = client.api_version(), prefect.__version__
    shown = f"{theirs} at {url}"
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        yield Check("Prefect", State.OK, shown)
    else:
        yield Check("Prefect", State.WARN, f"{shown}, and {ours} here", f"run that server with prefect {ours}, as here")


def _clock(client: SyncPrefectClient, _url: str, _pool: str) -> Iterator[Check]:
    before = time.monotonic()
    at = datetime.now(UTC)
    answered = client.request("GET", "/health").headers.get("date")
    way = timedelta(seconds=(time.monotonic() - before) / 2)
    if answered is None:
        return  # a proxy may leave it out
    # The header counts whole seconds, and servers write it once a second: the clock stands up to two seconds later.
    second = timedelta(seconds=1)
    yield clock_check("clock of Prefect", parsedate_to_datetime(answered) + second - (at + way), way + second)


def _database(client: SyncPrefectClient, url: str, _pool: str) -> Iterator[Check]:
    what = "Prefect's database"
    try:
        settings: dict[str, Any] = client.request("GET", "/admin/settings").json()["server"]
    except PrefectHTTPStatusError as exc:
        if exc.response.status_code not in (httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN):
            raise
        yield Check(what, State.OK, "whoever runs this server looks after it; it does not say")
        return
    kind = _kind(settings["database"], url)
    if kind is None:
        yield Check(
            what,
            State.WARN,
            "the server's API hides which it is",
            "set PREFECT_SERVER_DATABASE_DRIVER=postgresql+asyncpg beside its address on the server, and it is shown",
        )
    elif kind.startswith("postgresql"):
        yield Check(what, State.OK, "PostgreSQL")
    else:
        yield Check(what, State.WARN, "SQLite: one writer at a time, for one machine and few runs at once", _POSTGRESQL)
    storage = settings["concurrency"]["lease_storage"]
    if storage == LEASE_STORAGE.replace("filesystem", "memory"):
        yield Check(
            "leases of limits",
            State.WARN,
            "in the server's memory: a restart while batches run leaves their slots taken",
            f"start the server with PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE={LEASE_STORAGE}",
        )
    else:
        yield Check("leases of limits", State.OK, "outlive a restart of the server")


def _kind(database: dict[str, Any], url: str) -> str | None:
    """The driver of the server's database: what it says, or on this machine what the settings here make it; or None."""
    if database["driver"]:
        return str(database["driver"])
    if database["host"]:
        return "postgresql"
    if not is_loopback(urlsplit(url).hostname or ""):
        return None
    own = get_current_settings().server.database.connection_url
    return None if own is None else own.get_secret_value().split(":")[0]


def _pool(client: SyncPrefectClient, _url: str, pool: str) -> Iterator[Check]:
    what = f"work pool {pool}"
    try:
        found = client.read_work_pool(pool)
    except ObjectNotFound:
        yield Check(what, State.ERROR, "there is none", _SET_UP)
        return
    if found.is_paused:
        yield Check(what, State.WARN, "paused: no run begins", f"prefect work-pool resume {pool}")
        return
    workers = client.request(
        "POST", "/work_pools/{work_pool_name}/workers/filter", path_params={"work_pool_name": pool}, json={}
    ).json()
    online = [worker["name"] for worker in workers if worker["status"] == "ONLINE"]
    if online:
        yield Check(what, State.OK, f"type {found.type}, {len(online)} workers online: {', '.join(online)}")
    else:
        seen = f"the last of {len(workers)} has gone" if workers else "none was ever there"
        yield Check(what, State.ERROR, f"no worker is online ({seen})", f"prefect worker start --pool {pool}")


def _deployments(client: SyncPrefectClient, _url: str, _pool: str) -> Iterator[Check]:
    what = "deployments"
    missing, paused = [], []
    for name in DEPLOYMENTS:
        try:
            if client.read_deployment_by_name(name).paused:
                paused.append(name)
        except ObjectNotFound:
            missing.append(name)
    if missing:
        yield Check(what, State.ERROR, f"missing: {', '.join(missing)}", _DEPLOY)
    elif paused:
        resume = "resume them on their pages in the UI"
        yield Check(what, State.WARN, f"their schedules are paused: {', '.join(paused)}", resume)
    else:
        yield Check(what, State.OK, ", ".join(DEPLOYMENTS))


def _automation(client: SyncPrefectClient, _url: str, _pool: str) -> Iterator[Check]:
    what = "dead runs"
    found = client.read_automations_by_name(AUTOMATION)
    if not found:
        yield Check(what, State.ERROR, "no automation marks them Crashed: they stay Running for ever", _SET_UP)
    elif not found[0].enabled:
        resume = f'prefect automation resume "{AUTOMATION}"'
        yield Check(what, State.WARN, "the automation that marks them Crashed is paused", resume)
    else:
        yield Check(what, State.OK, "an automation marks them Crashed")


def _limit(client: SyncPrefectClient, _url: str, _pool: str) -> Iterator[Check]:
    what = "limit of batches"
    name = f"tag:{EMBED_TAG}"
    try:
        limit = client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        yield Check(what, State.ERROR, f"there is none on the tag {EMBED_TAG}", _SET_UP)
        return
    running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])))
    if not limit.active:
        yield Check(what, State.WARN, "switched off", f"prefect gcl update {name} --enable")
    elif limit.active_slots and not client.read_flow_runs(flow_run_filter=running, limit=1):
        yield Check(
            what,
            State.WARN,
            f"{limit.active_slots} of {limit.limit} slots are taken, and nothing runs",
            f"if that stays so: prefect gcl update {name} --active-slots 0",
        )
    else:
        yield Check(what, State.OK, f"{limit.active_slots} of {limit.limit} slots taken")
