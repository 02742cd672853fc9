"""What a checkpoint promises, whichever of the two formats its parts have."""

from __future__ import annotations

import csv
import json
import os
import pickle
import resource
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pinakes.checkpoints import Checkpoint, Ledger, open_checkpoint
from pinakes.checkpoints.base import MAX_MESSAGE
from pinakes.checkpoints.folder import FolderStorage
from pinakes.errors import CheckpointError, UsageError
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


# Names and places


def test_a_part_stands_under_collection_and_space(checkpoint: Checkpoint, tmp_path: Path) -> None:
    checkpoint.write([ok(1)])
    assert only_part(tmp_path / "art" / "fake_m_1_8_p1").suffix in {".parquet", ".csv"}


def test_a_checkpoint_that_is_not_there_yet_is_empty_and_stays_unmade(checkpoint: Checkpoint, folder: Path) -> None:
    assert len(checkpoint.ledger()) == 0
    assert checkpoint.ledger().counts() == {"ok": 0, "failed": 0}
    assert list(checkpoint.ledger().ids()) == []
    assert list(checkpoint.vectors()) == []
    assert not checkpoint.needs_compaction()
    assert checkpoint.compact().merged == 0
    assert not folder.exists()


def test_no_answers_make_no_part(checkpoint: Checkpoint, folder: Path) -> None:
    checkpoint.write([])
    assert not folder.exists()


@pytest.mark.parametrize("root", ["gs://bucket/prefix", "s3://bucket", ""])
def test_a_root_that_is_no_folder_is_refused(root: str) -> None:
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


def test_what_is_written_is_read_back(checkpoint: Checkpoint) -> None:
    answers = [ok(1, second=1.000001), failed(2, attempts=3, error=ErrorClass.UNDECODABLE), ok(3, fingerprint="")]
    checkpoint.write(answers)
    ledger = checkpoint.ledger()
    first, second, third = (ledger.get(a.image_id, a.fingerprint) for a in answers)
    assert first is not None
    assert (first.status, first.ok, first.final, first.failure) == ("ok", True, False, None)
    assert (first.error_class, first.error_message, first.http_status) == (None, None, None)
    assert (first.attempts, first.model_version, first.embedded_at) == (1, "m-1", answers[0].embedded_at)
    assert second is not None
    assert (second.status, second.final, second.failure, second.attempts) == ("failed", True, answers[1].failure, 3)
    assert third is not None
    assert third.fingerprint == ""
    assert ledger.counts() == {"ok": 2, "failed": 1}
    assert [row.image_id for row in ledger.failures()] == [answers[1].image_id]
    assert sorted(ledger.ids()) == [a.image_id for a in answers]
    assert stored(checkpoint) == bits(answers)


def test_parts_of_both_formats_are_read_together(tmp_path: Path) -> None:
    for number, form in enumerate(FORMATS):
        open_checkpoint(str(tmp_path), "art", SPACE, format=form).write([ok(number)])
    for form in FORMATS:
        checkpoint = open_checkpoint(str(tmp_path), "art", SPACE, format=form)
        assert stored(checkpoint) == bits([ok(0), ok(1)])
        assert checkpoint.problems == []


def test_the_ledger_answers_for_bytes_under_an_id(checkpoint: Checkpoint) -> None:
    checkpoint.write([ok(1), failed(2), ok(3, fingerprint="crc32c:00000001:5"), ok(1, fingerprint=md5(11))])
    ledger = checkpoint.ledger()
    assert ledger.get(ok(1).image_id, md5(2)) is None
    assert ledger.get("hall/99999.jpg", md5(1)) is None
    assert ledger.known(ok(1).image_id)
    assert not ledger.known("hall/99999.jpg")
    assert sorted(ledger.ids()) == [ok(n).image_id for n in (1, 2, 3)]
    assert ledger.donor(md5(1)) == ledger.donor(md5(11)) == ok(1).image_id
    assert ledger.donor(md5(2)) is None, "a failure is no answer to copy"
    assert ledger.donor("crc32c:00000001:5") is None, "a CRC says nothing about other files"


