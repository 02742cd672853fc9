"""A metadata file of any form as a table: its content decides, not its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pinakes.metadata.excel import is_excel, open_excel
from pinakes.metadata.files import open_bytes
from pinakes.metadata.records import open_text


class AnyTable(Protocol):
    """A table whose header has been read: `records.Table`, `excel.ExcelTable`, or one that is in no metadata file."""

    @property
    def path(self) -> Path:
        """The file, or a name, for messages."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The header's names."""
        ...

    @property
    def form(self) -> str:
        """What kind of table it is, for a report."""
        ...

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row as (its line or number, one text per column).

        Raises:
            MetadataError: a row cannot be read.
        """
        ...


def open_table(path: Path) -> AnyTable:
    """The table that a file holds; its rows are not read yet.

    Raises:
        MetadataError: the file cannot be read, or its header cannot be right.
        UsageError: it is a workbook of Excel, and openpyxl is not installed.
    """
    with open_bytes(path):  # says what keeps a file from being opened
        pass
    return open_excel(path) if is_excel(path) else open_text(path)
