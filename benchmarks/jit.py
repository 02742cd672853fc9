"""Searches on a server that compiles plans to machine code (`jit = on`, PostgreSQL's default), against `jit = off`.

`python -m benchmarks.jit --server URL [--rows N] [--dimension D]` makes a database of its own on that server, which needs
LLVM and pgvector, and drops it afterwards. The embedded server cannot compile, so it has nothing to show.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.common import arguments, seconds
from pinakes.query.filters import parse_filters
from pinakes.spaces import Space
from pinakes.store.conditions import conditions
from pinakes.store.connection import Connection, Pgvector
from pinakes.store.database import Database
from pinakes.store.facets import facets
from pinakes.store.full_text import by_words
from pinakes.store.images import listed
from pinakes.store.nearest import Wanted, nearest
from pinakes.store.space_registry import resolve_space
from tests.clustered import COLLECTION, Rows, clustered, store

ROUNDS = 15
DATABASE = "pinakes_benchmark_jit"
COLOURS = ("red", "green", "blue", "black", "white", "golden", "silver")

Ask = Callable[[Connection, Pgvector], object]


def main() -> None:
    options = arguments(__doc__, server=str, rows=50_000, dimension=512)
    space = Space("counting", "random", "1", options.dimension, "")
    with database_on(options.server) as database:
        store(
            database, space, clustered(options.rows, options.dimension, seed=2), described(options.rows), index="hnsw"
        )
        with database.connection() as (conn, pgvector):
            row = conn.execute("SELECT version(), pg_jit_available()").fetchone()
            assert row is not None
            if not row[1]:
                raise SystemExit(f"{row[0]} cannot compile: pg_jit_available() is false.")
            print(f"{row[0]}; k = 10; medians of {ROUNDS}")
            print(f"{'search':<18} {'jit = on':>11} {'jit = off':>11}  ratio (target: at most 1.2)")
            for name, ask in kinds(clustered(1, options.dimension, seed=3)[0]).items():
                line(name, conn, pgvector, ask)


def line(name: str, conn: Connection, pgvector: Pgvector, ask: Ask) -> None:
    """Both medians and their ratio, in one session: two differ by more than what is measured."""

    def timed(jit: str) -> float:
        conn.execute(sql.SQL("SET jit = {}").format(sql.SQL(jit)))
        return seconds(lambda: ask(conn, pgvector))

    for jit in ("on", "off"):  # once to warm up
        timed(jit)
    times = [(timed("on"), timed("off")) for _ in range(ROUNDS)]
    on, off = (statistics.median(of) * 1000 for of in zip(*times, strict=True))
    print(f"{name:<18} {on:>8.1f} ms {off:>8.1f} ms  {on / off:.2f}")


def kinds(query: Rows) -> Mapping[str, Ask]:
    """The statements of the searches that a page makes."""
    many, few = parse_filters(["type=y"]), parse_filters(["school~s1"])

    def near(wanted: Wanted) -> Ask:
        return lambda conn, pgvector: nearest(
            conn, pgvector, COLLECTION, resolve_space(conn, COLLECTION), query, wanted
        )

    def words(conn: Connection, _: Pgvector) -> object:
        return by_words(conn, COLLECTION, resolve_space(conn, COLLECTION), "red golden", query, Wanted(10))

    return {
        "filtered index": near(Wanted(10, conditions(COLLECTION, many), mode="index")),
        "index": near(Wanted(10, mode="index")),
        "filtered exact": near(Wanted(10, conditions(COLLECTION, few), mode="exact")),
        "exact": near(Wanted(10, mode="exact")),
        "groups": near(Wanted(10, group_by="author", mode="exact")),
        "words": words,
        "facets": lambda conn, _: facets(conn, COLLECTION, many),
        "listed groups": lambda conn, _: listed(conn, COLLECTION, 11, conditions(COLLECTION, few), group_by="author"),
    }


def described(rows: int) -> dict[str, list[str]]:
    """Metadata of which three of ten pass a filter, with some values that repeat, and words."""
    rng = np.random.default_rng(1)
    order = rng.permutation(rows)
    return {
        "type": ["y" if n < 0.3 * rows else "n" for n in order],
        "school": [f"s{n % 40}" for n in order],
        "author": [f"a{n % 900}" for n in order],
        "description": [" ".join(rng.choice(COLOURS, 60)) for _ in range(rows)],
    }


@contextmanager
def database_on(server: str) -> Iterator[Database]:
    """A database on `server` that is gone afterwards."""
    name = sql.Identifier(DATABASE)
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            yield Database(make_conninfo(server, dbname=DATABASE))
        finally:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


if __name__ == "__main__":
    main()
