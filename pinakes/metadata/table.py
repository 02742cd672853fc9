"""Metadata files as one table: a row for each key, in the columns that the images table has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from pinakes.errors import UsageError
from pinakes.metadata.cleaning import tutorial_subset
from pinakes.metadata.columns import Layout, find_layout
from pinakes.metadata.records import SEPARATORS, Table, open_table
from pinakes.metadata.report import FileReport, MetadataReport, Step
from pinakes.metadata.rows import Rows
from pinakes.metadata.semart import SEMART_COLUMNS, is_semart, split_of

Cleaning = Literal["lossless", "tutorial"]


@dataclass(frozen=True, slots=True, eq=False)
class Metadata:
    """The metadata of the pictures, by key.

    Attributes:
        frame: one row for each key: `key` (NFC), then `columns.COLUMNS`, then `extra` (a dict of text, or None). All columns
            have dtype object; what is missing is None, never NaN or "".
        report: what was read, left out and corrected.
    """

    frame: pd.DataFrame
    report: MetadataReport


def read_metadata(paths: Sequence[Path], *, key: str | None = None, cleaning: Cleaning = "lossless") -> Metadata:
    """Read SemArt's files, or any CSV or TSV (gzip or not) with a column that names the images, into one table.

    Text is only trimmed at its ends; damaged names of SemArt are corrected (the original goes to
    `extra["author_as_written"]`), TECHNIQUE is split into medium and size where the file has no such columns, and
    SemArt's split goes to `extra["split"]`. Identical rows of one key count once; of a key whose rows differ, none is
    used. With `cleaning="tutorial"` only the Azure tutorial's subset of SemArt is kept: see `cleaning.tutorial_subset`;
    technique and medium are then the cut text, and size is None.

    Args:
        paths: the files, concatenated in this order.
        key: the column that names the images, in any case of letters; None takes the first of `columns.DEFAULT_KEYS`.
        cleaning: `lossless` or `tutorial`.

    Raises:
        UsageError: no file, an unknown cleaning, or a key other than IMAGE_FILE for the tutorial's subset.
        MetadataError: a file cannot be read, has no usable key, or has a bad row; the message names file and line.
    """
    if not paths:
        raise UsageError("no metadata file was given; name at least one CSV or TSV file.")
    if cleaning not in ("lossless", "tutorial"):
        raise UsageError(f"the cleaning {cleaning!r} is unknown; it is lossless or tutorial.")
    tables = [open_table(Path(path)) for path in paths]
    return _read_lossless(tables, key) if cleaning == "lossless" else _read_tutorial(tables, key)


def _read_lossless(tables: Sequence[Table], key: str | None) -> Metadata:
    rows = Rows()
    files = []
    for table in tables:
        layout = find_layout(table.path, table.columns, key)
        split = split_of(table.path) if is_semart(table.columns) else None
        before = rows.count
        for line, cells in table.rows():
            rows.add(layout, cells, f"{table.path}, line {line}", split)
        files.append(_file_report(table, layout, rows.count - before))
    return _metadata(rows, files)


def _read_tutorial(tables: Sequence[Table], key: str | None) -> Metadata:
    if key is not None and key.strip().upper() != "IMAGE_FILE":
        raise UsageError(f"the tutorial's cleaning has IMAGE_FILE as its key, not {key}; leave out --key.")
    subset = tutorial_subset(tables)
    layout = find_layout(tables[0].path, SEMART_COLUMNS, key)
    files = [_file_report(table, layout, read) for table, read in zip(tables, subset.read, strict=True)]
    rows = Rows()
    for row in subset.frame.itertuples(index=False):
        *cells, split, written = (None if pd.isna(cell) else str(cell) for cell in row)
        rows.add_cleaned(layout, [cell or "" for cell in cells], "the tutorial's subset", split, written)
    return _metadata(rows, files, subset.steps, subset.distinct)


def _file_report(table: Table, layout: Layout, rows: int) -> FileReport:
    separator = SEPARATORS[table.separator]
    return FileReport(table.path, rows, table.encoding, separator, layout.key_name, is_semart(table.columns))


def _metadata(
    rows: Rows, files: list[FileReport], steps: tuple[Step, ...] = (), distinct: dict[str, int] | None = None
) -> Metadata:
    frame = rows.frame()
    report = MetadataReport(
        files=tuple(files),
        rows=rows.count,
        used=len(frame),
        duplicates=rows.duplicates.total(),
        conflicting=rows.conflicting,
        without_key=rows.without_key,
        without_key_at=rows.without_key_at,
        corrected=dict(rows.corrected),
        steps=steps,
        distinct=distinct or {},
    )
    return Metadata(frame, report)
