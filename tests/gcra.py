"""The shared rate limit, told again one call at a time: what `pinakes.store.limits` is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from pinakes.rates import Rate


def rounding(operations: int, at: float) -> float:
    """Seconds that so many additions may lose of a time `at`: each rounds to the nearest double.

    A double of the size of today's date, 1.8e9 s, is 2.4e-7 s away from its neighbours.
    """
    return operations * math.ulp(at) / 2


class Reference:
    """The generic cell rate algorithm over some windows, straight from its definition."""

    def __init__(self, rates: Sequence[Rate]) -> None:
        self.rates = rates
        self.free_at = [0.0] * len(rates)
        self.owed: list[list[float]] = [[] for _ in rates]

    def reserve(self, now: float, count: int) -> list[float]:
        """Slots for `count` calls."""
        return [self._take(self._earliest(now)) for _ in range(count)]

    def interactive(self, now: float) -> float:
        """The slot of a call that goes before others."""
        slot = now
        for rate, free_at, owed in zip(self.rates, self.free_at, self.owed, strict=True):
            regular = free_at - rate.head_start
            open_debts = sorted(due for due in owed if due > now)
            if rate.lead == 0:
                slot = max(slot, regular)
            elif len(open_debts) >= rate.lead:
                slot = max(slot, min(regular, open_debts[-rate.lead]))
        return self._take(slot, interactive=True)

    def _earliest(self, now: float) -> float:
        return max(now, *(at - rate.head_start for at, rate in zip(self.free_at, self.rates, strict=True)))

    def _take(self, slot: float, *, interactive: bool = False) -> float:
        for number, rate in enumerate(self.rates):
            regular = max(slot, self.free_at[number])
            self.free_at[number] = regular + rate.spacing
            if interactive and regular - rate.head_start > slot:
                self.owed[number].append(regular - rate.head_start)
        return slot


def refusals(starts: Sequence[float], rate: Rate) -> int:
    """How many of the calls, in order, a token bucket of this rate and capacity refuses."""
    tokens = float(rate.burst) - 1
    refused = 0
    # Each start is the sum of those before it, and the tokens are what all differences add up to.
    lost = rounding(4 * len(starts), max(map(abs, starts), default=0.0)) * rate.per_second
    for before, start in pairwise(starts):
        tokens = min(float(rate.burst), tokens + (start - before) * rate.per_second)
        if tokens < 1 - lost - 1e-9 * rate.burst:
            refused += 1
        else:
            tokens -= 1
    return refused
