"""What calls count corrects a shared quota of tokens exactly: the line stands as if their answers had been known before."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import psycopg
import pytest

from pinakes.rates import Rate, parse_rates
from pinakes.store.limits import Correction, LimitStore
from tests.fakes.gemini import GeminiFake
from tests.fakes.quota import Quota
from tests.gcra import rounding
from tests.integration.test_limiter import let_pass
from tests.waiting import PATIENCE

QUOTA = "gemini:my-project"

RUN = """
import os, sys, time
from pinakes.quota.limiter import Limiter
from pinakes.rates import parse_rates
from pinakes.embedders.base import Picture
from pinakes.types import Image
from tests.pictures import photo
from tests.trials import opened
pacer = Limiter(sys.argv[1], sys.argv[2], parse_rates(sys.argv[3]))
embedder = opened("gemini", dict(os.environ), pace=lambda _quota, _rate: pacer, dimension=128)
embedder.check()
data = photo((int(sys.argv[4]), 0, 0))
print("ready", flush=True)
until = time.monotonic() + float(sys.stdin.readline())
def paintings():
    for n in range(10**6):
        if time.monotonic() > until: return
        yield Picture(Image(f"{n}", f"file:///{n}", f"md5:{sys.argv[4]}-{n}", 1), lambda: data)
made = 0
paintings = paintings()
while pictures := [each for _, each in zip(range(16), paintings)]:
    made += sum(1 for _ in embedder.embed_images(pictures))
embedder.close()
pacer.close()
print(made)
"""


def line(rate: Rate, calls: list[tuple[float, float]]) -> float:
    """The regular time of the next slot after calls of so many tokens in these slots, from the definition of GCRA."""
    at = 0.0
    for slot, tokens in (call for call in calls if call[1]):
        at = max(at, slot) + tokens * rate.spacing
    return at


def test_the_line_is_that_of_what_calls_counted_whenever_their_answers_come(database_url: str) -> None:
    """Answers in any order, some far too high and some too low, after pauses in which the bucket was full again."""
    rates = parse_rates("600000 tokens/min burst 20000, 30000000 tokens/h burst 30000")
    chance = random.Random(14)
    calls: list[list[float]] = []
    open_calls: list[tuple[int, int]] = []
    shared = LimitStore(database_url, QUOTA, rates)
    with psycopg.connect(database_url, autocommit=True) as admin:
        for _ in range(60):
            tokens = chance.choice([40, 258, 1290, 5000])
            got = shared.reserve(chance.randint(1, 5), tokens=tokens, interactive=chance.random() < 0.2)
            assert got.number == len(calls) + 1
            open_calls += [(len(calls) + place, tokens) for place in range(len(got.slots))]
            calls += [[slot, tokens] for slot in got.slots]
            chance.shuffle(open_calls)
            answered = [open_calls.pop() for _ in range(min(len(open_calls), chance.randint(0, 5)))]
            corrections = []
            for number, reserved in answered:
                counted = chance.choice([0, 1, reserved // 3, 2 * reserved])
                corrections.append(Correction(number + 1, calls[number][0], reserved, counted))
                calls[number][1] = counted
            if corrections:
                shared.correct(corrections)
            rows = admin.execute("SELECT free_at FROM pinakes.limits ORDER BY seconds").fetchall()
            for rate, (free_at,) in zip(rates, rows, strict=True):
                expected = line(rate, [(slot, min(tokens, rate.burst)) for slot, tokens in calls])
                assert free_at == pytest.approx(expected, abs=rounding(20 * len(calls), free_at), rel=0)
            if chance.random() < 0.1:  # time passes for the rows, and with it for what was reserved
                passed = chance.choice([1, 5])
                let_pass(admin, passed)
                calls = [[slot - passed, tokens] for slot, tokens in calls]
    shared.close()


def test_a_call_that_left_the_line_is_charged_more_but_given_nothing(database_url: str) -> None:
    (rate,) = parse_rates("60000 tokens/min burst 20000")
    shared = LimitStore(database_url, QUOTA, [rate])
    got = shared.reserve(1, tokens=1000)
    shared.throttled(5.0)
    blocked = shared.reserve(1, tokens=1000)
    assert got.number
    assert blocked.number
    with psycopg.connect(database_url, autocommit=True) as admin:

        def free_at() -> float:
            ((at,),) = admin.execute("SELECT free_at FROM pinakes.limits").fetchall()
            return float(at)

        before = free_at()
        shared.correct([Correction(got.number, got.slots[0], 1000, 0)])
        assert free_at() == before
        shared.correct([Correction(got.number, got.slots[0], 1000, 3000)])
        assert free_at() == pytest.approx(before + 2000 * rate.spacing, abs=1e-5)
    shared.close()


class Watched(Quota):
    """A quota that remembers when how much was taken of it."""

    def __init__(self, rate: Rate) -> None:
        super().__init__(rate.per_second, rate.burst)
        self.taken: list[tuple[float, float]] = []

    def take(self, count: float = 1.0) -> float:
        wait = super().take(count)
        if not wait:
            self.taken.append((self._clock(), count))
        return wait

    def use(self) -> float:
        """The share of the rate that was used in the last three seconds; the burst is spent then."""
        until = self.taken[-1][0] - 0.5
        since = until - 3
        return sum(count for at, count in self.taken if since <= at < until) / (until - since) / self.rate


# It measures a rate in real time, which a machine that is busy otherwise does not reach: for a quiet one.
@pytest.mark.soak
@pytest.mark.parametrize(
    ("each", "text"),
    [(500, "60/s burst 40, 600000 tokens/min burst 20000"), (4000, "60/s burst 40, 4800000 tokens/min burst 80000")],
    ids=["reserved too much", "reserved too little"],
)
def test_processes_use_all_of_two_strict_quotas_and_never_exceed_them(database_url: str, each: int, text: str) -> None:
    """The fake refuses whatever is beyond either; a picture counts far less, or more, than it is taken to at first."""
    calls, tokens = parse_rates(text)
    quotas = Watched(calls), Watched(tokens)
    with GeminiFake(project="p", picture_tokens=each, quota=quotas[0], tokens=quotas[1], blind=True) as fake:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", RUN, database_url, QUOTA, text, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | fake.environment,
            )
            for number in range(3)
        ]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("5\n")
            process.stdin.flush()
        answered = sum(int(process.communicate(timeout=PATIENCE)[0]) for process in processes)
        assert all(process.returncode == 0 for process in processes)
        assert fake.counts["throttled"] == 0
        assert fake.counts["charged"] == answered + 6  # and a picture and a text each, to begin with
        assert max(quota.use() for quota in quotas) >= 0.95
