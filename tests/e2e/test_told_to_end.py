"""Runs that are told to end, by Prefect or by a signal: entered as stopped, with everything that was answered counted."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.deployments import run_deployment
from prefect.flows import Flow
from prefect.states import Cancelled, Cancelling, Paused, Suspended

from deployments.constants import POOL
from deployments.server_setup import set_up
from pinakes.operations.runs import runs
from pinakes.settings import load_settings
from tests.homes import environment_of
from tests.running import gallery, stored
from tests.signals import AS_A_BACKGROUND_JOB, AS_IN_A_TERMINAL, UNDER_NOHUP
from tests.sites import PROJECT, SPACE, Machine, Site
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.timeout(900)

IMAGES = 90
"""At 0.5 s a picture, two at once: longer than it takes to tell a run to end, on a busy machine too."""


@pytest.fixture
def slow(site: Site) -> Site:
    """Pictures that are embedded slowly."""
    gallery(site.source, IMAGES)
    # Nobody dies here, so a machine that stalls for some seconds must not cost a lease.
    slowly = site.folder / "slowly"
    slowly.touch()
    site.environment |= {"COUNTING_SECONDS": "0.5", "COUNTING_SLOW": str(slowly), "PINAKES_LEASE_SECONDS": "30"}
    return site


@pytest.fixture
def client(on_the_session_server: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture(scope="module")
def worker(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The log of a worker with a deployment that it takes the runs of."""
    set_up(prefect_api)
    flow = Flow.from_source(source=str(PROJECT), entrypoint="tests/counting_flow.py:ingest")
    assert isinstance(flow, Flow)
    flow.deploy("told", work_pool_name=POOL, build=False, push=False, print_next_steps=False)
    folder = tmp_path_factory.mktemp("worker")
    known = environment_of(load_settings({"PINAKES_HOME": str(folder)}), folder)
    machine = Machine(known | {"PREFECT_API_URL": prefect_api}, folder / "machine")
    yield folder / "machine" / "worker.log"
    machine.kill()


@pytest.fixture
def begin(slow: Site, client: SyncPrefectClient, worker: Path) -> Callable[[], UUID]:
    """Begins a run of the deployment, in this test's environment; the run has embedded some batches then."""
    asked = {"source": str(slow.source), "embedder": "counting", "batch_size": 4}

    def begin() -> UUID:
        run = run_deployment("ingest/told", parameters=asked, timeout=0, job_variables={"env": slow.environment})
        assert isinstance(run, FlowRun)
        until(lambda: len(slow.calls()) > 12 or state_of(client, run.id).is_final(), every=0.5)
        assert not state_of(client, run.id).is_final(), worker.read_text()
        return run.id

    return begin


def state_of(client: SyncPrefectClient, run: UUID) -> State[Any]:
    state = client.read_flow_run(run).state
    assert state is not None
    return state


def stopped(site: Site) -> dict[str, Any]:
    """The run's account, once it is entered as stopped and its process has let go of the collection."""

    def ended() -> bool:
        return site.states() == ["stopped"] and stored(site.database, "SELECT 1 FROM pinakes.locks") == []

    until(ended)
    with site.database.connection() as (conn, _):
        (run,) = runs(conn, site.settings, None, 1)
    return run


def is_true(account: dict[str, Any], site: Site) -> None:
    """An account's numbers are those that the embedder has counted, and what was answered is loaded."""
    asked = site.calls()
    assert account["calls"] == account["embedded"] == len(asked) == len(set(asked))
    assert account["listed"] == IMAGES == account["embedded"] + account["deferred"]
    assert 0 < account["embedded"] < IMAGES
    assert stored(site.database, f"SELECT count(*) FROM pictures.{SPACE}") == [(account["embedded"],)]


@pytest.mark.slow
def test_a_run_that_is_cancelled_in_prefect_is_entered_as_stopped_with_all_that_it_did(
    slow: Site, client: SyncPrefectClient, begin: Callable[[], UUID]
) -> None:
    run = begin()
    client.set_flow_run_state(run, Cancelling())
    until(lambda: state_of(client, run).is_final(), every=0.5)
    assert state_of(client, run).type == StateType.CANCELLED
    account = stopped(slow)
    is_true(account, slow)
    assert "SIGTERM, which Prefect also sends to cancel a run" in account["message"]
    assert "run the same command again to resume" in account["message"]


