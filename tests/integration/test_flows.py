"""The flows against a real Prefect server."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from pinakes.errors import LockHeldError, PruneRefusedError, TooManyFailuresError, UsageError
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.store.lease import Lease
from pinakes.store.restrictions import hide
from tests.counting import Counting
from tests.running import gallery, paint, stored, using
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def working(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The settings of this test as the environment of flows in this process."""
    monkeypatch.setenv("PINAKES_HOME", str(settings.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", settings.database_url or "")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ingest(**parameters: Any) -> Any:
    from flows.ingest import ingest as flow

    with using(Counting()):
        return flow(embedder="counting", return_state=True, **parameters)


def artifacts(run_id: UUID) -> dict[str, Any]:
    """The artifacts of a flow run by key."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        )
    return {artifact.key or "": artifact for artifact in found}


def task_names(run_id: UUID) -> set[str]:
    """The names of a flow run's task runs that have ended; the server enters them up to a second later."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])))
    return {run.name for run in runs if run.state is not None and run.state.is_completed()}


def test_a_run_returns_its_account_and_leaves_its_artifacts(working: Path) -> None:
    source = gallery(working / "in")
    (source / "broken.png").write_bytes(b"broken")
    (source / "notes.txt").write_text("no picture")
    state = ingest(source=str(source), batch_size=4, allow_failures="1")
    summary = state.result()
    assert (summary["listed"], summary["embedded"], summary["failed"], summary["skipped"]) == (14, 12, 1, 1)
    json.dumps(summary)

    found = artifacts(state.state_details.flow_run_id)
    assert set(found) == {"plan", "progress", "statuses", "provider", "failures", "skipped", "pictures"}
    assert json.loads(found["skipped"].data) == [{"name": "notes.txt", "reason": "not an image by its name (.txt)"}]
    assert found["progress"].data == 100.0
    assert {"status": "embedded", "count": 12} in json.loads(found["statuses"].data)
    provider = {row["what"]: row["value"] for row in json.loads(found["provider"].data)}
    assert provider["calls made"] == summary["calls"]
    assert 0 < provider["time of a picture p50, ms"] <= provider["time of a picture p95, ms"]
    assert provider["pictures embedded a second"] > 0
    assert json.loads(found["failures"].data)[0]["image_id"] == "broken.png"
    plan = json.loads(found["plan"].data)
    assert {"what": "new", "value": 13} in plan
    assert "USD" not in {row["what"] for row in plan}, "it costs nothing"
    assert all(row["value"] for row in plan)
    assert len({row["what"] for row in plan}) == len(plan)
    assert "data:image/jpeg;base64," in found["pictures"].data
    assert all(len(str(artifact.data)) < 1_000_000 for artifact in found.values())


def materialized(wait: int, **wanted: str) -> list[dict[str, Any]]:
    """The events of assets that were made, oldest first, once there are so many about one name."""
    from prefect.client.orchestration import get_client

    event_filter = {"event": {"name": ["prefect.asset.materialization.succeeded"]}, "order": "ASC"}
    with get_client(sync_client=True) as client:
        for _ in range(int(PATIENCE)):
            events = client.request("POST", "/events/filter", json={"filter": event_filter}).json()["events"]
            events = [event for event in events if wanted.items() <= (event["payload"] or {}).items()]
            if len(events) >= wait:
                return events
            time.sleep(1)
    raise AssertionError(events)


def test_a_run_shows_what_it_makes_of_what_as_assets(working: Path, settings: Settings) -> None:
    source = gallery(working / "in", 3)
    (source / "broken.png").write_bytes(b"broken")
    assert ingest(source=str(source), allow_failures="1", collection="of_assets").is_completed()
    checkpoint, space = materialized(2, collection="of_assets")
    assert checkpoint["resource"]["prefect.resource.id"].startswith(f"file://{settings.checkpoint}/of_assets/")
    assert [r["prefect.resource.id"] for r in checkpoint["related"] if r["prefect.resource.role"] == "asset"] == [
        f"file://{source.resolve()}/"
    ]
    assert (checkpoint["payload"]["embedded"], checkpoint["payload"]["failed"]) == (3, 1)
    assert space["resource"]["prefect.resource.id"].endswith("/of_assets/counting_colours_1_27")
    assert checkpoint["resource"]["prefect.resource.id"] in [r["prefect.resource.id"] for r in space["related"]]
    assert space["payload"]["rows_written"] == 7


def test_the_pictures_of_a_run_leave_out_restricted_ones(working: Path, database: Database) -> None:
    source = gallery(working / "in", 1)
    first = ingest(source=str(source))
    with database.connection() as (conn, _):
        hide(conn, "pictures", "image_id=p00.png")
    second = ingest(source=str(source))
    assert "pictures" in artifacts(first.state_details.flow_run_id)
    assert "pictures" not in artifacts(second.state_details.flow_run_id)


def name_of(run_id: UUID) -> str:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id).name


def test_names_of_runs_sort_and_say_what_was_done(working: Path) -> None:
    source = gallery(working / "in")
    (source / "broken.png").write_bytes(b"broken")
    states = [ingest(source=str(source), allow_failures="1", dry_run=dry) for dry in (True, False, False)]
    (source / "p00.png").unlink()
    states.append(ingest(source=str(source), prune=True))
    names = [name_of(state.state_details.flow_run_id) for state in states]
    assert names == sorted(names)
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ pictures counting", name) for name in names)
    assert [name.split("counting")[1] for name in names] == [
        " dry run",
        ": 12 embedded, 1 failed",
        ": nothing new",
        ": 1 pruned",
    ]


def test_a_refusal_to_prune_fails_the_run_after_all_else_was_done_and_shown(working: Path) -> None:
    source = gallery(working / "in", 6)
    assert ingest(source=str(source)).is_completed()
    for number in range(3):
        (source / f"p{number:02}.png").rename(source / f"new{number}.png")
    paint(source / "more.png", (1, 2, 3))
    state = ingest(source=str(source), prune=True)
    error = state.result(raise_on_failure=False)
    assert state.is_failed()
    assert isinstance(error, PruneRefusedError)
    assert (error.exit_code, error.summary["embedded"], error.summary["pruned"]) == (1, 1, 0)
    found = artifacts(state.state_details.flow_run_id)
    assert {"status": "vanished", "count": 3} in json.loads(found["statuses"].data)
    assert {"status": "embedded", "count": 1} in json.loads(found["statuses"].data)
    assert name_of(state.state_details.flow_run_id).endswith(": 1 embedded")


def test_batches_say_what_they_work_on_and_what_does_nothing_says_nothing(
    working: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = ingest(source=str(gallery(working / "in")), batch_size=2)
    expected = {
        *(f"embed {number}/6" for number in range(1, 7)),
        *("list and plan", "verify the embedder", "checkpoint", "merge metadata and load", "index"),
        *("balance the account", "report"),
    }
    run_id = state.state_details.flow_run_id
    until(lambda: task_names(run_id) >= expected)
    assert task_names(run_id) == expected, "a stage without work has no task run"
    ended = [record.getMessage() for record in caplog.records if getattr(record, "task_name", "") == "embed"]
    assert not [line for line in ended if line.startswith("Finished in state Completed")]


def test_too_many_failures_fail_the_run_after_the_good_rows_are_stored(working: Path) -> None:
    source = gallery(working / "in", 3)
    (source / "broken.png").write_bytes(b"broken")
    state = ingest(source=str(source))
    error = state.result(raise_on_failure=False)
    assert state.is_failed()
    assert isinstance(error, TooManyFailuresError)
    assert (error.exit_code, error.summary["rows_written"]) == (3, 7)
    known = ingest(source=str(source))
    assert known.is_completed()


def test_the_message_of_a_failed_state_is_the_sentence_and_nothing_else(working: Path) -> None:
    state = ingest(source=str(working / "nowhere"))
    assert state.is_failed()
    assert state.message == str(state.result(raise_on_failure=False))
    assert state.message.startswith("there is no folder or file")


def test_an_error_of_a_stage_is_the_message_of_the_run_too(working: Path) -> None:
    (working / "list.txt").write_text("p00.png\n")
    state = ingest(source=str(working / "list.txt"), under=str(working / "nowhere"))
    assert state.is_failed()
    assert state.message == str(state.result(raise_on_failure=False))
    assert state.message.startswith("there is no folder")


def test_a_run_that_another_one_keeps_from_writing_is_cancelled_or_waits_as_asked(
    working: Path, database: Database, settings: Settings
) -> None:
    source = str(gallery(working / "in", 3))
    assert ingest(source=source).is_completed()
    ((space,),) = stored(database, "SELECT space FROM pictures.spaces")
    with Lease(database.dsn, f"pictures/{space}", seconds=settings.lease_seconds):
        refused = ingest(source=source)
        other = ingest(source=source, collection="others")
    assert refused.is_cancelled()
    assert "is being written by process" in refused.message
    assert isinstance(refused.result(raise_on_failure=False), LockHeldError)
    assert other.is_completed()

    with ThreadPoolExecutor() as meanwhile:
        held = threading.Event()

        def hold() -> None:
            with Lease(database.dsn, f"pictures/{space}", seconds=settings.lease_seconds):
                held.set()
                time.sleep(2 * settings.lease_seconds)

        meanwhile.submit(hold)
        assert held.wait(PATIENCE)
        assert ingest(source=source, wait=600).is_completed()


def test_a_bad_parameter_is_named(working: Path) -> None:
    error = ingest(source=str(working), collection="Not A Name").result(raise_on_failure=False)
    assert isinstance(error, UsageError)
    assert "'Not A Name'" in str(error)


def test_a_search_leaves_its_hits_with_pictures(working: Path) -> None:
    from flows.search import search

    ingest(source=str(gallery(working / "in")))
    with using(Counting()):
        state = search(text="blue", k=3, return_state=True)
        others = [search(k=1, return_state=True), search(plus=["green"], minus=["0.5*red"], k=1, return_state=True)]
    names = [name_of(each.state_details.flow_run_id).split("Z ")[1] for each in (state, *others)]
    assert names == ["search blue", "search all pictures", "search plus green, minus 0.5*red"]
    answer = state.result()
    assert len(answer["hits"]) == 3
    assert answer["plan"]["mode"] == "exact"
    hits = artifacts(state.state_details.flow_run_id)["hits"]
    assert "data:image/jpeg;base64," in hits.data
    assert answer["hits"][0]["image_id"] in hits.data
    assert len(hits.data) < 1_000_000


def test_a_stage_gets_its_arguments_as_they_are_and_prefect_does_not_walk_through_them() -> None:
    from prefect import flow

    from tasks.stage import stage

    class Listing(list[int]):
        def __iter__(self) -> Iterator[int]:
            raise AssertionError("a listing of a million pictures was walked through")

    @dataclass(frozen=True)
    class Value:
        listing: Listing

    @stage("hand on")
    def hand_on(value: Value, *, named: Value) -> tuple[int, int]:
        return id(value), id(named)

    value, named = Value(Listing([1])), Value(Listing([2]))

    @flow(persist_result=False)
    def handing_on() -> tuple[int, int]:
        return hand_on(value, named=named)

    assert handing_on() == (id(value), id(named))
