"""Facets: which values the metadata columns have, and how many images have each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, LiteralString

import numpy as np
from psycopg import sql

from pinakes.query.filters import Equals, Filter, column_of, columns_of
from pinakes.store.column_check import check_columns
from pinakes.store.conditions import PLAIN_COLUMNS, YEARS_SAID, Conditions, column, conditions
from pinakes.store.connection import Connection, translated
from pinakes.store.counted_values import CountedValues
from pinakes.store.restrictions import parsed_restrictions, restriction_texts
from pinakes.store.search_settings import searching

FACET_COLUMNS = ("type", "school", "timeframe", "author", "medium")
"""The columns whose values are worth choosing from; titles and descriptions are nearly all different."""

EXTRA_KEYS = 8
"""Extra columns that get a facet, at most."""
SAMPLED = 1000
"""Images whose extra columns are read to learn which columns exist."""


@dataclass(frozen=True, slots=True)
class Facet:
    """One column: its most frequent values with their counts, and whether it has more of them."""

    column: str
    values: list[tuple[str, int]]
    more: bool


@dataclass(frozen=True, slots=True)
class Facets:
    """The columns and values that may be chosen from.

    Attributes:
        total: images that pass all filters.
        columns: a facet's counts respect the filters on the other columns, so that a choice can be changed.
        years: the first and the last year of the images that pass, or None where no date is known.
    """

    total: int
    columns: list[Facet]
    years: tuple[int, int] | None


def facets(
    conn: Connection,
    collection: str,
    filters: Sequence[Filter] = (),
    *,
    top: int = 12,
    kept: CountedValues | None = None,
) -> Facets:
    """Count the values of the columns among the images that pass the filters and are not restricted.

    Args:
        conn: a connection.
        collection: the collection.
        filters: conditions.
        top: values of a column, at most.
        kept: counted values, used if they are enough to judge the conditions; None: the images themselves are read.

    Raises:
        UsageError: a filter names a column that no image has.
    """
    check_columns(conn, collection, columns_of(filters))
    restrictions = restriction_texts(conn, collection)
    counted: Callable[[_FacetQuery], _Counts]
    if kept is not None and kept.answer(filters, restrictions):
        counted = partial(_from_kept, kept, restrictions)
        extra, several = kept.names("text"), kept.names("several")
    else:
        restricted = parsed_restrictions(restrictions)
        counted = partial(_from_images, conn, collection, restricted)
        images, shown = sql.Identifier(collection, "images"), conditions(collection, (), restricted)
        with translated(f"looking for the columns of {collection}"), searching(conn):
            extra, several = extra_keys(conn, images, shown), _several_keys(conn, images, shown)
    chosen = {column_of(item) for item in filters}
    equal = [item.column for item in filters if isinstance(item, Equals)]
    names = list(dict.fromkeys((*FACET_COLUMNS, *extra, *equal, *several)))
    with translated(f"counting the values of {collection}"), searching(conn):
        total, years, found = counted(
            _FacetQuery([name for name in names if name not in (*chosen, *several)], filters, top)
        )
        for name in names:
            if name in chosen or name in several:
                # Without the filter on the column itself, which would leave only what is chosen already.
                others = [item for item in filters if column_of(item) != name]
                found |= counted(_FacetQuery([name], others, top, _chosen(filters, name), single=name in several))[2]
    return Facets(total, [found[name] for name in names if found[name].values], years)


@dataclass(frozen=True, slots=True)
class _FacetQuery:
    """What is counted at once: of each column the `top` values and those to `keep`, among the images that pass.

    With `single` the one column of `names` holds several values, each of which is counted; the count of what passes may be
    one of values then.
    """

    names: Sequence[str]
    filters: Sequence[Filter]
    top: int
    keep: Sequence[str] = ()
    single: bool = False


_Counts = tuple[int, tuple[int, int] | None, dict[str, Facet]]
"""The count of what passes, its years, and the facets of the columns."""


def _from_kept(kept: CountedValues, restrictions: Sequence[str], query: _FacetQuery) -> _Counts:
    """Count by the values that are kept."""
    passing = kept.passing(query.filters, restrictions)
    found = {}
    for name in query.names:
        coded = kept.columns["several" if query.single else "text", name]
        counts = coded.counts(passing)
        order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]  # equal counts stay in the values' order
        rest = order[query.top :] if query.keep else ()
        shown = [*order[: query.top], *(at for at in rest if coded.known[at] in query.keep)]
        values = [(coded.known[at], int(counts[at])) for at in shown]
        found[name] = Facet(name, values, len(order) > len(values))
    return kept.total if passing is None else int(np.count_nonzero(passing)), kept.years(passing), found


def _from_images(conn: Connection, collection: str, restricted: Sequence[Filter], query: _FacetQuery) -> _Counts:
    """Count by reading the images."""
    names = query.names
    passing = conditions(collection, query.filters, restricted)
    values: dict[str, Any] = dict(passing.values)
    columns = [column(name, f"n{number}", values) for number, name in enumerate(names)]
    if query.single:
        values["n0"] = names[0]
        columns = [sql.SQL("jsonb_array_elements_text(i.several -> {})").format(sql.Placeholder("n0"))]
    value = [sql.Identifier(f"c{number}") for number in range(len(names))]
    rows = conn.execute(
        # Each column is a grouping set of its own, and the empty set counts everything; GROUPING() is 0 for the column
        # that a row was grouped by.
        sql.SQL(
            """
            WITH passing AS (
                SELECT {years} AS years {selected}
                FROM {images} AS i
                WHERE {passing}
            ), counted AS (
                SELECT {number} AS facet, {value} AS value, count(*) AS images, min(lower(years)) AS first,
                    max(upper(years)) - 1 AS last
                FROM passing
                GROUP BY GROUPING SETS (() {sets})
            ), ranked AS (
                SELECT *, row_number() OVER (PARTITION BY facet ORDER BY images DESC, value COLLATE "C") AS place
                FROM counted
                WHERE facet IS NULL OR value <> ''
            )
            SELECT facet, value, images, first, last, place
            FROM ranked
            WHERE place <= %(most)s OR value = ANY(%(keep)s)
            ORDER BY facet, place
            """
        ).format(
            images=sql.Identifier(collection, "images"),
            years=YEARS_SAID,
            passing=passing.where,
            selected=_each(", {} AS {}", columns, value),
            number=sql.SQL("CASE {} END").format(
                _each("WHEN GROUPING({}) = 0 THEN {}", value, map(sql.Literal, range(len(names))))
            )
            if names
            else sql.SQL("NULL::int"),
            value=sql.SQL("coalesce({})").format(sql.SQL(", ").join(value)) if names else sql.SQL("NULL::text"),
            sets=_each(", ({})", value),
        ),
        # One more than can be shown tells that there are more: each value to keep may be next after the first `top`.
        values | {"most": query.top + len(query.keep) + 1, "keep": list(query.keep)},
    ).fetchall()
    found: dict[str, list[tuple[str, int]]] = {name: [] for name in names}
    more = dict.fromkeys(names, False)
    total, years = 0, None
    for facet, value, images, first, last, place in rows:
        if facet is None:
            total, years = images, (None if first is None else (first, last))
        elif place <= query.top or value in query.keep:
            found[names[facet]].append((value, images))
        else:
            more[names[facet]] = True
    return total, years, {name: Facet(name, found[name], more[name]) for name in names}


def _chosen(filters: Sequence[Filter], name: str) -> list[str]:
    """The values that are chosen now: they are shown however rare they are."""
    return [value for item in filters if isinstance(item, Equals) and item.column == name for value in item.values]


def _each(form: LiteralString, *parts: Iterable[sql.Composable]) -> sql.Composed:
    """A form of SQL filled with each of the parts in turn."""
    return sql.SQL(" ").join(sql.SQL(form).format(*values) for values in zip(*parts, strict=True))


def extra_keys(conn: Connection, images: sql.Identifier, shown: Conditions) -> list[str]:
    """Keys of `extra` that repeat often enough among the images that are shown to choose by, most used first."""
    rows = conn.execute(
        sql.SQL(
            """
            SELECT key
            FROM (SELECT i.extra FROM {images} AS i WHERE i.extra <> '{{}}' AND {shown} LIMIT %(sampled)s) AS sampled,
                jsonb_each_text(extra) AS e (key, value)
            WHERE value <> ''
            GROUP BY key
            HAVING count(*) >= 2 AND count(DISTINCT value) <= greatest(count(*) / 2, 2)
            ORDER BY count(*) DESC, key COLLATE "C"
            LIMIT %(most)s
            """
        ).format(images=images, shown=shown.where),
        {**shown.values, "sampled": SAMPLED, "most": EXTRA_KEYS},
    )
    return [key for (key,) in rows if key not in PLAIN_COLUMNS]


def _several_keys(conn: Connection, images: sql.Identifier, shown: Conditions) -> list[str]:
    """The columns whose cells hold several values, among the images that are shown, by name."""
    rows = conn.execute(
        sql.SQL(
            """
            SELECT DISTINCT key COLLATE "C" AS key
            FROM (SELECT i.several FROM {images} AS i WHERE i.several IS NOT NULL AND {shown} LIMIT %(sampled)s) AS sampled,
                jsonb_object_keys(several) AS k (key)
            ORDER BY key
            """
        ).format(images=images, shown=shown.where),
        {**shown.values, "sampled": SAMPLED},
    )
    return [key for (key,) in rows]
