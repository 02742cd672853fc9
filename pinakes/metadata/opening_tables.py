"""A metadata file of any form as a table: its content decides, not its name."""

from __future__ import annotations

from pathlib import Path

from pinakes.metadata.excel import ExcelTable, is_excel, open_excel
from pinakes.metadata.files import open_bytes
from pinakes.metadata.records import Table, open_text

AnyTable = Table | ExcelTable


def open_table(path: Path) -> AnyTable:
    """The table that a file holds; its rows are not read yet.

    Raises:
        MetadataError: the file cannot be read, or its header cannot be right.
        UsageError: it is a workbook of Excel, and openpyxl is not installed.
    """
    with open_bytes(path):  # says what keeps a file from being opened
        pass
    return open_excel(path) if is_excel(path) else open_text(path)
