"""A table in several files, as BigQuery exports one and clip-retrieval writes its arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from pinakes.errors import UsageError
from pinakes.importing.records import BadRowError, Records
from pinakes.importing.text import JsonLines


class Parts(Records):
    """The files of a folder as one table, in the order of their names.

    Args:
        path: the folder.
        parts: its files.

    Raises:
        UsageError: there are none, or they have different columns.
    """

    def __init__(self, path: Path, parts: Sequence[Records]) -> None:
        self.name, self.path = path.name, path
        self._parts = parts
        if not parts:
            raise UsageError(f"the folder {path.name} holds no file to import.")
        self.columns = tuple(dict.fromkeys(chain.from_iterable(part.columns for part in parts)))
        self.vectors = parts[0].vectors
        for part in parts:
            lacking = set(self.columns).difference(part.columns)
            # JSON Lines leave out what is null, so that a column may be missing from a whole part.
            if lacking and not isinstance(part, JsonLines):
                raise UsageError(
                    f"the files of {path.name} are not parts of one table: {part.name} lacks {', '.join(sorted(lacking))};"
                    " import each by itself."
                )

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[str, Sequence[Any] | BadRowError]]:
        """See `Records.records`."""
        for part in self._parts:
            for place, values in part.records(wanted):
                yield f"{part.name}, {place}", values

    def cells(self, wanted: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
        """See `Records.cells`."""
        for part in self._parts:
            yield from part.cells(wanted)
