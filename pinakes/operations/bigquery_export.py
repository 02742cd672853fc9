"""The merged dataset as a table of BigQuery, with the statements that search it there."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pinakes.bigquery.address import parse_bigquery_address
from pinakes.bigquery.merged_table import (
    LEAST_FOR_AN_INDEX,
    Merged,
    MergedTable,
    index_statement,
    search_statement,
)
from pinakes.metadata.columns import COLUMNS
from pinakes.operations.export import Exported, export
from pinakes.spaces import Space


@dataclass(frozen=True, slots=True)
class ExportedTable:
    """What an export to BigQuery has done.

    Attributes:
        exported: the rows of the dataset, and remarks.
        merged: the rows of the table that were changed.
        statements: SQL for the next steps: a vector index, if BigQuery builds one for so many rows, and a search.
    """

    exported: Exported
    merged: Merged
    statements: str


def export_to_bigquery(address: str, *, collection: str, space: Space, **more: Any) -> ExportedTable:
    """Make a table of BigQuery equal to the dataset; a row that is the same there is not written.

    Its columns: image_id, fingerprint, `COLUMNS`, extra as JSON text, and embedding (FLOAT64, as the provider gave it).

    Args:
        address: `bigquery://project/dataset/table`; the dataset must exist.
        collection: the collection.
        space: the embedding space.
        **more: the other arguments of `export`.

    Raises:
        UsageError: the address names no table, or one that does not hold this collection and space.
        CheckpointError: the checkpoint holds no vector of this space.
        PinakesError: BigQuery refuses.
    """
    named = parse_bigquery_address(address)
    # The table carries them, so that another collection or space is never merged into it by mistake.
    labels = {"pinakes_collection": collection, "pinakes_space": space.name}
    table = MergedTable(named, (*COLUMNS, "extra"), labels)
    with tempfile.TemporaryDirectory(prefix="pinakes-export-") as folder:
        file = Path(folder) / "dataset.parquet"
        # The whole dataset is written before BigQuery is called: an export that fails leaves no empty table there.
        exported = export(file, collection=collection, space=space, **more)
        table.open()
        columns = [name for name in pq.read_schema(file).names if name != "vector"]
        with file.open("rb") as sink:
            merged = table.merge(sink, file.stat().st_size, columns)
        first = next(pq.ParquetFile(file).iter_batches(batch_size=1, columns=["image_id"]))
    index = (
        index_statement(named)
        if exported.rows >= LEAST_FOR_AN_INDEX
        else f"-- BigQuery builds no vector index below {LEAST_FOR_AN_INDEX:,} rows; VECTOR_SEARCH compares all of them."
    )
    search = search_statement(named, first.column(0)[0].as_py())
    return ExportedTable(exported, merged, f"{index}\n\n{search}")
