"""Which vectors of a table are candidates of a search, as SQL, and what PostgreSQL is set to while it finds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import LiteralString

from psycopg import sql

from pinakes.store.search_plan import Plan
from pinakes.store.space_registry import RegisteredSpace


@dataclass(frozen=True, slots=True)
class Candidates:
    """The nearest vectors of one table, as SQL; their distances are to be computed in single precision.

    Attributes:
        table: the vectors.
        order: what tells the nearest.
        take: how many.
        settings: of PostgreSQL, for the transaction.
        mode, scanned: as in `Found`.
    """

    table: sql.Identifier
    order: sql.Composable
    take: int
    settings: dict[str, str] = field(default_factory=dict)
    mode: str = "exact"
    scanned: int = 0


def scan_order(registered: RegisteredSpace, *ties: LiteralString) -> sql.Composed:
    """What a scan orders vectors by before the limit cuts them. The sum keeps the planner from the index."""
    distance = sql.SQL("(v.embedding <=> {}) + 0").format(half_of(registered))
    return sql.SQL(", ").join([distance, *map(sql.SQL, ties)])


def half_of(registered: RegisteredSpace) -> sql.Composed:
    """What was asked for, in the precision of the stored vectors."""
    return sql.SQL("%(half)s::halfvec({})").format(sql.Literal(registered.space.dimension))


def index_settings(kind: str, chosen: Plan, *, filtered: bool) -> dict[str, str]:
    """The settings of an index scan, for the transaction."""
    if kind == "ivfflat":
        settings = {"ivfflat.iterative_scan": "relaxed_order", "ivfflat.probes": str(chosen.probes)}
    else:
        settings = {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": str(chosen.ef_search)}
    if filtered:
        # Every other plan compares all vectors that pass, which is what an exact search is for.
        settings |= dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_sort"), "off")
    return settings
