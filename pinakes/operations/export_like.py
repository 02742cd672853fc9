"""Exports in the form of the tutorials' own files, for the statements and programs that read those."""

from __future__ import annotations

import csv
import io
import tempfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pandas as pd

from pinakes.checkpoints.base import Vectors
from pinakes.checkpoints.checkpoint import Checkpoint
from pinakes.errors import CheckpointError, UsageError
from pinakes.files import whole_file
from pinakes.metadata.cleaning import DISTINCT_COLUMNS, read_as_pandas, tutorial_subset
from pinakes.metadata.column_map import ColumnMap
from pinakes.metadata.join import Join
from pinakes.metadata.opening_tables import AnyTable, open_table
from pinakes.metadata.records import Table
from pinakes.metadata.table import Cleaning, read_metadata
from pinakes.operations.export import Exported, kept_vectors, shortest
from pinakes.spaces import Space

Form = Literal["tutorial", "vertex"]

ROWS_AT_ONCE = 500
"""Rows whose vectors are converted to text at once: about 10 MB."""


def export_like(
    form: Form,
    file: Path,
    *,
    collection: str,
    space: Space,
    checkpoint: str,
    metadata: Sequence[str | Path | AnyTable] = (),
    columns: ColumnMap | None = None,
    profile: str | None = None,
    cleaning: Cleaning = "lossless",
) -> Exported:
    """Write a file as a tutorial's own program writes it, whole or not at all. Memory does not grow with the collection.

    Its bytes are those of the tutorial's file. Checkpoints keep single precision, so a number that the provider sent with
    more digits than single precision has is written with fewer.

    `tutorial`, the Azure tutorial's `dataset_embeddings.csv`: tab-separated, UTF-8; the columns and the rows of the
    metadata in their own order, without rows that have no picture, and `vector` as a JSON list. With `cleaning="tutorial"`
    the metadata is SemArt's files, and the columns are those of the tutorial's table.

    `vertex`, the Vertex AI tutorial's `embeddings.csv`: no header, the name and then each number, by image_id, lines that
    end in CRLF as Python's `csv` writes them. Metadata is left out.

    Raises:
        UsageError: the file does not end in .csv, the metadata is missing or not text, its files differ in their columns, or
            several pictures share a row.
        MetadataError: the metadata cannot be read.
        CheckpointError: the checkpoint holds no vector of this space, or some of its vectors are damaged.
        PinakesError: the file cannot be written.
    """
    if file.suffix != ".csv":
        raise UsageError(f"--like {form} writes CSV, and {str(file)!r} does not end in .csv.")
    if form == "tutorial" and not metadata:
        raise UsageError("--like tutorial merges a dataset with its vectors; name the dataset with --metadata FILE.")
    kept, newest = kept_vectors(checkpoint, collection, space)
    notes: list[str] = []
    if form == "vertex":
        dataset, places = None, {image_id: place for place, image_id in enumerate(sorted(newest))}
    else:
        read = read_metadata(list(metadata), columns=columns, profile=profile, cleaning=cleaning)
        join = Join(read, list(newest))
        notes = [*read.report.lines(), *join.report.lines()]
        dataset, places = _merged(*_dataset(metadata, cleaning, str(read.report.files[0].key)), join.keys())
    # Vectors come in the checkpoint's order and are written in the metadata's: a file on disk, not memory, sorts them.
    with tempfile.TemporaryFile() as scratch, whole_file(file, "the export") as sink:
        vectors = _in_order(kept, newest, places, space.dimension, scratch)
        for first in range(0, len(places) or 1, ROWS_AT_ONCE):  # once even without rows, for the header
            part = [shortest(vector) for vector in vectors[first : first + ROWS_AT_ONCE]]
            text = io.StringIO(newline="")
            if dataset is None:
                names = list(places)[first : first + ROWS_AT_ONCE]
                csv.writer(text).writerows([name, *numbers] for name, numbers in zip(names, part, strict=True))
            else:
                rows = dataset.iloc[first : first + ROWS_AT_ONCE].assign(vector=list(map(str, part)))
                rows.to_csv(text, index=False, sep="\t", header=not first, lineterminator="\n")
            sink.write(text.getvalue().encode("utf-8"))
    return Exported(len(places), notes + kept.problems)


def _dataset(metadata: Sequence[str | Path | AnyTable], cleaning: Cleaning, key: str) -> tuple[pd.DataFrame, int]:
    """The metadata as the tutorial reads it, every column as text, under its own name; and the position of the key."""
    tables = [open_table(table) if isinstance(table, str | Path) else table for table in metadata]
    if cleaning == "tutorial":
        subset = tutorial_subset(tables).frame[list(DISTINCT_COLUMNS)].rename(columns=str.lower)
        # The tutorial saves its subset and reads it again, which turns words such as NA into missing values once more.
        saved = io.StringIO(subset.to_csv(index=False, sep="\t"))
        return pd.read_csv(saved, sep="\t", dtype="string"), DISTINCT_COLUMNS.index("IMAGE_FILE")
    frames = []
    for table in tables:
        if not isinstance(table, Table):
            raise UsageError(f"--like tutorial takes CSV or TSV, and {table.path} is neither; save it as text.")
        frames.append(read_as_pandas(table))
        if list(frames[-1].columns) != list(frames[0].columns):
            raise UsageError(
                f"--like tutorial keeps the dataset's own columns, and those of {table.path} are not those of"
                f" {tables[0].path}; give files with the same columns."
            )
    # The position and not the name: pandas calls a column without a name otherwise.
    return pd.concat(frames, ignore_index=True), tables[0].columns.index(key)


def _merged(dataset: pd.DataFrame, at: int, keys: dict[str, str]) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows that have a picture, in their order, and image_id → the number of its row; `at` is the key's column."""
    column = dataset.iloc[:, at]
    written = column.map(lambda text: unicodedata.normalize("NFC", str(text).strip()), na_action="ignore")
    image_of = {key: image_id for image_id, key in keys.items()}
    if len(image_of) != len(keys):
        shared = next(key for image_id, key in keys.items() if image_of[key] != image_id)
        raise UsageError(
            f"--like tutorial has one row for each picture, and several share the row of {shared!r}; leave out --match."
        )
    dataset = dataset[written.isin(image_of) & ~written.duplicated()]
    return dataset, {image_of[key]: place for place, key in enumerate(written[dataset.index])}


def _in_order(
    kept: Checkpoint, newest: dict[str, str], places: dict[str, int], dimension: int, scratch: IO[bytes]
) -> Vectors:
    """The vectors of the pictures in `places`, each at its place: shape (places, dimension), kept in a file."""
    if not places:  # an empty file cannot be mapped
        return np.zeros((0, dimension), dtype=np.float32)
    ordered = np.memmap(scratch, dtype=np.float32, mode="w+", shape=(len(places), dimension))
    read = 0
    for chunk in kept.vectors(lambda image_id, fingerprint: image_id in places and newest[image_id] == fingerprint):
        ordered[[places[image_id] for image_id in chunk.image_ids]] = chunk.vectors
        read += len(chunk.image_ids)
    if read < len(places):  # their places still hold zeros, which nobody could tell from a vector
        raise CheckpointError(
            f"{len(places) - read:,} of {len(places):,} vectors in the checkpoint {kept.location} are damaged and lost, and"
            " nothing was exported: export again to leave their pictures out; pinakes status says what else can be done."
        )
    return ordered
