"""When to rebuild an index, and when to load into a new table: how writes affect an HNSW index.

`python -m benchmarks.bloat [--rows 20000] [--dimension 256]`: an index that lives through updates and removals, with a
vacuum after each round as autovacuum would, against a new one over the same rows: its size, and the time and recall
of a search. It is the reason for `pinakes.operations.maintenance.BLOATED`.

`python -m benchmarks.bloat --reload`: a load that replaces a share of an indexed space, row by row into the existing
index, against a second table whose index is built at once. It is the reason for `pinakes.store.reload.LARGE_SHARE`.

`python -m benchmarks.bloat --vacuum`: dead rows removed by VACUUM alone, against an index that is rebuilt first. It is
the reason for `pinakes.operations.maintenance.DEAD_SHARE`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
from pgvector import HalfVector
from psycopg import sql

from benchmarks.common import (
    Figure,
    Writer,
    arguments,
    ask,
    chunks,
    clustered,
    listing,
    recall,
    record,
    scratch_database,
    seconds,
    writing,
)
from benchmarks.metering import postmaster_of, processor_seconds
from pinakes.store import reload
from pinakes.store.indexes import index_name, rebuild_index
from pinakes.store.search_plan import EF_SEARCH

QUERIES = 50
ROUNDS = 10
UPDATED = 0.2
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


class Indexed:
    """A space with an HNSW index over made-up vectors, which can be changed and measured."""

    def __init__(self, writer: Writer, rows: int) -> None:
        self.conn, self.writer, self.loader, self.space = writer.conn, writer, writer.loader, writer.space
        self.frame = listing(rows)
        # Queries from the same clusters, none of which is stored.
        made = clustered(rows + QUERIES, self.space.dimension)
        self.vectors, self.queries = made[:rows].copy(), made[rows:]
        self.rng = np.random.default_rng(5)
        self.version = 0
        writer.load(self.frame, self.vectors)
        writer.index()

    def replaced(self, share: float) -> tuple[pd.DataFrame, np.ndarray]:
        """A share of the images with other bytes and other vectors, entered as images."""
        self.version += 1
        chosen = np.sort(self.rng.choice(len(self.frame), int(share * len(self.frame)), replace=False))
        self.vectors[chosen] = clustered(len(chosen), self.space.dimension, seed=100 + self.version)
        self.frame.loc[self.frame.index[chosen], "fingerprint"] = [f"md5:{self.version:08x}{n:024x}" for n in chosen]
        part = self.frame.iloc[chosen]
        self.loader.load_images(lambda: [part], with_metadata=False)
        return part, self.vectors[chosen]

    def update(self, share: float) -> None:
        """Replace a share of the vectors row by row."""
        part, vectors = self.replaced(share)
        self.loader.load_vectors(chunks(part, vectors))

    def remove(self, share: float) -> None:
        """Remove a share of the images."""
        gone = np.sort(self.rng.choice(len(self.frame), int(share * len(self.frame)), replace=False))
        self.loader.remove(self.frame["image_id"].iloc[gone].tolist())
        left = np.setdiff1d(np.arange(len(self.frame)), gone)
        self.frame, self.vectors = self.frame.iloc[left].reset_index(drop=True), self.vectors[left].copy()

    def vacuum(self) -> float:
        """Remove dead rows; the seconds that it took."""
        return seconds(lambda: self.conn.execute(f'VACUUM ours."{self.space.name}"'.encode()))

    def rebuild(self) -> float:
        """Rebuild the index; the seconds that it took."""
        return seconds(lambda: rebuild_index(self.conn, "ours", self.space, self.writer.lease, self.writer.pgvector))

    def bytes(self) -> int:
        """The size of the index."""
        name = index_name("ours", self.space, "hnsw").as_string(self.conn)
        row = self.conn.execute("SELECT pg_relation_size(to_regclass(%s))", (name,)).fetchone()
        assert row is not None
        return int(row[0])

    def pages(self) -> float:
        """Pages of 8 kB that one scan of the index reads, on average: unlike its time, independent of the machine's load."""
        statement = sql.SQL(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT image_id FROM {} ORDER BY embedding <=> %s::halfvec LIMIT 10"
        ).format(sql.Identifier("ours", self.space.name))
        seen = 0
        with self.conn.transaction():
            self.conn.execute(f"SET LOCAL hnsw.ef_search = {EF_SEARCH}".encode())
            # A small table would be scanned.
            self.conn.execute("SET LOCAL enable_seqscan = off")
            for query in self.queries:
                row = self.conn.execute(statement, (HalfVector(query),)).fetchone()
                assert row is not None
                plan = row[0][0]["Plan"]
                seen += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        return seen / len(self.queries)

    def search(self) -> tuple[float, float]:
        """Milliseconds (median) and recall@10 of a search by the index."""
        searches = ask(self.conn, self.writer.pgvector, "ours", self.queries)
        return searches["index"].median, recall(searches["index"].found, searches["exact"].found)


