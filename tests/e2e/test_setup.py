"""`pinakes setup`, and what it is for: limits that outlive a killed run and a killed server, and dead runs that are seen."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psutil
import pytest
import requests
from prefect.server.concurrency.lease_storage.filesystem import ConcurrencyLeaseStorage
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.constants import CONCURRENT_BATCHES, EMBED_TAG, HEARTBEAT_SECONDS, POOL, RUN_TAG
from deployments.prefect_server import PrefectServer, free_port, running_server
from deployments.server_setup import SILENCE, set_up
from pinakes.errors import PinakesError, SettingsError
from pinakes.store.database import Database
from tests.prefect_homes import prefect_home
from tests.programs import Program, ended
from tests.running import gallery, stored
from tests.waiting import PATIENCE, until

PROJECT = Path(__file__).parents[2]
LEASE_SECONDS = 60
"""How long a slot stays taken after the last sign of life of its holder; a constant of Prefect."""

Found = TypeVar("Found")


class Server:
    """A Prefect server of this module's own that can be killed and started again where it was."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        # What it does every few seconds is done every second.
        self._environment = kept | {
            "HOME": str(home),
            "PREFECT_HOME": str(home),
            "PREFECT_UI_ENABLED": "0",
            "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "1",
            "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
        }
        self._running = ExitStack()
        self._server: PrefectServer | None = None

    def start(self) -> None:
        self._server = self._running.enter_context(
            running_server(port=self.port, log=self.home / "server.log", environment=self._environment)
        )

    def kill(self) -> None:
        assert self._server is not None
        (server,) = psutil.Process(self._server.program._process.pid).children()
        server.kill()
        self.stop()

    def stop(self) -> None:
        self._running.close()

    def read(self, path: str) -> Any:
        return self._answer(requests.get(f"{self.url}/{path}", timeout=PATIENCE))

    def ask(self, path: str, **body: Any) -> Any:
        return self._answer(requests.post(f"{self.url}/{path}", json=body, timeout=PATIENCE))

    def taken(self) -> int:
        """Slots of the limit that are taken."""
        slots = self.read(f"v2/concurrency_limits/tag:{EMBED_TAG}")["active_slots"]
        assert isinstance(slots, int)
        return slots

    def runs(self) -> dict[str, dict[str, Any]]:
        """The flow runs by their collection."""
        return {run["parameters"]["collection"]: run for run in self.ask("flow_runs/filter")}

    def states(self, collection: str) -> list[str]:
        """What a run has been, in order."""
        run = self.runs().get(collection)
        history = [] if run is None else self.read(f"flow_run_states/?flow_run_id={run['id']}")
        return [state["type"] for state in sorted(history, key=lambda state: state["timestamp"])]

    @property
    def leases(self) -> ConcurrencyLeaseStorage:
        """What the server knows about who holds which slot."""
        return ConcurrencyLeaseStorage(self.home / "concurrency_leases")

    def holders(self) -> list[UUID]:
        """The leases of the slots that are taken."""
        limit = self.read(f"v2/concurrency_limits/tag:{EMBED_TAG}")
        return [lease for lease, _ in asyncio.run(self.leases.list_holders_for_limit(UUID(limit["id"])))]

    @staticmethod
    def _answer(response: requests.Response) -> Any:
        assert response.ok, response.text
        return response.json()


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    prefect = Server(prefect_home(tmp_path_factory.mktemp("setup")))
    prefect.start()
    yield prefect
    prefect.stop()


