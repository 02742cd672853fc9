"""Restricted pictures: conditions that take images out of every search, facet and thumbnail.

Each query applies the conditions again, so that they also hold for images that are ingested later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from pinakes.errors import UsageError
from pinakes.query.filters import Filter, parse_filters
from pinakes.store.conditions import Conditions, conditions
from pinakes.store.connection import Connection, translated, value_of


@dataclass(frozen=True, slots=True)
class Restriction:
    """A restriction as it was typed, and how many images it takes out now."""

    condition: str
    images: int

    @property
    def problem(self) -> str | None:
        """A warning for whoever relies on it; None where it hides some picture."""
        if self.images:
            return None
        return (
            f"the restriction {self.condition!r} matches no picture, so nothing is hidden by it. It is kept, for pictures"
            " that are ingested later; if there should be some already, look at its spelling (COLUMN=VALUE must be the"
            " whole value exactly, COLUMN~TEXT a part of it in any case), and take it back with pinakes hide --undo."
        )


def hide(conn: Connection, collection: str, condition: str) -> Restriction:
    """Restrict the images that meet `condition`, from this moment on.

    Raises:
        UsageError: the condition cannot be understood.
    """
    # Before it is kept: one that cannot be read would fail every search.
    parse_filters([condition])
    with translated(f"restricting pictures of {collection}"), conn.transaction():
        conn.execute(
            sql.SQL("INSERT INTO {} (condition) VALUES (%s) ON CONFLICT DO NOTHING").format(_table(collection)),
            (condition,),
        )
        return _counted(conn, collection, condition)


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
        known = ", ".join(restriction_texts(conn, collection)) or "none"
        raise UsageError(f"the collection {collection!r} has no restriction {condition!r}; there are: {known}.")


def restriction_texts(conn: Connection, collection: str) -> list[str]:
    """The restrictions as they were typed."""
    with translated(f"reading the restrictions of {collection}"):
        rows = conn.execute(
            sql.SQL("SELECT condition FROM {} ORDER BY created_at, condition").format(_table(collection))
        )
        return [condition for (condition,) in rows]


def restrictions(conn: Connection, collection: str) -> list[Restriction]:
    """The restrictions, each with what it takes out."""
    with translated(f"counting the restricted pictures of {collection}"):
        return [_counted(conn, collection, condition) for condition in restriction_texts(conn, collection)]


def restriction_filters(conn: Connection, collection: str) -> tuple[Filter, ...]:
    """The restrictions, each by itself: an image that meets one of them is not shown."""
    return parsed_restrictions(restriction_texts(conn, collection))


def parsed_restrictions(texts: Sequence[str]) -> tuple[Filter, ...]:
    """Restrictions as they were typed, each parsed by itself."""
    return tuple(parsed for text in texts for parsed in parse_filters([text]))


def visible(conn: Connection, collection: str, filters: Sequence[Filter] = ()) -> Conditions:
    """The images that pass the filters and that no restriction takes out."""
    return conditions(collection, filters, restriction_filters(conn, collection))


def _counted(conn: Connection, collection: str, condition: str) -> Restriction:
    shown = conditions(collection, (), parse_filters([condition]))
    count: int = value_of(
        conn,
        sql.SQL("SELECT count(*) FROM {images} AS i WHERE NOT ({shown})").format(
            images=sql.Identifier(collection, "images"), shown=shown.where
        ),
        shown.values,
    )
    return Restriction(condition, count)


def _table(collection: str) -> sql.Identifier:
    return sql.Identifier(collection, "hidden")
