"""Vectors of which nothing at hand can make more: they were made elsewhere, or their model is not what it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pinakes.embedders.base import Embedder, Facts, Picture, TextReading
from pinakes.errors import EmbedderError, PinakesError, UnreadableQueryError
from pinakes.spaces import Space
from pinakes.types import Failure, Vector


class Imported(Embedder):
    """Stands for a model that is not at hand. Stored images can be compared; words go to full text, with the reason.

    Args:
        space: whose vectors there are.
        reason: why no more can be made, as a clause.
    """

    calls = 0

    def __init__(
        self, space: Space, reason: str = "its vectors were imported, and no model at hand makes more"
    ) -> None:
        self.facts = Facts(space, f"Vectors of {space.provider}/{space.model}; {reason}.")
        self._reason = reason

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """Raises EmbedderError for any picture: there is no model."""
        if batch:
            raise EmbedderError(
                f"nothing can be embedded into {self.facts.space.name}: {self._reason}. Search by words or by a stored image"
                " (--like), or name another space."
            )
        return iter(())

    def embed_text(self, text: str) -> TextReading:  # noqa: ARG002 - the protocol's signature
        """Raises UnreadableQueryError."""
        raise UnreadableQueryError(self._reason)


class Absent(Embedder):
    """Stands for a model that something is in the way of: who asks for a vector is told. Stored images can be compared.

    Args:
        space: whose vectors there are.
        error: what is in the way.
    """

    calls = 0

    def __init__(self, space: Space, error: PinakesError) -> None:
        self.facts = Facts(
            space, f"Vectors of {space.provider}/{space.model}; the model that makes more is not at hand."
        )
        self._error = error

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """Raises what is in the way, for any picture."""
        if batch:
            raise self._again()
        return iter(())

    def embed_text(self, text: str) -> TextReading:  # noqa: ARG002 - the protocol's signature
        """Raises what is in the way."""
        raise self._again()

    def _again(self) -> PinakesError:
        again = type(self._error)(*self._error.args)
        again.__cause__ = self._error
        return again
