"""Whether the images have the columns that a query names: a misspelt one must not pass for one that nothing matches."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from psycopg import sql

from pinakes.errors import UsageError
from pinakes.metadata.columns import COLUMNS
from pinakes.metadata.folding import fold
from pinakes.query.filters import MAP, YEARS, Equals, Filter
from pinakes.store.conditions import PLAIN_COLUMNS, YEARS_SAID, Conditions, column
from pinakes.store.connection import Connection, translated, value_of
from pinakes.store.map_table import has_map
from pinakes.store.restrictions import visible

MOST_NAMED = 30
"""Extra columns that a message names: a file may have hundreds."""

MOST_VALUES = 20_000
"""Values of a column that a misspelt one is compared with, the most frequent: a tenth of a second."""
NEAR_VALUES = 3
FEW_VALUES = 12
"""A column of no more values has them all named where none of them is near."""


def unknown_columns(conn: Connection, collection: str, names: Sequence[str], among: Conditions) -> list[str]:
    """The names that are a column of no image that meets the condition."""
    extra = [name for name in names if name not in (*PLAIN_COLUMNS, YEARS, MAP)]
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
    """Check that visible images have these columns: one that only restricted images have must not be revealed.

    Raises:
        UsageError: none has one of them; the message names the columns that there are.
    """
    # Every collection has these: most searches cost no look at the images here.
    if all(name in PLAIN_COLUMNS for name in names):
        return
    shown = visible(conn, collection)
    if YEARS in names and not _any_years(conn, collection, shown):
        others = ", ".join(_extra_columns(conn, collection, shown))
        raise UsageError(
            f"no picture of {collection!r} has years: they are read from the columns date and timeframe, or those that"
            f" --years names, and these are empty or give none{f'; its other columns are: {others}' if others else ''}."
            " See docs/metadata.md."
        )
    if MAP in names and not has_map(conn, collection):
        raise UsageError(f"{collection!r} has no map yet; pinakes map makes one of its active space.")
    unknown = unknown_columns(conn, collection, names, shown)
    if unknown:
        there_are = ", ".join((*COLUMNS, *_extra_columns(conn, collection, shown), "image_id", "years"))
        raise UsageError(f"no picture of {collection!r} has a column {unknown[0]!r}; there are: {there_are}.")


def unknown_values(conn: Connection, collection: str, filters: Sequence[Filter], *, found: bool) -> list[str]:
    """A sentence for each value of the conditions that no visible picture has, with the values that are near it.

    Where pictures were `found`, a column that is asked for one value has it.
    """
    doubtful = [item for item in filters if isinstance(item, Equals) and not (found and len(item.values) == 1)]
    if not doubtful:
        return []
    shown = visible(conn, collection)
    sentences = []
    for item in doubtful:
        known = _values(conn, collection, item.column, shown)
        for value in item.values:
            if value in known:
                continue
            by_folded: dict[str, str] = {}
            for other in known:  # the most frequent of those that only case and accents tell apart
                by_folded.setdefault(fold(other), other)
            near = [by_folded[key] for key in difflib.get_close_matches(fold(value), by_folded, n=NEAR_VALUES)]
            advice = f"did you mean {' or '.join(map(repr, near))}?" if near else _there_are(known)
            sentences.append(f"no picture has {item.column} {value!r}{'; ' if advice else ''}{advice}")
    return sentences


def _there_are(known: Sequence[str]) -> str:
    return f"there are: {', '.join(known)}" if 0 < len(known) <= FEW_VALUES else ""


def _values(conn: Connection, collection: str, name: str, shown: Conditions) -> list[str]:
    """The values of a column among the images that are shown, the most frequent first, and the single ones of its cells."""
    values: dict[str, Any] = {**shown.values, "most": MOST_VALUES, "several": name}
    with translated(f"reading the values of {name}"):
        rows = conn.execute(
            sql.SQL(
                """
                SELECT value
                FROM (
                    SELECT {value} AS value FROM {images} AS i WHERE {shown}
                    UNION ALL
                    SELECT jsonb_array_elements_text(i.several -> %(several)s) FROM {images} AS i WHERE {shown}
                ) AS found
                WHERE value <> ''
                GROUP BY value
                ORDER BY count(*) DESC, value COLLATE "C"
                LIMIT %(most)s
                """
            ).format(
                value=column(name, "name", values), images=sql.Identifier(collection, "images"), shown=shown.where
            ),
            values,
        )
        return [value for (value,) in rows]


def _any_years(conn: Connection, collection: str, shown: Conditions) -> bool:
    with translated(f"looking for years in {collection}"):
        return bool(
            value_of(
                conn,
                sql.SQL("SELECT EXISTS (SELECT FROM {images} AS i WHERE {years} IS NOT NULL AND {shown})").format(
                    images=sql.Identifier(collection, "images"), years=YEARS_SAID, shown=shown.where
                ),
                shown.values,
            )
        )


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
