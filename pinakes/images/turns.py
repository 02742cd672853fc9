"""Turns for work that takes memory, so that many pictures at once cost time instead, and who waits for such work."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ctypes import CDLL
from dataclasses import dataclass

from pinakes.errors import PinakesError

LOOK_SECONDS = 0.2
"""How often somebody who waits is asked whether they are still there."""


class BusyError(PinakesError):
    """Too many pictures are being worked on at once."""


class LeftError(PinakesError):
    """Whoever asked for this work has left, so it was not done."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who waits for the work of this thread: by default a run, which waits as long as it takes.

    Attributes:
        seconds: the longest wait for a turn.
        has_left: whether nobody waits any more.
        line: how many others may already wait for a turn; a longer line is not joined.
        work_seconds: how long the work on a picture that may take endless time may last once it has its turn.
    """

    seconds: float = math.inf
    has_left: Callable[[], bool] = lambda: False
    line: float = math.inf
    work_seconds: float = math.inf

    def check(self) -> None:
        """Raise `LeftError` if nobody waits any more."""
        if self.has_left():
            raise LeftError("whoever asked for this has left.")


WAITING: ContextVar[Waiting] = ContextVar("waiting", default=Waiting())  # noqa: B039 - it is frozen
"""The page sets it for each request."""


class Turns:
    """A budget of bytes, first come first served.

    Args:
        budget: bytes at once; work that needs more is done while no other is.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._taken = 0

    @contextmanager
    def turn(self, size: int) -> Iterator[None]:
        """Wait for room for `size` bytes, and hold it for the length of the block.

        Raises:
            BusyError: there was none in the time that `WAITING` allows, or too many wait for it.
            LeftError: nobody waits any more.
        """
        wanted = min(size, self._budget)
        waiting = WAITING.get()
        deadline = time.monotonic() + waiting.seconds
        with self._changed:
            self._waiting.append(me := object())
            try:
                while True:
                    waiting.check()
                    # Only the first in line: otherwise small pictures would keep a large one waiting forever.
                    if self._waiting[0] is me and self._taken + wanted <= self._budget:
                        break
                    left = deadline - time.monotonic()
                    if left <= 0 or self._waiting.index(me) > waiting.line:
                        raise BusyError(
                            "too many pictures are being worked on at this moment; try again in a few seconds."
                        )
                    self._changed.wait(min(left, LOOK_SECONDS))  # nobody notifies when a visitor leaves
                self._taken += wanted
            finally:
                self._waiting.remove(me)
                self._changed.notify_all()  # the next in line may fit as well
        try:
            yield
        finally:
            with self._changed:
                self._taken -= wanted
                self._changed.notify_all()


def give_memory_back() -> None:
    """Give memory that is free, but kept by the C library, back to the machine (glibc only: others do so themselves)."""
    if _trim is not None:
        _trim(0)


_trim = getattr(CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
