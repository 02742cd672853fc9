"""The pipeline's own cost: `ingest` with an embedder that does nothing, through a running Prefect server.

`python -m benchmarks.pipeline [--images 20000] [--dimension 1024]`

Prints, for a first run, an unchanged re-run, and a rebuild after DROP SCHEMA: wall seconds of the run itself (what the
flow reports, apart from Prefect's start), milliseconds an image, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.common import machine, scratch_home
from deployments.constants import NO_TELEMETRY
from deployments.prefect_server import running_server
from pinakes.store.embedded.server import embedded_server

FILES_IN_A_FOLDER = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=1024)
    asked = parser.parse_args()
    print(f"{asked.images:,} images x {asked.dimension}; {machine()}")
    with scratch_home() as home, embedded_server(home) as dsn, tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in"
        make_files(source, asked.images)
        environment = (
            os.environ | NO_TELEMETRY | {"PINAKES_HOME": str(home), "PREFECT_HOME": str(Path(folder) / "prefect")}
        )
        with running_server(environment=environment) as server:
            environment["PREFECT_API_URL"] = server.api_url
            command = ["ingest", str(source), "--embedder", "nothing", "--dimension", str(asked.dimension)]
            show("first run", measured(command, environment), asked.images)
            before = writes(dsn)
            again = measured(command, environment)
            show("unchanged re-run", again, asked.images)
            print(f"  calls {again['calls']}, rows written by pg_stat_user_tables: {writes(dsn) - before}")
            with psycopg.connect(dsn, autocommit=True) as conn:
                conn.execute("DROP SCHEMA pictures CASCADE")
            rebuilt = measured(command, environment)
            show("after DROP SCHEMA", rebuilt, asked.images)
            print(f"  calls {rebuilt['calls']}")


def make_files(folder: Path, count: int) -> None:
    """Small files that differ and begin like a JPEG; nobody decodes them."""
    for number in range(count):
        path = folder / f"{number // FILES_IN_A_FOLDER:04}" / f"{number:07}.jpg"
        if number % FILES_IN_A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(b"\xff\xd8\xff" + str(number).encode() * 20)


def measured(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """What `--json` prints, with the peak memory of the process in MB."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.nothing", *command, "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"pinakes {' '.join(command)} ended with status {status}")
    document: dict[str, Any] = json.loads(out)
    return document | {"peak": usage.ru_maxrss / 1024}


def writes(dsn: str) -> int:
    """Rows ever inserted, updated or deleted in the collection."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT pg_sleep(1.5)")  # other sessions report their counts after a second
        row = conn.execute(
            "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables WHERE schemaname = 'pictures'"
        ).fetchone()
    return int(row[0]) if row else 0


def show(name: str, document: dict[str, Any], images: int) -> None:
    """One line of the table."""
    each = document["seconds"] * 1000 / images
    print(f"{name:<20}{document['seconds']:8.1f} s  {each:7.3f} ms an image  peak {document['peak']:5.0f} MB")


if __name__ == "__main__":
    main()
