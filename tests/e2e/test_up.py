"""`pinakes up` as a person uses it: two terminals, Ctrl-C at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from deployments.prefect_server import free_port
from pinakes.settings import Settings
from pinakes.store.database import Database
from tests.running import gallery, stored
from tests.signals import AS_A_BACKGROUND_JOB
from tests.stack import asking_again

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def up(environment: dict[str, str], port: int, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A running `pinakes up` on a gallery of this test's own."""
    environment["PINAKES_SOURCE"] = str(gallery(tmp_path / "in", 20))
    process = subprocess.Popen(
        [sys.executable, "-m", "pinakes.cli.main", "up", "--port", str(port)],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=AS_A_BACKGROUND_JOB,
    )
    try:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C ends everything" in line:
                break
        else:
            pytest.fail(f"pinakes up ended with {process.wait()}: {''.join(said)}")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def prefect(environment: dict[str, str], port: int, *arguments: str, code: int = 0) -> str:
    """What a person types into the second terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        env=environment | {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def posted(port: int, path: str) -> Any:
    return asking_again().post(f"http://127.0.0.1:{port}/api/{path}", json={}, timeout=30).json()


def test_deployments_run_from_a_second_terminal_and_ctrl_c_ends_everything(
    up: subprocess.Popen[str],
    environment: dict[str, str],
    port: int,
    database: Database,
    settings: Settings,
    tmp_path: Path,
) -> None:
    prefect(environment, port, "deployment", "run", "ingest/ingest", "--watch")
    assert stored(database, "SELECT count(*) FROM pictures.images") == [(20,)]
    prefect(environment, port, "deployment", "run", "search/search", "--param", "text=red", "--watch")

    deployments = {f"{d['name']}": d for d in posted(port, "deployments/filter")}
    assert set(deployments) >= {"ingest", "reindex", "search", "evaluate"}
    (schedule,) = deployments["reindex"]["schedules"]
    assert schedule["schedule"]["timezone"]
    described = deployments["ingest"]["parameter_openapi_schema"]["properties"]
    assert all("description" in parameter for parameter in described.values())
    # The two runs of above, and the runs ahead, which the server has made for both schedules of prefect.yaml.
    runs = posted(port, "flow_runs/filter")
    assert {run["state_type"] for run in runs if not run["auto_scheduled"]} == {"COMPLETED"}
    assert all(("auto-scheduled" in run["tags"]) is run["auto_scheduled"] for run in runs)
    scheduled = {deployments[name]["id"] for name in ("reindex", "evaluate")}
    ahead = [run for run in runs if run["auto_scheduled"] and run["state_type"] == "SCHEDULED"]
    assert {run["deployment_id"] for run in ahead} == scheduled
    hits = [a for a in posted(port, "artifacts/filter") if a["key"] == "hits"]
    assert len(hits) == 1
    assert "data:image/jpeg;base64," in hits[0]["data"]

    wrong = [
        ("ingest", {"batch_size": -5}),
        ("ingest", {"prune_share": 7}),
        ("reindex", {"embedder": "nope"}),
        ("ingest", {"collection": "Not A Name"}),
        ("reindex", {"nosuch": 1}),
        ("search", {"nosuch": 1}),
    ]
    for name, parameters in wrong:
        runs_of = f"http://127.0.0.1:{port}/api/deployments/{deployments[name]['id']}/create_flow_run"
        answer = asking_again().post(runs_of, json={"parameters": parameters}, timeout=30)
        assert answer.status_code == 409, parameters
        assert next(iter(parameters)) in answer.json()["detail"]

    nowhere = tmp_path / "nowhere"
    failed = prefect(
        environment, port, "deployment", "run", "ingest/ingest", "-p", f"source={nowhere}", "--watch", code=1
    )
    assert "there is no folder or file" in " ".join(failed.split())
    assert "Traceback" not in failed
    (end,) = (run["state"] for run in posted(port, "flow_runs/filter") if run["state_type"] == "FAILED")
    assert end["message"].startswith(f"there is no folder or file '{nowhere}'")

    below = psutil.Process(up.pid).children(recursive=True)
    assert below
    os.killpg(up.pid, signal.SIGINT)
    assert up.wait(60) == 0
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []


def test_killing_it_leaves_no_process(up: subprocess.Popen[str]) -> None:
    below = psutil.Process(up.pid).children(recursive=True)
    up.send_signal(signal.SIGKILL)
    up.wait()
    _, alive = psutil.wait_procs(below, timeout=40)
    assert alive == []
