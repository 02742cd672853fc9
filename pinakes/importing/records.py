"""What every form of embeddings is read as: a table on disk or on a server, row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol


class BadRowError(ValueError):
    """A row cannot be imported; the text says why."""


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
                yield number, [text_of(value) for value in values]

    def close(self) -> None:
        """Give back what reading holds open."""
        return


def text_of(value: Any) -> str:
    """A value as a cell of a table has it: nothing for bytes and NaN."""
    if value is None or isinstance(value, bytes) or value != value:
        return ""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return "; ".join(map(text_of, value))
    return json.dumps(value, ensure_ascii=False, default=text_of) if isinstance(value, dict) else str(value)
