"""A provider's quota as a token bucket: what the fakes answer 429 from."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|min|h)\Z")


def per_second(text: str) -> float:
    """The rate that `30/s`, `120/min` or `1000/h` means, in requests a second."""
    match = _RATE.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no rate; write 30/s, 120/min or 1000/h")
    return float(match[1]) / _SECONDS[match[2]]


class Quota:
    """A token bucket: `rate` tokens a second flow in, at most `burst` are kept, each request takes some. Thread-safe.

    Attributes:
        granted: requests that got a token.
        refused: requests that did not.
    """

    def __init__(self, rate: float | str, burst: float = 1.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = per_second(rate) if isinstance(rate, str) else rate
        if self.rate <= 0 or burst < 1:
            raise ValueError(f"a quota of {self.rate}/s with a burst of {burst} lets nothing through")
        self.burst = burst
        self.granted = 0
        self.refused = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._at = clock()

    def take(self, count: float = 1.0) -> float:
        """Take `count` tokens.

        Returns:
            0.0 if there were so many; otherwise the seconds until there is, and nothing is taken.
        """
        with self._lock:
            now = self._clock()
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
            self._at = now
            if self._tokens >= count:
                self._tokens -= count
                self.granted += 1
                return 0.0
            self.refused += 1
            return (count - self._tokens) / self.rate
