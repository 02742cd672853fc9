"""An embedder for tests: it makes a vector of a picture's colours, counts what it is asked, and can be told to fail.

`python -m tests.counting ingest … --embedder counting` is the command `pinakes` with this embedder added. Calls are
appended to the file named in COUNTING_LOG, a fingerprint a line, so that they survive a kill. While the file named in
COUNTING_HOLD is there it answers nothing; a call takes COUNTING_SECONDS, or only while the file named in COUNTING_SLOW is
there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from pinakes.embedders.base import Embedder, Facts, Picture, TextReading
from pinakes.embedders.declaration import Declaration, Model
from pinakes.embedders.registry import register
from pinakes.errors import PictureError, UnreadableQueryError
from pinakes.spaces import MAX_DIMENSION
from pinakes.types import ErrorClass, Failure, Vector

MODEL = Model(
    name="colours",
    versions=("1",),
    dimensions=range(1, MAX_DIMENSION + 1),
    default_dimension=27,
    preprocessing="",
)
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


class Counting(Embedder):
    """Real vectors of real bytes: the mean colours of a grid of 3 x 3 fields, or of as many as fit the dimension."""

    def __init__(self, dimension: int | None = None) -> None:
        space = COUNTING.spaces(MODEL).space(dimension or MODEL.default_dimension)
        self.facts = Facts(space, "Mean colours, for tests.", workers=2)
        self.asked: list[str] = []
        self.fail: dict[str, Failure] = {}
        self.seconds = float(os.environ.get("COUNTING_SECONDS", "0"))
        self._log = os.environ.get("COUNTING_LOG")
        self._hold = Path(os.environ.get("COUNTING_HOLD", "/dev/null/none"))
        self._slow = Path(os.environ.get("COUNTING_SLOW", "/"))

    @property
    def calls(self) -> int:
        """Pictures asked for."""
        return len(self.asked)

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """A vector, or the failure that was ordered, for each picture; in reverse order, as an answer may come."""
        for index, picture in reversed(list(enumerate(batch))):
            self._count(picture.image.fingerprint)
            if self.seconds and self._slow.exists():
                time.sleep(self.seconds)
            while self._hold.exists():
                time.sleep(0.05)
            ordered = self.fail.get(picture.image.image_id)
            yield index, ordered or self._embed(picture)

    def embed_text(self, text: str) -> TextReading:
        """The vector of a picture in that colour."""
        words = text.split()
        read = tuple(word for word in words if word in COLOURS)
        if not read:
            raise UnreadableQueryError(f"no colour among {', '.join(COLOURS)}")
        colour = np.mean([COLOURS[word] for word in read], axis=0)
        vector = self._fitted(np.tile(colour, 9))
        return TextReading(vector, read, tuple(word for word in words if word not in COLOURS))

    def _count(self, fingerprint: str) -> None:
        self.asked.append(fingerprint)
        if self._log:
            with Path(self._log).open("a") as log:
                log.write(f"{time.time()} {fingerprint}\n")

    def _embed(self, picture: Picture) -> Vector | Failure:
        try:
            with Pillow.open(BytesIO(picture.read())) as opened:
                fields = np.asarray(opened.convert("RGB").resize((3, 3), Pillow.Resampling.BOX), dtype=np.float32)
        except (OSError, PictureError) as exc:
            return Failure(ErrorClass.UNDECODABLE, f"not a picture: {type(exc).__name__}")
        return self._fitted(fields.ravel())

    def _fitted(self, values: np.ndarray) -> Vector:
        return np.resize(values + 1, self.facts.space.dimension).astype(np.float32)


COUNTING = Declaration(
    name="counting",
    title="mean colours, for tests",
    guide="tests/counting.py",
    open=lambda choice, _around: Counting(choice.dimension),
    models=(MODEL,),
)
register(COUNTING)

if __name__ == "__main__":
    from pinakes.cli.main import main

    main()
