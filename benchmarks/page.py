"""The page and its API under many visitors at once, on loopback: how long answers take, and what memory they leave behind.

`python -m benchmarks.page [--rows 20000] [--dimension 1024] [--users 50] [--seconds 20] [--think 1.0] [--requests 10000]`

A visitor opens the first page, fetches its thumbnails, looks at it for `--think` seconds, asks for pictures like one of
them, and for the facets. The visitors are threads of this process, so that server, database and they share the cores.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import psutil

from benchmarks.common import (
    Figure,
    arguments,
    clustered,
    images,
    noise_jpeg,
    record,
    scratch_home,
    writing,
)
from pinakes.store.database import Database
from pinakes.store.embedded.server import embedded_server

PICTURES = 40
"""Different ones; every row shows one of them."""
GRID = 24
"""Thumbnails of a page."""


class Times:
    """Seconds of every kind of request, and the statuses that were no success."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.wrong: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, kind: str, seconds: float, status: int) -> None:
        """Keep one answer."""
        with self._lock:
            self.seconds[kind].append(seconds)
            if status != 200:
                self.wrong[f"{kind} {status}"] += 1

    @property
    def count(self) -> int:
        """All requests so far."""
        return sum(map(len, self.seconds.values()))


class Visitor:
    """One browser: a connection that stays open."""

    def __init__(self, port: int, times: Times, seed: int, ids: list[str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._times = times
        self._random = random.Random(seed)
        self._ids = ids

    def ask(self, kind: str, path: str) -> None:
        """One request, timed."""
        started = time.perf_counter()
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        answer.read()
        self._times.add(kind, time.perf_counter() - started, answer.status)

    def first_page(self) -> None:
        """What everybody sees first."""
        self.ask("first page", "/")

    def session(self, think: float) -> None:
        """What a visitor does, once."""
        self.first_page()
        for image_id in self._random.sample(self._ids, GRID):
            self.ask("thumbnail", f"/thumbnails/320/{quote(image_id)}")
        # Of different lengths, so that visitors do not fall into step.
        time.sleep(think * self._random.uniform(0.5, 1.5))
        some = self._random.choice(self._ids)
        self.ask("page like an image", f"/?like={quote(some)}")
        self.ask("search by id (JSON)", f"/api/search?k={GRID}&like={quote(self._random.choice(self._ids))}")
        self.ask("facets (JSON)", f"/api/facets?where=type={self._random.choice(['oil', 'fresco', 'print'])}")

    def close(self) -> None:
        """Leave."""
        self._connection.close()


def main() -> None:
    options = arguments(__doc__, rows=20_000, dimension=1024, users=50, seconds=20.0, think=1.0, requests=10_000)
    record("page", "The search page", measured(options))


def measured(options: Namespace) -> Iterator[Figure]:
    """One visitor alone, then a crowd that thinks and one that does not, then the memory after many requests."""
    with scratch_home() as home, embedded_server(home) as dsn:
        ids = _collection(Database(dsn), home / "pictures", options.rows, options.dimension)
        with served(home, dsn) as (port, server):
            alone = Times()
            visitor = Visitor(port, alone, 0, ids)
            for _ in range(21):
                visitor.first_page()
            visitor.close()
            first, *later = alone.seconds["first page"]
            what = f"first page of {options.rows:,} pictures, the first time"
            yield Figure(what, f"{first * 1000:.0f} ms", "≤ 300 ms")
            yield Figure("the same afterwards, p50", f"{statistics.median(later) * 1000:.0f} ms", "≤ 300 ms")
            for think in (options.think, 0.0):
                times = Times()
                end = time.monotonic() + options.seconds
                took = _crowd(options.users, port, times, ids, think, lambda end=end: time.monotonic() < end)
                how = f"{options.users} visitors, {f'{think:g} s between pages' if think else 'no pause at all'}"
                for kind, seconds in times.seconds.items():
                    p50, p95 = np.percentile(seconds, (50, 95)) * 1000
                    yield Figure(f"{how}: {kind}, p50 and p95", f"{p50:.0f} ms, {p95:.0f} ms")
                wrong = f"; not 200: {dict(times.wrong)}" if times.wrong else ""
                yield Figure(f"{how}: requests", f"{times.count:,}, {times.count / took:.0f}/s{wrong}")
            for part in range(5):
                times, wanted = Times(), options.requests // 4 if part else 0
                _crowd(options.users, port, times, ids, 0.0, lambda t=times, w=wanted: t.count < w)
                memory = f"{server.memory_info().rss >> 20} MB"
                yield Figure(f"memory of the server after {wanted * part:,} more requests", memory)


def _crowd(users: int, port: int, times: Times, ids: list[str], think: float, going_on: Callable[[], bool]) -> float:
    """Let visitors browse until `going_on` is false; the seconds it took."""

    def visit(seed: int) -> None:
        visitor = Visitor(port, times, seed, ids)
        time.sleep(think * seed / users)  # they do not arrive in step
        while going_on():
            visitor.session(think)
        visitor.close()

    started = time.monotonic()
    threads = [threading.Thread(target=visit, args=(seed,)) for seed in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - started


def _collection(database: Database, folder: Path, rows: int, dimension: int) -> list[str]:
    """Load rows that show a few pictures; their ids."""
    frame = images(rows)
    shown = _paint(folder)
    numbers = np.arange(rows) % len(shown)
    frame["uri"] = [f"file://{shown[n][0]}" for n in numbers]
    frame["fingerprint"] = [shown[n][1] for n in numbers]
    rng = np.random.default_rng(3)
    kinds = {
        "type": ["oil", "fresco", "print"],
        "school": [f"school {n}" for n in range(24)],
        "timeframe": [f"{y}-{y + 49}" for y in range(1401, 1900, 50)],
        "author": [f"painter {n}" for n in range(900)],
    }
    for column, values in kinds.items():
        frame[column] = rng.choice(values, rows)
    frame["date"] = [str(year) for year in rng.integers(1400, 1900, rows)]
    with writing(database, dimension, collection="pictures", provider="nothing") as writer:
        writer.load(frame, clustered(rows, dimension))
        writer.conn.execute("VACUUM ANALYZE")
    return list(frame["image_id"])


def _paint(folder: Path) -> list[tuple[Path, str]]:
    """Pictures of 12 megapixels, as a camera makes them: their paths and fingerprints."""
    folder.mkdir()
    painted = []
    for number in range(PICTURES):
        data = noise_jpeg((4000, 3000), (40, 30), quality=88, seed=number)
        path = folder / f"{number:03}.jpg"
        path.write_bytes(data)
        painted.append((path, "md5:" + hashlib.md5(data).hexdigest()))
    return painted


@contextmanager
def served(home: Path, dsn: str, collection: str = "pictures") -> Iterator[tuple[int, psutil.Process]]:
    """`pinakes serve` as a person starts it."""
    settings = {"PINAKES_HOME": str(home), "PINAKES_DATABASE_URL": dsn, "PINAKES_COLLECTION": collection}
    process = subprocess.Popen(
        [sys.executable, "-m", "pinakes.cli.main", "serve", "--port", "0"],
        env=os.environ | settings | {"PYTHONUNBUFFERED": "1"},  # its first line, which names the port, comes at once
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = urlsplit(process.stdout.readline().split()[-1]).port
        assert port is not None
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
