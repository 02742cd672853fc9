"""Conditions on the metadata, which every kind of search takes.

Written as text, a condition is one of

- ``COLUMN=VALUE``: the column has this value; given twice for one column, either value will do;
- ``COLUMN~TEXT``: the column contains this text, in any case and with any accents; given twice, it must contain both;
- ``years=1650..1700`` (or ``1650-1700``): the image's DATE or TIMEFRAME overlaps these years; an end of the first form
  may be left open;
- ``map=3``: the image is in this cluster of the map of the active space; ``map=0.1,0.2;0.5,0.2;0.3,0.6``: in the area
  with these corners.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pinakes.errors import UsageError
from pinakes.metadata.columns import COLUMNS

YEARS = "years"
"""The name by which a condition asks for a range of years."""

MAP = "map"
"""The name by which a condition asks for a part of the map."""

MAX_CORNERS = 100
"""Of an area: a line drawn by hand needs fewer."""

FARTHEST = 1000
"""The largest coordinate of a corner, on either side of 0. The map ends at 1, and PostgreSQL refuses to multiply 1e300."""

MAX_FILTERS = 50
"""Conditions of one query: more come from a program with a bug."""

FIRST_YEAR, LAST_YEAR = 0, 9999

_YEARS = re.compile(r"(\d{1,4})?\s*\.\.\s*(\d{1,4})?")
_TIMEFRAME = re.compile(r"(\d{1,4})\s*[-–]\s*(\d{1,4})")
"""As SemArt writes it."""


@dataclass(frozen=True, slots=True)
class Equals:
    """The column has one of these values. A column that the images do not have is looked up in `extra`."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contains:
    """The column contains this text, without regard to case and accents."""

    column: str
    text: str


@dataclass(frozen=True, slots=True)
class Years:
    """The image was made in a range of years that overlaps this one; both ends belong to it."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class OnMap:
    """The image is in a cluster of the map, or in the area with these corners, from 0 to 1; one of the two is given."""

    cluster: int | None = None
    corners: tuple[tuple[float, float], ...] = ()


Filter = Equals | Contains | Years | OnMap


def parse_filters(where: Sequence[str]) -> tuple[Filter, ...]:
    """Read conditions; those on one column with ``=`` become one, in the order of their first mention.

    Raises:
        UsageError: a condition has none of the forms above, or there are too many.
    """
    if len(where) > MAX_FILTERS:
        raise UsageError(f"{len(where)} conditions were given, and a query takes at most {MAX_FILTERS}.")
    equals: dict[str, list[str]] = {}
    others: list[Filter] = []
    for condition in where:
        parsed = _parse(condition)
        if isinstance(parsed, Equals):
            equals.setdefault(parsed.column, []).extend(parsed.values)
        else:
            others.append(parsed)
    return (*(Equals(column, tuple(dict.fromkeys(values))) for column, values in equals.items()), *others)


def write_filters(filters: Sequence[Filter]) -> list[str]:
    """The conditions as text: what `parse_filters` reads back."""
    written: list[str] = []
    for item in filters:
        match item:
            case Equals(column, values):
                written += [f"{column}={value}" for value in values]
            case Contains(column, text):
                written.append(f"{column}~{text}")
            case Years(first, last):
                written.append(f"{YEARS}={first}..{last}")
            case OnMap(cluster, corners):
                # Python's own form of a float reads back as the same number: a cursor continues only the very same query.
                area = ";".join(f"{x},{y}" for x, y in corners)
                written.append(f"{MAP}={area if cluster is None else cluster}")
    return written


def column_name(written: str) -> str:
    """A column as Pinakes spells it: for the metadata's own columns case does not matter, as in a file's header."""
    folded = written.strip().casefold()
    return folded if folded in (*COLUMNS, YEARS, MAP) else written.strip()


def columns_of(filters: Sequence[Filter]) -> list[str]:
    """The columns that conditions name; a range of years names `YEARS`, a part of the map `MAP`."""
    return list(dict.fromkeys(map(column_of, filters)))


def column_of(item: Filter) -> str:
    """The name that a condition begins with: a column, `YEARS` or `MAP`."""
    match item:
        case Years():
            return YEARS
        case OnMap():
            return MAP
        case _:
            return item.column


def _parse(condition: str) -> Filter:
    # The first = or ~ ends the column's name, so a value may hold both signs.
    match = re.match(r"\s*([^=~]+?)\s*([=~])\s*(.*?)\s*\Z", condition, re.DOTALL)
    if match is None or "\0" in condition:
        raise UsageError(
            f"the condition {condition!r} (--where) is not of the form COLUMN=VALUE, COLUMN~TEXT or years=1650..1700."
        )
    sign, value = match[2], match[3]
    column = column_name(match[1])
    if sign == "~" and column in (YEARS, MAP):
        form = "years=1650..1700" if column == YEARS else "map=3"
        raise UsageError(f"the condition {condition!r} (--where) asks {column} for a text; write {form}.")
    if sign == "~":
        if not value:
            raise UsageError(f"the condition {condition!r} (--where) gives no text that the column should contain.")
        return Contains(column, value)
    if column == YEARS:
        return _years(condition, value)
    if column == MAP:
        return _on_map(condition, value)
    return Equals(column, (value,))


def _years(condition: str, value: str) -> Years:
    match = _YEARS.fullmatch(value) or _TIMEFRAME.fullmatch(value)
    if match is None and re.fullmatch(r"\d{1,4}", value):
        return Years(int(value), int(value))
    if match is None or not any(match.groups()):
        raise UsageError(f"the condition {condition!r} (--where) is not a range of years such as years=1650..1700.")
    first, last = (int(match[1] or FIRST_YEAR), int(match[2] or LAST_YEAR))
    if first > last:
        raise UsageError(f"the condition {condition!r} (--where) ends before it begins; write the earlier year first.")
    return Years(first, last)


def _on_map(condition: str, value: str) -> OnMap:
    if re.fullmatch(r"\d{1,4}", value):
        return OnMap(cluster=int(value))
    try:
        corners = tuple((float(x), float(y)) for x, y in (pair.split(",") for pair in value.split(";")))
    except ValueError:
        corners = ()
    # Python reads "nan" and "inf" as numbers, too.
    if not 3 <= len(corners) <= MAX_CORNERS or not all(math.isfinite(number) for pair in corners for number in pair):
        raise UsageError(
            f"the condition {condition!r} (--where) is not a part of the map: write the number of a cluster, map=3, or the"
            f" corners of an area, 3 to {MAX_CORNERS}: map=0.1,0.2;0.5,0.2;0.3,0.6."
        )
    if farthest := [number for pair in corners for number in pair if abs(number) > FARTHEST]:
        raise UsageError(
            f"the condition {condition!r} (--where) has a corner at {farthest[0]:g}, and corners lie between -{FARTHEST} and"
            f" {FARTHEST}; the whole map is between 0 and 1."
        )
    return OnMap(corners=corners)
