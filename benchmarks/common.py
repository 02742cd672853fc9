"""What the benchmarks share: options, figures, a database of their own, made-up collections, and timing."""

from __future__ import annotations

import argparse
import io
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
from PIL import Image

from benchmarks.results import Figure as Figure
from benchmarks.results import write
from pinakes.checkpoints.base import VectorChunk
from pinakes.images.formats import suffix, suffix_reason
from pinakes.metadata.columns import COLUMNS
from pinakes.query.filters import Filter
from pinakes.query.query import Mode
from pinakes.spaces import Space
from pinakes.store.collections import ensure_collection
from pinakes.store.conditions import conditions
from pinakes.store.connection import Connection, Pgvector
from pinakes.store.database import Database
from pinakes.store.embedded.server import embedded_server, remove_server
from pinakes.store.indexes import ensure_index
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.nearest import Wanted, nearest
from pinakes.store.space_registry import register_space, resolve_space
from tests.clustered import clustered as clustered  # for all benchmarks: one made-up collection

K = 10
"""Hits of a search; recall is measured among them."""


def arguments(description: str | None, **defaults: Any) -> argparse.Namespace:
    """The options of a benchmark; prints one line about the machine and the options.

    Args:
        description: the module's docstring.
        defaults: for each option its default: False makes a flag, a list takes several values, and a type (`str`) makes
            an option that must be given.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        flag = f"--{name}"
        if default is False:
            parser.add_argument(flag, action="store_true")
        elif isinstance(default, type):
            parser.add_argument(flag, type=default, required=True)
        elif isinstance(default, list):
            parser.add_argument(flag, type=type(default[0]), nargs="+", default=default)
        else:
            parser.add_argument(flag, type=type(default), default=default)
    given = parser.parse_args()
    options = ", ".join(f"{name} {value}" for name, value in vars(given).items() if value is not False)
    print(f"{machine()}; {options}", flush=True)
    return given


def machine() -> str:
    """One line about what the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {system}, Python {platform.python_version()}"


def record(name: str, title: str, figures: Iterable[Figure], remark: str = "") -> None:
    """Keep figures in `benchmarks/results/NAME.json`, from which `docs/performance.md` is made.

    Each is printed as soon as an iterator has measured it, because measuring them all may take hours.
    """
    kept = []
    for figure in figures:
        print(f"{figure.what}: {figure.value}" + (f" (aim {figure.aim})" if figure.aim else ""), flush=True)
        kept.append(figure)
    write(name, title, machine(), kept, remark)


def pictures_below(folder: Path) -> list[Path]:
    """Every picture of a folder, in the order of their paths."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if suffix(path.name) and not suffix_reason(path.name))


@contextmanager
def scratch_home() -> Iterator[Path]:
    """An empty PINAKES_HOME that is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="pinakes-benchmark-", dir="/tmp"))
    home.chmod(0o755)  # as root the server runs as a user of its own, who must reach its folder
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


def administrator(database: Database) -> psycopg.Connection[tuple[Any, ...]]:
    """A plain connection in autocommit mode, for what the other side of a comparison does."""
    return psycopg.connect(database.dsn, autocommit=True)


def images(rows: int) -> pd.DataFrame:
    """A listing joined with metadata of SemArt's size: a description of about 500 characters and eight short columns."""
    words = ["painting", "harbour", "night", "ships", "lanterns", "water", "pale", "moon", "behind", "clouds"]
    rng = np.random.default_rng(2)
    frame = listing(rows)
    for column in COLUMNS:
        length = 90 if column == "description" else 3
        frame[column] = [" ".join(rng.choice(words, length)) for _ in range(rows)]
    frame["extra"] = [{"split": "train"}] * rows
    return frame


def listing(rows: int) -> pd.DataFrame:
    """Images without metadata."""
    ids = [f"{n:06}-picture.jpg" for n in range(rows)]
    uris = [f"file:///pictures/{name}" for name in ids]
    return pd.DataFrame({"image_id": ids, "uri": uris, "fingerprint": [f"md5:{n:032x}" for n in range(rows)]})


