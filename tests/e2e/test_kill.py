"""The ingest process killed with -9 at random moments: nothing is lost, and hardly anything is paid for twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.images.regions import SALIENT, is_region, planned
from pinakes.settings import Settings
from pinakes.store.database import Database
from tests.counting import Counting
from tests.programs import Program
from tests.running import gallery, stored
from tests.waiting import PATIENCE, until

IMAGES = 150
SECONDS_A_CALL = 0.03
PROMISED_SECONDS = 5.0


def ingest(source: Path | str, environment: dict[str, str], *options: str) -> subprocess.Popen[str]:
    command = ("tests.counting", "ingest", source, "--embedder", "counting")
    return Program(*command, "--batch-size", "16", "--json", *options, env=environment)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def killed_runs(
    rounds: int,
    seed: int,
    settings: Settings,
    database: Database,
    environment: dict[str, str],
    tmp_path: Path,
    *,
    images: int = IMAGES,
    place: Callable[[Path], Path | str] = lambda folder: folder,
) -> None:
    """Kill, resume, and compare source, checkpoint and table, `rounds` times on a fresh collection.

    Of each there are so many `images`; `place` puts their folder where they are ingested from.
    """
    chance = random.Random(seed)
    tmp_path.mkdir(exist_ok=True)
    log = tmp_path / "calls"
    for number in range(rounds):
        folder = gallery(tmp_path / f"in{number}", images)
        source = place(folder)
        log.write_text("")
        collection = f"killed{number}"
        kept = environment | {
            "COUNTING_LOG": str(log),
            "COUNTING_SECONDS": str(SECONDS_A_CALL),
            "PINAKES_COLLECTION": collection,
        }
        process = ingest(source, kept)
        # The moment is drawn from the first call to a little after the last.
        while not log.read_text() and process.poll() is None:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, images * SECONDS_A_CALL / 2 + 1.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed_at = time.time()

        account = finish(ingest(source, kept))
        assert account["listed"] == images == account["embedded"] + account["reused"]

        calls = [line.split() for line in log.read_text().splitlines()]
        counted = Counter(fingerprint for _, fingerprint in calls)
        twice = {fingerprint for fingerprint, times in counted.items() if times > 1}
        assert len(counted) == images
        assert max(counted.values()) <= 2
        first_call = {fingerprint: float(when) for when, fingerprint in reversed(calls)}
        assert all(first_call[fingerprint] >= killed_at - PROMISED_SECONDS for fingerprint in twice)

        ledger = open_checkpoint(settings.checkpoint, collection, Counting().facts.space).ledger()
        rows = stored(
            database,
            f"SELECT image_id, fingerprint FROM {collection}.counting_colours_1_27 JOIN {collection}.images"
            " USING (image_id, fingerprint)",
        )
        assert len(rows) == images
        assert all((row := ledger.get(*pair)) is not None and row.ok for pair in rows)
        assert {image_id for image_id, _ in rows} == {path.name for path in folder.iterdir()}


def test_a_killed_ingest_resumes(
    settings: Settings, database: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    killed_runs(3, 20, settings, database, environment, tmp_path)


@pytest.mark.slow
def test_regions_that_a_killed_ingest_has_kept_are_not_paid_for_again(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in")
    log = tmp_path / "calls"
    kept = environment | {"COUNTING_LOG": str(log), "COUNTING_SECONDS": "0.1"}
    process = ingest(source, kept, "--regions", "salient")
    until(lambda: any(Path(settings.checkpoint).rglob("part-*.parquet")), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    checkpoint = open_checkpoint(settings.checkpoint, "pictures", Counting().facts.space)
    before = {planned(row.fingerprint) for row in checkpoint.ledger()}
    assert any(map(is_region, before))

    account = finish(ingest(source, kept, "--regions", "salient"))
    regions = account["regions"]
    assert regions["listed"] == SALIENT * 12 == regions["embedded"] + regions["reused"]
    counted = Counter(line.split()[1] for line in log.read_text().splitlines())
    assert {counted[fingerprint] for fingerprint in before} == {1}
    assert len(counted) == (1 + SALIENT) * 12


@pytest.mark.slow
def test_a_killed_flow_resumes(
    settings: Settings, database: Database, environment: dict[str, str], prefect_api: str, tmp_path: Path
) -> None:
    killed_runs(1, 7, settings, database, environment | {"PREFECT_API_URL": prefect_api}, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_killed_ingest_resumes_at_any_moment(
    settings: Settings, database: Database, environment: dict[str, str], prefect_api: str, tmp_path: Path
) -> None:
    killed_runs(
        20,
        int(os.environ.get("SOAK_SEED", "1")),
        settings,
        database,
        environment | {"PREFECT_API_URL": prefect_api},
        tmp_path,
    )


def test_the_embedded_server_survives_a_kill_and_is_reused_then_ended(
    environment: dict[str, str], tmp_path: Path
) -> None:
    from pinakes.store.embedded.server import remove_server, server_info

    home = Path(environment["PINAKES_HOME"])
    kept = {name: value for name, value in environment.items() if name != "PINAKES_DATABASE_URL"}
    kept |= {"COUNTING_SECONDS": "0.05", "COUNTING_LOG": str(tmp_path / "calls")}
    source = gallery(tmp_path / "in", 80)
    try:
        process = ingest(source, kept)
        while not (tmp_path / "calls").exists() and process.poll() is None:
            time.sleep(0.05)
        process.kill()
        process.communicate()
        left = server_info(home)
        assert left is not None
        assert left.running
        assert left.users == 0
        finish(ingest(source, kept))
        ended = server_info(home)
        assert ended is not None
        assert not ended.running
    finally:
        remove_server(home)
