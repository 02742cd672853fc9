"""Answers that were paid for and that the checkpoint has lost are never paid for again without a word."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.errors import CheckpointError
from pinakes.ingest.opening import dry_run
from pinakes.operations.status import status
from pinakes.settings import Settings
from pinakes.store.database import Database
from tests.counting import Counting
from tests.running import Ended, gallery, paint, request_of, run, using


def lost(settings: Settings, ended: Ended) -> None:
    shutil.rmtree(ended.run.checkpoint.location)


def vectors(settings: Settings, ended: Ended) -> dict[str, np.ndarray]:
    kept = open_checkpoint(settings.checkpoint, "pictures", ended.run.space)
    return {pair[0]: vector for chunk in kept.vectors() for pair, vector in zip(zip(chunk.image_ids), chunk.vectors)}


def status_of(settings: Settings, database: Database) -> dict[str, object]:
    with database.connection() as (conn, _):
        return status(conn, settings, "pictures")["spaces"][0]


def test_a_deleted_checkpoint_is_not_paid_for_again_unless_told(settings: Settings, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 5)
    lost(settings, run(settings, source))
    asked = Counting()
    with pytest.raises(CheckpointError, match=r"is empty, and 5 vectors are stored: .*--from-table .*--pay-again"):
        run(settings, source, embedder=asked)
    assert not asked.asked
    assert run(settings, source, embedder=asked, pay_again=True).account.embedded == 5


def test_a_mistyped_checkpoint_is_refused_although_a_picture_is_new(settings: Settings, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 5)
    run(settings, source)
    paint(source / "new.png", (1, 2, 3))
    asked = Counting()
    with pytest.raises(CheckpointError, match="5 vectors are stored"):
        run(settings, source, embedder=asked, checkpoint=str(tmp_path / "mistyped"))
    assert not asked.asked
    assert run(settings, source, embedder=asked).account.embedded == 1


def test_the_table_gives_back_what_the_checkpoint_lost(settings: Settings, tmp_path: Path, database: Database) -> None:
    source = gallery(tmp_path / "in", 5)
    shutil.copy(source / "p00.png", source / "same.png")
    first = run(settings, source)
    before = vectors(settings, first)
    lost(settings, first)
    shutil.copy(source / "p00.png", source / "also.png")
    asked = Counting()
    again = run(settings, source, embedder=asked, from_table=True)
    assert not asked.asked
    assert (again.account.reused, again.account.listed) == (7, 7)
    assert again.summary["plan"]["from the table"] == 7
    after = vectors(settings, again)
    assert all(np.allclose(after[name], vector, rtol=2e-3) for name, vector in before.items())
    assert any(
        "7 answers were taken from the table, in half precision" in p for p in status_of(settings, database)["problems"]
    )


def test_a_dry_run_says_that_the_run_would_refuse(settings: Settings, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 3)
    lost(settings, run(settings, source))
    with using(Counting()):
        notes = dry_run(request_of(settings, source), settings)["notes"]
        taken = dry_run(request_of(settings, source, from_table=True), settings)
    assert any("would refuse" in note and "3 vectors are stored" in note for note in notes)
    assert (taken["plan"]["from the table"], taken["planned"]["calls"], taken["notes"]) == (3, 0, [])


def test_status_says_what_the_checkpoint_lacks(settings: Settings, tmp_path: Path, database: Database) -> None:
    source = gallery(tmp_path / "in", 3)
    run(settings, source)
    other = replace(settings, checkpoint=str(tmp_path / "other"))
    assert "is empty, and 3 vectors are stored" in status_of(other, database)["problems"][0]
