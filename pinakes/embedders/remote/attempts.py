"""Makes as many requests as one answer needs: pacing, retries, and when to give up, for all providers."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pinakes.embedders.counters import Counters
from pinakes.embedders.remote.concurrency import Concurrency
from pinakes.embedders.remote.http_errors import unusable, why_unusable
from pinakes.embedders.remote.payment import is_free, paying
from pinakes.embedders.remote.provider import (
    Allowance,
    AllowanceUsedUpError,
    CallError,
    Pacer,
    PacingStoppedError,
    Reply,
    redact,
)
from pinakes.embedders.remote.tokens import TokenEstimate
from pinakes.errors import EmbedderError, PinakesError
from pinakes.spaces import Space
from pinakes.types import ErrorClass, Failure, Vector

FIRST_BACKOFF: Final = 0.5
LONGEST_BACKOFF: Final = 20.0
"""Seconds before the second attempt, which double with each further one up to the longest. Half of them are random, so that
requests which failed together are not repeated together."""

QUOTA_PATIENCE: Final = 900.0
"""After this many seconds with no answer but 429, the quota counts as used up."""

UNUSABLE_ATTEMPTS: Final = 2
"""Most requests for one picture or text that are answered, and charged, without a vector that can be used."""

MOST_UNUSABLE: Final = 6
"""After this many such answers in a row, to at least three pictures, the next ones will not be better: the run ends."""

STOP_SECONDS: Final = 0.25
"""How often a sleeping thread checks whether the run is stopping."""

_LOST: Final = frozenset({ErrorClass.TIMEOUT, ErrorClass.CONNECTION})
_ANSWERED: Final = 200
"""The status of an answer that was charged; in an error it means that the answer cannot be used."""

Call = Callable[[], tuple[Vector, str] | Reply]
"""Makes one request."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much effort one answer is worth.

    Attributes:
        attempts: most requests; 429s are not counted, and `UNUSABLE_ATTEMPTS` applies as well.
        patience: most seconds, in requests and between them; waiting for the pacer is not counted, except where a
            person waits.
        interactive: whether a person waits; the slot then comes before those of batches.
        text: the text that it is for, which may have its own price; None for a picture.
        pooled: whether it is for a picture of a batch; it then waits for a place among the requests in flight, and is
            dropped when the run ends.
        unwanted: whether the batch has been left, so that no request is begun for this answer any more.
    """

    attempts: int
    patience: float
    interactive: bool = False
    text: str | None = None
    pooled: bool = False
    unwanted: Callable[[], bool] = lambda: False


class Attempts:
    """Turns calls into answers. Thread-safe.

    The first refusal that concerns every request, or too many unusable answers in a row, end it: nothing pooled is begun
    after that.

    Args:
        space: the space that vectors must belong to.
        pacer: says when a request may be made.
        concurrency: most requests in flight; None finds the number.
        allowance: what may be spent; None: there is no cap.
        text_units: computes the price of a text, in multiples of the price of a picture.
        stopping: whether the run is stopping; pooled answers are not begun then.
        secrets: values that no message may show.
        backoff: seconds before the second attempt.
    """

    def __init__(
        self,
        space: Space,
        pacer: Pacer,
        *,
        concurrency: int | None,
        allowance: Allowance | None = None,
        text_units: Callable[[str], int] = lambda _text: 1,
        stopping: Callable[[], bool],
        secrets: Sequence[str],
        backoff: float,
    ) -> None:
        self.counters = Counters()
        self.concurrency = Concurrency(lambda: pacer.rate, concurrency)
        self._space = space
        self._pacer = pacer
        self._allowance = allowance
        self._text_units = text_units
        self._stopping = stopping
        self._secrets = tuple(secrets)
        self._backoff = backoff
        self._lock = threading.Lock()
        self._halted: PinakesError | None = None
        self._ended = threading.Event()
        self._spent = threading.Event()
        """Set when the allowance is used up; requests that it already covers are still made."""
        self._throttled_since: float | None = None
        self._throttled_in_a_row = 0
        self._unusable_in_a_row = 0
        self._quiet_until = 0.0
        self._tokens = TokenEstimate()

    @property
    def ending(self) -> bool:
        """Whether nothing new may be begun."""
        return self._spent.is_set() or self._over()

    def end(self, reason: PinakesError | None) -> None:
        """Begin nothing pooled from now on; `raise_if_halted` raises `reason` unless it is None."""
        with self._lock:
            if self._halted is None:
                self._halted = reason
        self._ended.set()

    def raise_if_halted(self) -> None:
        """Raise the reason for the end, if there is one."""
        if self._halted is not None:
            raise self._halted

    def answer(self, call: Call, effort: Effort) -> Vector | Failure | None:
        """The vector, or the failure of the last attempt; None (only pooled) if the run ended before there was either.

        Raises:
            EmbedderError: the error concerns every request.
            PacingStoppedError: the run is stopping (only not pooled).
            PinakesError: the database that keeps the rate is lost.
        """
        begun = time.monotonic()
        busy = 0.0
        failed = wasted = 0
        # The outcome if the run ends before another one: a request that was charged must be in the ledger.
        so_far: Failure | None = None
        while True:
            try:
                outcome = self._attempt(call, effort)
            except PacingStoppedError as exc:
                if not effort.pooled:
                    raise
                # Others may still hold parts of the allowance, which they have taken for requests that wait for a slot.
                if isinstance(exc, AllowanceUsedUpError):
                    self._spent.set()
                else:
                    self.end(None)
                return so_far
            if not isinstance(outcome, _Refused):
                return so_far if outcome is None else outcome
            error = outcome.error
            retry_after = error.retry_after or 0.0
            if error.error_class is ErrorClass.QUOTA:
                self._throttled(error)
                if effort.interactive and time.monotonic() - begun + retry_after > effort.patience:
                    return self._given_up(error, failed)
                continue  # without a pause here: `_attempt` waits, as all other callers must
            with self._lock:
                self._throttled_since = None
            failed += 1
            wasted += error.http_status == _ANSWERED
            pause = max(self._pause(failed), retry_after)
            busy += outcome.seconds
            used = time.monotonic() - begun if effort.interactive else busy
            enough = failed >= effort.attempts or wasted >= UNUSABLE_ATTEMPTS
            if error.error_class.final or enough or used + pause > effort.patience:
                return self._given_up(error, failed)
            so_far = self._given_up(error, failed) if wasted else None
            if not self._sleep(pause, effort):
                return so_far
            busy += pause
            self.counters.retried()

    def failure(self, error_class: ErrorClass, message: str, http_status: int | None = None) -> Failure:
        """A failure whose message shows no secret."""
        return Failure(error_class, redact(message, self._secrets), http_status)

    def _attempt(self, call: Call, effort: Effort) -> Vector | _Refused | None:
        """One request in its slot; None if the run ended before it."""
        if effort.pooled and not self.concurrency.enter(lambda: self._dropped(effort)):
            return None
        try:
            # Without a rate limit, the pacer does not wait after a 429.
            while not math.isfinite(self._pacer.rate) and (quiet := self._quiet_until - time.monotonic()) > 0:
                if not self._sleep(quiet, effort):
                    return None
            text = effort.text
            # Before the wait, since a slot of the shared rate must not go to a request that the allowance does not cover.
            with paying(self._allowance, 1 if text is None else self._text_units(text)) as payment:
                tokens = self._tokens.of(text)
                counted = self._pacer.wait(interactive=effort.interactive, tokens=tokens)
                # The run may have ended during the wait. A used-up allowance is no reason: this request has its share.
                if effort.pooled and (self._over() or effort.unwanted()):
                    counted(0)
                    return None
                started = time.monotonic()
                payment.due = True  # from here on the provider may charge, unless its refusal says otherwise
                try:
                    reply = Reply(*call())
                    if reply.tokens is not None:
                        self._tokens.correct(text, reply.tokens)
                        counted(reply.tokens)
                    return self._checked(reply.vector, reply.version, time.monotonic() - started, effort)
                except CallError as exc:
                    payment.due = not is_free(exc)
                    self._count(exc, effort)
                    return _Refused(exc, time.monotonic() - started)
        except EmbedderError as exc:
            exc.args = (redact(str(exc), self._secrets),)
            if effort.pooled:
                self.end(exc)  # before the place is given back: the next request must not be begun
            raise
        finally:
            if effort.pooled:
                self.concurrency.leave()

    def _over(self) -> bool:
        """Whether to stop even requests whose price is already reserved."""
        return self._ended.is_set() or self._stopping()

    def _dropped(self, effort: Effort) -> bool:
        return effort.pooled and (self.ending or effort.unwanted())

    def _checked(self, vector: Vector, version: str, seconds: float, effort: Effort) -> Vector:
        """The vector, if it belongs to the space.

        Raises:
            CallError: it cannot be used.
            EmbedderError: another version of the model made it.
        """
        space = self._space
        why = why_unusable(vector, space.dimension)
        # Another version of the model may have another dimension; then the version is what has to be said.
        if why and version == space.version:
            raise unusable(space.provider, why)
        self.counters.answered(seconds, text=effort.text is not None)
        self.concurrency.answered(seconds)
        with self._lock:
            self._throttled_since = None
            self._throttled_in_a_row = self._unusable_in_a_row = 0
        if version != space.version:
            raise EmbedderError(
                f"{space.provider} answered with model version {version!r}, and the space {space.name} holds vectors of"
                f" {space.version!r}, which cannot be compared with it. Set the version that you mean; it gets its own"
                " space."
            )
        return np.ascontiguousarray(vector, dtype=np.float32)

    def _count(self, error: CallError, effort: Effort) -> None:
        """Count a request without a vector; end the run after too many answers in a row that cannot be used."""
        if error.error_class in _LOST or error.http_status == _ANSWERED:
            self.counters.lost(text=effort.text is not None)
        if error.http_status != _ANSWERED or not effort.pooled:
            return
        with self._lock:
            self._unusable_in_a_row += 1
            if self._unusable_in_a_row < MOST_UNUSABLE:
                return
        last = redact(str(error), self._secrets)
        self.end(
            EmbedderError(
                f"{self._space.provider} gave {MOST_UNUSABLE} answers in a row that cannot be used. Each may be charged, so"
                f" nothing more is asked of it. The last was: {last} Check its endpoint, and whether something else answers"
                " in its place, such as a proxy; then run the same command again."
            )
        )

    def _throttled(self, error: CallError) -> None:
        """Tell the pacer about a 429; give up after too long without any other answer.

        Raises:
            EmbedderError: the quota is used up.
        """
        self.counters.rate_limited()
        with self._lock:
            now = time.monotonic()
            since = self._throttled_since = self._throttled_since or now
            self._throttled_in_a_row += 1
            pause = self._pause(self._throttled_in_a_row) if error.retry_after is None else error.retry_after
            self._quiet_until = max(self._quiet_until, now + pause)
        if now - since + (error.retry_after or 0.0) > QUOTA_PATIENCE:
            raise EmbedderError(
                f"the quota of {self._space.provider} is used up: it answered nothing but 429 for"
                f" {(now - since) / 60:.0f} minutes, and asks to wait {error.retry_after or 0:.0f} s more"
                f" ({redact(str(error), self._secrets)}). All answers are kept; run the same command again later."
            )
        self._pacer.throttled(error.retry_after)

    def _pause(self, failed: int) -> float:
        longest = min(LONGEST_BACKOFF, self._backoff * 2 ** min(failed - 1, 16))
        return random.uniform(longest / 2, longest)  # noqa: S311 - it protects nothing

    def _sleep(self, seconds: float, effort: Effort) -> bool:
        """Sleep; False where a pooled answer is dropped before the time is over."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._dropped(effort):
                return False
            # A query is not dropped, so only pooled answers have to look whether the run has ended.
            if effort.pooled:
                self._ended.wait(min(left, STOP_SECONDS))
            else:
                time.sleep(left)
        return True

    def _given_up(self, error: CallError, failed: int) -> Failure:
        message = str(error).rstrip(".")
        if error.request_id and error.request_id not in message:
            message += f" (request {error.request_id})"
        if failed > 1:
            message += f"; given up after {failed} attempts"
        return self.failure(error.error_class, message, error.http_status)


@dataclass(frozen=True, slots=True)
class _Refused:
    """A request without a vector, and how many seconds it took."""

    error: CallError
    seconds: float
