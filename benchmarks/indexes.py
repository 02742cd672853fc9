"""Every way of finding the nearest in one run: each kind of index, pgvector's by hand, and comparing all.

`python -m benchmarks.indexes [--rows 60000] [--dimension 1024] [--queries 200] [--rounds 2] [--uniform]`

First the build of the HNSW index is timed against the bare `CREATE INDEX` over a copy of the table, in turn, with the same
memory and workers. Then each kind is built and measured as `pinakes evaluate recall` does, and searched with what was found
to be enough; by hand stand an HNSW index over the vectors in full precision and one over the halves, each at the smallest
`ef_search` that finds enough of these queries' neighbours. Keeps `benchmarks/results/indexes-ROWS.json`.
"""

from __future__ import annotations

import statistics
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
from pgvector import HalfVector
from pgvector import Vector as PgVector
from pgvector.psycopg import register_vector

import benchmarks.nothing  # noqa: F401 - registers the embedder that the space belongs to
from benchmarks.common import Figure, K, Writer, administrator, arguments, record, scratch_home, seconds, writing
from benchmarks.large import answered, made, vectors
from benchmarks.metering import postmaster_in, processor_seconds
from pinakes import Collection
from pinakes.evaluation.measures import KthNearest, recall_at_k, unit
from pinakes.evaluation.recall import EF_SEARCH_LEVELS, measure_recall, settle
from pinakes.evaluation.request import WANTED_RECALL, EvaluationRequest
from pinakes.settings import load_settings
from pinakes.store.database import Database
from pinakes.store.embedded.server import embedded_server
from pinakes.store.index_settings import IndexChoice, measured_settings
from pinakes.store.indexes import ensure_index, held_bytes, index_bytes, size_for_build
from pinakes.store.search_plan import searched_with
from pinakes.store.space_registry import resolve_space
from tests.clustered import Rows

KINDS: tuple[IndexChoice, ...] = ("hnsw", "binary", "ivfflat", "none")
EXACT = 20
"""Queries of a way that compares every vector."""


def main() -> None:
    options = arguments(__doc__, rows=60_000, dimension=1024, queries=200, rounds=2, uniform=False)
    kind = "uniform" if options.uniform else "clustered"
    record(
        f"indexes-{options.rows}{'-uniform' if options.uniform else ''}",
        f"Kinds of index over {options.rows:,} × {options.dimension} {kind} vectors",
        measured(options),
        "Processor time is that of the server; other work on the machine changes it less than the time that passes. By hand"
        " only distances are fetched, by Pinakes pictures with their metadata.",
    )


def measured(options: Namespace) -> Iterator[Figure]:
    """The builds, then every way of searching, over one collection."""
    with scratch_home() as home, embedded_server(home) as dsn:
        database = Database(dsn)
        with writing(database, options.dimension, provider="nothing") as writer, administrator(database) as plain:
            ids = [f"{n:07}.jpg" for n in range(options.rows)]
            frame = pd.DataFrame({"image_id": ids, "uri": ids, "fingerprint": ids})
            writer.loader.load_images(lambda: [frame], with_metadata=False)
            writer.loader.load_vectors(vectors(options.rows, options.dimension, uniform=options.uniform))
            writer.loader.finish()
            register_vector(plain)
            copy(plain, writer, "halves", "halfvec")
            copy(plain, writer, "whole", "vector")
            queries = made(options.queries, options.dimension, 1, uniform=options.uniform)
            kth = truth(plain, queries)
            yield builds(home, plain, writer, options.rows, options.rounds)
            yield from kinds(database, writer, queries, kth)
            yield from by_hand(plain, writer, "halves", "halfvec", queries, kth)
            yield from by_hand(plain, writer, "whole", "vector", queries, kth)


def copy(plain: psycopg.Connection, writer: Writer, table: str, kind: str) -> None:
    """The vectors in a table of their own, stored the fastest way."""
    dimension = writer.space.dimension
    plain.execute(f"CREATE TABLE {table} (image_id text, embedding {kind}({dimension}) NOT NULL)".encode())
    if kind == "halfvec":
        plain.execute(f"ALTER TABLE {table} ALTER COLUMN embedding SET STORAGE PLAIN".encode())
    plain.execute(f"INSERT INTO {table} SELECT image_id, embedding::{kind} FROM ours.{writer.space.name}".encode())
    plain.execute(f"VACUUM ANALYZE {table}".encode())


def truth(plain: psycopg.Connection, queries: Rows) -> Rows:
    """The distance of each query's `K`-th nearest of what is stored."""
    nearest, directions = KthNearest(len(queries), K), unit(queries)
    with plain.transaction(), plain.cursor("all", binary=True) as cursor:
        cursor.execute("SELECT embedding FROM halves")
        while rows := cursor.fetchmany(4096):
            nearest.add(1 - directions @ unit(np.stack([vector.to_numpy() for (vector,) in rows])).T)
    return nearest.distances


