"""An index with settings that a person chooses: what is built, what stays, how far a search looks, and what is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pinakes.cli.main import cli
from pinakes.errors import UsageError
from pinakes.ingest.request import IngestRequest
from pinakes.query.query import ask
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.store.database import Database
from pinakes.store.index_settings import IndexChoice
from pinakes.store.indexes import built_settings, ensure_index
from pinakes.store.lease import Lease
from pinakes.store.nearest import Wanted, nearest
from pinakes.store.reload import Reload
from pinakes.store.space_registry import resolve_space
from tests import serving
from tests.clustered import COLLECTION, clustered, distances, store, stored_vectors
from tests.running import find, gallery, request_of, run

SPACE = Space("made", "up", "1", 32, "")
MEASURED = {"m": 16, "ef_construction": 200}

Build = Callable[..., dict[str, int] | None]


@pytest.fixture
def build(database: Database) -> Build:
    """Asks for an index as a run does; the settings of what is there then."""

    def ask_for(choice: IndexChoice = "auto", **settings: int) -> dict[str, int] | None:
        with database.connection() as (conn, pgvector), Lease(database.dsn, "x", seconds=60) as lease:
            kind = ensure_index(conn, COLLECTION, SPACE, choice, lease, pgvector, settings)
            return None if kind is None else built_settings(conn, COLLECTION, SPACE, kind)

    return ask_for


def built_at(database: Database) -> Any:
    with database.connection() as (conn, _):
        return resolve_space(conn, COLLECTION).index_built_at


def test_what_is_chosen_is_built_and_stays_until_something_else_is_chosen(database: Database, build: Build) -> None:
    store(database, SPACE, clustered(300, 32), {})
    assert build("hnsw") == MEASURED
    assert build("hnsw", m=24, ef_construction=128) == {"m": 24, "ef_construction": 128}
    before = built_at(database)
    assert build() == build("hnsw") == build("hnsw", ef_construction=128, m=24) == {"m": 24, "ef_construction": 128}
    assert built_at(database) == before, "nothing was built again"
    assert build("hnsw", m=8) == {"m": 8, "ef_construction": 200}, "what is not named is what was measured"
    assert build("ivfflat", lists=11) == {"lists": 11}
    assert build("ivfflat") == {"lists": 11}
    assert build("hnsw") == MEASURED
    assert build("none") is None


def test_a_rebuild_and_a_reload_keep_what_was_chosen(database: Database, build: Build) -> None:
    store(database, SPACE, clustered(300, 32), {})
    build("hnsw", m=24, ef_construction=128)
    with database.connection() as (conn, pgvector):
        reload = Reload(COLLECTION, SPACE, "hnsw", pgvector)
        for step in (reload.begin, reload.keep, reload.build, reload.end):
            with conn.transaction():
                step(conn)
        assert built_settings(conn, COLLECTION, SPACE, "hnsw") == {"m": 24, "ef_construction": 128}
    build("ivfflat", lists=11)
    with database.connection() as (conn, _):  # as if it had been built over a tenth of the rows
        conn.execute(f"UPDATE {COLLECTION}.spaces SET index_rows = 30")
    before = built_at(database)
    assert build() == {"lists": 11}
    assert built_at(database) > before


def test_lists_that_were_measured_follow_the_rows(database: Database, build: Build) -> None:
    store(database, SPACE, clustered(3000, 32), {})
    assert build("ivfflat") == {"lists": 3}
    with database.connection() as (conn, _):
        conn.execute(f"UPDATE {COLLECTION}.spaces SET index_rows = 1000")
        conn.execute(f'ALTER INDEX {COLLECTION}."{SPACE.name}_ivfflat" SET (lists = 1)')
    assert build() == {"lists": 3}


def test_an_index_that_somebody_has_dropped_is_built_again_and_shown_as_missing(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PINAKES_HOME", str(settings.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", settings.database_url or "")
    run(settings, gallery(tmp_path / "in"), hnsw="m=24,ef_construction=128")

    def page() -> str:
        with serving.service(settings) as service, serving.browsing(service) as visitor:
            return visitor.get("/").text

    def shown() -> dict[str, Any]:
        done = CliRunner().invoke(cli, ["spaces", "--json"], catch_exceptions=False)
        (space,) = json.loads(done.stdout)["spaces"]
        return dict(space)

    space = shown()
    assert (space["index"], space["index_settings"]) == ("hnsw", {"m": 24, "ef_construction": 128})
    assert (space["index_coverage"], space["index_searched_with"]) == (1.0, {"ef_search": 40})
    assert space["index_refreshed_at"] >= space["index_built_at"]
    text = " ".join(CliRunner().invoke(cli, ["spaces"], catch_exceptions=False).stdout.split())
    assert (
        f"hnsw index of {space['space']}: m=24, ef_construction=128; searched with ef_search=40; covers 100.0%" in text
    )

    built = datetime.fromisoformat(space["index_built_at"])
    said = "hnsw index: m=24, ef_construction=128; searched with ef_search=40."
    assert f"{said} Built {built.day} {built:%B %Y}; covers 100%" in page()

    with database.connection() as (conn, _):
        conn.execute(f'DROP INDEX pictures."{space["space"]}_hnsw"')
    assert "the hnsw index is not there any more" in page()
    assert (shown()["index_settings"], shown()["index_coverage"], shown()["index_refreshed_at"]) == (None, 0.0, None)
    assert "is not there any more" in CliRunner().invoke(cli, ["spaces"], catch_exceptions=False).stdout
    run(settings, tmp_path / "in")
    assert (shown()["index_settings"], shown()["index_coverage"]) == (MEASURED, 1.0)


def test_a_load_after_the_build_is_the_last_refresh(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(settings, gallery(tmp_path / "in", 4), ivfflat="lists=2")
    run(settings, gallery(tmp_path / "in", 6))
    monkeypatch.setenv("PINAKES_DATABASE_URL", settings.database_url or "")
    (space,) = json.loads(CliRunner().invoke(cli, ["spaces", "--json"]).stdout)["spaces"]
    assert (space["rows"], space["index_coverage"], space["index_searched_with"]) == (6, 1.0, {"probes": 10})
    with database.connection() as (conn, _):
        registered = resolve_space(conn, "pictures")
    assert registered.loaded_at is not None
    assert registered.index_built_at is not None
    assert registered.loaded_at > registered.index_built_at
    assert space["index_refreshed_at"] == registered.loaded_at.isoformat(timespec="seconds")


@pytest.mark.parametrize(("kind", "built"), [("ivfflat", {"lists": 50}), ("hnsw", {"m": 4, "ef_construction": 8})])
def test_effort_decides_how_far_the_index_looks(
    database: Database, build: Build, kind: IndexChoice, built: dict[str, int]
) -> None:
    store(database, SPACE, clustered(4000, 32), {})
    build(kind, **built)
    queries = clustered(40, 32, seed=2)
    vectors = stored_vectors(database, SPACE)
    recall = {}
    with database.connection() as (conn, pgvector):
        registered = resolve_space(conn, COLLECTION)
        for effort in (1, 50, None):
            found = [nearest(conn, pgvector, COLLECTION, registered, q, Wanted(10, effort=effort)) for q in queries]
            assert {f.mode for f in found} == {kind}
            best = [set(np.argsort(distances(vectors, q), kind="stable")[:10]) for q in queries]
            recall[effort] = sum(
                len(right & {int(row.image_id[1:]) for row in f.rows}) for right, f in zip(best, found, strict=True)
            )
    assert recall[1] < recall[50]
    if kind == "ivfflat":
        assert recall[1] < recall[None] <= recall[50] == 400, "with as many probes as lists it is exact"


def test_effort_is_taken_by_a_search_and_refused_where_no_index_is_asked(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    run(settings, gallery(tmp_path / "in", 60), ivfflat="lists=3")
    assert find(database, like="p03.png", effort=3, k=3).plan.mode == "ivfflat"
    with pytest.raises(UsageError, match=r"--effort 1001 is out of range; an index takes 1 to 1,000"):
        ask(like="p03.png", effort=1001)
    with pytest.raises(UsageError, match="--mode exact uses no index"):
        ask(like="p03.png", effort=3, mode="exact")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hnsw": "m=24;ef_construction=128"}, "is not of the form m=N,ef_construction=N"),
        ({"hnsw": "lists=11"}, "is not of the form"),
        ({"hnsw": "m=1"}, "--hnsw m=1 is out of range; pgvector takes 2 to 100"),
        ({"hnsw": "m=24,m=25"}, "is not of the form"),
        ({"hnsw": "m=40,ef_construction=64"}, "at least twice m, here 80"),
        ({"ivfflat": "lists=0"}, "pgvector takes 1 to 32,768"),
        ({"hnsw": "m=24", "ivfflat": "lists=11"}, "--hnsw and --ivfflat ask for different indexes"),
        ({"hnsw": "m=24", "index": "none"}, "--hnsw and --index none ask for different indexes"),
    ],
)
def test_settings_that_pgvector_would_refuse_are_refused_before_the_run(
    settings: Settings, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        request_of(settings, "in", **options)


def test_settings_ask_for_their_kind_of_index(settings: Settings) -> None:
    def wanted(**options: Any) -> tuple[str, dict[str, int]]:
        index = request_of(settings, "in", **options).wanted_index
        return index.choice, index.settings

    assert wanted() == ("auto", {})
    assert wanted(hnsw=" m = 24 ", index="hnsw") == ("hnsw", {"m": 24})
    assert wanted(ivfflat="lists=11") == ("ivfflat", {"lists": 11})
    assert IngestRequest.model_fields["hnsw"].default is None
