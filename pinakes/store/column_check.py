"""Whether the images have the columns that a query names: a misspelt one must not pass for one that nothing matches."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from pinakes.errors import UsageError
from pinakes.metadata.columns import COLUMNS
from pinakes.store.conditions import PLAIN_COLUMNS, Conditions
from pinakes.store.connection import Connection, translated
from pinakes.store.restrictions import visible

MOST_NAMED = 30
"""Extra columns that a message names: a file may have hundreds."""


def unknown_columns(conn: Connection, collection: str, names: Sequence[str], among: Conditions) -> list[str]:
    """Those of `names` that no image has of those that meet the condition."""
    extra = [name for name in names if name not in PLAIN_COLUMNS]
    if not extra:
        return []
    with translated(f"looking for the columns of {collection}"):
        rows = conn.execute(
            sql.SQL(
                """
                SELECT name
                FROM unnest(%(names)s::text[]) WITH ORDINALITY AS n (name, place)
                WHERE NOT EXISTS (SELECT FROM {images} AS i WHERE i.extra ? name AND {among})
                ORDER BY place
                """
            ).format(images=sql.Identifier(collection, "images"), among=among.where),
            {**among.values, "names": extra},
        )
        return [name for (name,) in rows]


def check_columns(conn: Connection, collection: str, names: Sequence[str]) -> None:
    """Check that images which are not restricted have these columns: what only the others have must not be found out.

    Raises:
        UsageError: none has one of them; the message names the columns that there are.
    """
    shown = visible(conn, collection)
    unknown = unknown_columns(conn, collection, names, shown)
    if unknown:
        there_are = ", ".join((*COLUMNS, *_extra_columns(conn, collection, shown), "image_id", "years"))
        raise UsageError(f"no picture of {collection!r} has a column {unknown[0]!r}; there are: {there_are}.")


def _extra_columns(conn: Connection, collection: str, shown: Conditions) -> list[str]:
    """The columns of `extra`, of the images that are shown."""
    with translated(f"reading the columns of {collection}"):
        rows = conn.execute(
            sql.SQL(
                """
                SELECT DISTINCT jsonb_object_keys(i.extra) COLLATE "C" AS name
                FROM {images} AS i
                WHERE {shown}
                ORDER BY name
                LIMIT %(most)s
                """
            ).format(images=sql.Identifier(collection, "images"), shown=shown.where),
            {**shown.values, "most": MOST_NAMED},
        )
        return [name for (name,) in rows if name not in COLUMNS]
