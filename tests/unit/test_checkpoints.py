"""Checkpoints in a folder; what holds wherever they are kept is in tests/integration/test_checkpoint_contract.py."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pinakes.checkpoints import Checkpoint, Ledger, open_checkpoint
from pinakes.checkpoints.base import ROW_SCHEMA, table_of
from pinakes.checkpoints.folder import FolderStorage
from pinakes.errors import CheckpointError, UsageError
from pinakes.images.regions import regions_in, with_frame
from pinakes.spaces import Space
from pinakes.types import Answer, ErrorClass, Failure, Vector

SPACE = Space(provider="fake", model="m", version="1", dimension=8, preprocessing="p1")
FORMATS: tuple[Literal["parquet", "csv"], ...] = ("parquet", "csv")
START = datetime(2025, 3, 1, 12, 0, 0, 1, UTC)


def md5(number: int) -> str:
    return f"md5:{number:032x}"


def vector_of(number: int, dimension: int = 8) -> Vector:
    return np.random.default_rng(number).standard_normal(dimension).astype(np.float32)


def ok(number: int, *, second: float = 0, fingerprint: str | None = None, seed: int | None = None) -> Answer:
    """An answer for `<number>.jpg` that succeeded at `second`."""
    return Answer(
        image_id=f"hall/{number:05d}.jpg",
        fingerprint=md5(number) if fingerprint is None else fingerprint,
        vector=vector_of(number if seed is None else seed),
        failure=None,
        attempts=1,
        model_version="m-1",
        embedded_at=START + timedelta(seconds=second),
    )


def failed(number: int, *, second: float = 0, attempts: int = 1, error: ErrorClass = ErrorClass.SERVER) -> Answer:
    """An answer for `<number>.jpg` that failed at `second`."""
    failure = Failure(error, f"no luck at {second}", 503)
    return replace(ok(number, second=second), vector=None, failure=failure, attempts=attempts)


def stored(checkpoint: Checkpoint) -> dict[tuple[str, str], bytes]:
    """Every current vector's bits; a pair that is streamed twice fails the test."""
    found: dict[tuple[str, str], bytes] = {}
    for chunk in checkpoint.vectors():
        assert chunk.vectors.dtype == np.float32
        for image_id, fingerprint, vector in zip(chunk.image_ids, chunk.fingerprints, chunk.vectors, strict=True):
            assert (image_id, fingerprint) not in found
            found[image_id, fingerprint] = vector.tobytes()
    return found


def bits(answers: Sequence[Answer]) -> dict[tuple[str, str], bytes]:
    return {(a.image_id, a.fingerprint): a.vector.tobytes() for a in answers if a.vector is not None}


