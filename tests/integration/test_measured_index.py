"""What an index is searched with where nobody has run an evaluation: it is measured after the build."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pinakes.evaluation.evaluation import evaluate_recall
from pinakes.evaluation.recall import EF_SEARCH_LEVELS, settle
from pinakes.evaluation.request import EvaluationRequest
from pinakes.query.filters import Equals
from pinakes.query.query import Mode
from pinakes.spaces import Space
from pinakes.store import index_progress
from pinakes.store.conditions import Conditions, conditions
from pinakes.store.database import Database
from pinakes.store.index_settings import IndexChoice, IndexKind
from pinakes.store.indexes import built_settings, ensure_index, rebuild_index
from pinakes.store.lease import Lease
from pinakes.store.nearest import Wanted, nearest
from pinakes.store.search_plan import EF_SEARCH, Plan, plan, searched_with
from pinakes.store.sketches import NEAREST, near_in_space
from pinakes.store.space_registry import RegisteredSpace, resolve_space
from tests.clustered import COLLECTION, clustered, distances, store, stored_vectors

SPACE = Space("made", "up", "1", 256, "")
ROWS = 1500
KEPT = np.random.default_rng(4).random(ROWS) < 0.5

Build = Callable[..., RegisteredSpace]


@pytest.fixture
def build(database: Database) -> Build:
    """Builds an index and measures what to ask it with, as a run does; the space afterwards."""

    def ask_for(choice: IndexChoice = "auto", **settings: int) -> RegisteredSpace:
        with database.connection() as (conn, pgvector), Lease(database.dsn, "x", seconds=60) as lease:
            ensure_index(conn, COLLECTION, SPACE, choice, lease, pgvector, settings)
            return settle(conn, pgvector, COLLECTION, SPACE)

    return ask_for


def found(database: Database, queries: np.ndarray, passing: Conditions, mode: Mode = "auto") -> tuple[float, set[str]]:
    """recall@10 against brute force over what is stored, and how the searches were answered."""
    vectors = stored_vectors(database, SPACE)
    kept = KEPT if passing else np.full(len(vectors), True)
    right, modes = 0, set()
    with database.connection() as (conn, pgvector):
        space = resolve_space(conn, COLLECTION)
        for query in queries:
            answer = nearest(conn, pgvector, COLLECTION, space, query, Wanted(10, passing, mode=mode))
            best = np.sort(distances(vectors, query)[kept])[:10]
            right += sum(row.distance is not None and row.distance <= best[-1] + 1e-6 for row in answer.rows)
            modes.add(answer.mode)
    return right / len(queries) / 10, modes


def test_the_smallest_setting_that_is_enough_is_stored_after_each_build(
    database: Database, build: Build, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(index_progress, "LINE_SECONDS", 0.02)
    store(database, SPACE, clustered(ROWS, 256), {"type": ["a" if n else "b" for n in KEPT]})
    queries = clustered(30, 256, seed=9)
    kinds: tuple[IndexKind, ...] = ("hnsw", "binary")
    for kind in kinds:
        caplog.clear()
        with caplog.at_level(logging.INFO, logger=index_progress.__name__):
            space = build(kind)
        assert space.index_kind == kind
        told = [record.getMessage() for record in caplog.records]
        assert any(f"building the {kind} index of made_up_1_256: " in line and "% after" in line for line in told), told
        assert space.ef_search in EF_SEARCH_LEVELS
        assert space.ef_search < EF_SEARCH[kind]
        assert (space.ef_search_filtered or 0) in EF_SEARCH_LEVELS
        assert (space.ef_search_recall or 0) >= 0.99
        assert not space.falls_short
        assert searched_with(space) == {"ef_search": space.ef_search}
        for passing in (Conditions(), conditions(COLLECTION, [Equals("type", ("a",))])):
            recall, modes = found(database, queries, passing, "index")
            assert modes == {kind}
            assert recall >= 0.99
        with database.connection() as (conn, _):
            rows = conn.execute("SELECT indexname FROM pg_indexes WHERE tablename = %s ORDER BY 1", (SPACE.name,))
            assert rows.fetchall() == [(f"{SPACE.name}_{kind}",), (f"{SPACE.name}_pkey",)]
            assert built_settings(conn, COLLECTION, SPACE, kind) == {"m": 16, "ef_construction": 200}
            # It is measured again once the space has outgrown it, and not before.
            conn.execute(f"UPDATE {COLLECTION}.spaces SET ef_search = 999, ef_search_rows = {ROWS // 2}")
            assert build().ef_search == 999
            conn.execute(f"UPDATE {COLLECTION}.spaces SET ef_search_rows = {ROWS // 2 - 1}")
            assert build().ef_search == space.ef_search

    (report,) = evaluate_recall(database, EvaluationRequest(COLLECTION, recall=0.9, queries=100))
    assert (report.index, report.before, report.stored) == ("binary", space.ef_search, True)
    chosen = build()
    assert (chosen.ef_search, chosen.ef_search_wanted) == (report.recommended, pytest.approx(0.9))
    with database.connection() as (conn, pgvector), Lease(database.dsn, "x", seconds=60) as lease:
        rebuild_index(conn, COLLECTION, SPACE, lease, pgvector)
        again = settle(conn, pgvector, COLLECTION, SPACE)
    assert again.ef_search_built == again.index_built_at != chosen.ef_search_built
    assert again.ef_search_wanted == pytest.approx(0.9), "a rebuild keeps what a person asked for"
    assert build("none").index_kind is None


def test_a_search_with_a_filter_looks_as_far_as_the_share_that_passes_demands(database: Database) -> None:
    few = np.arange(ROWS) % 16 == 0
    values = {"type": ["a" if n else "b" for n in KEPT], "school": ["a" if n else "b" for n in few]}
    store(database, SPACE, clustered(ROWS, 256), values)
    with database.connection() as (conn, pgvector):
        space = resolve_space(conn, COLLECTION)
        measured = replace(space, index_kind="hnsw", ef_search=100, ef_search_filtered=400)

        def chosen(*filters: Equals, deep: int = 11, kind: IndexKind = "hnsw") -> Plan:
            passing = conditions(COLLECTION, filters)
            return plan(conn, COLLECTION, replace(measured, index_kind=kind), passing, deep, "index", pgvector)

        half, narrow = Equals("type", ("a",)), Equals("school", ("a",))
        assert chosen().ef_search == 100
        assert chosen(half).ef_search == pytest.approx(100 * 4 ** (1 / 3), rel=0.05), "between what was measured"
        assert chosen(narrow).ef_search == pytest.approx(800, rel=0.01), "twice as narrow as what was measured"
        assert chosen(deep=88).ef_search == 400, "88 of all lie as deep as 11 of one in eight"
        assert [chosen(*f).candidates for f in ((), (half,), (narrow,))] == [19, 19, 19]
        assert chosen(narrow, kind="binary").candidates == pytest.approx(50, abs=1), (
            "signs: what passes of those looked at"
        )


def test_an_index_that_finds_too_little_whatever_it_is_asked_is_passed_over(database: Database, build: Build) -> None:
    store(database, SPACE, np.random.default_rng(1).standard_normal((ROWS, 256), dtype=np.float32), {})
    space = build("hnsw", m=2, ef_construction=4)
    assert (space.ef_search, space.falls_short) == (1000, True)
    queries = np.random.default_rng(2).standard_normal((5, 256), dtype=np.float32)
    assert found(database, queries, Conditions()) == (1.0, {"exact"})
    recall, modes = found(database, queries, Conditions(), "index")
    assert modes == {"hnsw"}
    assert recall < 0.99
    assert searched_with(space) == {}


def test_a_query_that_seems_to_have_been_led_to_the_wrong_place_is_looked_for_farther(
    database: Database, build: Build
) -> None:
    vectors = np.random.default_rng(1).standard_normal((ROWS, 256), dtype=np.float32)
    store(database, SPACE, vectors, {})
    space = build("hnsw", m=4, ef_construction=8)
    queries = np.random.default_rng(2).standard_normal((20, 256), dtype=np.float32)
    kth = np.sort([distances(stored_vectors(database, SPACE), query) for query in queries])[:, 9]
    assert np.quantile(kth, 0.9) < (space.ef_search_far or 0) < 1.2 * kth.max()
    recalls = []
    with database.connection() as (conn, _):
        for far in (1.0, 0.0):  # nothing is farther than the one, and everything than the other
            conn.execute(f"UPDATE {COLLECTION}.spaces SET ef_search = 40, ef_search_far = {far}".encode())
            recall, modes = found(database, queries, Conditions(), "index")
            assert modes == {"hnsw"}
            recalls.append(recall)
    assert recalls[1] > recalls[0] + 0.1


def test_neighbours_for_copies_are_looked_for_in_more_than_one_list(database: Database) -> None:
    ids = store(database, SPACE, np.random.default_rng(5).standard_normal((ROWS, 256)).astype(np.float32), {})
    asked = range(50)
    with database.connection() as (conn, pgvector), Lease(database.dsn, "x", seconds=60) as lease:
        ensure_index(conn, COLLECTION, SPACE, "ivfflat", lease, pgvector, {"lists": 20})
        conn.execute("SET enable_seqscan TO off")  # as for a table of a million
        space = resolve_space(conn, COLLECTION)
        near = set(near_in_space(conn, COLLECTION, space, [ids[n] for n in asked], within=2.0))
    vectors = stored_vectors(database, SPACE)
    nearest_of = {n: np.argsort(distances(vectors, vectors[n]))[1:NEAREST].tolist() for n in asked}
    right = sum((ids[n], ids[other]) in near for n, others in nearest_of.items() for other in others)
    assert right / len(asked) / (NEAREST - 1) > 0.5
