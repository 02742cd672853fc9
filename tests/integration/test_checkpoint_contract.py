"""What a checkpoint promises, wherever it is kept and whichever of the two formats its parts have."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from pinakes.checkpoints import Checkpoint, open_checkpoint
from pinakes.checkpoints.base import MAX_MESSAGE
from pinakes.checkpoints.checkpoint import FormatName
from pinakes.errors import CheckpointError
from pinakes.spaces import Space
from pinakes.types import ErrorClass, Failure
from tests.fakes.gcs import GcsFake
from tests.object_stores import Store
from tests.unit.test_checkpoints import FORMATS, SPACE, bits, content, failed, md5, ok, stored, vector_of


class Place(Protocol):
    """Where checkpoints are kept, as a test looks at it behind their back."""

    root: str
    format: FormatName
    few: int

    @property
    def suffix(self) -> str: ...
    def open(self, form: FormatName | None = None) -> Checkpoint: ...
    def files(self, space: Space = SPACE) -> dict[str, bytes]: ...
    def set_aside(self) -> dict[str, bytes]: ...
    def only_part(self) -> str: ...
    def put(self, name: str, data: bytes) -> None: ...
    def remove(self, name: str) -> None: ...


class Kept:
    """What all places have in common."""

    root: str
    format: FormatName
    few = 3
    """By how much a test may do less of the same here: what formats and merging are tried on is a folder."""

    @property
    def suffix(self) -> str:
        return f".{self.format}"

    def open(self, form: FormatName | None = None) -> Checkpoint:
        return open_checkpoint(self.root, "art", SPACE, format=form or self.format)

    def only_part(self: Place) -> str:
        (part,) = (name for name in self.files() if name.startswith("part-"))
        return part


class FolderPlace(Kept):
    few = 1

    def __init__(self, root: Path, form: FormatName) -> None:
        self.root, self.format = str(root), form

    def files(self, space: Space = SPACE) -> dict[str, bytes]:
        return _files(Path(self.root) / "art" / space.name)

    def set_aside(self) -> dict[str, bytes]:
        return _files(self._folder / "set-aside")

    def put(self, name: str, data: bytes) -> None:
        (self._folder / name).write_bytes(data)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink()

    @property
    def _folder(self) -> Path:
        return Path(self.root) / "art" / SPACE.name


class BucketPlace(Kept):
    def __init__(self, gcs: GcsFake, form: FormatName) -> None:
        self.root, self.format, self._gcs = "gs://kept/some/folder", form, gcs
        gcs.bucket("kept")

    def files(self, space: Space = SPACE) -> dict[str, bytes]:
        return self._below(f"some/folder/art/{space.name}/")

    def set_aside(self) -> dict[str, bytes]:
        return self._below(f"some/folder/art/{SPACE.name}/set-aside/")

    def put(self, name: str, data: bytes) -> None:
        self._gcs.put("kept", f"some/folder/art/{SPACE.name}/{name}", data)

    def remove(self, name: str) -> None:
        self._gcs.delete("kept", f"some/folder/art/{SPACE.name}/{name}")

    def _below(self, prefix: str) -> dict[str, bytes]:
        objects = self._gcs.buckets["kept"].objects.items()
        found = {name.removeprefix(prefix): kept.data for name, kept in objects if name.startswith(prefix)}
        return {name: data for name, data in found.items() if "/" not in name}


class StorePlace(Kept):
    def __init__(self, store: Store, form: FormatName) -> None:
        self.root, self.format, self._store = f"{store.root('kept')}/some/folder", form, store
        store.bucket("kept")

    def files(self, space: Space = SPACE) -> dict[str, bytes]:
        return self._below(f"some/folder/art/{space.name}/")

    def set_aside(self) -> dict[str, bytes]:
        return self._below(f"some/folder/art/{SPACE.name}/set-aside/")

    def put(self, name: str, data: bytes) -> None:
        self._store.put("kept", f"some/folder/art/{SPACE.name}/{name}", data)

    def remove(self, name: str) -> None:
        self._store.delete("kept", f"some/folder/art/{SPACE.name}/{name}")

    def _below(self, prefix: str) -> dict[str, bytes]:
        objects = self._store.objects("kept").items()
        found = {name.removeprefix(prefix): data for name, data in objects if name.startswith(prefix)}
        return {name: data for name, data in found.items() if "/" not in name}


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} if folder.exists() else {}


@pytest.fixture(scope="module")
def gcs() -> Iterator[GcsFake]:
    with GcsFake(page=7) as started:
        yield started


PLACES = [*((kind, form) for kind in ("folder", "gs") for form in FORMATS), ("s3", "parquet"), ("azurite", "csv")]
"""No bucket knows of formats, and those of other companies than ours answer slowly: one format each."""


@pytest.fixture(params=PLACES, ids="-".join)
def place(request: pytest.FixtureRequest, gcs: GcsFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    kind, form = request.param
    if kind == "folder":
        return FolderPlace(tmp_path, form)
    if kind != "gs":
        store: Store = request.getfixturevalue(kind)
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("pinakes.buckets.base.PAGE", 7)
        return StorePlace(store, form)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
    gcs.buckets.clear()
    return BucketPlace(gcs, form)


@pytest.fixture
def checkpoint(place: Place) -> Checkpoint:
    return place.open()


def test_a_part_stands_under_collection_and_space(checkpoint: Checkpoint, place: Place) -> None:
    checkpoint.write([ok(1)])
    assert checkpoint.location == f"{place.root}/art/fake_m_1_8_p1"
    assert place.only_part().startswith("part-")
    assert place.only_part().endswith(place.suffix)


def test_a_checkpoint_that_is_not_there_yet_is_empty_and_stays_unmade(checkpoint: Checkpoint, place: Place) -> None:
    assert len(checkpoint.ledger()) == 0
    assert checkpoint.ledger().counts() == {"ok": 0, "failed": 0}
    assert list(checkpoint.ledger()) == []
    assert list(checkpoint.vectors()) == []
    assert not checkpoint.needs_compaction()
    assert checkpoint.compact().merged == 0
    assert place.files() == {}


def test_no_answers_make_no_part(checkpoint: Checkpoint, place: Place) -> None:
    checkpoint.write([])
    assert place.files() == {}


def test_what_is_written_is_read_back(checkpoint: Checkpoint) -> None:
    answers = [ok(1, second=1.000001), failed(2, attempts=3, error=ErrorClass.UNDECODABLE), ok(3, fingerprint="")]
    checkpoint.write(answers)
    ledger = checkpoint.ledger()
    first, second, third = (ledger.get(a.image_id, a.fingerprint) for a in answers)
    assert first is not None
    assert (first.status, first.ok, first.final, first.failure) == ("ok", True, False, None)
    assert first.failure is None
    assert (first.attempts, first.model_version, first.embedded_at) == (1, "m-1", answers[0].embedded_at)
    assert second is not None
    assert (second.status, second.final, second.failure, second.attempts) == ("failed", True, answers[1].failure, 3)
    assert third is not None
    assert third.fingerprint == ""
    assert ledger.counts() == {"ok": 2, "failed": 1}
    assert [row.image_id for row in ledger if not row.ok] == [answers[1].image_id]
    assert sorted(row.image_id for row in ledger) == [a.image_id for a in answers]
    assert stored(checkpoint) == bits(answers)


def test_parts_of_both_formats_are_read_together(place: Place) -> None:
    for number, form in enumerate(FORMATS):
        place.open(form).write([ok(number)])
    for form in FORMATS:
        checkpoint = place.open(form)
        assert stored(checkpoint) == bits([ok(0), ok(1)])
        assert checkpoint.problems == []


def test_the_ledger_answers_for_bytes_under_an_id(checkpoint: Checkpoint) -> None:
    checkpoint.write([ok(1), failed(2), ok(3, fingerprint="crc32c:00000001:5"), ok(1, fingerprint=md5(11))])
    ledger = checkpoint.ledger()
    assert ledger.get(ok(1).image_id, md5(2)) is None
    assert ledger.get("hall/99999.jpg", md5(1)) is None
    assert ledger.known(ok(1).image_id)
    assert not ledger.known("hall/99999.jpg")
    assert {row.image_id for row in ledger} == {ok(n).image_id for n in (1, 2, 3)}
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
    assert second.failure is not None
    assert (second.failure.message, second.attempts) == ("no luck at 5", 6)
    assert third is not None
    assert (third.status, third.attempts, third.embedded_at) == ("ok", 2, ok(3, second=9).embedded_at)
    assert stored(checkpoint) == bits([ok(1), ok(3, seed=77)])


def test_the_ledger_follows_what_others_write_and_merge(checkpoint: Checkpoint, place: Place) -> None:
    other = place.open()
    for number in range(6):
        other.write([ok(number, second=number), failed(100, second=number)])
        assert content(checkpoint.ledger()) == content(place.open().ledger())
    assert checkpoint.ledger() is checkpoint.ledger(), "nothing new is nothing to read"
    other.compact()
    assert content(checkpoint.ledger()) == content(other.ledger())


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


def test_parts_without_wanted_vectors_are_not_opened_for_them(checkpoint: Checkpoint, place: Place) -> None:
    checkpoint.write([ok(1)])
    checkpoint.ledger()
    unread = place.only_part()
    checkpoint.write([ok(2)])
    checkpoint.ledger()
    place.put(unread, b"torn meanwhile")
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
    several = checkpoint.vectors_of((ok(n).image_id, md5(n)) for n in (3, 19, 500))
    assert {key: vector.tobytes() for key, vector in several.items()} == bits([ok(3), ok(19)])
    checkpoint.write([ok(21)])
    ((_, added),) = checkpoint.vectors_of([(ok(21).image_id, md5(21))]).items()
    assert np.array_equal(added, vector_of(21))


def test_a_failed_picture_has_no_vector(checkpoint: Checkpoint) -> None:
    checkpoint.write([failed(1)])
    assert checkpoint.vectors_of([(failed(1).image_id, md5(1))]) == {}


def test_an_answer_of_another_space_is_refused_before_anything_is_written(checkpoint: Checkpoint, place: Place) -> None:
    wrongs: list[Any] = [vector_of(1, 9), vector_of(1).astype(np.float64), vector_of(1).reshape(2, 4)]
    for wrong in wrongs:
        with pytest.raises(CheckpointError, match=r"hall/00001\.jpg.*fake_m_1_8_p1"):
            checkpoint.write([ok(2), replace(ok(1), vector=wrong)])
    with pytest.raises(CheckpointError, match="not valid Unicode"):
        checkpoint.write([replace(ok(1), image_id="caf\udce9.jpg")])
    assert place.files() == {}


def test_a_message_is_kept_as_far_as_it_can_be_stored(checkpoint: Checkpoint) -> None:
    messages = ["a\0b\ud800c", "x" * 200_000]
    checkpoint.write([replace(failed(n), failure=Failure(ErrorClass.SERVER, text)) for n, text in enumerate(messages)])
    first, second = sorted(checkpoint.ledger(), key=lambda row: row.image_id)
    assert first.failure is not None
    assert second.failure is not None
    assert first.failure.message == "a\\x00b\\ud800c"
    assert second.failure.message == "x" * (MAX_MESSAGE - 1) + "…"


def foreign_files(place: Place) -> dict[str, bytes]:
    """Names and bytes that are no part of this checkpoint, each for another reason."""
    data, suffix = place.files()[place.only_part()], place.suffix
    files = {
        f"part-empty{suffix}": b"",
        f"part-garbage{suffix}": bytes(range(256)) * 40,
        f"part-torn{suffix}": data[: len(data) - 9],
        f"part-half{suffix}": data[: len(data) // 2],
        "part-other.json": data,
        "notes.txt": b"to do",
    }
    for number, space in enumerate((replace(SPACE, dimension=9), replace(SPACE, version="2"))):
        if number == 1 and suffix == ".csv":
            continue  # a CSV does not say which space it belongs to
        open_checkpoint(place.root, "art", space, format=place.format).write(
            [replace(ok(50), vector=vector_of(50, space.dimension))]
        )
        (data,) = place.files(space).values()
        files[f"part-space{number}{suffix}"] = data
    return files


def test_files_that_are_no_parts_are_reported_and_set_aside(checkpoint: Checkpoint, place: Place) -> None:
    checkpoint.write([ok(1), failed(2)])
    foreign = foreign_files(place)
    for name, data in foreign.items():
        place.put(name, data)
    assert stored(checkpoint) == bits([ok(1)])
    assert len(checkpoint.ledger()) == 2
    assert place.set_aside() == foreign
    assert len(checkpoint.problems) == len(foreign)
    for name in foreign:
        assert sum(name in problem and "set-aside" in problem for problem in checkpoint.problems) == 1
    # Whole rows of a torn CSV were saved into parts of their own: they are the same answers.
    # Parts of which nobody can say all that they held are named until somebody says that this is no loss.
    again = place.open()
    assert stored(again) == bits([ok(1)])
    assert again.unreadable_parts == len(again.problems) >= 2
    assert all("delete unreadable-part-" in problem for problem in again.problems)


def test_a_second_foreign_file_of_one_name_overwrites_nothing(checkpoint: Checkpoint, place: Place) -> None:
    checkpoint.write([ok(1)])
    for text in ("first", "second"):
        place.put("notes.txt", text.encode())
        place.open().ledger()
    assert set(place.set_aside().values()) == {b"first", b"second"}


def test_torn_copies_of_a_part_never_break_the_reading(checkpoint: Checkpoint, place: Place) -> None:
    checkpoint.write([ok(n) if n % 3 else failed(n) for n in range(40)])
    data = place.files()[place.only_part()]
    random = np.random.default_rng(5)
    for number in range(40 // place.few):
        torn = bytearray(data)
        if number % 2:
            del torn[random.integers(len(data)) :]
        else:
            torn[random.integers(len(data))] ^= 1 << random.integers(8)
        place.put(f"part-{number}{place.suffix}", bytes(torn))
    found = stored(checkpoint)
    assert bits([ok(n) for n in range(40) if n % 3]).keys() <= found.keys()


def test_compaction_keeps_what_counts_and_only_that(checkpoint: Checkpoint, place: Place) -> None:
    answers = [ok(n, second=n) if n % 5 else failed(n, second=n) for n in range(100)]
    for start in range(0, 100, 10):
        checkpoint.write(answers[start : start + 10])
    checkpoint.write([ok(0, second=200, seed=9), failed(5, second=300, attempts=7), failed(1, second=400, attempts=3)])
    before, vectors = content(checkpoint.ledger()), stored(checkpoint)
    done = checkpoint.compact()
    assert (done.merged, done.made, done.dropped) == (11, 1, 3)
    assert len(place.files()) == 1
    for reader in (checkpoint, place.open()):
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
    for start in range(0, 200, 10):
        checkpoint.write(answers[start : start + 10])
    before = content(checkpoint.ledger())
    checkpoint.compact()
    rows = checkpoint.ledger().part_rows
    assert max(rows) <= 40
    assert len(rows) == 5
    assert checkpoint.compact().made == 0
    assert content(checkpoint.ledger()) == before
    assert stored(checkpoint) == bits(answers)


def test_compaction_forgets_no_attempts_and_drops_no_row_for_its_equal_in_another_group(
    checkpoint: Checkpoint, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.checkpoints.compaction.PART_ROWS", 8)
    newest = [failed(n, second=9, attempts=5) for n in range(4)]
    checkpoint.write(newest)  # half full: left alone
    large = place.only_part()
    checkpoint.write([failed(0, second=1, attempts=9), failed(1, second=1, attempts=4), ok(7)])
    (small,) = place.files().keys() - {large}
    data = place.files()[small]
    place.remove(small)
    for number in range(4):
        place.put(f"part-{number}{place.suffix}", data)
    before = content(checkpoint.ledger())
    done = checkpoint.compact()
    assert (done.merged, done.made) == (4, 2)
    assert sorted(checkpoint.ledger().part_rows) == [2, 2, 4], "each group keeps 9 attempts and the equal row"
    assert large in place.files()
    assert content(checkpoint.ledger()) == before


def test_compaction_is_asked_for_when_small_parts_are_many(checkpoint: Checkpoint) -> None:
    for number in range(3):
        assert not checkpoint.needs_compaction(3)
        checkpoint.write([ok(number)])
    assert checkpoint.needs_compaction(3)
    assert not checkpoint.needs_compaction()
    checkpoint.compact()
    assert not checkpoint.needs_compaction(3)


def test_doubles_of_a_compaction_that_died_are_resolved(checkpoint: Checkpoint, place: Place) -> None:
    answers = [ok(1), ok(2), failed(3)]
    checkpoint.write(answers[:2])
    checkpoint.write(answers[2:])
    old = place.files()
    before = content(checkpoint.ledger())
    checkpoint.compact()
    for name, data in old.items():
        place.put(name, data)
    reader = place.open()
    assert content(reader.ledger()) == before
    assert stored(reader) == bits(answers)
    assert reader.compact().dropped == 3
    assert stored(reader) == bits(answers)


def test_compaction_turns_parts_of_the_other_format_into_its_own(place: Place) -> None:
    for number, form in enumerate(FORMATS):
        place.open(form).write([ok(number)])
    checkpoint = place.open("csv")
    checkpoint.compact()
    assert place.only_part().endswith(".csv")
    assert stored(checkpoint) == bits([ok(0), ok(1)])


def test_a_stream_goes_on_when_its_parts_are_merged_under_it(checkpoint: Checkpoint, place: Place) -> None:
    answers = [ok(n) for n in range(60)]
    for start in range(0, 60, 10):
        checkpoint.write(answers[start : start + 10])
    stream = checkpoint.vectors()
    seen = list(next(stream).image_ids)
    place.open().compact()
    for chunk in stream:
        seen += chunk.image_ids
    assert sorted(seen) == [a.image_id for a in answers]


def test_readers_see_every_row_while_parts_are_written_and_merged(checkpoint: Checkpoint, place: Place) -> None:
    first = [ok(n) for n in range(9)]  # more than a page of a listing
    for answer in first:
        checkpoint.write([answer])

    writes = 30 // place.few

    def churn() -> None:
        holder = place.open()
        for number in range(100, 100 + writes):
            holder.write([ok(number)])
            if number % 3 == 0:
                holder.compact()

    with ThreadPoolExecutor(1) as threads:
        churning = threads.submit(churn)
        while not churning.done():
            reader = place.open()
            assert bits(first).items() <= stored(reader).items()
            assert bits(first).keys() <= {(row.image_id, row.fingerprint) for row in checkpoint.ledger()}
            assert reader.problems == []
        churning.result()
    assert len(checkpoint.ledger()) == len(first) + writes
