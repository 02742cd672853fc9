"""The merged dataset: one row for each image, with its metadata and its vector.

It comes from checkpoints and metadata files; no database is needed. Vectors pass through the join part by part, so that the
memory does not grow with the collection.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pinakes.checkpoints.checkpoint import Checkpoint, open_checkpoint
from pinakes.checkpoints.lasting_list import tombstone_file
from pinakes.errors import CheckpointError, UsageError
from pinakes.files import whole_file
from pinakes.metadata.column_map import ColumnMap
from pinakes.metadata.columns import COLUMNS
from pinakes.metadata.excel import write_excel
from pinakes.metadata.join import Join, merge_vectors
from pinakes.metadata.opening_tables import AnyTable
from pinakes.metadata.table import Cleaning, read_metadata
from pinakes.sources.iiif.source import open_iiif
from pinakes.sources.kinds import IIIF
from pinakes.spaces import Space
from pinakes.tombstones import Tombstones
from pinakes.types import Vector

SUFFIXES = (".csv", ".parquet", ".xlsx")

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""The first characters of a text that spreadsheets may run as a formula."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The number of rows written, and remarks."""

    rows: int
    notes: list[str]


def export(
    file: Path,
    *,
    collection: str,
    space: Space,
    checkpoint: str,
    metadata: Sequence[str | Path | AnyTable] = (),
    columns: ColumnMap | None = None,
    profile: str | None = None,
    cleaning: Cleaning = "lossless",
    excel_safe: bool = False,
) -> Exported:
    """Write the dataset to `file`, whole or not at all.

    Columns: image_id, fingerprint, then (with metadata) `COLUMNS` and extra as JSON, then vector: float32 as the provider
    gave it, a list in Parquet and a JSON list in CSV. Excel, for people, gets a column for each of extra, and no vector. If
    the bytes of an image have changed, its newest answer counts.
    With `excel_safe` a text in a CSV that a spreadsheet would run as a formula begins with an apostrophe.

    Raises:
        UsageError: the file's name ends in none of `SUFFIXES`, `excel_safe` is set for another format than CSV, or openpyxl
            is not installed for Excel.
        CheckpointError: the checkpoint holds no readable vector of this space.
        PinakesError: the file cannot be written.
    """
    if file.suffix not in SUFFIXES:
        raise UsageError(f"the export {str(file)!r} must end in .csv, .parquet or .xlsx, which says what is written.")
    if excel_safe and file.suffix != ".csv":
        raise UsageError(f"--excel-safe is about CSV; in {file.suffix}, as in {str(file)!r}, no text is a formula.")
    kept, newest = kept_vectors(checkpoint, collection, space)
    read = read_metadata(list(metadata), columns=columns, profile=profile, cleaning=cleaning) if metadata else None
    join = Join(read, list(newest))
    notes = [] if read is None else [*read.report.lines(), *join.report.lines()]
    rows = 0
    with _written(file, excel_safe=excel_safe) as write:
        for chunk in kept.vectors(lambda image_id, fingerprint: newest.get(image_id) == fingerprint):
            images = pd.DataFrame({"image_id": chunk.image_ids, "fingerprint": chunk.fingerprints})
            vectors = images.assign(vector=list(chunk.vectors))
            write(merge_vectors(join.rows(images), vectors))
            rows += len(images)
        # Damage to a vector is found only now. An error here leaves an earlier export in its place, not an empty file.
        if not rows:
            raise CheckpointError(
                f"nothing was exported: all vectors in the checkpoint {kept.location} are damaged and lost; pinakes status"
                " says what can be done."
            )
    return Exported(rows, notes + kept.problems)


def with_iiif(names: Sequence[str], home: Path) -> list[str | AnyTable]:
    """The names, with each address of a IIIF document replaced by the table of its items; see `kinds.open_source`."""
    return [open_iiif(name, home=home).table if IIIF.match(name) else name for name in names]


def kept_vectors(checkpoint: str, collection: str, space: Space) -> tuple[Checkpoint, dict[str, str]]:
    """The checkpoint, and image_id → fingerprint of the vectors to export.

    Raises:
        CheckpointError: it holds no vector of this space.
    """
    kept = open_checkpoint(checkpoint, collection, space)
    # A take-down that was interrupted leaves answers behind, and an export is passed on to others.
    tombstones = Tombstones(tombstone_file(checkpoint, collection).read())
    ledger = kept.ledger()
    newest = {
        image_id: fingerprint
        for image_id, fingerprint in ledger.pairs(ledger.newest_vectors())
        if not tombstones.cover(image_id, fingerprint)
    }
    if not newest:
        raise CheckpointError(
            f"there is nothing to export: the checkpoint {kept.location} holds no vector; name the collection, the"
            " embedder and the dimension that it was made with, or run pinakes ingest."
        )
    return kept, newest


