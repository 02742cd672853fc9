"""What the benchmarks share: the machine, a database of their own, made-up collections."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg

from pinakes.checkpoints.base import VectorChunk
from pinakes.metadata.columns import COLUMNS
from pinakes.store.database import Database
from pinakes.store.embedded.server import embedded_server, remove_server
from tests.clustered import clustered as clustered  # for all benchmarks: one made-up collection


def machine() -> str:
    """One line about what the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {system}, Python {platform.python_version()}"


@contextmanager
def scratch_home() -> Iterator[Path]:
    """An empty PINAKES_HOME that is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="pinakes-benchmark-", dir="/tmp"))
    home.chmod(0o755)
    try:
        yield home
    finally:
        remove_server(home)
        shutil.rmtree(home)


@contextmanager
def scratch_database() -> Iterator[Database]:
    """An embedded database that is gone afterwards."""
    with scratch_home() as home, embedded_server(home) as dsn:
        yield Database(dsn)


def images(rows: int) -> pd.DataFrame:
    """A listing joined with metadata of SemArt's size: a description of about 500 characters and eight short columns."""
    words = ["painting", "harbour", "night", "ships", "lanterns", "water", "pale", "moon", "behind", "clouds"]
    rng = np.random.default_rng(2)
    ids = [f"{n:06}-picture.jpg" for n in range(rows)]
    frame = pd.DataFrame({"image_id": ids, "uri": [f"file:///pictures/{name}" for name in ids]})
    frame["fingerprint"] = [f"md5:{n:032x}" for n in range(rows)]
    for column in COLUMNS:
        length = 90 if column == "description" else 3
        frame[column] = [" ".join(rng.choice(words, length)) for _ in range(rows)]
    frame["extra"] = [{"split": "train"}] * rows
    return frame


def chunks(frame: pd.DataFrame, vectors: np.ndarray, size: int = 4096) -> Iterator[VectorChunk]:
    """The vectors of a listing as a checkpoint streams them."""
    for start in range(0, len(frame), size):
        part = frame.iloc[start : start + size]
        yield VectorChunk(part["image_id"].tolist(), part["fingerprint"].tolist(), vectors[start : start + size])


def seconds(action: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def alternating(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The median seconds of two calls, measured in turn so that a change of the machine's speed meets both."""
    times = [(seconds(first), seconds(second)) for _ in range(rounds)]
    return statistics.median(t for t, _ in times), statistics.median(t for _, t in times)


def administrator(database: Database) -> psycopg.Connection[tuple[object, ...]]:
    """A plain connection in autocommit mode, for what the other side of a comparison does."""
    return psycopg.connect(database.dsn, autocommit=True)
