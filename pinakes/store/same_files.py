"""The stored images that are the very files of a query's pictures."""

from __future__ import annotations

from collections.abc import Sequence

from pgvector import Vector as PgVector
from psycopg import sql

from pinakes.store.connection import Connection, translated
from pinakes.store.full_text import distance_to
from pinakes.store.images import IMAGE_COLUMNS, Row, row_of
from pinakes.store.nearest import Wanted
from pinakes.store.search_settings import searching
from pinakes.store.space_registry import RegisteredSpace
from pinakes.types import Vector


def same_files(
    conn: Connection,
    collection: str,
    registered: RegisteredSpace,
    query: Vector | None,
    fingerprints: Sequence[str],
    wanted: Wanted,
) -> list[Row]:
    """The images whose files have one of these fingerprints, by image_id, with their distances to a vector.

    Neither an index nor a cut-off can miss one, nor an image that has no vector.
    """
    if not fingerprints:
        return []
    with translated(f"looking for a file in {collection}"), searching(conn):
        rows = conn.execute(
            sql.SQL(
                """
                SELECT {columns}, {distance} AS distance
                FROM {images} AS i
                LEFT JOIN {space} AS v ON v.image_id = i.image_id AND v.fingerprint = i.fingerprint
                WHERE i.fingerprint = ANY(%(files)s) AND i.image_id <> ALL(%(ids)s) AND {passing}
                ORDER BY i.image_id
                LIMIT %(k)s
                """
            ).format(
                columns=IMAGE_COLUMNS,
                distance=distance_to(query),
                images=sql.Identifier(collection, "images"),
                space=sql.Identifier(collection, registered.name),
                passing=wanted.passing.where,
            ),
            {
                **wanted.passing.values,
                "files": list(fingerprints),
                "ids": list(wanted.exclude_ids),
                "full": None if query is None else PgVector(query),
                "k": wanted.k,
            },
        ).fetchall()
    return [row_of(row) for row in rows]
