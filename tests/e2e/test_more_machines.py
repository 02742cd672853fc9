"""One run on several processes as a person starts it: shards on two workers, a local Dask cluster, a local Ray.

Everything is real but the paid service, which allows 30 requests a second and answers 429 to any more. Worth their minutes:
tests/integration/test_distributed.py has the same batches embedded by threads of one process, and only here do Prefect's
workers, Dask and Ray bring them to other processes, and answer for those that are told to end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import requests
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling

from deployments.constants import NO_TELEMETRY, POOL, RUNS
from deployments.guard import Guarded
from deployments.prefect_server import running_server
from tests.fakes.azure import AzureFake
from tests.fakes.gcs import GcsFake
from tests.fakes.quota import Quota
from tests.homes import new_database
from tests.integration.test_paid_runs import CHECKS, calls_of, pictures
from tests.prefect_homes import prefect_home
from tests.programs import Program
from tests.waiting import PATIENCE, until

PROJECT = Path(__file__).parents[2]
RATE = 30
STALL_SECONDS = 3.0
"""For so long a busy machine may keep a process or the fake from its work: what waited meanwhile arrives at once. A run that
went twice as fast as the quota allows would still get 429 for much of what it asks."""
SPACE = "azure_vision_multimodal_2023_04_15_1024_a1"
LOST_SECONDS = 5.0
"""What a process that is killed may have been answered and not kept."""

CLUSTER_SECONDS = 600.0
"""In which a cluster starts and embeds: half a minute of processor, most of it for what its processes import."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,  # nothing is measured, but a cluster's processes, which import for half a minute, keep others waiting
    pytest.mark.timeout(1800),
]


