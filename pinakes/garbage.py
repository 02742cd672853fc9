"""How often Python looks for garbage in cycles of objects."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS_BETWEEN = 50_000
"""New objects that set off a search: more than a batch of a listing makes for a moment, or than most modules. With Python's
own 700, each had all that was ever imported searched."""


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Look seldom in this block, or in the function that this decorates.

    Looking often took up to an eighth of a stage's time, and for each picture more the more there were.
    """
    before = gc.get_threshold()
    if not 0 < before[0] < OBJECTS_BETWEEN:  # never, or a block around this one is as seldom already
        yield
        return
    gc.set_threshold(OBJECTS_BETWEEN, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