def test_ok_beats_failed_and_the_newest_counts_with_the_most_attempts_seen(checkpoint: Checkpoint) -> None:
    checkpoint.write([failed(1, second=1, attempts=4), failed(2, second=5, attempts=2), ok(3, second=9, seed=77)])
    checkpoint.write([ok(1, second=0), failed(2, second=3, attempts=6), failed(3, second=99, attempts=2)])
    checkpoint.write([ok(3, second=8)])
    ledger = checkpoint.ledger()
    first, second, third = (ledger.get(ok(n).image_id, md5(n)) for n in (1, 2, 3))
    assert first is not None
    assert (first.status, first.attempts) == ("ok", 4)
    assert second is not None
    assert (second.error_message, second.attempts) == ("no luck at 5", 6)
    assert third is not None
    assert (third.status, third.attempts, third.embedded_at) == ("ok", 2, ok(3, second=9).embedded_at)
    assert stored(checkpoint) == bits([ok(1), ok(3, seed=77)])


def test_the_ledger_follows_what_others_write_and_merge(checkpoint: Checkpoint, tmp_path: Path) -> None:
    other = open_checkpoint(str(tmp_path), "art", SPACE)
    for number in range(6):
        other.write([ok(number, second=number), failed(100, second=number)])
        assert content(checkpoint.ledger()) == content(open_checkpoint(str(tmp_path), "art", SPACE).ledger())
    assert checkpoint.ledger() is checkpoint.ledger(), "nothing new is nothing to read"
    other.compact()
    assert content(checkpoint.ledger()) == content(other.ledger())


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


def test_a_ledger_may_travel_to_another_process(checkpoint: Checkpoint) -> None:
    checkpoint.write([ok(1), failed(2)])
    copy = pickle.loads(pickle.dumps(checkpoint.ledger()))
    assert content(copy) == content(checkpoint.ledger())
    assert copy.donor(md5(1)) == ok(1).image_id


def test_only_wanted_vectors_are_streamed(checkpoint: Checkpoint) -> None:
    checkpoint.write([ok(n) for n in range(5)])
    checkpoint.write([ok(n) for n in range(5, 10)])
    wanted = {(ok(n).image_id, md5(n)) for n in (1, 2, 7)} | {("hall/unknown.jpg", md5(1))}
    (first, second) = sorted(checkpoint.vectors(wanted), key=lambda chunk: -len(chunk.image_ids))
    assert (len(first.vectors), len(second.vectors)) == (2, 1)
    by_predicate = list(checkpoint.vectors(lambda image_id, fingerprint: fingerprint == md5(3)))
    assert [chunk.image_ids for chunk in by_predicate] == [[ok(3).image_id]]
    assert np.array_equal(by_predicate[0].vectors, [vector_of(3)])


def test_parts_without_wanted_vectors_are_not_opened_for_them(checkpoint: Checkpoint, folder: Path) -> None:
    checkpoint.write([ok(1)])
    checkpoint.ledger()
    unread = only_part(folder)
    checkpoint.write([ok(2)])
    checkpoint.ledger()
    unread.write_bytes(b"torn meanwhile")
    assert [chunk.image_ids for chunk in checkpoint.vectors({(ok(2).image_id, md5(2))})] == [[ok(2).image_id]]
    assert checkpoint.problems == []


