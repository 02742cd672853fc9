"""What a run costs Prefect's server: task runs, requests, rows and processor time.

`python -m benchmarks.prefect_side [--images 2000 200000] [--dimension 64]`

`ingest` runs through the flow with an embedder that does nothing. What it sends passes a counting line; the server's
processor time lasts until it has worked off its queue of events, less what it takes when nobody uses it. A bare flow with
as many empty tasks shows how much of it Prefect takes for any flow. Small runs are repeated, each into a collection of its
own, and the figures are those of one.
"""

from __future__ import annotations

import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from benchmarks.common import Figure, arguments, record, seconds
from benchmarks.metering import processor_seconds
from benchmarks.rehearsal import make_files
from benchmarks.runs import measured, prefect

PICTURES_A_TASK_RUN = 128
CPU_MS = 0.25
PROGRESS_SECONDS = 2.0

REPEATED = 20_000
"""Small runs are repeated until there are as many pictures in all: one of 2,000 takes the server half a second."""

IDLE_SECONDS = 60.0
"""How long the server is watched without a run, for what it takes by itself: some of its services work once in 15 s."""

SETTLED_SECONDS = 10.0
"""How long it must have nothing to do after a run."""

QUIET = 0.03
"""Of a core, more than without a run: below that, and where no rows come, the server has nothing left to do."""

BARE = """
import sys
from prefect import flow, task
empty = task(name="empty", persist_result=False)(lambda: None)
@flow(persist_result=False)
def bare(tasks: int) -> None:
    for _ in range(tasks):
        empty.submit().result()
bare(int(sys.argv[1]))
"""

_REQUEST = re.compile(rb"(?:^|\n)(GET|POST|PATCH|PUT|DELETE) (\S+) HTTP/1\.1\r\n")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


class Counted:
    """Forwards connections to a server, and counts the requests in them by method and path, ids left out."""

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self._server = (str(parts.hostname), int(parts.port or 80))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}{parts.path}"
        self.requests: Counter[str] = Counter()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            server = socket.create_connection(self._server)
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, count: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 20):
                if count:
                    for method, path in _REQUEST.findall(data):
                        place = _ID.sub("ID", path.decode().partition("?")[0])
                        self.requests[f"{method.decode()} {place}"] += 1
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class Seen:
    """What runs of one kind left on the server, and what they took there, for one of them."""

    requests: dict[str, float]
    rows: dict[str, float]
    cpu: float
    seconds: float


def main() -> None:
    options = arguments(__doc__, images=[2000, 200_000], dimension=64)
    figures: list[Figure] = []
    with prefect() as (home, _, environment):
        server = server_of(environment["PREFECT_API_URL"])
        idle = processor_seconds(server)
        time.sleep(IDLE_SECONDS)
        idle = (processor_seconds(server) - idle) / IDLE_SECONDS
        for count in options.images:
            with tempfile.TemporaryDirectory(dir="/tmp") as folder:
                source = Path(folder) / "in"
                make_files(source, count)
                command = ["ingest", str(source), "--embedder", "nothing", "--index", "none"]
                command += ["--dimension", str(options.dimension)]
                rounds = max(1, REPEATED // count)
                seen = watch(partial(run_ingest, command), rounds, environment, home, server, idle)
            tasks = str(round(seen.rows["task_run"]))
            bare = watch(partial(run_bare, tasks), rounds, environment, home, server, idle)
            figures += figures_of(count, seen, bare.cpu)
            print(f"{count:,} pictures: {seen.requests}\n  rows {seen.rows}", flush=True)
    record("prefect_side", "What a run costs Prefect's server", figures, f"Idle, it takes {idle:.3f} of a core.")


def run_ingest(command: list[str], environment: dict[str, str]) -> float:
    """Ingest into a new collection; the seconds that the flow reports."""
    return float(measured([*command, "--collection", f"c{uuid4().hex[:8]}"], environment)["seconds"])


def run_bare(tasks: str, environment: dict[str, str]) -> float:
    """Run a flow of empty tasks; its seconds."""
    command = [sys.executable, "-c", BARE, tasks]
    return seconds(lambda: subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL))


