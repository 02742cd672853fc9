"""The one protocol of all embedders: pictures and texts in, vectors out."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from pinakes.embedders.counters import CallStatistics
from pinakes.errors import PictureError, SourceError
from pinakes.rates import text_tokens
from pinakes.spaces import Space
from pinakes.types import ErrorClass, Failure, Image, Vector

Result = TypeVar("Result")
Amounts = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float64]]

CHECK_TEXT = "a test"
"""The text that a paid embedder's `check` embeds, along with a picture."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image and how to read its bytes; nothing is read until an embedder asks.

    Attributes:
        image: what the source listed.
        read: returns the file's bytes; raises `SourceError` or `OSError` where they can no longer be read, and a
            `PictureError` where a region is to be cut out of what cannot be decoded.
    """

    image: Image
    read: Callable[[], bytes]


def with_bytes(picture: Picture, work: Callable[[bytes], Result]) -> Result | Failure:
    """The result of `work` for a picture's bytes.

    It is a failure where they cannot be read, where reading or `work` raises a `PictureError`, or where memory runs out.
    """
    try:
        try:
            data = picture.read()
        except (OSError, SourceError) as exc:  # of reading only: an OSError of `work` is a bug, not a lost file
            return Failure(ErrorClass.UNREADABLE, str(exc))
        return work(data)
    except PictureError as exc:
        return Failure(ErrorClass(exc.error_class), str(exc))
    except MemoryError:
        # The decoder catches its own, but resizing and encoding come after it; the next picture may need far less.
        return Failure(ErrorClass.INTERNAL, "this machine lacks the memory to prepare the picture for the model")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the provider accepts. None means that it sets no limit."""

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
    """USD for one image and for one text, with the date and the source of these figures.

    Attributes:
        per_image: for one image.
        per_text: for one text, however long.
        per_million_text_tokens: for the tokens of texts, which are estimated (`pinakes.rates.text_tokens`).
        as_of: the ISO date on which the figures were read at the source, or `not known` where nobody has read them.
        source: the address of the price page.
    """

    per_image: float = 0.0
    per_text: float = 0.0
    per_million_text_tokens: float = 0.0
    as_of: str = ""
    source: str = ""

    def of_text(self, text: str) -> float:
        """USD for a text."""
        return self.per_text + self.per_million_text_tokens * text_tokens(text) / 1e6

    @property
    def doubt(self) -> str | None:
        """What to say where nobody has compared the figures with the provider's; None where they have a date."""
        if not self.as_of or self.as_of[0].isdigit():
            return None
        return (
            f"the price is {self.as_of}: USD {self.per_image:g} an image is what Pinakes reckons with, and nobody has"
            f" compared it with {self.source or 'the price page'}. Look there before a large run, and put what you pay"
            " into the file that PINAKES_PRICES names (docs/settings.md)"
        )


@dataclass(frozen=True, slots=True)
class TextReading:
    """What an embedder made of a query.

    Attributes:
        vector: shape (dimension,), float32.
        read: the words that shaped the vector, in their order.
        unread: the words that it does not know; full-text search may find them.
        amounts: computes from the vectors of n pictures, shape (n, dimension), how much each picture has of what the text
            names, shape (n,): about the share of the picture, from 0 to 1. None where only the distance tells.
    """

    vector: Vector
    read: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    amounts: Amounts | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about an embedder before its first request."""

    space: Space
    description: str
    """One sentence: what it is, and what it is not."""
    limits: Limits = Limits()
    price: Price = Price()
    workers: int = 1
    """With how many concurrent batches it is fastest on one machine."""
    retires: str | None = None
    """ISO date on which the provider retires the model."""
    nearly_identical: float | None = None
    """Up to this cosine distance, two pictures are one that was saved or scaled again; None: it has not been measured."""


class Embedder(ABC):
    """Turns pictures and texts into vectors of one space.

    A subclass sets `facts` and implements the three abstract members. The other members say how a paid service differs
    from a model on this machine; their defaults are right for a model on this machine.
    """

    facts: Facts

    paid: ClassVar[bool] = False
    """Whether each answer costs money. Answers to queries are then stored and reused, a run calls `check` before its first
    batch, and `embed_images` itself must notice that the run is stopping, so that answers in flight are not lost."""

    @abstractmethod
    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """One `(index, vector or failure)` for each picture of `batch`, in any order, as soon as it is known.

        A vector has shape (dimension,) and dtype float32. A picture that cannot be embedded is a `Failure`, and the rest of
        the batch is embedded all the same.

        Raises:
            EmbedderError: the embedder cannot work at all, so that the whole run stops.
        """

    @abstractmethod
    def embed_text(self, text: str) -> TextReading:
        """The vector of a query.

        Raises:
            UnreadableQueryError: nothing in the text means anything to this embedder.
        """

    @property
    @abstractmethod
    def calls(self) -> int:
        """How many requests (or, for a model on this machine, pictures and texts) this object has answered so far."""

    @property
    def rate(self) -> float:
        """Requests a second that are allowed at present; infinity where there is no limit."""
        return math.inf

    @property
    def check_units(self) -> int:
        """What `check` costs, in multiples of the price of one picture."""
        return 0

    def check(self) -> None:  # noqa: B027 - a model on this machine was checked when it was opened
        """Embed one picture and one text, so that an error that concerns every request shows before the first batch.

        Raises:
            EmbedderError: the embedder cannot work.
        """

    def statistics(self) -> CallStatistics:
        """The requests so far."""
        return CallStatistics(self.calls)

    def embed_query_picture(self, picture: Picture) -> Vector | Failure:
        """The vector of a picture that a person searches by and waits for."""
        ((_, outcome),) = self.embed_images([picture])
        return outcome

    def unsent_words(self, text: str) -> tuple[str, ...]:  # noqa: ARG002 - for those that have a limit
        """The words at the end of a text that are not sent, because they are beyond the provider's limit."""
        return ()

    def reads_itself(self, uri: str) -> bool:  # noqa: ARG002 - for those that read elsewhere
        """Whether the provider reads the picture at `uri` by itself, so that its bytes do not pass through here."""
        return False

    def close(self) -> None:  # noqa: B027 - most hold nothing open
        """Give back threads and connections."""


class LocalEmbedder(Embedder):
    """An embedder that computes on this machine, and counts the pictures and texts that got a vector. Thread-safe."""

    def __init__(self) -> None:
        self._calls = 0
        self._counting = threading.Lock()

    @property
    def calls(self) -> int:
        """How many pictures and texts have been embedded so far."""
        return self._calls

    def _count(self) -> None:
        with self._counting:
            self._calls += 1

    def _counted(self, results: Iterable[tuple[int, Vector | Failure]]) -> Iterator[tuple[int, Vector | Failure]]:
        """`results`, of which the vectors are counted as they pass."""
        for index, result in results:
            if not isinstance(result, Failure):
                self._count()
            yield index, result
