"""A collection that a test ingests with the command that a person types, or by a worker of Prefect's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from deployments.constants import POOL, RUNS
from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.settings import Settings
from pinakes.store.database import Database
from tests.counting import Counting
from tests.programs import Program
from tests.running import stored
from tests.waiting import PATIENCE

PROJECT = Path(__file__).parents[1]
SPACE = "counting_colours_1_27"


class Site:
    """One collection, `pictures`, and the command that a person types."""

    def __init__(self, settings: Settings, database: Database, environment: dict[str, str], folder: Path) -> None:
        self.settings = settings
        self.database = database
        self.folder = folder
        self.source = folder / "in"
        self.log = folder / "calls"
        self.log.touch()
        self.processes: list[subprocess.Popen[str]] = []
        self.environment = environment | {
            "COUNTING_LOG": str(self.log),
            "COUNTING_SECONDS": "0.05",
            "PINAKES_COLLECTION": "pictures",
            "PYTHONPATH": str(PROJECT),
        }

    def begin(self, *options: str, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        """An ingest; `before` is called in its process before the command is."""
        command = ("tests.counting", "ingest", self.source, "--embedder", "counting", "--json")
        process = Program(*command, *options, cwd=PROJECT, env=self.environment, preexec_fn=before)
        self.processes.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """The account of an ingest that completed."""
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        document: dict[str, Any] = json.loads(out)
        return document

    def end_badly(self, process: subprocess.Popen[str], saying: str) -> None:
        """See an ingest fail with one sentence."""
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1, err
        assert saying in err.splitlines()[-1]

    def calls(self) -> list[str]:
        """The fingerprint of every call so far."""
        return [line.split()[1] for line in self.log.read_text().splitlines()]

    def rows(self) -> list[tuple[Any, ...]]:
        """All rows of the collection, as PostgreSQL numbers their versions."""
        return [
            row
            for table in ("images", SPACE)
            for row in stored(
                self.database, f"SELECT image_id, fingerprint, xmin::text FROM pictures.{table} ORDER BY image_id"
            )
        ]

    def parts(self) -> dict[Path, int]:
        """The files of the checkpoint, and when each was written."""
        return {path: path.stat().st_mtime_ns for path in Path(self.settings.checkpoint).rglob("*") if path.is_file()}

    def whole(self) -> None:
        """Table, checkpoint and source are the same, by id and fingerprint."""
        ledger = open_checkpoint(self.settings.checkpoint, "pictures", Counting().facts.space).ledger()
        found = stored(self.database, f"SELECT image_id, fingerprint FROM pictures.{SPACE}")
        assert sorted(found) == sorted(stored(self.database, "SELECT image_id, fingerprint FROM pictures.images"))
        assert {image_id for image_id, _ in found} == {path.name for path in self.source.iterdir()}
        assert all((row := ledger.get(*pair)) is not None and row.ok for pair in found)

    def states(self) -> list[str]:
        """How the runs ended, the first one first."""
        return [state for (state,) in stored(self.database, "SELECT state FROM pinakes.runs ORDER BY started_at")]


class Machine:
    """A worker that takes one flow run at a time."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        folder.mkdir()
        with (folder / "worker.log").open("wb") as log:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--limit", "1"],
                cwd=folder,
                env=environment | RUNS | {"PREFECT_WORKER_QUERY_SECONDS": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._below: list[psutil.Process] = []

    def kill_worker(self) -> None:
        """Kill the worker alone, and leave what it has started."""
        self._below += psutil.Process(self.worker.pid).children(recursive=True)
        self.worker.kill()
        self.worker.wait()

    def kill(self) -> None:
        """Kill everything, as a power cut does."""
        if self.worker.poll() is None:
            self.kill_worker()
        for process in self._below:
            with suppress(psutil.NoSuchProcess):
                process.kill()
