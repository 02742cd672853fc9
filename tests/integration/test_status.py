"""What `pinakes status` says of pictures that failed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pinakes.cli.status import command
from pinakes.errors import PinakesError
from pinakes.operations.status import write_failures
from pinakes.settings import Settings
from tasks.artifacts import _how_many_failed
from tests.running import gallery, run


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_all_failures_are_in_json_and_behind_status_failures(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINAKES_HOME", str(settings.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", settings.database_url or "")
    monkeypatch.chdir(tmp_path)
    source = gallery(tmp_path / "in", 1)
    names = [f"broken{number:03}.png" for number in range(126)]
    for number, name in enumerate(names):
        (source / name).write_bytes(b"broken %d" % number)
    failures = run(settings, source, allow_failures="200").summary["failures"]
    assert [failure["image_id"] for failure in failures] == names
    assert len(json.loads(shown("--json"))["spaces"][0]["failures"]) == 126
    assert "broken100.png" not in shown()
    assert "and 26 more: pinakes status --failures [FILE] has all" in shown()
    every = shown("--failures")
    assert all(name in every for name in names)
    assert "126 failures written to failures.csv" in shown("--failures", "failures.csv")
    with Path("failures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_id"] for row in rows] == names
    assert rows[0]["space"].startswith("counting_")
    assert rows[0]["message"] == failures[0]["message"]
    with pytest.raises(PinakesError, match=r"the list of failures 'no/failures\.csv' cannot be written: No such file"):
        shown("--failures", "no/failures.csv")


def test_failures_that_cannot_be_written_whole_leave_the_earlier_file(tmp_path: Path) -> None:
    file = tmp_path / "failures.csv"
    failure = {"image_id": "a.png", "message": "Zoé"}
    assert write_failures({"spaces": [{"space": "s", "failures": [failure]}]}, file) == 1
    earlier = file.read_bytes()
    assert "Zoé" in earlier.decode()
    with pytest.raises(ValueError, match="unknown"):
        write_failures({"spaces": [{"space": "s", "failures": [{"unknown": ""}]}]}, file)
    assert file.read_bytes() == earlier
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("failed", "said"),
    [
        (0, "No picture failed"),
        (100, "failed: 100; all of them with"),
        (126, "failed: 126; the first 100, and 26 more behind pinakes status --failures"),
    ],
)
def test_the_artifact_says_how_many_more_failed(failed: int, said: str) -> None:
    assert said in _how_many_failed({"failed": failed})
