"""Choosing what runs the batches, and how a plan is spread over processes."""

from __future__ import annotations

import pickle
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dask
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from prefect.task_runners import ThreadPoolTaskRunner

from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.errors import LeaseLostError, SettingsError, UsageError
from pinakes.ingest.batch import Batch, batched, even_size, reconcile
from pinakes.ingest.distributed.assignment import work_as_rows, work_of_rows
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.work import Work
from pinakes.spaces import Space
from pinakes.types import Answer, ErrorClass, Failure, Image
from tasks.runners import DASK_PATIENCE, is_lost, slots, task_runner


def request(**options: object) -> IngestRequest:
    return IngestRequest.of(source="in", collection="pictures", checkpoint="kept", **options)


@pytest.mark.parametrize("name", ["threads", "dask", "ray", "dask://10.0.0.1:8786", "ray://head.example:10001"])
def test_the_runners_that_there_are(name: str) -> None:
    assert request(runner=name).runner == name


@pytest.mark.parametrize("name", ["", "thread", "dask:8786", "dask://", "dask://host", "spark", "ray://host:port"])
def test_any_other_runner_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(UsageError, match="dask://HOST:PORT"):
        request(runner=name)


def test_shards_and_a_cluster_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match="leave one out"):
        request(shards=2, runner="dask")


def test_shards_without_a_prefect_server_are_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pinakes.cli.ingest import command

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PINAKES_HOME", str(tmp_path / "home"))
    outcome = CliRunner().invoke(command, [str(tmp_path), "--shards", "2"])
    assert isinstance(outcome.exception, UsageError)
    assert "pinakes up" in str(outcome.exception)


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_missing_extra_is_named_with_what_installs_it(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"prefect_{kind}.task_runners", None)
    with pytest.raises(SettingsError, match=rf"\.venv/bin/python -m pip install -e '\.\[{kind}\]'"):
        task_runner(kind, 4)


def test_one_function_chooses_the_task_runner() -> None:
    threads = task_runner("threads", 3)
    assert isinstance(threads, ThreadPoolTaskRunner)
    assert slots(threads, 3) == 3
    assert type(task_runner("dask", 3)).__name__ == "DaskTaskRunner"
    assert dask.config.get("distributed.comm.timeouts.tcp") == DASK_PATIENCE  # so that no busy worker is given up
    assert dask.config.get("distributed.scheduler.no-workers-timeout") == DASK_PATIENCE  # nor waited for without end
    assert task_runner("dask://host:8786", 3).address == "tcp://host:8786"  # type: ignore[attr-defined]
    assert task_runner("ray://host:10001", 3).address == "ray://host:10001"  # type: ignore[attr-defined]


def test_a_worker_that_is_gone_is_told_from_an_error_of_ours() -> None:
    from distributed import KilledWorker
    from distributed.scheduler import NoWorkerError
    from ray.exceptions import RayTaskError, WorkerCrashedError

    assert is_lost(WorkerCrashedError())
    assert is_lost(KilledWorker("a task", None, 3))
    assert is_lost(NoWorkerError("a task", 300))
    assert not is_lost(RayTaskError("embed", "traceback", ValueError("ours")))
    assert not is_lost(LeaseLostError("the run is over"))


@given(st.integers(1, 3000), st.integers(1, 300), st.integers(1, 40))
def test_nobody_gets_much_more_than_a_share_and_no_batch_is_too_large(calls: int, most: int, ways: int) -> None:
    size = even_size(calls, most, ways)
    assert 1 <= size <= most
    if ways == 1:
        assert size == most
        return
    of_each = [0] * ways
    for batch in range(-(-calls // size)):
        of_each[batch % ways] += min(size, calls - batch * size)
    assert sum(of_each) == calls
    # Nobody does more than a batch's worth above his share, rounded up.
    assert max(of_each) <= -(-calls // ways) + size


def image(name: str) -> Image:
    return Image(f"{name}.jpg", f"file:///in/{name}.jpg", f"md5:{name}", 7)


def test_work_travels_as_json_and_as_a_pickle() -> None:
    work = [Work(image("a"), 2, [image("b"), image("c")]), Work(image("d"), 0)]
    assert work_of_rows(work_as_rows(work)) == work
    (batch,) = batched(work, 9)
    again: Batch = pickle.loads(pickle.dumps(batch))
    assert (again.number, again.total, again.work, again.images) == (1, 1, work, 4)


def test_what_a_dead_process_answered_is_told_by_image_and_by_time(tmp_path: Path) -> None:
    space = Space("counting", "colours", "1", 3, "")
    checkpoint = open_checkpoint(str(tmp_path), "pictures", space)
    planned = datetime(2026, 11, 21, tzinfo=UTC)
    vector = np.ones(3, np.float32)

    def answer(of: Image, *, ok: bool, seconds: float) -> Answer:
        failure = None if ok else Failure(ErrorClass.TIMEOUT, "too late")
        at = planned + timedelta(seconds=seconds)
        return Answer(of.image_id, of.fingerprint, vector if ok else None, failure, 1, "1", at)

    done, half, twin, failed, old, never = map(image, ("done", "half", "twin", "failed", "old", "never"))
    checkpoint.write(
        [
            answer(done, ok=True, seconds=1),
            answer(half, ok=True, seconds=2),
            answer(failed, ok=False, seconds=3),
            answer(old, ok=False, seconds=-100),
        ]
    )
    work = [Work(done, 0), Work(half, 0, [twin]), Work(failed, 0), Work(old, 1), Work(never, 0)]
    result, left = reconcile(work, checkpoint.ledger(), planned)
    assert (result.embedded, result.failed, result.deferred, result.elsewhere.calls) == (2, 1, 0, 2)
    assert left == [Work(twin, 0), Work(old, 1), Work(never, 0)]


def test_one_call_answered_all_pictures_of_equal_bytes_and_a_failure_of_the_first_moment_is_new(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(tmp_path), "pictures", Space("counting", "colours", "1", 3, ""))
    planned = datetime(2026, 11, 21, tzinfo=UTC)
    done, twin, failed = map(image, ("done", "twin", "failed"))
    vector = np.ones(3, np.float32)
    checkpoint.write(
        [
            Answer(done.image_id, done.fingerprint, vector, None, 1, "1", planned),
            Answer(twin.image_id, twin.fingerprint, vector, None, 1, "1", planned),
            Answer(failed.image_id, failed.fingerprint, None, Failure(ErrorClass.TIMEOUT, "too late"), 1, "1", planned),
        ]
    )
    result, left = reconcile([Work(done, 0, [twin]), Work(failed, 0)], checkpoint.ledger(), planned)
    assert (result.embedded, result.failed, result.answers, result.elsewhere.calls) == (2, 1, 3, 1)
    assert left == []
