"""Paints part of a gallery in a process of its own: `python -m gallery.worker IMAGES SEED NUMBER…`.

A line of JSON on standard output says what was painted, as soon as its file is in place.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gallery import catalogue, studio
from gallery.story import Story

QUALITY = 84
"""Of the JPEG files: no blocks to be seen in the strokes, and about 100 kB a picture."""


def paint(images: Path, seed: int, number: int) -> Story:
    """Paint one picture into `images`, written whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    order = studio.commission(number, seed)
    picture, story = studio.execute(order)
    target = images / catalogue.file_name(order)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if target.suffix == ".png":
            picture.save(draft, "PNG")
        else:
            picture.save(draft, "JPEG", quality=QUALITY)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return story


def main(arguments: Sequence[str]) -> None:
    """Paint the numbers that were asked for."""
    images, seed, *numbers = arguments
    for number in numbers:
        story = paint(Path(images), int(seed), int(number))
        sys.stdout.write(json.dumps([int(number), dataclasses.asdict(story)]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
