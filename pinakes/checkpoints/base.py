"""The columns of a checkpoint's parts, and the protocols of its storages and formats.

A *part* is one file of answers. A *storage* keeps files (a local folder, a bucket), a *format* turns answers into bytes and
back (Parquet, CSV); neither knows the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinakes.errors import CheckpointError
from pinakes.spaces import Space
from pinakes.types import Answer, Vector

FORMAT_VERSION = 1
"""Raised by hand when the meaning of a column changes; a part of a higher version is refused, not set aside."""

PART_PREFIX = "part-"

OK = "ok"
FAILED = "failed"

VECTOR = "vector"

ROW_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("fingerprint", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error_class", pa.string()),
        pa.field("error_message", pa.string()),
        pa.field("http_status", pa.int32()),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("embedded_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
"""Every column but the vector: what the ledger reads. `status` is "ok" or "failed"; errors are null when it is ok."""

VECTOR_POSITION = 3
"""The vector follows the status, so that `embedded_at` stays last: a torn CSV then ends in no valid date."""

CHUNK_ROWS = 4096
CHUNK_BYTES = 8 * 2**20
"""The most rows, and bytes of float32, in a piece in which vectors are read and row groups are written."""

MAX_MESSAGE = 10_000
"""Characters kept of an error's message: it is meant to be a sentence, but some servers answer with a page."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Vectors = npt.NDArray[np.float32]
"""Several embeddings: shape (n, dimension), float32."""

Rows = npt.NDArray[np.int64]
"""Positions of rows, shape (n,), ascending, each once."""


class ForeignPartError(ValueError):
    """A file is no part of this checkpoint (torn, another schema, another space); the text says why."""


class NewerPartError(ValueError):
    """A part was written by a later version of Pinakes; the text says which format it has."""


class RefusedWriteError(CheckpointError):
    """The storage refused to keep some answers; they wait, and are tried again."""


class AnswersLostError(CheckpointError):
    """Answers could not be kept in the end.

    Attributes:
        cause: why, in one sentence.
        answers: those that are lost.
        during: what ended the work before, or None.
    """

    def __init__(self, cause: str, answers: Sequence[Answer], during: BaseException | None) -> None:
        super().__init__(lost_sentence(cause, len(answers)))
        self.cause = cause
        self.answers = answers
        self.during = during


class PartGoneError(LookupError):
    """A listed part is gone: it was compacted, or has just been set aside. List again."""


@dataclass(frozen=True, slots=True, eq=False)
class VectorChunk:
    """Some current vectors.

    Attributes:
        image_ids: n ids.
        fingerprints: of the bytes that were embedded, n.
        vectors: shape (n, dimension), float32, as the provider gave them.
    """

    image_ids: list[str]
    fingerprints: list[str]
    vectors: Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Salvaged:
    """What could be read of a damaged part.

    Attributes:
        whole: rows with everything, as tables of `part_schema`.
        without_vectors: rows whose vectors are damaged, likewise, with null in their place.
        rows: how many rows the part had.
    """

    whole: list[pa.Table]
    without_vectors: list[pa.Table]
    rows: int


class Storage(Protocol):
    """Keeps the files of one checkpoint.

    Attributes:
        location: where, for messages.
        readers: how many files are worth reading or deleting at once.
    """

    location: str
    readers: int

    def names(self) -> set[str]:
        """The files, without those whose name starts with a dot and those set aside; empty when nothing is there yet.

        Raises:
            CheckpointError: they cannot be listed.
        """
        ...

    def open(self, name: str) -> pa.NativeFile:
        """The file, for reading at any position.

        Raises:
            OSError: it cannot be opened; `FileNotFoundError` when it is gone.
            CheckpointError: it cannot be opened, for a reason that only the storage knows.
        """
        ...

    def write(self, name: str, fill: Callable[[IO[bytes]], object]) -> None:
        """Keep what `fill` writes under `name`, durably, whole or not at all.

        Raises:
            CheckpointError: it cannot be written; nothing is left behind.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove a file, if it is still there.

        Raises:
            CheckpointError: it cannot be removed.
        """
        ...

    def set_aside(self, name: str) -> str | None:
        """Move a foreign file out of the way, keeping its name: where it is now, or None when it cannot be moved."""
        ...

    def remove_leftovers(self) -> None:
        """Remove what writers that died have left behind for more than a day."""
        ...


