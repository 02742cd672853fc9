"""Slots of a rate limit, on the clock of this process."""

from __future__ import annotations

from dataclasses import dataclass

from pinakes.store.limits import Reservation

DRIFT = 500e-6
"""Seconds per second by which two clocks may drift apart while one is being adjusted (the fastest that NTP slews)."""


@dataclass(frozen=True, slots=True)
class Slot:
    """When one call may start.

    Attributes:
        at: on the database's clock, in seconds since 1970.
        local: the same on `time.monotonic()`, never earlier.
        lateness: seconds after `local` within which the call may still start.
        era: which of the limiter's reservations are in force; a slot of an earlier era is void.
        interactive: whether it was reserved for one interactive call.
        tokens: most that the call may count.
        number: by which the shared row knows the call; None where it does not count tokens.
    """

    at: float
    local: float
    lateness: float
    era: int
    interactive: bool
    tokens: int
    number: int | None


class ClockOffset:
    """The difference between `time.monotonic()` and the database's clock, kept between two bounds.

    If the database's clock shows `now` between `sent` and `received`, the difference is between `sent - now` and
    `received - now`. Every reading narrows the bounds; in between they widen slowly.
    """

    def __init__(self) -> None:
        self._low = float("-inf")
        self._high = float("inf")
        self._at = 0.0

    def update(self, reservation: Reservation) -> None:
        """Narrow the bounds by one reading."""
        low, high = reservation.sent - reservation.now, reservation.received - reservation.now
        drift = DRIFT * (reservation.received - self._at)
        self._low, self._high = max(self._low - drift, low), min(self._high + drift, high)
        if self._low > self._high:  # one of the clocks was set
            self._low, self._high = low, high
        self._at = reservation.received

    def local(self, at: float) -> float:
        """The `time.monotonic()` at which the database's clock shows `at`, or a little later."""
        return at + self._high
