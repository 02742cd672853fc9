"""Heavy work takes turns, so that many visitors cost time rather than memory."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from pinakes.errors import PinakesError

MAX_PIXELS_AT_ONCE = 200_000_000
"""Pixels being decoded at one time: a little more than the largest picture that is decoded at all. A PNG of 144 million took
1.2 GB, 8 bytes each, so that at most 1.6 GB are in use."""

WAIT_SECONDS = 20.0
"""Then it is better to refuse a visitor than to keep them waiting."""


class BusyError(PinakesError):
    """Too many visitors request heavy work at once."""


class HeavyWork:
    """A budget of pixels and of workers.

    Args:
        workers: decodings at once; None: one more than there are cores.
        pixels: pixels being decoded at once; a picture with more of them is decoded while no other is.
        wait_seconds: how long a turn is waited for.
    """

    def __init__(
        self,
        workers: int | None = None,
        pixels: int = MAX_PIXELS_AT_ONCE,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._workers = workers or (os.cpu_count() or 1) + 1
        self._budget = pixels
        self._wait_seconds = wait_seconds
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._working = 0
        self._taken = 0

    @contextmanager
    def turn(self, pixels: int) -> Iterator[None]:
        """Wait for room, first come first served, and hold it for the length of the block.

        Raises:
            BusyError: there was none for `wait_seconds`.
        """
        wanted = min(pixels, self._budget)
        deadline = time.monotonic() + self._wait_seconds
        with self._changed:
            self._waiting.append(me := object())
            try:
                while self._waiting[0] is not me or not self._has_room(wanted):
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise BusyError(
                            "too many pictures are being worked on at this moment; try again in a few seconds."
                        )
                    self._changed.wait(left)
                self._working += 1
                self._taken += wanted
            finally:
                self._waiting.remove(me)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._working -= 1
                self._taken -= wanted
                self._changed.notify_all()

    def _has_room(self, pixels: int) -> bool:
        return self._working < self._workers and self._taken + pixels <= self._budget
