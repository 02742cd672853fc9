"""A PREFECT_HOME whose database is migrated, so that a server that starts there answers after half the work.

The migrations of Prefect's database cost as much as all else that a server does before it answers. They are run once
and kept in pytest's cache, which `make clean` empties. Servers that a person starts for the first time, as the README and
`pinakes up` do, start without.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

LEAN = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "0",
    **{
        f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false"
        for name in ("SCHEDULER", "LATE_RUNS", "FOREMAN", "PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP")
    },
}
"""The environment of a server that has no schedules, no types of blocks, and shows nobody its pages: a fifth less to do
before it answers, and a third less while it waits."""

DATABASE = "prefect.db"
_CACHE = Path(__file__).parents[1] / ".pytest_cache"


def prefect_home(folder: Path) -> Path:
    """`folder`, made if need be, as the home of a Prefect server that has no migrations left to run."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_migrated(), folder / DATABASE)
    return folder


def _migrated() -> Path:
    """A migrated database, which the first process that asks makes while the others wait."""
    _CACHE.mkdir(exist_ok=True)
    kept = _CACHE / f"prefect-{version('prefect')}.db"
    with (_CACHE / "prefect.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
                subprocess.run(
                    [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"],
                    env=os.environ | {"PREFECT_HOME": folder},
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
                whole = Path(folder) / "whole.db"
                with sqlite3.connect(Path(folder) / DATABASE) as made:
                    made.execute("VACUUM INTO ?", [str(whole)])  # with what is in its write-ahead log
                whole.rename(kept)
    return kept
