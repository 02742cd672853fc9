"""The shared rate limit on a real PostgreSQL: slots that comply with a token bucket exactly, whoever takes them."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pinakes.embedders.base import Facts
from pinakes.embedders.remote.client import Remote
from pinakes.embedders.remote.provider import CallError, PacingStoppedError, Prepared
from pinakes.errors import DatabaseError, UsageError
from pinakes.quota.limiter import Limiter, Slot
from pinakes.rates import Rate, Unit, parse_rate, parse_rates
from pinakes.spaces import Space
from pinakes.store import cloudsql
from pinakes.store.addresses import LIMITER_URL
from pinakes.store.limits import (
    LimitStore,
    LimitsUnreachableError,
    change_limit,
    limits_connection,
    list_limits,
    remove_limit,
)
from pinakes.types import ErrorClass, Vector
from tests.fakes.quota import Quota
from tests.gcra import Reference, refusals, rounding
from tests.unit.test_calling import answer_to, pictures
from tests.unit.test_cloudsql import Instance
from tests.waiting import PATIENCE, until

QUOTA = "azure:example.cognitiveservices.azure.com"
FAST = parse_rate("200/s")

CHILD = """
import sys, threading, time
from pinakes.quota.limiter import Limiter
from pinakes.rates import parse_rates
limiter = Limiter(sys.argv[1], sys.argv[2], parse_rates(sys.argv[3]))
def take():
    for _ in range(int(sys.argv[5])):
        slot = limiter.acquire(tokens=int(sys.argv[6]))
        taken.append((slot.at, slot.local, time.monotonic(), slot.lateness))
