"""How a search by vector is carried out: every vector compared, or the space's index asked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from psycopg import sql

from pinakes.errors import UsageError
from pinakes.query.query import MAX_EFFORT, Mode
from pinakes.store.conditions import Conditions
from pinakes.store.connection import ITERATIVE_SCANS, Connection, Pgvector, translated, value_of
from pinakes.store.search_settings import searching
from pinakes.store.space_registry import RegisteredSpace

EF_SEARCH = 200
"""Candidates of an HNSW scan where none were measured for the space; pgvector's default of 40 is quicker and misses more."""

PROBES = 10
"""Lists that an IVFFlat scan begins with; it goes on to others while it has too few."""

VISIT_COST = 12
"""What an index spends on one candidate, in vectors of a scan: it compares the 2 m links of each node, in no order that
memory likes. See `python -m benchmarks.filters`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one search is carried out.

    Attributes:
        index: whether the index is asked first.
        matching: images that pass the filters; None when they were not counted to the end.
        ef_search: candidates of an HNSW scan.
        probes: lists that an IVFFlat scan begins with.
    """

    index: bool
    matching: int | None
    ef_search: int
    probes: int


def plan(
    conn: Connection,
    collection: str,
    registered: RegisteredSpace,
    passing: Conditions,
    take: int,
    mode: Mode,
    pgvector: Pgvector,
    *,
    effort: int | None = None,
) -> Plan:
    """Choose how to find the `take` nearest among the images that pass.

    A filtered index scan looks at about take / share candidates, where share is the share of the images that pass; a
    scan compares all that pass. The index is worth it from some number of matching images on, so they are counted up to
    that number and no further.

    Raises:
        UsageError: the index was asked for and there is none that can answer.
    """
    ef_search = effort or min(MAX_EFFORT, max(registered.ef_search or EF_SEARCH, take))
    probes = effort or PROBES
    able = registered.index_kind is not None and pgvector.version >= ITERATIVE_SCANS
    if mode == "index" and not able:
        raise UsageError(
            f"--mode index: the space {registered.name} has no index (pinakes ingest --index hnsw builds one)."
            if registered.index_kind is None
            else f"--mode index: pgvector {pgvector.text} cannot go on scanning an index; it needs 0.8.0."
        )
    if not passing:
        return Plan(able and mode != "exact", registered.rows, ef_search, probes)
    if mode == "index":
        return Plan(True, None, ef_search, probes)
    worth = _worth(take, registered.rows, ef_search) if able and mode == "auto" else None
    matching = _count(conn, collection, passing, worth)
    if worth is not None and matching >= worth:
        return Plan(True, None, ef_search, probes)
    return Plan(False, matching, ef_search, probes)


def searched_with(registered: RegisteredSpace) -> dict[str, int]:
    """What the index of a space is asked with where a search says nothing; empty where there is none."""
    if registered.index_kind is None:
        return {}
    return {"ef_search": registered.ef_search or EF_SEARCH} if registered.index_kind == "hnsw" else {"probes": PROBES}


def _worth(take: int, rows: int, ef_search: int) -> int:
    """The fewest matching images with which asking the index costs less than comparing them all."""
    return math.ceil(max(VISIT_COST * ef_search, math.sqrt(VISIT_COST * take * rows)))


def _count(conn: Connection, collection: str, passing: Conditions, most: int | None) -> int:
    """How many images pass, counted up to `most`."""
    with translated(f"counting the matches in {collection}"), searching(conn):
        counted: int = value_of(
            conn,
            sql.SQL(
                "SELECT count(*) FROM (SELECT FROM {images} AS i WHERE {passing} LIMIT %(most)s) AS passing"
            ).format(images=sql.Identifier(collection, "images"), passing=passing.where),
            {**passing.values, "most": most},
        )
    return counted
