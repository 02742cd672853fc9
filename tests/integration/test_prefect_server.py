"""Which Prefect server answers: one is started on a port that is free, known by its identity, and is its home's alone."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deployments.guard import Guarded
from deployments.prefect_server import IDENTITY, _wait_for, check_port, prefect_home, running_server
from deployments.up import _only_one
from pinakes.errors import UsageError
from tests.waiting import PATIENCE

PROJECT = Path(__file__).parents[2]


class Healthy(BaseHTTPRequestHandler):
    """Answers a health check as any server may."""

    identity: str | None = None

    def do_GET(self) -> None:
        self.send_response(200)
        if self.identity is not None:
            self.send_header(IDENTITY, self.identity)
        self.end_headers()


class HealthyOfOurs(Healthy):
    """As a server does that another `pinakes up` has started."""

    identity = "another"


@pytest.fixture(params=[Healthy, HealthyOfOurs], ids=["another program", "another pinakes up"])
def taken(request: pytest.FixtureRequest) -> Iterator[tuple[int, str]]:
    """A port on which somebody answers, and what is said of them."""
    with ThreadingHTTPServer(("127.0.0.1", 0), request.param) as there:
        thread = threading.Thread(target=there.serve_forever)
        thread.start()
        by = "a Prefect server that Pinakes started" if request.param is HealthyOfOurs else "another program"
        yield there.server_port, f"port {there.server_port} of 127.0.0.1 is in use by {by}"
        there.shutdown()
        thread.join()


def test_pinakes_up_says_at_once_that_its_port_is_in_use(
    taken: tuple[int, str], environment: dict[str, str], tmp_path: Path
) -> None:
    port, said = taken
    done = subprocess.run(
        [sys.executable, "-m", "pinakes.cli.main", "up", "--port", str(port)],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"pinakes: {said}")
    assert not (tmp_path / "home").exists(), "nothing was painted or started for it"


def test_no_server_is_started_on_a_port_in_use(taken: tuple[int, str]) -> None:
    port, said = taken
    with pytest.raises(UsageError, match=said), running_server(port=port):
        pass


def test_a_server_that_took_the_port_meanwhile_is_not_taken_for_ours(taken: tuple[int, str]) -> None:
    port, said = taken
    still_starting = Guarded([sys.executable, "-c", "import time; time.sleep(600)"], log=None)
    try:
        with pytest.raises(UsageError, match=said):
            _wait_for(port, "ours", still_starting, None)
    finally:
        still_starting.stop()


def test_a_port_whose_connections_have_just_ended_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # whoever ends a connection first keeps its port for a minute
            assert client.recv(1) == b""
    check_port(port)


def test_pinakes_up_runs_once_in_a_home(tmp_path: Path) -> None:
    with _only_one(tmp_path, 4200):
        with (
            pytest.raises(UsageError, match=r"already running with PINAKES_HOME=.*, on port 4200"),
            _only_one(tmp_path, 1),
        ):
            pass
        other = tmp_path / "other"
        other.mkdir()
        with _only_one(other, 4201):
            pass
    with _only_one(tmp_path, 4202):
        pass


def test_prefects_files_belong_to_pinakes_home_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    one, two = (prefect_home(tmp_path / name) for name in ("one", "two"))
    assert one == {"PREFECT_HOME": str(tmp_path / "one" / "prefect")} != two
    monkeypatch.setenv("PREFECT_HOME", "/elsewhere")
    assert prefect_home(tmp_path) == {"PREFECT_HOME": "/elsewhere"}
