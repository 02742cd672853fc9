"""The one protocol of all embedders: pictures and texts in, vectors out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pinakes.spaces import Space
from pinakes.types import Failure, Image, Vector


@dataclass(frozen=True, slots=True)
class Picture:
    """An image together with the way to its bytes; nothing is read until an embedder asks.

    Attributes:
        image: what the source listed.
        read: returns the file's bytes; raises `SourceError` or `OSError` when they can no longer be read.
    """

    image: Image
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the provider accepts. None means: no limit of its own."""

    max_bytes: int | None = None
    max_pixels: int | None = None
    formats: frozenset[str] | None = None
    """Pillow's format names, e.g. {"JPEG", "PNG"}."""
    max_words: int | None = None
    min_side: int | None = None
    """Fewest pixels of the shorter side."""
    max_side: int | None = None
    """Most pixels of the longer side."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD for one image and one text, with the day and the source it was read from."""

    per_image: float = 0.0
    per_text: float = 0.0
    as_of: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class TextReading:
    """What an embedder made of a query.

    Attributes:
        vector: shape (dimension,), float32.
        read: the words that shaped the vector, in their order.
        unread: the words that it knows nothing about; full text may answer them.
    """

    vector: Vector
    read: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an embedder before it is asked anything."""

    space: Space
    description: str
    """One sentence: what it is, and what it is not."""
    limits: Limits = Limits()
    price: Price = Price()
    workers: int = 1
    """How many batches it gains from at once on one machine."""
    retires: str | None = None
    """ISO date on which the provider retires the model."""


class Embedder(Protocol):
    """Turns pictures and texts into vectors of one space.

    `embed_images` yields one `(index, vector or failure)` for each picture of the batch, in any order, as soon as it
    has it; one bad picture costs only itself. It raises only what stops the whole run (`EmbedderError`).
    """

    facts: Facts

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """One result for each index of `batch`; vectors have shape (dimension,), float32."""
        ...

    def embed_text(self, text: str) -> TextReading:
        """The vector of a query.

        Raises:
            UnreadableQueryError: nothing in the text means anything to this embedder.
        """
        ...

    @property
    def calls(self) -> int:
        """How many requests (or, for a local model, pictures) this object has been charged for so far."""
        ...
