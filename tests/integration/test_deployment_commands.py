"""What the containers run, run here: their commands, the script that makes the databases, Prefect's logging."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.waiting import PATIENCE

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "deployments"
SERVICES: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def programs() -> list[tuple[str, ...]]:
    """The commands of our containers, once each; those of a shell one by one."""
    found = []
    for service in SERVICES.values():
        if "build" in service:
            command = service["command"]
            lines = command[2].split("&&") if command[:2] == ["sh", "-c"] else [shlex.join(command)]
            found += [tuple(shlex.split(line)) for line in lines]
    return list(dict.fromkeys(found))


HELP = """
import json, os, sys
from importlib.metadata import entry_points
commands = json.loads(sys.argv[1])
names = {command[0] for command in commands}
starts = {found.name: found.load() for found in entry_points(group="console_scripts") if found.name in names}
for command in commands:
    print("--- " + " ".join(command), flush=True)
    if os.fork() == 0:
        sys.argv = [*command, "--help"]
        sys.exit(starts[command[0]]())
    print(f"--- ended with {os.waitstatus_to_exitcode(os.wait()[1])}", flush=True)
"""


def test_every_command_exists_with_its_options(tmp_path: Path) -> None:
    """Each begins as a copy of one process, since most of its time is the import of Prefect."""
    commands = programs()
    assert all(shutil.which(command[0], path=PATH) for command in commands)
    done = subprocess.run(
        [sys.executable, "-c", HELP, json.dumps(commands)],
        env=os.environ | {"PATH": PATH, "PREFECT_HOME": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    shown = re.split(r"^--- (?!ended)(.*)$", done.stdout, flags=re.MULTILINE)[1:]
    assert shown[::2] == [" ".join(command) for command in commands]
    for command, text in zip(commands, shown[1::2], strict=True):
        assert "--- ended with 0" in text, text + done.stderr
        known = set(re.findall(r"--[a-z][a-z-]*", text))
        assert {word for word in command if word.startswith("--")} <= known


class Ready(BaseHTTPRequestHandler):
    """Says 200 to what a health check asks, and 503 to all else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/healthz", "/health", "/api/health") else 503)
        self.end_headers()


@pytest.mark.parametrize(
    "name", [name for name, made in SERVICES.items() if "python" in made["healthcheck"].get("test", [])]
)
def test_health_checks_tell_a_program_that_is_ready_from_one_that_is_not(name: str) -> None:
    _, _, *command = SERVICES[name]["healthcheck"]["test"]
    with ThreadingHTTPServer(("127.0.0.1", 0), Ready) as ready:
        thread = threading.Thread(target=ready.serve_forever)
        thread.start()
        here = [re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{ready.server_port}", word) for word in command]
        elsewhere = [re.sub(r"(:\d+)/\w+", r"\1/nothing", word) for word in here]
        codes = [
            subprocess.run(
                [sys.executable, *words], stderr=subprocess.DEVNULL, timeout=PATIENCE, check=False
            ).returncode
            for words in (here, elsewhere)
        ]
        ready.shutdown()
        thread.join()
    assert codes == [0, 1]


@pytest.fixture
def cluster(server: str) -> Iterator[dict[str, str]]:
    """What psql needs to reach the tests' server; what the script makes is removed again."""
    parts = conninfo_to_dict(server)
    yield {
        "PGHOST": str(parts["host"]),
        "PGPORT": str(parts.get("port") or 5432),
        "POSTGRES_USER": str(parts["user"]),
        "PGPASSFILE": str(parts["passfile"]),
    }
    with psycopg.connect(server, autocommit=True) as conn:
        for name in ("keeper", "prefect"):
            conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[call-overload]
            conn.execute(f"DROP ROLE IF EXISTS {name}")  # type: ignore[call-overload]


@pytest.mark.skipif(shutil.which("psql") is None, reason="the script is for psql, which is not here")
def test_the_databases_are_made_once_and_are_their_owners_alone(
    cluster: dict[str, str], server: str, tmp_path: Path
) -> None:
    # The embedded server has pgvector and none of PostgreSQL's own extensions, and its administrator is called pinakes.
    text = (FOLDER / "databases.sh").read_text().replace("CREATE EXTENSION IF NOT EXISTS pg_trgm;", "")
    script = tmp_path / "databases.sh"
    script.write_text(text.replace("pinakes", "keeper"))
    secret = "it's \\ $odd"
    environment = {"PATH": PATH, "PINAKES_DB_PASSWORD": secret, "PREFECT_DB_PASSWORD": "other"} | cluster
    for _ in range(2):
        done = subprocess.run(
            ["sh", script], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
    with psycopg.connect(
        make_conninfo(server, dbname="keeper", user="keeper", password=secret), autocommit=True
    ) as conn:
        assert conn.execute("SELECT count(*) FROM pg_extension WHERE extname = 'vector'").fetchone() == (1,)
        conn.execute("CREATE SCHEMA semart")
    with psycopg.connect(server) as conn:
        granted = conn.execute(
            "SELECT has_database_privilege('prefect', 'keeper', 'CONNECT'),"
            " has_database_privilege('keeper', 'prefect', 'CONNECT'), rolsuper FROM pg_roles WHERE rolname = 'keeper'"
        ).fetchone()
    assert granted == (False, False, False)


def test_the_script_can_be_run_by_the_image() -> None:
    assert os.access(FOLDER / "databases.sh", os.X_OK)


def test_prefects_loggers_write_json_lines_with_the_fields_of_the_run(tmp_path: Path) -> None:
    program = (
        "import logging, uuid\n"
        "from prefect.logging.configuration import setup_logging\n"
        "from pinakes import logs\n"
        "setup_logging()\n"
        "with logs.belonging_to(uuid.UUID(int=7), 'semart', 'palette_1'):\n"
        "    logging.getLogger('pinakes.ingest.progress').info('half done')\n"
        "    logging.getLogger('prefect.workers').info('hello')\n"
    )
    # A command that was run in this process has left a quieter level for Prefect's lines.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=kept
        | {
            "PREFECT_HOME": str(tmp_path),
            "PREFECT_LOGGING_SETTINGS_PATH": str(FOLDER / "logging.yaml"),
            "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    ours, theirs = (json.loads(line) for line in done.stderr.splitlines())
    assert (ours["message"], ours["run_id"]) == ("half done", "00000000-0000-0000-0000-000000000007")
    assert (theirs["logger"], theirs["collection"]) == ("prefect.workers", "semart")
