"""Vectors that were made elsewhere: nothing here can make more of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pinakes.embedders.base import Facts, Picture, TextReading
from pinakes.errors import EmbedderError, UnreadableQueryError
from pinakes.spaces import Space
from pinakes.types import Failure, Vector


class Imported:
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
