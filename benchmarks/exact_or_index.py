"""From which size on an index pays: exact scan against HNSW, over rows and dimensions.

`python -m benchmarks.exact_or_index [--most 200000]`

What it prints is the reason for `pinakes.store.indexes.EXACT_BYTES`: the size up to which an exact scan answers within
about a tenth of a second, which nobody notices, so that building and keeping an approximate index gains nothing.
"""

from __future__ import annotations

from benchmarks.common import Figure, arguments, ask, clustered, listing, recall, record, scratch_database, writing
from pinakes.store.indexes import EXACT_BYTES

QUERIES = 25
SIZES = ((5_000, 512), (20_000, 512), (20_000, 1024), (50_000, 1024), (100_000, 1024), (200_000, 1024))


def main() -> None:
    options = arguments(__doc__, most=100_000)
    figures = (measure(rows, dimension) for rows, dimension in SIZES if rows <= options.most)
    record("exact_or_index", f"An exact scan against HNSW: exact up to {EXACT_BYTES / 2**20:.0f} MB", figures)


def measure(rows: int, dimension: int) -> Figure:
    """One size: both ways, and how much of the exact answer the index finds."""
    made = clustered(rows + QUERIES, dimension)
    with scratch_database() as database, writing(database, dimension) as writer:
        writer.load(listing(rows), made[:rows])
        writer.conn.execute("VACUUM")
        build = writer.index()
        searches = ask(writer.conn, writer.pgvector, writer.collection, made[rows:])
    exact, index = searches["exact"], searches["index"]
    megabytes = rows * dimension * 2 / 2**20
    return Figure(
        f"{rows:,} × {dimension} ({megabytes:.0f} MB): exact, HNSW, its recall@10 and its build",
        f"{exact.median:.1f} ms, {index.median:.1f} ms, {recall(index.found, exact.found):.3f}, {build:.1f} s",
    )


if __name__ == "__main__":
    main()
