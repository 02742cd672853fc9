"""What a fake service was asked and what it charged for, counted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Tally:
    """Counts requests. Thread-safe; every property is a copy.

    Attributes:
        counts: by name, as the fake calls things; `requests`, `peak`, `charged`, `delivered` and `lost` are kept here.
        calls: how often each key was charged.
        delivered: how often each key's answer was handed over whole and right.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.forget()

    @property
    def counts(self) -> Counter[str]:
        with self._lock:
            return self._counts.copy()

    @property
    def calls(self) -> Counter[str]:
        with self._lock:
            return self._calls.copy()

    @property
    def delivered(self) -> Counter[str]:
        with self._lock:
            return self._delivered.copy()

    def add(self, *names: str) -> None:
        """Add one to each of these counts."""
        with self._lock:
            self._counts.update(names)

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request, from its arrival to its end: counted, and for `peak` among those at once."""
        with self._lock:
            self._now += 1
            self._counts["requests"] += 1
            self._counts["peak"] = max(self._counts["peak"], self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1

    def charge(self, key: str) -> None:
        """The work under this key was done, and is charged."""
        with self._lock:
            self._counts["charged"] += 1
            self._calls[key] += 1

    def deliver(self, key: str) -> None:
        """Its answer is handed over."""
        with self._lock:
            self._counts["delivered"] += 1
            self._delivered[key] += 1

    def lose(self, key: str, *, delivered: bool = False) -> None:
        """Its answer did not arrive; `delivered`, if it was counted as handed over before that was known."""
        with self._lock:
            self._counts["lost"] += 1
            self._counts["delivered"] -= delivered
            self._delivered[key] -= delivered

    def forget(self) -> None:
        """Count from zero again."""
        with self._lock:
            self._counts: Counter[str] = Counter()
            self._calls: Counter[str] = Counter()
            self._delivered: Counter[str] = Counter()
