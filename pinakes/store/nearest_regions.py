"""Searching wholes and regions together: each picture by the nearest of its vectors.

The k nearest wholes and the k pictures with the nearest regions are candidates, each as an index or a scan finds them. That
is exact where both are: the nearest vector of any of the k nearest pictures is among the one or the other. There are never
fewer than k pictures where k wholes pass.
"""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from pinakes.images.regions import MOST
from pinakes.query.query import MAX_EFFORT
from pinakes.store.candidates import Candidates, half_of, index_settings, scan_order
from pinakes.store.connection import Connection, Pgvector
from pinakes.store.nearest import Found, Wanted, nearest
from pinakes.store.nearness import nearness
from pinakes.store.search_plan import MARGIN, VISIT_COST, plan
from pinakes.store.space_registry import RegisteredSpace
from pinakes.types import Vector


def nearest_with_regions(
    conn: Connection, pgvector: Pgvector, collection: str, registered: RegisteredSpace, query: Vector, wanted: Wanted
) -> Found:
    """The images nearest to a vector with the whole or a part of them; the arguments and errors are those of `nearest`."""
    regions = registered.regions
    if regions is None or not regions.rows:
        return nearest(conn, pgvector, collection, registered, query, wanted)
    if wanted.after is not None or wanted.group_by is not None or wanted.collapse:
        found = nearest(conn, pgvector, collection, registered, query, wanted)  # compares the regions, too
        return replace(found, scanned=found.scanned * (registered.rows + regions.rows) // max(registered.rows, 1))
    candidates = _candidates(conn, pgvector, collection, regions, wanted)
    return nearest(conn, pgvector, collection, registered, query, wanted, candidates)


def _candidates(
    conn: Connection, pgvector: Pgvector, collection: str, regions: RegisteredSpace, wanted: Wanted
) -> Candidates:
    """The regions among which are those of the k images with the nearest."""
    # All regions of each nearer picture may come before the first region of the last.
    take = MOST * (wanted.k + len(wanted.exclude_ids)) + MARGIN
    mode = "auto" if wanted.mode == "index" and regions.index_kind is None else wanted.mode
    # What was measured finds the nearest; `plan` would raise it by the many further regions that these are taken with.
    measured = max(regions.ef_search or 0, (regions.ef_search_filtered or 0) if wanted.passing else 0)
    effort = wanted.effort or (max(take, measured) if measured else None)
    if mode == "auto" and regions.rows <= VISIT_COST.get(str(regions.index_kind), 0) * (effort or take):
        mode = "exact"  # a scan takes less
    chosen = plan(conn, collection, regions, wanted.passing, take, mode, pgvector, effort=effort)
    table, dimension = sql.Identifier(collection, regions.name), regions.space.dimension
    if not chosen.index:
        scanned = (chosen.matching or 0) * (MOST if wanted.passing else 1)
        order = scan_order(regions, "v.image_id", "v.fingerprint")
        return Candidates(table, order, take, scanned=min(scanned, regions.rows))
    # An index is asked for what one scan gives: further ones would cost more than these last regions are worth.
    kind, take = str(regions.index_kind), min(take, MAX_EFFORT)
    order = nearness(kind, sql.SQL("v.embedding"), half_of(regions), dimension)
    settings = index_settings(kind, chosen, filtered=bool(wanted.passing))
    return Candidates(table, order, take, settings, kind, min(take, regions.rows))
