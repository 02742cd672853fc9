"""Files of embeddings, in each of the shapes that can be imported: every row is read or named."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pinakes.errors import MetadataError, UsageError
from pinakes.ids import BadNameError, image_id
from pinakes.metadata.columns import DEFAULT_KEYS, VECTOR_COLUMNS
from pinakes.metadata.files import detect_encoding, open_bytes, read_lines
from pinakes.types import Vector

Shape = Literal["wide", "list", "joined", "parquet"]

SHOWN_ROWS = 50
"""Bad rows that one message names; all of them are counted."""

csv.field_size_limit(2**24)  # a vector of 3,072 components written in full has some 60 kB; the default is 131 kB


class BadRowError(ValueError):
    """A row cannot be imported; the text says why."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a file holds, by name.

    Attributes:
        digests: of the vector of each name.
        differing: names of several rows whose vectors differ.
    """

    digests: dict[str, bytes] = field(default_factory=dict)
    differing: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingFile:
    """A file of embeddings, and how it is laid out.

    Attributes:
        path: the file.
        shape: `wide` (no header: a name, then a column a number), `list` (no header: a name and a JSON list), `joined`
            (tab or comma separated with a header), or `parquet` (a part of a checkpoint, or an export).
        dimension: numbers in a vector.
        separator: of a text file.
        header: the columns of a joined file.
    """

    path: Path
    shape: Shape
    dimension: int
    separator: str = ","
    header: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[tuple[str, Vector]]:
        """(name as an image_id, vector of shape (dimension,), float32) of each row; rows of failed images are passed over.

        Raises:
            MetadataError: a row cannot be read; the message names it.
        """
        for place, row in self._rows():
            if isinstance(row, BadRowError):
                raise MetadataError(f"{self.path.name}, {place}: {row}.") from row
            yield row

    def names(self) -> Names:
        """Read the whole file: its names, and which of them have several vectors.

        Raises:
            MetadataError: rows cannot be read; the message names each.
        """
        names = Names()
        bad: list[str] = []
        count = 0
        for place, row in self._rows():
            if isinstance(row, BadRowError):
                count += 1
                if len(bad) < SHOWN_ROWS:
                    bad.append(f"{place}: {row}")
                continue
            digest = hashlib.blake2b(row[1].tobytes(), digest_size=16).digest()
            if names.digests.setdefault(row[0], digest) != digest:
                names.differing[row[0]] = None
        if bad:
            more = f"; and {count - len(bad):,} more" if count > len(bad) else ""
            raise MetadataError(
                f"{count:,} of the rows of {self.path.name} cannot be imported, and nothing was: {'; '.join(bad)}{more}."
            )
        return names

    def _rows(self) -> Iterator[tuple[str, tuple[str, Vector] | BadRowError]]:
        """Where each row is, and its name and vector or what is wrong with it."""
        for place, name, vector in _parquet_rows(self) if self.shape == "parquet" else _text_rows(self):
            try:
                yield place, (_name(name), _vector(vector, self.dimension))
            except BadRowError as exc:
                yield place, exc


def open_embeddings(path: Path) -> EmbeddingFile:
    """Find out how a file is laid out, from its first row.

    Raises:
        UsageError: it cannot be read, or is none of the shapes.
        MetadataError: likewise.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r} to import.")
    with open_bytes(path) as stream:
        if stream.read(4) == b"PAR1":
            return _open_parquet(path)
    _, line = next(_lines(path), (1, ""))
    separator = "\t" if "\t" in line else ","
    cells = next(csv.reader([line], delimiter=separator), [])
    names = tuple(cell.strip() for cell in cells)
    lower = [name.lower() for name in names]
    if any(name in VECTOR_COLUMNS for name in lower):
        if not any(name in DEFAULT_KEYS for name in lower):
            raise UsageError(
                f"{path.name} has a vector column but none that names the image ({', '.join(DEFAULT_KEYS)})."
            )
        return _measured(EmbeddingFile(path, "joined", 0, separator, names), f"{path.name} has a header and no row.")
    if len(cells) == 2 and cells[1].lstrip().startswith("["):
        return _measured(EmbeddingFile(path, "list", 0, separator), "")
    if len(cells) > 2 and all(map(_is_number, cells[1:])):
        return EmbeddingFile(path, "wide", len(cells) - 1, separator)
    raise UsageError(
        f'{path.name} is none of the shapes that can be imported: name,number,number,…; name,"[number, …]"; a header with'
        f" one of {', '.join(VECTOR_COLUMNS)}; or Parquet with image_id and vector."
    )


