"""An embedder that does nothing: what is left is the pipeline's own cost.

`python -m benchmarks.nothing ingest … --embedder nothing` is the command `pinakes` with this embedder added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from pinakes.embedders.base import Facts, Picture, TextReading
from pinakes.embedders.registry import EMBEDDERS
from pinakes.spaces import Space
from pinakes.types import Failure, Vector

DEFAULT_DIMENSION = 64


class Nothing:
    """Answers at once, without reading any bytes, with a vector made of the fingerprint."""

    def __init__(self, dimension: int | None = None) -> None:
        space = Space("nothing", "none", "1", dimension or DEFAULT_DIMENSION, "")
        self.facts = Facts(space, "An embedder that does nothing, for measuring.", workers=2)
        self.calls = 0
        self._base = np.random.default_rng(1).standard_normal(space.dimension, dtype=np.float32)

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """A vector for each picture."""
        for index, picture in enumerate(batch):
            self.calls += 1
            yield index, self._vector(picture.image.fingerprint)

    def embed_text(self, text: str) -> TextReading:
        """A vector of the text's hash."""
        return TextReading(self._vector(text), (text,))

    def _vector(self, text: str) -> Vector:
        """A fixed random vector, turned by as much as the text's hash says: cheap, and different for different texts."""
        return np.roll(self._base, int(hashlib.md5(text.encode()).hexdigest()[:8], 16))


EMBEDDERS["nothing"] = lambda choice, _around: Nothing(choice.dimension)

if __name__ == "__main__":
    from pinakes.cli.main import main

    main()
