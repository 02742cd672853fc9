"""Paints part of a gallery in a process of its own: `python -m gallery.worker IMAGES SEED NUMBER…`.

It writes a line of JSON with the number and the story of each picture to standard output as soon as its file is complete.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from gallery import catalogue, studio
from gallery.story import Story

QUALITY = 84
"""Of the JPEG files: no blocks can be seen in the strokes, and a picture takes about 100 kB."""


def paint(images: Path, seed: int, number: int) -> Story:
    """Paint one picture into `images`, written whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    order = studio.commission(number, seed)
    picture, story = studio.execute(order)
    target = images / catalogue.file_name(order)
    with draft_of(target) as draft:
        picture.save(draft, "PNG" if target.suffix == ".png" else "JPEG", quality=QUALITY)
    return story


@contextlib.contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """A file to write to, which then takes the place of `path`."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield draft
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):  # what stopped the write matters more
            draft.unlink(missing_ok=True)


if __name__ == "__main__":
    for picture in sys.argv[3:]:
        story = dataclasses.asdict(paint(Path(sys.argv[1]), int(sys.argv[2]), int(picture)))
        # At once, because the process that started this one waits for each line.
        print(json.dumps([int(picture), story]), flush=True)  # noqa: T201 - the answer to the process that started this
