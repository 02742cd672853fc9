"""A large collection that is kept between runs: `python -m benchmarks.large --home DIR [--rows 600000] [--uniform]`.

The first run loads it and builds its index, which takes half an hour at 600,000; later ones go on with what is there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import benchmarks.nothing  # noqa: F401 - registers the embedder that the space belongs to
from benchmarks.common import arguments, clustered, seconds, writing
from pinakes.checkpoints.base import VectorChunk
from pinakes.metadata.columns import COLUMNS
from pinakes.store.database import Database
from pinakes.store.embedded.server import embedded_server

PART = 5000
SHARES = (0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 0.5)
"""Of `type` and `technique`, which are called by them; the former has an index. `medium` is the cluster."""


def main() -> None:
    options = arguments(__doc__, home="/tmp/large", rows=600_000, dimension=1024, uniform=False)
    home = Path(options.home)
    home.mkdir(exist_ok=True)
    home.chmod(0o755)
    with embedded_server(home) as dsn:
        database = Database(dsn)
        print(dsn, flush=True)
        build(database, options.rows, options.dimension, uniform=options.uniform)


def build(database: Database, rows: int, dimension: int, *, uniform: bool) -> None:
    """Load the collection `ours` and build its index, as a run does."""
    with writing(database, dimension, provider="nothing") as writer:
        load_images = lambda: writer.loader.load_images(lambda: frames(rows), with_metadata=True)  # noqa: E731
        print(f"images loaded in {seconds(load_images):.0f} s", flush=True)
        load_vectors = lambda: writer.loader.load_vectors(vectors(rows, dimension, uniform=uniform))  # noqa: E731
        print(f"vectors loaded in {seconds(load_vectors):.0f} s", flush=True)
        print(f"finished in {seconds(writer.loader.finish):.0f} s", flush=True)
        print(f"VACUUM in {seconds(lambda: writer.conn.execute('VACUUM ANALYZE')):.0f} s", flush=True)
        started = time.perf_counter()
        writer.index()
        print(f"index built in {time.perf_counter() - started:.0f} s", flush=True)


def vectors(rows: int, dimension: int, *, uniform: bool) -> Iterator[VectorChunk]:
    """Part by part, so that they never are in memory as a whole."""
    for start in range(0, rows, PART):
        count = min(PART, rows - start)
        ids = [f"{n:07}.jpg" for n in range(start, start + count)]
        if uniform:
            made = np.random.default_rng([7, start]).standard_normal((count, dimension), dtype=np.float32)
        else:
            made = clustered(count, dimension, seed=1000 + start)
        yield VectorChunk(ids, ids, made)


def frames(rows: int) -> Iterator[pd.DataFrame]:
    """The images with metadata like a museum's."""
    words = ["painting", "harbour", "night", "ships", "lanterns", "water", "pale", "moon", "behind", "clouds"]
    names = [f"share {share:g}" for share in SHARES] + ["other"]
    odds = [*SHARES, 1 - sum(SHARES)]
    said = [" ".join(part) for part in np.random.default_rng(2).choice(words, (1000, 30))]
    for start in range(0, rows, PART):
        rng = np.random.default_rng([2, start])
        count = min(PART, rows - start)
        ids = [f"{n:07}.jpg" for n in range(start, start + count)]
        frame = pd.DataFrame({"image_id": ids, "uri": [f"file:///pictures/{i}" for i in ids], "fingerprint": ids})
        for column in COLUMNS:
            frame[column] = [
                said[n][: 200 if column == "description" else 16] for n in rng.integers(len(said), size=count)
            ]
        frame["type"], frame["technique"] = rng.choice(names, count, p=odds), rng.choice(names, count, p=odds)
        frame["school"] = [f"school {n}" for n in rng.integers(24, size=count)]
        frame["author"] = [f"painter {n}" for n in (900 * rng.random(count) ** 3).astype(int)]
        frame["date"] = [str(year) for year in rng.integers(1400, 1900, count)]
        frame["timeframe"] = [f"{int(y) // 50 * 50}-{int(y) // 50 * 50 + 49}" for y in frame["date"]]
        frame["medium"] = [f"cluster {(start + n) % 100}" for n in range(count)]
        frame["extra"] = [{"split": "train"}] * count
        yield frame


if __name__ == "__main__":
    main()
