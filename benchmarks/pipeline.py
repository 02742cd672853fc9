"""The pipeline's own cost: `ingest` with an embedder that does nothing, through a running Prefect server.

`python -m benchmarks.pipeline [--images 20000] [--dimension 1024]`

Prints, for a first run, an unchanged re-run, and a rebuild after DROP SCHEMA: wall seconds of the run itself (what the
flow reports, without Prefect's start), milliseconds an image, and the peak memory of the process.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.common import arguments
from benchmarks.rehearsal import make_files
from benchmarks.runs import measured, prefect


def main() -> None:
    options = arguments(__doc__, images=20_000, dimension=1024)
    with prefect() as (_, dsn, environment), tempfile.TemporaryDirectory() as source:
        make_files(Path(source), options.images)
        command = ["ingest", source, "--embedder", "nothing", "--dimension", str(options.dimension)]
        show("first run", measured(command, environment), options.images)
        before = writes(dsn)
        again = measured(command, environment)
        show("unchanged re-run", again, options.images)
        print(f"  calls {again['calls']}, rows written by pg_stat_user_tables: {writes(dsn) - before}")
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("DROP SCHEMA pictures CASCADE")
        rebuilt = measured(command, environment)
        show("after DROP SCHEMA", rebuilt, options.images)
        print(f"  calls {rebuilt['calls']}")


def writes(dsn: str) -> int:
    """Rows ever inserted, updated or deleted in the collection."""
    statement = """
        SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint
        FROM pg_stat_user_tables
        WHERE schemaname = 'pictures'
    """
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT pg_sleep(1.5)")  # other sessions report their counts after a second
        row = conn.execute(statement).fetchone()
    return int(row[0]) if row else 0


def show(name: str, document: dict[str, Any], images: int) -> None:
    """One line of the table."""
    each = document["seconds"] * 1000 / images
    print(f"{name:<20}{document['seconds']:8.1f} s  {each:7.3f} ms an image  peak {document['peak']:5.0f} MB")


if __name__ == "__main__":
    main()
