"""Which columns of a table hold the vector, the name and the status, and which ones are metadata of the pictures."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pinakes.errors import MetadataError, UsageError
from pinakes.importing.records import BadRowError, Records, text_of
from pinakes.metadata.columns import DEFAULT_KEYS, VECTOR_COLUMNS, storable
from pinakes.metadata.opening_tables import AnyTable

NAME_COLUMNS = (*DEFAULT_KEYS, "uri", "image_path", "url")
STATUS_COLUMNS = ("ml_generate_embedding_status", "status")
ERROR_COLUMNS = ("error_class", "error_message")
"""Columns of a checkpoint's part: why a picture has no vector."""
MD5_COLUMNS = ("md5_hash", "fingerprint")

OBJECT_TABLE = ("generation", "content_type", "size", "md5_hash", "updated", "metadata", "ref")
"""Columns of an object table of BigQuery, which describe the file and not the picture: `size` is in bytes."""
CHECKPOINT = ("fingerprint", "status", "http_status", "attempts", "model_version", "embedded_at", *ERROR_COLUMNS)
"""Columns of a checkpoint's part."""


class Row(NamedTuple):
    """A row as it is written.

    Attributes:
        place: where it is, such as "row 17".
        name: of the picture, as it is written.
        vector: its numbers, or why they cannot be read; None where the row has none.
        status: why the picture has no vector, as the file says it; "" where it has one.
        md5: of the bytes that were embedded, in hexadecimal; "" where the file does not say it.
    """

    place: str
    name: str
    vector: Sequence[Any] | npt.NDArray[Any] | BadRowError | None
    status: str = ""
    md5: str = ""