def chunks(frame: pd.DataFrame, vectors: np.ndarray, size: int = 4096) -> Iterator[VectorChunk]:
    """The vectors of a listing as a checkpoint streams them."""
    for start in range(0, len(frame), size):
        part = frame.iloc[start : start + size]
        yield VectorChunk(part["image_id"].tolist(), part["fingerprint"].tolist(), vectors[start : start + size])


def noise_jpeg(size: tuple[int, int], cells: tuple[int, int], *, quality: int, seed: int) -> bytes:
    """A JPEG of `size` (width, height) in pixels: random colours in `cells`, blended into each other."""
    pixels = np.random.default_rng(seed).integers(0, 255, (cells[1], cells[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(out, format="JPEG", quality=quality)
    return out.getvalue()


def commented(picture: bytes, text: str) -> bytes:
    """The same JPEG in other bytes: with a comment after its start marker."""
    comment = text.encode()
    return picture[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + picture[2:]


@dataclass(frozen=True)
class Writer:
    """A collection and one space of it, open for writing under a lease."""

    conn: Connection
    pgvector: Pgvector
    collection: str
    space: Space
    lease: Lease
    loader: Loader

    def load(self, frame: pd.DataFrame, vectors: np.ndarray) -> None:
        """Load images (with metadata if the frame has any) and vectors, as a run does."""
        self.loader.load_images(
            lambda: (frame.iloc[start : start + 5000] for start in range(0, len(frame), 5000)),
            with_metadata="extra" in frame,
        )
        self.loader.load_vectors(chunks(frame, vectors))
        self.loader.finish()
        self.loader.count_again()

    def index(self) -> float:
        """Build the HNSW index; the seconds that it took."""
        return seconds(lambda: ensure_index(self.conn, self.collection, self.space, "hnsw", self.lease, self.pgvector))


@contextmanager
def writing(
    database: Database, dimension: int, *, collection: str = "ours", provider: str = "benchmark"
) -> Iterator[Writer]:
    """A new collection with a new space of that dimension."""
    space = Space(provider, "none", "1", dimension, "")
    with database.connection() as (conn, pgvector):
        ensure_collection(conn, collection, "file:///x/")
        register_space(conn, collection, space)
        with Lease(database.dsn, "benchmark", seconds=600) as lease, database.reconnecting() as lasting:
            yield Writer(conn, pgvector, collection, space, lease, Loader(lasting, collection, space, lease))


def seconds(action: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def alternating(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The median seconds of two calls, measured in turn so that a change of the machine's speed affects both."""
    times = [(seconds(first), seconds(second)) for _ in range(rounds)]
    return statistics.median(t for t, _ in times), statistics.median(t for _, t in times)


def recall(found: Iterable[set[str]], truth: Iterable[set[str]]) -> float:
    """The share of the true nearest that were found."""
    pairs = list(zip(found, truth, strict=True))
    return sum(len(a & b) for a, b in pairs) / sum(len(b) for _, b in pairs)


@dataclass
class Searches:
    """The searches of one mode: milliseconds and ids of each query, and the plans that ran."""

    times: list[float] = field(default_factory=list)
    found: list[set[str]] = field(default_factory=list)
    plans: set[str] = field(default_factory=set)

    @property
    def median(self) -> float:
        """Milliseconds."""
        return statistics.median(self.times)


def ask(
    conn: Connection,
    pgvector: Pgvector,
    collection: str,
    queries: np.ndarray,
    *,
    filters: Sequence[Filter] = (),
    modes: Sequence[Mode] = ("exact", "index"),
) -> dict[Mode, Searches]:
    """Search for each of `queries`, shape (n, dimension), in several modes in turn; the first query warms up each."""
    space = resolve_space(conn, collection)
    searches: dict[Mode, Searches] = {mode: Searches() for mode in modes}
    for number, query in enumerate([queries[0], *queries]):
        for mode, one in searches.items():
            wanted = Wanted(K, conditions(collection, filters), mode=mode)
            started = time.perf_counter()
            answer = nearest(conn, pgvector, collection, space, query, wanted)
            taken = time.perf_counter() - started
            if number:
                one.times.append(taken * 1000)
                one.found.append({row.image_id for row in answer.rows})
                one.plans.add(answer.mode)
    return searches