def _measured(file: EmbeddingFile, empty: str) -> EmbeddingFile:
    """The file with the dimension of its first vector; a first vector that cannot be read is told with the others."""
    rows = _parquet_rows(file) if file.shape == "parquet" else _text_rows(file)
    first: Sequence[object] | BadRowError | None = None
    for _, _, first in rows:
        if not isinstance(first, BadRowError):
            return EmbeddingFile(file.path, file.shape, len(first), file.separator, file.header)
    if first is None:
        raise UsageError(empty)
    return file


def _open_parquet(path: Path) -> EmbeddingFile:
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as exc:
        raise MetadataError(f"{path.name} is damaged Parquet ({exc}); copy it again.") from exc
    if not {"image_id", "vector"} <= set(schema.names):
        raise UsageError(f"{path.name} has the columns {', '.join(schema.names)}; an import needs image_id and vector.")
    name, kind = schema.field("image_id").type, schema.field("vector").type
    if pa.types.is_dictionary(name):
        name = name.value_type
    if not (pa.types.is_string(name) or pa.types.is_large_string(name)):
        raise UsageError(f"the column image_id of {path.name} holds {name}; an import needs text there.")
    lists = (pa.types.is_fixed_size_list, pa.types.is_list, pa.types.is_large_list)
    if not any(is_one(kind) for is_one in lists) or not pa.types.is_floating(kind.value_type):
        raise UsageError(
            f"the column vector of {path.name} holds {kind}; an import needs lists of floating-point numbers."
        )
    if pa.types.is_fixed_size_list(kind):
        return EmbeddingFile(path, "parquet", kind.list_size)
    return _measured(EmbeddingFile(path, "parquet", 0), f"{path.name} holds no vector.")


def _parquet_rows(file: EmbeddingFile) -> Iterator[tuple[str, str, Sequence[object] | BadRowError]]:
    row = 0
    try:
        for batch in pq.ParquetFile(file.path).iter_batches(batch_size=1024, columns=["image_id", "vector"]):
            for name, vector in zip(batch.column(0).to_pylist(), batch.column(1), strict=True):
                row += 1
                if vector.is_valid:
                    yield f"row {row}", name or "", vector.values.to_numpy(zero_copy_only=False)
    except (OSError, pa.ArrowException) as exc:
        raise MetadataError(f"{file.path.name} is damaged after row {row} ({exc}); copy it again.") from exc


def _text_rows(file: EmbeddingFile) -> Iterator[tuple[str, str, Sequence[object] | BadRowError]]:
    reader = csv.reader((f"{text}\n" for _, text in _lines(file.path)), delimiter=file.separator)
    name_at, vector_at, width = 0, 1, 2
    if file.shape == "joined":
        lower = [name.strip().lower() for name in next(reader)]
        name_at = next(lower.index(name) for name in DEFAULT_KEYS if name in lower)
        vector_at = next(lower.index(name) for name in VECTOR_COLUMNS if name in lower)
        width = len(lower)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as exc:
            yield f"line {reader.line_num}", "?", BadRowError(f"the row cannot be read ({exc})")
            continue
        place = f"line {reader.line_num}"
        if row is None:
            return
        if not row:
            continue
        if file.shape == "wide":
            yield place, row[0], row[1:]
        elif len(row) != width:
            yield place, "?", BadRowError(f"{len(row)} fields instead of {width}")
        else:
            yield place, row[name_at], _json(row[vector_at])


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    return read_lines(path, detect_encoding(path))


def _name(name: str) -> str:
    try:
        return image_id(name)
    except BadNameError as exc:
        raise BadRowError(str(exc)) from exc


def _vector(values: Sequence[object] | BadRowError, dimension: int) -> Vector:
    if isinstance(values, BadRowError):
        raise values
    if len(values) != dimension:
        raise BadRowError(f"the vector has {len(values)} numbers and the first one has {dimension}")
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinity
            vector = np.array(values, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as exc:
        raise BadRowError("not every component of the vector is a number") from exc
    if vector.ndim != 1 or not np.isfinite(vector).all() or not vector.any():
        raise BadRowError("the vector is zero, nested, or holds NaN or infinity")
    return vector


def _json(text: str) -> Sequence[object] | BadRowError:
    """The list that a cell holds; only JSON's own numbers count as numbers."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list):
        return BadRowError(f"{text[:40]!r}… is not a JSON list of numbers")
    if not all(type(value) in (int, float) for value in values):
        return BadRowError("not every component of the vector is a number")
    return values


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
