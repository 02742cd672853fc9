"""deployments/compose.yaml without Docker: the same commands in the same environment, as processes on loopback.

Worth its minute: tests/unit/test_deployment_files.py and tests/integration/test_deployment_commands.py see that each
command, setting and health check is right by itself, and only here do they work together, with Prefect on PostgreSQL.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deployments.prefect_server import free_port
from pinakes.store.database import Database
from tests.running import gallery, stored

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # two databases, a server, a worker and a page, from nothing

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "deployments"
IMAGES = 20
READY = 240
"""Seconds until a container is healthy, which on a quiet machine takes ten."""


class Composed:
    """The containers of compose.yaml as processes.

    Args:
        settings: what a person writes into .env.
        moved: what lies elsewhere without Docker: addresses, ports and folders by what compose.yaml calls them.
        folder: for the containers' output.
    """

    def __init__(self, settings: dict[str, str], moved: dict[str, str], folder: Path) -> None:
        example = (FOLDER / ".env.example").read_text()
        values = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE)) | settings
        places = re.compile("|".join(map(re.escape, sorted(moved, key=len, reverse=True))))

        def here(node: Any) -> Any:
            """A part of the file with its variables filled in, and with what was moved."""
            if isinstance(node, dict):
                return {key: here(value) for key, value in node.items()}
            if isinstance(node, list):
                return [here(value) for value in node]
            filled = re.sub(r"\$\{(\w+)[^}]*\}", lambda found: values[found[1]], str(node))
            return places.sub(lambda found: moved[found[0]], filled)

        self._services = here(yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"])
        self._more = {
            "PREFECT_HOME": moved["/var/lib/prefect"],
            "PREFECT_WORKER_WEBSERVER_PORT": moved["8080"],
            "PREFECT_WORKER_QUERY_SECONDS": "1",  # instead of 10
        }
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, name: str) -> dict[str, str]:
        """What the container sees, and where this machine has its programs."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PINAKES_", "PREFECT_"))}
        here = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PWD": str(PROJECT)}
        return kept | here | self._more | self._services[name]["environment"]

    def run(self, name: str, *command: str) -> str:
        """`docker compose run NAME`, with a command of one's own if one is given; what it printed."""
        done = subprocess.run(
            command or self._services[name]["command"],
            env=self.environment(name),
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=READY,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    @contextmanager
    def begun(self, name: str) -> Iterator[Path]:
        """A service from its first moment on; yields where its output goes. SIGTERM ends it, as `docker stop` does."""
        log = self._folder / f"{name}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                self._services[name]["command"],
                env=self.environment(name),
                cwd=PROJECT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[name] = process
        try:
            yield log
            process.send_signal(signal.SIGTERM)
            process.wait(READY)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def wait_for(self, name: str, said: str | None = None) -> None:
        """Until a service is healthy by its own check, or has said something."""
        log = self._folder / f"{name}.log"
        deadline = time.monotonic() + READY
        while not (self._healthy(name) if said is None else said in log.read_text()):
            assert self._processes[name].poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(1)  # a health check is a process of its own

    def _healthy(self, name: str) -> bool:
        _, _, *test = self._services[name]["healthcheck"]["test"]
        done = subprocess.run([sys.executable, *test], stderr=subprocess.DEVNULL, timeout=READY, check=False)
        return done.returncode == 0


@pytest.fixture
def prefect_database(plain_server: str) -> str:
    """A database of Prefect's server, made by the script that the image runs; the embedded server lacks pg_trgm."""
    script = (FOLDER / "databases.sh").read_text().replace("CREATE EXTENSION IF NOT EXISTS vector;", "")
    parts = conninfo_to_dict(plain_server)
    environment = {
        "PATH": os.environ["PATH"],
        "PGHOST": str(parts["host"]),
        "PGPORT": str(parts["port"]),
        "POSTGRES_USER": "postgres",
        "PINAKES_DB_PASSWORD": "unused",
        "PREFECT_DB_PASSWORD": "prefect-secret",
    }
    subprocess.run(["sh", "-c", script], env=environment, check=True, timeout=READY)
    return make_conninfo(plain_server, dbname="prefect", user="prefect", password="prefect-secret")


def test_the_containers_commands_ingest_and_search_with_prefect_on_postgresql(
    prefect_database: str, database_url: str, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", IMAGES)
    home, prefect_home = tmp_path / "home", tmp_path / "prefect"
    home.mkdir()
    prefect_home.mkdir()
    port, page, health = (free_port() for _ in range(3))
    settings = {
        "PICTURES": str(source),
        "POSTGRES_PASSWORD": "unused",
        "PINAKES_DB_PASSWORD": "unused",
        "PREFECT_DB_PASSWORD": "prefect-secret",
        "PINAKES_WEB_TOKEN": "a secret of some length",
        "PREFECT_PORT": str(port),
        "PAGE_PORT": str(page),
    }
    moved = {
        "postgresql://pinakes:unused@database:5432/pinakes": database_url,
        "@database:5432/prefect": f"@127.0.0.1:{conninfo_to_dict(prefect_database)['port']}/prefect",
        "http://prefect:": "http://127.0.0.1:",
        "0.0.0.0": "127.0.0.1",
        "4200": str(port),
        "8484": str(page),
        "8080": str(health),
        "/pictures": str(source),
        "/var/lib/pinakes": str(home),
        "/var/lib/prefect": str(prefect_home),
        "/tmp": str(tmp_path),
        "/app": str(PROJECT),
    }
    composed = Composed(settings, moved, tmp_path)
    with ExitStack() as running:
        running.enter_context(composed.begun("prefect"))
        composed.wait_for("prefect")
        assert "work pool pinakes: made" in composed.run("setup")
        worker = running.enter_context(composed.begun("worker"))
        running.enter_context(composed.begun("page"))
        composed.wait_for("worker")
        composed.wait_for("page", "Waiting for the collection pictures")

        composed.run("worker", "prefect", "deployment", "run", "ingest/ingest", "--watch")
        assert stored(database, "SELECT count(*) FROM pictures.images") == [(IMAGES,)]
        composed.run("worker", "prefect", "deployment", "run", "search/search", "--param", "text=red", "--watch")

        with psycopg.connect(prefect_database) as conn:
            states = conn.execute("SELECT state_type::text FROM flow_run WHERE NOT auto_scheduled").fetchall()
            ahead = conn.execute(
                """
                SELECT DISTINCT deployment.name
                FROM flow_run JOIN deployment ON deployment.id = flow_run.deployment_id
                WHERE flow_run.auto_scheduled AND flow_run.state_type = 'SCHEDULED'
                ORDER BY 1
                """
            ).fetchall()
            keys = {key for (key,) in conn.execute("SELECT key FROM artifact")}
        assert states == [("COMPLETED",), ("COMPLETED",)]
        assert ahead == [("evaluate",), ("reindex",)]
        assert keys >= {"plan", "progress", "statuses", "provider", "failures", "pictures", "hits"}

        lines = [json.loads(line) for line in worker.read_text().splitlines() if line.startswith("{")]
        assert any(line.get("flow_run_name") and line.get("run_id") for line in lines), "logs name run and flow run"
        checks = {
            check["what"]: check
            for check in json.loads(composed.run("worker", "pinakes", "doctor", "--json"))["checks"]
        }
        assert checks["Prefect's database"]["found"] == "PostgreSQL"
        assert checks["schedules"]["state"] == "ok"

        composed.wait_for("page")
        search = f"http://127.0.0.1:{page}/api/search"
        assert requests.get(search, params={"q": "red"}, timeout=READY).status_code == 401
        token = {"Authorization": f"Bearer {settings['PINAKES_WEB_TOKEN']}"}
        found = requests.get(search, params={"q": "red", "k": 5}, headers=token, timeout=READY).json()
        assert len(found["hits"]) == 5
