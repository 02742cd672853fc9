"""Which of several answers for one (image_id, fingerprint) counts: ok beats failed, then the newest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pinakes.checkpoints.base import OK, ROW_SCHEMA
from pinakes.checkpoints.textindex import pair_keys

LEDGER_SCHEMA = pa.schema(
    [field.with_type(pa.large_string()) if field.type == pa.string() else field for field in ROW_SCHEMA]
    + [pa.field("part", pa.int32(), nullable=False), pa.field("row", pa.int32(), nullable=False)]
)
"""`ROW_SCHEMA`, with text that may exceed 2 GB a column, and each row's place: the number of its part, and its row there."""


def located(rows: pa.Table, part: int) -> pa.Table:
    """Rows of `ROW_SCHEMA` from the part of this number, as `LEDGER_SCHEMA`."""
    number = pa.array(np.full(rows.num_rows, part, np.int32))
    row = pa.array(np.arange(rows.num_rows, dtype=np.int32))
    return rows.append_column("part", number).append_column("row", row).cast(LEDGER_SCHEMA)


def one_batch(tables: Sequence[pa.Table]) -> pa.RecordBatch:
    """Tables of `LEDGER_SCHEMA` as one batch."""
    table = pa.concat_tables(tables).combine_chunks() if tables else LEDGER_SCHEMA.empty_table()
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=LEDGER_SCHEMA)


def latest_answers(rows: pa.RecordBatch, parts: Sequence[str]) -> pa.RecordBatch:
    """The rows that count, in their order, each with the largest `attempts` of its (image_id, fingerprint).

    Args:
        rows: `LEDGER_SCHEMA`.
        parts: the parts' names by number. Of two answers of one microsecond the one in the part whose name sorts last
            counts, so that every reader decides alike.
    """
    if not rows.num_rows:
        return rows
    keys = pair_keys(rows.column("image_id"), rows.column("fingerprint")).dictionary_encode()
    if len(keys.dictionary) == rows.num_rows:  # the usual case: nothing was answered twice
        return rows
    pair = numbers(keys.indices)
    del keys
    rank = np.empty(len(parts), np.int64)
    rank[sorted(range(len(parts)), key=parts.__getitem__)] = np.arange(len(parts))
    # Grouped by pair, the last key; within each the answer that counts comes last.
    order = np.lexsort(
        (
            numbers(rows.column("row")),
            rank[numbers(rows.column("part"))],
            numbers(rows.column("embedded_at")),
            is_ok(rows),
            pair,
        )
    )
    starts = np.append(0, 1 + np.flatnonzero(np.diff(pair[order])))
    lasts = np.append(starts[1:], rows.num_rows) - 1
    positions = order[lasts]
    attempts = np.maximum.reduceat(numbers(rows.column("attempts"))[order], starts)
    # Back in the order of part and row, by which vectors are read.
    by_position = np.argsort(positions)
    kept = rows.take(pa.array(positions[by_position]))
    columns = [
        pa.array(attempts[by_position], field.type) if field.name == "attempts" else kept.column(field.name)
        for field in LEDGER_SCHEMA
    ]
    return pa.RecordBatch.from_arrays(columns, schema=LEDGER_SCHEMA)


def is_ok(rows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Which rows have a vector: shape (n,)."""
    mask: npt.NDArray[np.bool_] = pc.equal(rows.column("status"), OK).to_numpy(zero_copy_only=False)
    return mask


def numbers(column: pa.Array) -> npt.NDArray[np.int64]:
    """A column of integers or moments (microseconds) without nulls: shape (n,)."""
    values: npt.NDArray[np.int64] = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return values
