"""How often Python collects cyclic garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS_BETWEEN = 50_000
"""New objects after which a collection starts: more than a batch of a listing makes for a moment, or than most modules make.
With Python's default of 700, importing a module examined everything that had been imported before."""


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Collect seldom in this block, or in the function that this decorates.

    Frequent collections took up to an eighth of a stage's time, and the more pictures there were, the more for each.
    """
    before = gc.get_threshold()
    if not 0 < before[0] < OBJECTS_BETWEEN:  # collection is switched off, or an outer block has made it seldom
        yield
        return
    gc.set_threshold(OBJECTS_BETWEEN, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