def test_a_chunk_is_bounded_and_large_parts_come_in_several(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.checkpoints.base.CHUNK_ROWS", 16)
    monkeypatch.setattr("pinakes.checkpoints.csvformat.DECODE_ROWS", 16)
    answers = [failed(n) if n % 7 == 0 else ok(n) for n in range(100)]
    checkpoint.write(answers)
    assert max(len(chunk.vectors) for chunk in checkpoint.vectors()) <= 16
    assert stored(checkpoint) == bits(answers)
    few = [answers[n] for n in (1, 15, 16, 17, 99)]
    assert set(checkpoint.vectors_of(bits(few))) == set(bits(few))


def test_single_vectors_are_found_without_a_new_listing(checkpoint: Checkpoint) -> None:
    checkpoint.write([ok(n) for n in range(20)])
    assert np.array_equal(checkpoint.vector(ok(4).image_id, md5(4)), vector_of(4))
    several = checkpoint.vectors_of((ok(n).image_id, md5(n)) for n in (3, 19, 500))
    assert {key: vector.tobytes() for key, vector in several.items()} == bits([ok(3), ok(19)])
    checkpoint.write([ok(21)])
    assert np.array_equal(checkpoint.vector(ok(21).image_id, md5(21)), vector_of(21))


def test_a_vector_that_is_not_there_is_an_error_that_names_it(checkpoint: Checkpoint) -> None:
    checkpoint.write([failed(1)])
    with pytest.raises(CheckpointError, match=r"no vector of 'hall/00001\.jpg'"):
        checkpoint.vector(ok(1).image_id, md5(1))


def test_an_answer_of_another_space_is_refused_before_anything_is_written(checkpoint: Checkpoint, folder: Path) -> None:
    wrongs: list[Any] = [vector_of(1, 9), vector_of(1).astype(np.float64), vector_of(1).reshape(2, 4)]
    for wrong in wrongs:
        with pytest.raises(CheckpointError, match=r"hall/00001\.jpg.*fake_m_1_8_p1"):
            checkpoint.write([ok(2), replace(ok(1), vector=wrong)])
    with pytest.raises(CheckpointError, match="not valid Unicode"):
        checkpoint.write([replace(ok(1), image_id="caf\udce9.jpg")])
    assert not folder.exists()


def test_a_message_is_kept_as_far_as_it_can_be_stored(checkpoint: Checkpoint) -> None:
    messages = ["a\0b\ud800c", "x" * 200_000]
    checkpoint.write([replace(failed(n), failure=Failure(ErrorClass.SERVER, text)) for n, text in enumerate(messages)])
    first, second = sorted(checkpoint.ledger(), key=lambda row: row.image_id)
    assert first.error_message == "a\\x00b\\ud800c"
    assert second.error_message == "x" * (MAX_MESSAGE - 1) + "…"


def test_an_error_class_of_a_later_version_is_tried_again(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE, format="csv")
    checkpoint.write([failed(1)])
    part = only_part(Path(checkpoint.location))
    part.write_text(part.read_text().replace("server-error", "cosmic-ray"))
    (row,) = checkpoint.ledger()
    assert (row.error_class, row.final) == (ErrorClass.INTERNAL, False)


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


def foreign_files(folder: Path) -> dict[str, bytes]:
    """Names and bytes that are no part of this checkpoint, each for another reason."""
    part = only_part(folder)
    data = part.read_bytes()
    files = {
        f"part-empty{part.suffix}": b"",
        f"part-garbage{part.suffix}": bytes(range(256)) * 40,
        f"part-torn{part.suffix}": data[: len(data) - 9],
        f"part-half{part.suffix}": data[: len(data) // 2],
        "part-other.json": data,
        "notes.txt": b"to do",
    }
    elsewhere = folder.parent.parent / "elsewhere"
    for number, space in enumerate((replace(SPACE, dimension=9), replace(SPACE, version="2"))):
        if number == 1 and part.suffix == ".csv":
            continue  # a CSV does not say which space it belongs to
        other = open_checkpoint(str(elsewhere), "art", space, format="csv" if part.suffix == ".csv" else "parquet")
        other.write([replace(ok(50), vector=vector_of(50, space.dimension))])
        files[f"part-space{number}{part.suffix}"] = only_part(Path(other.location)).read_bytes()
    return files


def test_files_that_are_no_parts_are_reported_and_set_aside(checkpoint: Checkpoint, folder: Path) -> None:
    checkpoint.write([ok(1), failed(2)])
    foreign = foreign_files(folder)
    for name, data in foreign.items():
        (folder / name).write_bytes(data)
    assert stored(checkpoint) == bits([ok(1)])
    assert len(checkpoint.ledger()) == 2
    assert {path.name: path.read_bytes() for path in (folder / "set-aside").iterdir()} == foreign
    assert len(checkpoint.problems) == len(foreign)
    for name in foreign:
        assert sum(name in problem and "set-aside" in problem for problem in checkpoint.problems) == 1
    only_part(folder)


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
    data = bytearray(part.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 16
    part.write_bytes(data)
    assert len(checkpoint.ledger()) == 200
    assert list(checkpoint.vectors()) == []
    assert "CRC" in checkpoint.problems[0]
    assert len(checkpoint.ledger()) == 0, "so that the next run embeds them again"
    assert (part.parent / "set-aside" / part.name).exists()


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


def test_a_second_foreign_file_of_one_name_overwrites_nothing(checkpoint: Checkpoint, folder: Path) -> None:
    checkpoint.write([ok(1)])
    for text in ("first", "second"):
        (folder / "notes.txt").write_text(text)
        open_checkpoint(str(folder.parents[1]), "art", SPACE).ledger()
    assert {path.read_text() for path in (folder / "set-aside").iterdir()} == {"first", "second"}


def test_torn_copies_of_a_part_never_break_the_reading(checkpoint: Checkpoint, folder: Path) -> None:
    checkpoint.write([ok(n) if n % 3 else failed(n) for n in range(40)])
    part = only_part(folder)
    data = part.read_bytes()
    random = np.random.default_rng(5)
    for number in range(40):
        torn = bytearray(data)
        if number % 2:
            del torn[random.integers(len(data)) :]
        else:
            torn[random.integers(len(data))] ^= 1 << random.integers(8)
        (folder / f"part-{number}{part.suffix}").write_bytes(torn)
    found = stored(checkpoint)
    assert bits([ok(n) for n in range(40) if n % 3]).keys() <= found.keys()


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


def test_compaction_keeps_what_counts_and_only_that(checkpoint: Checkpoint, folder: Path) -> None:
    answers = [ok(n, second=n) if n % 5 else failed(n, second=n) for n in range(100)]
    for start in range(0, 100, 5):
        checkpoint.write(answers[start : start + 5])
    checkpoint.write([ok(0, second=200, seed=9), failed(5, second=300, attempts=7), failed(1, second=400, attempts=3)])
    before, vectors = content(checkpoint.ledger()), stored(checkpoint)
    done = checkpoint.compact()
    assert (done.merged, done.made, done.dropped) == (21, 1, 3)
    assert len(list(folder.iterdir())) == 1
    for reader in (checkpoint, open_checkpoint(str(folder.parents[1]), "art", SPACE)):
        assert content(reader.ledger()) == before
        assert stored(reader) == vectors
        assert reader.problems == []
    assert sum(checkpoint.ledger().part_rows) == 100
    assert checkpoint.compact().merged == 0, "one part alone is left alone"


def test_compaction_makes_parts_of_bounded_size_and_ends(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.checkpoints.compaction.PART_ROWS", 40)
    monkeypatch.setattr("pinakes.checkpoints.base.CHUNK_ROWS", 16)
    answers = [ok(n) if n % 9 else failed(n) for n in range(200)]
    for start in range(0, 200, 8):
        checkpoint.write(answers[start : start + 8])
    before = content(checkpoint.ledger())
    checkpoint.compact()
    rows = checkpoint.ledger().part_rows
    assert max(rows) <= 40
    assert len(rows) == 5
    assert checkpoint.compact().made == 0
    assert content(checkpoint.ledger()) == before
    assert stored(checkpoint) == bits(answers)


def test_compaction_forgets_no_attempts_and_drops_no_row_for_its_equal_in_another_group(
    checkpoint: Checkpoint, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.checkpoints.compaction.PART_ROWS", 8)
    newest = [failed(n, second=9, attempts=5) for n in range(4)]
    checkpoint.write(newest)  # half full: left alone
    large = only_part(folder)
    checkpoint.write([failed(0, second=1, attempts=9), failed(1, second=1, attempts=4), ok(7)])
    (small,) = set(folder.iterdir()) - {large}
    small = small.rename(folder / f"part-0{small.suffix}")
    for number in range(1, 4):
        shutil.copy(small, folder / f"part-{number}{small.suffix}")
    before = content(checkpoint.ledger())
    done = checkpoint.compact()
    assert (done.merged, done.made) == (4, 2)
    assert sorted(checkpoint.ledger().part_rows) == [2, 2, 4], "each group keeps 9 attempts and the equal row"
    assert large.exists()
    assert content(checkpoint.ledger()) == before


def test_a_listing_torn_by_a_merge_is_not_believed(tmp_path: Path) -> None:
    class Torn(FolderStorage):
        listings = 0

        def names(self) -> set[str]:
            self.listings += 1
            return set() if self.listings == 2 else super().names()

    first = open_checkpoint(str(tmp_path), "art", SPACE)
    first.write([ok(1)])
    assert len(Checkpoint(Torn(Path(first.location)), SPACE, "parquet").ledger()) == 1


def test_compaction_is_asked_for_when_small_parts_are_many(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.checkpoints.checkpoint.MANY_SMALL_PARTS", 3)
    for number in range(3):
        assert not checkpoint.needs_compaction()
        checkpoint.write([ok(number)])
    assert checkpoint.needs_compaction()
    checkpoint.compact()
    assert not checkpoint.needs_compaction()


def test_doubles_of_a_compaction_that_died_are_resolved(checkpoint: Checkpoint, folder: Path) -> None:
    answers = [ok(1), ok(2), failed(3)]
    checkpoint.write(answers[:2])
    checkpoint.write(answers[2:])
    old = {path.name: path.read_bytes() for path in folder.iterdir()}
    before = content(checkpoint.ledger())
    checkpoint.compact()
    for name, data in old.items():
        (folder / name).write_bytes(data)
    reader = open_checkpoint(str(folder.parents[1]), "art", SPACE)
    assert content(reader.ledger()) == before
    assert stored(reader) == bits(answers)
    assert reader.compact().dropped == 3
    assert stored(reader) == bits(answers)


def test_compaction_turns_parts_of_the_other_format_into_its_own(tmp_path: Path) -> None:
    for number, form in enumerate(FORMATS):
        open_checkpoint(str(tmp_path), "art", SPACE, format=form).write([ok(number)])
    checkpoint = open_checkpoint(str(tmp_path), "art", SPACE, format="csv")
    checkpoint.compact()
    assert only_part(Path(checkpoint.location)).suffix == ".csv"
    assert stored(checkpoint) == bits([ok(0), ok(1)])


def test_a_stream_goes_on_when_its_parts_are_merged_under_it(checkpoint: Checkpoint, folder: Path) -> None:
    answers = [ok(n) for n in range(60)]
    for start in range(0, 60, 10):
        checkpoint.write(answers[start : start + 10])
    stream = checkpoint.vectors()
    seen = list(next(stream).image_ids)
    open_checkpoint(str(folder.parents[1]), "art", SPACE).compact()
    for chunk in stream:
        seen += chunk.image_ids
    assert sorted(seen) == [a.image_id for a in answers]


def test_readers_see_every_row_while_parts_are_written_and_merged(checkpoint: Checkpoint, folder: Path) -> None:
    first = [ok(n) for n in range(20)]
    for answer in first:
        checkpoint.write([answer])

    def churn() -> None:
        holder = open_checkpoint(str(folder.parents[1]), "art", SPACE)
        for number in range(100, 130):
            holder.write([ok(number)])
            if number % 3 == 0:
                holder.compact()

    with ThreadPoolExecutor(1) as threads:
        churning = threads.submit(churn)
        while not churning.done():
            reader = open_checkpoint(str(folder.parents[1]), "art", SPACE)
            assert bits(first).items() <= stored(reader).items()
            assert bits(first).keys() <= {(row.image_id, row.fingerprint) for row in checkpoint.ledger()}
            assert reader.problems == []
        churning.result()
    assert len(checkpoint.ledger()) == 50


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
