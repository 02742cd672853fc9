"""Parts as CSV: for people who want to look at them; three times the size of Parquet and several times slower.

All text is quoted, so that names may hold quotes, commas and line breaks; an empty field without quotes is null. A
vector is a JSON list of the shortest decimals that give the same float32 back (a component that is not finite, which no
embedder should hand over, is written as nan or inf).
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from pinakes.checkpoints.base import (
    FAILED,
    OK,
    ROW_SCHEMA,
    VECTOR,
    ForeignPartError,
    Rows,
    Salvaged,
    Vectors,
    check_answer,
    part_schema,
    table_of,
)
from pinakes.errors import CheckpointError
from pinakes.spaces import Space
from pinakes.types import Answer, ErrorClass, Failure

BLOCK_BYTES = 2**20
"""Read at a time, some thirty of them ahead. A row must fit in one: a vector of 3,072 components has some 40 kB."""

DECODE_ROWS = 512
"""Vectors turned from floats into text and back at a time: it takes some 30 bytes a component meanwhile."""

_TEXT = pa.string()
_MOMENT = ROW_SCHEMA.field("embedded_at").type


class CsvFormat:
    """CSV parts of one space, read by their header; columns that are not ours are passed over."""

    suffix = ".csv"

    def __init__(self, space: Space) -> None:
        self._space = space
        self._names = part_schema(space.dimension).names

    def write(self, sink: IO[bytes], tables: Iterable[pa.Table]) -> None:
        """See `Format.write`."""
        schema = pa.schema([(name, _TEXT) for name in self._names])
        options = pacsv.WriteOptions(quoting_style="all_valid")
        with pacsv.CSVWriter(sink, schema, write_options=options) as writer:
            for table in tables:
                for start in range(0, table.num_rows, DECODE_ROWS):
                    piece = table.slice(start, DECODE_ROWS).combine_chunks()
                    writer.write_table(pa.table([_as_text(column) for column in piece.columns], schema=schema))

    def read_rows(self, source: pa.NativeFile) -> pa.Table:
        """See `Format.read_rows`; of the vectors only the length of the first one in each block is checked."""
        pieces = []
        for batch in _blocks(source, self._names):
            lists = batch.column(VECTOR).filter(pc.equal(batch.column("status"), OK))
            if len(lists) and (lists[0].as_py() or "").count(",") != self._space.dimension - 1:
                raise ForeignPartError(f"its vectors do not have {self._space.dimension} components")
            columns = [pc.cast(batch.column(field.name), field.type) for field in ROW_SCHEMA]
            pieces.append(pa.table(columns, schema=ROW_SCHEMA))
        return pa.concat_tables(pieces) if pieces else ROW_SCHEMA.empty_table()

    def read_vectors(self, source: pa.NativeFile, rows: Rows) -> Iterator[tuple[Rows, Vectors]]:
        """See `Format.read_vectors`; the text is read up to the last wanted row, only wanted vectors are decoded."""
        start = 0
        for batch in _blocks(source, [VECTOR]):
            low, high = np.searchsorted(rows, (start, start + batch.num_rows))
            for first in range(low, high, DECODE_ROWS):
                wanted = rows[first : min(first + DECODE_ROWS, high)]
                yield wanted, self._floats(batch.column(0).take(pa.array(wanted - start)))
            start += batch.num_rows
            if high == len(rows):
                return

    def salvage(self, source: pa.NativeFile) -> Salvaged:
        """See `Format.salvage`: row by row, each of which is checked by itself."""
        text = source.read().decode("utf-8", "surrogateescape")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            complete = set(self._names) <= set(reader.fieldnames or ())
        except csv.Error as exc:
            raise ForeignPartError(f"its header is damaged: {exc}") from exc
        if not complete:
            raise ForeignPartError("its columns are not those of a part")
        answers, rows = [], 0
        while True:
            with contextlib.suppress(ValueError, TypeError, csv.Error, CheckpointError):  # counted, and in no list
                rows += 1
                row = next(reader, None)
                if row is None:
                    break
                answers.append(self._answer(row))
        # The last round counted the end of the file.
        return Salvaged([table_of(answers, self._space)] if answers else [], [], rows - 1)

    def _answer(self, row: Mapping[str, str]) -> Answer:
        failure = vector = None
        if row["status"] == OK:
            vector = np.array(json.loads(row[VECTOR]), dtype=np.float32)
        elif row["status"] == FAILED:
            status = int(row["http_status"]) if row["http_status"] else None
            failure = Failure(ErrorClass(row["error_class"]), row["error_message"], status)
        moment = datetime.fromisoformat(row["embedded_at"])
        # A row's last character is the zone, which a row that was cut lacks. Surplus fields are under None.
        if moment.tzinfo is None or any(name is None for name in row):
            raise ValueError("a field is cut, or two have become one")
        attempts = int(row["attempts"])
        answer = Answer(row["image_id"], row["fingerprint"], vector, failure, attempts, row["model_version"], moment)
        check_answer(answer, self._space)
        return answer

    def _floats(self, text: pa.StringArray) -> Vectors:
        text = pc.utf8_trim_whitespace(text)
        bracketed = pc.and_(pc.starts_with(text, "["), pc.ends_with(text, "]"))
        if not pc.all(pc.fill_null(bracketed, False)).as_py():
            raise ForeignPartError("a vector is not a JSON list")
        lists = pc.split_pattern(pc.utf8_slice_codeunits(text, 1, -1), ",")
        if not pc.all(pc.equal(pc.list_value_length(lists), self._space.dimension)).as_py():
            raise ForeignPartError(f"a vector does not have {self._space.dimension} components")
        numbers = pc.cast(pc.utf8_trim_whitespace(lists.flatten()), pa.float32())
        floats: Vectors = numbers.to_numpy().reshape(-1, self._space.dimension)
        return floats


def dimension_of(source: pa.NativeFile) -> int | None:
    """The dimension of a part's first vector; None where it holds only failures."""
    for batch in _blocks(source, [VECTOR]):
        vectors = batch.column(0).drop_null()
        if len(vectors):
            return int(vectors[0].as_py().count(",")) + 1
    return None


