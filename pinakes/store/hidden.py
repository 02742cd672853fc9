"""Restricted pictures: conditions that take images out of every search, facet and thumbnail.

The conditions are looked at by each query, so that they hold for images that are ingested later, too.
"""

from __future__ import annotations

from psycopg import sql

from pinakes.errors import UsageError
from pinakes.filters import Filter, parse_filters
from pinakes.store.conditions import conditions
from pinakes.store.connection import Connection, translated


def hide(conn: Connection, collection: str, condition: str) -> int:
    """Restrict the images that meet `condition`, from this moment on; how many there are now.

    Raises:
        UsageError: the condition cannot be understood.
    """
    (parsed,) = parse_filters([condition])
    met = conditions(collection, [parsed])
    with translated(f"restricting pictures of {collection}"), conn.transaction():
        conn.execute(
            sql.SQL("INSERT INTO {} (condition) VALUES (%s) ON CONFLICT DO NOTHING").format(_table(collection)),
            (condition,),
        )
        row = conn.execute(
            sql.SQL("SELECT count(*) FROM {} i WHERE {}").format(sql.Identifier(collection, "images"), met.where),
            met.values,
        ).fetchone()
    return int(row[0]) if row else 0


def unhide(conn: Connection, collection: str, condition: str) -> None:
    """Lift a restriction.

    Raises:
        UsageError: there is none with this condition.
    """
    with translated(f"lifting a restriction of {collection}"):
        gone = conn.execute(
            sql.SQL("DELETE FROM {} WHERE condition = %s").format(_table(collection)), (condition,)
        ).rowcount
    if not gone:
        known = ", ".join(hidden(conn, collection)) or "none"
        raise UsageError(f"the collection {collection!r} has no restriction {condition!r}; there are: {known}.")


def hidden(conn: Connection, collection: str) -> list[str]:
    """The restrictions as they were typed."""
    with translated(f"reading the restrictions of {collection}"):
        rows = conn.execute(
            sql.SQL("SELECT condition FROM {} ORDER BY created_at, condition").format(_table(collection))
        )
        return [condition for (condition,) in rows]


def hidden_conditions(conn: Connection, collection: str) -> tuple[Filter, ...]:
    """The restrictions, each by itself: an image that meets one of them is not shown."""
    return tuple(parsed for condition in hidden(conn, collection) for parsed in parse_filters([condition]))


def _table(collection: str) -> sql.Identifier:
    return sql.Identifier(collection, "hidden")
