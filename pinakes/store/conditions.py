"""Filters as SQL, over the images under the alias `i`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from psycopg import sql

from pinakes.metadata.columns import COLUMNS
from pinakes.metadata.folding import fold
from pinakes.query.filters import Contains, Equals, Filter, Years
from pinakes.store.folded_texts import folded_value

PLAIN_COLUMNS = (*COLUMNS, "image_id", "uri", "fingerprint")
"""What a filter may name, along with the keys of `extra`."""


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


def conditions(filters: Sequence[Filter], restricted: Sequence[Filter] = ()) -> Conditions:
    """Images that pass all of `filters` and none of `restricted`.

    A value whose folded form is not known (see `pinakes.store.folded_texts`) does not contain a text that is searched for,
    and does contain any text that is restricted: a restriction never hides less than it promises.
    """
    values: dict[str, Any] = {}
    parts = [_condition(item, f"f{number}", values, "false") for number, item in enumerate(filters)]
    parts += [
        sql.SQL("({}) IS NOT TRUE").format(_condition(item, f"h{number}", values, "true"))
        for number, item in enumerate(restricted)
    ]
    return Conditions(tuple(parts), values)


def column(name: str, key: str, values: dict[str, Any]) -> sql.Composable:
    """The text of a column, or of a key of `extra`, whose name becomes a parameter."""
    if name in PLAIN_COLUMNS:
        return sql.Identifier("i", name)
    values[key] = name
    return sql.SQL("i.extra ->> {}").format(sql.Placeholder(key))


def _condition(item: Filter, key: str, values: dict[str, Any], unknown: Literal["true", "false"]) -> sql.Composable:
    match item:
        case Equals(name, wanted):
            values[key] = list(wanted)
            return sql.SQL("{} = ANY({})").format(column(name, f"{key}c", values), sql.Placeholder(key))
        case Contains(name, text):
            values[key] = fold(text)
            said = column(name, f"{key}c", values)
            return sql.SQL("{} IS NOT NULL AND coalesce(strpos({}, {}) > 0, {})").format(
                said, folded_value(said), sql.Placeholder(key), sql.SQL(unknown)
            )
        case Years(first, last):
            values |= {f"{key}a": first, f"{key}b": last}
            return sql.SQL("i.years && int4range({}, {}, '[]')").format(
                sql.Placeholder(f"{key}a"), sql.Placeholder(f"{key}b")
            )
