"""Metadata files as one table: a row for each key, in the columns that the images table has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from pinakes.errors import UsageError
from pinakes.metadata.cleaning import tutorial_subset
from pinakes.metadata.column_map import ColumnMap
from pinakes.metadata.layout import Layout, find_layout
from pinakes.metadata.opening_tables import AnyTable, open_table
from pinakes.metadata.report import FileReport, MetadataReport, Step
from pinakes.metadata.rows import Rows
from pinakes.metadata.semart import SEMART_COLUMNS, is_semart, split_of

FORM = 1
"""Raised whenever the same rows are stored in another form, so that the next run with metadata writes all images again."""

Cleaning = Literal["lossless", "tutorial"]


@dataclass(frozen=True, slots=True, eq=False)
class Metadata:
    """The metadata of the pictures, by key.

    Attributes:
        frame: one row for each key: `key` (NFC), `columns.COLUMNS`, and `rows.MORE`: `extra` (a dict of text), `several` (a
            dict of lists of text) and `dated` (first and last year). All columns have dtype object; what is missing is
            None, never NaN or "".
        report: what was read, left out and corrected.
        match: the regular expression that finds the key in an image_id, as the user or a profile says; None: names.
        moved: columns of the files that became one of `COLUMNS` under another name, with that one.
    """

    frame: pd.DataFrame
    report: MetadataReport
    match: str | None = None
    moved: Mapping[str, str] = field(default_factory=dict)

    def digest(self, match: str | None = None) -> bytes:
        """A hash of these rows, their form, and how they are related to image_ids.

        Args:
            match: what the run says instead of `match`.
        """
        digest = hashlib.blake2b(repr((FORM, match or self.match)).encode(), digest_size=16)
        for row in self.frame.itertuples(index=False, name=None):
            # repr and not a hash of Python's, which is another one in each process.
            digest.update(repr(row).encode("utf-8", "surrogatepass"))
        return digest.digest()


def read_metadata(
    paths: Sequence[str | Path | AnyTable],
    *,
    columns: ColumnMap | None = None,
    profile: str | None = None,
    cleaning: Cleaning = "lossless",
) -> Metadata:
    """Read tables (CSV or TSV, gzip or not, Excel, or BigQuery) with a column that names the images into one table.

    Text is only trimmed at its ends; damaged names of SemArt are corrected (the original goes to
    `extra["author_as_written"]`), TECHNIQUE is split into medium and size where the file has no such columns, and
    SemArt's split goes to `extra["split"]`. Identical rows of one key count once; of a key whose rows differ, none is
    used. With `cleaning="tutorial"` only the Azure tutorial's subset of SemArt is kept: see `cleaning.tutorial_subset`;
    technique and medium are then the cut text, and size is None.

    Args:
        paths: files, `bigquery://` addresses, or tables that are open already, concatenated in this order.
        columns: what their columns mean, as far as the user says it.
        profile: the name or path of a profile that says the rest; None takes the one that a header is recognised by.
        cleaning: `lossless` or `tutorial`.

    Raises:
        UsageError: no file, an unknown cleaning, or a key other than IMAGE_FILE for the tutorial's subset.
        MetadataError: a file cannot be read, has no usable key, or has a bad row; the message names file and line.
    """
    if not paths:
        raise UsageError("no metadata file was given; name at least one table (CSV, TSV or Excel).")
    if cleaning not in ("lossless", "tutorial"):
        raise UsageError(f"the cleaning {cleaning!r} is unknown; it is lossless or tutorial.")
    tables = [open_table(path) if isinstance(path, str | Path) else path for path in paths]
    said = columns or ColumnMap()
    return _read_lossless(tables, said, profile) if cleaning == "lossless" else _read_tutorial(tables, said)


def _read_lossless(tables: Sequence[AnyTable], said: ColumnMap, profile: str | None) -> Metadata:
    rows = Rows()
    files = []
    layouts = []
    for table in tables:
        layout = find_layout(table.path, table.columns, said, profile)
        layouts.append(layout)
        # Other tables may well be called train.csv without being a part of SemArt.
        split = split_of(Path(table.path)) if is_semart(table.columns) else None
        before = rows.count
        for line, cells in table.rows():
            rows.add(layout, cells, f"{table.path}, line {line}", split)
        files.append(_file_report(table, layout, rows.count - before))
    # One expression for the join with the listing, although each table may have a profile of its own.
    match = next((layout.match for layout in layouts if layout.match), None)
    moved = {column: own for layout in layouts for column, own in layout.moved}
    return Metadata(rows.frame(), _report(rows, files), match, moved)


def _read_tutorial(tables: Sequence[AnyTable], said: ColumnMap) -> Metadata:
    if said.key is not None and said.key.strip().upper() != "IMAGE_FILE":
        raise UsageError(f"the tutorial's cleaning has IMAGE_FILE as its key, not {said.key}; leave out --key.")
    subset = tutorial_subset(tables)
    layout = find_layout(tables[0].path, SEMART_COLUMNS, ColumnMap(key=said.key, match=said.match))
    files = [_file_report(table, layout, read) for table, read in zip(tables, subset.read, strict=True)]
    rows = Rows()
    for row in subset.frame.itertuples(index=False):
        *cells, split, written = (None if pd.isna(cell) else str(cell) for cell in row)
        rows.add_cleaned(layout, [cell or "" for cell in cells], "the tutorial's subset", split, written)
    return Metadata(rows.frame(), _report(rows, files, subset.steps, subset.distinct), layout.match)


def _file_report(table: AnyTable, layout: Layout, rows: int) -> FileReport:
    semart = is_semart(table.columns)
    return FileReport(table.path, rows, table.form, layout.key_name, semart, layout.note)


def _report(
    rows: Rows, files: list[FileReport], steps: tuple[Step, ...] = (), distinct: dict[str, int] | None = None
) -> MetadataReport:
    return MetadataReport(
        files=tuple(files),
        rows=rows.count,
        used=rows.used,
        duplicates=rows.duplicates.total(),
        conflicting=rows.conflicting,
        without_key=rows.without_key,
        without_key_at=rows.without_key_at,
        corrected=dict(rows.corrected),
        steps=steps,
        distinct=distinct or {},
    )
