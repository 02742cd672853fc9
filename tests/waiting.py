"""How long tests wait for what takes a moment on a quiet machine: generously, and in one place."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

PATIENCE = 180.0
"""Seconds. A limit says that something is never going to happen; on a machine with ten times as much to do as it can, what
takes a second takes a minute."""

Found = TypeVar("Found")


class Process(Protocol):
    """What is waited for must be seen while this lives."""

    def poll(self) -> int | None:
        """Its status when it has ended."""
        ...

    def communicate(self) -> object:
        """What it said when it had ended."""
        ...


def until(look: Callable[[], Found], process: Process | None = None, *, every: float = 0.02) -> Found:
    """What there is at last; `process` lives on meanwhile."""
    given_up = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < given_up, "it did not happen"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(every)
    return found
