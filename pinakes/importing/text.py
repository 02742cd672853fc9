"""Embeddings as text: with a header or without one, and as JSON Lines; gzip or not."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pinakes.errors import UsageError
from pinakes.importing.columns import NAME_COLUMNS
from pinakes.importing.records import BadRowError, Records
from pinakes.metadata.columns import VECTOR_COLUMNS
from pinakes.metadata.files import detect_encoding, read_lines
from pinakes.metadata.records import open_text

# A vector of 3,072 components written in full takes some 60 kB, and a line may hold more; the default is 131 kB.
csv.field_size_limit(2**24)


class TextTable(Records):
    """Separated values with a header, read as a metadata file: in one with tabs a stray quotation mark joins no rows.

    Raises:
        MetadataError: the header cannot be right.
    """

    def __init__(self, path: Path) -> None:
        self.name, self.path = path.name, path
        self._table = open_text(path)
        self.columns = self._table.columns

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[str, Sequence[Any] | BadRowError]]:
        """See `Records.records`."""
        for line, cells in self.cells(wanted):
            yield f"line {line}", cells

    def cells(self, wanted: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
        """See `Records.cells`."""
        places = [self.columns.index(column) for column in wanted]
        for line, row in self._table.rows():
            yield line, [row[place] for place in places]


class Headerless(Records):
    """Separated values without a header: a name with a JSON list or, where it is `wide`, with a number a column."""

    columns = ("image_id", "vector")

    def __init__(self, path: Path, separator: str, *, wide: bool) -> None:
        self.name, self.path = path.name, path
        self._separator = separator
        self._wide = wide

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[str, Sequence[Any] | BadRowError]]:
        """See `Records.records`."""
        reader = csv.reader((f"{text}\n" for text in _lines(self.path)), delimiter=self._separator)
        places = [self.columns.index(column) for column in wanted]
        first = True
        # Not a `for` loop, which an error would end: the rows after a bad one are reported too.
        while True:
            try:
                row = next(reader, None)
            except csv.Error as exc:
                yield f"line {reader.line_num}", BadRowError(f"the row cannot be read ({exc})")
                continue
            if row is None:
                return
            if not row:  # a blank line
                continue
            is_first, first = first, False
            if is_first and self._wide and _names_the_columns(row):
                continue
            cells: Sequence[Any] = [row[0], _numbers(row[1:])] if self._wide else row
            if len(cells) != len(self.columns):
                yield f"line {reader.line_num}", BadRowError(f"{len(row)} fields instead of {len(self.columns)}")
            else:
                yield f"line {reader.line_num}", [cells[place] for place in places]


class JsonLines(Records):
    """JSON Lines, as BigQuery exports them: an object on each line, without the columns that are null in that row."""

    def __init__(self, path: Path) -> None:
        self.name, self.path = path.name, path

    @cached_property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]  # found by reading
        """The keys of all objects, in the order in which they come."""
        found: dict[str, None] = {}
        for _, row in self._objects():
            if not isinstance(row, BadRowError):
                found |= dict.fromkeys(row)
        return tuple(found)

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[str, Sequence[Any] | BadRowError]]:
        """See `Records.records`."""
        for place, row in self._objects():
            yield place, row if isinstance(row, BadRowError) else [row.get(column) for column in wanted]

    def _objects(self) -> Iterator[tuple[str, dict[str, Any] | BadRowError]]:
        for number, line in enumerate(_lines(self.path), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as exc:  # RecursionError: thousands of opening brackets
                row = BadRowError(f"the line is not JSON ({exc})")
            if not isinstance(row, dict | BadRowError):
                row = BadRowError("the line is not a JSON object")
            yield f"line {number}", row


def open_text_records(path: Path) -> Records:
    """Find out from its first line which of the text forms a file has.

    Raises:
        UsageError: it has none of the forms.
        MetadataError: it cannot be read.
    """
    line = next(_lines(path), "")
    if line.lstrip().startswith("{"):
        return JsonLines(path)
    separator = max("\t,;", key=line.count)
    try:
        cells = next(csv.reader([line], delimiter=separator), [])
    except csv.Error:  # its lines end with a carriage return alone, or a field is longer than any table has
        cells = []
    if len(cells) == 2 and cells[1].lstrip().startswith("["):
        return Headerless(path, separator, wide=False)
    if len(cells) > 2 and not isinstance(_numbers(cells[1:]), BadRowError):
        return Headerless(path, separator, wide=True)
    if len(cells) > 1:
        return TextTable(path)
    raise UsageError(
        f'{path.name} is none of the forms that can be imported: name,number,number,…; name,"[number, …]"; a table with a'
        f" header and a column such as {', '.join(VECTOR_COLUMNS)}; JSON Lines; Parquet; or NumPy's .npy."
    )


def _lines(path: Path) -> Iterator[str]:
    # The encoding is found in the whole file: the first letter outside ASCII may be far down.
    return (text for _, text in read_lines(path, detect_encoding(path)))


def _names_the_columns(row: Sequence[str]) -> bool:
    """Whether a row is a header of numbered columns, as pandas writes one: `image_id,0,1,2`."""
    if row[0].strip().casefold() not in ("", *NAME_COLUMNS):
        return False
    return any(all(cell == str(n) for n, cell in enumerate(row[1:], start=start)) for start in (0, 1))


def _numbers(cells: Sequence[str]) -> npt.NDArray[np.float64] | BadRowError:
    if not cells:
        return BadRowError("no number follows the name")
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        return BadRowError("not every component of the vector is a number")