@dataclass
class Site:
    """A Prefect server, a database and the fakes, and how a person uses them from a terminal."""

    api_url: str
    dsn: str
    fake: AzureFake
    gcs: GcsFake
    environment: dict[str, str]
    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def ingest(self, source: Path, collection: str, *options: str) -> subprocess.Popen[str]:
        what = ("ingest", source, "--collection", collection, "--json")
        how = ("--embedder", "azure", "--rate", f"{RATE}/s burst 5", "--batch-size", "30", *options)
        cluster = "--runner" in options  # whose processes are started as this one was
        process = Program(
            *("pinakes.cli.main", *what, *how),
            cold=cluster,
            cwd=PROJECT,
            env=self.environment,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def finished(self, process: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
        try:
            out, err = process.communicate(timeout=CLUSTER_SECONDS)
        except subprocess.TimeoutExpired:
            out, err = self.end(process, signal.SIGABRT)  # has Python say where each of its threads is
        assert process.returncode == code, f"{out}\n{err}"
        document: dict[str, Any] = json.loads(out)
        return document | {"said": err}

    def end(self, process: subprocess.Popen[str], by: signal.Signals) -> tuple[str, str]:
        """End a program, and what it has started, which would keep its output open; returns what it said."""
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(by)
        for one in started:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        return process.communicate()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as conn:
            return conn.execute(statement).fetchall()  # type: ignore[call-overload, no-any-return]

    def shards(self, collection: str) -> list[dict[str, Any]]:
        """The flow runs of a collection's shards, the latest first."""
        asked = {"deployments": {"name": {"any_": ["shard"]}}, "sort": "START_TIME_DESC"}
        runs = requests.post(f"{self.api_url}/flow_runs/filter", json=asked, timeout=PATIENCE).json()
        return [run for run in runs if run["parameters"]["assignment"]["request"]["collection"] == collection]


@pytest.fixture(scope="module")
def site(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PINAKES_", "PREFECT_", "DASK_", "RAY_"))}
    with (
        AzureFake(quota=Quota(RATE, burst=RATE * STALL_SECONDS), latency=0.1) as fake,
        GcsFake(latency=0.01) as gcs,
        new_database(server) as url,
        ExitStack() as stack,
    ):
        gcs.bucket("kept")
        environment = (
            kept
            | NO_TELEMETRY
            | RUNS
            | fake.environment
            | gcs.environment
            | {
                "HOME": str(folder),
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "PINAKES_HOME": str(folder / "home"),
                "PINAKES_DATABASE_URL": url,
                # Nobody who leads dies here, so a machine that stalls for some seconds must not cost a lease.
                "PINAKES_LEASE_SECONDS": "30",
                "PREFECT_UI_ENABLED": "0",
                "PYTHONFAULTHANDLER": "1",
                "PREFECT_HOME": str(prefect_home(folder / "prefect")),
            }
        )
        prefect = stack.enter_context(running_server(log=folder / "server.log", environment=environment))
        environment["PREFECT_API_URL"] = prefect.api_url
        yield Site(prefect.api_url, environment["PINAKES_DATABASE_URL"], fake, gcs, environment, folder)


@pytest.fixture(scope="module")
def workers(site: Site) -> Iterator[list[Guarded]]:
    """Two workers of one pool, each with room for one run, as on two machines."""
    deploy = ("prefect", "--no-prompt", "deploy", "--name", "shard", "--name", "ingest")
    for command in (("pinakes.cli.main", "setup"), deploy):
        subprocess.run(
            [sys.executable, "-m", *command],
            cwd=PROJECT,
            env=site.environment | {"PWD": str(PROJECT)},
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    started = [
        Guarded(
            [*(sys.executable, "-m", "prefect", "worker", "start"), "--pool", POOL, "--name", name, "--limit", "1"],
            log=site.folder / f"{name}.log",
            environment=site.environment | {"PREFECT_WORKER_QUERY_SECONDS": "1"},
        )
        for name in ("one", "two")
    ]
    yield started
    for worker in started:
        worker.stop()


@pytest.fixture(autouse=True)
def _apart(site: Site) -> Iterator[None]:
    """Counts begin at zero, and a test that failed leaves nothing running that would be counted by the next one."""
    site.fake.forget()
    yield
    while site.started:
        process = site.started.pop()
        if process.poll() is None:
            site.end(process, signal.SIGKILL)


def assert_balanced(site: Site, account: dict[str, Any], collection: str, images: int) -> None:
    """Table, checkpoint and account agree on every image, and nothing of the run is left behind."""
    assert account["embedded"] + account["reused"] == account["listed"] == images
    assert (account["failed"], account["deferred"], account["rate_limited"]) == (0, 0, 0)
    assert site.fake.counts["throttled"] == 0
    assert site.rows(f"SELECT count(*) FROM {collection}.{SPACE}") == [(images,)]
    assert site.rows("SELECT count(*) FROM pinakes.batches") == [(0,)]


def test_a_dask_cluster_is_stopped_by_ctrl_c_and_resumed_with_each_picture_paid_for_once(site: Site) -> None:
    source = pictures(site.folder / "dask", 240, first=2000)
    process = site.ingest(source, "dask", "--runner", "dask")
    until(lambda: site.fake.counts["charged"] > 60, process, within=CLUSTER_SECONDS)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    stopped = site.finished(process, code=4)
    assert stopped["embedded"] + stopped["deferred"] == 240
    assert stopped["calls"] == stopped["embedded"] + CHECKS
    assert stopped["deferred"] > 0 < stopped["embedded"]

    account = site.finished(site.ingest(source, "dask", "--runner", "dask"))
    assert_balanced(site, account, "dask", 240)
    assert (account["reused"], account["calls"]) == (stopped["embedded"], stopped["deferred"] + CHECKS)
    assert calls_of(site.fake, source) == [1] * 240


def test_ray_embeds_pictures_and_their_regions_as_one_machine_would(site: Site) -> None:
    source = pictures(site.folder / "ray", 24, first=3000)
    account = site.finished(site.ingest(source, "ray", "--runner", "ray", "--regions", "grid"))
    assert_balanced(site, account, "ray", 24)
    assert account["regions"]["embedded"] == account["regions"]["listed"] == 9 * 24
    assert site.rows(f'SELECT count(*) FROM ray."{SPACE}~regions"') == [(9 * 24,)]
    assert account["calls"] == 10 * 24 + CHECKS == site.fake.counts["charged"]
    assert calls_of(site.fake, source) == [1] * 24


def test_two_workers_embed_a_run_as_one_machine_would_with_its_checkpoint_in_a_bucket(
    site: Site, workers: list[Guarded]
) -> None:
    source = pictures(site.folder / "sharded", 200)
    process = site.ingest(source, "sharded", "--shards", "2", "--checkpoint", "gs://kept/folder")
    account = site.finished(process)
    assert_balanced(site, account, "sharded", 200)
    assert account["calls"] == account["planned"]["calls"] == 200 + CHECKS == site.fake.counts["charged"]
    assert calls_of(site.fake, source) == [1] * 200
    assert account["provider"]["answered"] == 200 + CHECKS
    assert 0 < account["provider"]["p50_ms"] <= account["provider"]["p95_ms"]
    assert account["checkpoint"].startswith("gs://kept/folder")
    shards = site.shards("sharded")
    assert sorted(shard["name"][21:] for shard in shards) == ["sharded shard 1 of 2", "sharded shard 2 of 2"]
    assert [shard["state_type"] for shard in shards] == ["COMPLETED"] * 2
    assert len({shard["infrastructure_pid"] for shard in shards}) == 2
    assert all(shard["parent_task_run_id"] for shard in shards)
    assert site.fake.key not in json.dumps(shards)
    assert "dbname" not in json.dumps(shards)


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param({"shards": 2}, id="shards"),
        # Half a minute of processor for what Ctrl-C above shows of a cluster, and shards of a run that Prefect cancels.
        pytest.param({"runner": "dask"}, id="dask", marks=pytest.mark.soak),
    ],
)
def test_a_run_cancelled_in_prefect_that_others_embed_for_has_counted_what_they_were_charged_for(
    site: Site, workers: list[Guarded], elsewhere: dict[str, Any]
) -> None:
    """One worker leads, and with shards the other one embeds the first of them; nobody begins the second."""
    collection = f"cancelled_{next(iter(elsewhere))}"
    source = pictures(site.folder / collection, 400, first=4000 if "shards" in elsewhere else 5000)
    asked = {"source": str(source), "collection": collection, "embedder": "azure", "rate": f"{RATE}/s burst 5"}
    with (
        temporary_settings({PREFECT_API_URL: site.api_url}),
        get_client(sync_client=True) as client,
    ):
        run = run_deployment("ingest/ingest", parameters=asked | {"batch_size": 30} | elsewhere, timeout=0)
        assert isinstance(run, FlowRun)
        until(lambda: site.fake.counts["charged"] > 60)
        client.set_flow_run_state(run.id, Cancelling())

        def state() -> State[Any]:
            found = client.read_flow_run(run.id).state
            assert found is not None
            return found

        until(lambda: state().is_final())
        assert state().is_cancelled()
        until(lambda: site.rows("SELECT 1 FROM pinakes.locks") == [])
        over = {"COMPLETED", "CANCELLED", "FAILED", "CRASHED"}
        until(lambda: {shard["state_type"] for shard in site.shards(collection)} <= over)
        assert {shard["state_type"] for shard in site.shards(collection)} <= {"COMPLETED", "CANCELLED"}
    ((how, account),) = site.rows(f"SELECT state, account FROM pinakes.runs WHERE collection = '{collection}'")
    assert how == "stopped"
    assert account["calls"] == site.fake.counts["charged"] == account["embedded"] + CHECKS
    assert account["embedded"] + account["deferred"] == account["listed"] == 400
    assert site.rows(f"SELECT count(*) FROM {collection}.{SPACE}") == [(account["embedded"],)]
    assert site.rows("SELECT count(*) FROM pinakes.batches") == [(0,)]


def process_of(flow_run_id: str) -> psutil.Process | None:
    """The process that executes a flow run."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("PREFECT__FLOW_RUN_ID") == flow_run_id:
                return process
        except psutil.Error:
            continue
    return None


@pytest.mark.soak
def test_a_shard_killed_in_mid_run_leaves_a_run_that_resumes_and_pays_for_hardly_anything_twice(
    site: Site, workers: list[Guarded]
) -> None:
    source = pictures(site.folder / "killed", 240, first=1000)
    process = site.ingest(source, "killed", "--shards", "2")
    until(lambda: len(site.shards("killed")) == 2 and site.fake.counts["charged"] > 60, process)
    begun = [run for run in site.shards("killed") if run["state_type"] == "RUNNING"]
    victim = next(found for run in begun if (found := process_of(run["id"])))
    victim.kill()
    account = site.finished(process, code=1)
    assert "Crashed" in account["said"]
    assert account["deferred"] > 0
    assert account["embedded"] + account["deferred"] == 240
    assert {shard["state_type"] for shard in site.shards("killed")} <= {"CRASHED", "COMPLETED"}
    assert site.rows("SELECT state FROM pinakes.runs WHERE collection = 'killed'") == [("stopped",)]
    assert site.rows(f"SELECT count(*) FROM killed.{SPACE}") == [(account["embedded"],)]

    again = site.finished(site.ingest(source, "killed"))
    assert (again["reused"], again["embedded"]) == (account["embedded"], account["deferred"])
    assert_balanced(site, again, "killed", 240)
    charged = calls_of(site.fake, source)
    assert min(charged) == 1
    assert sum(charged) - 240 <= LOST_SECONDS * RATE + 64
