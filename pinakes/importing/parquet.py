"""Embeddings in Parquet: a part of a checkpoint, an export, or a table of another program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pinakes.errors import MetadataError
from pinakes.importing.records import BadRowError, Records

BATCH_ROWS = 256
"""Rows that are read at once: with 3,072 float64 each, some 6 MB."""


class Parquet(Records):
    """A Parquet file.

    Raises:
        MetadataError: it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.name, self.path = path.name, path
        try:
            schema = pq.read_schema(path)
        except (OSError, pa.ArrowException) as exc:
            raise MetadataError(f"{path.name} is damaged Parquet ({exc}); copy it again.") from exc
        self.columns = tuple(schema.names)
        self.vectors = tuple(field.name for field in schema if _is_vector(field.type))

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[str, Sequence[Any] | BadRowError]]:
        """See `Records.records`."""
        row = 0
        try:
            # A buffer instead of `pre_buffer`, and no threads: either would read a whole row group, which other programs
            # make as large as the file.
            with pq.ParquetFile(self.path, buffer_size=2**20, pre_buffer=False) as file:
                columns = list(dict.fromkeys(wanted))
                for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns, use_threads=False):
                    for values in zip(*(_values(batch.column(name)) for name in wanted), strict=True):
                        row += 1
                        yield f"row {row}", values
        except (OSError, pa.ArrowException) as exc:
            raise MetadataError(f"{self.name} is damaged after row {row} ({exc}); copy it again.") from exc


def _values(column: pa.Array) -> Iterator[Any]:
    """The values of a column; lists of numbers as arrays, without a Python object for each number."""
    if not _is_vector(column.type):
        try:
            return iter(column.to_pylist())
        except (OverflowError, ValueError):  # a date that Python has no form for, such as one before the year 1
            return (_value(value) for value in column)
    return (value.values.to_numpy(zero_copy_only=False) if value.is_valid else None for value in column)


def _value(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except (OverflowError, ValueError):
        return None


def _is_vector(kind: pa.DataType) -> bool:
    lists = (pa.types.is_fixed_size_list, pa.types.is_list, pa.types.is_large_list)
    return any(is_one(kind) for is_one in lists) and pa.types.is_floating(kind.value_type)
