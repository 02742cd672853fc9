"""What the pictures of a collection look like: their sketches, and which of them may be alike, by shape and in a space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pgvector import HalfVector
from psycopg import sql

from pinakes.store.connection import Connection, Pgvector, translated, value_of
from pinakes.store.index_progress import shown_progress
from pinakes.store.indexes import size_for_build
from pinakes.store.search_plan import PROBES
from pinakes.store.search_settings import searching
from pinakes.store.space_registry import RegisteredSpace
from pinakes.store.strong_locks import LONG_PATIENCE, StrongLock
from pinakes.types import Vector

NEAREST = 12
"""Neighbours of a picture that are compared with it. A picture with more copies is found by those in turn."""

SHAPE_BYTES = 2 * 63
"""Bytes of a shape in half precision."""

IN_SPACE = {"hnsw.ef_search": "40", "enable_seqscan": "off"}
"""With 64 candidates the same pairs were found among 8,000 pictures, in a quarter more time."""

IN_SHAPE = {"hnsw.ef_search": "24", "enable_seqscan": "off"}
"""Among 100,000 pictures, one of two copies finds the other 993 times in 1,000; with 40 candidates 996 times, in a third
more time."""


@dataclass(frozen=True, slots=True)
class StoredSketch:
    """A small picture: a JPEG, and the pixels of the file that it was made from."""

    fingerprint: str
    picture: bytes
    pixels: int
    shape: Vector | None = None


def without_sketch(conn: Connection, collection: str, after: str, count: int) -> list[tuple[str, str]]:
    """The next fingerprints, in order, without a sketch, each with the address of such a picture."""
    with translated("looking for pictures that are new"):
        return conn.execute(
            sql.SQL(
                """
                SELECT DISTINCT ON (fingerprint) fingerprint, uri
                FROM {images} AS i
                WHERE fingerprint > %s AND NOT EXISTS (SELECT FROM {sketches} AS s WHERE s.fingerprint = i.fingerprint)
                ORDER BY fingerprint, image_id
                LIMIT %s
                """
            ).format(images=sql.Identifier(collection, "images"), sketches=sql.Identifier(collection, "sketches")),
            (after, count),
        ).fetchall()


def keep_sketches(conn: Connection, collection: str, sketches: Iterable[StoredSketch]) -> None:
    """Enter sketches."""
    with translated("entering sketches of pictures"), conn.cursor() as cursor:
        cursor.executemany(
            sql.SQL(
                """
                INSERT INTO {} (fingerprint, picture, pixels, shape)
                VALUES (%s, %s, %s, %s)
                ON CONFLICT DO NOTHING
                """
            ).format(sql.Identifier(collection, "sketches")),
            [(s.fingerprint, s.picture, s.pixels, None if s.shape is None else HalfVector(s.shape)) for s in sketches],
        )


def index_shapes(conn: Connection, collection: str, pgvector: Pgvector) -> None:
    """Build the index of shapes where there is none: a quarter of the work of entering each shape when it comes.

    Raises:
        DatabaseError: somebody has been entering sketches for `LONG_PATIENCE` seconds, or PostgreSQL failed.
    """
    table, name = sql.Identifier(collection, "sketches"), sql.Identifier(collection, "sketches_shape")
    what = f"building the index of shapes of {collection}"
    with translated(what), conn.transaction():
        if value_of(conn, "SELECT to_regclass(%s) IS NOT NULL", (name.as_string(conn),)):
            return
        StrongLock((table,), "SHARE", what).take(conn, patience=LONG_PATIENCE)
        rows = value_of(conn, sql.SQL("SELECT count(*) FROM {}").format(table))
        size_for_build(conn, rows, SHAPE_BYTES, pgvector, only_here=True)
        with shown_progress(conn, table, what):
            conn.execute(
                sql.SQL("CREATE INDEX IF NOT EXISTS sketches_shape ON {} USING hnsw (shape halfvec_cosine_ops)").format(
                    table
                )
            )


def not_compared(conn: Connection, collection: str, how: str, after: str, count: int) -> list[StoredSketch]:
    """The next sketches, in order, that were not compared in this way."""
    with translated("looking for pictures to compare"):
        rows = conn.execute(
            sql.SQL(
                """
                SELECT fingerprint, picture, pixels
                FROM {}
                WHERE fingerprint > %s AND compared IS DISTINCT FROM %s
                ORDER BY fingerprint
                LIMIT %s
                """
            ).format(sql.Identifier(collection, "sketches")),
            (after, how, count),
        ).fetchall()
    return [StoredSketch(*row) for row in rows]


def sketches_of(conn: Connection, collection: str, fingerprints: Iterable[str]) -> list[StoredSketch]:
    """The sketches of some pictures."""
    with translated("reading sketches of pictures"):
        rows = conn.execute(
            sql.SQL("SELECT fingerprint, picture, pixels FROM {} WHERE fingerprint = ANY(%s)").format(
                sql.Identifier(collection, "sketches")
            ),
            (list(fingerprints),),
        ).fetchall()
    return [StoredSketch(*row) for row in rows]


def near_in_space(
    conn: Connection, collection: str, registered: RegisteredSpace, fingerprints: Sequence[str], within: float
) -> list[tuple[str, str]]:
    """The pictures nearest to each of some, by the vectors of a space: pairs of fingerprints."""
    # pgvector's own single probe of an IVFFlat index would miss most neighbours near the edge of a list.
    probes = {"ivfflat.probes": str(registered.ef_search or PROBES)}
    settings = {"hnsw": IN_SPACE, "ivfflat": probes}.get(str(registered.index_kind))
    with translated(f"looking for neighbours in {registered.name}"), searching(conn, settings):
        return conn.execute(
            sql.SQL(
                """
                SELECT DISTINCT asked.fingerprint, near.fingerprint
                FROM unnest(%(asked)s::text[]) AS asked (fingerprint)
                CROSS JOIN LATERAL (
                    SELECT v.embedding
                    FROM {images} AS i
                    JOIN {space} AS v USING (image_id, fingerprint)
                    WHERE i.fingerprint = asked.fingerprint
                    LIMIT 1
                ) AS own
                CROSS JOIN LATERAL (
                    SELECT v.fingerprint, v.embedding <=> own.embedding AS distance
                    FROM {space} AS v
                    ORDER BY v.embedding <=> own.embedding
                    LIMIT %(nearest)s
                ) AS near
                WHERE near.distance <= %(within)s AND near.fingerprint <> asked.fingerprint
                """
            ).format(images=sql.Identifier(collection, "images"), space=sql.Identifier(collection, registered.name)),
            {"asked": list(fingerprints), "within": within, "nearest": NEAREST},
        ).fetchall()


def near_in_shape(
    conn: Connection, collection: str, asked: Sequence[tuple[str, Vector]], within: float
) -> list[tuple[str, str]]:
    """The pictures nearest to some shapes: pairs of fingerprints. A picture may ask with several."""
    with translated("looking for pictures of one shape"), searching(conn, IN_SHAPE):
        return conn.execute(
            sql.SQL(
                """
                SELECT DISTINCT asked.fingerprint, near.fingerprint
                FROM unnest(%(asked)s::text[], %(shapes)s::text[]) AS asked (fingerprint, shape)
                CROSS JOIN LATERAL (
                    SELECT s.fingerprint, s.shape <=> asked.shape::halfvec(63) AS distance
                    FROM {sketches} AS s
                    WHERE s.shape IS NOT NULL
                    ORDER BY s.shape <=> asked.shape::halfvec(63)
                    LIMIT %(nearest)s
                ) AS near
                WHERE near.distance <= %(within)s AND near.fingerprint <> asked.fingerprint
                """
            ).format(sketches=sql.Identifier(collection, "sketches")),
            {
                "asked": [fingerprint for fingerprint, _ in asked],
                "shapes": [HalfVector(shape).to_text() for _, shape in asked],
                "within": within,
                "nearest": NEAREST,
            },
        ).fetchall()
