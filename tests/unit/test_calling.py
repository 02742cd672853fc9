"""Requests to a paid provider: how many at once, what is tried again, what stops everything, and that no answer is lost."""

from __future__ import annotations

import hashlib
import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from pinakes.embedders.base import Facts, Limits, Picture, Price
from pinakes.embedders.remote.attempts import MOST_UNUSABLE
from pinakes.embedders.remote.client import Remote
from pinakes.embedders.remote.concurrency import BOUND, Concurrency
from pinakes.embedders.remote.http_errors import ErrorAnswer
from pinakes.embedders.remote.provider import (
    CallError,
    CredentialsRefusedError,
    PacingStoppedError,
    Prepared,
    Reply,
    Unpaced,
    redact,
)
from pinakes.embedders.remote.tokens import MOST_PICTURE_TOKENS
from pinakes.errors import DatabaseError, EmbedderError, SourceError, UnreadableQueryError
from pinakes.quota.embedder_pool import Budget
from pinakes.spaces import Space
from pinakes.types import ErrorClass, Failure, Image, Vector
from tests.pictures import photo
from tests.waiting import PATIENCE, until

SPACE = Space("scripted", "m", "v1", 4, "p1")
TINY = 1e-4
"""Seconds before a second attempt."""


def answer_to(data: bytes) -> Vector:
    return np.frombuffer(hashlib.md5(data).digest(), np.uint8)[:4].astype(np.float32) + 1


class Scripted:
    """A provider that answers each picture with a vector of its bytes, unless the script raises first."""

    def __init__(self, script: Callable[[int], object] = lambda number: None, limits: Limits | None = None) -> None:
        self.facts = Facts(SPACE, "For tests.", limits=limits or Limits())
        self.version = SPACE.version
        self.vector: Vector | None = None
        self.asked: list[bytes] = []
        self.most_at_once = 0
        self._at_once = 0
        self._script = script
        self._lock = threading.Lock()

    def reads_itself(self, uri: str) -> bool:
        return False

    def image(self, picture: Prepared, *, timeout: float) -> tuple[Vector, str]:
        assert picture.data is not None
        return self._answer(picture.data)

    def text(self, text: str, *, timeout: float) -> tuple[Vector, str]:
        return self._answer(text.encode())

    def close(self) -> None:
        pass

    def _answer(self, data: bytes) -> tuple[Vector, str]:
        with self._lock:
            self.asked.append(data)
            number = len(self.asked)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self._script(number)
            return answer_to(data) if self.vector is None else self.vector, self.version
        finally:
            with self._lock:
                self._at_once -= 1


class Recorder(Unpaced):
    """A pacer that lets everybody through and remembers what it was told."""

    def __init__(self, rate: float = 1e6) -> None:
        self.rate = rate
        self.waits: list[bool] = []
        self.throttles: list[float | None] = []
        self.tokens: list[int] = []
        self.counted: list[int] = []

    def wait(self, *, interactive: bool = False, tokens: int = 0) -> Callable[[int], None]:
        self.waits.append(interactive)
        self.tokens.append(tokens)
        return self.counted.append

    def throttled(self, retry_after: float | None) -> None:
        self.throttles.append(retry_after)


def picture(data: bytes, name: str = "p.png") -> Picture:
    fingerprint = f"md5:{hashlib.md5(data).hexdigest()}"
    return Picture(Image(name, f"file:///{name}", fingerprint, len(data)), lambda: data)


def pictures(count: int) -> list[Picture]:
    return [picture(photo((number, 10, 200), kind="PNG"), f"p{number}.png") for number in range(count)]


def raising(*numbers: int, error: Callable[[], Exception]) -> Callable[[int], None]:
    """A script that raises at these requests, counted from 1."""

    def script(number: int) -> None:
        if number in numbers:
            raise error()

    return script


def call_error(error_class: ErrorClass, **options: object) -> Callable[[], CallError]:
    return lambda: CallError("the service said Busy: try later", error_class, **options)  # type: ignore[arg-type]


