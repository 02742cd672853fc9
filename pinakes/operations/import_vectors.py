"""Loads embeddings that are already paid for into a space; no embedder is called.

They go into the checkpoint, as answers do, and from there into the table as always; a later `ingest` into the same space
asks only for what the file did not hold.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pinakes.embedders.declaration import Surroundings
from pinakes.embedders.registry import EMBEDDERS, space_made
from pinakes.errors import MetadataError, UsageError
from pinakes.ids import base_name, image_id
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.types import Entry, Image, Vector

Shape = Literal["wide", "list", "joined", "parquet"]

IMPORTED = "imported"
"""The provider of vectors whose model no embedder calls."""

VECTOR_COLUMNS = ("vector", "embedding", "embeddings")
NAME_COLUMNS = ("image_file", "image_id", "file", "filename", "image", "path")

csv.field_size_limit(2**24)  # a vector of 3,072 components written in full has some 60 kB; the default is 131 kB


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
        """(name, vector of shape (dimension,), float32) of each row; rows of failed images are passed over.

        Raises:
            MetadataError: a row cannot be read; the message names its line.
        """
        return _parquet_rows(self) if self.shape == "parquet" else _text_rows(self)


def open_embeddings(path: Path) -> EmbeddingFile:
    """Find out how a file is laid out, from its first row.

    Raises:
        UsageError: it cannot be read, or is none of the shapes.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r} to import.")
    with path.open("rb") as stream:
        if stream.read(4) == b"PAR1":
            return _open_parquet(path)
    with _text(path) as stream:
        line = stream.readline()
    separator = "\t" if "\t" in line else ","
    cells = next(csv.reader([line], delimiter=separator), [])
    names = tuple(cell.strip() for cell in cells)
    lower = [name.lower() for name in names]
    if any(name in VECTOR_COLUMNS for name in lower):
        if not any(name in NAME_COLUMNS for name in lower):
            raise UsageError(
                f"{path.name} has a vector column but none that names the image ({', '.join(NAME_COLUMNS)})."
            )
        found = EmbeddingFile(path, "joined", 1, separator, names)
        first = next(iter(_text_rows(found, check=False)), None)
        if first is None:
            raise UsageError(f"{path.name} has a header and no row.")
        return EmbeddingFile(path, "joined", len(first[1]), separator, names)
    if len(cells) == 2 and cells[1].lstrip().startswith("["):
        return EmbeddingFile(path, "list", len(_numbers(cells[1], path, 1)), separator)
    if len(cells) > 2 and all(map(_is_number, cells[1:])):
        return EmbeddingFile(path, "wide", len(cells) - 1, separator)
    raise UsageError(
        f'{path.name} is none of the shapes that can be imported: name,number,number,…; name,"[number, …]"; a header with'
        f" one of {', '.join(VECTOR_COLUMNS)}; or Parquet with image_id and vector."
    )


@dataclass(slots=True)
class Matched:
    """Names of a file against the images of a source.

    Attributes:
        without_image: names that fit no image of the source.
        ambiguous: names that fit several.
    """

    without_image: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)


class Matcher:
    """Finds the image that a name means: its path, or its base name where only one image has it."""

    def __init__(self, images: list[Image]) -> None:
        self._by_id = {image.image_id: image for image in images}
        self._by_base: dict[str, Image | None] = {}
        for image in images:
            name = base_name(image.image_id)
            self._by_base[name] = None if name in self._by_base else image
        self.report = Matched()

    def find(self, name: str) -> Image | None:
        """The image, or None, which the report then counts."""
        key = image_id(name)
        found = self._by_id.get(key)
        if found is None and "/" not in key:
            found = self._by_base.get(key)
            if found is None and key in self._by_base:
                self.report.ambiguous.append(name)
                return None
        if found is None:
            self.report.without_image.append(name)
        return found


class ImportedSource:
    """A source without pictures: the names in a file of embeddings. For those who have only the vectors."""

    def __init__(self, file: EmbeddingFile) -> None:
        self._file = file
        self.root = f"import:{file.path.stem}"
        self.problems: list[str] = []

    def entries(self) -> Iterator[Entry]:
        """An image for each row. Its fingerprint is a digest of the vector, which shows whether the vector has changed."""
        for name, vector in self._file:
            digest = hashlib.md5(vector.tobytes(), usedforsecurity=False).hexdigest()
            yield Image(image_id(name), f"import:{name}", f"vector:{digest}", 0)

    def read(self, image: Image) -> bytes:
        """Raises UsageError: there are no bytes."""
        raise UsageError(
            f"the picture {image.image_id!r} was imported as a vector without its file; its bytes are not known."
        )


