"""How much of a quota the shared rate limit uses, whether a token bucket would refuse any of its calls, and what 429s cost.

`python -m benchmarks.limiter [--limits 30/s '30/s burst 30'] [--threads 24] [--processes 3] [--seconds 60] [--busy 2]`

Each limit is measured twice, the second time next to `--busy` processes that do nothing but take processor time.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from queue import SimpleQueue

from benchmarks.common import Figure, arguments, record, scratch_database
from pinakes.quota.limiter import Limiter
from pinakes.rates import Rate, parse_rate
from tests.fakes.quota import Quota

SETTLING = 10.0
"""Seconds that are not counted: the first slots of an idle quota come at once."""

LATENCY = 0.1
STEP = 10.0
"""Seconds that a column of the curves stands for."""

Call = tuple[float, float]
"""A slot on the database's clock, and the local time at which its call started."""


def call_until(limiter: Limiter, end: float, calls: SimpleQueue[Call]) -> None:
    """Take slots until a moment of `time.monotonic()`, and do nothing in them."""
    while time.monotonic() < end:
        slot = limiter.acquire()
        calls.put((slot.at, time.monotonic()))


Result = tuple[float, list[Call], int]
"""When a process began, its calls, and its slots that came too late."""


def process(
    dsn: str, rate: Rate, threads: int, seconds: float, together: Barrier, out: multiprocessing.Queue[Result]
) -> None:
    """One process with several threads; all processes start together."""
    limiter = Limiter(dsn, "benchmark", [rate])
    calls: SimpleQueue[Call] = SimpleQueue()
    together.wait()
    start = time.monotonic()
    workers = [threading.Thread(target=call_until, args=(limiter, start + seconds, calls)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    limiter.close()
    out.put((start, [calls.get() for _ in range(calls.qsize())], limiter.expired))


def refused(starts: Sequence[float], rate: Rate) -> int:
    """How many calls a token bucket of this rate and capacity refuses."""
    tokens, last, refusals = float(rate.burst), starts[0], 0
    for start in starts:
        tokens = min(float(rate.burst), tokens + (start - last) * rate.per_second)
        last = start
        if tokens < 1 - 1e-6:
            refusals += 1
        else:
            tokens -= 1
    return refusals


@dataclass(frozen=True)
class Use:
    """How much of a limit was used, how many calls a strict bucket would have refused, and slots that came too late."""

    share: float
    refused: int
    expired: int


def spin() -> None:
    """Take processor time until the process is ended."""
    while True:
        pass


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Processes that compete for the processors."""
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=spin, daemon=True) for _ in range(processes)]
    for one in others:
        one.start()
    try:
        yield
    finally:
        for one in others:
            one.terminate()
            one.join()


def measure(rate: Rate, threads: int, processes: int, seconds: float, others: int) -> Use:
    """One line of the table."""
    # Spawned, because a forked process would share threads and connections of this one.
    context = multiprocessing.get_context("spawn")
    out: multiprocessing.Queue[Result] = context.Queue()
    together = context.Barrier(processes)
    with scratch_database() as database, busy(others):
        Limiter(database.dsn, "benchmark", [rate]).close()  # makes the row of the limit, so that no process has to
        given = (database.dsn, rate, threads // processes, SETTLING + seconds, together, out)
        started = [context.Process(target=process, args=given) for _ in range(processes)]
        for one in started:
            one.start()
        results = [out.get() for _ in started]
        for one in started:
            one.join()
    begin = min(start for start, _, _ in results) + SETTLING
    calls = sorted(call for _, calls, _ in results for call in calls)
    starts = sorted(moment for _, moment in calls)
    counted = sum(begin <= moment < begin + seconds for moment in starts)
    return Use(counted / seconds / rate.per_second, refused(starts, rate), sum(number for _, _, number in results))


class Provider:
    """Answers from a token bucket; it may also refuse one call after `lone` seconds. Thread-safe."""

    def __init__(self, quota: Quota, lone: float | None = None) -> None:
        self.quota = quota
        self.began = time.monotonic()
        self.answered: list[float] = []
        self.refused: list[float] = []
        self._lone = lone
        self._lock = threading.Lock()

    def answers(self) -> bool:
        """Whether it answers a call, after a while; otherwise it says 429 at once."""
        with self._lock:
            at = time.monotonic() - self.began
            if self._lone is not None and at >= self._lone:
                self._lone = None
            elif not self.quota.take():
                self.answered.append(at)
                return True
            self.refused.append(at)
            return False


def ask(limiter: Limiter, provider: Provider, seconds: float) -> None:
    """Make calls as `pinakes.embedders.remote.attempts` does."""
    while time.monotonic() - provider.began < seconds:
        limiter.acquire()
        if provider.answers():
            time.sleep(LATENCY)
        else:
            limiter.throttled(None)


@dataclass(frozen=True)
class Curve:
    """How much of a provider's quota three limiters use, and what it refuses, in each ten seconds; and from then on."""

    name: str
    used: list[float]
    refused: list[int]
    whole: float


def curve(name: str, dsn: str, rate: Rate, provider: Provider, seconds: float) -> Curve:
    """Measure one."""
    limiters = [Limiter(dsn, name, [rate]) for _ in range(3)]
    provider.began = time.monotonic()
    threads = [threading.Thread(target=ask, args=(one, provider, seconds)) for one in limiters for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in limiters:
        one.close()
    steps = range(int(seconds / STEP))
    used = [sum(step * STEP <= at < (step + 1) * STEP for at in provider.answered) for step in steps]
    refused = [sum(step * STEP <= at < (step + 1) * STEP for at in provider.refused) for step in steps]
    most = STEP * provider.quota.rate
    whole = sum(at >= STEP for at in provider.answered) / (seconds - STEP) / provider.quota.rate
    return Curve(name, [count / most for count in used], refused, whole)


def recovery(seconds: float) -> list[Curve]:
    """The curves after a lone 429, and where the quota is half of ours; both are measured at once."""
    rate = parse_rate("30/s")
    providers = {
        "a lone 429": Provider(Quota(rate.per_second, rate.burst), lone=STEP),
        "half a quota": Provider(Quota(rate.per_second / 2, rate.burst)),
    }
    with scratch_database() as database, ThreadPoolExecutor() as pool:
        found = [pool.submit(curve, name, database.dsn, rate, each, seconds) for name, each in providers.items()]
        return [one.result() for one in found]


def main() -> None:
    options = arguments(
        __doc__,
        limits=["30/s", "30/s burst 30", "200/s"],
        threads=24,
        processes=3,
        seconds=60.0,
        busy=2,
        recovery=130.0,
    )
    remark = f"Over {options.seconds:g} s after the first {SETTLING:g}."
    record("limiter", "One rate for several processes", measured(options), remark)


def measured(options: Namespace) -> Iterator[Figure]:
    """The use of each limit, and the curves."""
    for limit in options.limits:
        for others in sorted({0, options.busy}):
            use = measure(parse_rate(limit), options.threads, options.processes, options.seconds, others)
            what = f"`--rate '{limit}'` in {options.processes} processes"
            value = f"{use.share:.1%} used, {use.refused} refused by a strict bucket, {use.expired} slots too late"
            yield Figure(
                what + (f", next to {others} busy ones" if others else ""),
                value.replace("%", " %"),
                "≥ 99 %, 0 refused" if limit.startswith("30/s") else "",
            )
    for one in recovery(options.recovery) if options.recovery else []:
        used = " ".join(f"{share:.0%}" for share in one.used)
        value = f"{used}; 429s: {' '.join(map(str, one.refused))}; after {STEP:g} s: {one.whole:.1%}"
        what = f"{one.name}: use in each {STEP:g} s of the first {options.recovery:g}"
        yield Figure(what, value.replace("%", " %"))


if __name__ == "__main__":
    main()
