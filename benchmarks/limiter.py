"""What the shared rate limit hands out, whether a token bucket of its size would have refused any of it, and what 429s cost.

`python -m benchmarks.limiter [--limits 30 200 2000] [--threads 16] [--processes 4] [--seconds 10] [--recovery 130]`
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from benchmarks.common import arguments, scratch_database
from pinakes.quota.limiter import Limiter
from pinakes.rates import Rate, parse_rate
from tests.fakes.quota import Quota

SETTLING = 1.0
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


def process(
    dsn: str, rate: Rate, threads: int, start: float, end: float, out: multiprocessing.Queue[tuple[list[Call], int]]
) -> None:
    """One process with several threads; all start together."""
    limiter = Limiter(dsn, "benchmark", [rate])
    calls: SimpleQueue[Call] = SimpleQueue()
    time.sleep(max(0.0, start - time.monotonic()))
    workers = [threading.Thread(target=call_until, args=(limiter, end, calls)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    limiter.close()
    out.put(([calls.get() for _ in range(calls.qsize())], limiter.expired))


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


def measure(rate: Rate, threads: int, processes: int, seconds: float) -> str:
    """One line of the table."""
    context = multiprocessing.get_context("spawn")
    out: multiprocessing.Queue[tuple[list[Call], int]] = context.Queue()
    with scratch_database() as database:
        Limiter(database.dsn, "benchmark", [rate]).close()
        start = time.monotonic() + 3.0
        end = start + SETTLING + seconds
        started = [
            context.Process(target=process, args=(database.dsn, rate, threads // processes, start, end, out))
            for _ in range(processes)
        ]
        for one in started:
            one.start()
        results = [out.get() for _ in started]
        for one in started:
            one.join()
    calls = sorted(call for calls, _ in results for call in calls)
    expired = sum(number for _, number in results)
    starts = sorted(moment for _, moment in calls)
    counted = sum(start + SETTLING <= moment < end for moment in starts)
    return (
        f"{rate!s:>10}{counted / seconds:>12.1f}/s{counted / seconds / rate.per_second:>9.1%}"
        f"{refused(starts, rate):>10}{expired:>10}"
    )


class Provider:
    """Answers from a token bucket; in addition it may refuse one call after `lone` seconds. Thread-safe."""

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
    """Ask again and again, as `pinakes.embedders.remote.attempts` does."""
    while time.monotonic() - provider.began < seconds:
        limiter.acquire()
        if provider.answers():
            time.sleep(LATENCY)
        else:
            limiter.throttled(None)


def curve(name: str, dsn: str, rate: Rate, provider: Provider, seconds: float) -> list[str]:
    """How much of a provider's quota three limiters use, and what it refuses, in each ten seconds."""
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
    return [
        f"{name:>12}, used {' '.join(f'{count / most:5.0%}' for count in used)}   after {STEP:g} s: {whole:.1%}",
        f"{'429s':>18} {' '.join(f'{count:5}' for count in refused)}",
    ]


def recovery(seconds: float) -> None:
    """Print the curves after a lone 429, and where the quota is half of ours; both are measured at once."""
    rate = parse_rate("30/s")
    providers = {
        "a lone 429": Provider(Quota(rate.per_second, rate.burst), lone=STEP),
        "half a quota": Provider(Quota(rate.per_second / 2, rate.burst)),
    }
    with scratch_database() as database, ThreadPoolExecutor() as pool:
        lines = [
            pool.submit(curve, name, database.dsn, rate, provider, seconds) for name, provider in providers.items()
        ]
        print(f"\n{rate} in three limiters; each column is {STEP:g} s")
        for one in lines:
            print("\n".join(one.result()), flush=True)


def main() -> None:
    options = arguments(__doc__, limits=[30.0, 200.0, 2000.0], threads=16, processes=4, seconds=10.0, recovery=130.0)
    print(f"{'limit':>10}{'achieved':>14}{'of it':>9}{'refused':>10}{'expired':>10}")
    for limit in options.limits:
        rate = parse_rate(f"{limit:g}/s")
        print(measure(rate, options.threads, options.processes, options.seconds), flush=True)
    if options.recovery:
        recovery(options.recovery)


if __name__ == "__main__":
    main()
