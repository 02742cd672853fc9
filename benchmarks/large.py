"""Search in a large collection that is kept between runs, by every kind of index, with and without filters.

`python -m benchmarks.large --home DIR [--rows 600000] [--dimension 1024] [--uniform] [--index hnsw] [--queries 200]`

The first run loads the collection, which takes minutes, and builds its index, which takes half an hour at 600,000; later
ones go on with what is there, and build an index only where `--index` names another kind. Compared are `Collection.search`
as it is, the bare statement over the same index with several values of `ef_search`, and comparing every vector; and filters
of several shares, on a column with an index. The server's processor time is given too, which other work on the machine
changes less. `benchmarks/results/large-ROWS-INDEX.json` keeps it all, and `python -m benchmarks.growth` fits it. Remove DIR
afterwards.
"""

from __future__ import annotations

import json
import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pgvector import HalfVector
from pgvector import Vector as PgVector
from pgvector.psycopg import register_vector

import benchmarks.nothing  # noqa: F401 - registers the embedder that the space belongs to
from benchmarks.common import Figure, K, administrator, arguments, clustered, record, seconds, writing
from benchmarks.metering import own_seconds, postmaster_in, processor_seconds
from benchmarks.page import Times, Visitor, served
from pinakes import Collection
from pinakes.checkpoints.base import VectorChunk
from pinakes.evaluation.measures import KthNearest, recall_at_k, unit
from pinakes.evaluation.recall import settle
from pinakes.metadata.columns import COLUMNS
from pinakes.settings import load_settings
from pinakes.store.database import Database
from pinakes.store.embedded.server import embedded_server
from pinakes.store.indexes import ensure_index
from tests.clustered import Rows

Ask = Callable[[Rows], Sequence[float]]

PART = 5000
ROUNDS = 10
SHARES = (0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 0.5)
"""Of `type`, which is called by them."""

BUILD = "processor time of building the index"
SIZE = "size of the index"
SEARCH = "Collection.search"


def main() -> None:
    options = arguments(
        __doc__, home="/tmp/large", rows=600_000, dimension=1024, uniform=False, index="hnsw", queries=200, effort=0
    )
    home = Path(options.home)
    home.mkdir(exist_ok=True)
    home.chmod(0o755)  # as in `scratch_home`
    kind = "uniform" if options.uniform else "clustered"
    name = f"large-{options.rows}-{options.index}{'-uniform' if options.uniform else ''}"
    with embedded_server(home) as dsn:
        build(Database(dsn), home, options.rows, options.dimension, options.index, uniform=options.uniform)
    # Started again, as for the next command, the server has buffers for all that is stored.
    with embedded_server(home) as dsn:
        record(
            name,
            f"Search in {options.rows:,} × {options.dimension} {kind} vectors, index {options.index}",
            figures_of(home, dsn, options),
            "Times are those of a machine that did other work too; the processor time is that of the server's process. A"
            " bare statement fetches distances only, of an index's `ef_search` candidates in full precision.",
        )


def figures_of(home: Path, dsn: str, options: Namespace) -> Iterator[Figure]:
    """What the build took, which stays with what it built; then every way of searching, and the pages."""
    database = Database(dsn)
    yield from (Figure(*figure) for figure in json.loads((home / f"{options.index}.json").read_text()))
    queries = made(options.queries, options.dimension, 1, uniform=options.uniform)
    yield from measure(database, queries, options.effort or None, home / f"truth-{len(queries)}.npz")
    yield from pages(home, dsn)


def build(database: Database, home: Path, rows: int, dimension: int, index: Any, *, uniform: bool) -> None:
    """The collection `ours` with its index, as a run leaves it; what is there already is kept."""
    with writing(database, dimension, provider="nothing") as writer:
        conn, space = writer.conn, writer.space
        if not conn.execute("SELECT EXISTS (SELECT FROM ours.images)").fetchone()[0]:  # type: ignore[index]
            images = seconds(lambda: writer.loader.load_images(lambda: frames(rows), with_metadata=True))
            loaded = seconds(lambda: writer.loader.load_vectors(vectors(rows, dimension, uniform=uniform)))
            finished = seconds(writer.loader.finish)
            counted = seconds(writer.loader.count_again)
            conn.execute("VACUUM ANALYZE")
            print(
                f"images loaded in {images:.0f} s, vectors in {loaded:.0f} s, finished in {finished:.0f} s, values counted"
                f" in {counted:.1f} s",
                flush=True,
            )
        kept = home / f"{index}.json"
        figures = json.loads(kept.read_text()) if kept.exists() else []
        server = postmaster_in(home)
        computed = processor_seconds(server)
        built = seconds(lambda: ensure_index(conn, "ours", space, index, writer.lease, writer.pgvector))
        computed = processor_seconds(server) - computed
        if not figures:
            figures.append((BUILD, f"{computed:,.1f} s", ""))
            figures.append(("index built in", f"{built:,.0f} s", ""))
        of_both = processor_seconds(server) + time.process_time()
        settled = seconds(lambda: settle(conn, writer.pgvector, "ours", space))
        of_both = processor_seconds(server) + time.process_time() - of_both
        size, ef_search, filtered, found = conn.execute(
            "SELECT index_bytes, ef_search, ef_search_filtered, ef_search_recall FROM ours.spaces"
        ).fetchone() or (0, 0, 0, 0)
        if len(figures) == 2 and index != "none":
            figures.append(("then measured in", f"{settled:.1f} s", "5 % of the build"))
            figures.append(("processor time of measuring, server and client", f"{of_both:.1f} s", ""))
            figures.append((SIZE, f"{size / 1e6:,.1f} MB", ""))
            figures.append(("ef_search found, with a filter", f"{ef_search}, {filtered} (recall {found:.4f})", ""))
        kept.write_text(json.dumps(figures))