@pytest.fixture
def remote() -> Iterator[Callable[..., Remote]]:
    made: list[Remote] = []

    def make(provider: Scripted, pacer: Unpaced | None = None, **options: object) -> Remote:
        made.append(Remote(provider, pacer or Recorder(), **({"backoff": TINY} | options)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


def vectors(results: Sequence[tuple[int, Vector | Failure]]) -> dict[int, Vector]:
    return {index: outcome for index, outcome in results if not isinstance(outcome, Failure)}


def failures(results: Sequence[tuple[int, Vector | Failure]]) -> dict[int, Failure]:
    return {index: outcome for index, outcome in results if isinstance(outcome, Failure)}


def test_every_picture_gets_its_own_answer(remote: Callable[..., Remote]) -> None:
    batch = pictures(40)
    embedder = remote(Scripted())
    found = vectors(list(embedder.embed_images(batch)))
    assert sorted(found) == list(range(40))
    assert all(np.array_equal(found[n], answer_to(one.read())) for n, one in enumerate(batch))
    assert embedder.calls == 40


def test_a_bad_picture_costs_only_itself_and_no_request(remote: Callable[..., Remote]) -> None:
    batch = pictures(6)
    batch[1] = picture(batch[1].read()[:-40], "cut.png")
    batch[4] = Picture(batch[4].image, lambda: (_ for _ in ()).throw(SourceError("it is gone")))
    provider = Scripted()
    results = list(remote(provider).embed_images(batch))
    assert {n: f.error_class for n, f in failures(results).items()} == {
        1: ErrorClass.UNDECODABLE,
        4: ErrorClass.UNREADABLE,
    }
    assert sorted(vectors(results)) == [0, 2, 3, 5]
    assert len(provider.asked) == 4


def test_a_transient_failure_is_tried_again(remote: Callable[..., Remote]) -> None:
    provider = Scripted(raising(1, 2, error=call_error(ErrorClass.SERVER, http_status=503)))
    embedder = remote(provider)
    assert len(vectors(list(embedder.embed_images(pictures(1))))) == 1
    assert len(provider.asked) == 3
    figures = embedder.statistics()
    assert (figures.calls, figures.answered, figures.retries, figures.lost) == (1, 1, 2, 0)


def test_attempts_are_bounded_and_the_failure_names_code_and_request(remote: Callable[..., Remote]) -> None:
    error = call_error(ErrorClass.SERVER, http_status=500, request_id="r-17")
    provider = Scripted(raising(*range(1, 99), error=error))
    ((_, outcome),) = remote(provider, attempts=3).embed_images(pictures(1))
    assert isinstance(outcome, Failure)
    assert len(provider.asked) == 3
    assert (outcome.error_class, outcome.http_status, outcome.final) == (ErrorClass.SERVER, 500, False)
    assert outcome.message == "the service said Busy: try later (request r-17); given up after 3 attempts"


def test_patience_is_bounded_by_what_the_provider_asks_to_wait(remote: Callable[..., Remote]) -> None:
    provider = Scripted(raising(*range(1, 99), error=call_error(ErrorClass.SERVER, retry_after=600.0)))
    ((_, outcome),) = remote(provider).embed_images(pictures(1))
    assert isinstance(outcome, Failure)
    assert len(provider.asked) == 1


def test_a_final_failure_is_not_tried_again(remote: Callable[..., Remote]) -> None:
    provider = Scripted(raising(1, error=call_error(ErrorClass.REJECTED, http_status=400)))
    embedder = remote(provider)
    ((_, outcome),) = embedder.embed_images(pictures(1))
    assert isinstance(outcome, Failure)
    assert outcome.final
    assert (len(provider.asked), embedder.calls) == (1, 0)


def test_an_answer_that_was_lost_counts_as_a_call(remote: Callable[..., Remote]) -> None:
    embedder = remote(Scripted(raising(1, error=call_error(ErrorClass.TIMEOUT))))
    list(embedder.embed_images(pictures(1)))
    assert (embedder.calls, embedder.statistics().lost) == (2, 1)


def test_an_answer_that_cannot_be_used_counts_as_a_call(remote: Callable[..., Remote]) -> None:
    embedder = remote(Scripted(raising(1, error=call_error(ErrorClass.SERVER, http_status=200))))
    list(embedder.embed_images(pictures(1)))
    assert (embedder.calls, embedder.statistics().lost) == (2, 1)


@pytest.mark.parametrize(
    "vector", [[1.0, 2.0, 3.0], [[1.0, 2.0, 3.0, 4.0]], [1.0, float("nan"), 3.0, 4.0], [0.0] * 4], ids=str
)
def test_a_vector_that_cannot_be_used_is_asked_for_once_more_and_is_never_final(
    remote: Callable[..., Remote], vector: list[float]
) -> None:
    provider = Scripted()
    provider.vector = np.array(vector, np.float32)
    budget = Budget(9)
    embedder = remote(provider, allowance=budget)
    ((_, outcome),) = embedder.embed_images(pictures(1))
    assert isinstance(outcome, Failure)
    assert (outcome.error_class, outcome.final) == (ErrorClass.SERVER, False)
    assert "gave an answer that cannot be used" in outcome.message
    assert (len(provider.asked), embedder.calls, budget.left) == (2, 2, 7)
    with pytest.raises(EmbedderError, match="does not embed a plain test picture: scripted gave an answer that cannot"):
        embedder.check()
    with pytest.raises(EmbedderError, match="did not answer the query: scripted gave an answer that cannot be used"):
        embedder.embed_text("red")
    assert len(provider.asked) == 6


@pytest.mark.parametrize(("concurrency", "most"), [(1, MOST_UNUSABLE), (8, MOST_UNUSABLE + 7)])
def test_a_row_of_answers_that_cannot_be_used_stops_the_run(
    remote: Callable[..., Remote], concurrency: int, most: int
) -> None:
    unusable = call_error(ErrorClass.SERVER, http_status=200)
    provider = Scripted(lambda number: number <= 4 or raising(number, error=unusable)(number))
    embedder = remote(provider, concurrency=concurrency, secrets=["Busy"])
    results: list[tuple[int, Vector | Failure]] = []
    with pytest.raises(EmbedderError, match=r"6 answers in a row that cannot be used.*the service said \[redacted\]"):
        results.extend(embedder.embed_images(pictures(40)))
    assert 4 + MOST_UNUSABLE <= len(provider.asked) <= 4 + most
    assert len(vectors(results)) == 4
    # They are tried last by the next run, so that they cannot keep the others from being embedded.
    assert len(failures(results)) >= 3


def test_answers_that_cannot_be_used_stop_nothing_while_others_can(remote: Callable[..., Remote]) -> None:
    unusable = call_error(ErrorClass.SERVER, http_status=200)
    provider = Scripted(lambda number: number % MOST_UNUSABLE == 0 or raising(number, error=unusable)(number))
    results = list(remote(provider, concurrency=1).embed_images(pictures(30)))
    assert len(results) == 30
    assert vectors(results)
    assert failures(results)


def test_tokens_are_reserved_before_a_call_and_corrected_by_its_answer(remote: Callable[..., Remote]) -> None:
    counted = iter([3000, 500, 500, 500, 600])

    class Counting(Scripted):
        def image(self, picture: Prepared, *, timeout: float) -> Reply:
            return Reply(*super().image(picture, timeout=timeout), next(counted))

    pacer = Recorder()
    embedder = remote(Counting(), pacer, concurrency=1)
    assert len(list(embedder.embed_images(pictures(5)))) == 5
    assert pacer.tokens == [MOST_PICTURE_TOKENS, 3000, 3000, 3000, 3000]
    assert pacer.counted == [3000, 500, 500, 500, 600]
    embedder.embed_text("two words")
    assert pacer.tokens[-1] > len("two words")  # no tokenizer makes more than one token of a byte


def test_texts_are_counted_among_the_calls_and_take_what_they_cost(remote: Callable[..., Remote]) -> None:
    provider = Scripted(raising(2, error=call_error(ErrorClass.TIMEOUT)))
    provider.facts = replace(provider.facts, price=Price(per_image=0.001, per_text=0.0025))
    budget = Budget(10)
    embedder = remote(provider, allowance=budget)
    embedder.check()  # the answer to the first text is lost
    figures = embedder.statistics()
    assert (figures.calls, figures.texts, embedder.check_units) == (3, 2, 4)
    assert budget.left == 10 - 1 - 3 - 3


@pytest.mark.parametrize(
    ("error_class", "options", "left"),
    [
        (ErrorClass.QUOTA, {"http_status": 429}, 1),
        (ErrorClass.QUOTA, {}, 1),
        (ErrorClass.REJECTED, {"http_status": 400}, 2),
        (ErrorClass.SERVER, {"http_status": 503}, 0),
        (ErrorClass.CONNECTION, {}, 0),
    ],
)
def test_a_request_that_may_have_been_paid_for_is_taken_from_the_allowance(
    remote: Callable[..., Remote], error_class: ErrorClass, options: dict[str, int], left: int
) -> None:
    budget = Budget(2)
    embedder = remote(Scripted(raising(1, error=call_error(error_class, **options))), allowance=budget)
    list(embedder.embed_images(pictures(1)))
    assert budget.left == left
    assert not budget.used_up


def test_more_than_the_allowance_is_never_asked(remote: Callable[..., Remote]) -> None:
    provider, budget = Scripted(), Budget(7)
    assert len(list(remote(provider, allowance=budget).embed_images(pictures(20)))) == 7
    assert len(provider.asked) == 7
    assert budget.used_up


def test_what_was_taken_from_the_allowance_is_asked_though_others_find_it_used_up(
    remote: Callable[..., Remote],
) -> None:
    budget = Budget(3)

    class Slow(Recorder):
        """Its slots come when the allowance is used up."""

        def wait(self, *, interactive: bool = False, tokens: int = 0) -> None:
            super().wait(interactive=interactive)
            until = time.monotonic() + PATIENCE
            while not budget.used_up and time.monotonic() < until:
                time.sleep(0.01)

    provider = Scripted()
    assert len(list(remote(provider, Slow(), allowance=budget).embed_images(pictures(20)))) == 3
    assert (len(provider.asked), budget.left) == (3, 0)


def test_no_secret_is_shown(remote: Callable[..., Remote]) -> None:
    error = lambda: CallError("bad key=k/3y+ or k%2F3y%2B", ErrorClass.REJECTED)  # noqa: E731 - an error factory
    embedder = remote(Scripted(raising(1, error=error)), secrets=["k/3y+"])
    ((_, outcome),) = embedder.embed_images(pictures(1))
    assert isinstance(outcome, Failure)
    assert outcome.message == "bad key=[redacted] or [redacted]"


def test_an_http_error_shows_no_secret_in_any_spelling() -> None:
    answer = ErrorAnswer("A provider", 401, message="key k/3y+ (sent as k%2F3y%2B) is not valid")
    shown = str(answer.error(secrets=["k/3y+"]))
    assert shown == "A provider answered 401: key [redacted] (sent as [redacted]) is not valid."


def test_redaction_prefers_the_longer_secret_and_ignores_empty_ones() -> None:
    assert redact("abc and ab", ["", "ab", "abc"]) == "[redacted] and [redacted]"


def test_a_429_goes_to_the_pacer_and_not_against_the_attempts(remote: Callable[..., Remote]) -> None:
    pacer = Recorder()
    provider = Scripted(raising(*range(1, 9), error=call_error(ErrorClass.QUOTA, retry_after=7.0, http_status=429)))
    embedder = remote(provider, pacer, attempts=2)
    assert len(vectors(list(embedder.embed_images(pictures(1))))) == 1
    assert pacer.throttles == [7.0] * 8
    assert len(pacer.waits) == 9
    assert (embedder.statistics().rate_limited, embedder.calls) == (8, 1)


def test_without_a_limit_a_429_is_waited_out_all_the_same(remote: Callable[..., Remote]) -> None:
    provider = Scripted(raising(1, 2, error=call_error(ErrorClass.QUOTA)))
    assert len(vectors(list(remote(provider, Unpaced()).embed_images(pictures(3))))) == 3


def test_a_quota_that_is_used_up_for_hours_ends_the_run(remote: Callable[..., Remote]) -> None:
    provider = Scripted(raising(*range(1, 99), error=call_error(ErrorClass.QUOTA, retry_after=86400.0)))
    embedder = remote(provider, concurrency=1)
    with pytest.raises(EmbedderError, match=r"quota of scripted is used up.*wait 86400 s more.*run the same command"):
        list(embedder.embed_images(pictures(5)))
    assert len(provider.asked) == 1


def test_refused_credentials_stop_everything_and_lose_no_answer(remote: Callable[..., Remote]) -> None:
    both = threading.Barrier(2)
    refused = threading.Event()

    def script(number: int) -> None:
        if number <= 2:
            both.wait(PATIENCE)
        if number == 2:
            refused.set()
            raise CredentialsRefusedError("the key hush is refused (401)")
        refused.wait(PATIENCE)

    provider = Scripted(script)
    embedder = remote(provider, concurrency=2, secrets=["hush"])
    results: list[tuple[int, Vector | Failure]] = []
    with pytest.raises(CredentialsRefusedError, match=r"the key \[redacted\] is refused") as caught:
        results.extend(embedder.embed_images(pictures(30)))
    assert "hush" not in str(caught.value)
    asked = len(provider.asked)
    assert asked == 2
    assert len(vectors(results)) == 1
    with pytest.raises(CredentialsRefusedError):
        list(embedder.embed_images(pictures(3)))
    assert len(provider.asked) == asked


def test_another_model_version_stops_the_run_and_names_both(remote: Callable[..., Remote]) -> None:
    provider = Scripted()
    provider.version = "v2"
    with pytest.raises(EmbedderError, match=r"model version 'v2'.*holds vectors of 'v1'"):
        list(remote(provider, concurrency=1).embed_images(pictures(9)))
    assert len(provider.asked) == 1


def test_a_lost_limiter_stops_the_run(remote: Callable[..., Remote]) -> None:
    class Lost(Recorder):
        def wait(self, *, interactive: bool = False, tokens: int = 0) -> None:
            raise DatabaseError("the database is away.")

    provider = Scripted()
    with pytest.raises(DatabaseError, match="is away"):
        list(remote(provider, Lost()).embed_images(pictures(9)))
    assert provider.asked == []


def test_a_stop_begins_nothing_and_yields_what_is_in_flight(remote: Callable[..., Remote]) -> None:
    stop = threading.Event()
    four = threading.Barrier(5)
    provider = Scripted(lambda number: four.wait(PATIENCE))
    embedder = remote(provider, concurrency=4, stopping=stop.is_set)
    results: list[tuple[int, Vector | Failure]] = []
    consumer = threading.Thread(target=lambda: results.extend(embedder.embed_images(pictures(50))))
    consumer.start()
    until(lambda: provider.most_at_once == 4)
    stop.set()
    four.wait(PATIENCE)
    consumer.join(PATIENCE)
    assert len(provider.asked) == len(vectors(results)) == 4


def test_a_pacer_that_gives_up_leaves_the_rest_without_an_answer(remote: Callable[..., Remote]) -> None:
    class Stopping(Recorder):
        def wait(self, *, interactive: bool = False, tokens: int = 0) -> None:
            super().wait()
            if len(self.waits) > 3:
                raise PacingStoppedError("stopping")

    provider = Scripted()
    results = list(remote(provider, Stopping(), concurrency=1).embed_images(pictures(20)))
    assert len(results) == len(provider.asked) == 3


def test_answers_of_a_batch_that_was_left_are_not_paid_for_again(remote: Callable[..., Remote]) -> None:
    go_on = threading.Event()
    provider = Scripted(lambda number: None if number == 1 else go_on.wait(PATIENCE))
    embedder = remote(provider, concurrency=4)
    batch = pictures(12)
    left = embedder.embed_images(batch)
    next(left)
    until(lambda: len(provider.asked) == 5)
    left.close()  # type: ignore[attr-defined]  # it is a generator
    go_on.set()
    until(lambda: len(embedder._unclaimed) == 4)
    again = list(embedder.embed_images(batch))
    assert len(vectors(again)) == 12
    assert Counter(Counter(provider.asked).values()) == {1: 11, 2: 1}


def test_an_unexpected_error_reaches_the_caller(remote: Callable[..., Remote]) -> None:
    with pytest.raises(ZeroDivisionError):
        list(remote(Scripted(lambda number: 1 // 0)).embed_images(pictures(3)))


def test_the_cap_holds_over_all_batches(remote: Callable[..., Remote]) -> None:
    provider = Scripted(lambda number: threading.Event().wait(0.002))
    embedder = remote(provider, concurrency=3)
    results: list[tuple[int, Vector | Failure]] = []
    threads = [threading.Thread(target=lambda: results.extend(embedder.embed_images(pictures(20)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 80
    assert provider.most_at_once == 3


def test_in_flight_follows_littles_law() -> None:
    found = Concurrency(lambda: 30.0)
    for _ in range(100):
        found.answered(0.4)
    assert found.limit == 20  # 1.5 * 30/s * 0.4 s, and two to spare
    for _ in range(100):
        found.answered(4.0)
    assert found.limit == BOUND


@pytest.mark.parametrize("served_at_once", [5, 16, 40])
def test_without_a_rate_in_flight_grows_while_the_throughput_does(
    served_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count()
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    found = Concurrency(lambda: float("inf"))
    seen = []
    for _ in itertools.islice(clock, 20_000):
        found.in_flight = found.limit
        now[0] += 0.1 / min(found.limit, served_at_once)
        found.answered(0.1)
        seen.append(found.limit)
    settled = seen[-10_000:]
    assert min(settled) >= min(served_at_once, BOUND) * 0.8
    assert max(settled) <= served_at_once * 1.6 + 1


def test_without_a_rate_a_service_without_a_limit_is_used_fully_after_sixty_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    found = Concurrency(lambda: float("inf"))
    answers = 0
    while found.limit < BOUND and answers < 1000:
        found.in_flight = found.limit
        now[0] += 0.15 / found.limit
        found.answered(0.15)
        answers += 1
    assert answers <= 60


def test_a_query_goes_before_batches_and_names_what_it_does_not_read(
    remote: Callable[..., Remote], caplog: pytest.LogCaptureFixture
) -> None:
    pacer = Recorder()
    provider = Scripted(limits=Limits(max_words=2))
    with caplog.at_level(logging.WARNING):
        reading = remote(provider, pacer).embed_text("a  red harbour tonight")
    assert (reading.read, reading.unread) == (("a", "red"), ())
    assert provider.asked == [b"a red"]
    assert pacer.waits == [True]
    assert "not read: harbour tonight" in caplog.text


def test_a_query_that_is_refused_says_why(remote: Callable[..., Remote]) -> None:
    provider = Scripted(raising(1, error=call_error(ErrorClass.REJECTED)))
    with pytest.raises(EmbedderError, match="scripted did not answer the query: the service said Busy"):
        remote(provider).embed_text("red")
    with pytest.raises(UnreadableQueryError, match="no word"):
        remote(provider).embed_text("  ")


def test_a_query_does_not_wait_longer_than_a_person_does(remote: Callable[..., Remote]) -> None:
    provider = Scripted(raising(*range(1, 99), error=call_error(ErrorClass.QUOTA, retry_after=60.0)))
    pacer = Recorder()
    with pytest.raises(EmbedderError, match="did not answer the query"):
        remote(provider, pacer).embed_text("red")
    assert (len(provider.asked), pacer.throttles) == (1, [60.0])


@pytest.mark.parametrize("formats", [None, frozenset({"JPEG"}), frozenset({"PNG", "JPEG"})])
def test_the_check_makes_one_request_of_each_kind(
    remote: Callable[..., Remote], formats: frozenset[str] | None
) -> None:
    embedder = remote(Scripted(limits=Limits(formats=formats)))
    embedder.check()
    assert embedder.calls == 2


def test_the_check_finds_another_version_and_a_refused_picture(remote: Callable[..., Remote]) -> None:
    provider = Scripted()
    provider.version = "v9"
    with pytest.raises(EmbedderError, match="v9"):
        remote(provider).check()
    with pytest.raises(EmbedderError, match="does not embed a plain test picture: the service said Busy"):
        remote(Scripted(raising(1, error=call_error(ErrorClass.REJECTED)))).check()


def test_latencies_are_summed_up(remote: Callable[..., Remote]) -> None:
    embedder = remote(Scripted())
    assert (embedder.statistics().latencies.quantile(0.5), embedder.statistics().latencies.quantile(0.95)) == (0, 0)
    list(embedder.embed_images(pictures(5)))
    figures = embedder.statistics()
    assert 0 < figures.latencies.quantile(0.5) <= figures.latencies.quantile(0.95)
    assert figures.in_flight >= 1