@pytest.mark.slow
def test_a_run_that_is_set_to_cancelled_without_its_worker_being_told_ends_as_well(
    slow: Site, client: SyncPrefectClient, begin: Callable[[], UUID]
) -> None:
    run = begin()
    client.set_flow_run_state(run, Cancelled(), force=True)
    account = stopped(slow)
    is_true(account, slow)
    assert "Prefect: Cancelled" in account["message"]
    assert state_of(client, run).type == StateType.CANCELLED


@pytest.mark.slow
def test_a_run_that_is_suspended_is_entered_as_stopped_and_goes_on_with_the_rest_when_it_is_resumed(
    slow: Site, client: SyncPrefectClient, begin: Callable[[], UUID]
) -> None:
    run = begin()
    client.set_flow_run_state(run, Suspended(timeout_seconds=3600), force=True)  # as the UI does
    account = stopped(slow)
    is_true(account, slow)
    assert "Prefect: Suspended" in account["message"]
    assert (state_of(client, run).type, state_of(client, run).name) == (StateType.PAUSED, "Suspended")

    (slow.folder / "slowly").unlink()
    client.resume_flow_run(run)
    until(lambda: state_of(client, run).is_final(), every=0.5)
    assert state_of(client, run).type == StateType.COMPLETED
    assert slow.states() == ["stopped", "completed"]
    assert set(Counter(slow.calls()).values()) == {1}
    slow.whole()


@pytest.mark.usefixtures("on_the_session_server")
@pytest.mark.parametrize(
    "end",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
    ids=lambda end: end.name,
)
def test_a_signal_ends_ingest_in_order(slow: Site, end: signal.Signals) -> None:
    process = slow.begin("--batch-size", "4", before=AS_A_BACKGROUND_JOB)
    until(lambda: len(slow.calls()) > 8, process)
    process.send_signal(end)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4, err
    assert "run the same command again to resume" in err
    account = json.loads(out)
    is_true(account, slow)
    entered = stopped(slow)
    assert {name: entered[name] for name in ("listed", "embedded", "deferred", "calls", "rows_written")} == {
        name: account[name] for name in ("listed", "embedded", "deferred", "calls", "rows_written")
    }


def test_ingest_under_nohup_outlives_its_terminal(slow: Site) -> None:
    slow.environment["COUNTING_SECONDS"] = "0.02"
    process = slow.begin("--batch-size", "4", before=UNDER_NOHUP)
    until(slow.calls, process)
    process.send_signal(signal.SIGHUP)
    assert slow.end(process)["embedded"] == IMAGES


@pytest.mark.usefixtures("on_the_session_server")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP], ids=lambda end: end.name)
def test_a_signal_while_listing_ends_ingest_at_once_as_stopped(slow: Site, end: signal.Signals) -> None:
    with (slow.source / "endless.png").open("wb") as endless:
        endless.truncate(1 << 40)  # sparse: hashing it takes half an hour
    process = slow.begin(before=AS_IN_A_TERMINAL)

    def listing() -> bool:
        there = stored(slow.database, "SELECT to_regclass('pinakes.runs')") != [(None,)]
        return there and slow.states() == ["running"]

    until(listing, process)
    process.send_signal(end)
    try:
        out, err = process.communicate(timeout=PATIENCE / 3)
    except subprocess.TimeoutExpired:  # Python drops what a signal raises if it comes in the middle of a destructor
        if slow.states() == ["running"]:
            process.send_signal(end)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (4, ""), err
    assert "run the same command again to resume" in err
    assert slow.calls() == []
    assert stopped(slow)["embedded"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("told", [Cancelling(), Paused(timeout_seconds=3600)], ids=lambda told: str(told.name))
def test_ingest_of_a_terminal_ends_when_it_is_told_to_in_prefect(
    slow: Site, client: SyncPrefectClient, told: State[Any]
) -> None:
    before = {run.id for run in client.read_flow_runs()}
    process = slow.begin("--batch-size", "4")
    until(lambda: len(slow.calls()) > 8, process)
    (run,) = (run.id for run in client.read_flow_runs() if run.id not in before)
    client.set_flow_run_state(run, told)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4, err
    assert "Traceback" not in err
    assert "run the same command again to resume" in err
    is_true(stopped(slow), slow)
    if told.is_cancelling():
        is_true(json.loads(out), slow)
        assert state_of(client, run).type == StateType.CANCELLED
    else:
        assert (state_of(client, run).type, state_of(client, run).name) == (StateType.PAUSED, "Paused")
