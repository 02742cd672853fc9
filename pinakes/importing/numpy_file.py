"""Embeddings in NumPy's own form: an array without names, next to a list of names, as clip-retrieval writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pinakes.errors import MetadataError, UsageError
from pinakes.importing.parquet import Parquet
from pinakes.importing.records import BadRowError, Records
from pinakes.metadata.files import detect_encoding, open_bytes, read_lines

VECTOR = "vector"

_CLIP_RETRIEVAL = re.compile(r"img_emb_(\d+)\.npy")


class NumpyFile(Records):
    """An array of shape (n, dimension) and, in the same order, its n names.

    Args:
        path: the `.npy` file.
        names: a list with a name a line, or Parquet with a column of them; None takes the `metadata_N.parquet` that
            clip-retrieval writes for `img_emb_N.npy`.

    Raises:
        UsageError: there are no names, or not as many as vectors, or the array has another shape.
        MetadataError: a file is damaged.
    """

    def __init__(self, path: Path, names: Path | None) -> None:
        self.name, self.path = path.name, path
        try:
            # Mapped, because an array may be larger than memory; without pickle, which would run code from the file.
            self._array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as exc:
            raise MetadataError(f"{path.name} cannot be read as an array of numbers ({exc}); save it again.") from exc
        if self._array.ndim != 2 or self._array.dtype.kind != "f":
            raise UsageError(
                f"{path.name} holds an array of shape {self._array.shape} and type {self._array.dtype}; an import needs"
                " (pictures, dimension) of floating-point numbers."
            )
        file = names or _clip_retrieval(path)
        with open_bytes(file) as stream:
            self._names = Parquet(file) if stream.read(4) == b"PAR1" else _Lines(file)
        # The array takes the place of a column of the names' file that is called `vector` too.
        self.columns = (*(name for name in self._names.columns if name != VECTOR), VECTOR)
        self.vectors = (VECTOR, *(name for name in self._names.vectors if name != VECTOR))
        count = sum(1 for _ in self._names.records(self._names.columns[:1]))
        if count != len(self._array):
            raise UsageError(
                f"{file.name} has {count:,} names and {path.name} has {len(self._array):,} vectors; they belong together"
                " only if there is a name for each vector, in the same order."
            )

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[str, Sequence[Any] | BadRowError]]:
        """See `Records.records`."""
        named = [name for name in wanted if name != VECTOR]
        for vector, (place, values) in zip(self._array, self._names.records(named), strict=True):
            if isinstance(values, BadRowError):
                yield place, values
            else:
                row = {VECTOR: vector, **dict(zip(named, values, strict=True))}
                yield place, [row[name] for name in wanted]


class _Lines(Records):
    """A name on each line."""

    def __init__(self, path: Path) -> None:
        self.name, self.path = path.name, path
        self.columns = ("image_id",)

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[str, Sequence[Any] | BadRowError]]:
        for number, line in read_lines(self.path, detect_encoding(self.path)):
            yield f"line {number}", [line.removesuffix("\r")] * len(wanted)


def _clip_retrieval(path: Path) -> Path:
    if found := _CLIP_RETRIEVAL.fullmatch(path.name):
        name = f"metadata_{found[1]}.parquet"
        for folder in (path.parent, path.parent.parent / "metadata"):
            if (folder / name).is_file():
                return folder / name
    raise UsageError(
        f"{path.name} has vectors and no names: give --names FILE, a list with a name a line in the same order, or Parquet"
        " with a column of names."
    )
