"""Filters and groups never lose rows: every selectivity, compared with brute force in numpy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pinakes.query.filters import Equals, Filter
from pinakes.query.query import Mode
from pinakes.spaces import Space
from pinakes.store.conditions import conditions
from pinakes.store.database import Database
from pinakes.store.nearest import Found, Wanted, nearest
from pinakes.store.space_registry import resolve_space
from tests.clustered import COLLECTION, clustered, distances, store, stored_vectors

ROWS, DIMENSION, CLUSTERS = 20_000, 32, 50
SPACE = Space("counting", "random", "1", DIMENSION, "")

# Which rows pass, by row number: at random, and by cluster, which is nearness itself.
SHARES = {0.0001: 2, 0.001: 20, 0.01: 200, 0.1: 2_000, 0.3: 6_000, 0.6: 12_000, 0.9: 18_000, 1.0: ROWS}


@dataclass(frozen=True)
class Collection:
    """A stored collection with an HNSW index."""

    database: Database
    vectors: npt.NDArray[np.float64]
    passing: dict[str, npt.NDArray[np.bool_]]
    copies: dict[int, tuple[int, bool]]

    def find(self, query: npt.NDArray[np.float32], k: int, filters: list[Filter], mode: Mode) -> Found:
        with self.database.connection() as (conn, pgvector):
            space = resolve_space(conn, COLLECTION)
            wanted = Wanted(k, conditions(COLLECTION, filters), mode=mode)
            return nearest(conn, pgvector, COLLECTION, space, query, wanted)


@pytest.fixture(scope="module")
def collection(server: str) -> Iterator[Collection]:
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE filtered"))
        try:
            database = Database(make_conninfo(server, dbname="filtered"))
            made = clustered(ROWS, DIMENSION, seed=1, rank=16, clusters=CLUSTERS)
            order = np.random.default_rng(2).permutation(ROWS)
            metadata = {f"share{count}": ["yes" if n < count else "no" for n in order] for count in SHARES.values()}
            metadata["cluster"] = [f"c{n % CLUSTERS}" for n in range(ROWS)]
            metadata["author"] = [f"a{n // 5}" for n in range(ROWS)]
            store(database, SPACE, made, metadata, index="hnsw")
            passing = {name: np.array([v == "yes" for v in values]) for name, values in metadata.items()}
            vectors = stored_vectors(database, SPACE)
            yield Collection(database, vectors, passing, make_copies(database, vectors))
        finally:
            conn.execute(sql.SQL("DROP DATABASE filtered WITH (FORCE)"))


GROUPED = clustered(10, DIMENSION, seed=7, rank=16, clusters=CLUSTERS)
"""Queries all of whose nearest rows have copies."""


def make_copies(database: Database, vectors: npt.NDArray[np.float64]) -> dict[int, tuple[int, bool]]:
    """The rows nearest to each query in groups of three, in each second of which the farthest is preferred.

    By row number: its group, and whether it is preferred.
    """
    copies: dict[int, tuple[int, bool]] = {}
    for query in GROUPED:
        near = [int(n) for n in np.argsort(distances(vectors, query))[:60] if n not in copies]
        for n in range(0, len(near) - 2, 3):
            group = len(copies)
            copies |= {row: (group, group % 2 == 1 and row == near[n + 2]) for row in near[n : n + 3]}
    with database.connection() as (conn, _), conn.cursor().copy(f"COPY {COLLECTION}.duplicates FROM STDIN") as copy:
        for n, (group, preferred) in copies.items():
            copy.write_row((f"i{n:07}", f"group {group}", "resized", preferred, False))
    return copies


def recall(found: Found, best: npt.NDArray[np.float64]) -> float:
    """The share of the nearest that were found, by distance, so that ties count for each other."""
    return sum(row.distance is not None and row.distance <= best[-1] + 1e-6 for row in found.rows) / len(best)


@pytest.mark.parametrize("share", SHARES)
def test_automatic_mode_finds_what_brute_force_finds(collection: Collection, share: float) -> None:
    """240 queries in all: 30 for each share of matching images, k of 1, 10 and 50."""
    filters: list[Filter] = [Equals(f"share{SHARES[share]}", ("yes",))] if share < 1 else []
    passing = collection.passing[f"share{SHARES[share]}"]
    queries = clustered(30, DIMENSION, seed=3, rank=16, clusters=CLUSTERS)
    recalls: dict[int, list[float]] = {1: [], 10: [], 50: []}
    modes = set()
    for number, query in enumerate(queries):
        k = (1, 10, 50)[number % 3]
        found = collection.find(query, k, filters, "auto")
        best = np.sort(distances(collection.vectors, query)[passing])[:k]
        assert len(found.rows) == len(best)
        recalls[k].append(recall(found, best))
        modes.add(found.mode)
        assert found.scanned >= len(best)
        if found.mode == "exact":
            assert found.scanned == passing.sum()
            np.testing.assert_allclose([row.distance for row in found.rows], best, atol=1e-5)
    assert {k: np.mean(r) >= 0.99 for k, r in recalls.items()} == dict.fromkeys(recalls, True), recalls
    # The planner has to have had a choice: few matches are compared one by one, many are found by the index.
    if share != 0.1:  # where it depends on k
        assert modes == ({"exact"} if share < 0.1 else {"hnsw"})


@pytest.mark.parametrize("share", SHARES)
def test_exact_mode_equals_brute_force(collection: Collection, share: float) -> None:
    filters: list[Filter] = [Equals(f"share{SHARES[share]}", ("yes",))] if share < 1 else []
    passing = collection.passing[f"share{SHARES[share]}"]
    for query in clustered(6, DIMENSION, seed=4, rank=16, clusters=CLUSTERS):
        found = collection.find(query, 20, filters, "exact")
        best = np.sort(distances(collection.vectors, query)[passing])[:20]
        assert found.mode == "exact"
        np.testing.assert_allclose([row.distance for row in found.rows], best, atol=1e-5)


def test_a_filter_that_turns_away_from_the_query_loses_nothing(collection: Collection) -> None:
    """What passes is everything but the query's own surroundings: the worst that an index scan can be asked."""
    clusters = np.arange(ROWS) % CLUSTERS
    recalls = []
    for number, query in enumerate(clustered(40, DIMENSION, seed=5, rank=16, clusters=CLUSTERS)):
        near = {(number + step) % CLUSTERS for step in range(25)}
        passing = ~np.isin(clusters, list(near))
        filters: list[Filter] = [Equals("cluster", tuple(f"c{n}" for n in range(CLUSTERS) if n not in near))]
        found = collection.find(query, 10, filters, "auto")
        best = np.sort(distances(collection.vectors, query)[passing])[:10]
        assert len(found.rows) == 10
        recalls.append(recall(found, best))
    assert np.mean(recalls) >= 0.99