def content(ledger: Ledger) -> set[object]:
    return set(ledger)


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """As on a full disk: this process cannot make a file longer than `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=FORMATS)
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    return open_checkpoint(str(tmp_path), "art", SPACE, format=request.param)


@pytest.fixture
def folder(checkpoint: Checkpoint) -> Path:
    return Path(checkpoint.location)


def only_part(folder: Path) -> Path:
    (part,) = folder.glob("part-*")
    return part


def flip(part: Path, column: pq.ColumnChunkMetaData) -> None:
    """Flip one bit in the middle of a column of a row group."""
    data = bytearray(part.read_bytes())
    begins = column.dictionary_page_offset or column.data_page_offset
    data[begins + column.total_compressed_size // 2] ^= 16
    part.write_bytes(data)


# Names and places


@pytest.mark.parametrize("root", ["ftp://bucket", "GS://bucket", "gs:/bucket", "gs://", "gs://No Bucket/a", ""])
def test_a_root_that_is_no_folder_and_no_bucket_is_refused(root: str) -> None:
    with pytest.raises(UsageError, match="folder"):
        open_checkpoint(root, "art", SPACE)


def test_a_bad_collection_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="collection name"):
        open_checkpoint(str(tmp_path), "No Such", SPACE)
    with pytest.raises(UsageError, match="parquet or csv"):
        open_checkpoint(str(tmp_path), "art", SPACE, format="json")  # type: ignore[arg-type]


def test_a_root_may_have_any_name(tmp_path: Path) -> None:
    root = os.fsdecode(os.fsencode(tmp_path) + b'/caf\xc3\xa9 100%" \xff\n')
    for form in FORMATS:
        open_checkpoint(root, "art", SPACE, format=form).write([ok(1), failed(2)])
    assert len(open_checkpoint(root, "art", SPACE).ledger()) == 2


# Writing and reading


def test_a_part_without_rows_is_read_once(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE)
    checkpoint.write([ok(1)])
    part = only_part(Path(checkpoint.location))
    pq.write_table(pq.read_table(part).slice(0, 0), part)
    assert len(checkpoint.ledger()) == 0
    assert checkpoint.ledger() is checkpoint.ledger()
    assert list(checkpoint.vectors()) == []
    checkpoint.write([ok(2)])
    checkpoint.compact()
    assert stored(checkpoint) == bits([ok(2)])
    assert checkpoint.problems == []


def test_an_error_class_of_a_later_version_is_tried_again(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE, format="csv")
    checkpoint.write([failed(1)])
    part = only_part(Path(checkpoint.location))
    part.write_text(part.read_text().replace("server-error", "cosmic-ray"))
    (row,) = checkpoint.ledger()
    assert row.failure is not None
    assert (row.failure.error_class, row.final) == (ErrorClass.INTERNAL, False)


# What the files look like to others


def test_a_parquet_part_says_which_space_it_belongs_to(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE)
    checkpoint.write([ok(1), failed(2)])
    table = pq.read_table(only_part(Path(checkpoint.location)))
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 8)
    assert table["vector"].null_count == 1
    assert table.schema.metadata[b"pinakes.space"] == b"fake_m_1_8_p1"
    assert table.schema.metadata[b"pinakes.dimension"] == b"8"
    assert table.schema.field("embedded_at").type == pa.timestamp("us", tz="UTC")


def test_a_csv_part_is_plain_csv_with_json_lists(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE, format="csv")
    answer = replace(ok(1), image_id='a "b", 100%\r\n\t"é.jpg')
    checkpoint.write([answer, failed(2)])
    with only_part(Path(checkpoint.location)).open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file, strict=True)
    assert first["image_id"] == answer.image_id
    assert np.array_equal(np.array(json.loads(first["vector"]), np.float32), vector_of(1))
    assert (first["status"], first["error_class"], first["embedded_at"]) == ("ok", "", "2025-03-01T12:00:00.000001Z")
    assert (second["vector"], second["http_status"], second["error_class"]) == ("", "503", "server-error")


def test_a_csv_part_of_another_program_is_read_by_its_header(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE, format="csv")
    checkpoint.write([ok(1), failed(2)])
    part = only_part(Path(checkpoint.location))
    with part.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["vector"] = json.dumps(json.loads(row["vector"]), indent=1) if row["vector"] else ""
        row["note"] = "mine"
    with part.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, sorted(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert stored(checkpoint) == bits([ok(1)])
    assert checkpoint.ledger().counts() == {"ok": 1, "failed": 1}
    assert checkpoint.problems == []


def test_csv_rows_with_line_breaks_are_whole_wherever_a_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.checkpoints.csvformat.BLOCK_BYTES", 1024)
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE, format="csv")
    names = [f'a{number} "b",\r\n"\n",,\n"{"x" * (number % 17)}' for number in range(300)]
    answers = [replace(ok(number), image_id=name) for number, name in enumerate(names)]
    checkpoint.write(answers)
    assert stored(checkpoint) == bits(answers)
    assert checkpoint.problems == []


# Files that are no parts


def test_a_parquet_file_of_other_columns_is_set_aside(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE)
    checkpoint.write([ok(1)])
    part = only_part(Path(checkpoint.location))
    table = pq.read_table(part)
    pq.write_table(pa.table({"a": [1]}), part.with_name("part-plain.parquet"))
    pq.write_table(table.drop_columns(["attempts"]), part.with_name("part-columns.parquet"))
    pq.write_table(table.set_column(2, "status", pa.array(["done"])), part.with_name("part-status.parquet"))
    assert len(checkpoint.ledger()) == 1
    assert sorted(path.name for path in part.parent.joinpath("set-aside").iterdir()) == [
        "part-columns.parquet",
        "part-plain.parquet",
        "part-status.parquet",
    ]


def test_a_part_of_a_later_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE)
    checkpoint.write([ok(1)])
    part = only_part(Path(checkpoint.location))
    table = pq.read_table(part)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"pinakes.format": b"2"}), part)
    with pytest.raises(CheckpointError, match=r"part-.* has format 2.*upgrade Pinakes"):
        checkpoint.ledger()
    assert part.exists()


@pytest.mark.parametrize("broken", ["[1,2,3,4,5,6,7,x]", "[1,2]", "1,2,3,4,5,6,7,8", "[1,2,3,4,5,6,7,]", ""])
def test_a_csv_part_with_a_broken_vector_is_set_aside(tmp_path: Path, broken: str) -> None:
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE, format="csv")
    checkpoint.write([ok(1)])
    good = only_part(Path(checkpoint.location))
    text = good.read_text().splitlines()
    row = next(csv.reader([text[1]]))
    row[3] = broken
    with good.with_name("part-broken.csv").open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([next(csv.reader([text[0]])), ["two.jpg", *row[1:]]])
    assert stored(checkpoint) == bits([ok(1)])
    assert len(checkpoint.ledger()) == 1
    assert "part-broken.csv" in checkpoint.problems[0]


def test_a_flipped_bit_in_a_vector_is_noticed(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE)
    checkpoint.write([ok(n) for n in range(200)])
    part = only_part(Path(checkpoint.location))
    column = pq.ParquetFile(part).metadata.row_group(0).column(3)
    flip(part, column)
    assert len(checkpoint.ledger()) == 200
    assert list(checkpoint.vectors()) == []
    assert re.search(r"is damaged \(.*CRC.*\): 0 of its 200 answers were saved into part-", checkpoint.problems[0])
    rows = list(checkpoint.ledger())
    assert len(rows) == 200, "so that it is known what is lost"
    assert all(row.failure and row.failure.error_class is ErrorClass.LOST and not row.final for row in rows)
    assert part.name in rows[0].failure.message
    assert (part.parent / "set-aside" / part.name).exists()


def test_of_a_damaged_part_every_other_row_group_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinakes.checkpoints.base.CHUNK_ROWS", 100)
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE)
    answers = [ok(n) for n in range(500)]
    checkpoint.write(answers)
    part = only_part(Path(checkpoint.location))
    flip(part, pq.ParquetFile(part).metadata.row_group(1).column(3))
    assert stored(checkpoint) == bits(answers[:100] + answers[200:])
    assert "400 of its 500 answers were saved" in checkpoint.problems[0]
    assert checkpoint.ledger().counts() == {"ok": 400, "failed": 100}
    assert stored(open_checkpoint(str(tmp_path), "art", SPACE)) == bits(answers[:100] + answers[200:])


def test_a_row_group_whose_ids_are_damaged_is_the_only_one_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.checkpoints.base.CHUNK_ROWS", 100)
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE)
    answers = [ok(n) for n in range(300)]
    checkpoint.write(answers)
    part = only_part(Path(checkpoint.location))
    flip(part, pq.ParquetFile(part).metadata.row_group(2).column(0))
    assert len(checkpoint.ledger()) == 200
    assert checkpoint.unreadable_parts == 1
    assert stored(checkpoint) == bits(answers[:200])


def test_of_a_damaged_csv_part_every_other_row_is_saved(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE, format="csv")
    answers = [ok(n) for n in range(50)] + [failed(n) for n in range(50, 60)]
    checkpoint.write(answers)
    part = only_part(Path(checkpoint.location))
    lines = part.read_text().splitlines(keepends=True)
    lines[20] = lines[20].replace('"[', '"[x', 1)
    lines[30] = lines[30].replace('"1"', '"one"', 1)
    part.write_text("".join(lines))
    left = [answer for number, answer in enumerate(answers[:50]) if number not in (19, 29)]
    assert stored(checkpoint) == bits(left)
    assert checkpoint.ledger().counts() == {"ok": 48, "failed": 10}
    assert "58 of its 60 answers were saved" in checkpoint.problems[0]


def test_a_csv_part_whose_header_is_damaged_is_set_aside_as_unreadable(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE, format="csv")
    checkpoint.write([ok(1)])
    part = only_part(Path(checkpoint.location))
    part.write_bytes(part.read_bytes().replace(b'","', b'"-"', 1))
    checkpoint.write([ok(2)])
    assert stored(checkpoint) == bits([ok(2)])
    assert checkpoint.unreadable_parts == 1
    assert "nobody can say which answers it held" in checkpoint.problems[0]


def test_a_stream_that_meets_a_broken_part_goes_on_with_its_double(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.checkpoints.base.CHUNK_ROWS", 100)
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE)
    answers = [ok(n) for n in range(300)]
    checkpoint.write(answers)
    part = only_part(Path(checkpoint.location))
    data = bytearray(part.rename(part.with_name("part-1.parquet")).read_bytes())
    last = pq.ParquetFile(part.with_name("part-1.parquet")).metadata.row_group(2).column(3)
    data[last.data_page_offset + last.total_compressed_size // 2] ^= 16
    part.with_name("part-2.parquet").write_bytes(data)
    assert stored(checkpoint) == bits(answers)
    assert "part-2.parquet" in checkpoint.problems[0]


def test_what_cannot_be_set_aside_is_reported_once_and_ignored(checkpoint: Checkpoint, folder: Path) -> None:
    checkpoint.write([ok(1)])
    (folder / "set-aside").write_bytes(b"a file where the folder should be")
    (folder / f"part-bad{only_part(folder).suffix}").write_bytes(b"")
    for _ in range(3):
        assert stored(checkpoint) == bits([ok(1)])
    assert len(checkpoint.problems) == 2
    assert all("ignored" in problem for problem in checkpoint.problems)


# A disk that refuses


def test_a_full_disk_is_an_error_that_says_what_to_do_and_leaves_nothing(checkpoint: Checkpoint, folder: Path) -> None:
    checkpoint.write([ok(1)])
    before = sorted(path.name for path in folder.iterdir())
    with files_limited_to(4000), pytest.raises(CheckpointError, match=r"part-.*File too large; free some space"):
        checkpoint.write([ok(n) for n in range(1000)])
    assert sorted(path.name for path in folder.iterdir()) == before
    assert stored(checkpoint) == bits([ok(1)])


def test_a_full_disk_during_compaction_loses_nothing(checkpoint: Checkpoint, folder: Path) -> None:
    answers = [ok(n) for n in range(300)]
    for start in range(0, 300, 30):
        checkpoint.write(answers[start : start + 30])
    with files_limited_to(6000), pytest.raises(CheckpointError, match="free some space"):
        checkpoint.compact()
    assert stored(checkpoint) == bits(answers)
    assert len(list(folder.iterdir())) == 10


def test_a_root_that_is_a_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    checkpoint = open_checkpoint(str(tmp_path / "file"), "art", SPACE)
    with pytest.raises(CheckpointError, match="root must be a folder"):
        checkpoint.write([ok(1)])
    with pytest.raises(CheckpointError, match="cannot be listed"):
        checkpoint.ledger()


# Compaction


def test_a_listing_torn_by_a_merge_is_not_believed(tmp_path: Path) -> None:
    class Torn(FolderStorage):
        listings = 0

        def names(self) -> set[str]:
            self.listings += 1
            return set() if self.listings == 2 else super().names()

    first = open_checkpoint(str(tmp_path), "art", SPACE)
    first.write([ok(1)])
    assert len(Checkpoint(Torn(Path(first.location)), SPACE, "parquet").ledger()) == 1


def test_leftovers_of_dead_writers_are_never_read_and_go_after_a_day(checkpoint: Checkpoint, folder: Path) -> None:
    checkpoint.write([ok(1)])
    old, new = folder / ".part-old.parquet.tmp", folder / ".part-new.parquet.tmp"
    for path in (old, new):
        path.write_bytes(b"half a part")
    yesterday = old.stat().st_mtime - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    assert len(checkpoint.ledger()) == 1
    checkpoint.compact()
    assert not old.exists()
    assert new.exists()
    assert checkpoint.problems == []


@pytest.mark.parametrize("names", [("part-a", "part-b"), ("part-b", "part-a")])
def test_the_newest_failure_of_a_region_counts_whatever_its_parts_are_called(names: tuple[str, str]) -> None:
    asked = next(regions_in(md5(1), "salient"))
    unread = replace(failed(1, second=0), fingerprint=asked)
    refused = replace(
        failed(1, second=9, error=ErrorClass.REJECTED), fingerprint=with_frame(asked, (0.1, 0.1, 0.5, 0.5))
    )
    tables = {
        name: table_of([answer], SPACE).select(ROW_SCHEMA.names)
        for name, answer in zip(names, (unread, refused), strict=True)
    }
    row = Ledger.of(dict(sorted(tables.items()))).get(unread.image_id, asked)
    assert row is not None
    assert row.failure is not None
    assert row.failure.error_class is ErrorClass.REJECTED
