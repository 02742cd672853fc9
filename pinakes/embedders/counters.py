"""What is counted of requests: how many, how many again, how long they took."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

RESERVOIR = 1024
"""Latencies that are kept: the newest."""


@dataclass(frozen=True, slots=True)
class CallStatistics:
    """The requests of one embedder so far.

    Attributes:
        calls: requests that are, or may be, charged: answered and lost ones.
        answered: requests that brought a vector.
        lost: requests whose answer never came (time-outs, broken connections); the provider may have charged them.
        retries: requests made again after a transient failure.
        rate_limited: answers 429.
        p50: median latency of the newest answers, in seconds; 0 without any.
        p95: what 95 % of them stayed below.
        in_flight: how many requests are allowed at once at present.
    """

    calls: int
    answered: int
    lost: int
    retries: int
    rate_limited: int
    p50: float
    p95: float
    in_flight: int


class Counters:
    """Counts requests. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered = self._lost = self._retries = self._rate_limited = 0
        self._seconds: deque[float] = deque(maxlen=RESERVOIR)

    @property
    def calls(self) -> int:
        """See `CallStatistics.calls`."""
        return self._answered + self._lost

    def answered(self, seconds: float) -> None:
        """One request brought a vector after so long."""
        with self._lock:
            self._answered += 1
            self._seconds.append(seconds)

    def lost(self) -> None:
        """One request's answer never came."""
        with self._lock:
            self._lost += 1

    def retried(self) -> None:
        """One request is made again."""
        with self._lock:
            self._retries += 1

    def rate_limited(self) -> None:
        """One request was answered 429."""
        with self._lock:
            self._rate_limited += 1

    def statistics(self, in_flight: int) -> CallStatistics:
        """Everything at this moment."""
        with self._lock:
            seconds = sorted(self._seconds)
            return CallStatistics(
                calls=self.calls,
                answered=self._answered,
                lost=self._lost,
                retries=self._retries,
                rate_limited=self._rate_limited,
                p50=_quantile(seconds, 0.5),
                p95=_quantile(seconds, 0.95),
                in_flight=in_flight,
            )


def _quantile(ascending: list[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))] if ascending else 0.0