def watch(
    run: Callable[[dict[str, str]], float],
    rounds: int,
    environment: dict[str, str],
    home: Path,
    server: int,
    idle: float,
) -> Seen:
    """Carry out runs one after the other, each of which says its seconds, and see what they did to the server."""
    line = Counted(environment["PREFECT_API_URL"])
    rows, cpu, started = rows_of(home), processor_seconds(server), time.monotonic()
    lasted = sum(run(environment | {"PREFECT_API_URL": line.url}) for _ in range(rounds))
    settle(server, home, idle)
    # Less what the idle server would have taken meanwhile: it polls, and cleans up after itself.
    taken = processor_seconds(server) - cpu - idle * (time.monotonic() - started)
    left = rows_of(home) - rows
    return Seen(_each(line.requests, rounds), _each(left, rounds), taken / rounds, lasted / rounds)


def _each(counted: Counter[str], rounds: int) -> dict[str, float]:
    return {what: number / rounds for what, number in counted.most_common()}


def figures_of(count: int, seen: Seen, bare: float) -> list[Figure]:
    """What is judged, and what explains it."""
    tasks = seen.rows["task_run"]
    updates = seen.requests.get("PATCH /api/artifacts/ID", 0) - 1  # the last one is sent whenever the run ends
    return [
        Figure(f"{count:,} pictures: task runs", f"{tasks:.0f} (one for {count / tasks:.0f})", f"≤ {limit(count):.0f}"),
        Figure(f"{count:,} pictures: requests of the run", f"{sum(seen.requests.values()):,.0f}"),
        Figure(f"{count:,} pictures: rows in Prefect's database", f"{sum(seen.rows.values()):,.0f}"),
        Figure(
            f"{count:,} pictures: processor time of the server, for a picture",
            f"{seen.cpu / count * 1000:.3f} ms ({seen.cpu:.2f} s)",
            f"≤ {CPU_MS} ms",
        ),
        Figure(
            f"{count:,} pictures: against a bare flow of as many empty tasks",
            f"{seen.cpu / bare:.2f} × ({bare:.2f} s)",
        ),
        Figure(
            f"{count:,} pictures: seconds of the run for each update of its progress, without the last",
            f"{seen.seconds / updates:.1f} s ({updates:.0f})" if updates >= 1 else f"none in {seen.seconds:.1f} s",
            f"≥ {PROGRESS_SECONDS:.0f} s",
        ),
    ]


def limit(count: int) -> float:
    """Task runs that a run may have."""
    return count / PICTURES_A_TASK_RUN


def server_of(api_url: str) -> int:
    """The process id of the server that listens there."""
    port = str(urlsplit(api_url).port)
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = place.read_bytes().decode(errors="replace").split("\0")
            # The guard that started it has the whole command line of the server in its own.
            if port in words and "uvicorn" in words and "deployments.guard" not in words:
                return int(place.parent.name)
    raise SystemExit(f"no server listens at {api_url}")


def settle(server: int, home: Path, idle: float) -> None:
    """Wait until the server has worked off what it was sent, however little of a busy machine it gets."""
    while True:
        before, rows = processor_seconds(server), rows_of(home)
        time.sleep(SETTLED_SECONDS)
        if (processor_seconds(server) - before) / SETTLED_SECONDS < idle + QUIET and rows_of(home) == rows:
            return


def rows_of(home: Path) -> Counter[str]:
    """How many rows each table of the server's database has."""
    with closing(sqlite3.connect(f"file:{home / 'prefect' / 'prefect.db'}?mode=ro", uri=True, timeout=60)) as conn:
        names = [name for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return Counter({name: conn.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names})


if __name__ == "__main__":
    main()
