"""How a search by vector is carried out: every vector compared, or the space's index asked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from psycopg import sql

from pinakes.errors import UsageError
from pinakes.query.query import DEFAULT_K, MAX_EFFORT, Mode
from pinakes.store.conditions import Conditions
from pinakes.store.connection import ITERATIVE_SCANS, Connection, Pgvector, translated, value_of
from pinakes.store.search_settings import searching
from pinakes.store.space_registry import RegisteredSpace

MARGIN = 32
"""Rows taken beyond k before distances are computed in single precision: the half-precision order may be off by a few."""

EF_SEARCH = {"hnsw": 200, "binary": 400}
"""Candidates of a scan where none were measured for the space; pgvector's default of 40 is quicker and misses more."""

PROBES = 10
"""Lists that an IVFFlat scan begins with; it goes on to others while it has too few."""

SAMPLE = 2000
"""Images of a sample that tells broad filters from narrow ones."""

FEW = 30
"""Fewer that pass, of a sample, say nothing sure about their share."""

ALL = sql.SQL("")

VISIT_COST = {"hnsw": 4, "binary": 2, "ivfflat": 4}
"""What an index spends on one candidate, in images that pass and are compared one by one: it compares the 2 m links of each
node, in no order that memory likes, and looks up whether its image passes. See `python -m benchmarks.large`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one search is carried out.

    Attributes:
        index: whether the index is asked first.
        matching: images that pass the filters; None when they were not counted to the end.
        ef_search: candidates that a scan of an HNSW or binary index keeps.
        probes: lists that an IVFFlat scan begins with.
        candidates: rows that pass, of those that the index hands over, whose exact distances are computed.
    """

    index: bool
    matching: int | None
    ef_search: int
    probes: int
    candidates: int


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
    wide = effort or _wide(registered, take, filtered=bool(passing))
    # A binary index knows signs only: each of its candidates is compared exactly.
    candidates = max(take, wide) if registered.index_kind == "binary" else take
    able = registered.index_kind is not None and pgvector.version >= ITERATIVE_SCANS

    def planned(index: bool, matching: int | None) -> Plan:
        return Plan(index, matching, min(wide, MAX_EFFORT), effort or PROBES, candidates)

    if mode == "index" and not able:
        raise UsageError(
            f"--mode index: the space {registered.name} has no index (pinakes ingest --index hnsw builds one)."
            if registered.index_kind is None
            else f"--mode index: pgvector {pgvector.text} cannot go on scanning an index; it needs 0.8.0."
        )
    if mode == "auto" and registered.falls_short:
        mode = "exact"
    if not passing:
        return planned(able and mode != "exact", registered.rows)
    if mode == "index":
        return planned(True, None)
    worth = _worth(registered, candidates, wide) if able and mode == "auto" else None
    if worth is not None and _surely(conn, collection, registered, passing, worth):
        return planned(True, None)
    matching = _count(conn, collection, passing, worth)
    if worth is not None and matching >= worth:
        return planned(True, None)
    return planned(False, matching)


def searched_with(registered: RegisteredSpace) -> dict[str, int]:
    """What the index of a space is asked with where a search says nothing; empty where there is none."""
    if registered.index_kind is None or registered.falls_short:
        return {}
    if registered.index_kind == "ivfflat":
        return {"probes": PROBES}
    return {"ef_search": registered.ef_search or EF_SEARCH[registered.index_kind]}


def _wide(registered: RegisteredSpace, take: int, *, filtered: bool) -> int:
    """How many candidates a scan looks at. What was measured is for `DEFAULT_K` hits, and grows with their number."""
    if registered.ef_search is None:
        return max(EF_SEARCH.get(str(registered.index_kind), 0), take)
    measured = max(registered.ef_search, registered.ef_search_filtered or 0) if filtered else registered.ef_search
    # A search takes one more than its hits, to know whether there is another page.
    return max(take, math.ceil(measured * take / (DEFAULT_K + 1 + MARGIN)))


def _worth(registered: RegisteredSpace, candidates: int, wide: int) -> int:
    """The fewest matching images with which asking the index costs less than comparing them all."""
    cost = VISIT_COST[str(registered.index_kind)]
    return math.ceil(max(cost * wide, math.sqrt(cost * candidates * registered.rows)))


def _surely(conn: Connection, collection: str, registered: RegisteredSpace, passing: Conditions, worth: int) -> bool:
    """Whether a sample of the images shows that more than `worth` pass: counting so many takes longer than a search."""
    if registered.rows <= SAMPLE:
        return False  # counting them all is as quick
    share = SAMPLE / registered.rows
    least = max(1.5 * worth * share, FEW)
    # The sample is made of whole pages; at most as many rows are read as are looked for.
    sampled = sql.SQL("TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(sql.Literal(100 * share))
    return least < SAMPLE and _count(conn, collection, passing, math.ceil(least), sampled) >= least


def _count(
    conn: Connection,
    collection: str,
    passing: Conditions,
    most: int | None,
    sampled: sql.Composable = ALL,
) -> int:
    """How many images pass, of all or of a sample, counted up to `most`."""
    with translated(f"counting the matches in {collection}"), searching(conn):
        counted: int = value_of(
            conn,
            sql.SQL(
                "SELECT count(*) FROM (SELECT FROM {images} AS i {sampled} WHERE {passing} LIMIT %(most)s) AS passing"
            ).format(images=sql.Identifier(collection, "images"), sampled=sampled, passing=passing.where),
            {**passing.values, "most": most},
        )
    return counted
