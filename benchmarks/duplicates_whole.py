"""Whole collections of made pictures, with a known number of copies: time, memory, precision and recall.

`python -m benchmarks.duplicates_whole --sizes 10000 30000 100000`

The pictures are compared in a process that is killed half-way and started again. What is measured is kept after each size.

A processor that others share is faster at one hour than at another. So while a run goes on, one pair of pictures is
compared again and again, and the processor time of the run, that of the database included, is given in comparisons of that
pair as well. A straight line through the logarithms of these gives the exponent of the growth.
"""

from __future__ import annotations

import os

# One core is measured; this must be set before numpy starts its threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hashlib
import multiprocessing
import resource
import signal
import time
from collections import Counter
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.common import Figure, arguments, record, scratch_home, writing
from benchmarks.duplicates import exponent, quality
from benchmarks.made_copies import kind_made, made
from benchmarks.metering import children_seconds, postmaster_in, processor_seconds
from pinakes.duplicates.comparison import compare
from pinakes.duplicates.finding import find_copies, regroup
from pinakes.duplicates.groups import groups_of
from pinakes.duplicates.sketch import Sketch
from pinakes.ingest.garbage import collecting_seldom
from pinakes.store.conditions import Conditions
from pinakes.store.database import Database
from pinakes.store.duplicates import read_groups
from pinakes.store.embedded.server import embedded_server
from pinakes.store.space_registry import resolve_space

PACED, AGAIN = 640, 20
"""Every so many pictures one pair is compared so many times."""

WHOLE = (
    "Made pictures of 160 pixels, a tenth of them copied and a fiftieth painted after another, each thing up to a twelfth of"
    " the side away; the space is a histogram of 64 colours. Each run is killed when half is compared, and continued. The"
    " time is that of processors, of both runs and the database, from files to groups."
)


def main() -> None:
    """Time, memory, precision and recall over whole collections; what is measured is kept after each."""
    sizes = arguments(__doc__, sizes=[10_000, 30_000, 100_000]).sizes
    points, figures = list[tuple[int, float]](), list[Figure]()
    for size in sizes:
        with scratch_home() as home, embedded_server(home) as dsn, writing(Database(dsn), 64) as writer:
            rows, vectors, total = list[tuple[str, str, str]](), np.empty((size, 64), dtype=np.float32), Counter[str]()
            for number, (name, data) in enumerate(made(size)):
                path = home / "in" / f"{number // 1000:03}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                rows.append((name, path.as_uri(), f"md5:{hashlib.md5(data).hexdigest()}"))
                vectors[number] = colours(path)
                total[kind_made(name)] += "copy" in name
            writer.load(pd.DataFrame(rows, columns=["image_id", "uri", "fingerprint"]), vectors)
            writer.index()
            print(f"{size:,} pictures are there", flush=True)
            server = postmaster_in(home)
            before = children_seconds() + processor_seconds(server)
            pace = home / "pace"
            compare_in_process(dsn, pace, size // 2)
            with Database(dsn).connection() as (conn, _):
                ((compared,),) = conn.execute("SELECT count(compared) FROM ours.sketches").fetchall()
            compare_in_process(dsn, pace, 0)
            seconds, compared_again = np.loadtxt(pace, ndmin=2).sum(axis=0)
            spent = children_seconds() + processor_seconds(server) - before - seconds
            with Database(dsn).connection() as (conn, _):
                groups = list(groups_of(read_groups(conn, "ours", Conditions())))
        right, wrong = Counter[str](), 0
        for group in groups:
            for first, second in combinations([member.image_id for member, _ in group], 2):
                right[kind_made(first)] += first[:6] == second[:6]
                wrong += first[:6] != second[:6]
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        pairs = spent / seconds * compared_again
        points.append((size, pairs))
        figures += [
            Figure(
                f"{size:,} pictures: time a picture",
                f"{spent / size * 1000:.1f} ms, as {pairs / size:.2f} comparisons of one pair",
                "15 ms",
            ),
            Figure(f"{size:,} pictures: compared before the kill", f"{compared:,}"),
            Figure(f"{size:,} pictures: peak memory", f"{memory:.0f} MB"),
            *quality(right, wrong, total, f", {size:,}"),
        ]
        growth = Figure("exponent of the growth", exponent(points), "n log n: 1.1")
        record("duplicates-whole", "Copies: whole collections", [*figures, growth], WHOLE)


def colours(path: Path) -> np.ndarray:
    """How much there is of each of 64 colours."""
    bins = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)[::3] // 64
    found = np.sqrt(np.bincount(bins @ np.array([16, 4, 1]), minlength=64))
    return found / np.linalg.norm(found)


def compare_in_process(dsn: str, pace: Path, killed_at: int) -> None:
    """Find copies in a process of its own, which kills itself when so many pictures are compared."""
    # Spawned, because a forked process would share this one's connections to the database.
    process = multiprocessing.get_context("spawn").Process(target=_compare, args=(dsn, pace, killed_at))
    process.start()
    process.join()
    assert process.exitcode == (-signal.SIGKILL if killed_at else 0)


@collecting_seldom()  # as a command does
def _compare(dsn: str, pace: Path, killed_at: int) -> None:
    database, started = Database(dsn), time.perf_counter()
    pair = [Sketch.of(data) for _, data in islice(made(2), 2)]

    def show(step: str, done: int) -> None:
        if done % PACED == 0:
            began = time.process_time()
            for _ in range(AGAIN):
                compare(*pair)
            with pace.open("a") as file:
                print(time.process_time() - began, AGAIN, file=file)
        if done % 3200 == 0:
            print(f"{step} {done:,} after {time.perf_counter() - started:.0f} s", flush=True)
        if killed_at and step == "compared" and done >= killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    with database.connection() as (conn, _):
        registered = resolve_space(conn, "ours")
    print(find_copies(database, "ours", registered, told=show))
    regroup(database, "ours")


if __name__ == "__main__":
    main()
