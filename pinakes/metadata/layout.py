"""Assigns the columns of a file: the key, the columns of the images table, years, several values, and the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from pinakes.errors import MetadataError
from pinakes.metadata.aliases import ALIASES, KEY_ALIASES, plain, spaced
from pinakes.metadata.column_map import ColumnMap
from pinakes.metadata.columns import COLUMNS, DEFAULT_KEYS, VECTOR_COLUMNS, storable
from pinakes.metadata.profiles import NONE, open_profile, recognised

FIRST_YEAR, LAST_YEAR = 1, 2199
"""Years that are read, as in the function `years_of` of the database: none before Christ."""

# Also as spreadsheets write a number (1642.0), and with the date and time of IIIF's navDate (1642-01-01T00:00:00Z).
_YEAR = re.compile(r"\s*(-?\d{1,4})(?:\.0+)?(?:-\d\d-\d\dT.*)?\s*")
# A century (17th) says as much as a year: its text is read by the database.
_SAYS_A_YEAR = re.compile(r"\d{3,4}|\d(?:st|nd|rd|th)\b")

Years = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a row's cells go.

    Attributes:
        key: position of the key.
        key_name: its name in the file.
        places: for each of `COLUMNS` the position of the file's column, or None.
        extra: (name, position) of every other column but `VECTOR_COLUMNS`. The key is among them unless it is one of
            `DEFAULT_KEYS`, which repeat what the image_id says.
        years: positions of the columns of years: none, one, or two.
        split: for columns with several values in a cell (name as it is stored, position, separator).
        match: of the profile, for the join.
        moved: names of the file's columns that became one of `COLUMNS` under another name, with that one.
        note: which columns a profile or a guess assigned and not the user, as a line for a person; or empty.
    """

    key: int
    key_name: str
    places: tuple[int | None, ...]
    extra: tuple[tuple[str, int], ...]
    years: tuple[int, ...] = ()
    split: tuple[tuple[str, int, str], ...] = ()
    match: str | None = None
    moved: tuple[tuple[str, str], ...] = ()
    note: str = ""

    @property
    def splits_technique(self) -> bool:
        """Whether medium and size have to be taken from the technique."""
        place = dict(zip(COLUMNS, self.places, strict=True))
        return place["technique"] is not None and place["medium"] is None and place["size"] is None

    def years_of(self, cells: Sequence[str]) -> Years | None:
        """The first and the last year of a row by its columns of years; None where they say none.

        A single column counts only where the text of the date says no year; two columns are more exact than the text.
        """
        if not self.years:
            return None
        date = self.places[COLUMNS.index("date")]
        if len(self.years) == 1 and date is not None and date not in self.years and _SAYS_A_YEAR.search(cells[date]):
            return None
        read = [int(found[1]) for place in self.years if (found := _YEAR.fullmatch(cells[place]))]
        if not read or read[-1] < FIRST_YEAR or read[0] > LAST_YEAR:
            return None
        # A span that is written backwards is its first year alone, so that first <= last always holds.
        first, last = max(read[0], FIRST_YEAR), min(read[-1], LAST_YEAR)
        return first, max(first, last)

    def values_of(self, cells: Sequence[str]) -> dict[str, list[str]]:
        """The values of each column that holds several, without repetitions."""
        if not self.split:
            return _NOTHING
        found = {
            name: list(dict.fromkeys(part for each in cells[place].split(separator) if (part := each.strip())))
            for name, place, separator in self.split
        }
        return {name: values for name, values in found.items() if values}


_NOTHING: dict[str, list[str]] = {}
"""One for all the rows of a table without such columns: a large table has hundreds of thousands."""


