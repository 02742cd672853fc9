"""Runs that are killed, paused or cut off in the middle: the next one takes over, and nobody writes who may not.

The runs need no Prefect server, except the one that is paused in mid batch, since Prefect's tasks embed in threads of their
own. A kill at any moment is `test_kill.py`'s subject, and sessions that PostgreSQL ends are `test_connection_loss.py`'s.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from deployments.constants import POOL
from deployments.server_setup import set_up
from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.store.embedded.cluster import postmaster
from pinakes.store.embedded.place import find_place
from pinakes.store.embedded.server import embedded_server, remove_server
from pinakes.store.runs import latest_runs
from tests.counting import Counting
from tests.running import gallery, paint
from tests.sites import SPACE, Machine, Site
from tests.waiting import PATIENCE, until

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are stopped and looked at as Linux does it"),
]

PROJECT = Path(__file__).parents[2]
LOST = "ran out while this run was not able to renew it"

CAP_DAC_OVERRIDE = 1
PR_CAPBSET_DROP = 24


def pause(process: subprocess.Popen[str], site: Site) -> None:
    """Stop a process between two writes of its checkpoint."""
    while True:
        process.send_signal(signal.SIGSTOP)
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        if not any(path.name.endswith(".tmp") for path in site.parts()):
            return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.02)


@contextmanager
def upserts_held_up(site: Site) -> Iterator[Callable[[], bool]]:
    """Nobody writes an image inside the block; yields whether somebody waits to."""
    with psycopg.connect(site.database.dsn) as blocking, psycopg.connect(site.database.dsn, autocommit=True) as looking:
        blocking.execute("LOCK TABLE pictures.images IN SHARE ROW EXCLUSIVE MODE")

        def waiting() -> bool:
            row = looking.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pictures.images'::regclass"
            ).fetchone()
            return row is not None and row[0] > 0

        yield waiting


def test_a_killed_run_is_shown_as_died_and_entered_so_by_the_run_that_takes_over(site: Site) -> None:
    gallery(site.source, 40)
    killed = site.begin()
    until(site.calls, killed)
    killed.kill()
    killed.wait()
    with site.database.connection() as (conn, _):
        until(lambda: [run.state for run in latest_runs(conn, None)] == ["died"])
    assert site.states() == ["running"]

    account = site.end(site.begin())
    assert account["embedded"] + account["reused"] == 40
    assert site.states() == ["died", "completed"]
    site.whole()


@pytest.mark.slow
def test_a_run_paused_in_mid_batch_that_wakes_up_after_its_lease_writes_no_part_and_no_row(
    site: Site, on_the_session_server: str
) -> None:
    gallery(site.source, 60)
    paused = site.begin()
    until(lambda: len(site.calls()) > 5, paused)
    pause(paused, site)
    answered = len(set(site.calls()))
    ledger = open_checkpoint(site.settings.checkpoint, "pictures", Counting().facts.space).ledger()
    assert len(list(ledger)) < answered  # it has answers in its hands

    site.end(site.begin())
    parts, rows = site.parts(), site.rows()
    paused.send_signal(signal.SIGCONT)
    site.end_badly(paused, LOST)
    assert site.parts() == parts
    assert site.rows() == rows
    assert site.states() == ["failed", "completed"]
    site.whole()


def test_a_run_paused_in_mid_upsert_holds_nobody_up_and_writes_nothing_when_it_wakes_up(site: Site) -> None:
    gallery(site.source, 5)
    site.end(site.begin())
    paint(site.source / "new.png", (1, 2, 3))
    with upserts_held_up(site) as waiting:
        paused = site.begin()
        until(waiting, paused)
        pause(paused, site)

    account = site.end(site.begin())
    assert (account["calls"], account["rows_written"]) == (0, 2)
    parts, rows = site.parts(), site.rows()
    paused.send_signal(signal.SIGCONT)
    site.end_badly(paused, LOST)
    assert site.parts() == parts
    assert site.rows() == rows
    assert site.states() == ["completed", "failed", "completed"]
    site.whole()


def test_postgresql_restarted_in_mid_upsert_costs_the_run_nothing(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    # The run uses the embedded server, as it does where no address of a database is set.
    kept = {name: value for name, value in environment.items() if name != "PINAKES_DATABASE_URL"}
    try:
        with embedded_server(settings.home) as dsn:
            site = Site(settings, Database(dsn), kept, tmp_path)
            gallery(site.source, 5)
            site.end(site.begin())
            paint(site.source / "new.png", (1, 2, 3))
            place = find_place(settings.home)
            assert place is not None
            server = postmaster(place)
            assert server is not None
            with suppress(psycopg.OperationalError), upserts_held_up(site) as waiting:
                running = site.begin()
                until(waiting, running)
                os.kill(server, signal.SIGINT)
                psutil.wait_procs([psutil.Process(server)], timeout=PATIENCE)
            with embedded_server(settings.home):
                account = site.end(running)
                assert (account["calls"], account["embedded"], account["reused"]) == (1, 1, 5)
                assert account["rows_written"] == 2
                assert site.states() == ["completed", "completed"]
                site.whole()
    finally:
        remove_server(settings.home)


@pytest.fixture
def without_roots_rights(site: Site) -> Callable[[], None]:
    """What lets permissions count in a new process, as they do for anybody but root."""
    if os.geteuid() != 0:
        return lambda: None
    # The embedded server runs as a user of its own there, and root must reach it without root's rights.
    sockets = Path(str(conninfo_to_dict(site.database.dsn)["host"]))
    for path in (sockets, *sockets.glob(".s.PGSQL.*")):
        path.chmod(0o777)
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def test_a_run_whose_checkpoint_is_read_only_for_a_while_stops_in_order_and_is_resumed(
    site: Site, without_roots_rights: Callable[[], None]
) -> None:
    gallery(site.source, 60)
    running = site.begin("--batch-size", "8", before=without_roots_rights)
    folder = Path(site.settings.checkpoint) / "pictures" / SPACE
    until(lambda: any(folder.glob("part-*")), running)
    folder.chmod(0o555)
    site.end_badly(running, "run the same command again to resume")
    kept = {
        row.fingerprint
        for row in open_checkpoint(site.settings.checkpoint, "pictures", Counting().facts.space).ledger()
    }
    assert 0 < len(kept) < 60
    assert site.states() == ["stopped"]  # what was kept is loaded

    folder.chmod(0o755)
    account = site.end(site.begin())
    assert (account["reused"], account["embedded"]) == (len(kept), 60 - len(kept))
    asked = Counter(site.calls())
    assert all(asked[fingerprint] == 1 for fingerprint in kept)
    site.whole()


@pytest.mark.soak
def test_what_a_killed_worker_and_a_machine_that_is_gone_have_begun_is_finished_by_the_next_one(
    site: Site, on_the_session_server: str, tmp_path: Path
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, FlowRun, StateType
    from prefect.deployments import run_deployment
    from prefect.flows import Flow
    from prefect.states import Crashed

    gallery(site.source, 100)
    site.environment["COUNTING_SECONDS"] = "0.2"
    set_up(on_the_session_server)
    flow = Flow.from_source(source=str(PROJECT), entrypoint="tests/counting_flow.py:ingest")
    assert isinstance(flow, Flow)
    one_at_a_time = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
    flow.deploy(
        "counted", work_pool_name=POOL, build=False, push=False, print_next_steps=False, concurrency_limit=one_at_a_time
    )
    asked = {"source": str(site.source), "embedder": "counting", "batch_size": 8}

    machines: list[Machine] = []
    with get_client(sync_client=True) as client:

        def begin() -> UUID:
            machines.append(Machine(site.environment, tmp_path / f"machine{len(machines)}"))
            run = run_deployment("ingest/counted", parameters=asked, timeout=0)
            assert isinstance(run, FlowRun)
            return run.id

        def state(run: UUID) -> StateType:
            found = client.read_flow_run(run).state
            assert found is not None
            return found.type

        def called(more: int) -> Callable[[], bool]:
            before = len(site.calls())
            return lambda: len(site.calls()) >= before + more

        try:
            cut_off = begin()
            until(called(1))
            machines[-1].kill()
            assert state(cut_off) == StateType.RUNNING
            # What the automation for dead runs does after 90 s without a heartbeat; test_setup.py sees it do so.
            client.set_flow_run_state(cut_off, Crashed(message="no heartbeat"))

            left_alone = begin()
            until(called(1))
            machines[-1].kill_worker()
            # Prefect ends a run whose worker is gone, and says so.
            until(lambda: state(left_alone) == StateType.CRASHED)

            last = begin()
            until(lambda: state(last).value in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"))
            assert state(last) == StateType.COMPLETED
        finally:
            for machine in machines:
                machine.kill()
    first, second, third = site.states()
    assert (first, third) == ("died", "completed")
    assert second in ("failed", "died")
    assert max(Counter(site.calls()).values()) <= 3
    site.whole()
