"""`pinakes status --runs`, and the log of a run as a program reads it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinakes import logs
from pinakes.cli.status import _runs_table
from pinakes.errors import PinakesError
from pinakes.ingest.opening import open_ingestion
from pinakes.operations.runs import runs
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.store.runs import start_run
from tests.fakes.azure import AzureFake
from tests.programs import Program, ended
from tests.running import gallery, request_of, run, run_stages, stored
from tests.waiting import PATIENCE

PROJECT = Path(__file__).parents[2]


def listed(
    database: Database, settings: Settings, collection: str | None = None, limit: int = 20
) -> list[dict[str, Any]]:
    with database.connection() as (conn, _):
        return runs(conn, settings, collection, limit)


def pinakes(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return ended("tests.counting", *arguments, env=environment | {"PYTHONPATH": str(PROJECT)}, cwd=environment["HOME"])


def test_an_empty_database_has_no_runs(environment: dict[str, str]) -> None:
    assert json.loads(pinakes(environment, "status", "--runs", "--json").stdout) == {"runs": []}


def test_runs_are_shown_newest_first_with_their_account(
    environment: dict[str, str], settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 4)
    run(settings, source)
    run(settings, source)
    run(settings, source, collection="other")
    again, first = listed(database, settings, "pictures")
    assert (first["state"], first["listed"], first["embedded"], first["calls"], first["cost"]) == (
        "completed",
        4,
        4,
        4,
        0,
    )
    assert (again["embedded"], again["reused"], again["rows_written"]) == (0, 4, 0)
    assert [one["collection"] for one in listed(database, settings)] == ["other", "pictures", "pictures"]
    assert len(listed(database, settings, limit=1)) == 1

    shown = pinakes(environment, "status", "--runs").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert first["run_id"] in shown
    assert len(json.loads(pinakes(environment, "status", "--runs", "--json").stdout)["runs"]) == 3


def test_a_run_that_failed_says_why(settings: Settings, database: Database, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 4)
    with pytest.raises(PinakesError), open_ingestion(request_of(settings, source), settings):
        raise PinakesError("the roof came down.")
    (failed,) = listed(database, settings)
    assert (failed["state"], failed["message"]) == ("failed", "the roof came down.")
    assert failed["who"].startswith("process ")


WORKING = """
import sys, time
from tests.running import load_settings, open_ingestion, request_of
settings = load_settings()
with open_ingestion(request_of(settings, sys.argv[1]), settings):
    print("at work", flush=True)
    time.sleep(600)
"""


def test_a_run_that_was_stopped_says_why_below_its_numbers(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    with open_ingestion(request_of(settings, gallery(tmp_path / "in", 4)), settings) as ingestion:
        ingestion.tally.add(deferred=4)
    (stopped,) = listed(database, settings)
    assert stopped["state"] == "stopped"
    assert "  stopped before the end: 4 pictures were not reached." in _runs_table([stopped])


def test_a_run_that_is_interrupted_as_soon_as_it_is_entered_was_stopped(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def enter_and_be_interrupted(*given: Any) -> None:
        start_run(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr("pinakes.ingest.opening.start_run", enter_and_be_interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(settings, gallery(tmp_path / "in", 1))
    assert stored(database, "SELECT state FROM pinakes.runs") == [("stopped",)]


def test_a_run_whose_process_was_killed_has_died(
    environment: dict[str, str], settings: Settings, database: Database, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", f"import tests.counting\n{WORKING}", str(gallery(tmp_path / "in", 2))],
        env=environment | {"PYTHONPATH": str(PROJECT)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "at work\n"
        (working,) = listed(database, settings)
        assert (working["state"], working["listed"], working["cost"]) == ("running", None, None)
    finally:
        process.kill()
        process.communicate()
    deadline = time.monotonic() + PATIENCE
    while (state := listed(database, settings)[0]["state"]) == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert state == "died"


def test_a_paid_run_shows_its_cost_and_leaves_the_providers_figures(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    with AzureFake() as fake:
        paid = replace(settings, values={**settings.values, **fake.environment})
        request = request_of(paid, gallery(tmp_path / "in", 6), embedder="azure", rate="none")
        with open_ingestion(request, paid) as ingestion:
            summary = run_stages(ingestion).summary
    (paid_run,) = listed(database, paid)
    # Six pictures and a check of each kind; that of a text has a price of its own.
    assert paid_run["cost"] == pytest.approx((paid_run["calls"] - 1) * 0.0001 + 0.000014)
    figures = summary["provider"]
    assert (figures["provider"], figures["calls"]) == ("azure", summary["calls"])
    assert 0 < figures["p50_ms"] <= figures["p95_ms"]
    assert figures["per_second"] > 0
    assert figures["answered"] == figures["calls"]
    json.dumps(summary)


def test_log_records_belong_to_a_run_from_its_beginning_to_its_end(settings: Settings, tmp_path: Path) -> None:
    assert logs.current() is None
    with open_ingestion(request_of(settings, gallery(tmp_path / "in", 4)), settings) as ingestion:
        run_stages(ingestion)
        fields = logs.current()
        assert fields is not None
        assert (fields.run_id, fields.collection) == (str(ingestion.run_id), "pictures")
    assert logs.current() is None


def test_the_log_of_a_command_is_json_on_request(
    environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    run(settings, gallery(tmp_path / "in", 2))
    (tmp_path / ".env").write_text("PINAKES_LOG=json\n")
    known = environment | {"PYTHONPATH": str(PROJECT), "PINAKES_WEB_TOKEN": "short"}
    process = Program("tests.counting", "serve", "--port", "0", env=known, cwd=tmp_path)
    try:
        assert process.stdout
        assert "Serving" in process.stdout.readline()
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=PATIENCE)
    (warning, *_) = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert (warning["level"], warning["logger"]) == ("WARNING", "pinakes.serve")


def test_a_wrong_form_of_the_log_is_one_line_on_standard_error(environment: dict[str, str]) -> None:
    done = pinakes(environment | {"PINAKES_LOG": "xml"}, "status")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "PINAKES_LOG" in done.stderr
