"""The writer keeps every answer, soon, whatever goes wrong meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pinakes.checkpoints import Checkpoint, CheckpointWriter, open_checkpoint
from pinakes.checkpoints.base import RefusedWriteError
from pinakes.checkpoints.writer import FLUSH_ANSWERS, FLUSH_SECONDS, PROMISED_SECONDS
from pinakes.errors import CheckpointError
from pinakes.types import Answer
from tests.unit.test_checkpoints import SPACE, bits, failed, files_limited_to, ok, stored, vector_of
from tests.waiting import until

NEVER = 3600.0


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return open_checkpoint(str(tmp_path), "art", SPACE)


def parts(checkpoint: Checkpoint) -> int:
    return len(list(Path(checkpoint.location).glob("part-*")))


def state(writer: CheckpointWriter, checkpoint: Checkpoint) -> tuple[int, int]:
    """How many answers are kept, and how many wait."""
    return len(checkpoint.ledger()), len(writer._waiting)


def test_the_promise_leaves_time_for_the_writing() -> None:
    assert FLUSH_SECONDS < PROMISED_SECONDS == 5
    assert FLUSH_ANSWERS == 256


def test_all_answers_are_kept_at_the_end(checkpoint: Checkpoint) -> None:
    answers = [ok(1), failed(2), ok(3)]
    with CheckpointWriter(checkpoint) as writer:
        for answer in answers:
            writer.add(answer)
        assert state(writer, checkpoint) == (0, 3)
    assert state(writer, checkpoint) == (3, 0)
    assert parts(checkpoint) == 1
    assert stored(checkpoint) == bits(answers)


def test_a_writer_without_answers_makes_no_part(checkpoint: Checkpoint) -> None:
    with CheckpointWriter(checkpoint):
        pass
    assert not Path(checkpoint.location).exists()


def test_a_full_batch_is_written_at_once(checkpoint: Checkpoint) -> None:
    with CheckpointWriter(checkpoint, flush_seconds=NEVER, flush_answers=4) as writer:
        for number in range(9):
            writer.add(ok(number))
        assert (*state(writer, checkpoint), parts(checkpoint)) == (8, 1, 2)


def test_a_lone_answer_is_written_in_the_background(checkpoint: Checkpoint) -> None:
    with CheckpointWriter(checkpoint, flush_seconds=0.02) as writer:
        for number in range(3):
            writer.add(ok(number))
            until(lambda number=number: len(checkpoint.ledger()) == number + 1)  # type: ignore[misc]
            assert stored(checkpoint) == bits([ok(n) for n in range(number + 1)])


def test_the_clock_starts_with_the_first_unsaved_answer(checkpoint: Checkpoint) -> None:
    with CheckpointWriter(checkpoint, flush_seconds=0.1, flush_answers=10**6) as writer:
        number = 0
        while not len(checkpoint.ledger()):  # answers keep coming, and do not put the writing off
            writer.add(ok(number))
            number += 1
            assert number < 6000
            time.sleep(0.01)


def test_answers_are_kept_when_an_exception_leaves_the_block(checkpoint: Checkpoint) -> None:
    def interrupted() -> None:
        with CheckpointWriter(checkpoint, flush_seconds=NEVER) as writer:
            writer.add(ok(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert stored(checkpoint) == bits([ok(1)])


def test_many_threads_may_add(checkpoint: Checkpoint) -> None:
    answers = [ok(n) for n in range(400)]
    with (
        CheckpointWriter(checkpoint, flush_seconds=0.01, flush_answers=16) as writer,
        ThreadPoolExecutor(8) as threads,
    ):
        list(threads.map(writer.add, answers))
    assert len(checkpoint.ledger()) == 400
    assert stored(checkpoint) == bits(answers)
    assert sum(checkpoint.ledger().part_rows) == 400, "each exactly once"


def test_a_bad_answer_is_refused_alone(checkpoint: Checkpoint) -> None:
    with CheckpointWriter(checkpoint, flush_seconds=NEVER) as writer:
        writer.add(ok(1))
        with pytest.raises(CheckpointError, match="shape"):
            writer.add(replace(ok(2), vector=vector_of(2, 3)))
        writer.add(ok(3))
    assert stored(checkpoint) == bits([ok(1), ok(3)])


def test_a_failed_write_is_raised_to_who_adds_and_tried_again_at_the_end(checkpoint: Checkpoint) -> None:
    answers = [ok(n) for n in range(3)]
    with CheckpointWriter(checkpoint, flush_seconds=NEVER, flush_answers=2) as writer:
        with files_limited_to(10):
            writer.add(answers[0])
            with pytest.raises(CheckpointError, match="free some space"):
                writer.add(answers[1])
            assert state(writer, checkpoint) == (0, 2)
        writer.add(answers[2])
    assert len(checkpoint.ledger()) == 3
    assert stored(checkpoint) == bits(answers)


def test_a_failure_in_the_background_is_raised_to_the_next_who_adds(checkpoint: Checkpoint) -> None:
    with CheckpointWriter(checkpoint, flush_seconds=0.01) as writer:
        with files_limited_to(10):
            writer.add(ok(1))
            until(lambda: writer._failed is not None)
            with pytest.raises(CheckpointError, match="free some space"):
                writer.add(ok(2))
        until(lambda: len(checkpoint.ledger()) == 2)
        writer.add(ok(3))
    assert stored(checkpoint) == bits([ok(1), ok(2), ok(3)])


def test_a_failure_in_the_background_is_raised_at_the_end_unless_the_last_try_succeeds(checkpoint: Checkpoint) -> None:
    writer = CheckpointWriter(checkpoint, flush_seconds=0.01)

    def one_answer() -> None:
        with files_limited_to(10), writer:
            writer.add(ok(1))
            until(lambda: writer._failed is not None)

    with pytest.raises(CheckpointError, match="free some space"):
        one_answer()
    assert state(writer, checkpoint) == (0, 1)
    assert list(Path(checkpoint.location).iterdir()) == []


def test_what_ends_the_background_thread_is_not_lost(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(answers: object) -> None:
        raise MemoryError

    def two_answers() -> None:
        with CheckpointWriter(checkpoint, flush_seconds=0.01) as writer:
            with monkeypatch.context() as patch:
                patch.setattr(checkpoint, "write", out_of_memory)
                writer.add(ok(1))
                assert writer._background is not None
                until(writer._background.done)
            with pytest.raises(MemoryError):
                writer.add(ok(2))

    with pytest.raises(MemoryError):
        two_answers()
    assert stored(checkpoint) == bits([ok(1), ok(2)])


def test_what_a_refused_write_gives_back_is_written_without_a_further_answer(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checkpoint.write

    def refused_slowly(answers: Sequence[Answer]) -> None:
        monkeypatch.setattr(checkpoint, "write", write)
        time.sleep(0.3)  # meanwhile the background finds nothing that waits
        raise CheckpointError("the disk is full")

    with CheckpointWriter(checkpoint, flush_seconds=0.1, flush_answers=2) as writer:
        monkeypatch.setattr(checkpoint, "write", refused_slowly)
        writer.add(ok(0))
        with pytest.raises(RefusedWriteError):
            writer.add(ok(1))
        until(lambda: len(checkpoint.ledger()) == 2)
