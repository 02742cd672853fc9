"""The README's order in one home: `make demo`, `pinakes up`, a deployment run, and the schedule, which fires for real."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deployments.prefect_server import free_port
from gallery import write_gallery
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.store.lease import Lease
from tests.running import stored
from tests.stack import PATIENCE, Stack, program, table, until

pytestmark = pytest.mark.timeout(1500)  # a stack from nothing, and a cron of every minute that fires at least twice

PICTURES = 12
REINDEX = "ingest/reindex"


def schedules(environment: dict[str, str]) -> dict[str, Any]:
    """What `pinakes doctor` finds about schedules."""
    done = subprocess.run(
        [sys.executable, "-m", "pinakes.cli.main", "doctor", "--json"],
        env=environment,
        cwd=environment["HOME"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    (check,) = [check for check in json.loads(done.stdout)["checks"] if check["what"] == "schedules"]
    assert isinstance(check, dict)
    return check


def fire_every_minute(stack: Stack, deployment: str) -> None:
    """Let the schedule that prefect.yaml gives a deployment begin a run every minute."""
    found = stack.deployment(deployment)
    (schedule,) = found["schedules"]
    assert schedule["active"]
    stack.ask("PATCH", f"deployments/{found['id']}/schedules/{schedule['id']}", {"schedule": {"cron": "* * * * *"}})


def test_after_the_demo_the_deployments_run_by_hand_and_by_the_clock(
    environment: dict[str, str], settings: Settings, database: Database, tmp_path: Path
) -> None:
    write_gallery(settings.home / "sample", count=PICTURES)  # the demo takes what is painted, here for the sake of time
    demo = subprocess.run(
        [sys.executable, "-m", "deployments.demo"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"words.png", "picture.png"}
    assert stored(database, "SELECT count(*) FROM sample.images") == [(PICTURES + 1,)]  # one picture is there twice
    listed = PICTURES + 2  # and one file is no picture

    port = free_port()
    up = environment | {"PREFECT_WORKER_QUERY_SECONDS": "1"}
    with program("Ctrl-C ends everything", up, "up", "--port", str(port)):
        api = f"http://127.0.0.1:{port}/api"
        stack = Stack(api)
        told = environment | {"PREFECT_API_URL": api}

        by_hand = stack.run("ingest/ingest")
        assert by_hand["state_type"] == "COMPLETED", by_hand["state"]["message"]
        statuses = table(by_hand, "statuses")
        assert (statuses["listed"], statuses["calls"], statuses["rows_written"]) == (listed, 0, 0)

        # Both schedules of prefect.yaml have runs ahead, and doctor says when.
        for deployment in (REINDEX, "evaluate/evaluate"):
            until(lambda deployment=deployment: stack.scheduled(deployment, "SCHEDULED"))
        check = schedules(told)
        assert check["state"] == "ok"
        assert REINDEX in check["found"]
        assert "evaluate/evaluate" in check["found"]

        # A run that does not get its turn while somebody else writes the collection: the cron's run would overlap it.
        ((space,),) = stored(database, "SELECT space FROM sample.spaces")
        with Lease(database.dsn, f"sample/{space}", seconds=settings.lease_seconds):
            going = stack.begin(REINDEX, wait=3600)
            until(lambda: stack.ask("GET", f"flow_runs/{going}")["state_type"] == "RUNNING")
            fire_every_minute(stack, REINDEX)
            refused = until(lambda: stack.scheduled(REINDEX, "CANCELLED"))
        assert "is being written by process" in refused[0]["state"]["message"]
        assert "auto-scheduled" in refused[0]["tags"]
        assert stack.end_of(going)["state_type"] == "COMPLETED"

        # With nothing in its way the next one completes, and those after it are scheduled.
        fired = until(lambda: stack.scheduled(REINDEX, "COMPLETED"))[0]
        statuses = table(stack.end_of(fired["id"]), "statuses")
        assert (statuses["listed"], statuses["calls"], statuses["failed"], statuses["pruned"]) == (listed, 0, 0, 0)
        begins = [datetime.fromisoformat(run["expected_start_time"]) for run in stack.scheduled(REINDEX, "SCHEDULED")]
        ahead = [begin for begin in begins if begin > datetime.now(UTC)]
        assert len(ahead) > 1
        assert {(later - earlier).total_seconds() for earlier, later in pairwise(ahead)} == {60}
        assert stack.scheduled(REINDEX, "FAILED") == stack.scheduled(REINDEX, "CRASHED") == []
        assert schedules(told)["state"] == "ok"

    log = (settings.home / "logs" / "prefect-server.log").read_text("utf-8")
    assert "schedule_" not in log, log  # the server's services that make runs tell there of their errors
