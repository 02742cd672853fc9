"""What goes wrong, when, and whether it was paid for: a seeded schedule of faults that every fake draws from."""

from __future__ import annotations

import enum
import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """How a request fails. A protocol that has no such failure takes the nearest of its own."""

    ERROR = "error"
    """The service says that it is at fault (HTTP 500, 502, 503 or 504)."""
    RESET = "reset"
    """The connection is reset without an answer."""
    TRUNCATED = "truncated"
    """The answer stops half-way and the connection is closed."""
    SLOW = "slow"
    """The answer comes in drips, slower than a client should wait."""
    MALFORMED = "malformed"
    """A complete answer of status 200 that is not what it should be."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure.

    Attributes:
        kind: how it shows.
        charged: whether it strikes after the request was carried out and charged (the answer is lost), or before.
    """

    kind: Kind
    charged: bool


ALL_KINDS = tuple(Kind)
TRANSIENT = tuple(kind for kind in Kind if kind is not Kind.MALFORMED)
"""What is tried until it works; an answer that cannot be used is asked for a second time, and no more."""
_AFTER_ONLY = frozenset({Kind.TRUNCATED, Kind.SLOW, Kind.MALFORMED})
"""These spoil an answer, so there was one, and it was charged."""


class Faults:
    """Says of each request in turn whether and how it fails. Thread-safe.

    The n-th request's fate depends on `seed` and n alone, not on what other requests did.

    Args:
        seed: another seed, another schedule.
        share: of all requests, how many fail (0 to 1).
        kinds: what they fail with, in equal parts.
        script: the fates of the first requests, before chance decides; None stands for a good answer.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        share: float = 0.0,
        kinds: Iterable[Kind | str] = ALL_KINDS,
        script: Iterable[Fault | None] = (),
    ) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"a share of {share} faults is not between 0 and 1")
        self.seed = seed
        self.share = share
        self.kinds = tuple(Kind(kind) for kind in kinds)
        self._script = tuple(script)
        self._asked = 0
        self._lock = threading.Lock()

    def next(self) -> Fault | None:
        """The fate of the next request; None: all goes well."""
        with self._lock:
            number = self._asked
            self._asked += 1
        if number < len(self._script):
            return self._script[number]
        return self.fate(number)

    def fate(self, number: int) -> Fault | None:
        """What chance has in store for request `number` (from 0), whatever the script says."""
        chance = random.Random(f"{self.seed}/{number}")
        if not self.kinds or chance.random() >= self.share:
            return None
        kind = chance.choice(self.kinds)
        return Fault(kind, charged=kind in _AFTER_ONLY or chance.random() < 0.5)


class Latency:
    """How long a request takes: `seconds`, give or take `jitter`, evenly spread. Seeded as `Faults` is."""

    def __init__(self, seconds: float = 0.0, jitter: float = 0.0, *, seed: int = 0) -> None:
        self.seconds = seconds
        self.jitter = jitter
        self._random = random.Random(f"latency/{seed}")
        self._lock = threading.Lock()

    def draw(self) -> float:
        """Seconds for the next request, never negative."""
        if not self.jitter:
            return self.seconds
        with self._lock:
            return max(0.0, self.seconds + self._random.uniform(-self.jitter, self.jitter))
