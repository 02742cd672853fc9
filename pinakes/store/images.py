"""Images as they are stored: one by its id, or many in the order of their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from psycopg import sql

from pinakes.images.regions import Frame, frame_of
from pinakes.metadata.captions import Captioned
from pinakes.metadata.columns import COLUMNS
from pinakes.store.conditions import Conditions
from pinakes.store.connection import Connection, translated, value_of
from pinakes.store.one_of_each import OneOfEach
from pinakes.store.restrictions import visible
from pinakes.store.search_settings import searching
from pinakes.types import Vector


@dataclass(frozen=True, slots=True)
class Row(Captioned):
    """One stored image.

    Attributes:
        image_id, uri: which it is, and where.
        metadata: the columns that are known, its fingerprint, and the extra columns.
        distance: cosine distance to what was asked, where vectors were compared.
        several: the values of each column whose cell holds several.
        region: the part of the picture that has this distance; None for the whole.
    """

    image_id: str
    uri: str
    metadata: dict[str, Any]
    distance: float | None
    several: dict[str, list[str]] = field(default_factory=dict)
    region: Frame | None = None


IMAGE_COLUMNS = sql.SQL(", ").join(
    sql.Identifier("i", c) for c in ("image_id", "uri", "fingerprint", *COLUMNS, "extra", "several")
)
"""What `row_of` reads, over the images under the alias `i`; the distance follows it."""


def row_of(values: Sequence[Any]) -> Row:
    """A row of `IMAGE_COLUMNS` and a distance."""
    image_id, uri, fingerprint, *columns = values[: 3 + len(COLUMNS)]
    metadata = {name: value for name, value in zip(COLUMNS, columns, strict=True) if value is not None}
    metadata["fingerprint"] = fingerprint
    # A key of `extra` never takes the place of a column of its name, nor of the fingerprint.
    metadata.update({f: v for f, v in (values[3 + len(COLUMNS)] or {}).items() if f not in metadata})
    several, distance = values[4 + len(COLUMNS) : 6 + len(COLUMNS)]
    return Row(image_id, uri, metadata, None if distance is None else float(distance), several or {})


def region_row_of(values: Sequence[Any]) -> Row:
    """A row of `IMAGE_COLUMNS`, a distance, and the fingerprint of the vector with that distance."""
    return replace(row_of(values), region=frame_of(values[6 + len(COLUMNS)]))


def stored_image(conn: Connection, collection: str, image_id: str) -> Row | None:
    """An image by its id; None when there is none, or when it is restricted."""
    visibly = visible(conn, collection)
    with translated("reading an image"):
        row = conn.execute(
            sql.SQL(
                """
                SELECT {columns}, NULL::float8
                FROM {images} AS i
                WHERE i.image_id = %(image_id)s AND {shown}
                """
            ).format(columns=IMAGE_COLUMNS, images=sql.Identifier(collection, "images"), shown=visibly.where),
            {"image_id": image_id, **visibly.values},
        ).fetchone()
    return None if row is None else row_of(row)


def listed(
    conn: Connection,
    collection: str,
    k: int,
    passing: Conditions,
    *,
    group_by: str | None = None,
    collapse: bool = False,
    after: str | None = None,
) -> list[Row]:
    """The first `k` images that pass, by image_id, after the one named; only the first of each group.

    With `collapse` the groups are those of copies, of which the preferred image is the first.
    """
    values: dict[str, Any] = {"k": k, "after": after, **passing.values}
    # Groups are made of all that pass, and only then is the place found: a group that an earlier page has shown would else
    # come again with its second image.
    one = OneOfEach(collection, group_by, collapse, values)
    found = sql.SQL("(SELECT i.*{keys} FROM {images} AS i {copies} WHERE {passing} AND {considered})").format(
        keys=one.columns,
        images=sql.Identifier(collection, "images"),
        copies=one.joined,
        passing=passing.where,
        considered=one.considered(sql.SQL("WHERE {}").format(passing.where)),
    )
    with translated(f"listing {collection}"), searching(conn):
        rows = conn.execute(
            sql.SQL(
                """
                SELECT {columns}, NULL::float8
                FROM {rows} AS i
                WHERE %(after)s::text IS NULL OR i.image_id > %(after)s
                ORDER BY i.image_id
                LIMIT %(k)s
                """
            ).format(columns=IMAGE_COLUMNS, rows=one.of(found, sql.SQL("image_id")) if one.keys else found),
            values,
        )
        return [row_of(row) for row in rows]


def works_of(conn: Connection, collection: str, image_ids: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """The group of copies of those images that are in one, and whether the image is the preferred one of its group."""
    with translated("reading groups of copies"):
        rows = conn.execute(
            sql.SQL("SELECT image_id, work, preferred FROM {} WHERE NOT pair AND image_id = ANY(%s)").format(
                sql.Identifier(collection, "duplicates")
            ),
            (list(image_ids),),
        )
        return {image_id: (work, preferred) for image_id, work, preferred in rows}


def copies_known(conn: Connection, collection: str) -> bool:
    """Whether any group of copies is known."""
    table = sql.Identifier(collection, "duplicates")
    with translated("reading groups of copies"):
        return bool(value_of(conn, sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE NOT pair)").format(table)))


def stored_vector(conn: Connection, collection: str, space: str, image_id: str) -> Vector | None:
    """The stored unit vector of an image, shape (dimension,), float32, or None where the space has none."""
    return stored_vectors(conn, collection, space, [image_id]).get(image_id)


def stored_vectors(conn: Connection, collection: str, space: str, image_ids: Sequence[str]) -> dict[str, Vector]:
    """The stored unit vectors of those images that the space has."""
    # Only inside a transaction does the search_path hold by which PostgreSQL finds the type `vector`.
    with translated("reading stored vectors"), conn.transaction():
        rows = conn.execute(
            sql.SQL("SELECT image_id, embedding::vector FROM {} WHERE image_id = ANY(%s)").format(
                sql.Identifier(collection, space)
            ),
            (list(image_ids),),
            binary=True,
        ).fetchall()
    return {image_id: np.asarray(vector.to_numpy(), dtype=np.float32) for image_id, vector in rows}
