"""The maps of a collection as rows: the place of each picture, its cluster, and how much has changed since.

What people see (`clusters`, `points`, `drawn`, `at`) leaves restricted images out; a map is laid out with them. The
column of clusters is called `region`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from psycopg import sql

from pinakes.store.connection import Connection, translated, value_of
from pinakes.store.images import IMAGE_COLUMNS, Row, row_of
from pinakes.store.restrictions import visible
from pinakes.store.space_registry import RegisteredSpace

MOST_POINTS = 50_000
"""Points that are drawn: as many as a browser moves smoothly. Areas and clusters count every picture."""

EXAMPLES = 6
"""Pictures of a cluster that are shown where there is no map."""

LEAST_SHARE = 0.1
"""Of a cluster's pictures that have what it is named after."""

_STEPS = 65535
"""Into which a side of the unit square is divided where points are sent."""


@dataclass(frozen=True, slots=True)
class Map:
    """How and of how many images a map was made.

    Attributes:
        method: `t-SNE` or `PCA`.
        seed: it was made with.
        images: that it holds.
    """

    method: str
    seed: int
    images: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """Pictures whose places on the map are close together.

    Attributes:
        number: from 0.
        x, y: its middle, 0 to 1.
        images: how many it has.
        name: what many of them have in common and few others; "" where nothing is known.
        examples: those nearest to the middle.
    """

    number: int
    x: float
    y: float
    images: int
    name: str
    examples: list[Row]


def map_of(conn: Connection, collection: str, space: str) -> Map | None:
    """The map of a space, or None."""
    with translated(f"looking for a map of {space}"):
        row = conn.execute(
            sql.SQL("SELECT method, seed, images FROM {} WHERE space = %s").format(sql.Identifier(collection, "maps")),
            (space,),
        ).fetchone()
    return None if row is None else Map(*row)


def changed_share(conn: Connection, collection: str, space: str) -> float:
    """The share of a space's vectors that its map does not have, or has in another place than they are now; 0 to 1."""
    with translated(f"comparing the map of {space}"):
        row = conn.execute(
            sql.SQL(
                """
                SELECT
                    count(*) FILTER (WHERE p.image_id IS NULL OR v.image_id IS NULL OR p.fingerprint <> v.fingerprint),
                    count(*)
                FROM {space} AS v
                FULL JOIN (SELECT * FROM {points} WHERE space = %s) AS p USING (image_id)
                """
            ).format(space=sql.Identifier(collection, space), points=sql.Identifier(collection, "map_points")),
            (space,),
        ).fetchone()
    assert row is not None
    return row[0] / row[1] if row[1] else 0.0


def write_map(
    conn: Connection,
    collection: str,
    registered: RegisteredSpace,
    rows: Sequence[tuple[str, str, float, float, int]],
    *,
    method: str,
    seed: int,
) -> None:
    """Replace the map of a space, all at once.

    Args:
        conn: a connection.
        collection: the collection.
        registered: the space.
        rows: image_id, fingerprint, x, y and cluster of each vector; images that have gone meanwhile are left out.
        method: what laid them out.
        seed: it was laid out with.
    """
    maps, points = (sql.Identifier(collection, name) for name in ("maps", "map_points"))
    with translated(f"writing the map of {registered.name}"), conn.transaction():
        # Its points go along with it.
        conn.execute(sql.SQL("DELETE FROM {} WHERE space = %s").format(maps), (registered.name,))
        conn.execute(
            sql.SQL("INSERT INTO {} (space, method, seed, images) VALUES (%s, %s, %s, %s)").format(maps),
            (registered.name, method, seed, len(rows)),
        )
        conn.execute(
            "CREATE TEMPORARY TABLE laid_out (image_id text, fingerprint text, x real, y real, region smallint)"
            " ON COMMIT DROP"
        )
        with conn.cursor().copy("COPY laid_out FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        conn.execute(
            # The collation is named, since that of the temporary table is the database's own. With the lock an image that is
            # being removed is waited for and left out; without it, its point would break the foreign key.
            sql.SQL(
                """
                INSERT INTO {points} (space, image_id, fingerprint, x, y, region)
                SELECT %s, i.image_id, l.fingerprint, l.x, l.y, l.region
                FROM laid_out AS l
                JOIN {images} AS i ON i.image_id = l.image_id COLLATE "C"
                FOR KEY SHARE OF i
                """
            ).format(points=points, images=sql.Identifier(collection, "images")),
            (registered.name,),
        )


def points(conn: Connection, collection: str, space: str) -> bytes:
    """The places that are drawn, in the order of `drawn`: three little-endian 16-bit numbers each (x, y, cluster)."""
    rows = _drawn(conn, collection, space, sql.SQL("p.x, p.y, p.region"))
    places = np.array(rows, dtype=np.float64).reshape(-1, 3)
    return np.rint(places * (_STEPS, _STEPS, 1)).astype("<u2").tobytes()


def drawn(conn: Connection, collection: str, space: str) -> list[tuple[str, str]]:
    """(fingerprint, uri) of the pictures that are drawn, in the order of `points`."""
    return [(fingerprint, uri) for fingerprint, uri in _drawn(conn, collection, space, sql.SQL("i.fingerprint, i.uri"))]