class Format(Protocol):
    """Turns answers into the bytes of a part and back, for one space.

    The reading methods raise `ForeignPartError` or `pyarrow.ArrowException` (or an `OSError` without an errno, as
    pyarrow does) where the bytes are not such a part, and `NewerPartError` where a later version wrote them.
    """

    suffix: str

    def write(self, sink: IO[bytes], tables: Iterable[pa.Table]) -> None:
        """Write tables of `part_schema`, each as one row group where the format has such a thing."""
        ...

    def read_rows(self, source: pa.NativeFile) -> pa.Table:
        """All rows, without the vectors: a table of `ROW_SCHEMA`."""
        ...

    def read_vectors(self, source: pa.NativeFile, rows: Rows) -> Iterator[tuple[Rows, Vectors]]:
        """The vectors of `rows`, all of which are ok, in pieces of at most `chunk_rows` in ascending order."""
        ...

    def salvage(self, source: pa.NativeFile) -> Salvaged:
        """What can be read of a part in which something cannot."""
        ...


def lost_sentence(cause: str, answers: int) -> str:
    """That answers could not be kept, why, and how to go on."""
    return (
        f"{cause} {answers:,} answers could not be kept and are lost; run the same command again to resume: it asks only for"
        " what the checkpoint lacks."
    )


def part_schema(dimension: int) -> pa.Schema:
    """The columns of a part: `ROW_SCHEMA` with `vector`, a fixed-size list of float32, null when the image failed."""
    vector = pa.field(VECTOR, pa.list_(pa.float32(), dimension))
    return ROW_SCHEMA.insert(VECTOR_POSITION, vector)


def chunk_rows(dimension: int) -> int:
    """How many vectors of this dimension make a chunk."""
    return max(1, min(CHUNK_ROWS, CHUNK_BYTES // (4 * dimension)))


def check_answer(answer: Answer, space: Space) -> None:
    """Refuse an answer that could not be written, before the other answers of its part fail with it.

    Raises:
        CheckpointError: its vector is not float32 of the space's dimension, or a name in it is not UTF-8.
    """
    vector = answer.vector
    if vector is not None and (vector.shape != (space.dimension,) or vector.dtype != np.float32):
        raise CheckpointError(
            f"the vector of {answer.image_id!r} has shape {vector.shape} and type {vector.dtype}, but the space"
            f" {space.name} keeps ({space.dimension},) of float32; check the embedder's dimension."
        )
    for text in (answer.image_id, answer.fingerprint, answer.model_version):
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise CheckpointError(
                f"{text!r} is not valid Unicode (position {exc.start}) and cannot be kept; rename the file."
            ) from exc


def table_of(answers: Sequence[Answer], space: Space) -> pa.Table:
    """Checked answers as one table of `part_schema`."""
    failures = [answer.failure for answer in answers]
    rows = pa.table(
        [
            [answer.image_id for answer in answers],
            [answer.fingerprint for answer in answers],
            [answer.status for answer in answers],
            [failure and failure.error_class.value for failure in failures],
            [failure and _storable(failure.message) for failure in failures],
            [failure and failure.http_status for failure in failures],
            pa.array([answer.attempts for answer in answers], pa.int32()),
            [answer.model_version for answer in answers],
            # In whole numbers: `timestamp()` is a float, which rounds microseconds, and equal answers must stay equal.
            pa.array([(answer.embedded_at - _EPOCH) // _MICROSECOND for answer in answers], pa.int64()),
        ],
        names=ROW_SCHEMA.names,
    ).cast(ROW_SCHEMA)
    return with_vectors(rows, [answer.vector for answer in answers], space.dimension)


def with_vectors(rows: pa.Table, vectors: Sequence[Vector | None] | Vectors, dimension: int) -> pa.Table:
    """Rows of `ROW_SCHEMA` and their vectors as one table of `part_schema`."""
    if isinstance(vectors, np.ndarray):
        values, missing = vectors, None
    else:
        missing = pa.array([vector is None for vector in vectors], pa.bool_())
        values = np.zeros((len(vectors), dimension), np.float32)
        for row, vector in zip(values, vectors, strict=True):
            if vector is not None:
                row[:] = vector
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), pa.float32())
    # A null still takes its place among the floats, which is why the failures' rows are zeros.
    lists = pa.FixedSizeListArray.from_arrays(flat, dimension, mask=missing)
    return rows.add_column(VECTOR_POSITION, part_schema(dimension).field(VECTOR), lists)


def moment(microseconds: int) -> datetime:
    """`embedded_at` from what is stored: microseconds since 1970, UTC."""
    return _EPOCH + microseconds * _MICROSECOND


def _storable(message: str) -> str:
    """The message, cut, without what UTF-8 and PostgreSQL cannot hold: lone surrogates and NUL are spelled out."""
    if len(message) > MAX_MESSAGE:
        message = message[: MAX_MESSAGE - 1] + "…"
    # A message may quote a file's name or a server's answer, so that any bytes may be in it.
    return message.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
