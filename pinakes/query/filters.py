"""Conditions on the metadata, which every kind of search takes.

Written as text, a condition is one of

- ``COLUMN=VALUE``: the column has this value; given twice for one column, either value will do;
- ``COLUMN~TEXT``: the column contains this text, in any case and with any accents; given twice, it must contain both;
- ``years=1650..1700`` (or ``1650-1700``): the image's DATE or TIMEFRAME overlaps these years; an end of the first form
  may be left open.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pinakes.errors import UsageError
from pinakes.metadata.columns import COLUMNS

YEARS = "years"
"""The name by which a condition asks for a range of years."""

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


Filter = Equals | Contains | Years


def parse_filters(where: Sequence[str]) -> tuple[Filter, ...]:
    """Read conditions; those on one column with ``=`` become one, in the order of their first mention.

    Raises:
        UsageError: one of them is not written in any of the three ways, or they are too many.
    """
    if len(where) > MAX_FILTERS:
        raise UsageError(f"{len(where)} conditions were given, and a query takes at most {MAX_FILTERS}.")
    equals: dict[str, list[str]] = {}
    others: list[Filter] = []
    for condition in where:
        read = _parse(condition)
        if isinstance(read, Equals):
            equals.setdefault(read.column, []).extend(read.values)
        else:
            others.append(read)
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
    return written


def column_name(written: str) -> str:
    """A column as Pinakes spells it: for the metadata's own columns case does not matter, as in a file's header."""
    folded = written.strip().casefold()
    return folded if folded in COLUMNS or folded == YEARS else written.strip()


def columns_of(filters: Sequence[Filter]) -> list[str]:
    """The columns that conditions name; a range of years names `YEARS`."""
    return list(dict.fromkeys(YEARS if isinstance(item, Years) else item.column for item in filters))


def _parse(condition: str) -> Filter:
    found = re.match(r"\s*([^=~]+?)\s*([=~])\s*(.*?)\s*\Z", condition, re.DOTALL)
    if found is None or "\0" in condition:
        raise UsageError(
            f"the condition {condition!r} (--where) is not of the form COLUMN=VALUE, COLUMN~TEXT or years=1650..1700."
        )
    sign, value = found[2], found[3]
    column = column_name(found[1])
    if sign == "~" and column == YEARS:
        raise UsageError(f"the condition {condition!r} (--where) asks years for a text; write years=1650..1700.")
    if sign == "~":
        if not value:
            raise UsageError(f"the condition {condition!r} (--where) says no text that the column should contain.")
        return Contains(column, value)
    if column == YEARS:
        return _years(condition, value)
    return Equals(column, (value,))


def _years(condition: str, value: str) -> Years:
    found = _YEARS.fullmatch(value) or _TIMEFRAME.fullmatch(value)
    if found is None and re.fullmatch(r"\d{1,4}", value):
        return Years(int(value), int(value))
    if found is None or not any(found.groups()):
        raise UsageError(f"the condition {condition!r} (--where) is no range of years such as years=1650..1700.")
    first, last = (int(found[1] or FIRST_YEAR), int(found[2] or LAST_YEAR))
    if first > last:
        raise UsageError(f"the condition {condition!r} (--where) ends before it begins; write the earlier year first.")
    return Years(first, last)
