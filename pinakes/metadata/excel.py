"""Excel workbooks (.xlsx) as tables of text: the first sheet in, one sheet out. It needs the extra `excel`."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pinakes.errors import MetadataError, PinakesError, UsageError
from pinakes.metadata.records import named_columns

MOST_ROWS = 1_048_576
"""Rows of a sheet of Excel, its header among them."""
MOST_CHARACTERS = 32_767
"""Characters of a cell of Excel."""

_MAGIC = b"PK\x03\x04"
_OLD_MAGIC = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True, slots=True)
class ExcelTable:
    """The first sheet of a workbook whose header has been read; its members are those of `records.Table`."""

    path: Path
    sheet: str
    columns: tuple[str, ...]

    @property
    def form(self) -> str:
        """That it is Excel, and which sheet, for a report."""
        return f"Excel, sheet {self.sheet}"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row as (its number in the sheet, one text per column); empty rows are passed over.

        Raises:
            MetadataError: a row has a cell beyond the columns of the header, or the file is damaged.
        """
        width = len(self.columns)
        with _first_sheet(self.path) as sheet:
            for number, values in enumerate(sheet.iter_rows(min_row=2, values_only=True), start=2):
                cells = [text_of(value) for value in values]
                # Excel keeps the width that a sheet once had, so empty cells on the right mean nothing.
                if any(cells[width:]):
                    raise MetadataError(
                        f"the metadata file {self.path}, row {number}: there is a cell to the right of the {width} columns"
                        " that the first row names; name that column, or empty the cell."
                    )
                if any(cells):
                    yield number, [*cells[:width], *([""] * (width - len(cells)))]


def is_excel(path: Path) -> bool:
    """Whether the content of a file is a workbook; its name does not matter.

    Raises:
        MetadataError: it is one of Excel's old form.
    """
    with path.open("rb") as file:
        first = file.read(4)
    if first == _OLD_MAGIC:
        raise MetadataError(f"the metadata file {path} is an Excel file of the old form (.xls); save it as .xlsx.")
    return first == _MAGIC


def open_excel(path: Path) -> ExcelTable:
    """Read the header of the first sheet of a workbook.

    Raises:
        MetadataError: the file is damaged, its first row is empty, or two columns have one name.
        UsageError: openpyxl is not installed.
    """
    with _first_sheet(path) as sheet:
        header = [text_of(value) for value in next(sheet.iter_rows(max_row=1, values_only=True), ())]
        title = sheet.title
    while header and not header[-1].strip():
        header.pop()
    if not header:
        raise MetadataError(
            f"the metadata file {path}: the first row of its first sheet, {title}, is empty; it must name the columns."
        )
    return ExcelTable(path, title, named_columns(path, header))


def write_excel(
    sink: IO[bytes], rows: Iterable[Sequence[object]], *, title: str = "Pinakes", frozen: str = "A2"
) -> None:
    """Write a workbook with one sheet. The first row is the header; text is never a formula.

    Args:
        sink: where to.
        rows: with the header.
        title: the sheet's name, of at most 31 characters.
        frozen: the first cell that scrolls: the rows above it and the columns to its left stay in sight.

    Raises:
        PinakesError: a sheet of Excel cannot hold that many rows.
        UsageError: openpyxl is not installed.
    """
    openpyxl = load_openpyxl()
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
    from openpyxl.styles import Font

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet(title)
    sheet.freeze_panes = frozen
    for number, row in enumerate(rows):
        if number == MOST_ROWS:
            raise PinakesError(
                f"a sheet of Excel holds {MOST_ROWS:,} rows, and there are more; write .csv or .parquet."
            )
        cells = []
        for value in row:
            cell = WriteOnlyCell(sheet)
            if isinstance(value, str):
                # openpyxl refuses control characters, and makes a formula of a text that begins with =.
                cell.value = ILLEGAL_CHARACTERS_RE.sub("", value)[:MOST_CHARACTERS]
                cell.data_type = "s"
            else:
                cell.value = value
            if number == 0:
                cell.font = Font(bold=True)
            cells.append(cell)
        sheet.append(cells)
    book.save(sink)


def load_openpyxl() -> Any:
    """The module openpyxl, which is not always installed.

    Raises:
        UsageError: it is not.
    """
    try:
        import openpyxl
    except ImportError as exc:
        raise UsageError(
            "Excel files need openpyxl, which is not installed: run pip install openpyxl (the extra excel)."
        ) from exc
    return openpyxl


@contextlib.contextmanager
def _first_sheet(path: Path) -> Iterator[Any]:
    openpyxl = load_openpyxl()
    try:
        # read_only reads row by row, so a damaged row is met only while the caller reads; data_only gives the values that
        # Excel has computed instead of formulas.
        with contextlib.closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            sheet = book.worksheets[0]
            # Some programs record a size that is too small, and openpyxl would leave out what lies beyond it.
            sheet.reset_dimensions()
            yield sheet
    except PinakesError:  # of the caller
        raise
    except Exception as exc:  # zipfile, XML and openpyxl each have errors of their own
        raise MetadataError(
            f"the metadata file {path} cannot be read as an Excel workbook ({exc}); save it again."
        ) from exc


def text_of(value: object) -> str:
    """A cell as its reader sees it, near enough: whole numbers without a point, dates as 1642-12-31."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return str(value)
