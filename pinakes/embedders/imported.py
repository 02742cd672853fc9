"""Stand-ins for models that cannot make more vectors; the stored images can still be compared with each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pinakes.embedders.base import Embedder, Facts, Picture, TextReading
from pinakes.errors import EmbedderError, PinakesError, UnreadableQueryError
from pinakes.spaces import Space
from pinakes.types import Failure, Vector


class Absent(Embedder):
    """Stands for a model that cannot be used now: asking for a vector raises the reason.

    Args:
        space: the space of the stored vectors.
        error: raised for every picture and text.
    """

    calls = 0

    def __init__(self, space: Space, error: PinakesError) -> None:
        self.facts = Facts(space, f"Vectors of {space.provider}/{space.model}; no more can be made: {error}")
        self._error = error

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """Raises the reason for any picture."""
        if batch:
            raise self._again()
        return iter(())

    def embed_text(self, text: str) -> TextReading:  # noqa: ARG002 - the protocol's signature
        """Raises the reason."""
        raise self._again()

    def _again(self) -> PinakesError:
        # A new error each time: one that is raised again and again would collect the tracebacks of all threads.
        again = type(self._error)(*self._error.args)
        again.__cause__ = self._error
        return again


class Imported(Absent):
    """Stands for a model that is not set up or that no embedder calls. Words go to full-text search, with the reason.

    Args:
        space: the space of the stored vectors.
        reason: why no more can be made, as a clause.
    """

    def __init__(
        self, space: Space, reason: str = "its vectors were imported, and no available model makes more"
    ) -> None:
        super().__init__(
            space,
            EmbedderError(
                f"nothing can be embedded into {space.name}: {reason}. Search by words or by a stored image (--like), or"
                " name another space."
            ),
        )
        self._reason = reason

    def embed_text(self, text: str) -> TextReading:  # noqa: ARG002 - the protocol's signature
        """Raises UnreadableQueryError."""
        raise UnreadableQueryError(self._reason)