def measure(database: Database, queries: Rows, effort: int | None, kept: Path) -> Iterator[Figure]:
    """Every way of searching, one after the other, each with a round before that reads what it needs into memory."""
    settings = replace(load_settings(), database_url=database.dsn)
    kth = truth(database, queries, kept)
    with administrator(database) as plain, Collection("ours", settings=settings) as ours:
        register_vector(plain)
        table, kind = plain.execute("SELECT space, index_kind FROM ours.spaces").fetchone() or ("", "")
        dimension = queries.shape[1]
        half = f"%(half)s::halfvec({dimension})"
        signs = "binary_quantize({})::bit(" + str(dimension) + ")"
        order = {"binary": f"{signs.format('embedding')} <~> {signs.format(half)}"}.get(kind, f"embedding <=> {half}")
        plans: set[str] = set()

        def search(query: Rows, *where: str) -> list[float]:
            hits = ours.search(vector=query, k=K, where=list(where), effort=effort)
            plans.add(hits.plan.mode)
            return [hit.distance for hit in hits if hit.distance is not None]

        def bare(query: Rows, order: str, take: int) -> list[float]:
            statement = f"""
                WITH nearest AS MATERIALIZED (
                    SELECT image_id, embedding::vector <=> %(full)s AS distance
                    FROM ours.{table}
                    ORDER BY {order}
                    LIMIT {take}
                )
                SELECT distance FROM nearest ORDER BY distance LIMIT {K}
            """
            values = {"half": HalfVector(query), "full": PgVector(query)}
            return [d for (d,) in plain.execute(statement.encode(), values, binary=True).fetchall()]

        search(queries[0])  # opens the connection whose process is measured
        (searching,) = plain.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'pinakes' AND pid <> pg_backend_pid()"
        ).fetchone() or (0,)

        def measured(way: str, share: float, ask: Ask, pid: int, aim: str = "") -> Figure:
            plans.clear()
            value = answered(ask, queries, kth[share], pid, warming=1 if share == 1 else 4)
            return Figure(way, value + (f" ({'/'.join(sorted(plans))})" if plans else ""), aim)

        yield measured(SEARCH, 1, search, searching, "recall ≥ 0.99, p50 ≤ 10 ms, p95 ≤ 25 ms")
        for ef_search in (40, 60, 100, 200, 400, 800) if kind in ("hnsw", "binary") else ():
            plain.execute(f"SET hnsw.ef_search = {ef_search}".encode())
            take = ef_search if kind == "binary" else K
            yield measured(
                f"bare {kind}, ef_search {ef_search}", 1, lambda q, t=take: bare(q, order, t), plain.info.backend_pid
            )
        for share in SHARES:
            way = f"{SEARCH}, {share:g} of them pass a filter"
            aim = "recall ≥ 0.99, p95 ≤ 50 ms"
            yield measured(way, share, lambda q, s=share: search(q, f"type=share {s:g}"), searching, aim)
        queries, kth = queries[:20], {share: k[:20] for share, k in kth.items()}
        yield measured("bare scan", 1, lambda q: bare(q, f"(embedding <=> {half}) + 0", K), plain.info.backend_pid)


def answered(ask: Ask, queries: Rows, kth: Rows, pid: int, *, warming: int = 4) -> str:
    """What answers cost and how good they are.

    Args:
        ask: answers one query with the distances that it found.
        queries: shape (n, dimension); before the clock starts, every `warming`-th reads what it needs into memory.
        kth: the exact distance of each query's `K`-th neighbour.
        pid: of the server's process that answers; workers of a parallel scan are not counted.
        warming: see `queries`.
    """
    for query in queries[::warming]:
        ask(query)
    before, times, got = own_seconds(pid), [], np.full((len(queries), K), np.inf)
    for number, query in enumerate(queries):
        started = time.perf_counter()
        distances = ask(query)
        times.append(1000 * (time.perf_counter() - started))
        got[number, : len(distances)] = distances
    computed = 1000 * (own_seconds(pid) - before) / len(queries)
    p50, p95 = np.percentile(times, (50, 95))
    recall = float(recall_at_k(got, kth[: len(queries)]).mean())
    return f"{computed:.2f} ms of processor, p50 {p50:.1f} ms, p95 {p95:.1f} ms, recall@{K} {recall:.4f}"