@dataclass(frozen=True, slots=True)
class OtherColumns:
    """The metadata columns of a table of embeddings, in the form of a metadata file (`opening_tables.AnyTable`)."""

    path: Path
    columns: tuple[str, ...]
    read: Callable[[], Iterator[tuple[int, list[str]]]]
    form: str = "the columns next to the vectors"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row as its number, and one text a column."""
        return self.read()


class Embeddings:
    """The embeddings in a table, and what its other columns say about the pictures.

    Args:
        records: the table.
        vector: the column with the vectors; None guesses it.
        name: the column that names the picture; None guesses it.
        key: what the metadata call their key; None is image_id.

    Attributes:
        name: of the file or table, for messages.
        dimension: numbers in a vector: those of the first one.
        remark: which columns were guessed, in one line; "" where none was.
        metadata: its other columns as a table about the pictures; None where there are none.

    Raises:
        UsageError: there is no such column, or nothing in it can be a vector or a name.
        MetadataError: the table cannot be read.
    """

    def __init__(
        self, records: Records, vector: str | None = None, name: str | None = None, key: str | None = None
    ) -> None:
        self.name = records.name
        self._records = records
        # Reversed, so that the first of several columns whose names differ only in case counts.
        self._at = {column.casefold(): column for column in reversed(records.columns)}
        self._vector = self._column(vector, "--vector", VECTOR_COLUMNS, records.vectors, "a vector")
        self._name = self._column(name, "--name", NAME_COLUMNS, (), "the name of the picture")
        guessed = [
            f"{what} = {column}"
            for what, column, given in (("vector", self._vector, vector), ("name", self._name, name))
            if given is None
        ]
        self.remark = ""
        if guessed and (self._vector, self._name) != ("vector", "image_id"):
            self.remark = f"{self.name}: columns guessed from their names: {', '.join(guessed)}"
        self._bookkeeping = {
            name: self._at[name] for name in (*STATUS_COLUMNS, *ERROR_COLUMNS, *MD5_COLUMNS) if name in self._at
        }
        key = key or "image_id"
        # The names of the pictures stand under the key, so that a column which has its name would be a second key.
        others = [column for column in self._metadata_columns() if column.casefold() != key.casefold()]
        self.metadata: AnyTable | None = None
        if others:
            self.metadata = OtherColumns(records.path, (key, *others), lambda: records.cells((self._name, *others)))
        self.dimension = self._first_dimension()

    def rows(self) -> Iterator[Row]:
        """Every row, read in pieces, the same each time.

        Raises:
            UsageError: the column of the names or of the vectors holds something else.
            MetadataError: the rest cannot be read.
        """
        for place, values in self._records.records((self._name, self._vector, *self._bookkeeping.values())):
            if isinstance(values, BadRowError):
                yield Row(place, "?", values)
                continue
            name, vector, *more = values
            # A column of another type is not a bad row but a wrong column: all its rows would be reported.
            if name is not None and not isinstance(name, str):
                raise UsageError(
                    f"the column {self._name} of {self.name} holds {name!r}; an import needs text there (--name COLUMN)."
                )
            bookkeeping = {
                column: storable(text_of(value)).strip() for column, value in zip(self._bookkeeping, more, strict=True)
            }
            numbers = _json(vector) if isinstance(vector, str) else vector
            if isinstance(numbers, list | np.ndarray):
                # An array cannot be null in BigQuery: it is empty instead.
                numbers = numbers if len(numbers) else None
            elif numbers is not None and not isinstance(numbers, BadRowError):
                raise UsageError(
                    f"the column {self._vector} of {self.name} holds {vector!r}; an import needs lists of numbers"
                    " (--vector COLUMN)."
                )
            status = _status(bookkeeping)
            # A row that has both is a success: a checkpoint writes `ok`, and other programs have words of their own.
            if status and (numbers is None or isinstance(numbers, BadRowError)):
                yield Row(place, name or "", None, status)
            else:
                yield Row(place, name or "", numbers, "", _md5(bookkeeping))

    def close(self) -> None:
        """Give back what reading holds open."""
        self._records.close()

    def _column(self, given: str | None, option: str, known: Sequence[str], fitting: Sequence[str], what: str) -> str:
        if given is not None:
            found = self._at.get(given.strip().casefold())
            lacking = f"no column {given!r}"
        else:
            found = next((self._at[name] for name in known if name in self._at), None)
            if found is None and len(fitting) == 1:
                found = fitting[0]
            lacking = f"none that is known to hold {what} ({', '.join(known)})"
        if found is None:
            raise UsageError(
                f"{self.name} has the columns {', '.join(self._records.columns)}, and {lacking}; name it with {option}"
                " COLUMN."
            )
        return found

    def _metadata_columns(self) -> Iterator[str]:
        """The columns that say something about the picture."""
        apart = {self._name, self._vector, *self._records.vectors}
        left_out = {*VECTOR_COLUMNS, STATUS_COLUMNS[0]}
        # `size` or `status` alone may well be about a picture; they are not where the whole set of columns is there.
        for bookkeeping in (OBJECT_TABLE[:4], CHECKPOINT):
            if all(name in self._at for name in bookkeeping):
                left_out |= {*OBJECT_TABLE, *CHECKPOINT, *NAME_COLUMNS}
        return (column for column in self._records.columns if column not in apart and column.casefold() not in left_out)

    def _first_dimension(self) -> int:
        """Numbers in the first vector; `read_names` reports the bad rows before it with all others."""
        empty = True
        bad: tuple[str, BadRowError] | None = None
        other = 0
        for row in self.rows():
            empty = False
            if isinstance(row.vector, BadRowError):
                bad = bad or (row.place, row.vector)
            elif row.vector is not None:
                if _are_numbers(row.vector):
                    return len(row.vector)
                other = other or len(row.vector)
        if other:
            return other
        if bad is not None:
            raise MetadataError(f"{self.name}, {bad[0]}: {bad[1]}.")
        raise UsageError(f"{self.name} {'has no row' if empty else 'holds no vector'}.")


def _are_numbers(values: Sequence[Any] | npt.NDArray[Any]) -> bool:
    return isinstance(values, np.ndarray) or all(type(value) in (int, float) for value in values)


def _status(bookkeeping: Mapping[str, str]) -> str:
    """Why a row has no vector, by what it says in the columns of status and errors."""
    if bookkeeping.get(ERROR_COLUMNS[0]):
        return ": ".join(bookkeeping[name] for name in ERROR_COLUMNS if bookkeeping.get(name))
    return next((bookkeeping[name] for name in STATUS_COLUMNS if bookkeeping.get(name)), "")


def _md5(bookkeeping: Mapping[str, str]) -> str:
    """The MD5 in hexadecimal of the bytes that were embedded; Google writes it in base64, a checkpoint as `md5:…`."""
    text = next((bookkeeping[name] for name in MD5_COLUMNS if bookkeeping.get(name)), "").removeprefix("md5:")
    try:
        raw = bytes.fromhex(text) if len(text) == 32 else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return ""
    return raw.hex() if len(raw) == 16 else ""


def _json(text: str) -> list[Any] | BadRowError | None:
    """The list in a cell; whether its values are numbers is checked with those of all other forms."""
    if not text.strip():
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):  # thousands of opening brackets
        values = None
    return values if isinstance(values, list) else BadRowError(f"{text[:40]!r}… is not a JSON list of numbers")
