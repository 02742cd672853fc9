"""What a collection knows about copies: sketches of pictures, which of them are alike, decisions and groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from pgvector import HalfVector
from psycopg import sql

from pinakes.store.bulk_reads import streamed
from pinakes.store.conditions import Conditions
from pinakes.store.connection import Connection, translated
from pinakes.store.images import IMAGE_COLUMNS, Row, row_of
from pinakes.store.search_plan import PROBES
from pinakes.store.search_settings import searching
from pinakes.store.space_registry import RegisteredSpace
from pinakes.types import Vector

ROWS_AT_ONCE = 5000

NEAREST = 12
"""Neighbours of a picture that are compared with it. A picture with more copies is found by those in turn."""

INDEX_SETTINGS = {"hnsw.ef_search": "40", "enable_seqscan": "off"}
"""With 64 candidates the same pairs were found among 8,000 pictures, in a quarter more time."""


@dataclass(frozen=True, slots=True)
class StoredSketch:
    """A small picture: a JPEG, and the pixels of the file that it was made from."""

    fingerprint: str
    picture: bytes
    pixels: int
    shape: Vector | None = None


@dataclass(frozen=True, slots=True)
class Alike:
    """Two different files of which one is a copy of the other."""

    first: str
    second: str
    kind: str
    difference: float


@dataclass(frozen=True, slots=True)
class Member:
    """An image of a group; `work` is the first image_id of the group."""

    image_id: str
    work: str
    kind: str
    preferred: bool


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
            ).format(images=_table(collection, "images"), sketches=_table(collection, "sketches")),
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
            ).format(_table(collection, "sketches")),
            [(s.fingerprint, s.picture, s.pixels, None if s.shape is None else HalfVector(s.shape)) for s in sketches],
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
            ).format(_table(collection, "sketches")),
            (after, how, count),
        ).fetchall()
    return [StoredSketch(*row) for row in rows]


def sketches_of(conn: Connection, collection: str, fingerprints: Iterable[str]) -> list[StoredSketch]:
    """The sketches of some pictures."""
    with translated("reading sketches of pictures"):
        rows = conn.execute(
            sql.SQL("SELECT fingerprint, picture, pixels FROM {} WHERE fingerprint = ANY(%s)").format(
                _table(collection, "sketches")
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
    settings = {"hnsw": INDEX_SETTINGS, "ivfflat": probes}.get(str(registered.index_kind))
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
            ).format(images=_table(collection, "images"), space=_table(collection, registered.name)),
            {"asked": list(fingerprints), "within": within, "nearest": NEAREST},
        ).fetchall()


def near_in_shape(
    conn: Connection, collection: str, asked: Sequence[tuple[str, Vector]], within: float
) -> list[tuple[str, str]]:
    """The pictures nearest to some shapes: pairs of fingerprints. A picture may ask with several."""
    with translated("looking for pictures of one shape"), searching(conn, INDEX_SETTINGS):
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
            ).format(sketches=_table(collection, "sketches")),
            {
                "asked": [fingerprint for fingerprint, _ in asked],
                "shapes": [HalfVector(shape).to_text() for _, shape in asked],
                "within": within,
                "nearest": NEAREST,
            },
        ).fetchall()


def keep_alike(conn: Connection, collection: str, compared: Sequence[str], how: str, found: Iterable[Alike]) -> None:
    """Enter which pictures are alike, and that they were compared: a crash leaves both or neither."""
    with translated("entering which pictures are alike"), conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            sql.SQL(
                """
                INSERT INTO {} (first, second, kind, difference)
                VALUES (%s, %s, %s, %s)
                ON CONFLICT (first, second) DO UPDATE
                SET kind = excluded.kind, difference = excluded.difference
                """
            ).format(_table(collection, "alike")),
            [(pair.first, pair.second, pair.kind, pair.difference) for pair in found],
        )
        cursor.execute(
            sql.SQL("UPDATE {} SET compared = %s WHERE fingerprint = ANY(%s)").format(_table(collection, "sketches")),
            (how, list(compared)),
        )


def drop_unused_sketches(conn: Connection, collection: str) -> None:
    """Delete what is known about bytes that no image has any more."""
    for table, column in (("sketches", "fingerprint"), ("alike", "first"), ("alike", "second")):
        conn.execute(
            sql.SQL(
                """
                DELETE FROM {table} AS t
                WHERE NOT EXISTS (SELECT FROM {images} AS i WHERE i.fingerprint = t.{column})
                """
            ).format(
                table=_table(collection, table), images=_table(collection, "images"), column=sql.Identifier(column)
            )
        )


def drop_earlier_pairs(conn: Connection, collection: str, how: str) -> None:
    """Delete the pairs if no picture has been compared in this way yet: they were found in another."""
    conn.execute(
        sql.SQL("DELETE FROM {} WHERE NOT EXISTS (SELECT FROM {} WHERE compared = %s)").format(
            _table(collection, "alike"), _table(collection, "sketches")
        ),
        (how,),
    )


def equal_files(conn: Connection, collection: str) -> Iterator[list[str]]:
    """The images of each fingerprint that several images have, in the order of their ids, streamed."""
    statement = sql.SQL(
        """
        SELECT array_agg(image_id ORDER BY image_id)
        FROM {}
        WHERE fingerprint <> ''
        GROUP BY fingerprint
        HAVING count(*) > 1
        """
    ).format(_table(collection, "images"))
    with translated("looking for equal files"), conn.transaction():
        for (image_ids,) in streamed(conn, statement, at_once=ROWS_AT_ONCE):
            yield image_ids


def alike_images(conn: Connection, collection: str) -> Iterator[Alike]:
    """Which pictures are alike, streamed, by the first image_id of each file."""
    statement = sql.SQL(
        """
        WITH named AS MATERIALIZED (SELECT fingerprint, min(image_id) AS image_id FROM {images} GROUP BY fingerprint)
        SELECT f.image_id, s.image_id, a.kind, a.difference
        FROM {alike} AS a
        JOIN named AS f ON f.fingerprint = a.first
        JOIN named AS s ON s.fingerprint = a.second
        """
    ).format(images=_table(collection, "images"), alike=_table(collection, "alike"))
    with translated("reading which pictures are alike"), conn.transaction():
        for row in streamed(conn, statement, at_once=ROWS_AT_ONCE):
            yield Alike(*row)


@contextmanager
def regrouping(conn: Connection, collection: str) -> Iterator[None]:
    """A transaction in which nobody else makes groups: the last one sees every decision."""
    with translated("making groups of pictures"), conn.transaction():
        # It conflicts with itself and with writers, and lets searches read the groups of before.
        conn.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(_table(collection, "duplicates")))
        yield


def replace_groups(conn: Connection, collection: str, members: Iterable[Member], *, pairs: str) -> None:
    """Replace all groups; `pairs` is the kind that holds no copies."""
    with translated("entering groups of pictures"), conn.transaction():
        conn.execute(sql.SQL("DELETE FROM {}").format(_table(collection, "duplicates")))
        with conn.cursor().copy(
            sql.SQL("COPY {} (image_id, work, kind, preferred, pair) FROM STDIN").format(
                _table(collection, "duplicates")
            )
        ) as copy:
            for each in members:
                copy.write_row((each.image_id, each.work, each.kind, each.preferred, each.kind == pairs))


def read_groups(
    conn: Connection, collection: str, shown: Conditions, *, after: tuple[str, bool] = ("", False), count: int = 0
) -> Iterator[tuple[Member, Row]]:
    """The members of the groups with what is known about them, streamed group by group.

    Args:
        conn: a connection.
        collection: the collection.
        shown: conditions on the images; a group of which fewer than two are left is none.
        after: the group after which to begin.
        count: how many groups; 0: all.
    """
    statement = sql.SQL(
        """
        WITH there AS (
            SELECT d.*, count(*) OVER (PARTITION BY d.work, d.pair) AS left_over
            FROM {duplicates} AS d
            JOIN {images} AS i USING (image_id)
            WHERE {shown} AND (d.work, d.pair) > (%(after)s, %(pair)s)
        ), numbered AS (
            SELECT *, dense_rank() OVER (ORDER BY work, pair) AS place FROM there WHERE left_over > 1
        )
        SELECT d.image_id, d.work, d.kind, d.preferred, {columns}, NULL::float8
        FROM numbered AS d
        JOIN {images} AS i USING (image_id)
        WHERE %(count)s = 0 OR d.place <= %(count)s
        ORDER BY d.work, d.pair, d.preferred DESC, d.image_id
        """
    ).format(
        duplicates=_table(collection, "duplicates"),
        images=_table(collection, "images"),
        shown=shown.where,
        columns=IMAGE_COLUMNS,
    )
    values = {**shown.values, "after": after[0], "pair": after[1], "count": count}
    with translated("reading groups of pictures"), conn.transaction():
        for row in streamed(conn, statement, values, at_once=ROWS_AT_ONCE):
            yield Member(*row[:4]), row_of(row[4:])


def stored_decisions(conn: Connection, collection: str) -> list[tuple[str, str, str, datetime]]:
    """The decisions that the table holds: image_id, other, verdict, time."""
    with translated(f"reading what was decided about {collection}"):
        return conn.execute(
            sql.SQL("SELECT image_id, other, verdict, decided_at FROM {}").format(_table(collection, "decisions"))
        ).fetchall()


def enter_decisions(conn: Connection, collection: str, decisions: Iterable[tuple[str, str, str, datetime]]) -> None:
    """Enter decisions; of two about the same images the later one stays."""
    with translated(f"entering what was decided about {collection}"), conn.cursor() as cursor:
        cursor.executemany(
            sql.SQL(
                """
                INSERT INTO {} AS d (image_id, other, verdict, decided_at)
                VALUES (%s, %s, %s, %s)
                ON CONFLICT (image_id, other) DO UPDATE
                SET verdict = excluded.verdict, decided_at = excluded.decided_at
                WHERE d.decided_at < excluded.decided_at
                """
            ).format(_table(collection, "decisions")),
            list(decisions),
        )


def _table(collection: str, name: str) -> sql.Identifier:
    return sql.Identifier(collection, name)
