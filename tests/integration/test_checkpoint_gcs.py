"""Checkpoints in a bucket: how they are written, what they cost in requests, and what a refusal does to a run."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pytest

from pinakes.buckets import gcs as gcs_bucket
from pinakes.buckets import gcs_client
from pinakes.buckets.gcs import FOLDER_FIELDS, GcsBucket
from pinakes.checkpoints import Checkpoint, CheckpointWriter, open_checkpoint
from pinakes.checkpoints import bucket as bucket_storage
from pinakes.checkpoints.bucket import BucketStorage
from pinakes.embedders.base import Picture
from pinakes.errors import CheckpointError, EmbedderError, PinakesError
from pinakes.operations.export import export
from pinakes.operations.status import status
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.types import Answer, Failure, Vector
from tests.counting import Counting
from tests.fakes.azure import AzureFake
from tests.fakes.faults import Fault, Faults, Kind
from tests.fakes.gcs import GcsFake
from tests.integration.test_paid_runs import paid, pictures
from tests.programs import ended
from tests.running import gallery, run
from tests.unit.test_checkpoints import SPACE, bits, ok, stored, vector_of

ROOT = "gs://kept/folder"
BELOW = "folder/art/fake_m_1_8_p1/"


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsFake]:
    with GcsFake() as started:
        started.bucket("kept")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", started.url)
        yield started


@pytest.fixture
def checkpoint(gcs: GcsFake) -> Checkpoint:
    return open_checkpoint(ROOT, "art", SPACE)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up at once instead of after two minutes."""
    monkeypatch.setattr(gcs_client, "DEADLINE", 0.01)


