"""The library's words as types: image, listing entries, failures, answers.

They have no behaviour beyond their own invariants, so that sources, embedders, checkpoints and the store can share
them without importing each other.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
"""One embedding: shape (dimension,), dtype float32."""


HALF_PRECISION = " (halfvec)"
"""Appended to the model version of an answer that was lost and restored from the table, where vectors are rounded."""


class ErrorClass(enum.StrEnum):
    """Why an image has no embedding; the name is what the ledger keeps."""

    # Final: the same bytes will fail again.
    UNDECODABLE = "undecodable"
    EMPTY = "empty"
    TOO_MANY_PIXELS = "too-many-pixels"
    TOO_LARGE = "too-large"
    UNSUPPORTED = "unsupported"
    REJECTED = "rejected"
    ZERO_VECTOR = "zero-vector"
    BAD_NAME = "bad-name"
    NAME_COLLISION = "name-collision"
    # Transient: every run tries again.
    UNREADABLE = "unreadable"
    CHANGED = "changed-while-reading"
    TIMEOUT = "timeout"
    SERVER = "server-error"
    CONNECTION = "connection"
    QUOTA = "quota"
    LOST = "lost"
    INTERNAL = "internal"

    @property
    def final(self) -> bool:
        """Whether the same bytes will fail in the same way, so that only `--retry-failed` tries them again."""
        return self not in _TRANSIENT


# Listed, so that a class that somebody adds is final: tried again in every run, it might be paid for in every run.
_TRANSIENT = frozenset(
    {
        ErrorClass.UNREADABLE,
        ErrorClass.CHANGED,
        ErrorClass.TIMEOUT,
        ErrorClass.SERVER,
        ErrorClass.CONNECTION,
        ErrorClass.QUOTA,
        ErrorClass.LOST,
        ErrorClass.INTERNAL,
    }
)


@dataclass(frozen=True, slots=True)
class Image:
    """One picture as its source lists it.

    Attributes:
        image_id: path relative to the source's root, `/`-separated, NFC, at most `ids.MAX_ID_BYTES` bytes of UTF-8.
        uri: where the bytes are, percent-encoded from the original name bytes (`file:///…`, `gs://…`, `https://…`).
        fingerprint: `md5:<hex>` of the bytes (or `crc32c:<hex>:<size>` where a bucket gives no MD5).
        size: bytes.
        content_type: their type according to the source, such as `image/jpeg`; "" if it gives none.
    """

    image_id: str
    uri: str
    fingerprint: str
    size: int
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A listed entry that is not an image, with the reason."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one image has no embedding.

    Attributes:
        error_class: the class under which it is counted; it decides between final and transient.
        message: one sentence for a person; it never holds a key or a token.
        http_status: the provider's status, if there was a response.
    """

    error_class: ErrorClass
    message: str
    http_status: int | None = None

    @property
    def final(self) -> bool:
        """See `ErrorClass.final`."""
        return self.error_class.final


@dataclass(frozen=True, slots=True)
class Rejected:
    r"""A listed entry that is meant to be an image but cannot even be named or read.

    Attributes:
        image_id: the id under which the ledger keeps it; bytes of the name that are not UTF-8 are written as `\xNN`.
        uri: where it is, percent-encoded.
        failure: why.
    """

    image_id: str
    uri: str
    failure: Failure


Entry = Image | Skipped | Rejected
"""What a source's listing yields: every entry of the source is exactly one of these."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision of a person about two images, or about one.

    Attributes:
        image_id: the image.
        other: the other image, later in the order of ids; "" if the decision is about one.
        verdict: `same` or `different` about two images, `preferred` about one; `undecided` withdraws an earlier decision.
        decided_at: UTC; of two decisions about the same images the later one holds.
    """

    image_id: str
    other: str
    verdict: str
    decided_at: datetime


def utc_now() -> datetime:
    """The time now in UTC, at the microsecond resolution that the checkpoint keeps."""
    return datetime.now(UTC)


# Without `eq`: == of two vectors is an array, whose truth value NumPy refuses to give.
@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """An embedder's answer about one image: one row of the checkpoint.

    Attributes:
        image_id: the image.
        fingerprint: of the bytes that were embedded; "" for an entry whose bytes could not be read.
        vector: shape (dimension,), float32, as the provider gave it (not normalised), or None if there is a failure.
        failure: why there is no vector, or None.
        attempts: how many times this image has been tried, this time included.
        model_version: according to the provider; `HALF_PRECISION` is appended if the vector is from the table.
        embedded_at: UTC.
    """

    image_id: str
    fingerprint: str
    vector: Vector | None
    failure: Failure | None
    attempts: int
    model_version: str
    embedded_at: datetime = field(default_factory=utc_now)

    def __post_init__(self) -> None:
        if (self.vector is None) == (self.failure is None):
            raise ValueError(f"an answer has a vector or a failure, one of the two: {self.image_id!r}")

    @property
    def status(self) -> str:
        """`ok` or `failed`."""
        return "ok" if self.failure is None else "failed"
