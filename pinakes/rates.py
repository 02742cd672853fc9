"""Rates: what a provider allows, and how calls are spread so that its token bucket never empties.

A rate counts calls, or the input tokens of a model's calls. A call of n tokens is n units in the slot of the last of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pinakes.errors import UsageError

MOST_LEAD = 8
"""Interactive calls that may run ahead of their turn at once; more people than that seldom press Enter within a second."""

JITTER_SECONDS = 0.5
"""The part of the bucket, in seconds of calls, that is kept for calls which start or arrive later than planned."""

LEAST_LATENESS = 0.005
"""A thread that sleeps wakes within a few milliseconds; a slot that allows less would hardly ever be used."""

BURST_SECONDS = 0.25
"""A bucket that is not known is taken to hold a quarter of a second's calls: providers' hold at least a second's."""

CALL_TOKENS = 258
"""The tokens of a call for which there is no better estimate: one picture, as Gemini counts it."""

MOST_CALL_TOKENS = 8192
"""The longest text that Gemini takes; a bucket of tokens that is not known is taken to hold twice as many."""

BYTES_PER_TOKEN = 3
"""Of text in UTF-8: fewer than in English (four) and about as many as in Chinese, so that a text is seldom longer."""

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "day": 86400.0}
_ALIASES = {"sec": "s", "second": "s", "m": "min", "minute": "min", "hr": "h", "hour": "h", "d": "day"}

MOST_CALLS = 1_000_000
"""Calls a second, and calls at once: more than any provider allows, and within what the database's columns can hold."""

MOST_TOKENS = 1_000_000_000
"""The same limit for tokens."""

RATES = r"none|\d[\d.]*\s*(tokens?\s*)?/\s*[A-Za-z].*"
"""What `--rate` looks like, for forms; `parse_rates` has the last word."""

_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(tokens?\s*)?/\s*([a-z]+)(?:\s+burst\s+(\d+))?\s*", re.IGNORECASE)