def builds(home: Path, plain: psycopg.Connection, writer: Writer, rows: int, rounds: int) -> Figure:
    """The HNSW build of a run against the bare statement, in turn."""
    settings = measured_settings("hnsw", rows)
    size_for_build(plain, rows, held_bytes(writer.space, "hnsw"), writer.pgvector, settings, only_here=False)
    options = ", ".join(f"{name} = {value}" for name, value in settings.items())
    statement = f"CREATE INDEX halves_hnsw ON halves USING hnsw (embedding halfvec_cosine_ops) WITH ({options})"
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": []}
    server = postmaster_in(home)
    for number in range(2 * rounds):  # ours, bare, bare, ours: a machine that gets slower favours neither
        which = "ours" if number % 4 in (0, 3) else "bare"
        ensure(writer, "none")
        plain.execute("DROP INDEX IF EXISTS halves_hnsw")
        computed = processor_seconds(server)
        passed = seconds(
            (lambda: ensure(writer, "hnsw")) if which == "ours" else lambda: plain.execute(statement.encode())
        )
        times[which].append((passed, processor_seconds(server) - computed))
    (ours, ours_computed), (bare, bare_computed) = (
        [statistics.mean(column) for column in zip(*times[which], strict=True)] for which in ("ours", "bare")
    )
    value = f"{ours / bare:.2f} (processor {ours_computed / bare_computed:.2f}): {ours:.0f} s against {bare:.0f} s"
    return Figure("HNSW build, time against the bare statement's", value, "≤ 1.1")


def ensure(writer: Writer, kind: IndexChoice) -> None:
    ensure_index(writer.conn, "ours", writer.space, kind, writer.lease, writer.pgvector)


def kinds(database: Database, writer: Writer, queries: Rows, kth: Rows) -> Iterator[Figure]:
    """`Collection.search` with each kind of index."""
    settings = replace(load_settings(), database_url=database.dsn)
    request = EvaluationRequest("ours", "recall")
    with administrator(database) as plain:
        for kind in KINDS:
            built = seconds(lambda: ensure(writer, kind))  # noqa: B023 - called now
            settle(writer.conn, writer.pgvector, "ours", writer.space)
            measure_recall(writer.conn, writer.pgvector, resolve_space(writer.conn, "ours"), request)
            space = resolve_space(writer.conn, "ours")
            with Collection("ours", settings=settings) as ours:
                ours.search(vector=queries[0], k=K)
                # The newest connection of Pinakes is the one that has just searched.
                (pid,) = plain.execute(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'pinakes' ORDER BY backend_start DESC LIMIT 1"
                ).fetchone() or (0,)
                few = queries[: EXACT if kind == "none" else None]
                searching = ", ".join(f"{name} {value}" for name, value in searched_with(space).items())
                what = "Collection.search, " + (f"index {kind}, {searching}" if searching else f"index {kind}")
                value = answered(lambda q: [h.distance or 0.0 for h in ours.search(vector=q, k=K)], few, kth, pid)
            if kind != "none":
                size = index_bytes(writer.conn, "ours", writer.space, kind)
                value += f"; {size / 1e6:,.1f} MB, built in {built:.0f} s"
            yield Figure(what, value, f"recall ≥ {WANTED_RECALL}")


def by_hand(
    plain: psycopg.Connection, writer: Writer, table: str, kind: str, queries: Rows, kth: Rows
) -> Iterator[Figure]:
    """The bare statement over an HNSW index, at the smallest setting that is enough, and over all vectors."""
    settings = ", ".join(f"{name} = {value}" for name, value in measured_settings("hnsw", 0).items())
    plain.execute("SET maintenance_work_mem = '4GB'")
    statement = (
        f"CREATE INDEX IF NOT EXISTS {table}_hnsw ON {table} USING hnsw (embedding {kind}_cosine_ops) WITH ({settings})"
    )
    built = seconds(lambda: plain.execute(statement.encode()))
    (size,) = plain.execute("SELECT pg_relation_size(%s::regclass)", (f"{table}_hnsw",)).fetchone() or (0,)
    dimension, pid = writer.space.dimension, plain.info.backend_pid
    sent = {"halfvec": HalfVector, "vector": PgVector}[kind]

    def search(query: Rows, order: str) -> list[float]:
        rows = plain.execute(
            f"SELECT embedding::vector <=> %(full)s FROM {table} ORDER BY {order} LIMIT {K}".encode(),
            {"q": sent(query), "full": PgVector(query)},
            binary=True,
        )
        return [distance for (distance,) in rows]

    near = f"embedding <=> %(q)s::{kind}({dimension})"
    for ef_search in EF_SEARCH_LEVELS:
        plain.execute(f"SET hnsw.ef_search = {ef_search}".encode())
        got = np.array([search(query, near) for query in queries])
        if recall_at_k(got, kth).mean() >= WANTED_RECALL:
            break
    value = answered(lambda q: search(q, near), queries, kth, pid)
    value += f"; {size / 1e6:,.1f} MB" + (f", built in {built:.0f} s" if built > 1 else "")
    yield Figure(f"by hand, {kind}, HNSW, ef_search {ef_search}", value)
    # The sum keeps the planner from the index.
    value = answered(lambda q: search(q, f"({near}) + 0"), queries[:EXACT], kth, pid)
    yield Figure(f"by hand, {kind}, every vector compared", value)


if __name__ == "__main__":
    main()
