"""The search as the page shows it: a chip for each part, and the filters that can be chosen."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pinakes.errors import UsageError
from pinakes.query.filters import Contains, Equals, Filter, OnMap, Years, parse_filters, write_filters
from pinakes.store.facets import Facets
from pinakes.web.address import Address
from pinakes.web.views import HIDDEN_COLUMNS, cut, label

OPEN_GROUPS = 3
"""The first groups of filters are unfolded even if nothing in them is chosen."""


@dataclass(frozen=True, slots=True)
class Chip:
    """One part of the search, and the address of the search without it."""

    kind: str
    text: str
    removed: str


@dataclass(frozen=True, slots=True)
class Option:
    """One value of a column: the condition, how many images have it, and whether it is chosen."""

    condition: str
    value: str
    count: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class Group:
    """The values of one column."""

    column: str
    options: tuple[Option, ...]
    more: bool
    unfolded: bool

    @property
    def label(self) -> str:
        """The name that people use for the column."""
        return label(self.column)


def chips(address: Address, titles: Mapping[str, str]) -> list[Chip]:
    """A chip for each part of the search. Conditions that cannot be read are shown as they are.

    Args:
        address: the search.
        titles: the titles of stored images, by ``like:<image_id>``.
    """
    parts: list[Chip] = []
    if address.q:
        parts.append(Chip("words", cut(address.q), address.but(q="").url))
    for kind, name in (("more of", "plus"), ("less of", "minus")):
        parts += [
            Chip(kind, cut(titles.get(item, item)), address.without(name, item).url) for item in getattr(address, name)
        ]
    for condition in address.where:
        kind, text = _kind_and_text(condition)
        parts.append(Chip(kind, cut(text), address.without("where", condition).url))
    options = (
        ("one for each", "group_by", label(address.group_by)),
        ("copies", "collapse_duplicates", "one of each" if address.collapse_duplicates else ""),
        ("not farther than", "max_distance", address.max_distance),
        ("on a page", "k", address.k),
        ("compared by", "mode", address.mode),
        ("space", "space", address.space),
        ("share of words", "hybrid", address.hybrid),
        ("distance", "metric", address.metric),
    )
    return parts + [Chip(kind, text, address.but(**{name: ""}).url) for kind, name, text in options if text]


def groups(found: Facets, filters: Sequence[Filter]) -> list[Group]:
    """The filters that can be chosen by a click, including chosen ones that no image has."""
    chosen: dict[str, tuple[str, ...]] = {item.column: item.values for item in filters if isinstance(item, Equals)}
    columns = {facet.column: facet for facet in found.columns}
    made: list[Group] = []
    for column in dict.fromkeys((*columns, *chosen)):
        if column in HIDDEN_COLUMNS and column not in chosen:
            continue
        values = list(columns[column].values) if column in columns else []
        # A chosen value without a box could not be unticked, and the form would drop it.
        values += [(value, 0) for value in chosen.get(column, ()) if value not in dict(values)]
        # Counts decide the order of names, but people look for a period where it is in time.
        if column == "timeframe" or all(value[:1].isdecimal() for value, _ in values):
            values.sort(key=_number_in)
        options = tuple(
            Option(f"{column}={value}", value, count, value in chosen.get(column, ())) for value, count in values
        )
        unfolded = len(made) < OPEN_GROUPS or column in chosen
        made.append(Group(column, options, column in columns and columns[column].more, unfolded))
    return made


def kept_conditions(filters: Sequence[Filter]) -> list[str]:
    """The conditions for which the form has no control; it carries them in hidden fields."""
    return write_filters([item for item in filters if isinstance(item, Contains | OnMap)])


def readable_filters(address: Address) -> tuple[Filter, ...]:
    """The conditions of an address; none if one of them cannot be read."""
    try:
        return parse_filters(address.where)
    except UsageError:
        return ()


def _number_in(counted: tuple[str, int]) -> tuple[int, str]:
    """The sort key of a value with its count: the first number in it, which orders periods in time."""
    # Python refuses to read a number of thousands of digits, and a condition in an address may have any value.
    number = re.search(r"\d{1,18}", counted[0])
    return (int(number[0]) if number else sys.maxsize), counted[0]  # without a number: after all others


def _kind_and_text(condition: str) -> tuple[str, str]:
    try:
        (read,) = parse_filters([condition])
    except UsageError:
        return "filter", condition
    match read:
        case Equals(column, values):
            return label(column), values[0]
        case Contains(column, text):
            return f"{label(column)} contains", text
        case OnMap(cluster):
            return "on the map", "an area" if cluster is None else f"cluster {cluster + 1}"
        case Years():
            return "years", condition.partition("=")[2].replace("..", "–")