def _drawn(conn: Connection, collection: str, space: str, wanted: sql.SQL) -> list[tuple[Any, ...]]:
    # By a hash, so that a part of them, however it is cut, is spread over the whole map.
    with translated(f"reading the map of {space}"):
        return _shown(
            conn,
            collection,
            space,
            sql.SQL("SELECT {wanted} {shown} ORDER BY md5(p.image_id), p.image_id LIMIT %(most)s"),
            {"most": MOST_POINTS},
            wanted=wanted,
        )


def at(conn: Connection, collection: str, space: str, x: float, y: float) -> str | None:
    """The image_id of the picture that is nearest to a place; None on an empty map."""
    with translated(f"looking at the map of {space}"):
        rows = _shown(
            conn,
            collection,
            space,
            sql.SQL("SELECT p.image_id {shown} ORDER BY (p.x - %(x)s) ^ 2 + (p.y - %(y)s) ^ 2, p.image_id LIMIT 1"),
            {"x": x, "y": y},
        )
    return rows[0][0] if rows else None


def clusters(conn: Connection, collection: str, space: str) -> list[Cluster]:
    """The clusters of a map, the largest first."""
    with translated(f"reading the clusters of {space}"):
        names, shown = _names(conn, collection, space), partial(_shown, conn, collection, space)
        middles = shown(
            sql.SQL(
                "SELECT p.region, avg(p.x)::float8, avg(p.y)::float8, count(*) {shown} GROUP BY 1 ORDER BY 4 DESC, 1"
            )
        )
        examples: dict[int, list[Row]] = defaultdict(list)
        for *row, cluster in shown(
            sql.SQL(
                """
                SELECT {columns}, NULL::float8, near.region
                FROM (
                    SELECT p.image_id, p.region, row_number() OVER (
                        PARTITION BY p.region
                        ORDER BY (p.x - m.x) ^ 2 + (p.y - m.y) ^ 2, p.image_id
                    ) AS place
                    FROM (SELECT p.region, avg(p.x) AS x, avg(p.y) AS y {shown} GROUP BY 1) AS m
                    JOIN {points} AS p USING (region)
                    JOIN {images} AS i ON i.image_id = p.image_id
                    WHERE p.space = %(space)s AND {visible}
                ) AS near
                JOIN {images} AS i USING (image_id)
                WHERE near.place <= %(most)s
                ORDER BY near.region, near.place
                """
            ),
            {"most": EXAMPLES},
            columns=IMAGE_COLUMNS,
        ):
            examples[cluster].append(row_of(tuple(row)))
    return [Cluster(n, x, y, images, names.get(n, ""), examples[n]) for n, x, y, images in middles]


def _names(conn: Connection, collection: str, space: str) -> dict[int, str]:
    """For each cluster the value of a column that sets it apart most.

    That is its share of the cluster times the log of how many times its share of the whole map that is (a summand of
    Kullback and Leibler's divergence, 1951).
    """
    rows = _shown(
        conn,
        collection,
        space,
        sql.SQL(
            """
            WITH said AS (
                SELECT p.region, c.name, c.value
                FROM {points} AS p
                JOIN {images} AS i USING (image_id)
                CROSS JOIN LATERAL (
                    VALUES ('author', i.author), ('school', i.school), ('type', i.type), ('timeframe', i.timeframe),
                        ('technique', i.technique)
                ) AS c (name, value)
                WHERE p.space = %(space)s AND {visible}
            ), counted AS (
                SELECT region, name, value, count(*) AS images,
                    sum(count(*)) OVER (PARTITION BY name, value) AS everywhere,
                    sum(count(*)) OVER (PARTITION BY name, region) AS of_region,
                    sum(count(*)) OVER (PARTITION BY name) AS of_all
                FROM said
                GROUP BY region, name, value
            )
            SELECT region, value, images::float8 / of_region::float8, everywhere::float8 / of_all::float8
            FROM counted
            WHERE value <> '' AND images >= 2 AND images >= %(least)s * of_region
            ORDER BY region, name, value
            """
        ),
        {"least": LEAST_SHARE},
    )
    scored = sorted(
        (here * math.log(here / everywhere), value, cluster)
        for cluster, value, here, everywhere in rows
        if here > everywhere
    )
    names: dict[int, str] = {}
    # Two clusters share a name only where one of them has no other.
    for again in (False, True):
        for _, value, cluster in reversed(scored):
            if cluster not in names and (again or value not in names.values()):
                names[cluster] = value
    return names


def _shown(
    conn: Connection,
    collection: str,
    space: str,
    statement: sql.SQL,
    values: dict[str, Any] | None = None,
    **others: sql.Composable,
) -> list[tuple[Any, ...]]:
    """The rows of a statement over the points that may be seen, `p`, with their images, `i`."""
    passing = visible(conn, collection)
    named = {"points": sql.Identifier(collection, "map_points"), "images": sql.Identifier(collection, "images")}
    shown = sql.SQL(
        "FROM {points} AS p JOIN {images} AS i USING (image_id) WHERE p.space = %(space)s AND {visible}"
    ).format(**named, visible=passing.where)
    filled = statement.format(**named, shown=shown, visible=passing.where, **others)
    return conn.execute(filled, {**passing.values, "space": space, **(values or {})}).fetchall()


def has_map(conn: Connection, collection: str) -> bool:
    """Whether the active space has a map."""
    with translated(f"looking for a map of {collection}"):
        return bool(
            value_of(
                conn,
                sql.SQL("SELECT EXISTS (SELECT FROM {} JOIN {} USING (space) WHERE active)").format(
                    sql.Identifier(collection, "maps"), sql.Identifier(collection, "spaces")
                ),
            )
        )