def test_an_index_that_is_asked_for_answers_k_even_where_hardly_any_match(collection: Collection) -> None:
    query = clustered(1, DIMENSION, seed=6, rank=16, clusters=CLUSTERS)[0]
    found = collection.find(query, 15, [Equals("share20", ("yes",))], "index")
    assert len(found.rows) == 15
    assert found.mode == "exact"
    assert found.scanned == 20


def shown(
    collection: Collection,
    measured: npt.NDArray[np.float64],
    passing: npt.NDArray[np.bool_],
    *,
    collapse: bool = False,
    group_by: str | None = None,
) -> Iterator[str]:
    """What passes, from the nearest on: of copies the preferred, else the nearest; of these the nearest of each author."""
    preferred = {group: n for n, (group, is_preferred) in collection.copies.items() if is_preferred and passing[n]}
    copies, authors = set(), set()
    for n in map(int, np.lexsort((np.arange(ROWS), measured))):
        group, _ = collection.copies.get(n, (-1 - n, False)) if collapse else (-1 - n, False)
        if passing[n] and group not in copies and preferred.get(group, n) == n:
            copies.add(group)
            if group_by is None or n // 5 not in authors:
                authors.add(n // 5)
                yield f"i{n:07}"


BOTH = {"collapse": True, "group_by": "author"}


@pytest.mark.parametrize(
    ("options", "share"),
    [({"collapse": True}, 1.0), ({"group_by": "author"}, 1.0), *((BOTH, s) for s in (1.0, 0.6, 0.001))],
)
def test_one_of_each_group_is_found_by_the_index_as_by_brute_force(
    collection: Collection, options: dict[str, Any], share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    filters: list[Filter] = [Equals(f"share{SHARES[share]}", ("yes",))] if share < 1 else []
    passing = collection.passing[f"share{SHARES[share]}"]
    plans: list[str] = []
    with collection.database.connection() as (conn, pgvector):
        execute = conn.execute

        def explained(statement: Any, *values: Any, **given: Any) -> Any:
            if isinstance(statement, sql.Composed) and "WITH candidates" in statement.as_string(conn):
                plans.extend(line for (line,) in execute(sql.SQL("EXPLAIN ") + statement, *values))
            return execute(statement, *values, **given)

        monkeypatch.setattr(conn, "execute", explained)
        space = resolve_space(conn, COLLECTION)
        found_of_all = 0
        for query in GROUPED:
            best = shown(collection, distances(collection.vectors, query), passing, **options)
            expected = list(islice(best, 10))
            wanted = Wanted(10, conditions(COLLECTION, filters), **options)
            exact = nearest(conn, pgvector, COLLECTION, space, query, replace(wanted, mode="exact"))
            assert [row.image_id for row in exact.rows] == expected
            plans.clear()
            found = nearest(conn, pgvector, COLLECTION, space, query, wanted)
            assert len(found.rows) == 10
            found_of_all += len({row.image_id for row in found.rows} & set(expected))
            by_index = any(f"Index Scan using {SPACE.name}_hnsw" in line for line in plans)
            assert (found.mode, by_index) == (("hnsw", True) if share > 0.1 else ("exact", False))
    assert found_of_all >= 0.99 * 10 * len(GROUPED)