def space_of(text: str | None, file: EmbeddingFile, settings: Settings, *, foreign: bool = False) -> Space:
    """`PROVIDER/MODEL/VERSION[/PREPROCESSING]` as a space of the file's dimension.

    A space of an embedder is the very one that `ingest` would use, so that the imported vectors are continued and
    searched; its preprocessing may be left out. A model that no embedder calls has the provider `imported`.

    Args:
        text: the space; None: `imported/<name of the file>/1`.
        file: the embeddings.
        settings: of embedders.
        foreign: the provider is none of the embedders, and its name is meant as it is written.

    Raises:
        UsageError: it has another form, or no embedder makes such a space.
    """
    parts = (text or f"{IMPORTED}/{file.path.stem}/1").split("/")
    if not 3 <= len(parts) <= 4 or not all(parts):
        raise UsageError(
            f"--space {text!r} is not of the form PROVIDER/MODEL/VERSION, e.g. azure/vision-multimodal/2023-04-15."
        )
    space = Space(parts[0], parts[1], parts[2], file.dimension, parts[3] if len(parts) == 4 else "")
    if foreign:
        # Spaces whose names begin alike would be taken for an embedder's, and might have the same table.
        alike = next((name for name in EMBEDDERS if space.name.startswith(f"{name}_")), None)
        if alike is not None:
            raise UsageError(
                f"--foreign is for vectors that no embedder makes, and {text!r} reads like a space of the embedder {alike}:"
                f" leave --foreign out, or give the provider another name, e.g. {IMPORTED}/{parts[1]}/{parts[2]}."
            )
    elif space.provider in EMBEDDERS:
        return space_made(space, Surroundings(settings.values, settings.home))
    elif space.provider != IMPORTED:
        raise UsageError(
            f"there is no embedder {space.provider!r}; there are: {', '.join(EMBEDDERS)}. If no embedder makes such vectors,"
            f" import them as --space {IMPORTED}/{parts[1]}/{parts[2]}, or add --foreign to keep the name as it is."
        )
    return space


@contextmanager
def metadata_of(file: EmbeddingFile) -> Iterator[Path | None]:
    """A joined file's metadata as a file of its own, without the vectors; None for the other shapes."""
    if file.shape != "joined":
        yield None
        return
    keep = [n for n, name in enumerate(file.header) if name.lower() not in VECTOR_COLUMNS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metadata.csv"
        with _text(file.path) as stream, path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, delimiter="\t", lineterminator="\n")
            for row in csv.reader(stream, delimiter=file.separator):
                if row:
                    writer.writerow([row[n] for n in keep])
        yield path


def _open_parquet(path: Path) -> EmbeddingFile:
    schema = pq.read_schema(path)
    if not {"image_id", "vector"} <= set(schema.names):
        raise UsageError(f"{path.name} has the columns {', '.join(schema.names)}; an import needs image_id and vector.")
    kind = schema.field("vector").type
    if pa.types.is_fixed_size_list(kind):
        return EmbeddingFile(path, "parquet", kind.list_size)
    first = next((row for row in _parquet_rows(EmbeddingFile(path, "parquet", 0), check=False)), None)
    if first is None:
        raise UsageError(f"{path.name} holds no vector.")
    return EmbeddingFile(path, "parquet", len(first[1]))


def _parquet_rows(file: EmbeddingFile, *, check: bool = True) -> Iterator[tuple[str, Vector]]:
    row = 0
    for batch in pq.ParquetFile(file.path).iter_batches(batch_size=1024, columns=["image_id", "vector"]):
        for name, vector in zip(batch.column(0).to_pylist(), batch.column(1), strict=True):
            row += 1
            if vector.is_valid:
                numbers = np.asarray(vector.values.to_numpy(zero_copy_only=False), dtype=np.float32)
                yield name, _checked(numbers, file, row) if check else numbers


def _text_rows(file: EmbeddingFile, *, check: bool = True) -> Iterator[tuple[str, Vector]]:
    with _text(file.path) as stream:
        reader = csv.reader(stream, delimiter=file.separator)
        name_at, vector_at = 0, 1
        if file.shape == "joined":
            lower = [name.lower() for name in next(reader)]
            name_at = min(lower.index(name) for name in NAME_COLUMNS if name in lower)
            vector_at = next(lower.index(name) for name in VECTOR_COLUMNS if name in lower)
        for row in reader:
            if not row:
                continue
            if len(row) <= vector_at:
                raise MetadataError(f"{file.path.name}, line {reader.line_num}: {len(row)} fields are too few.")
            if file.shape == "wide":
                vector = _floats(row[1:], file.path, reader.line_num)
            else:
                vector = _numbers(row[vector_at], file.path, reader.line_num)
            yield row[name_at], _checked(vector, file, reader.line_num) if check else vector


def _checked(vector: Vector, file: EmbeddingFile, line: int) -> Vector:
    if len(vector) != file.dimension:
        raise MetadataError(
            f"{file.path.name}, row {line}: the vector has {len(vector)} numbers and the first one has {file.dimension}."
        )
    if not np.isfinite(vector).all() or not vector.any():
        raise MetadataError(f"{file.path.name}, row {line}: the vector is zero, or holds NaN or infinity.")
    return vector


def _numbers(text: str, path: Path, line: int) -> Vector:
    try:
        numbers = json.loads(text)
    except ValueError as exc:
        raise MetadataError(f"{path.name}, line {line}: {text[:40]!r}… is not a JSON list of numbers.") from exc
    if not isinstance(numbers, list):
        raise MetadataError(f"{path.name}, line {line}: {text[:40]!r}… is not a JSON list of numbers.")
    return _floats(numbers, path, line)


def _floats(values: Sequence[object], path: Path, line: int) -> Vector:
    try:
        return np.array(values, dtype=np.float32)
    except (TypeError, ValueError) as exc:
        raise MetadataError(f"{path.name}, line {line}: not every component of the vector is a number.") from exc


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    """A text file as UTF-8, or as cp1252 where its first megabyte is not UTF-8."""
    with path.open("rb") as stream:
        head = stream.read(2**20)
    cut = head[: head.rfind(b"\n") + 1] or head
    try:
        cut.decode("utf-8-sig")
        encoding = "utf-8-sig"
    except UnicodeDecodeError:
        encoding = "cp1252"
    with path.open(encoding=encoding, newline="") as opened:
        yield opened