@pytest.fixture
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else holds of parts of many megabytes: resumable uploads, and downloads in pieces."""
    monkeypatch.setattr("google.cloud.storage.blob._MAX_MULTIPART_SIZE", 1000)
    monkeypatch.setattr(bucket_storage, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(bucket_storage, "PIECE_BYTES", 4096)


def names(gcs: GcsFake) -> list[str]:
    return sorted(name.removeprefix(BELOW) for name in gcs.buckets["kept"].objects)


def text(content: bytes) -> object:
    def fill(sink: IO[bytes]) -> None:
        sink.write(content)

    return fill


# --- Requests


def test_a_part_is_one_upload_on_the_condition_that_it_is_new(gcs: GcsFake, checkpoint: Checkpoint) -> None:
    checkpoint.write([ok(1)])
    assert (gcs.counts["uploads"], gcs.counts["requests"]) == (1, 1)
    (part,) = gcs.buckets["kept"].objects.values()
    assert part.resource["contentType"] == "application/vnd.apache.parquet"


def test_a_listing_asks_for_names_and_sizes_of_one_folder(gcs: GcsFake, checkpoint: Checkpoint) -> None:
    gcs.put("kept", f"{BELOW}deeper/part-1.parquet", b"somebody else's")
    gcs.put("kept", f"{BELOW.rstrip('/')}er/part-1.parquet", b"another space's")
    gcs.put("kept", BELOW, b"")  # what Google's console calls a folder
    checkpoint.write([ok(1)])
    assert stored(checkpoint) == bits([ok(1)])
    assert checkpoint.problems == []
    assert gcs.seen[0]["fields"] == FOLDER_FIELDS
    assert (gcs.seen[0]["prefix"], gcs.seen[0]["delimiter"]) == (BELOW, "/")


def test_what_is_known_of_a_part_is_not_asked_for_again(gcs: GcsFake, checkpoint: Checkpoint) -> None:
    for number in range(5):
        checkpoint.write([ok(number)])
    checkpoint.ledger()
    checkpoint.ledger()
    assert (gcs.counts["downloads"], gcs.counts["gets"]) == (5, 0)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_large_parts_are_uploaded_in_a_session_and_read_in_pieces(
    gcs: GcsFake, small_requests: None, form: bucket_storage.Any
) -> None:
    checkpoint = open_checkpoint(ROOT, "art", SPACE, format=form)
    answers = [ok(number) for number in range(500)]
    checkpoint.write(answers)
    assert gcs.counts["uploads"] == 1
    assert stored(checkpoint) == bits(answers)
    assert gcs.counts["downloads"] > 2


def test_the_ledger_of_a_large_part_does_not_download_its_vectors(
    gcs: GcsFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_storage, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(bucket_storage, "PIECE_BYTES", 64 * 1024)
    space = replace(SPACE, dimension=1024)
    checkpoint = open_checkpoint(ROOT, "art", space)
    checkpoint.write([replace(ok(number), vector=vector_of(number, 1024)) for number in range(1000)])
    (part,) = gcs.buckets["kept"].objects.values()
    assert len(part.data) > 3_000_000
    assert len(checkpoint.ledger()) == 1000
    assert gcs.counts["bytes"] < 400_000
    assert len(checkpoint.vectors_of([(ok(7).image_id, ok(7).fingerprint)])) == 1


def test_nothing_of_google_is_imported_before_the_first_request() -> None:
    program = (
        "import sys; from pinakes.checkpoints import open_checkpoint; from tests.unit.test_checkpoints import SPACE; "
        f"open_checkpoint({ROOT!r}, 'art', SPACE); assert 'google.cloud.storage' not in sys.modules; "
        "assert 'google.auth' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


# --- Answers that are lost, and refusals in passing


@pytest.mark.parametrize("sized", ["one request", "a session"])
@pytest.mark.parametrize("kind", [Kind.RESET, Kind.ERROR, Kind.TRUNCATED])
def test_an_upload_whose_answer_was_lost_is_recognised(
    gcs: GcsFake, checkpoint: Checkpoint, request: pytest.FixtureRequest, kind: Kind, sized: str
) -> None:
    before: list[Fault | None] = []
    if sized == "a session":
        request.getfixturevalue("small_requests")
        before = [None]
    gcs.faults = Faults(script=[*before, Fault(kind, charged=True)])
    checkpoint.write([ok(1)])
    assert gcs.counts["uploads"] == 1
    assert len(names(gcs)) == 1
    assert stored(checkpoint) == bits([ok(1)])


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.ERROR])
def test_an_upload_that_did_not_arrive_is_repeated(gcs: GcsFake, checkpoint: Checkpoint, kind: Kind) -> None:
    gcs.faults = Faults(script=[Fault(kind, charged=False)])
    checkpoint.write([ok(1)])
    assert stored(checkpoint) == bits([ok(1)])


def test_a_deletion_whose_answer_was_lost_is_done(gcs: GcsFake, checkpoint: Checkpoint) -> None:
    checkpoint.write([ok(1)])
    (name,) = names(gcs)
    gcs.faults = Faults(script=[Fault(Kind.RESET, charged=True)])
    BucketStorage(ROOT, "art/fake_m_1_8_p1").delete(name)
    assert names(gcs) == []


def test_another_object_of_the_name_is_never_overwritten(gcs: GcsFake) -> None:
    storage = BucketStorage(ROOT, "art/fake_m_1_8_p1")
    gcs.put("kept", f"{BELOW}part-1.parquet", b"theirs")
    for content in (b"ours!!", b"longer than theirs"):
        with pytest.raises(CheckpointError, match=r"part-1\.parquet cannot be written to the checkpoint gs://kept/"):
            storage.write("part-1.parquet", text(content))  # type: ignore[arg-type]
    assert gcs.buckets["kept"].objects[f"{BELOW}part-1.parquet"].data == b"theirs"


def test_a_part_that_cannot_be_finished_leaves_nothing(gcs: GcsFake, checkpoint: Checkpoint) -> None:
    def fill(sink: IO[bytes]) -> None:
        sink.write(b"half a part")
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match=r"put together in the folder .*free some space"):
        BucketStorage(ROOT, "art/fake_m_1_8_p1").write("part-1.parquet", fill)
    assert names(gcs) == []
    assert gcs.counts["requests"] == 0


def test_a_store_that_goes_on_refusing_is_an_error_that_says_how_long(
    gcs: GcsFake, checkpoint: Checkpoint, hasty: None
) -> None:
    gcs.bucket("kept", available=False)
    with pytest.raises(CheckpointError, match=r"gs://kept/folder/art/.*503.*try again later"):
        checkpoint.write([ok(1)])


def test_a_store_that_never_answers_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Checkpoint, hasty: None
) -> None:
    monkeypatch.setattr(gcs_bucket, "TIMEOUT", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{silent.getsockname()[1]}")
        deaf = open_checkpoint(ROOT, "art", SPACE)
        for ask in (deaf.ledger, lambda: deaf.write([ok(1)]), deaf.check_writable):
            with pytest.raises(CheckpointError, match="did not answer"):
                ask()


# --- Refusals for good


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        ({"readable": False}, "roles/storage.objectUser"),
        ({"public": False}, "gcloud auth application-default login"),
        ({"requester_pays": True}, "whose owner pays"),
    ],
)
def test_a_checkpoint_that_may_not_be_read_says_what_fixes_it(
    gcs: GcsFake, checkpoint: Checkpoint, options: dict[str, bool], fix: str
) -> None:
    checkpoint.write([ok(1)])
    gcs.bucket("kept", **options)
    with pytest.raises(CheckpointError, match=rf"gs://kept/folder.*{fix}"):
        checkpoint.ledger()
    with pytest.raises(CheckpointError, match=rf"gs://kept/folder.*{fix}"):
        checkpoint.write([ok(2)])


def test_a_bucket_that_does_not_exist_is_said_so(gcs: GcsFake) -> None:
    nowhere = open_checkpoint("gs://no-such-bucket", "art", SPACE)
    for ask in (nowhere.ledger, nowhere.check_writable):
        with pytest.raises(CheckpointError, match=r"gs://no-such-bucket/art.*bucket does not exist; check its name"):
            ask()


@pytest.mark.parametrize("right", ["writable", "deletable"])
def test_a_missing_right_is_found_before_anything_is_paid_for(
    gcs: GcsFake, checkpoint: Checkpoint, settings: Settings, tmp_path: Path, right: str
) -> None:
    gcs.bucket("kept", **{right: False})
    embedder = Counting()
    with pytest.raises(CheckpointError, match=r"storage\.objects\.(create|delete).*roles/storage\.objectUser"):
        run(replace(settings, checkpoint=ROOT), gallery(tmp_path / "in"), embedder=embedder)
    assert embedder.calls == 0


def test_a_reader_without_the_right_to_write_ignores_what_is_no_part(gcs: GcsFake, checkpoint: Checkpoint) -> None:
    checkpoint.write([ok(1)])
    gcs.put("kept", f"{BELOW}notes.txt", b"to do")
    gcs.bucket("kept", writable=False, deletable=False)
    assert stored(checkpoint) == bits([ok(1)])
    assert "ignored where it is, in gs://kept/folder/art" in checkpoint.problems[0]


def test_what_may_be_copied_but_not_deleted_is_copied_once(gcs: GcsFake, checkpoint: Checkpoint) -> None:
    checkpoint.write([ok(1)])
    gcs.put("kept", f"{BELOW}notes.txt", b"to do")
    gcs.bucket("kept", deletable=False)
    for _ in range(3):
        assert len(open_checkpoint(ROOT, "art", SPACE).ledger()) == 1
    assert gcs.counts["uploads"] == 2, "the part, and one copy"


def test_a_compaction_that_may_not_delete_loses_nothing(gcs: GcsFake, checkpoint: Checkpoint) -> None:
    answers = [ok(number) for number in range(6)]
    for answer in answers:
        checkpoint.write([answer])
    gcs.bucket("kept", deletable=False)
    with pytest.raises(CheckpointError, match="cannot be deleted"):
        checkpoint.compact()
    assert len(names(gcs)) == 7
    assert stored(open_checkpoint(ROOT, "art", SPACE)) == bits(answers)
    gcs.bucket("kept", deletable=True)
    again = open_checkpoint(ROOT, "art", SPACE)
    again.compact()
    assert len(names(gcs)) == 1
    assert stored(again) == bits(answers)


def test_a_part_that_vanishes_while_it_is_read_in_pieces_is_found_in_its_successor(
    gcs: GcsFake, small_requests: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.checkpoints.base.CHUNK_ROWS", 100)
    checkpoint = open_checkpoint(ROOT, "art", SPACE)
    answers = [ok(number) for number in range(1000)]
    checkpoint.write(answers[:500])
    checkpoint.write(answers[500:])
    stream = checkpoint.vectors()
    seen = list(next(stream).image_ids)
    open_checkpoint(ROOT, "art", SPACE).compact()
    for chunk in stream:
        seen += chunk.image_ids
    assert sorted(seen) == [answer.image_id for answer in answers]


# --- Whole runs


def test_a_run_keeps_its_answers_in_the_bucket_and_the_next_one_asks_for_none(
    gcs: GcsFake, settings: Settings, database: Database, tmp_path: Path
) -> None:
    settings = replace(settings, checkpoint=ROOT)
    source = gallery(tmp_path / "in", 20)
    first = run(settings, source, batch_size=4)
    assert (first.account.embedded, first.account.calls) == (20, 20)
    second = run(settings, source)
    assert (second.account.calls, second.account.reused, second.account.rows_written) == (0, 20, 0)
    assert {name.rpartition("/")[0] for name in gcs.buckets["kept"].objects} == {
        "folder/pictures/counting_colours_1_27"
    }
    with database.connection() as (conn, _):
        (space,) = status(conn, settings, "pictures")["spaces"]
    assert space["checkpoint"] == "gs://kept/folder/pictures/counting_colours_1_27"
    assert (space["statuses"]["ok"], space["problems"]) == (20, [])
    exported = export(
        tmp_path / "out.parquet", collection="pictures", space=Counting().facts.space, checkpoint=settings.checkpoint
    )
    assert exported.rows == len(pd.read_parquet(tmp_path / "out.parquet")) == 20


def test_the_command_line_takes_a_bucket(gcs: GcsFake, environment: dict[str, str], tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 6)
    known = environment | {
        "PINAKES_CHECKPOINT": ROOT,
        "STORAGE_EMULATOR_HOST": os.environ["STORAGE_EMULATOR_HOST"],
    }

    def pinakes(*arguments: str) -> str:
        done = ended("pinakes.cli.main", *arguments, env=known)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert json.loads(pinakes("ingest", str(source), "--json"))["embedded"] == 6
    assert json.loads(pinakes("ingest", str(source), "--json"))["calls"] == 0
    assert json.loads(pinakes("status", "--json"))["spaces"][0]["checkpoint"].startswith(f"{ROOT}/pictures/palette")
    pinakes("export", str(tmp_path / "out.csv"))
    assert len(pd.read_csv(tmp_path / "out.csv")) == 6
    pinakes("import", str(tmp_path / "out.csv"), "--collection", "other", "--json")
    assert {name.split("/")[1] for name in gcs.buckets["kept"].objects} == {"pictures", "other"}


def test_a_store_that_stops_taking_answers_ends_the_run_and_the_next_one_resumes(
    gcs: GcsFake, settings: Settings, tmp_path: Path, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.ingest.batch.CheckpointWriter", functools.partial(CheckpointWriter, flush_answers=5))
    source = pictures(tmp_path / "in", 120)
    settings = replace(settings, checkpoint=ROOT)
    keep = GcsBucket.create

    def until_the_fourth(bucket: GcsBucket, *arguments: bucket_storage.Any) -> None:
        if gcs.counts["uploads"] == 4:
            gcs.bucket("kept", available=False)
        keep(bucket, *arguments)

    with AzureFake(latency=0.01) as fake:
        with monkeypatch.context() as patch:
            patch.setattr(GcsBucket, "create", until_the_fourth)
            with pytest.raises(
                PinakesError, match=r"gs://kept/.*answers could not be kept.*run the same command again"
            ):
                paid(settings, source, fake, rate="none", concurrency=4)
        asked = fake.calls.total()
        assert asked < 120, "nothing new is begun once answers cannot be kept"
        gcs.bucket("kept", available=True)
        again = paid(settings, source, fake, rate="none")
        assert again.account.reused >= 10
        assert again.account.reused + again.account.embedded == 120


class Interrupted(Counting):
    """Lets the store refuse for the time of one answer."""

    def __init__(self, gcs: GcsFake) -> None:
        super().__init__()
        self._gcs = gcs

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        for number, outcome in enumerate(super().embed_images(batch)):
            self._gcs.bucket("kept", available=number != 3)
            try:
                yield outcome
            finally:
                self._gcs.bucket("kept", available=True)


def test_a_store_that_comes_back_gets_every_answer_and_the_run_ends_in_order(
    gcs: GcsFake, settings: Settings, tmp_path: Path, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.ingest.batch.CheckpointWriter", functools.partial(CheckpointWriter, flush_answers=4))
    settings = replace(settings, checkpoint=ROOT)
    source = gallery(tmp_path / "in", 12)
    embedder = Interrupted(gcs)
    with pytest.raises(EmbedderError, match=r"503.*Run the same command again to resume"):
        run(settings, source, embedder=embedder)
    assert embedder.calls == 4
    ledger = open_checkpoint(ROOT, "pictures", embedder.facts.space).ledger()
    assert ledger.counts() == {"ok": 4, "failed": 0}
    assert run(settings, source).account.embedded == 8


def test_who_adds_is_not_kept_waiting_by_a_store_that_has_refused(
    gcs: GcsFake, checkpoint: Checkpoint, hasty: None
) -> None:
    gcs.bucket("kept", available=False)
    answers: list[Answer] = [ok(number) for number in range(30)]
    with CheckpointWriter(checkpoint, flush_seconds=3600, flush_answers=2) as writer:
        writer.add(answers[0])
        with pytest.raises(CheckpointError, match="503"):
            writer.add(answers[1])
        requests = gcs.counts["requests"]
        for answer in answers[2:]:
            writer.add(answer)
        assert gcs.counts["requests"] == requests
        gcs.bucket("kept", available=True)
    assert stored(checkpoint) == bits(answers)
    pair = (ok(3).image_id, ok(3).fingerprint)
    assert np.array_equal(checkpoint.vectors_of([pair])[pair], vector_of(3))