def _blocks(source: pa.NativeFile, names: list[str]) -> Iterator[pa.RecordBatch]:
    """The file's rows as text, a block at a time."""
    with pacsv.open_csv(
        source,
        read_options=pacsv.ReadOptions(block_size=max(1, min(BLOCK_BYTES, source.size())), use_threads=False),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            include_columns=names,
            column_types=dict.fromkeys(names, _TEXT),
            null_values=[""],
            strings_can_be_null=True,
            # An entry without bytes has the fingerprint "", which is not null.
            quoted_strings_can_be_null=False,
        ),
    ) as reader:
        yield from reader


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_fixed_size_list(column.type):
        return pa.chunked_array([_lists_as_text(chunk) for chunk in column.chunks], _TEXT)
    if column.type == _MOMENT:  # without its zone first: formatting with one needs the system's zone files
        naive = column.cast(pa.int64()).cast(pa.timestamp("us")).cast(_TEXT)
        return pc.binary_join_element_wise(pc.replace_substring(naive, " ", "T"), "Z", "")
    return column.cast(_TEXT)


def _lists_as_text(lists: pa.FixedSizeListArray) -> pa.StringArray:
    numbers = pc.cast(lists.flatten(), _TEXT)  # Arrow writes the shortest decimals that restore the float32
    lengths = np.where(lists.is_valid().to_numpy(zero_copy_only=False), lists.type.list_size, 0)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), numbers), ",")
    text = pc.binary_join_element_wise("[", joined, "]", "")
    return pc.if_else(lists.is_valid(), text, pa.scalar(None, _TEXT))
