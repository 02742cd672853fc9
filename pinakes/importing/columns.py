"""Which columns of a table hold the vector, the name and the status, and which ones are metadata of the pictures."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pinakes.errors import UsageError
from pinakes.importing.embeddings import BadRowError, Embeddings, Row
from pinakes.metadata.columns import DEFAULT_KEYS, VECTOR_COLUMNS

NAME_COLUMNS = (*DEFAULT_KEYS, "uri", "image_path", "url")
STATUS_COLUMNS = ("ml_generate_embedding_status", "status")
ERROR_COLUMNS = ("error_class", "error_message")
"""Columns of a checkpoint's part: why a picture has no vector."""
MD5_COLUMNS = ("md5_hash", "fingerprint")

OBJECT_TABLE = ("generation", "content_type", "size", "md5_hash", "updated", "metadata", "ref")
"""Columns of an object table of BigQuery, which describe the file and not the picture: `size` is in bytes."""
CHECKPOINT = ("fingerprint", "status", "http_status", "attempts", "model_version", "embedded_at", *ERROR_COLUMNS)
"""Columns of a checkpoint's part."""


class Records(Protocol):
    """A table as it is in a file or on a server.

    Attributes:
        name: of the file or table, for messages.
        path: the file, for messages about its metadata; of a table on a server, its name.
        columns: in their order.
        vectors: the columns whose type may be that of a vector; empty where the columns have no types.
    """

    name: str
    path: Path
    columns: tuple[str, ...]
    vectors: tuple[str, ...] = ()

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[str, Sequence[Any] | BadRowError]]:
        """Where each row is, and its values of the wanted columns in that order, or what is wrong with it.

        Raises:
            MetadataError: the rest cannot be read.
        """
        ...

    def cells(self, wanted: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
        """The number of each row, and the wanted columns as text; bad rows are left out, since `records` reports them."""
        for number, (_, values) in enumerate(self.records(wanted), start=1):
            if not isinstance(values, BadRowError):
                yield number, [_text(value) for value in values]

    def close(self) -> None:
        """Give back what reading holds open."""
        return


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


class TableOfEmbeddings(Embeddings):
    """The embeddings in a table.

    Args:
        records: the table.
        vector: the column with the vectors; None guesses it.
        name: the column that names the picture; None guesses it.
        key: what the metadata call their key; None is image_id.

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
        if guessed and (self._vector, self._name) != ("vector", "image_id"):
            self.remark = f"{self.name}: columns guessed from their names: {', '.join(guessed)}"
        self._bookkeeping = {
            name: self._at[name] for name in (*STATUS_COLUMNS, *ERROR_COLUMNS, *MD5_COLUMNS) if name in self._at
        }
        key = key or "image_id"
        # The names of the pictures stand under the key, so that a column which has its name would be a second key.
        others = [column for column in self._metadata_columns() if column.casefold() != key.casefold()]
        if others:
            self.metadata = OtherColumns(records.path, (key, *others), lambda: records.cells((self._name, *others)))
        self.dimension = self._first_dimension()

    def rows(self) -> Iterator[Row]:
        """See `Embeddings.rows`."""
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
            bookkeeping = {column: _text(value).strip() for column, value in zip(self._bookkeeping, more, strict=True)}
            numbers = _json(vector) if isinstance(vector, str) else vector
            if numbers is not None and not isinstance(numbers, list | np.ndarray | BadRowError):
                raise UsageError(
                    f"the column {self._vector} of {self.name} holds {vector!r}; an import needs lists of numbers"
                    " (--vector COLUMN)."
                )
            status = _status(bookkeeping)
            # A row that has both is a success: a checkpoint writes `ok`, and other programs have words of their own.
            if status and (numbers is None or isinstance(numbers, BadRowError) or not len(numbers)):
                yield Row(place, name or "", None, status)
            else:
                yield Row(place, name or "", numbers, "", _md5(bookkeeping))

    def close(self) -> None:
        """See `Embeddings.close`."""
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
        """Numbers in the first vector; 0 where it cannot be read, which `read_names` reports with all other bad rows."""
        empty = True
        for row in self.rows():
            empty = False
            if row.vector is not None and not isinstance(row.vector, BadRowError):
                return len(row.vector)
            if isinstance(row.vector, BadRowError):
                return 0
        raise UsageError(f"{self.name} {'has no row' if empty else 'holds no vector'}.")


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


def _json(text: str) -> list[Any] | BadRowError:
    """The list in a cell; whether its values are numbers is checked with those of all other forms."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):  # thousands of opening brackets
        values = None
    return values if isinstance(values, list) else BadRowError(f"{text[:40]!r}… is not a JSON list of numbers")


def _text(value: Any) -> str:
    """A value as a cell of a table has it: nothing for bytes and NaN."""
    if value is None or isinstance(value, bytes) or value != value:
        return ""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    return json.dumps(value, ensure_ascii=False, default=_text) if isinstance(value, dict) else str(value)
