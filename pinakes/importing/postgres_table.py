"""Embeddings in a table of PostgreSQL: `postgresql://USER@HOST/DATABASE?table=SCHEMA.TABLE`, or `cloudsql://…`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pinakes.errors import UsageError
from pinakes.importing.records import BadRowError, Records
from pinakes.store.foreign_table import ForeignTable

ADDRESS = re.compile(r"(?:postgres(?:ql)?|cloudsql)://")

_VECTOR = re.compile(r"(?:\w+\.)?(?:vector|halfvec)\b|(?:real|double precision)\[\]")
_NO_TEXT = ("tsvector", "bytea")
"""Types of columns that are no metadata, because a person cannot read their values."""


class PostgresTable(Records):
    """A table in any PostgreSQL, as it was when it was opened.

    Raises:
        UsageError: the address names no table, or one that does not exist.
        DatabaseError: the database cannot be reached, or the table may not be read.
    """

    def __init__(self, address: str) -> None:
        dsn, table = _split(address)
        self._table = ForeignTable(dsn, table)
        self.name, self.path = table, Path(table)
        kinds = self._table.types
        self.columns = tuple(name for name, kind in kinds.items() if kind not in _NO_TEXT)
        self.vectors = tuple(name for name, kind in kinds.items() if _VECTOR.match(kind))

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[str, Sequence[Any] | BadRowError]]:
        """See `Records.records`."""
        for number, values in enumerate(self._table.rows(wanted), start=1):
            yield f"row {number}", values

    def close(self) -> None:
        """See `Records.close`."""
        self._table.close()


def _split(address: str) -> tuple[str, str]:
    """The address of the database, and the name of the table in it."""
    # Not `urllib.parse`: the rest of the address goes to libpq exactly as it was given.
    place, _, query = address.partition("?")
    options = query.split("&") if query else []
    tables = [unquote(option.removeprefix("table=")) for option in options if option.startswith("table=")]
    if len(tables) != 1 or not tables[0]:
        raise UsageError(
            "the address of a database (it is not shown here, since it may hold a password) must name one table to import:"
            " end it with ?table=NAME or ?table=SCHEMA.NAME, in quotation marks for the shell."
        )
    rest = "&".join(option for option in options if not option.startswith("table="))
    return f"{place}?{rest}" if rest else place, tables[0]