Unit = Literal["calls", "tokens"]


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` calls, or tokens, in `seconds`, out of a bucket that holds `burst` of them.

    The calls that a bucket of capacity b, refilled at rate r, lets through in any window of w seconds are at most
    b + w·r. Slots that are 1/r apart use one token of the b; the others are shared out here: `lead` of them to
    interactive calls, `lateness` (with as much again for the network) to calls that start after their slot, and the
    rest to `head_start`, a burst after a pause.

    Attributes:
        count: calls in `seconds`; more than 0.
        seconds: the window in which the provider counts.
        burst: what its bucket holds, in calls; at least 1.
        unit: what is counted. Everything said about calls here holds for single tokens as well.

    Raises:
        UsageError: a value is out of range.
    """

    count: float
    seconds: float
    burst: int
    unit: Unit = "calls"

    def __post_init__(self) -> None:
        if not (0 < self.count < math.inf and 0 < self.seconds < math.inf and self.burst >= 1):
            raise UsageError(
                f"a rate of {self.count:g} in {self.seconds:g} s with a burst of {self.burst} is invalid: the count"
                " and the seconds must be more than 0, and the burst at least 1."
            )

    @property
    def per_second(self) -> float:
        """Calls (or tokens) a second in the long run."""
        return self.count / self.seconds

    @property
    def lead_units(self) -> int:
        """Most units that an interactive call may have to run ahead of its turn."""
        return CALL_TOKENS if self.unit == "tokens" else 1

    @property
    def lead(self) -> int:
        """How many interactive calls may be ahead of their turn at any moment."""
        # At most half of what the regular slots leave: the other half covers calls that start late.
        return min((self.burst - 1) // (2 * self.lead_units), MOST_LEAD)

    @property
    def lateness(self) -> float:
        """Seconds after its slot in which a call may start; a later one needs another slot."""
        return max(self._jitter / 2, LEAST_LATENESS + 0.01 * self._interval)

    @property
    def head_start(self) -> float:
        """Seconds by which a slot may come before its regular time, so that a pause is made up for by a burst."""
        return self._spare * self._interval - self._jitter

    @property
    def spacing(self) -> float:
        """Seconds between the regular times of two slots: 1/rate, and a little more if the bucket is very small.

        n calls that start up to `lateness` L after slots that are T + d apart take (n-1)(T+d) - L seconds at least, and
        a bucket of b requires (n-b)T. The case n = b+1 is the tightest: b·d >= L - (b-1)T.
        """
        lacking = self.lateness - self._spare * self._interval
        return self._interval + max(0.0, lacking / (self._spare + 1))

    def __str__(self) -> str:
        unit = next((name for name, seconds in _UNITS.items() if seconds == self.seconds), None)
        count = f"{self.count:.10g}{' tokens' if self.unit == 'tokens' else ''}"
        return f"{count}/{unit}" if unit else f"{count} in {self.seconds:g} s"

    @property
    def _interval(self) -> float:
        return self.seconds / self.count

    @property
    def _spare(self) -> int:
        """Units of the bucket that neither the regular slots nor the interactive calls use."""
        return self.burst - 1 - self.lead * self.lead_units

    @property
    def _jitter(self) -> float:
        return min(self._spare * self._interval, max(self._interval, JITTER_SECONDS))


def parse_rate(text: str) -> Rate:
    """The rate in a text such as `30/s`, `20/min`, `1000000 tokens/min` or, with the bucket's capacity, `30/s burst 30`.

    Raises:
        UsageError: it is not a rate.
    """
    match = _RATE.fullmatch(text)
    # A plural such as "seconds" loses its s; the unit "s" itself must not.
    unit = (match[3].lower().rstrip("s") or "s") if match else ""
    seconds = _UNITS.get(_ALIASES.get(unit, unit))
    if match is None or seconds is None or float(match[1]) == 0:
        raise UsageError(
            f"{text!r} is not a rate: write a number and a unit such as 30/s, 20/min, 5/h, 5000/day or 1000000"
            " tokens/min, and if you know how many calls the provider takes at once, 30/s burst 30."
        )
    count = float(match[1])
    counted: Unit = "tokens" if match[2] else "calls"
    burst = int(match[4]) if match[4] else _cautious_burst(count, seconds, counted)
    most = MOST_TOKENS if counted == "tokens" else MOST_CALLS
    if max(count / seconds, burst) > most:
        raise UsageError(
            f"{text!r} is beyond what a limit can hold: at most {most:,}/s, and at most {most:,} at once;"
            " --rate none lifts the limit."
        )
    return Rate(count, seconds, burst, counted)


def parse_rates(text: str) -> list[Rate]:
    """The rates of several windows of one quota, as `20/min,5000/day` or `120/min, 1000000 tokens/min`; or one.

    Raises:
        UsageError: a part is not a rate, or two are for one window.
    """
    rates = [parse_rate(part) for part in text.split(",")]
    if len({(rate.unit, rate.seconds) for rate in rates}) < len(rates):
        raise UsageError(f"{text!r} has two rates for one window; give each window one, such as 20/min,5000/day.")
    return rates


def allowed(rates: Iterable[Rate]) -> float:
    """Calls a second that all windows of a quota together allow, if a call takes `CALL_TOKENS`."""
    return min(1 / (rate.spacing * rate.lead_units) for rate in rates)


def text_tokens(text: str) -> int:
    """An estimate of a text's tokens before it is sent."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def _cautious_burst(count: float, seconds: float, unit: Unit) -> int:
    least = 2 * MOST_CALL_TOKENS if unit == "tokens" else 3
    units = max(least, math.ceil(BURST_SECONDS * count / seconds))
    # With what flows in meanwhile, a larger bucket would let through more than twice a window's calls.
    return max(1, min(units, math.floor(count)))