class Runs:
    """Runs of `ingest` that are held in their first batch until they are let go."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.source = gallery(folder / "in", 6)
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self._environment = environment
        self._folder = folder
        self._log = folder / "log"
        self._log.touch()
        self._until = folder / "until"

    def start(self, collection: str, **environment: str) -> None:
        with self._said(collection).open("wb") as said:
            self.processes[collection] = Program(
                *("tests.held", "ingest", self.source, "--embedder", "held", "--batch-size", "3"),
                env=self._environment
                | {"PINAKES_COLLECTION": collection, "HELD_LOG": str(self._log), "HELD_UNTIL": str(self._until)}
                | environment,
                stdout=said,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> list[str]:
        return self._log.read_text().splitlines()

    def let_go(self) -> None:
        self._until.touch()

    def finish(self, collection: str) -> None:
        assert self.processes[collection].wait(PATIENCE) == 0, self.said(collection)

    def said(self, collection: str) -> str:
        return self._said(collection).read_text()

    def _said(self, collection: str) -> Path:
        return self._folder / f"{collection}.txt"


@pytest.fixture
def runs(environment: dict[str, str], prefect: Server, tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(environment | {"PREFECT_API_URL": prefect.url}, tmp_path)
    yield runs
    for process in runs.processes.values():
        process.kill()
        process.wait()


@pytest.mark.slow
def test_setup_says_what_it_made_and_then_that_everything_stands(environment: dict[str, str], prefect: Server) -> None:
    first, again = (
        ended("pinakes.cli.main", "setup", env=environment | {"PREFECT_API_URL": prefect.url}, cwd=PROJECT)
        for _ in range(2)
    )
    for done in (first, again):
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == 4
    assert all(": made" in line for line in first.stdout.splitlines())
    assert all(": unchanged" in line for line in again.stdout.splitlines())
    assert [step.line() for step in set_up(prefect.url, concurrent_batches=3) if step.wrote] == [
        f"limit on the tag {EMBED_TAG}: changed (3 batches at once, {CONCURRENT_BATCHES} before)"
    ]

    assert prefect.read(f"work_pools/{POOL}")["type"] == "process"
    (automation,) = prefect.ask("automations/filter")
    assert automation["trigger"]["within"] == SILENCE.total_seconds() >= 3 * HEARTBEAT_SECONDS
    assert prefect.read(f"v2/concurrency_limits/tag:{EMBED_TAG}")["limit"] == 3


@pytest.mark.slow
def test_what_a_person_switched_off_or_set_stays(prefect: Server) -> None:
    set_up(prefect.url, concurrent_batches=2)
    (automation,) = prefect.ask("automations/filter")
    requests.patch(f"{prefect.url}/automations/{automation['id']}", json={"enabled": False}, timeout=PATIENCE)
    try:
        steps = set_up(prefect.url, silence=2 * SILENCE)
        assert [step.wrote for step in steps] == [False, False, False, True]
        assert "paused" in steps[-1].remark
        (automation,) = prefect.ask("automations/filter")
        assert not automation["enabled"]
        assert prefect.read(f"v2/concurrency_limits/tag:{EMBED_TAG}")["limit"] == 2
    finally:
        requests.patch(f"{prefect.url}/automations/{automation['id']}", json={"enabled": True}, timeout=PATIENCE)
        set_up(prefect.url)


@pytest.mark.soak
def test_a_limit_holds_and_runs_go_on_when_the_server_is_killed_and_started_again(
    prefect: Server, runs: Runs, database: Database
) -> None:
    set_up(prefect.url, concurrent_batches=1)
    both = ("holder", "waiter")
    runs.start("holder")
    until(lambda: runs.log)
    # A client of Prefect's rides out a restart from its first answer on: the waiter must have been told to wait.
    runs.start("waiter", PREFECT_LOGGING_INTERNAL_LEVEL="DEBUG")
    until(lambda: "Unable to acquire concurrency slot" in runs.said("waiter"))
    (held,) = prefect.holders()
    # On a busy machine a start takes longer than a lease lasts; what is asked here is whether leases are kept.
    asyncio.run(prefect.leases.renew_lease(held, timedelta(hours=1)))
    prefect.kill()
    prefect.start()
    assert prefect.holders() == [held]
    assert prefect.taken() == 1
    runs.let_go()
    for collection in both:
        runs.finish(collection)
        assert stored(database, f"SELECT count(*) FROM {collection}.images") == [(6,)]
        assert until(lambda collection=collection: prefect.states(collection)[-1] == "COMPLETED")

    noted = [line.split() for line in runs.log]
    assert [what for what, _ in noted] == ["begin", "end"] * 4
    assert [who for _, who in noted[::2]] == [who for _, who in noted[1::2]]
    assert until(lambda: prefect.taken() == 0)
    assert prefect.holders() == []


@pytest.mark.slow
def test_a_killed_run_is_marked_crashed_and_its_slot_goes_to_a_live_one_when_its_lease_ends(
    prefect: Server, runs: Runs
) -> None:
    set_up(prefect.url, concurrent_batches=1, silence=timedelta(seconds=10))
    both = {"first", "second"}
    for collection in both:
        runs.start(collection, HELD_HEARTBEAT="2")
    until(lambda: runs.log and all("RUNNING" in prefect.states(collection) for collection in both))
    (begun,) = runs.log
    dead = begun.removeprefix("begin ")
    (alive,) = both - {dead}
    assert RUN_TAG in prefect.runs()[dead]["tags"]

    runs.processes[dead].kill()
    killed = datetime.now(UTC)
    until(lambda: prefect.states(dead)[-1] == "CRASHED")
    assert "No heartbeat" in prefect.runs()[dead]["state"]["message"]
    assert prefect.states(alive)[-1] == "RUNNING"
    assert "CRASHED" not in prefect.states(alive)

    # Nobody renews the dead run's lease. It ends by itself; the minute is not waited for, but made to have passed.
    assert runs.log == [begun]
    (lease_id,) = prefect.holders()
    lease = asyncio.run(prefect.leases.read_lease(lease_id))
    assert lease is not None
    assert lease.expiration <= killed + timedelta(seconds=LEASE_SECONDS)
    asyncio.run(prefect.leases.renew_lease(lease_id, -timedelta(hours=1)))
    runs.let_go()
    runs.finish(alive)
    assert runs.log == [begun, *[f"begin {alive}", f"end {alive}"] * 2]
    assert until(lambda: prefect.states(alive)[-1] == "COMPLETED")
    assert "CRASHED" not in prefect.states(alive)
    assert until(lambda: prefect.taken() == 0)


def test_without_a_server_setup_says_so_in_a_sentence() -> None:
    with pytest.raises(PinakesError, match=r"^no Prefect server answers at http://127\.0\.0\.1.*refused\.$"):
        set_up(f"http://127.0.0.1:{free_port()}/api")
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(SettingsError, match="PREFECT_API_URL is not set"),
    ):
        set_up()


def test_prefect_yaml_the_tasks_and_the_setup_agree() -> None:
    import yaml

    from tasks.ingestion import embed
    from tasks.slots import LIMIT

    assert f"tag:{EMBED_TAG}" == LIMIT
    assert embed.tags == set(), "Prefect fails a tagged task where its server is away"
    document = yaml.safe_load((PROJECT / "prefect.yaml").read_text("utf-8"))
    for deployment in document["deployments"]:
        assert deployment["work_pool"]["name"] == POOL
        assert RUN_TAG in deployment["tags"]
        sent = deployment["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]
        assert sent == str(HEARTBEAT_SECONDS)
