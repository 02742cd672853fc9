"""What the shared rate limit hands out, and whether a token bucket of its size would have refused any of it.

`python -m benchmarks.limiter [--limits 30 200 2000] [--threads 16] [--processes 4] [--seconds 10]`
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue

from benchmarks.common import arguments, scratch_database
from pinakes.quota.limiter import Limiter
from pinakes.rates import Rate, parse_rate

SETTLING = 1.0
"""Seconds that are not counted: the first slots of an idle quota come at once."""

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


def main() -> None:
    options = arguments(__doc__, limits=[30.0, 200.0, 2000.0], threads=16, processes=4, seconds=10.0)
    print(f"{'limit':>10}{'achieved':>14}{'of it':>9}{'refused':>10}{'expired':>10}")
    for limit in options.limits:
        rate = parse_rate(f"{limit:g}/s")
        print(measure(rate, options.threads, options.processes, options.seconds), flush=True)


if __name__ == "__main__":
    main()
