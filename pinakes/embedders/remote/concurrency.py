"""How many requests to have in flight at once, computed from the allowed rate and the measured latency.

Little's law (J. D. C. Little, Operations Research 9, 1961): requests in flight = rate x latency. Without a rate limit the
number grows as long as more requests at once bring more answers a second.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

FIRST = 8
"""Requests in flight at the start, where no rate determines how many."""

BOUND = 64
"""Requests in flight at most: as many threads and connections."""

HEAD_ROOM = 1.5
"""Latencies vary. The excess requests wait for their slots, which costs nothing."""

SPARE = 2
"""At a low rate, half of one request more would be none."""

GUESS_SECONDS = 0.5
"""Latency that is assumed before the first answer."""

SMOOTHING = 0.1
"""Weight of the newest latency in their mean."""

GAIN = 1.05
"""With more requests in flight, answers per second must grow by at least this factor to keep the larger number."""

HOLD = 8
"""Rounds for which a number is kept before a larger one is tried again."""

STOP_SECONDS = 0.25
"""How often a caller that waits for a place checks whether to give up."""


class Concurrency:
    """Limits how many requests are in flight. Thread-safe.

    Args:
        rate: the allowed requests a second at present (inf: no limit).
        cap: the largest number in flight, if the user set one.

    Attributes:
        bound: how many may ever be in flight.
        limit: how many may be in flight at present.
        in_flight: how many are.
    """

    def __init__(self, rate: Callable[[], float], cap: int | None = None) -> None:
        self.bound = min(BOUND, cap) if cap else BOUND
        self.in_flight = 0
        self._rate = rate
        self._freed = threading.Condition()
        self._latency: float | None = None
        self.limit = min(FIRST, self.bound)
        self._climb = _Climb()
        if math.isfinite(rate()):
            self.limit = self._by_littles_law()

    def enter(self, give_up: Callable[[], bool]) -> bool:
        """Wait for a place; False if `give_up` returns true first. `leave` must give a place back."""
        with self._freed:
            while self.in_flight >= self.limit:
                if give_up():
                    return False
                self._freed.wait(STOP_SECONDS)  # not longer, since nobody notifies when a run ends
            self.in_flight += 1
            return True

    def leave(self) -> None:
        """Give a place back."""
        with self._freed:
            self.in_flight -= 1
            self._freed.notify()

    def answered(self, seconds: float) -> None:
        """Record the latency of one answer, while its place is still held."""
        with self._freed:
            mean = self._latency
            self._latency = seconds if mean is None else mean + SMOOTHING * (seconds - mean)
            before = self.limit
            if math.isfinite(self._rate()):
                self.limit = self._by_littles_law()
            else:
                self.limit = min(self.bound, self._climb.after(self.limit, self.in_flight))
            if self.limit > before:
                self._freed.notify(self.limit - before)

    def _by_littles_law(self) -> int:
        # The rate is asked for each time, because the pacer lowers it after a 429 and raises it again.
        latency = GUESS_SECONDS if self._latency is None else self._latency
        return max(1, min(self.bound, math.ceil(HEAD_ROOM * self._rate() * latency) + SPARE))


class _Climb:
    """Hill climbing on the answers per second: doubles, later adds an eighth, and steps back where that does not help."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._answers = 0
        self._fullest = 0
        self._best = 0.0
        self._previous: int | None = None
        self._doubling = True
        self._hold = 0

    def after(self, limit: int, in_flight: int) -> int:
        """The limit after one more answer."""
        self._answers += 1
        self._fullest = max(self._fullest, in_flight)
        # A doubling that helps shows at once; what an eighth more brings takes longer to tell.
        if self._answers < max(FIRST, limit if self._doubling else 2 * limit):
            return limit
        now = time.monotonic()
        throughput = self._answers / max(now - self._began, 1e-6)
        used = self._fullest >= limit  # if the limit was never reached, it cannot be what held the answers up
        self._began, self._answers, self._fullest = now, 0, 0
        return self._next(limit, throughput) if used else limit

    def _next(self, limit: int, throughput: float) -> int:
        if self._hold:
            self._hold -= 1
            self._best = throughput  # the latest, since a service may become slower or faster during a run
            return limit
        if self._previous is not None and throughput < GAIN * self._best:
            back, self._previous = self._previous, None
            self._doubling, self._hold = False, HOLD
            return back
        self._best, self._previous = throughput, limit
        return 2 * limit if self._doubling else limit + max(1, limit // 8)
