"""What a collection knows about copies: which pictures are alike, decisions and groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from pinakes.store.bulk_reads import streamed
from pinakes.store.conditions import Conditions
from pinakes.store.connection import Connection, translated, value_of
from pinakes.store.images import IMAGE_COLUMNS, Row, row_of
from pinakes.store.pixels import drop_unused

ROWS_AT_ONCE = 5000

_table = sql.Identifier


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
        drop_unused(conn, collection, table, column)


def drop_earlier_pairs(conn: Connection, collection: str, how: str) -> None:
    """Delete the pairs, and compare every picture again, unless all that were compared so far were compared in this way."""
    sketches = _table(collection, "sketches")
    with translated("deleting pairs that were found in another way"), conn.transaction():
        # NULL, too, where no picture was compared yet.
        if value_of(conn, sql.SQL("SELECT bool_and(compared = %s) FROM {}").format(sketches), (how,)):
            return
        conn.execute(sql.SQL("DELETE FROM {}").format(_table(collection, "alike")))
        # What is left must not pass for compared if this run is killed and the next one compares in the earlier way.
        # Last: a run that enters pairs at this moment has pictures compared twice, and loses no pair.
        conn.execute(sql.SQL("UPDATE {} SET compared = NULL WHERE compared IS NOT NULL").format(sketches))


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

    `work` of a member is the first image_id of those that are shown, because visitors see it in addresses.

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
            SELECT
                d.image_id,
                min(d.image_id) OVER (PARTITION BY d.work, d.pair) AS work,
                d.kind,
                d.preferred,
                d.pair,
                count(*) OVER (PARTITION BY d.work, d.pair) AS left_over
            FROM {duplicates} AS d
            JOIN {images} AS i USING (image_id)
            WHERE {shown}
        ), numbered AS (
            SELECT *, dense_rank() OVER (ORDER BY work, pair) AS place
            FROM there
            WHERE left_over > 1 AND (work, pair) > (%(after)s, %(pair)s)
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
