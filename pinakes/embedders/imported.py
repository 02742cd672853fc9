"""Vectors that were made elsewhere: nothing here can make more of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pinakes.embedders.base import Facts, Picture, TextReading
from pinakes.errors import EmbedderError, UnreadableQueryError
from pinakes.spaces import Space
from pinakes.types import Failure, Vector


class Imported:
    """Stands for the model of an imported space. Stored images can be compared; words go to full text."""

    calls = 0

    def __init__(self, space: Space) -> None:
        self.facts = Facts(space, f"Imported vectors of {space.provider}/{space.model}; no model at hand makes more.")

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """Raises EmbedderError for any picture: there is no model."""
        if batch:
            raise EmbedderError(
                f"the vectors of {self.facts.space.name} were imported and no model at hand makes more: search by words or"
                " by a stored image (--like), or name another space."
            )
        return iter(())

    def embed_text(self, text: str) -> TextReading:  # noqa: ARG002 - the protocol's signature
        """Raises UnreadableQueryError."""
        raise UnreadableQueryError("its vectors were imported, and no model at hand reads words")
