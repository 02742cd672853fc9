"""Prefect's server is killed in the middle of a run: the run goes on without it, and shows it afterwards what it missed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from deployments.constants import EMBED_TAG
from deployments.guard import Guarded
from deployments.prefect_server import free_port, running_server
from tests.prefect_homes import LEAN, prefect_home
from tests.running import gallery, stored
from tests.sites import Site
from tests.waiting import PATIENCE, until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


class Server:
    """A server that a test may kill and start again, with a limit on how many batches are embedded at once."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack, self._port = prefect_home(folder), stack, free_port()
        self._program = self._started()
        limit = {"name": f"tag:{EMBED_TAG}", "limit": 8, "active": True}
        self.ask("v2/concurrency_limits/", limit)

    def _started(self) -> Guarded:
        environment = os.environ | LEAN | {"PREFECT_HOME": str(self._folder)}
        log = self._folder / "server.log"
        server = self._stack.enter_context(running_server(port=self._port, log=log, environment=environment))
        self.url = server.api_url
        return server.program

    def start_again(self) -> None:
        self._program = self._started()

    def kill(self) -> None:
        guard = self._program._process.pid
        for process in psutil.Process(guard).children(recursive=True):
            process.send_signal(signal.SIGKILL)
        self._program.stop()

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        response = requests.post(f"{self.url}/{path}", json=body, timeout=60)
        assert response.ok, response.text
        return response.json()

    def run(self) -> dict[str, Any]:
        (found,) = self.ask("flow_runs/filter", {})
        assert isinstance(found, dict)
        return found


@pytest.fixture
def prefect(site: Site, tmp_path: Path) -> Iterator[Server]:
    with ExitStack() as stack:
        server = Server(tmp_path / "server", stack)
        site.environment |= {"PREFECT_API_URL": server.url}
        yield server


def loaded(site: Site) -> int:
    ((rows,),) = stored(site.database, "SELECT count(*) FROM pictures.images")
    assert isinstance(rows, int)
    return rows


def test_a_run_whose_server_is_killed_embeds_and_loads_without_it_and_shows_it_everything_afterwards(
    site: Site, prefect: Server
) -> None:
    gallery(site.source, 80)
    run = site.begin("--batch-size", "4")
    until(lambda: len(site.calls()) > 10, run)
    prefect.kill()
    assert len(site.calls()) < 60
    until(lambda: len(site.calls()) == 80 and loaded(site) == 80, run)
    prefect.start_again()
    out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, err
    assert json.loads(out)["embedded"] == 80
    assert "Traceback" not in err
    assert "EventsWorker" not in err
    assert err.count("does not answer") == err.count("answers again") == 1

    shown = prefect.run()
    assert shown["state_type"] == "COMPLETED"
    assert shown["name"].endswith(": 80 embedded")
    found = prefect.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [shown["id"]]}}})
    assert {artifact["key"] for artifact in found} == {
        "plan",
        "progress",
        "statuses",
        "provider",
        "failures",
        "pictures",
    }
    assert [artifact["data"] for artifact in found if artifact["key"] == "progress"] == [100.0]


def test_a_run_whose_server_stays_away_gives_its_account_all_the_same(site: Site, prefect: Server) -> None:
    gallery(site.source, 20)
    run = site.begin("--batch-size", "4")
    until(lambda: len(site.calls()) > 4, run)
    prefect.kill()
    out, err = run.communicate(timeout=900)
    assert run.returncode == 0, err
    assert json.loads(out)["embedded"] == 20
    assert "Traceback" not in err
    assert "what was done is stored all the same" in err
    assert site.states() == ["completed"]
