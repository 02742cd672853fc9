"""Answers that were paid for and that the checkpoint has lost are never paid for again without a word."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.checkpoints.writer import CheckpointWriter
from pinakes.embedders.base import Picture
from pinakes.errors import CheckpointError, UnfinishedError
from pinakes.ingest.opening import dry_run
from pinakes.ingest.stages import ingest
from pinakes.operations.status import status
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.types import Failure, Vector
from tests.counting import Counting
from tests.running import Ended, gallery, paint, request_of, run, stored, using
from tests.unit.test_checkpoints import files_limited_to


def lost(settings: Settings, ended: Ended) -> None:
    shutil.rmtree(ended.run.checkpoint.location)


def vectors(settings: Settings, ended: Ended) -> dict[str, np.ndarray]:
    kept = open_checkpoint(settings.checkpoint, "pictures", ended.run.space)
    return {name: v for chunk in kept.vectors() for name, v in zip(chunk.image_ids, chunk.vectors, strict=True)}


def status_of(settings: Settings, database: Database) -> dict[str, Any]:
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


def test_a_copy_of_a_rounded_answer_is_marked_as_rounded(settings: Settings, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 3)
    lost(settings, run(settings, source))
    assert run(settings, source, from_table=True).run.checkpoint.ledger().rounded() == 3
    (source / "p00.png").rename(source / "renamed.png")
    again = run(settings, source)
    assert again.account.calls == 0
    assert again.run.checkpoint.ledger().rounded() == 4


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


def damage(ended: Ended) -> Path:
    """Flip a bit in a vector of the only part."""
    (part,) = Path(ended.run.checkpoint.location).glob("part-*.parquet")
    column = pq.ParquetFile(part).metadata.row_group(0).column(3)
    data = bytearray(part.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 16
    part.write_bytes(data)
    return part


def test_damage_that_a_load_finds_is_named_in_the_run_in_status_and_never_paid_for_silently(
    settings: Settings, tmp_path: Path, database: Database
) -> None:
    source = gallery(tmp_path / "in", 6)
    first = run(settings, source)
    part = damage(first)
    stored(database, "DELETE FROM pictures.counting_colours_1_27 RETURNING 1")
    with using(Counting()) as asked, pytest.raises(UnfinishedError) as found:
        ingest(request_of(settings, source), settings)
    assert not asked.asked
    assert re.search(rf"6 answers are lost: {part.name} is damaged .*--from-table.*--pay-again", str(found.value))
    assert (found.value.summary["failed"], found.value.summary["lost"], found.value.summary["reused"]) == (6, 6, 0)
    space = status_of(settings, database)
    assert part.name in space["failures"][0]["message"]
    assert "6 answers were in damaged parts" in space["problems"][0]
    with pytest.raises(CheckpointError, match="Damaged parts of the checkpoint held 6 of the answers"):
        run(settings, source, embedder=asked)
    assert not asked.asked
    assert run(settings, source, embedder=asked, pay_again=True).account.embedded == 6
    assert status_of(settings, database)["problems"] == []


def test_what_a_damaged_part_held_comes_back_from_the_table(
    settings: Settings, tmp_path: Path, database: Database
) -> None:
    source = gallery(tmp_path / "in", 6)
    first = run(settings, source)
    damage(first)
    assert list(first.run.checkpoint.vectors()) == []
    asked = Counting()
    with pytest.raises(CheckpointError, match=r"lacks 6 answers whose vectors are stored"):
        run(settings, source, embedder=asked)
    assert run(settings, source, embedder=asked, from_table=True).account.reused == 6
    assert not asked.asked


def unreadable(settings: Settings, source: Path, pictures: int) -> Path:
    """Ingest some pictures, and damage the part that holds their answers so that nothing of it can be read."""
    first = run(settings, source, limit=pictures)
    (part,) = Path(first.run.checkpoint.location).glob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:-20])
    return part


def test_a_part_of_which_nothing_can_be_read_is_named_before_anything_is_paid(
    settings: Settings, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 6)
    unreadable(settings, source, 3)
    asked = Counting()
    with pytest.raises(CheckpointError, match="3 vectors are stored"):
        run(settings, source, embedder=asked)
    assert not asked.asked


def test_every_run_refuses_to_pay_for_an_unreadable_part_that_the_table_does_not_have_until_it_is_told(
    settings: Settings, tmp_path: Path, database: Database
) -> None:
    source = gallery(tmp_path / "in", 6)
    part = unreadable(settings, source, 3)
    stored(database, "DELETE FROM pictures.counting_colours_1_27 RETURNING 1")
    asked = Counting()
    for options in ({}, {}, {"from_table": True}):
        with pytest.raises(CheckpointError, match=rf"{part.name} is damaged .*--pay-again embeds 6 pictures"):
            run(settings, source, embedder=asked, **options)
        assert part.name in status_of(settings, database)["problems"][0]
    with using(asked):
        assert any("would refuse" in note for note in dry_run(request_of(settings, source), settings)["notes"])
    assert not asked.asked
    assert run(settings, source, embedder=asked, pay_again=True).account.embedded == 6
    paint(source / "new.png", (1, 2, 3))
    assert run(settings, source, embedder=asked).account.embedded == 1
    assert status_of(settings, database)["problems"] == []


def test_an_unreadable_part_that_is_put_back_whole_is_no_loss_any_more(
    settings: Settings, tmp_path: Path, database: Database
) -> None:
    source = gallery(tmp_path / "in", 6)
    whole = next(iter(Path(run(settings, source).run.checkpoint.location).glob("part-*"))).read_bytes()
    part = unreadable(settings, source, 6)
    with pytest.raises(CheckpointError, match="is damaged"):
        run(settings, source)
    part.write_bytes(whole)
    asked = Counting()
    paint(source / "new.png", (1, 2, 3))
    assert run(settings, source, embedder=asked).account.embedded == 1
    assert status_of(settings, database)["problems"] == []


class Filling(Counting):
    """Two batches at once; after four answers of each the disk is full."""

    paid = True

    def __init__(self) -> None:
        super().__init__()
        self.both = Barrier(2)
        self.full = ExitStack()

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        for number, outcome in enumerate(super().embed_images(batch)):
            if number == 4 and self.both.wait(60) == 0:
                self.full.enter_context(files_limited_to(10))
            if number == 4:
                self.both.wait(60)
            yield outcome


def test_a_full_disk_tells_how_many_answers_are_lost_in_all_batches_and_loads_what_was_kept(
    settings: Settings, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.ingest.batch.CheckpointWriter", partial(CheckpointWriter, flush_answers=4))
    source = gallery(tmp_path / "in", 20)
    request = request_of(settings, source, batch_size=10)
    embedder = Filling()
    with embedder.full, using(embedder), pytest.raises(UnfinishedError) as found:
        ingest(request, settings)
    assert re.search(r"free some space there.* 12 answers could not be kept and are lost;", str(found.value))
    summary = found.value.summary
    assert (summary["embedded"], summary["deferred"], summary["lost"], summary["calls"]) == (8, 12, 12, 20)
    assert stored(database, "SELECT count(*) FROM pictures.counting_colours_1_27") == [(8,)]
    assert run(settings, source).account.embedded == 12


def test_a_full_disk_tells_of_lost_regions_as_well(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.ingest.batch.CheckpointWriter", partial(CheckpointWriter, flush_answers=4))
    source = gallery(tmp_path / "in", 2)
    run(settings, source)
    embedder = Filling()
    with embedder.full, using(embedder), pytest.raises(UnfinishedError) as found:
        ingest(request_of(settings, source, batch_size=9, regions="grid"), settings)
    assert " 10 answers could not be kept and are lost;" in str(found.value)
    summary = found.value.summary
    assert (summary["lost"], summary["regions"]["deferred"], summary["regions"]["embedded"]) == (10, 10, 8)
    assert summary["deferred"] == 0
