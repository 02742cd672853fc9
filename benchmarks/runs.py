"""Runs of `pinakes` as a person starts them, for the benchmarks of whole runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import scratch_home
from deployments.constants import NO_TELEMETRY
from deployments.prefect_server import running_server
from pinakes.store.embedded.server import embedded_server


@contextmanager
def prefect(**more: str) -> Iterator[tuple[Path, str, dict[str, str]]]:
    """A home with an embedded database and a Prefect server: the home, the database's DSN, and the environment of both."""
    with scratch_home() as home, embedded_server(home) as dsn:
        environment = os.environ | NO_TELEMETRY | more
        environment |= {"PINAKES_HOME": str(home), "PREFECT_HOME": str(home / "prefect")}
        with running_server(environment=environment) as server:
            yield home, dsn, environment | {"PREFECT_API_URL": server.api_url}


def measured(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """What `pinakes … --json` prints, with `peak`, the memory of the process in MB; `--embedder nothing` is known."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.nothing", *command, "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    out = process.stdout.read()
    # `wait4` gives the peak of this process; that of `getrusage` is the highest of all children so far.
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"pinakes {' '.join(command)} ended with status {status}")
    document: dict[str, Any] = json.loads(out)
    return document | {"peak": usage.ru_maxrss / 1024}
