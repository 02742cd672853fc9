"""Opens metadata of any form as a table: a file's content decides, not its name; only a query for BigQuery ends in .sql."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pinakes.bigquery.address import SCHEME
from pinakes.metadata.bigquery import BigQueryTable, open_bigquery_table, open_query
from pinakes.metadata.excel import is_excel, open_excel
from pinakes.metadata.files import open_bytes
from pinakes.metadata.records import open_text


class AnyTable(Protocol):
    """A table whose header has been read: `records.Table`, `excel.ExcelTable`, or one that is in no metadata file."""

    @property
    def path(self) -> str | Path:
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


def open_table(name: str | Path) -> AnyTable:
    """The table that a file or an address holds; its rows are not read yet.

    Raises:
        MetadataError: it cannot be read, or its header cannot be right.
        UsageError: it is a workbook of Excel, and openpyxl is not installed; or a query for BigQuery that is no SELECT.
    """
    if is_of_bigquery(name):
        return open_bigquery_table(str(name)) if str(name).startswith(SCHEME) else open_query(Path(name))
    path = Path(name)
    with open_bytes(path):  # what keeps a file from being opened is said alike for all forms
        pass
    return open_excel(path) if is_excel(path) else open_text(path)


def check_table(name: str | Path) -> None:
    """Check that a table exists and may be read, without reading the whole file.

    Raises:
        UsageError, MetadataError: as `open_table`.
    """
    if is_of_bigquery(name):
        open_table(name)
    else:
        with open_bytes(Path(name)):
            pass


def is_of_bigquery(name: str | Path) -> bool:
    """Whether a table comes from BigQuery."""
    return str(name).startswith(SCHEME) or Path(name).suffix == ".sql"


def bytes_scanned(name: str) -> int | None:
    """The bytes that BigQuery bills for when the table is read; None for a table that does not come from there.

    Raises:
        UsageError, MetadataError: as `open_table`.
    """
    table = open_table(name) if is_of_bigquery(name) else None
    return table.reading.bytes_scanned if isinstance(table, BigQueryTable) else None
