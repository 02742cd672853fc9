"""The ingest process killed with -9 while its pictures and its checkpoint are in a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pinakes.settings import Settings
from pinakes.store.database import Database
from tests.e2e.test_kill import killed_runs
from tests.fakes.gcs import GcsFake
from tests.object_stores import Store


@dataclass
class Bucket:
    """An empty bucket: its address, the environment in which it is reached, and what puts a folder into it."""

    root: str
    environment: dict[str, str]
    fill: Callable[[Path], None]


# What `gs` adds to the contract tests of its checkpoints is little; the other two have clients that retry in their own ways.
@pytest.fixture(params=[pytest.param("gs", marks=pytest.mark.soak), "s3", "az"])
def bucket(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    if request.param == "gs":
        with GcsFake(latency=0.02) as gcs:
            gcs.bucket("kept")
            yield Bucket("gs://kept", gcs.environment, lambda folder: gcs.fill("kept", folder))
            assert gcs.counts["refused"] == 0
        return
    store: Store = request.getfixturevalue({"s3": "s3", "az": "azurite"}[request.param])
    store.bucket("kept")

    def fill(folder: Path) -> None:
        for path in folder.iterdir():
            store.put("kept", f"{folder.name}/{path.name}", path.read_bytes(), "image/png")

    yield Bucket(store.root("kept"), store.environment, fill)


@pytest.mark.slow
def test_a_killed_ingest_with_pictures_and_checkpoint_in_a_bucket_resumes(
    bucket: Bucket,
    settings: Settings,
    database: Database,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)

    def uploaded(folder: Path) -> str:
        bucket.fill(folder if bucket.root.startswith(("s3", "az")) else folder.parent)
        return f"{bucket.root}/{folder.name}"

    checkpoint = f"{bucket.root}/a checkpoint"
    kept = environment | bucket.environment | {"PINAKES_CHECKPOINT": checkpoint}
    known = replace(settings, checkpoint=checkpoint)
    killed_runs(1, 7, known, database, kept, tmp_path / "pictures", images=60, place=uploaded)
    assert not (settings.home / "checkpoints").exists()
