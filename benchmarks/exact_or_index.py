"""From which size on an index pays: exact scan against HNSW, over rows and dimensions.

`python -m benchmarks.exact_or_index [--most 200000]`

What it prints is the reason of `pinakes.store.indexes.EXACT_BYTES`: the size up to which an exact scan answers within
about a tenth of a second, which nobody feels, so that building and keeping an approximate index buys nothing.
"""

from __future__ import annotations

import argparse
import statistics

from benchmarks.common import chunks, clustered, images, machine, scratch_database, seconds
from pinakes.spaces import Space
from pinakes.store.collections import ensure_collection
from pinakes.store.indexes import EXACT_BYTES, ensure_index
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.nearest import Wanted, nearest
from pinakes.store.space_registry import register_space, resolve_space

QUERIES = 25
SIZES = ((5_000, 512), (20_000, 512), (20_000, 1024), (50_000, 1024), (100_000, 1024), (200_000, 1024))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=100_000)
    asked = parser.parse_args()
    print(machine())
    print(f"{'rows':>9} {'dim':>5} {'MB':>6} {'exact p50':>10} {'hnsw p50':>10} {'build':>8}  recall@10")
    for rows, dimension in SIZES:
        if rows <= asked.most:
            print(line(rows, dimension), flush=True)
    print(f"EXACT_BYTES is {EXACT_BYTES / 2**20:.0f} MB")


def line(rows: int, dimension: int) -> str:
    """One size: both ways, and how much of the exact answer the index finds."""
    frame = images(rows)[["image_id", "uri", "fingerprint"]]
    made = clustered(rows + QUERIES, dimension)
    vectors, queries = made[:rows], made[rows:]
    space = Space("benchmark", "none", "1", dimension, "")
    with scratch_database() as database, database.connection() as (conn, pgvector):
        ensure_collection(conn, "ours", "file:///x/")
        register_space(conn, "ours", space)
        with Lease(database.dsn, "benchmark", seconds=60) as lease:
            loader = Loader(conn, "ours", space, lease)
            loader.load_images(lambda: [frame], with_metadata=False)
            loader.load_vectors(chunks(frame, vectors))
            loader.finish()
            conn.execute("VACUUM")
            build = seconds(lambda: ensure_index(conn, "ours", space, "hnsw", lease, pgvector))
        registered = resolve_space(conn, "ours")
        times: dict[bool, list[float]] = {True: [], False: []}
        right = 0
        for query in queries:
            found: dict[bool, set[str]] = {}
            for exact in (True, False):

                def ask(exact: bool = exact) -> None:
                    wanted = Wanted(10, mode="exact" if exact else "index")
                    rows = nearest(conn, pgvector, "ours", registered, query, wanted).rows  # noqa: B023 - called now
                    found[exact] = {row.image_id for row in rows}  # noqa: B023

                times[exact].append(seconds(ask))
            right += len(found[True] & found[False])
    exact_ms, index_ms = (statistics.median(times[exact]) * 1000 for exact in (True, False))
    size = rows * dimension * 2 / 2**20
    return (
        f"{rows:>9,} {dimension:>5} {size:>6.0f} {exact_ms:>7.1f} ms {index_ms:>7.1f} ms {build:>6.1f} s"
        f"  {right / (10 * QUERIES):.3f}"
    )


if __name__ == "__main__":
    main()
