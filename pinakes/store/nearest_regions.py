"""Searching wholes and regions together: each picture by the nearest of its vectors.

The k nearest wholes and the k pictures with the nearest regions are found apart, each as an index or a scan finds them, and
merged. That is exact where both are: the nearest vector of any of the k nearest pictures is among the one or the other.
There are never fewer than k pictures where k wholes pass.
"""

from __future__ import annotations

from dataclasses import replace

from pgvector import HalfVector
from pgvector import Vector as PgVector
from psycopg import sql

from pinakes.images.regions import MOST
from pinakes.query.query import MAX_EFFORT
from pinakes.store.connection import Connection, Pgvector, translated
from pinakes.store.images import IMAGE_COLUMNS, Row, region_row_of
from pinakes.store.nearest import JOIN_MEMORY, Found, Wanted, allowed, index_settings, nearest
from pinakes.store.nearness import nearness
from pinakes.store.search_plan import MARGIN, Plan, plan
from pinakes.store.search_settings import searching
from pinakes.store.space_registry import RegisteredSpace
from pinakes.types import Vector


def nearest_with_regions(
    conn: Connection, pgvector: Pgvector, collection: str, registered: RegisteredSpace, query: Vector, wanted: Wanted
) -> Found:
    """The images nearest to a vector with the whole or a part of them; the arguments and errors are those of `nearest`."""
    found = nearest(conn, pgvector, collection, registered, query, wanted)
    regions = registered.regions
    if regions is None or not regions.rows:
        return found
    if (
        wanted.after is not None or wanted.group_by is not None or wanted.collapse
    ):  # `nearest` has compared the regions, too
        return replace(found, scanned=found.scanned * (registered.rows + regions.rows) // max(registered.rows, 1))
    with_regions = _nearest_regions(conn, pgvector, collection, regions, query, wanted)
    best: dict[str, Row] = {}
    for row in sorted((*found.rows, *with_regions.rows), key=_place):
        best.setdefault(row.image_id, row)
    mode = with_regions.mode if found.mode == "exact" else found.mode
    return Found(list(best.values())[: wanted.k], mode, found.scanned + with_regions.scanned)


def _place(row: Row) -> tuple[float, str, bool]:
    assert row.distance is not None
    return row.distance, row.image_id, row.region is not None


def _nearest_regions(
    conn: Connection, pgvector: Pgvector, collection: str, regions: RegisteredSpace, query: Vector, wanted: Wanted
) -> Found:
    """The k images with the nearest regions, each with that region."""
    # All regions of each nearer picture may come before the first region of the last.
    deep = MOST * (wanted.k + len(wanted.exclude_ids))
    take = deep + MARGIN
    mode = "auto" if wanted.mode == "index" and regions.index_kind is None else wanted.mode
    chosen = plan(conn, collection, regions, wanted.passing, deep, mode, pgvector, effort=wanted.effort)
    if chosen.index:
        # An index is asked for what one scan gives: further ones would cost more than these last regions are worth.
        return _found(conn, collection, regions, query, wanted, min(take, MAX_EFFORT), chosen)
    return _found(conn, collection, regions, query, wanted, take, None, chosen.matching)


def _found(
    conn: Connection,
    collection: str,
    regions: RegisteredSpace,
    query: Vector,
    wanted: Wanted,
    take: int,
    chosen: Plan | None,
    matching: int | None = None,
) -> Found:
    """By the index as `chosen` says or, where that is None, by comparing all regions of the images that pass."""
    images, kind = sql.Identifier(collection, "images"), str(regions.index_kind)
    half = sql.SQL("%(half)s::halfvec({})").format(sql.Literal(regions.space.dimension))
    # A scan orders equal distances before the limit cuts them; the sum keeps the planner from the index.
    order = sql.SQL("(v.embedding <=> {}) + 0, v.image_id, v.fingerprint").format(half)
    if chosen:
        order = nearness(kind, sql.SQL("v.embedding"), half, regions.space.dimension)
    statement = sql.SQL(
        """
        WITH candidates AS MATERIALIZED (
            SELECT v.image_id, v.fingerprint
            FROM {regions} AS v {joined}
            WHERE {passing} AND {allowed}
            ORDER BY {order}
            LIMIT %(take)s
        ), scored AS (
            SELECT image_id, v.fingerprint, v.embedding::vector <=> %(full)s AS distance
            FROM candidates
            JOIN {regions} AS v USING (image_id, fingerprint)
        ), best AS (
            SELECT DISTINCT ON (image_id) image_id, distance, fingerprint AS vector
            FROM scored
            WHERE image_id <> ALL(%(ids)s) AND (%(max)s::float8 IS NULL OR distance <= %(max)s)
            ORDER BY image_id, distance, fingerprint
        ), nearest AS MATERIALIZED (
            SELECT * FROM best ORDER BY distance, image_id LIMIT %(k)s
        )
        SELECT {columns}, distance, vector
        FROM nearest
        JOIN {images} AS i USING (image_id)
        ORDER BY distance, image_id
        """
    ).format(
        regions=sql.Identifier(collection, regions.name),
        joined=sql.SQL("JOIN {} AS i USING (image_id)").format(images) if wanted.passing else sql.SQL(""),
        passing=wanted.passing.where,
        allowed=allowed(wanted),
        order=order,
        columns=IMAGE_COLUMNS,
        images=images,
    )
    if chosen:
        settings = index_settings(kind, chosen, filtered=bool(wanted.passing))
    else:
        settings = {"work_mem": JOIN_MEMORY} if wanted.passing else {}
    with translated(f"searching the regions of {collection}"), searching(conn, settings):
        rows = conn.execute(
            statement,
            {
                **wanted.passing.values,
                "half": HalfVector(query),
                "full": PgVector(query),
                "k": wanted.k,
                "take": take,
                "ids": list(wanted.exclude_ids),
                "fingerprints": list(wanted.exclude_fingerprints),
                "max": wanted.max_distance,
            },
            binary=True,
        ).fetchall()
    scanned = take if chosen else min(matching or 0, regions.rows) * (MOST if wanted.passing else 1)
    return Found([region_row_of(row) for row in rows], kind if chosen else "exact", min(scanned, regions.rows))
