"""How a search by vector is carried out: every vector compared, or the space's index asked."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from psycopg import sql

from pinakes.errors import UsageError
from pinakes.query.query import DEFAULT_K, MAX_EFFORT, Mode
from pinakes.store.conditions import Conditions
from pinakes.store.connection import ITERATIVE_SCANS, Connection, Pgvector, translated, value_of
from pinakes.store.search_settings import searching
from pinakes.store.space_registry import RegisteredSpace

MARGIN = 32
"""Rows of a scan beyond k before single precision orders them: the order of half precision may be off by a few."""

BEYOND = 8
"""The same for an index's candidates: with a narrow filter each of them costs the scan many others that do not pass."""

NARROW = 8
"""An index is measured without a filter, and with one that one image in so many passes."""

EF_SEARCH = {"hnsw": 200, "binary": 400}
"""Candidates of a scan where none were measured for the space; pgvector's default of 40 is quicker and misses more."""

PROBES = 10
"""Lists that an IVFFlat scan begins with where no number was measured; it continues with others while it has too few."""

SAMPLE = 2000
"""Images of a sample that tells broad filters from narrow ones."""

FEW = 30
"""If fewer images of a sample pass, their share is too uncertain to plan by."""

SURELY = 1.5
"""The sample alone decides only where it promises so many times the matches that make the index worth it, or so many times
too few: its pages may hold images that are alike."""

ALL = sql.SQL("")

AGAIN = 4
"""How many times as many candidates the second search has of a query that the index seems to have led astray."""

VISIT_COST = {"hnsw": 6, "binary": 2, "ivfflat": 4}
"""What an index spends on one candidate, in images that pass and are compared one by one: it compares the 2 m links of each
node, in no order that memory likes, and looks up whether its image passes, while processes share a comparison of all. See
`python -m benchmarks.large`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one search is carried out.

    Attributes:
        index: whether the index is asked first.
        ef_search: candidates that a scan of an HNSW or binary index keeps.
        probes: lists that an IVFFlat scan begins with.
        candidates: rows that pass, of those that the index hands over, whose exact distances are computed.
        far: an answer whose nearest is farther than this is to be looked for `farther`; None: any answer is taken.
    """

    index: bool
    ef_search: int
    probes: int
    candidates: int
    far: float | None = None


def plan(
    conn: Connection,
    collection: str,
    registered: RegisteredSpace,
    passing: Conditions,
    deep: int,
    mode: Mode,
    pgvector: Pgvector,
    *,
    effort: int | None = None,
) -> Plan:
    """Choose how to find the `deep` nearest among the images that pass.

    Among a share of the images they are about the deep / share nearest of all, and so many an index has to look at,
    while a scan compares all that pass. A sample tells the share. The index is worth it from some number of matching
    images on. Where the sample leaves a doubt, they are counted up to that number and no further.

    Raises:
        UsageError: the index was asked for and there is none that can answer.
    """
    able = registered.index_kind is not None and pgvector.version >= ITERATIVE_SCANS

    def planned(index: bool, share: float = 1) -> Plan:
        wide = effort or _wide(registered, deep, share)
        # A binary index knows signs only: each of its candidates is compared exactly.
        by_signs = math.ceil(wide * share) if registered.index_kind == "binary" else 0
        probes = effort or registered.ef_search or PROBES
        # Below narrower filters even the nearest may be that far, and the index looks far enough anyway.
        far = registered.ef_search_far if effort is None and share * NARROW >= 1 else None
        return Plan(index, min(wide, MAX_EFFORT), probes, max(deep + BEYOND, by_signs), far)

    if mode == "index" and not able:
        raise UsageError(
            f"--mode index: the space {registered.name} has no index (pinakes ingest --index hnsw builds one)."
            if registered.index_kind is None
            else f"--mode index: pgvector {pgvector.text} cannot go on scanning an index; it needs 0.8.0."
        )
    if mode == "auto" and registered.falls_short:
        mode = "exact"
    # Without a filter everything passes, and nothing has to be counted.
    if not passing or mode == "exact" or not able:
        return planned(able and mode != "exact")
    sampled = _sampled(conn, collection, registered, passing)
    share = max(sampled, 1) / min(SAMPLE, max(registered.rows, 1))
    worth = _worth(registered, deep)
    if mode == "index" or (sampled >= FEW and share * registered.rows >= SURELY * worth):
        return planned(True, min(share, 1))
    # Where they are more than the sample lets expect, comparing them takes longer than the index would, and no harm is done.
    if SURELY * share * registered.rows >= worth and _count(conn, collection, passing, worth) >= worth:
        return planned(True, min(max(share, worth / registered.rows), 1))
    return planned(False)


def farther(chosen: Plan, kind: str) -> Plan:
    """The plan of a second search, for what the index may have missed.

    A graph leads a query in a hundred into the wrong cluster, and there to nothing near. Looking so far for every query
    would take three times as long.
    """
    return replace(
        chosen,
        ef_search=min(AGAIN * chosen.ef_search, MAX_EFFORT),
        probes=AGAIN * chosen.probes,
        candidates=chosen.candidates * (AGAIN if kind == "binary" else 1),
    )


def searched_with(registered: RegisteredSpace) -> dict[str, int]:
    """The setting of a space's index for searches that give none; empty where no index is used."""
    if registered.index_kind is None or registered.falls_short:
        return {}
    if registered.index_kind == "ivfflat":
        return {"probes": registered.ef_search or PROBES}
    return {"ef_search": registered.ef_search or EF_SEARCH[registered.index_kind]}


def _wide(registered: RegisteredSpace, deep: int, share: float) -> int:
    """How many candidates an index scan compares for the `deep` nearest of a `share` of the images.

    What they need was measured for `DEFAULT_K` hits of all images, and of one in `NARROW`. Between the two it follows a
    power of the depth; beyond, it grows as the depth does. And so many have to pass as are taken.
    """
    depth = max(1.0, deep / (DEFAULT_K + 1) / share)
    wide = 0.0
    if registered.index_kind in EF_SEARCH:
        near = registered.ef_search or EF_SEARCH[registered.index_kind]
        narrow = max(near, registered.ef_search_filtered or 2 * near)
        wide = narrow * depth / NARROW if depth >= NARROW else near * (narrow / near) ** math.log(depth, NARROW)
    return math.ceil(max(wide, (deep + BEYOND) / share))


def _worth(registered: RegisteredSpace, deep: int) -> int:
    """The fewest matching images with which asking the index costs less than comparing them all."""
    cost = VISIT_COST[str(registered.index_kind)]
    # Where so few match that what the index compares grows in proportion to 1 / share, which is rows / matching.
    few = math.sqrt(cost * _wide(registered, deep, 1 / NARROW) / NARROW * registered.rows)
    return math.ceil(max(cost * _wide(registered, deep, 1), few))


def _sampled(conn: Connection, collection: str, registered: RegisteredSpace, passing: Conditions) -> int:
    """How many images pass, of a sample of `SAMPLE` of them, or of all if there are no more."""
    if registered.rows <= SAMPLE:
        return _count(conn, collection, passing, None)
    # The sample is made of whole pages.
    percent = sql.Literal(100 * SAMPLE / registered.rows)
    # The same pages each time, so that a search is not planned now in one way and now in another.
    sample = sql.SQL("TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(percent)
    return _count(conn, collection, passing, None, sample)


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
