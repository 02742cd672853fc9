"""Images as they are stored: one by its id, or many in the order of their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import sql

from pinakes.metadata.columns import COLUMNS
from pinakes.query.filters import Filter
from pinakes.store.conditions import column, conditions
from pinakes.store.connection import Connection, translated
from pinakes.store.restrictions import hidden_conditions
from pinakes.store.search_settings import searching
from pinakes.types import Vector


@dataclass(frozen=True, slots=True)
class Row:
    """One stored image.

    Attributes:
        image_id, uri: which it is, and where.
        metadata: the columns that are known, its fingerprint, and the extra columns.
        distance: cosine distance to what was asked, where vectors were compared.
    """

    image_id: str
    uri: str
    metadata: dict[str, Any]
    distance: float | None


IMAGE_COLUMNS = sql.SQL(", ").join(
    sql.Identifier("i", c) for c in ("image_id", "uri", "fingerprint", *COLUMNS, "extra")
)
"""What `row_of` reads, over the images under the alias `i`; the distance follows it."""


def row_of(values: Sequence[Any]) -> Row:
    """A row of `IMAGE_COLUMNS` and a distance."""
    image_id, uri, fingerprint, *columns = values[: 3 + len(COLUMNS)]
    metadata = {name: value for name, value in zip(COLUMNS, columns, strict=True) if value is not None}
    metadata["fingerprint"] = fingerprint
    metadata.update({f: v for f, v in (values[3 + len(COLUMNS)] or {}).items() if f not in metadata})
    distance = values[4 + len(COLUMNS)]
    return Row(image_id, uri, metadata, None if distance is None else float(distance))


def stored_image(conn: Connection, collection: str, image_id: str) -> Row | None:
    """An image by its id; None when there is none, or when it is restricted."""
    shown = conditions((), hidden_conditions(conn, collection))
    with translated("reading an image"):
        row = conn.execute(
            sql.SQL("SELECT {}, NULL::float8 FROM {} i WHERE i.image_id = %(image_id)s AND {}").format(
                IMAGE_COLUMNS, sql.Identifier(collection, "images"), shown.where
            ),
            {"image_id": image_id, **shown.values},
        ).fetchone()
    return None if row is None else row_of(row)


def listed(
    conn: Connection,
    collection: str,
    k: int,
    *,
    filters: Sequence[Filter] = (),
    hidden: Sequence[Filter] = (),
    group_by: str | None = None,
    after: str | None = None,
) -> list[Row]:
    """The first `k` images that pass the filters, by image_id, after the one named; of each group the first alone."""
    passing = conditions(filters, hidden)
    values: dict[str, Any] = {"k": k, "after": after, **passing.values}
    images = sql.Identifier(collection, "images")
    chosen: sql.Composable = sql.SQL("SELECT i.* FROM {} i WHERE {}").format(images, passing.where)
    if group_by is not None:
        key = column(group_by, "group", values)
        chosen = sql.SQL(
            "SELECT DISTINCT ON (key IS NULL, coalesce(key, image_id)) * FROM (SELECT i.*, {} AS key FROM {} i WHERE {}) k"
            " ORDER BY key IS NULL, coalesce(key, image_id), image_id"
        ).format(key, images, passing.where)
    with translated(f"listing {collection}"), searching(conn):
        rows = conn.execute(
            sql.SQL(
                "SELECT {}, NULL::float8 FROM ({}) i WHERE %(after)s::text IS NULL OR i.image_id > %(after)s"
                " ORDER BY i.image_id LIMIT %(k)s"
            ).format(IMAGE_COLUMNS, chosen),
            values,
        )
        return [row_of(row) for row in rows]


def stored_vector(conn: Connection, collection: str, space: str, image_id: str) -> Vector | None:
    """The stored unit vector of an image, shape (dimension,), float32, or None where the space has none."""
    with translated("reading a stored vector"), conn.transaction():
        row = conn.execute(
            sql.SQL("SELECT embedding::vector FROM {} WHERE image_id = %s").format(sql.Identifier(collection, space)),
            (image_id,),
        ).fetchone()
    return None if row is None else np.asarray(row[0].to_numpy(), dtype=np.float32)