def main() -> None:
    options = arguments(__doc__, rows=20_000, dimension=256, reload=False, vacuum=False)
    (reloading if options.reload else vacuuming if options.vacuum else living)(options.rows, options.dimension)


@contextmanager
def indexed(rows: int, dimension: int) -> Iterator[Indexed]:
    with scratch_database() as database, writing(database, dimension) as writer:
        # A vacuum of its own accord would come in the middle of what is measured.
        writer.conn.execute("ALTER SYSTEM SET autovacuum = off")
        writer.conn.execute("SELECT pg_reload_conf()")
        yield Indexed(writer, rows)


def living(rows: int, dimension: int) -> None:
    """Rounds of updates, then removals, each vacuumed; then the same rows with a rebuilt index."""
    print(f"{'after':<26} {'size':>6} {'pages':>6} {'p50':>8} {'recall':>7}  rebuilt: pages, p50, recall")
    for what, share, rounds in (
        ("updated", UPDATED, ROUNDS),
        ("removed", 0.25, 1),
        ("removed", 0.5, 1),
        ("removed", 0.75, 1),
    ):
        with indexed(rows, dimension) as one:
            fresh = one.bytes() / len(one.frame)
            print(line("built", one, fresh, rebuilt=False, vacuum=0.0), flush=True)
            for number in range(1, rounds + 1):
                (one.update if what == "updated" else one.remove)(share)
                vacuum = one.vacuum()
                last = number == rounds
                if last or number in {1, 2, 5}:
                    print(line(f"{what} {share:.0%} {number} x", one, fresh, rebuilt=last, vacuum=vacuum), flush=True)
    with indexed(rows, dimension) as one:
        fresh = one.bytes() / len(one.frame)
        for number in range(1, 4):
            one.update(0.5)
            print(line(f"updated 50% {number} x, no vacuum", one, fresh, rebuilt=False, vacuum=0.0), flush=True)
        vacuum = one.vacuum()
        print(line("the same, vacuumed", one, fresh, rebuilt=True, vacuum=vacuum), flush=True)


def line(what: str, one: Indexed, fresh: float, *, rebuilt: bool, vacuum: float) -> str:
    """The measures now and, where `rebuilt`, after the index was rebuilt."""
    size = one.bytes() / len(one.frame) / fresh
    pages, (took, recall) = one.pages(), one.search()
    text = f"{what:<26} {size:>5.2f}x {pages:>6.0f} {took:>5.2f} ms {recall:>7.3f}"
    if rebuilt:
        rebuild = one.rebuild()
        pages, (took, recall) = one.pages(), one.search()
        text += f"  {pages:.0f}, {took:.2f} ms, {recall:.3f} in {rebuild:.1f} s"
    return text + (f"; vacuum {vacuum:.1f} s" if vacuum else "")


def reloading(rows: int, dimension: int) -> None:
    """Seconds to load a share of the vectors, in both ways: wall time, and the server's CPU time."""
    print(f"{'share':>6} {'row by row':>20} {'new table':>20} {'ratio':>15}")
    figures = []
    for share in SHARES:
        times: list[tuple[float, float]] = []
        # No load is twice as large as its table, so that the first one goes row by row; the second never does.
        for least in (2.0, 0.0):
            with indexed(rows, dimension) as one:
                part, vectors = one.replaced(share)
                reload.LARGE_SHARE, reload.LEAST_ROWS = least, 0
                server = postmaster_of(one.conn)
                before = processor_seconds(server)
                took = seconds(lambda: one.loader.load_vectors(chunks(part, vectors), expected=len(part)))  # noqa: B023
                times.append((took, processor_seconds(server) - before))
        print(compared(share, times), flush=True)
        ratios = " and ".join(f"{slow / fast:.1f} ×" for slow, fast in zip(*times, strict=True))
        figures.append(Figure(f"{share:.0%} of {rows:,} × {dimension}: time and CPU time of row by row", ratios))
    record("reload", "Replacing the vectors of an indexed space by a new table, against row by row", figures)


def vacuuming(rows: int, dimension: int) -> None:
    """Seconds to remove dead rows: by VACUUM, which repairs the graph around each, and by rebuilding the index first."""
    print(f"{'dead':>6} {'vacuum':>20} {'rebuild, then vacuum':>20} {'ratio':>15}")
    for share in SHARES:
        times: list[tuple[float, float]] = []
        for first in (False, True):
            with indexed(rows, dimension) as one:
                one.update(share)
                server = postmaster_of(one.conn)
                before = processor_seconds(server)
                took = one.vacuum() if not first else seconds(lambda: (one.rebuild(), one.vacuum()))
                times.append((took, processor_seconds(server) - before))
        print(compared(share, times), flush=True)


def compared(share: float, times: list[tuple[float, float]]) -> str:
    """Two ways: wall time and CPU time in seconds, and their ratios."""
    shown = " ".join(f"{took:>9.1f} s {cpu:>6.1f} s" for took, cpu in times)
    ratios = " ".join(f"{first / second:>6.2f}x" for first, second in zip(*times, strict=True))
    return f"{share:>6.0%} {shown} {ratios}"


if __name__ == "__main__":
    main()
