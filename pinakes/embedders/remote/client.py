"""The embedder through which all paid requests go: it combines a provider and a pacer.

A provider makes single requests (`pinakes.embedders.remote.provider`), and a pacer says when. Only
`pinakes.embedders.remote.attempts` decides which requests are retried.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from queue import SimpleQueue
from typing import Final

import numpy as np

from pinakes.embedders.base import CHECK_TEXT, Embedder, Picture, TextReading
from pinakes.embedders.counters import CallStatistics
from pinakes.embedders.declaration import Choice, Declaration, Surroundings
from pinakes.embedders.remote.attempts import FIRST_BACKOFF, Attempts, Effort
from pinakes.embedders.remote.preflight import check_picture, ignored_words, prepare
from pinakes.embedders.remote.prices import price_of
from pinakes.embedders.remote.provider import Allowance, Pacer, Provider, Unpaced
from pinakes.embedders.remote.retirement import retirement_of
from pinakes.errors import EmbedderError, PinakesError, UnreadableQueryError
from pinakes.types import ErrorClass, Failure, Vector

logger = logging.getLogger(__name__)

LOOK_AHEAD: Final = 8
"""Pictures that are read and prepared while the allowed number of requests is in flight."""

READERS: Final = 16
"""Pictures read at once: as many as a bucket needs to keep up with 64 requests in flight."""

BATCHES_AT_ONCE: Final = 3
"""Batches that a run embeds at once: with only one, fewer and fewer requests would be in flight towards its end."""

QUERY: Final = Effort(attempts=3, patience=15.0, interactive=True)
"""For a query, because a person waits for it."""

_REFUSED: Final = 400
"""The status with which a provider refuses a picture."""

Outcome = Vector | Failure | None


class Remote(Embedder):
    """A paid provider as an embedder. Thread-safe: batches may run in several threads and share what is in flight.

    The first refusal that concerns every request (credentials, another model version, several answers in a row that cannot
    be used, a quota that is used up, a lost limiter) ends the batches: no request is begun after it, the answers of those
    in flight are still yielded, and then every batch raises it. Queries are still sent.

    Args:
        provider: makes the requests.
        pacer: says when.
        allowance: what may be spent; None: there is no cap.
        concurrency: most requests in flight; None finds the number (`pinakes.embedders.remote.concurrency`).
        timeout: seconds for one request.
        attempts: most requests for one picture, 429s not counted.
        patience: most seconds for one picture, in requests and between them; waiting for the pacer is not counted.
        stopping: whether the run is stopping. Then nothing new is begun, the answers of the requests in flight are
            yielded, and the rest of a batch gets no answer. A caller that leaves `embed_images` earlier loses the answers
            in flight.
        secrets: values that no message may show.
        backoff: seconds before the second attempt.
    """

    paid = True

    def __init__(
        self,
        provider: Provider,
        pacer: Pacer,
        *,
        allowance: Allowance | None = None,
        concurrency: int | None = None,
        timeout: float = 30.0,
        attempts: int = 5,
        patience: float = 120.0,
        stopping: Callable[[], bool] = lambda: False,
        secrets: Sequence[str] = (),
        backoff: float = FIRST_BACKOFF,
    ) -> None:
        self.facts = replace(provider.facts, workers=max(provider.facts.workers, BATCHES_AT_ONCE))
        self._provider = provider
        self._pacer = pacer
        self._timeout = timeout
        self._effort = Effort(attempts, patience)
        self._attempts = Attempts(
            provider.facts.space,
            pacer,
            concurrency=concurrency,
            allowance=allowance,
            text_units=self._text_units,
            stopping=stopping,
            secrets=secrets,
            backoff=backoff,
        )
        # More threads than requests, so that some pictures are always read ahead and no request waits for one.
        self._pool = ThreadPoolExecutor(self._attempts.concurrency.bound + LOOK_AHEAD, thread_name_prefix="calling")
        self._reading = threading.BoundedSemaphore(READERS)
        self._lock = threading.Lock()
        self._batches = 0
        self._unclaimed: dict[str, Vector] = {}

    @classmethod
    def declared(
        cls, declaration: Declaration, provider: Provider, choice: Choice, around: Surroundings, *, quota: str
    ) -> Remote:
        """A provider with the price, the retirement, the rate and the secrets of its declaration.

        Args:
            declaration: of the embedder.
            provider: makes the requests.
            choice: the user's choice of an embedder.
            around: the settings, and what the run may spend.
            quota: the account that the requests count against; all who share it share one rate.
        """
        space = provider.facts.space
        provider.facts = replace(provider.facts, price=price_of(space, around.prices), retires=retirement_of(space))
        rate = declaration.default_rate
        return cls(
            provider,
            Unpaced() if rate is None else around.pace(f"{declaration.name}:{quota}", rate),
            allowance=around.allow(provider.facts.price),
            concurrency=choice.concurrency,
            stopping=around.stopping,
            secrets=declaration.secrets(around.values),
        )

    @property
    def rate(self) -> float:
        """Requests a second that are allowed at present; infinity where there is no limit."""
        return self._pacer.rate

    @property
    def check_units(self) -> int:
        """What `check` takes from an allowance."""
        return 1 + self._text_units(CHECK_TEXT)

    @property
    def calls(self) -> int:
        """Requests that are, or may be, charged so far."""
        return self._attempts.counters.calls

    def reads_itself(self, uri: str) -> bool:
        """Whether the provider reads the picture at `uri` by itself."""
        return self._provider.reads_itself(uri)

    def unsent_words(self, text: str) -> tuple[str, ...]:
        """The words beyond the provider's limit."""
        return ignored_words(text, self.facts.limits)

    def statistics(self) -> CallStatistics:
        """The requests so far."""
        return self._attempts.counters.statistics(self._attempts.concurrency.limit)

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """One `(index, vector or failure)` for each picture, as the answers arrive.

        When the run is stopping, pictures for which no request was begun are left out.

        Raises:
            EmbedderError: no request can succeed: refused credentials, a used-up quota, another model version, answers that
                cannot be used.
            DatabaseError: the database that keeps the rate is lost.
        """
        self._attempts.raise_if_halted()
        pending = deque(enumerate(batch))
        running: dict[Future[Outcome], int] = {}
        done: SimpleQueue[Future[Outcome]] = SimpleQueue()
        left = threading.Event()
        effort = replace(self._effort, pooled=True, unwanted=left.is_set)
        with ExitStack() as share:
            share.enter_context(self._sharing())
            try:
                while True:
                    while pending and len(running) < self._window() and not self._attempts.ending:
                        index, picture = pending.popleft()
                        future = self._pool.submit(self._embed, picture, effort)
                        running[future] = index
                        future.add_done_callback(done.put)
                    # A batch with nothing left to begin leaves its part of the window to the others.
                    if not pending:
                        share.close()
                    if not running:
                        break
                    future = done.get()
                    outcome = future.result()
                    index = running.pop(future)
                    if outcome is not None:
                        yield index, outcome
            finally:
                # Only where the caller left or an answer raised. A request that is on its way will be charged all the same.
                left.set()
                for future, index in running.items():
                    if not future.cancel():
                        self._claim_later(batch[index], future)
        self._attempts.raise_if_halted()

    def embed_text(self, text: str) -> TextReading:
        """The vector of a query; its slot comes before those of batches.

        Words beyond the provider's limit are not sent, and are named in a warning.

        Raises:
            UnreadableQueryError: there is no word in it.
            EmbedderError: the provider did not answer, or refused.
            PinakesError: the database that keeps the rate is lost.
        """
        words = tuple(text.split())
        if not words:
            raise UnreadableQueryError("the query contains no word.")
        ignored = self.unsent_words(text)
        if ignored:  # otherwise the text is sent as it was typed
            words = words[: -len(ignored)]
            text = " ".join(words)
            logger.warning("%s reads %d words of a query; not read: %s", self._name, len(words), " ".join(ignored))
        return TextReading(self._text(text, interactive=True), words)

    def embed_query_picture(self, picture: Picture) -> Vector | Failure:
        """The vector of a picture that a person searches by; its slot comes before those of batches.

        Raises:
            EmbedderError: the provider refused for a reason that concerns every request.
            PinakesError: the database that keeps the rate is lost.
        """
        prepared = prepare(picture, self.facts.limits, self._provider.reads_itself)
        if isinstance(prepared, Failure):
            return prepared
        timeout = min(self._timeout, QUERY.patience)
        outcome = self._attempts.answer(lambda: self._provider.image(prepared, timeout=timeout), QUERY)
        assert outcome is not None  # only pooled answers are dropped
        return outcome

    def check(self) -> None:
        """Make one request for a picture and one for a text, so that an error of all requests shows before the first batch.

        Raises:
            EmbedderError: the credentials, the dimension or the model version are wrong, or there was no answer.
            PinakesError: the database that keeps the rate is lost.
        """
        picture = check_picture(self.facts.limits)
        outcome = self._attempts.answer(lambda: self._provider.image(picture, timeout=self._timeout), self._effort)
        if isinstance(outcome, Failure):
            raise EmbedderError(f"{self._name} does not embed a plain test picture: {outcome.message}.")
        self._text(CHECK_TEXT, interactive=False)

    def close(self) -> None:
        """Begin nothing more, wait for the requests in flight, and close connections."""
        # Connections last, since the requests in flight are charged whether or not their answers arrive.
        self._attempts.end(EmbedderError(f"the embedder {self._name} is closed."))
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._provider.close()

    def _embed(self, picture: Picture, effort: Effort) -> Outcome:
        """The answer for a picture, in a thread of the pool; None where the run ended before it had one."""
        # Pictures wait in the pool too. When the run ends they must not even be read, or a bucket would delay its end.
        if self._attempts.ending or effort.unwanted():
            return None
        with self._lock:
            kept = self._unclaimed.pop(picture.image.fingerprint, None)
        if kept is not None:
            return kept
        outcome, by_uri = self._sent(picture, effort, self._provider.reads_itself)
        refused = isinstance(outcome, Failure) and outcome.error_class.final and outcome.http_status == _REFUSED
        if by_uri and refused and not self._attempts.ending:
            # The listing may be wrong, for example about a WebP named .jpg. Its bytes show the format and can be re-encoded.
            again, _ = self._sent(picture, effort, lambda _uri: False)
            if not (isinstance(again, Failure) and again.error_class is ErrorClass.UNREADABLE):
                return again
        return outcome

    def _sent(self, picture: Picture, effort: Effort, reads_itself: Callable[[str], bool]) -> tuple[Outcome, bool]:
        """The answer for a picture, and whether it was sent as an address that the provider reads by itself."""
        with self._reading:
            prepared = prepare(picture, self.facts.limits, reads_itself)
        if isinstance(prepared, Failure):
            return self._attempts.failure(prepared.error_class, prepared.message, prepared.http_status), False
        try:
            outcome = self._attempts.answer(lambda: self._provider.image(prepared, timeout=self._timeout), effort)
        except PinakesError as exc:
            self._attempts.end(exc)  # every batch raises it, once the answers in flight have been yielded
            return None, False
        return outcome, prepared.data is None

    def _text(self, text: str, *, interactive: bool) -> Vector:
        effort = replace(QUERY if interactive else self._effort, text=text)
        timeout = min(self._timeout, effort.patience)
        outcome = self._attempts.answer(lambda: self._provider.text(text, timeout=timeout), effort)
        if isinstance(outcome, Failure):
            raise EmbedderError(f"{self._name} did not answer the query: {outcome.message}.")
        assert outcome is not None  # only pooled answers are dropped
        return outcome

    @property
    def _name(self) -> str:
        return self.facts.space.provider

    @contextmanager
    def _sharing(self) -> Iterator[None]:
        """Count the batch among those that share the requests in flight."""
        with self._lock:
            self._batches += 1
        try:
            yield
        finally:
            with self._lock:
                self._batches -= 1

    def _text_units(self, text: str) -> int:
        """The price of a text in multiples of the price of a picture, rounded up."""
        price = self.facts.price
        # Minus a little, so that rounding in the division never adds a unit.
        return max(1, math.ceil(price.of_text(text) / price.per_image - 1e-9)) if price.per_image else 1

    def _window(self) -> int:
        """How many pictures of a batch may be in progress: its share of those in flight and of those read ahead."""
        return -(-(self._attempts.concurrency.limit + LOOK_AHEAD) // max(1, self._batches))

    def _claim_later(self, picture: Picture, future: Future[Outcome]) -> None:
        """Keep the answer of a batch that was left, so that this object does not pay for the same bytes again."""

        def keep(finished: Future[Outcome]) -> None:
            if finished.exception() is None and isinstance(vector := finished.result(), np.ndarray):
                with self._lock:
                    self._unclaimed[picture.image.fingerprint] = vector

        future.add_done_callback(keep)
