"""Counts of requests: how many were made, retried and lost, and how long they took."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

SHORTEST = 1e-4
"""Seconds; anything faster counts as this."""

STEP = 1.02
"""The ratio of one class of latencies to the next: quantiles are within 1 % of the true ones, and any number of requests
is counted in a few hundred classes."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long answers took, counted in classes, so that the counts of several processes can be added.

    Attributes:
        classes: pairs of a class's number and how many answers are in it, sorted; JSON keeps them as lists.
    """

    classes: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, counted: Mapping[int, int]) -> Self:
        """From the number of a class to how many answers are in it."""
        return cls(tuple(sorted((number, count) for number, count in counted.items() if count)))

    @classmethod
    def each(cls, seconds: float, answers: int) -> Self:
        """As many answers as that, which took `seconds` each."""
        return cls.of({_class(seconds): answers})

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The latencies that `dataclasses.asdict` wrote and JSON returned."""
        return cls.of(dict(document["classes"]))

    @property
    def answers(self) -> int:
        """How many answers are counted."""
        return sum(count for _, count in self.classes)

    def __add__(self, other: Latencies) -> Latencies:
        return Latencies.of(Counter(dict(self.classes)) + Counter(dict(other.classes)))

    def __sub__(self, other: Latencies) -> Latencies:
        return Latencies.of(Counter(dict(self.classes)) - Counter(dict(other.classes)))

    def quantile(self, share: float) -> float:
        """Seconds that this share of the answers does not exceed, by nearest rank, within 1 %; 0 without any answer."""
        rank = math.ceil(share * self.answers)
        seen = 0
        for number, count in self.classes:
            seen += count
            if seen >= rank:
                return float(SHORTEST * STEP**number)
        return 0.0


@dataclass(frozen=True, slots=True)
class CallStatistics:
    """The requests of one embedder so far.

    Attributes:
        calls: requests that are, or may be, charged: answered and lost ones.
        texts: those of them that were for a text.
        answered: requests that returned a vector.
        lost: requests whose answer never came (time-outs, broken connections) or cannot be used; the provider may have
            charged them.
        retries: requests made again after a transient failure.
        rate_limited: answers 429.
        latencies: how long the answers took.
        per_second: answers a second, from the beginning of the first answered request to the last answer; 0 without any.
        in_flight: how many requests are allowed at once at present; None for a model on this machine, which makes none.
    """

    calls: int
    texts: int = 0
    answered: int = 0
    lost: int = 0
    retries: int = 0
    rate_limited: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    per_second: float = 0.0
    in_flight: int | None = None


class Counters:
    """Counts requests. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered = self._lost = self._texts = self._retries = self._rate_limited = 0
        self._latencies: Counter[int] = Counter()
        self._first = math.inf
        self._last = 0.0

    @property
    def calls(self) -> int:
        """See `CallStatistics.calls`."""
        return self._answered + self._lost

    def answered(self, seconds: float, *, text: bool = False) -> None:
        """One request returned a vector, of a text or of a picture, after `seconds`."""
        now = time.monotonic()
        with self._lock:
            self._answered += 1
            self._texts += text
            self._latencies[_class(seconds)] += 1
            # The first to be answered need not be the first that began.
            self._first = min(self._first, now - seconds)
            self._last = max(self._last, now)

    def lost(self, *, text: bool = False) -> None:
        """The answer of one request never came, or cannot be used."""
        with self._lock:
            self._lost += 1
            self._texts += text

    def retried(self) -> None:
        """One request will be made again."""
        with self._lock:
            self._retries += 1

    def rate_limited(self) -> None:
        """One request was answered 429."""
        with self._lock:
            self._rate_limited += 1

    def statistics(self, in_flight: int) -> CallStatistics:
        """All counts at this moment."""
        with self._lock:
            return CallStatistics(
                calls=self.calls,
                texts=self._texts,
                answered=self._answered,
                lost=self._lost,
                retries=self._retries,
                rate_limited=self._rate_limited,
                latencies=Latencies.of(self._latencies),
                # A single answer may begin and end at one tick of the clock.
                per_second=self._answered / max(self._last - self._first, SHORTEST) if self._answered else 0.0,
                in_flight=in_flight,
            )


def _class(seconds: float) -> int:
    """The number of the class of latencies whose middle is `SHORTEST * STEP ** number`."""
    return round(math.log(max(seconds, SHORTEST) / SHORTEST, STEP))
