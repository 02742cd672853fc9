"""The vectors and failures of a table of embeddings by the names of the pictures; every row that cannot be used is named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pinakes.errors import MetadataError
from pinakes.ids import BadNameError, image_id
from pinakes.importing.columns import Embeddings, Row
from pinakes.importing.records import BadRowError
from pinakes.types import ErrorClass, Failure, Vector

SHOWN_ROWS = 50
"""The most bad rows that one message names; all of them are counted."""

STATUS_CLASSES = (
    (("RESOURCE_EXHAUSTED", "RETRYABLE", "QUOTA", "429"), ErrorClass.QUOTA),
    (("DEADLINE", "TIMEOUT", "TIMED OUT"), ErrorClass.TIMEOUT),
    (("NOT_FOUND", "PERMISSION_DENIED", "ACCESS"), ErrorClass.UNREADABLE),
    (("INVALID_ARGUMENT", "UNSUPPORTED", "SAFETY"), ErrorClass.REJECTED),
)
"""Words in a status, and the class of the failure; a status with none of them is an error of the server, tried again."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a file holds, by name.

    Attributes:
        digests: of the vector of each name.
        differing: names of several rows whose vectors differ.
        failures: why names have no vector.
        md5: of the bytes that were embedded, where the file says it.
        without_vector: rows that have neither a vector nor a reason.
    """

    digests: dict[str, bytes] = field(default_factory=dict)
    differing: dict[str, None] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    md5: dict[str, str] = field(default_factory=dict)
    without_vector: list[str] = field(default_factory=list)


def vectors(embeddings: Embeddings) -> Iterator[tuple[str, Vector]]:
    """(name as an image_id, vector of shape (dimension,), float32) of each row that has a vector.

    Raises:
        MetadataError: a row cannot be read; the message names it.
    """
    for row in embeddings.rows():
        try:
            if row.vector is not None and not row.status:
                yield _name(row.name), _vector(row.vector, embeddings.dimension)
        except BadRowError as exc:
            raise MetadataError(f"{embeddings.name}, {row.place}: {exc}.") from exc


def read_names(embeddings: Embeddings) -> Names:
    """Read everything once: the names, and which of them have several vectors or none.

    Raises:
        MetadataError: rows cannot be read; the message names each.
    """
    names = Names()
    bad: list[str] = []
    count = 0
    for row in embeddings.rows():
        try:
            _enter(names, row, embeddings.dimension)
        except BadRowError as exc:
            count += 1
            if len(bad) < SHOWN_ROWS:
                bad.append(f"{row.place}: {exc}")
    if bad:
        more = f"; and {count - len(bad):,} more" if count > len(bad) else ""
        raise MetadataError(
            f"{count:,} of the rows of {embeddings.name} cannot be imported, and nothing was: {'; '.join(bad)}{more}."
        )
    for name in names.digests.keys() & names.failures.keys():
        del names.failures[name]  # another attempt has given it a vector
    return names


def _enter(names: Names, row: Row, dimension: int) -> None:
    name = _name(row.name)
    if row.status:
        names.failures.setdefault(name, failure_of(row.status))
    elif row.vector is None:
        names.without_vector.append(name)
    else:
        # Digests, because the vectors of a large file do not fit into memory.
        digest = hashlib.blake2b(_vector(row.vector, dimension).tobytes(), digest_size=16).digest()
        if names.digests.setdefault(name, digest) != digest:
            names.differing[name] = None
        if row.md5:
            names.md5[name] = row.md5


def failure_of(status: str) -> Failure:
    """A status as the ledger keeps it: BigQuery's text, or `CLASS: MESSAGE` from a checkpoint."""
    own, _, message = status.partition(": ")
    if own in list(ErrorClass) and message:
        return Failure(ErrorClass(own), message)
    upper = (
        status.upper()
        .replace("RESOURCE EXHAUSTED", "RESOURCE_EXHAUSTED")
        .replace("INVALID ARGUMENT", "INVALID_ARGUMENT")
    )
    found = (error for words, error in STATUS_CLASSES if any(word in upper for word in words))
    return Failure(next(found, ErrorClass.SERVER), status)


def _name(name: str) -> str:
    try:
        return image_id(name)
    except BadNameError as exc:
        raise BadRowError(str(exc)) from exc


def _vector(values: Sequence[Any] | npt.NDArray[Any] | BadRowError, dimension: int) -> Vector:
    if isinstance(values, BadRowError):
        raise values
    if len(values) != dimension:
        raise BadRowError(f"the vector has {len(values)} numbers and the first one has {dimension}")
    # NumPy would turn `true` and "1" into 1.0. `type` and not `isinstance`, for which `true` is an int.
    if isinstance(values, list) and not all(type(value) in (int, float) for value in values):
        raise BadRowError("not every component of the vector is a number")
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinity, which is refused below
            vector = np.array(values, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as exc:
        raise BadRowError("not every component of the vector is a number") from exc
    if vector.ndim != 1 or not np.isfinite(vector).all() or not vector.any():
        raise BadRowError("the vector is zero, nested, or holds NaN or infinity")
    return vector
