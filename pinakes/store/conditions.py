"""Filters as SQL, over the images under the alias `i`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from psycopg import sql
from psycopg.types.json import Jsonb

from pinakes.metadata.columns import COLUMNS
from pinakes.metadata.folding import fold
from pinakes.query.filters import Contains, Equals, Filter, OnMap, Years
from pinakes.store.folded_texts import folded_value

PLAIN_COLUMNS = (*COLUMNS, "image_id", "uri", "fingerprint")
"""What a filter may name, along with the keys of `extra`."""


YEARS_SAID = sql.SQL("coalesce(i.dated, i.years)")
"""The years of an image: those that columns of its file say, or those that its date says."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """A condition in SQL with its values.

    Attributes:
        parts: over `i`, all of which must hold.
        values: their parameters.
    """

    parts: tuple[sql.Composable, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.parts)

    @property
    def where(self) -> sql.Composable:
        """The condition; `true` when nothing is asked."""
        return sql.SQL(" AND ").join(self.parts) if self.parts else sql.SQL("true")


def conditions(collection: str, filters: Sequence[Filter], restricted: Sequence[Filter] = ()) -> Conditions:
    """Images of a collection that pass all of `filters` and none of `restricted`.

    A value whose folded form is not known (see `pinakes.store.folded_texts`) does not contain a text that is searched for,
    and does contain any text that is restricted: a restriction never hides less than it promises.
    """
    values: dict[str, Any] = {}
    parts = [_condition(collection, item, f"f{number}", values, "false") for number, item in enumerate(filters)]
    # A condition on a value that an image does not have is NULL, and such an image is shown.
    parts += [
        sql.SQL("({}) IS NOT TRUE").format(_condition(collection, item, f"h{number}", values, "true"))
        for number, item in enumerate(restricted)
    ]
    return Conditions(tuple(parts), values)


def column(name: str, key: str, values: dict[str, Any]) -> sql.Composable:
    """The text of a column, or of a key of `extra`, whose name becomes a parameter."""
    if name in PLAIN_COLUMNS:
        return sql.Identifier("i", name)
    values[key] = name
    return sql.SQL("i.extra ->> {}").format(sql.Placeholder(key))


def _condition(
    collection: str, item: Filter, key: str, values: dict[str, Any], unknown: Literal["true", "false"]
) -> sql.Composable:
    match item:
        case Equals(name, wanted):
            values[key] = list(wanted)
            text = sql.SQL("{} = ANY({})").format(column(name, f"{key}c", values), sql.Placeholder(key))
            # One condition a value: an index answers these, and not "any of".
            single = []
            for number, value in enumerate(wanted):
                values[f"{key}v{number}"] = Jsonb({name: [value]})
                single.append(sql.SQL(" OR i.several @> {}").format(sql.Placeholder(f"{key}v{number}")))
            return sql.SQL("({}{})").format(text, sql.SQL("").join(single))
        case Contains(name, text):
            values[key] = fold(text)
            said = column(name, f"{key}c", values)
            return sql.SQL("{} IS NOT NULL AND coalesce(strpos({}, {}) > 0, {})").format(
                said, folded_value(said), sql.Placeholder(key), sql.SQL(unknown)
            )
        case Years(first, last):
            values |= {f"{key}a": first, f"{key}b": last}
            return sql.SQL("{} && int4range({}, {}, '[]')").format(
                YEARS_SAID, sql.Placeholder(f"{key}a"), sql.Placeholder(f"{key}b")
            )
        case OnMap(cluster, corners):
            values[key] = f"({','.join(f'({x},{y})' for x, y in corners)})" if cluster is None else cluster
            inside = "p.region = {}" if cluster is not None else "{}::polygon @> point(p.x, p.y)"
            # Only the map of the active space is on the page.
            return sql.SQL(
                """
                EXISTS (
                    SELECT
                    FROM {points} AS p
                    JOIN {spaces} AS s USING (space)
                    WHERE p.image_id = i.image_id AND s.active AND {inside}
                )
                """
            ).format(
                points=sql.Identifier(collection, "map_points"),
                spaces=sql.Identifier(collection, "spaces"),
                inside=sql.SQL(inside).format(sql.Placeholder(key)),
            )
