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


def until(
    look: Callable[[], Found], process: Process | None = None, *, every: float = 0.05, within: float = PATIENCE
) -> Found:
    """What there is at last; `process` lives on meanwhile. Looking takes a tenth of the time at most."""
    given_up = time.monotonic() + within
    while True:
        began = time.monotonic()
        if found := look():
            return found
        looked = time.monotonic()
        assert looked < given_up, "it did not happen"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(max(every, 9 * (looked - began)))
