"""Filtered search: where the index begins to be worth it, and what the planner chooses.

`python -m benchmarks.filters [--rows N] [--dimension D]`

Asks the same questions exactly and by the index, for filters of several shares, and prints both times, the recall of the
index, and what automatic mode chose.
"""

from __future__ import annotations

import numpy as np

from benchmarks.common import K, arguments, ask, clustered, recall, scratch_database
from pinakes.metadata.columns import COLUMNS
from pinakes.query.filters import Equals
from pinakes.spaces import Space
from tests.clustered import COLLECTION, store

QUERIES = 25
SHARES = (0.0001, 0.001, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0)


def main() -> None:
    options = arguments(__doc__, rows=200_000, dimension=512)
    space = Space("counting", "random", "1", options.dimension, "")
    order = np.random.default_rng(1).permutation(options.rows)
    # A share for each column of the images table.
    named = dict(zip(SHARES, COLUMNS, strict=True))
    metadata = {named[share]: ["y" if n < share * options.rows else "n" for n in order] for share in SHARES}
    with scratch_database() as database:
        store(database, space, clustered(options.rows, options.dimension, seed=2), metadata, index="hnsw")
        queries = clustered(QUERIES, options.dimension, seed=3)
        print(f"{QUERIES} queries, k = {K}; medians")
        print(f"{'share':>8} {'matches':>9} {'exact':>9} {'index':>9} {'recall':>7}  {'answered':<14} automatic")
        with database.connection() as (conn, pgvector):
            for share in SHARES:
                filters = [] if share == 1 else [Equals(named[share], ("y",))]
                searches = ask(conn, pgvector, COLLECTION, queries, filters=filters, modes=("exact", "index", "auto"))
                exact, index, auto = searches.values()
                print(
                    f"{share:>8} {int(share * options.rows):>9,} {exact.median:>6.1f} ms {index.median:>6.1f} ms"
                    f" {recall(index.found, exact.found):>7.3f}  {'/'.join(sorted(index.plans)):<14}"
                    f" {auto.median:.1f} ms, {'/'.join(sorted(auto.plans))}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
