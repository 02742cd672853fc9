"""The pacer of all paid requests: one rate for all threads, processes and machines that share a quota.

Each waiting caller gets its own slot from the shared row (`pinakes.store.limits`) and sleeps until that slot comes; one
statement reserves as many slots as callers wait in this process. Slots are times on the database's clock. No call starts
before its slot, and a call that would start too long after it takes another one.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from pinakes.embedders.remote.provider import PacingStoppedError
from pinakes.errors import DatabaseError, UsageError
from pinakes.quota.slots import ClockOffset, Slot
from pinakes.rates import CALL_TOKENS, LEAST_LATENESS, Rate, allowed
from pinakes.store.addresses import DATABASE_URL
from pinakes.store.limit_statements import HORIZON, STALE_SECONDS, TOKENS_HORIZON
from pinakes.store.limits import Correction, LimitStore, LimitsUnreachableError, Reservation

logger = logging.getLogger(__name__)

STOP_SECONDS = 0.25
"""How often a waiting caller checks whether the run is stopping."""

LOOK_AHEAD_SECONDS = 0.1
"""How long before its slot a caller checks that the slot is still valid."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 8.0
"""Seconds between attempts to reach a lost database. The first covers what a crash may have lost."""

T = TypeVar("T")


class Limiter:
    """A `Pacer` over a shared row. Thread-safe.

    Args:
        dsn: any PostgreSQL; the table is created if necessary.
        quota: what is shared, e.g. ``azure:<endpoint host>``; all who share it must use the same name.
        rates: what the provider allows, one `Rate` for each window. They apply unless a person has set others
            (`pinakes.store.limits.change_limit`).
        stopping: whether the run is stopping; waiting callers check it four times a second.
        patience: how many seconds to wait for a lost database.
        setting: which setting `dsn` is the value of.

    Raises:
        UsageError: there is no rate.
        DatabaseError: the database cannot be reached at all.
    """

    def __init__(
        self,
        dsn: str,
        quota: str,
        rates: Sequence[Rate],
        stopping: Callable[[], bool] = lambda: False,
        *,
        patience: float = 60.0,
        setting: str = DATABASE_URL,
    ) -> None:
        if not rates:
            raise UsageError(f"the quota {quota} has no rate; give one such as 30/s.")
        self.quota = quota
        self.expired = 0
        """Slots that no caller could use in time."""
        self._store = LimitStore(dsn, quota, rates, setting=setting)
        self._stopping = stopping
        self._patience = patience
        self._talking = threading.Lock()
        """Held during a query to the database; where both locks are needed, it is taken before `_changed`."""
        self._changed = threading.Condition()
        self._clock = ClockOffset()
        self._slots: deque[Slot] = deque()
        self._sizes: list[int] = []
        """Tokens of each call that waits."""
        self._corrections: list[Correction] = []
        """What calls counted, where it is not entered in the shared row yet."""
        self._given_back = threading.Event()
        """Set when a correction may have made the next slot earlier."""
        self._outstanding = 0
        """Slots of this era that have not been used yet."""
        self._most_outstanding = 0
        """The next slots are reserved once no more than this many are outstanding."""
        self._asking = False
        self._era = 0
        self._recall = threading.Event()
        """Set when the era ends."""
        self._lost_at: float | None = None
        self._failed_at = float("-inf")
        self._generation = self._store.generation()
        self._known_at = time.monotonic()
        self._rate = self._store.rate() or allowed(rates)

    @property
    def rate(self) -> float:
        """Calls a second that are allowed at present, all callers together."""
        return self._rate

    def wait(self, *, interactive: bool = False, tokens: int = CALL_TOKENS) -> Callable[[int], None]:
        """Block until one call of up to `tokens` may start; they matter only where the quota counts them.

        Returns:
            A function to call with the number of tokens that the call counted, once that is known; 0 if it was not made.

        Raises:
            PacingStoppedError: the run is stopping.
            DatabaseError: the database was lost and did not come back in time.
        """
        return partial(self.counted, self.acquire(interactive=interactive, tokens=tokens))

    def acquire(self, *, interactive: bool = False, tokens: int = CALL_TOKENS) -> Slot:
        """Like `wait`, but returns the slot in which the call may start now."""
        while True:
            slot = self._interactive_slot(tokens) if interactive else self._next_slot(tokens)
            try:
                usable = self._sleep_until(slot)
            finally:
                # Also when it raises: a slot that stayed outstanding could keep this process from reserving ever again.
                self._used(slot)
            if usable:
                return slot
            self.counted(slot, 0)

    def counted(self, slot: Slot, tokens: int) -> None:
        """Correct the quota by what the call in `slot` counted: at once, or if the database is away with the next slot."""
        # A 429 or a new rate empties the line of calls: then nothing is given back, but what a call exceeds is charged.
        if slot.number is None or tokens == slot.tokens or (tokens < slot.tokens and slot.era != self._era):
            return
        with self._changed:
            self._corrections.append(Correction(slot.number, slot.at, slot.tokens, tokens))
        # No longer: the caller has an answer that was paid for and is not kept yet.
        if self._talking.acquire(timeout=STOP_SECONDS):
            try:
                self._correct()
            except DatabaseError as exc:
                logger.debug("%s; %s is corrected with the next reservation", exc, self.quota)
            finally:
                self._talking.release()

    def throttled(self, retry_after: float | None) -> None:
        """Record a 429: all reserved slots become void, nobody calls for `retry_after` seconds, and the rate is lowered.

        Raises:
            DatabaseError: the database was lost and did not come back in time.
        """
        with self._talking:
            sent = time.monotonic()
            try:
                generation = self._persist(lambda: self._store.throttled(retry_after))
            except BaseException:
                # The shared row has not heard of the 429, but this process has: it must not use what it reserved before.
                with self._changed:
                    self._void()
                raise
            self._note(generation, sent)

    def close(self) -> None:
        """Enter the last corrections, and close the connection."""
        with self._talking:
            try:
                self._correct()
            except DatabaseError as exc:
                logger.warning("%s; what the last calls of %s counted was not entered", exc, self.quota)
            self._store.close()

    def _next_slot(self, tokens: int) -> Slot:
        with self._changed:
            self._sizes.append(tokens)
        try:
            while True:
                with self._changed:
                    # A slot was reserved for the largest call that waited then, so a larger one may have come since.
                    for slot in self._slots:
                        if slot.tokens >= tokens:
                            self._slots.remove(slot)
                            return slot
                    self._give_up_if_stopping()
                    too_small = bool(self._slots)
                    # One caller reserves for all. While enough slots are outstanding nobody does: those further ahead
                    # would be lost to a 429, and other processes would wait behind them.
                    if self._asking or (self._outstanding > self._most_outstanding and not too_small):
                        self._changed.wait(STOP_SECONDS)
                        continue
                    self._asking = True
                    wanted, largest = 1 if too_small else len(self._sizes), max(self._sizes)
                try:
                    # Before asking, so that a correction that is entered meanwhile ends the pause below.
                    self._given_back.clear()
                    if pause := self._ask(wanted, largest):
                        self._given_back.wait(min(pause, STOP_SECONDS))
                finally:
                    with self._changed:
                        self._asking = False
                        # At least one, who asks next if this caller has failed.
                        self._changed.notify(max(1, len(self._slots)))
        finally:
            with self._changed:
                self._sizes.remove(tokens)

    def _ask(self, wanted: int, tokens: int) -> float:
        """Reserve slots for those who wait, each for the largest of their calls; if none is given, seconds to wait."""
        with self._talking:
            reservation = self._reserved(wanted, tokens)
            with self._changed:
                slots = self._planned(reservation, tokens, interactive=False)
                if not slots:
                    # Only where tokens are counted: the next slot is further ahead than slots are given out.
                    return max(reservation.due - reservation.now - TOKENS_HORIZON / 2, LEAST_LATENESS)
                self._slots.extend(slots)
                self._outstanding += len(slots)
                # One second's worth of slots may be outstanding here; where all callers together hold that much already,
                # half of those just reserved.
                full = slots[-1].at > reservation.now + HORIZON
                self._most_outstanding = len(slots) // 2 if full else max(0, int(reservation.rate * HORIZON) - 1)
                return 0.0

    def _interactive_slot(self, tokens: int) -> Slot:
        # Not one of `_slots`: an interactive call goes ahead of the line, which only a statement of its own can do.
        with self._talking:
            reservation = self._reserved(1, tokens, interactive=True)
            with self._changed:
                (slot,) = self._planned(reservation, tokens, interactive=True)
        return slot

    def _reserved(self, count: int, tokens: int, *, interactive: bool = False) -> Reservation:
        """What the store reserves, after the corrections that are left. `_talking` is held."""
        if self._corrections:
            self._persist(self._correct)
        return self._persist(lambda: self._store.reserve(count, interactive=interactive, tokens=tokens))

    def _correct(self) -> None:
        """Enter all corrections in one statement. `_talking` is held."""
        if corrections := self._corrections[:]:
            self._store.correct(corrections)
            with self._changed:
                del self._corrections[: len(corrections)]
            self._given_back.set()

    def _planned(self, reservation: Reservation, tokens: int, *, interactive: bool) -> list[Slot]:
        self._note(reservation.generation, reservation.sent)
        if not interactive:  # in tokens, the rate for short texts is not the rate for the pictures of batches
            self._rate = reservation.rate
        self._clock.update(reservation)
        first = reservation.number
        numbers: Iterable[int | None] = itertools.repeat(None) if first is None else itertools.count(first)
        return [
            Slot(at, self._clock.local(at), reservation.lateness, self._era, interactive, tokens, number)
            for at, number in zip(reservation.slots, numbers, strict=False)
        ]

    def _sleep_until(self, slot: Slot) -> bool:
        """Whether the slot is still valid when it comes."""
        while True:
            with self._changed:
                recall, era = self._recall, self._era
            if slot.era != era:
                return False
            now = time.monotonic()
            left = slot.local - now
            if left <= 0:
                break
            self._give_up_if_stopping()
            # What is known of the row must be fresh when the slot comes; until then it is read once in `STALE_SECONDS`.
            stale = slot.local > self._known_at + STALE_SECONDS
            if stale and (left <= LOOK_AHEAD_SECONDS or now > self._known_at + STALE_SECONDS):
                self._look(slot)
            else:
                recall.wait(min(left - LOOK_AHEAD_SECONDS if stale else left, STOP_SECONDS))
        if now - slot.local <= slot.lateness:
            return True
        self.expired += 1
        return False

    def _look(self, slot: Slot) -> None:
        """Check whether a 429 or a new rate has voided the reserved slots; one check serves all waiting callers."""
        with self._talking:
            # Taken before the query: the row may have changed right after it was read.
            sent = time.monotonic()
            if slot.era == self._era and min(slot.local, sent) > self._known_at + STALE_SECONDS - LOOK_AHEAD_SECONDS:
                self._note(self._persist(self._store.generation), sent)

    def _used(self, slot: Slot) -> None:
        with self._changed:
            if slot.era == self._era and not slot.interactive:
                self._outstanding = max(0, self._outstanding - 1)
                if self._sizes and self._outstanding <= self._most_outstanding:
                    self._changed.notify()

    def _note(self, generation: int, known_at: float) -> None:
        """Remember the row's generation; a new one voids the slots that were reserved under the old one."""
        with self._changed:
            self._known_at = known_at
            if generation != self._generation:
                self._generation = generation
                self._void()

    def _void(self) -> None:
        self._era += 1
        self._slots.clear()
        self._outstanding = self._most_outstanding = 0
        # Callers that sleep have the old event; those that come later wait on the new one.
        self._recall.set()
        self._recall = threading.Event()
        self._changed.notify_all()

    def _persist(self, action: Callable[[], T]) -> T:
        """The action's result; it is retried while the database is away. `_talking` is held."""
        # Callers that queued for `_talking` meanwhile fail at once, instead of waiting out the patience one after another.
        if time.monotonic() - self._failed_at < LONGEST_PAUSE:
            self._fail(None)
        pause = FIRST_PAUSE
        while True:
            try:
                result = action()
            except LimitsUnreachableError as exc:
                self._lost_at = self._lost_at or time.monotonic()
                if time.monotonic() - self._lost_at > self._patience:
                    self._failed_at = time.monotonic()
                    self._fail(exc)
                logger.warning("%s; no request is made until it answers", exc)
            else:
                self._lost_at = None
                return result
            until = time.monotonic() + pause
            while time.monotonic() < until:
                self._give_up_if_stopping()
                time.sleep(min(STOP_SECONDS, pause))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _fail(self, cause: LimitsUnreachableError | None) -> None:
        raise DatabaseError(
            f"the database that keeps the rate of {self.quota} has been away for more than {self._patience:g} s, and"
            " without it nothing may be asked of the provider: start it, or set PINAKES_LIMITER_URL to another."
        ) from cause

    def _give_up_if_stopping(self) -> None:
        if self._stopping():
            raise PacingStoppedError(f"the run is stopping: the wait for a slot of {self.quota} was given up.")
