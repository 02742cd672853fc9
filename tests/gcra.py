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
    """The generic cell rate algorithm over some windows, straight from its definition.

    A call of n tokens is n calls in the slot of the last of them.
    """

    def __init__(self, rates: Sequence[Rate]) -> None:
        self.rates = rates
        self.free_at = [0.0] * len(rates)
        self.owed: list[list[float]] = [[] for _ in rates]

    def reserve(self, now: float, count: int, tokens: int = 1) -> list[float]:
        """Slots for `count` calls of so many tokens each."""
        return [self._take(self._earliest(now, tokens), tokens) for _ in range(count)]

    def interactive(self, now: float, tokens: int = 1) -> float:
        """The slot of a call that goes before others."""
        slot = now
        for rate, free_at, owed in zip(self.rates, self.free_at, self.owed, strict=True):
            regular = free_at - ahead(rate, tokens)
            open_debts = sorted(due for due in owed if due > now)
            if rate.lead == 0 or units(rate, tokens) > rate.lead_units:
                slot = max(slot, regular)
            elif len(open_debts) >= rate.lead:
                slot = max(slot, min(regular, open_debts[-rate.lead]))
        return self._take(slot, tokens, interactive=True)

    def _earliest(self, now: float, tokens: int) -> float:
        return max(now, *(at - ahead(rate, tokens) for at, rate in zip(self.free_at, self.rates, strict=True)))

    def _take(self, slot: float, tokens: int, *, interactive: bool = False) -> float:
        for number, rate in enumerate(self.rates):
            regular = max(slot, self.free_at[number])
            self.free_at[number] = regular + units(rate, tokens) * rate.spacing
            if interactive and regular - ahead(rate, tokens) > slot:
                self.owed[number].append(regular - ahead(rate, tokens))
        return slot


def units(rate: Rate, tokens: int) -> int:
    """What a call takes of a window."""
    return min(tokens, rate.burst) if rate.unit == "tokens" else 1


def ahead(rate: Rate, tokens: int) -> float:
    """Seconds by which the slot of a call may come before the regular time of its first unit."""
    return rate.head_start - (units(rate, tokens) - 1) * rate.spacing


def refusals(starts: Sequence[float], rate: Rate, costs: Sequence[int] | None = None) -> int:
    """How many of the calls, in order, a bucket of this rate and capacity refuses; each takes its cost, or 1, of it."""
    costs = costs or [1] * len(starts)
    tokens = float(rate.burst) - (costs[0] if costs else 0)
    refused = 0
    # Each start is the sum of those before it, and the tokens are what all differences add up to.
    lost = rounding(4 * len(starts), max(map(abs, starts), default=0.0)) * rate.per_second
    for (before, start), cost in zip(pairwise(starts), costs[1:], strict=True):
        tokens = min(float(rate.burst), tokens + (start - before) * rate.per_second)
        if tokens < cost - lost - 1e-9 * rate.burst:
            refused += 1
        else:
            tokens -= cost
    return refused