def shortest(vector: Vector) -> list[float]:
    """The numbers with the fewest digits that are the same in single precision, which is how providers write them."""
    # str() of a float32 gives these digits; float() alone would give those of its exact value, such as 0.10000000149.
    return [float(str(number)) for number in vector]


@contextmanager
def _written(file: Path, *, excel_safe: bool) -> Iterator[Callable[[pd.DataFrame], None]]:
    """A function that appends frames to `file`; the file appears when the block ends without an error."""
    with whole_file(file, "the export") as sink:
        if file.suffix == ".csv":
            yield _csv_writer(sink, excel_safe=excel_safe)
        elif file.suffix == ".xlsx":
            # Its columns are known only when all of `extra` has been seen. Metadata without vectors fits into memory.
            frames: list[pd.DataFrame] = []
            yield lambda frame: frames.append(frame.drop(columns="vector"))
            write_excel(sink, _for_people(pd.concat(frames)))
        else:
            with _parquet_writer(sink) as write:
                yield write


def _csv_writer(sink: Any, *, excel_safe: bool) -> Callable[[pd.DataFrame], None]:
    def write(frame: pd.DataFrame) -> None:
        frame = _flat(frame)
        if excel_safe:
            for name in frame.columns.drop("vector"):
                frame[name] = [not_a_formula(value) for value in frame[name]]
        frame["vector"] = [json.dumps(shortest(vector)) for vector in frame["vector"]]
        rows = _QuotedRows()
        frame.to_csv(rows, index=False, header=sink.tell() == 0, lineterminator=_QuotedRows.END)
        sink.write(rows.getvalue().encode("utf-8"))

    return write


class _QuotedRows(io.StringIO):
    r"""Rows that end in `\n`, in which a cell with a `\r` is quoted.

    The writer quotes a cell that holds a character of its line terminator, and a reader takes a bare `\r` for the row's end.
    """

    END = "\r\n"

    def write(self, row: str, /) -> int:
        """Take one row, which is what the writer gives at a time."""
        return super().write(f"{row.removesuffix(self.END)}\n")


def not_a_formula(value: Any) -> Any:
    """`value`, with an apostrophe before a text that a spreadsheet might run as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _for_people(frame: pd.DataFrame) -> Iterator[list[Any]]:
    """A header and the rows, with a column for each of extra instead of their JSON; empty columns are left out."""
    named = [name for name in ("image_id", "fingerprint", *COLUMNS) if name in frame and frame[name].notna().any()]
    extras = [extra or {} for extra in frame["extra"]] if "extra" in frame else [{}] * len(frame)
    more = list(dict.fromkeys(name for extra in extras for name in extra))
    yield [*named, *more]
    for row, extra in zip(frame[named].to_numpy(dtype=object), extras, strict=True):
        yield [*row, *(extra.get(name) for name in more)]


@contextmanager
def _parquet_writer(sink: Any) -> Iterator[Callable[[pd.DataFrame], None]]:
    writer: pq.ParquetWriter | None = None

    def write(frame: pd.DataFrame) -> None:
        nonlocal writer
        frame = _flat(frame)
        table = pa.Table.from_pandas(frame, schema=_schema(frame), preserve_index=False)
        # A dictionary of vectors would take three quarters of the time, and no two of them are equal.
        texts = [name for name in table.column_names if name != "vector"]
        writer = writer or pq.ParquetWriter(sink, table.schema, use_dictionary=texts)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


def _schema(frame: pd.DataFrame) -> pa.Schema:
    # Declared, not inferred: in a chunk without any value pyarrow would take a column of text for one of nulls.
    fields = [(name, pa.string()) for name in frame.columns if name != "vector"]
    return pa.schema([*fields, ("vector", pa.list_(pa.float32(), len(frame["vector"].iloc[0])))])


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with `extra` as JSON text, in a fixed order of columns."""
    frame = frame[[name for name in ("image_id", "fingerprint", *COLUMNS, "extra", "vector") if name in frame]].copy()
    if "extra" in frame:
        frame["extra"] = [json.dumps(extra, ensure_ascii=False) if extra else None for extra in frame["extra"]]
    return frame