taken = []
print("ready", flush=True)
sys.stdin.readline()
threads = [threading.Thread(target=take) for _ in range(int(sys.argv[4]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
for entry in taken: print(*map(repr, entry))
"""


@pytest.fixture
def limiter(database_url: str) -> Iterator[Callable[..., Limiter]]:
    made: list[Limiter] = []

    def make(*rates: str, **options: object) -> Limiter:
        made.append(Limiter(database_url, QUOTA, [parse_rate(rate) for rate in rates], **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


def store(dsn: str, *rates: Rate) -> LimitStore:
    return LimitStore(dsn, QUOTA, rates)


def in_threads(count: int, action: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=action, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def ended(threads: Sequence[threading.Thread]) -> bool:
    for thread in threads:
        thread.join(PATIENCE)
    return not any(thread.is_alive() for thread in threads)


@contextmanager
def away(dsn: str) -> Iterator[None]:
    """No connection to the database lasts, and none can be made."""
    name = str(conninfo_to_dict(dsn)["dbname"])
    with psycopg.connect(make_conninfo(dsn, dbname="postgres"), autocommit=True) as admin:
        allow = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
        admin.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            yield
        finally:
            admin.execute(allow.format(sql.Identifier(name), sql.Literal(True)))


def let_pass(conn: psycopg.Connection, seconds: float) -> None:
    """Let time pass for the rows: everything in them is further back then."""
    conn.execute(
        """
        UPDATE pinakes.limits
        SET free_at = free_at - %(s)s, factor_at = factor_at - %(s)s, blocked_until = blocked_until - %(s)s,
            seen_at = seen_at - %(s)s, settled = settled - %(s)s,
            owed = ARRAY(SELECT due - %(s)s FROM unnest(owed) AS due),
            starts = ARRAY(SELECT start - %(s)s FROM unnest(starts) AS start)
        """,
        {"s": seconds},
    )


def paced(dsn: str, rate: Rate, seconds: float, refuses: Callable[[float], bool]) -> tuple[list[float], list[float]]:
    """When calls that follow the slots are answered, and when they are refused, in seconds since the first slot."""
    answered: list[float] = []
    refused: list[float] = []
    shared = store(dsn, rate)
    began = shared.reserve(1).now
    elapsed = at = 0.0
    with psycopg.connect(dsn, autocommit=True) as admin:
        while at < seconds:
            got = shared.reserve(50)
            refusal = False
            for slot in got.slots:
                at = slot - began + elapsed
                refusal = refuses(at)
                (refused if refusal else answered).append(at)
                if refusal:
                    break
            let_pass(admin, slot - got.now)
            elapsed += slot - got.now
            if refusal:
                shared.throttled(None)
    shared.close()
    return answered, refused


@pytest.mark.parametrize(
    "rates",
    [
        [Rate(30, 1, 8)],
        [Rate(20, 60, 3)],
        [Rate(10, 1, 40)],
        [Rate(10, 1, 1)],
        [Rate(10, 1, 4), Rate(60, 60, 30)],
        [Rate(2000, 1, 500), Rate(600, 60, 600)],
    ],
    ids=lambda rates: ", ".join(map(str, rates)),
)
def test_slots_are_those_of_the_definition_and_no_bucket_refuses_them(database_url: str, rates: list[Rate]) -> None:
    chance = random.Random(7)
    line = Reference(rates)
    taken: list[float] = []
    elapsed = 0.0
    operations = 0
    shared = store(database_url, *rates)
    with psycopg.connect(database_url, autocommit=True) as admin:
        for _ in range(60):
            interactive = chance.random() < 0.3
            got = shared.reserve(chance.randint(1, 12), interactive=interactive)
            now = got.now + elapsed
            slots = [slot + elapsed for slot in got.slots]
            expected = [line.interactive(now)] if interactive else line.reserve(now, len(slots))
            operations += 3 * len(slots) + 8  # of both lines: their times are sums of all steps until now
            assert slots == pytest.approx(expected, abs=rounding(operations, now), rel=0)
            assert slots[0] >= now - rounding(4, now)
            assert len(slots) == 1 or slots[-1] <= now + 1
            taken += [slot + min(rate.lateness for rate in rates) * chance.choice([0, 0, 1]) for slot in slots]
            passed = chance.choice([0, 0, 0.05, 0.4, 3 * rates[-1].spacing])
            elapsed += passed
            let_pass(admin, passed)
    shared.close()
    assert [refusals(sorted(taken), rate) for rate in rates] == [0] * len(rates)


def test_calls_of_many_tokens_take_as_much_of_a_window_as_they_cost(database_url: str) -> None:
    rates = parse_rates("100/s burst 50, 100000 tokens/min burst 20000")
    chance = random.Random(14)
    line = Reference(rates)
    taken: list[tuple[float, int]] = []
    elapsed = 0.0
    operations = 0
    shared = store(database_url, *rates)
    with psycopg.connect(database_url, autocommit=True) as admin:
        for _ in range(80):
            interactive = chance.random() < 0.3
            tokens = chance.choice([1, 40, 258, 258, 1290, 8192])
            got = shared.reserve(chance.randint(1, 12), interactive=interactive, tokens=tokens)
            now = got.now + elapsed
            slots = [slot + elapsed for slot in got.slots]
            many = len(slots)
            expected = [line.interactive(now, tokens)] if interactive else line.reserve(now, many, tokens)
            operations += 4 * many + 10
            assert slots == pytest.approx(expected, abs=rounding(operations, now), rel=0)
            taken += [(slot + chance.choice([0, 1]) * min(rate.lateness for rate in rates), tokens) for slot in slots]
            passed = chance.choice([0, 0.05, 0.4, 3, 30])
            elapsed += passed
            let_pass(admin, passed)
    shared.close()
    taken.sort()
    starts, costs = [at for at, _ in taken], [tokens for _, tokens in taken]
    assert refusals(starts, rates[0]) == refusals(starts, rates[1], costs) == 0


def test_both_rates_of_a_quota_are_shown(database_url: str) -> None:
    with limits_connection(database_url) as conn:
        change_limit(conn, QUOTA, parse_rates("120/min, 1000000 tokens/min"))
        assert [str(limit.rate) for limit in list_limits(conn)] == ["120/min", "1000000 tokens/min"]
        change_limit(conn, QUOTA, parse_rates("60/min"))
        assert [str(limit.rate) for limit in list_limits(conn)] == ["60/min"]


def taken_by_processes(dsn: str, rate: str, calls: int, sizes: Sequence[int]) -> list[tuple[float, ...]]:
    """`at, local, called, lateness, tokens` of each slot that three processes of four threads take, in order."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, dsn, QUOTA, rate, "4", str(calls), str(tokens)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for tokens in sizes
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    # All are begun before any is waited for.
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    taken = sorted(
        (*map(float, line.split()), tokens)
        for process, tokens in zip(processes, sizes, strict=True)
        for line in process.communicate(timeout=PATIENCE)[0].splitlines()
    )
    assert all(process.returncode == 0 for process in processes)
    # Nobody started early.
    assert all(local <= called for _, local, called, *_ in taken)
    return taken


def test_processes_share_a_quota_of_tokens_exactly(database_url: str) -> None:
    text = "1000/s, 600000 tokens/min burst 8000"
    calls, tokens = parse_rates(text)
    taken = taken_by_processes(database_url, text, 12, [100, 258, 800])
    starts = sorted((at + min(called - local, lateness), size) for at, local, called, lateness, size in taken)
    costs = [int(size) for _, size in starts]
    assert sum(costs) == 48 * (100 + 258 + 800)
    assert refusals([at for at, _ in starts], tokens, costs) == refusals([at for at, _ in starts], calls) == 0
    assert sum(costs) > 0.8 * tokens.per_second * (starts[-1][0] - starts[0][0])


def test_processes_and_threads_share_one_line_and_use_all_of_it(database_url: str) -> None:
    taken = taken_by_processes(database_url, "200/s", 30, [1, 1, 1])
    slots = [at for at, *_ in taken]
    assert len(slots) == 360
    assert min(after - before for before, after in pairwise(slots)) >= FAST.spacing - rounding(4, slots[-1])
    # Nobody started too late, so that the bucket was never empty.
    starts = sorted(at + min(called - local, lateness) for at, local, called, lateness, _ in taken)
    assert refusals(starts, FAST) == 0


def test_a_call_never_starts_before_its_slot_on_the_databases_clock(
    limiter: Callable[..., Limiter], database_url: str
) -> None:
    pace = limiter("50/s")
    with psycopg.connect(database_url, autocommit=True) as clock:
        for _ in range(20):
            slot = pace.acquire()
            ((now,),) = clock.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchall()
            assert now >= slot.at


def test_interactive_calls_wait_for_nobody_and_are_paid_back(database_url: str) -> None:
    rate = Rate(10, 1, 8)
    shared = store(database_url, rate)
    batches = [slot for _ in range(3) for slot in shared.reserve(50).slots]
    assert batches[-1] > shared.reserve(1).now + 1 - rate.spacing
    first = [shared.reserve(1, interactive=True) for _ in range(rate.lead)]
    assert all(got.slots[0] <= got.now for got in first)
    late = shared.reserve(1, interactive=True)
    assert late.slots[0] > late.now
    assert late.slots[0] <= shared.reserve(1).slots[0]
    shared.close()


def test_an_interactive_caller_goes_before_waiting_batches(limiter: Callable[..., Limiter]) -> None:
    pace = limiter("20/min")
    stop = threading.Event()
    waiting = limiter("20/min", stopping=stop.is_set)

    def wait() -> None:
        with suppress(PacingStoppedError):
            while True:
                waiting.wait()

    threads = in_threads(8, wait)
    until(lambda: len(waiting._sizes) + waiting._outstanding >= 8)
    slot = pace.acquire(interactive=True)
    assert slot.interactive
    assert all(thread.is_alive() for thread in threads)
    stop.set()
    assert ended(threads)


def test_a_429_silences_everybody_and_lowers_the_rate(database_url: str) -> None:
    shared, other = store(database_url, FAST), store(database_url, FAST)
    before = shared.reserve(50)
    assert shared.throttled(5.0) > before.generation
    for one in (shared, other):
        got = one.reserve(3)
        assert got.slots[0] >= before.now + 5
        assert got.rate == pytest.approx(0.7 * before.rate)
        assert got.generation > before.generation
    interactive = other.reserve(1, interactive=True)
    assert interactive.slots[0] >= before.now + 5
    # 429s to what was in flight already.
    for _ in range(20):
        shared.throttled(None)
    assert shared.reserve(1).rate == pytest.approx(0.7 * before.rate)
    with limits_connection(database_url) as conn:
        (limit,) = list_limits(conn)
        assert (limit.throttled, limit.rate) == (21, FAST)
        assert limit.effective == pytest.approx(140)
        let_pass(conn, 7)
        assert 0.8 * before.rate <= shared.reserve(1).rate < before.rate
        let_pass(conn, 7)
        assert shared.reserve(1).rate == pytest.approx(before.rate)
    shared.close()
    other.close()


def test_a_lone_429_costs_at_most_three_percent_of_two_minutes(database_url: str) -> None:
    rate = Rate(30, 1, 8)
    first = iter([True])
    answered, refused = paced(database_url, rate, 140, lambda at: at >= 10 and next(first, False))
    assert len(refused) == 1
    assert sum(refused[0] < at <= refused[0] + 120 for at in answered) >= 0.97 * 120 / rate.spacing


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a_quota_that_is_smaller_than_ours_is_settled_under(database_url: str, share: float) -> None:
    rate = Rate(30, 1, 8)
    now = [0.0]
    quota = Quota(share * 30, 8, clock=lambda: now[0])

    def refuses(at: float) -> bool:
        now[0] = at
        return quota.take() > 0

    answered, refused = paced(database_url, rate, 600, refuses)
    assert 0 < sum(at < 60 for at in refused) <= 6
    assert sum(at >= 60 for at in refused) <= 540 / 30
    assert sum(60 <= at < 600 for at in answered) >= 0.8 * 540 * quota.rate


def test_a_429_voids_the_slots_of_callers_that_are_waiting(limiter: Callable[..., Limiter]) -> None:
    pace = limiter("4/s")
    slots: list[Slot] = []
    threads = in_threads(4, lambda: slots.append(pace.acquire()))
    until(lambda: len(slots) >= 1)
    planned = pace._era
    pace.throttled(1.5)
    assert ended(threads)
    voided = [slot for slot in slots if slot.era > planned]
    assert len(voided) >= 2
    last_before = max(slot.local for slot in slots if slot.era == planned)
    assert all(slot.local >= last_before + 1 for slot in voided)
    assert 0.7 * 4 <= pace.rate < 4


@pytest.mark.parametrize("change", [change_limit, None], ids=["set", "removed"])
def test_a_changed_rate_reaches_those_who_wait(
    limiter: Callable[..., Limiter], database_url: str, change: Callable[..., None] | None
) -> None:
    with limits_connection(database_url) as conn:
        change_limit(conn, QUOTA, [parse_rate("1/h")])
        pace = limiter("100/s")
        pace.wait()
        threads = in_threads(6, pace.wait)
        until(lambda: pace._outstanding >= 1)
        if change:
            change(conn, QUOTA, [parse_rate("100/s")])
        else:
            assert remove_limit(conn, QUOTA)
        assert ended(threads)
        assert pace.rate == pytest.approx(100)
        assert [(limit.rate, limit.pinned) for limit in list_limits(conn)] == [
            (parse_rate("100/s"), change is not None)
        ]


def test_a_rate_that_a_person_set_outlives_the_default(limiter: Callable[..., Limiter], database_url: str) -> None:
    with limits_connection(database_url) as conn:
        limiter("30/s")
        assert [str(limit.rate) for limit in list_limits(conn)] == ["30/s"]
        limiter("20/s", "600/min")
        assert [str(limit.rate) for limit in list_limits(conn)] == ["20/s", "600/min"]
        change_limit(conn, QUOTA, [parse_rate("7/min")])
        pace = limiter("30/s")
        assert [(str(limit.rate), limit.pinned) for limit in list_limits(conn)] == [("7/min", True)]
        pace.wait()
        assert pace.rate == pytest.approx(7 / 60)
        assert not remove_limit(conn, "another")


@pytest.mark.parametrize("unit", ["calls", "tokens"])
def test_a_clock_that_was_set_back_keeps_nobody_waiting_and_gives_nothing_twice(database_url: str, unit: Unit) -> None:
    shared = store(database_url, Rate(30, 1.0, 1, unit))
    shared.reserve(20)
    with psycopg.connect(database_url, autocommit=True) as conn:
        for happens in (lambda: None, lambda: None, lambda: shared.throttled(20)):
            happens()
            ((due, ahead),) = conn.execute(
                "SELECT greatest(free_at, blocked_until), greatest(free_at, blocked_until) - seen_at FROM pinakes.limits"
            ).fetchall()
            let_pass(conn, -600)  # as where the clock shows ten minutes less
            next_one = shared.reserve(1)
            spacing = 1 / next_one.rate  # of the slot that is lost when it is noticed
            assert due - 0.001 <= next_one.due <= max(next_one.now, next_one.now + ahead) + spacing + 0.001


def test_many_may_set_the_rate_of_a_new_quota_at_once(database_url: str) -> None:
    with limits_connection(database_url):
        pass
    wrong: list[DatabaseError] = []
    ready = threading.Barrier(8)

    def set_all() -> None:
        with limits_connection(database_url) as conn:
            for number in range(20):
                ready.wait()
                try:
                    change_limit(conn, f"{QUOTA}/{number}", [parse_rate("30/s burst 5")])
                except DatabaseError as exc:
                    wrong.append(exc)

    for thread in in_threads(8, set_all):
        thread.join()
    assert not wrong
    with limits_connection(database_url) as conn:
        assert len(list_limits(conn)) == 20


@pytest.mark.empty
def test_a_plain_postgresql_will_do(limiter: Callable[..., Limiter], database_url: str) -> None:
    limiter("30/s").wait()
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT count(*) FROM pg_extension WHERE extname = 'vector'").fetchone() == (0,)


def test_limits_are_kept_in_cloud_sql_too(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its addresses are no libpq's: they go to Google's connector as they are."""
    monkeypatch.setattr(cloudsql, "_connector", lambda: Instance(database_url))
    limiter = Limiter("cloudsql://me:secret@p:r:i/art", "cloud", [parse_rate("100/s")])
    try:
        limiter.wait()
    finally:
        limiter.close()


def test_a_database_that_goes_away_and_comes_back_is_waited_for(
    limiter: Callable[..., Limiter], database_url: str
) -> None:
    pace = limiter("100/s")
    pace.wait()
    taken: list[Slot] = []

    def take() -> None:
        for _ in range(5):
            taken.append(pace.acquire())  # noqa: PERF401 - many threads share it

    with away(database_url):
        threads = in_threads(4, take)
        until(lambda: pace._lost_at is not None)
        assert taken == []
    assert ended(threads)
    assert len({slot.at for slot in taken}) == 20


def test_a_database_that_stays_away_stops_the_run(limiter: Callable[..., Limiter], database_url: str) -> None:
    pace = limiter("100/s", patience=0.0)
    pace.wait()
    failures: list[str] = []

    def wait() -> None:
        with pytest.raises(DatabaseError) as caught:
            pace.wait()
        failures.append(str(caught.value))

    with away(database_url):
        assert ended(in_threads(8, wait))
        with pytest.raises(DatabaseError):
            pace.throttled(1.0)
    assert len(failures) == 8
    assert all(QUOTA in failure and "PINAKES_LIMITER_URL" in failure for failure in failures)


def test_a_slot_held_when_the_database_was_lost_keeps_nobody_waiting_once_it_is_back(
    limiter: Callable[..., Limiter], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.quota.limiter.LONGEST_PAUSE", 0.0)
    pace = limiter("30/min", patience=0.0)
    pace.acquire()
    failures: list[DatabaseError] = []

    def hold() -> None:
        try:
            pace.acquire()
        except DatabaseError as exc:
            failures.append(exc)

    holding = in_threads(1, hold)
    until(lambda: pace._outstanding == 1)
    with away(database_url):
        assert ended(holding)
    assert len(failures) == 1
    assert ended(in_threads(1, pace.acquire))


def test_a_server_that_ends_a_session_while_the_limits_are_opened_is_waited_for(database_url: str) -> None:
    waiting = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'pinakes' AND wait_event_type = 'Lock'"
    )
    shared = store(database_url, FAST)
    with (
        psycopg.connect(
            database_url, autocommit=True
        ) as watching,  # a transaction would see the same sessions each time
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(database_url) as blocking,
    ):
        blocking.execute("LOCK TABLE pinakes.migrations IN ACCESS EXCLUSIVE MODE")
        opening = pool.submit(shared.generation)
        ((pid,),) = until(lambda: watching.execute(waiting).fetchall())
        watching.execute("SELECT pg_terminate_backend(%s)", (pid,))
        with pytest.raises(LimitsUnreachableError, match="terminating connection"):
            opening.result(PATIENCE)
    assert shared.generation() > 0
    shared.close()


def test_limits_that_cannot_be_opened_leave_no_connection_behind(database_url: str) -> None:
    shared = store(database_url, FAST)
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("INSERT INTO pinakes.migrations (number, name) VALUES (9999, 'newer')")
        with pytest.raises(DatabaseError, match="newer Pinakes") as caught:
            shared.generation()
        sessions = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        until(lambda: conn.execute(sessions).fetchone() == (0,))
    assert caught.value.__traceback__, "which would keep the connection alive"


def test_a_database_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(DatabaseError, match="cannot be reached"):
        Limiter("postgresql://127.0.0.1:1/db", QUOTA, [FAST])
    with pytest.raises(UsageError, match="has no rate"):
        Limiter("postgresql://127.0.0.1:1/db", QUOTA, [])


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("postgresql://127.0.0.1:1/db", r"cannot be reached.* set PINAKES_LIMITER_URL"),
        ("no address", "PINAKES_LIMITER_URL is not an address"),
    ],
)
def test_the_setting_that_names_it_is_the_one_to_fix(dsn: str, said: str) -> None:
    for connecting in (
        lambda: Limiter(dsn, QUOTA, [FAST], setting=LIMITER_URL),
        lambda: limits_connection(dsn, setting=LIMITER_URL).__enter__(),
    ):
        with pytest.raises(DatabaseError, match=said) as caught:
            connecting()
        assert "PINAKES_DATABASE_URL" not in str(caught.value)


def test_a_stop_ends_every_wait(limiter: Callable[..., Limiter]) -> None:
    stop = threading.Event()
    pace = limiter("1/h", stopping=stop.is_set)
    pace.wait()
    given_up: list[PacingStoppedError] = []

    def wait() -> None:
        try:
            pace.wait()
        except PacingStoppedError as exc:
            given_up.append(exc)

    threads = in_threads(5, wait)
    until(lambda: len(pace._sizes) == 4)
    stop.set()
    assert ended(threads)
    assert len(given_up) == 5


class Metered:
    """A provider with a token bucket."""

    def __init__(self, quota: Quota) -> None:
        self.facts = Facts(Space("metered", "m", "1", 4, ""), "For tests.")
        self.quota = quota

    def reads_itself(self, uri: str) -> bool:
        return False

    def image(self, picture: Prepared, *, timeout: float) -> tuple[Vector, str]:
        wait = self.quota.take()
        if wait:
            raise CallError("too many requests", ErrorClass.QUOTA, retry_after=wait, http_status=429)
        time.sleep(0.02)
        return answer_to(picture.data or b""), "1"

    def text(self, text: str, *, timeout: float) -> tuple[Vector, str]:
        raise NotImplementedError

    def close(self) -> None:
        pass


def test_a_bucket_of_the_same_size_refuses_nothing(limiter: Callable[..., Limiter]) -> None:
    rate = parse_rate("100/s")
    provider = Metered(Quota(rate.per_second, rate.burst))
    embedder = Remote(provider, limiter("100/s"))
    assert len(list(embedder.embed_images(pictures(150)))) == 150
    embedder.close()
    assert (provider.quota.granted, provider.quota.refused) == (150, 0)


def test_a_provider_that_allows_less_than_it_says_is_adapted_to(limiter: Callable[..., Limiter]) -> None:
    provider = Metered(Quota(40.0, 10))
    pace = limiter("100/s")
    embedder = Remote(provider, pace)
    assert len(list(embedder.embed_images(pictures(60)))) == 60
    figures = embedder.statistics()
    embedder.close()
    assert figures.calls == 60
    assert figures.rate_limited == provider.quota.refused > 0
    assert pace.rate < 100


def test_a_slot_that_nobody_used_in_time_is_not_used_late(limiter: Callable[..., Limiter]) -> None:
    line = limiter("200/s")
    slot = line.acquire()
    late = replace(slot, local=time.monotonic() - slot.lateness - 0.001)
    assert not line._sleep_until(late)
    assert line.expired == 1
    assert line._sleep_until(replace(late, lateness=3600.0))
    assert line.expired == 1


def test_a_call_may_be_as_late_as_the_strictest_window_allows(database_url: str) -> None:
    rates = [Rate(10, 1, 4), Rate(60, 60, 30)]
    strict, lenient = sorted(rate.lateness for rate in rates)
    assert strict < lenient
    shared = store(database_url, *rates)
    assert shared.reserve(1).lateness == pytest.approx(strict)
    shared.close()
