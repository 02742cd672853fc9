"""The ingest process killed with -9 while its checkpoint is in a bucket."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pinakes.settings import Settings
from pinakes.store.database import Database
from tests.e2e.test_kill import killed_runs
from tests.fakes.gcs import GcsFake


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_killed_ingest_with_its_checkpoint_in_a_bucket_resumes(
    settings: Settings,
    database: Database,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with GcsFake(latency=0.02) as gcs:
        gcs.bucket("kept")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        kept = environment | gcs.environment | {"PINAKES_CHECKPOINT": "gs://kept/folder"}
        known = replace(settings, checkpoint="gs://kept/folder")
        killed_runs(2, 7, known, database, kept, tmp_path)
        assert gcs.counts["refused"] == 0
        assert not (settings.home / "checkpoints").exists()
