"""`Collection.search` against the bare SQL statements that somebody would write by hand.

`python -m benchmarks.search [--rows 21382] [--dimension 1024]`
    exact, by stored image and by vector: against a table of its own with `halfvec` stored PLAIN, the fastest way
`python -m benchmarks.search --index [--rows 200000] [--dimension 512]`
    through HNSW: against `ORDER BY embedding <=> … LIMIT 10` over the same index with pgvector's own `ef_search = 40`;
    recall@10 of both against numpy over what is stored, and what other values of `ef_search` would give
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import sql

import benchmarks.nothing  # noqa: F401 - registers the embedder that the space belongs to
from benchmarks.common import (
    K,
    administrator,
    alternating,
    arguments,
    images,
    listing,
    recall,
    scratch_database,
    seconds,
    writing,
)
from pinakes import Collection
from pinakes.settings import load_settings
from pinakes.spaces import Space
from pinakes.store.database import Database
from tests.clustered import Rows, clustered

ROUNDS = 60
QUERIES = 200
EF_SEARCHES = (100, 200, 400, 800)

Plain = psycopg.Connection[tuple[Any, ...]]


def main() -> None:
    options = arguments(__doc__, index=False, rows=0, dimension=0)
    rows = options.rows or (200_000 if options.index else 21_382)
    dimension = options.dimension or (512 if options.index else 1024)
    print(f"{rows:,} rows x {dimension}")
    vectors = clustered(rows, dimension, seed=1)
    with scratch_database() as database, administrator(database) as plain:
        space = store(database, vectors, index=options.index)
        register_vector(plain)
        settings = replace(load_settings(), database_url=database.dsn)
        with Collection("ours", settings=settings) as ours:
            (through_index if options.index else exact)(ours, plain, space, vectors)


def store(database: Database, vectors: Rows, *, index: bool) -> Space:
    """The collection `ours`, loaded as a run loads it."""
    # Metadata take minutes to make up, and an unfiltered search reads only those of its hits.
    frame = listing(len(vectors)) if index else images(len(vectors))
    if index:
        frame["image_id"] = [f"{n:06}.jpg" for n in range(len(vectors))]
    with writing(database, vectors.shape[1], provider="nothing") as writer:
        writer.load(frame, vectors)
        if index:
            print(f"HNSW built in {writer.index():.0f} s")
        writer.conn.execute("VACUUM ANALYZE")
        return writer.space


def exact(ours: Collection, plain: Plain, space: Space, vectors: Rows) -> None:
    """By stored image and by vector, in one run, each in turn with its statement."""
    plain.execute(
        sql.SQL("CREATE TABLE bare (image_id text PRIMARY KEY, title text, embedding halfvec({}) NOT NULL)").format(
            sql.Literal(space.dimension)
        )
    )
    plain.execute("ALTER TABLE bare ALTER COLUMN embedding SET STORAGE PLAIN")
    plain.execute(
        sql.SQL(
            "INSERT INTO bare SELECT image_id, title, embedding FROM ours.{} JOIN ours.images USING (image_id)"
        ).format(sql.Identifier(space.name))
    )
    plain.execute("VACUUM ANALYZE bare")
    ids = [hit.image_id for hit in ours.search(k=500)]
    numbers = iter(np.random.default_rng(4).integers(len(ids), size=10_000).tolist())

    def by_image() -> object:
        statement = """
            SELECT image_id, title, embedding <=> (SELECT embedding FROM bare WHERE image_id = %(id)s) AS d
            FROM bare
            WHERE image_id <> %(id)s
            ORDER BY d
            LIMIT 10
        """
        return plain.execute(statement, {"id": ids[next(numbers)]}, binary=True).fetchall()

    def by_vector() -> object:
        statement = "SELECT image_id, title, embedding <=> %s AS d FROM bare ORDER BY d LIMIT 10"
        return plain.execute(statement, (HalfVector(vectors[next(numbers)]),), binary=True).fetchall()

    compared("by stored image", lambda: ours.search(like=ids[next(numbers)]), by_image)
    compared("by vector", lambda: ours.search(vector=vectors[next(numbers)]), by_vector)


def compared(name: str, ours: Callable[[], object], bare: Callable[[], object]) -> None:
    """One line: both medians and their ratio."""
    mine, its = alternating(ours, bare, ROUNDS)
    print(
        f"{name:16} Collection.search p50 {mine * 1000:6.1f} ms, bare SQL p50 {its * 1000:6.1f} ms:"
        f" {mine / its:.2f} x (target: at most 1.3)"
    )


def through_index(ours: Collection, plain: Plain, space: Space, vectors: Rows) -> None:
    """Recall and latency of both over the same index."""
    table = sql.Identifier("ours", space.name)
    nearest = sql.SQL("SELECT image_id, embedding <=> %s AS d FROM {} ORDER BY embedding <=> %s LIMIT 10").format(table)
    plain.execute("SET hnsw.ef_search = 40")
    queries = clustered(QUERIES, space.dimension, seed=2)
    truth = [{f"{n:06}.jpg" for n in best} for best in brute_force(vectors, queries)]
    found: dict[str, list[set[str]]] = {"ours": [], "bare": []}
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    modes: set[str] = set()

    def ask_ours(query: Rows) -> None:
        hits = ours.search(vector=query, k=K)
        modes.add(hits.plan.mode)
        found["ours"].append({hit.image_id for hit in hits})

    def ask_bare(query: Rows) -> None:
        half = HalfVector(query)
        rows = plain.execute(nearest, (half, half), binary=True).fetchall()
        found["bare"].append({image_id for image_id, _ in rows})

    for query in queries:  # once to warm up, for the pages of the index to be in memory for both
        ask_ours(query)
        ask_bare(query)
    found = {name: [] for name in found}
    for query in queries:
        times["ours"].append(seconds(lambda: ask_ours(query)))  # noqa: B023 - called now
        times["bare"].append(seconds(lambda: ask_bare(query)))  # noqa: B023
    print(f"plan of ours: {', '.join(sorted(modes))}")
    for name, label in (("ours", "Collection.search"), ("bare", "bare, ef_search = 40")):
        print(
            f"{label:22} recall@{K} {recall(found[name], truth):.4f}, p50 {statistics.median(times[name]) * 1000:6.2f} ms,"
            f" p95 {np.percentile(times[name], 95) * 1000:6.2f} ms"
        )
    for ef_search in EF_SEARCHES:
        plain.execute(sql.SQL("SET hnsw.ef_search = {}").format(ef_search))
        found["bare"].clear()
        took = [seconds(lambda: ask_bare(query)) for query in queries]  # noqa: B023
        print(
            f"bare, ef_search = {ef_search:<4} recall@{K} {recall(found['bare'], truth):.4f},"
            f" p50 {statistics.median(took) * 1000:6.2f} ms"
        )


def brute_force(vectors: Rows, queries: Rows) -> list[list[int]]:
    """The numbers of the `K` nearest of what is stored (`halfvec`), for each query."""
    best = np.full((len(queries), 0), 0, dtype=np.int64)
    distances = np.full((len(queries), 0), 0, dtype=np.float32)
    for start in range(0, len(vectors), 20_000):
        kept = vectors[start : start + 20_000].astype(np.float16).astype(np.float32)
        near = 1 - queries @ (kept / np.linalg.norm(kept, axis=1, keepdims=True)).T
        numbers = np.broadcast_to(np.arange(start, start + len(kept)), near.shape)
        distances, best = np.hstack([distances, near]), np.hstack([best, numbers])
        order = np.argpartition(distances, K - 1, axis=1)[:, :K]
        distances, best = np.take_along_axis(distances, order, 1), np.take_along_axis(best, order, 1)
    return best.tolist()


if __name__ == "__main__":
    main()