def pages(home: Path, dsn: str) -> Iterator[Figure]:
    """The page that a visitor sees first, and its facets below a filter: from request to answer, alone on the server."""
    with served(home, dsn, "ours") as (port, _):
        for what, path in (
            ("first page with its facets", "/"),
            ("page of a filter with its facets", "/?where=type%3Dshare%200.1"),
        ):
            times = Times()
            visitor = Visitor(port, times, 0, [])
            server = postmaster_in(home)
            computed = processor_seconds(server)
            for _ in range(ROUNDS):
                visitor.ask("page", path)
            computed = (processor_seconds(server) - computed) / ROUNDS
            visitor.close()
            first, later = times.seconds["page"][0], statistics.median(times.seconds["page"][1:])
            value = f"{1000 * first:,.0f} ms, later {1000 * later:,.0f} ms"
            yield Figure(what, f"{value}, {1000 * computed:,.0f} ms of the server's processor", "≤ 300 ms")
            assert not times.wrong, times.wrong


def truth(database: Database, queries: Rows, kept: Path) -> dict[float, Rows]:
    """The distance of the `K`-th nearest of what is stored, for each query and each share; kept in a file."""
    if kept.exists():
        with np.load(kept) as file:
            return {float(share): file[share] for share in file}
    nearest = {share: KthNearest(len(queries), K) for share in (1, *SHARES)}
    directions = unit(queries)
    with database.connection() as (conn, _), conn.transaction(), conn.cursor("all", binary=True) as cursor:
        (table,) = conn.execute("SELECT space FROM ours.spaces").fetchone() or ("",)
        cursor.execute(f"SELECT embedding, type FROM ours.{table} JOIN ours.images USING (image_id)".encode())
        while rows := cursor.fetchmany(4096):
            distances = 1 - directions @ unit(np.stack([vector.to_numpy() for vector, _ in rows])).T
            kinds = np.array([kind for _, kind in rows])
            for share, one in nearest.items():
                passing = distances if share == 1 else distances[:, kinds == f"share {share:g}"]
                one.add(passing)
    np.savez(kept, **{str(share): one.distances for share, one in nearest.items()})
    return {share: one.distances for share, one in nearest.items()}


def made(rows: int, dimension: int, seed: int, *, uniform: bool) -> Rows:
    """Clusters as models make them, or directions that are all alike."""
    if uniform:
        return np.random.default_rng([7, seed]).standard_normal((rows, dimension), dtype=np.float32)
    return clustered(rows, dimension, seed=seed)


def vectors(rows: int, dimension: int, *, uniform: bool) -> Iterator[VectorChunk]:
    """Part by part, so that they never are in memory as a whole."""
    for start in range(0, rows, PART):
        count = min(PART, rows - start)
        ids = [f"{n:07}.jpg" for n in range(start, start + count)]
        yield VectorChunk(ids, ids, made(count, dimension, 1000 + start, uniform=uniform))


def frames(rows: int) -> Iterator[pd.DataFrame]:
    """The images with metadata like a museum's."""
    words = ["painting", "harbour", "night", "ships", "lanterns", "water", "pale", "moon", "behind", "clouds"]
    names = [f"share {share:g}" for share in SHARES] + ["other"]
    odds = [*SHARES, 1 - sum(SHARES)]
    said = [" ".join(part) for part in np.random.default_rng(2).choice(words, (1000, 30))]
    for start in range(0, rows, PART):
        # Seeded by the part, so that it is the same however much came before it.
        rng = np.random.default_rng([2, start])
        count = min(PART, rows - start)
        ids = [f"{n:07}.jpg" for n in range(start, start + count)]
        frame = pd.DataFrame({"image_id": ids, "uri": [f"file:///pictures/{i}" for i in ids], "fingerprint": ids})
        for column in COLUMNS:
            length = 200 if column == "description" else 16
            frame[column] = [said[n][:length] for n in rng.integers(len(said), size=count)]
        frame["type"], frame["technique"] = rng.choice(names, count, p=odds), rng.choice(names, count, p=odds)
        frame["school"] = [f"school {n}" for n in rng.integers(24, size=count)]
        frame["author"] = [f"painter {n}" for n in (900 * rng.random(count) ** 3).astype(int)]
        frame["date"] = [str(year) for year in rng.integers(1400, 1900, count)]
        frame["timeframe"] = [f"{int(y) // 50 * 50}-{int(y) // 50 * 50 + 49}" for y in frame["date"]]
        frame["medium"] = [f"cluster {(start + n) % 100}" for n in range(count)]
        frame["extra"] = [{"split": "train"}] * count
        yield frame


if __name__ == "__main__":
    main()