def find_layout(path: str | Path, columns: Sequence[str], said: ColumnMap, profile: str | None = None) -> Layout:
    """The layout of the file at `path`, whose header holds `columns`.

    What the user says counts first, then the profile. Without a profile a column of `COLUMNS` is taken from the column of
    that name, or else from one of its `ALIASES`.

    Args:
        path: the file, for the messages.
        columns: its columns; no two of them differ only in case.
        said: what the user says of them.
        profile: its name or path; None takes the one that the header is recognised by, `none` takes none.

    Raises:
        MetadataError: a column that the user or the profile names is not there, or none names the images.
        UsageError: there is no such profile.
    """
    columns = [storable(column) for column in columns]
    name = (recognised(columns) if profile is None else profile) or NONE
    known = None if name == NONE else open_profile(name)
    # A profile that somebody names must fit; one that the header is recognised by may be of an older or newer table.
    if known is not None and profile is None:
        known = known.within(columns)
    meant = said if known is None else said.over(known)
    header = _Header(path, columns)
    key = _key(header, meant)
    places: dict[str, int] = {
        own: header.position(column, f"--map {own}={column}") for own, column in meant.columns.items() if column
    }
    # A column that was mapped to nothing ("") is not free: it is not to be guessed again.
    free = [own for own in COLUMNS if own not in meant.columns]
    places |= {own: at for own in free if (at := header.at.get(own)) is not None and at not in places.values()}
    years = tuple(header.position(column, f"--years {column}") for column in meant.years)
    guessed: dict[str, str] = {}
    if known is None or known.usual_names:
        for own in free:
            # The key and the years are not guessed to be a title or a date as well: they already mean something.
            taken = {key, *places.values(), *years}
            at = next((at for at in header.called(ALIASES[own]) if own not in places and at not in taken), None)
            if at is not None:
                places[own], guessed[own] = at, columns[at]
    stored = {at: own for own, at in places.items()}
    extra = [
        (column, at)
        for at, column in enumerate(columns)
        if at not in stored
        and column.casefold() not in VECTOR_COLUMNS
        and not (at == key and column.casefold() in DEFAULT_KEYS)
    ]
    split = []
    for column, separator in meant.split.items():
        place = places.get(column.casefold())
        if place is None:
            place = header.position(column, f"--split {column}={separator}")
        split.append((stored.get(place, columns[place]), place, separator))
    return Layout(
        key=key,
        key_name=columns[key],
        places=tuple(places.get(own) for own in COLUMNS),
        extra=tuple(extra),
        years=years,
        split=tuple(split),
        match=meant.match,
        moved=tuple((columns[at], own) for at, own in stored.items() if columns[at].casefold() != own),
        note=_note(name, known, guessed, recognised_by_header=profile is None),
    )


class _Header:
    """The columns of a file, found by their names."""

    def __init__(self, path: str | Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = columns
        self.at = {name.casefold(): position for position, name in enumerate(columns)}
        self._plain: dict[str, int] = {}
        self._spaced: dict[str, int] = {}
        for position, name in enumerate(columns):
            self._spaced.setdefault(spaced(name), position)
            self._plain.setdefault(plain(name), position)

    def find(self, column: str) -> int | None:
        """Where a column is that the user or a profile names, with spaces or underscores; None: nowhere."""
        return self.at.get(column.strip().casefold(), self._spaced.get(spaced(column)))

    def position(self, column: str, named_by: str) -> int:
        """Where a column is that must be there."""
        at = self.find(column)
        if at is None:
            raise MetadataError(
                f"the metadata file {self.path} has no column {column!r} ({named_by}); its columns are"
                f" {', '.join(self.columns)}."
            )
        return at

    def called(self, names: Sequence[str]) -> Iterator[int]:
        """Where there are columns of these names, in the order of the names."""
        return (at for name in names if (at := self._plain.get(plain(name))) is not None)


def _key(header: _Header, meant: ColumnMap) -> int:
    if meant.key is not None:
        at = header.find(meant.key)
        looked_for = f"no column {meant.key!r}"
    else:
        usual = (header.at[name] for name in DEFAULT_KEYS if name in header.at)
        at = next(chain(usual, header.called(KEY_ALIASES)), None)
        looked_for = f"no column named {', '.join(DEFAULT_KEYS)}"
    if at is None:
        raise MetadataError(
            f"the metadata file {header.path} has {looked_for}, so its rows cannot be matched to images; its columns are"
            f" {', '.join(header.columns)}: say which of them names the images with --key COLUMN."
        )
    return at


def _note(name: str, known: ColumnMap | None, guessed: Mapping[str, str], *, recognised_by_header: bool) -> str:
    if known is None:
        pairs = ", ".join(f"{own} = {column}" for own, column in guessed.items())
        return (
            f"columns guessed from their names: {pairs}; --map {next(iter(guessed))}=COLUMN changes one"
            if pairs
            else ""
        )
    parts = [f"{own} = {column}" for own, column in known.columns.items() if own != column.casefold()]
    parts += [f"{own} = {column}" for own, column in guessed.items()]
    if known.years:
        parts.append(f"years = {' to '.join(known.years)}")
    parts += [f"{column} split at {separator!r}" for column, separator in known.split.items()]
    if not parts:
        return ""
    by = "recognised by the header; --profile none leaves it out" if recognised_by_header else "as --profile says"
    return f"columns by the profile {name} ({by}): {', '.join(parts)}"
