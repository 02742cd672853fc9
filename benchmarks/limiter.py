"""What the shared rate limit hands out, and whether a token bucket of its size would have refused any of it.

`python -m benchmarks.limiter [--limits 30 200 2000] [--threads 16] [--processes 4] [--seconds 10]`
"""

from __future__ import annotations

import argparse
import multiprocessing
import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue

from benchmarks.common import machine, scratch_database
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limits", type=float, nargs="+", default=[30, 200, 2000])
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args()
    print(f"{asked.threads} threads in {asked.processes} processes, {asked.seconds:g} s; {machine()}")
    print(f"{'limit':>10}{'achieved':>14}{'of it':>9}{'refused':>10}{'expired':>10}")
    for limit in asked.limits:
        print(measure(parse_rate(f"{limit:g}/s"), asked.threads, asked.processes, asked.seconds), flush=True)


if __name__ == "__main__":
    main()
