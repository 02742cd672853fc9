"""Filtered search: where the index begins to be worth it, and what the planner chooses.

Asks the same questions exactly and by the index, for filters of several shares, and prints both times, the recall of the
index, and what automatic mode chose. `python -m benchmarks.filters [--rows N] [--dimension D]`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.common import machine, scratch_database
from pinakes.metadata.columns import COLUMNS
from pinakes.query.filters import Equals
from pinakes.query.query import Mode
from pinakes.spaces import Space
from pinakes.store.conditions import conditions
from pinakes.store.nearest import Found, Wanted, nearest
from pinakes.store.space_registry import resolve_space
from tests.clustered import COLLECTION, clustered, store

QUERIES = 25
SHARES = (0.0001, 0.001, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each share of matching images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=512)
    options = parser.parse_args(arguments)
    space = Space("counting", "random", "1", options.dimension, "")
    order = np.random.default_rng(1).permutation(options.rows)
    # A share for each column of the images table.
    named = dict(zip(SHARES, COLUMNS, strict=True))
    metadata = {named[share]: ["y" if n < share * options.rows else "n" for n in order] for share in SHARES}
    print(machine())
    with scratch_database() as database:
        store(database, space, clustered(options.rows, options.dimension, seed=2), metadata, index="hnsw")
        queries = clustered(QUERIES, options.dimension, seed=3)
        print(f"{options.rows:,} x {options.dimension}, {QUERIES} queries, k = 10; medians")
        print(f"{'share':>8} {'matches':>9} {'exact':>9} {'index':>9} {'recall':>7}  {'answered':<14} automatic")
        with database.connection() as (conn, pgvector):
            registered = resolve_space(conn, COLLECTION)

            def ask(query: np.ndarray, share: float, mode: Mode) -> tuple[float, Found]:
                passing = conditions([] if share == 1 else [Equals(named[share], ("y",))])
                started = time.perf_counter()
                found = nearest(conn, pgvector, COLLECTION, registered, query, Wanted(10, passing, mode=mode))
                return (time.perf_counter() - started) * 1000, found

            for share in SHARES:
                times: dict[Mode, list[float]] = {"exact": [], "index": [], "auto": []}
                right = wanted = 0
                chosen: set[str] = set()
                answered: set[str] = set()
                for query in queries:
                    found = {}
                    for mode, taken in times.items():
                        milliseconds, found[mode] = ask(query, share, mode)
                        taken.append(milliseconds)
                    best = {row.image_id for row in found["exact"].rows}
                    right += len(best & {row.image_id for row in found["index"].rows})
                    wanted += len(best)
                    chosen.add(found["auto"].mode)
                    answered.add(found["index"].mode)
                exact, index, auto = (statistics.median(times[mode]) for mode in ("exact", "index", "auto"))
                print(
                    f"{share:>8} {int(share * options.rows):>9,} {exact:>6.1f} ms {index:>6.1f} ms {right / wanted:>7.3f}"
                    f"  {'/'.join(sorted(answered)):<14} {auto:.1f} ms, {'/'.join(sorted(chosen))}"
                )


if __name__ == "__main__":
    main()
