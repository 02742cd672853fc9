"""An embedder that does nothing: what is left is the pipeline's own cost.

`python -m benchmarks.nothing ingest … --embedder nothing` is the command `pinakes` with this embedder added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from pinakes.embedders.base import Embedder, Facts, Picture, TextReading
from pinakes.embedders.declaration import Declaration, Model
from pinakes.embedders.registry import register
from pinakes.spaces import MAX_DIMENSION
from pinakes.types import Failure, Vector

MODEL = Model(
    name="none", versions=("1",), dimensions=range(1, MAX_DIMENSION + 1), default_dimension=64, preprocessing=""
)


class Nothing(Embedder):
    """Answers at once, without reading any bytes, with a vector made of the fingerprint."""

    def __init__(self, dimension: int | None = None) -> None:
        space = NOTHING.spaces(MODEL).space(dimension or MODEL.default_dimension)
        self.facts = Facts(space, "An embedder that does nothing, for measuring.", workers=2)
        self._calls = 0

    @property
    def calls(self) -> int:
        """Pictures asked for."""
        return self._calls

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """A vector for each picture."""
        for index, picture in enumerate(batch):
            self._calls += 1
            yield index, self._vector(picture.image.fingerprint)

    def embed_text(self, text: str) -> TextReading:
        """A vector of the text's hash."""
        return TextReading(self._vector(text), (text,))

    def _vector(self, text: str) -> Vector:
        """Numbers from -0.5 to 0.5 made of the text's hash: cheap, and as hard to compress as a real vector."""
        noise = np.frombuffer(hashlib.shake_128(text.encode()).digest(4 * self.facts.space.dimension), np.uint32)
        return (noise >> 9 | 0x3F800000).view(np.float32) - np.float32(1.5)


NOTHING = Declaration(
    name="nothing",
    title="nothing, for measuring",
    guide="benchmarks/nothing.py",
    open=lambda choice, _around: Nothing(choice.dimension),
    models=(MODEL,),
)
register(NOTHING)

if __name__ == "__main__":
    from pinakes.cli.main import main

    main()
