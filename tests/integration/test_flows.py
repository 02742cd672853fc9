"""The flows against a real Prefect server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from pinakes.errors import TooManyFailuresError, UsageError
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.store.hidden import hide
from tests.counting import Counting
from tests.running import gallery, using

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
    """The names of a flow run's task runs, once all of them have arrived."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run_id])))
    return {run.name for run in runs}


def test_a_run_returns_its_account_and_leaves_its_artifacts(working: Path) -> None:
    source = gallery(working / "in")
    (source / "broken.png").write_bytes(b"broken")
    (source / "notes.txt").write_text("no picture")
    state = ingest(source=str(source), batch_size=4, allow_failures="1")
    summary = state.result()
    assert (summary["listed"], summary["embedded"], summary["failed"], summary["skipped"]) == (14, 12, 1, 1)
    json.dumps(summary)

    found = artifacts(state.state_details.flow_run_id)
    assert set(found) == {"plan", "progress", "statuses", "provider", "failures", "pictures"}
    assert found["progress"].data == 100.0
    assert {"status": "embedded", "count": 12} in json.loads(found["statuses"].data)
    provider = {row["what"]: row["value"] for row in json.loads(found["provider"].data)}
    assert provider["calls made"] == summary["calls"]
    assert 0 < provider["time of a picture p50, ms"] <= provider["time of a picture p95, ms"]
    assert provider["pictures embedded a second"] > 0
    assert json.loads(found["failures"].data)[0]["image_id"] == "broken.png"
    assert {"what": "new", "images": 13} in json.loads(found["plan"].data)
    assert "data:image/jpeg;base64," in found["pictures"].data
    assert all(len(str(artifact.data)) < 1_000_000 for artifact in found.values())


def test_the_pictures_of_a_run_leave_out_restricted_ones(working: Path, database: Database) -> None:
    source = gallery(working / "in", 1)
    first = ingest(source=str(source))
    with database.connection() as (conn, _):
        hide(conn, "pictures", "image_id=p00.png")
    second = ingest(source=str(source))
    assert "pictures" in artifacts(first.state_details.flow_run_id)
    assert "pictures" not in artifacts(second.state_details.flow_run_id)


def test_batches_say_what_they_work_on(working: Path) -> None:
    state = ingest(source=str(gallery(working / "in")), batch_size=5)
    assert task_names(state.state_details.flow_run_id) >= {
        "embed 1/3",
        "embed 2/3",
        "embed 3/3",
        "merge metadata and load",
    }


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


def test_a_bad_parameter_is_named(working: Path) -> None:
    error = ingest(source=str(working), collection="Not A Name").result(raise_on_failure=False)
    assert isinstance(error, UsageError)
    assert "'Not A Name'" in str(error)


def test_a_search_leaves_its_hits_with_pictures(working: Path) -> None:
    from flows.search import search

    ingest(source=str(gallery(working / "in")))
    with using(Counting()):
        state = search(text="blue", k=3, return_state=True)
    answer = state.result()
    assert len(answer["hits"]) == 3
    assert answer["plan"]["mode"] == "exact"
    hits = artifacts(state.state_details.flow_run_id)["hits"]
    assert "data:image/jpeg;base64," in hits.data
    assert answer["hits"][0]["image_id"] in hits.data
    assert len(hits.data) < 1_000_000
