"""What the tests start as copies of a process behaves as what a person starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs import COLD, PROJECT, ended


@pytest.mark.parametrize("flows", [False, True], ids=["the library", "with Prefect"])
def test_a_copy_ends_and_speaks_as_a_program_that_was_started_from_nothing(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flows: bool
) -> None:
    nowhere = {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_CLIENT_MAX_RETRIES": "0"} if flows else {}
    (tmp_path / "in").mkdir()

    def said() -> tuple[int, str, str]:
        done = ended(
            *("tests.counting", "ingest", "in", "--embedder", "counting"),
            env=environment | nowhere | {"PYTHONPATH": str(PROJECT)},
            cwd=tmp_path,
        )
        return done.returncode, done.stdout, done.stderr

    copied = said()
    monkeypatch.setenv(COLD, "1")
    assert copied == said()
    assert copied[0] == 1
    assert copied[2].startswith("pinakes: no Prefect server answers" if flows else "pinakes: the folder 'in' is empty")
