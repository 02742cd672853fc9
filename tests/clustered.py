"""Vectors as models make them: clusters of a low-rank cloud, the same on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from pinakes.checkpoints.base import VectorChunk
from pinakes.metadata.columns import COLUMNS
from pinakes.spaces import Space
from pinakes.store.collections import ensure_collection
from pinakes.store.database import Database
from pinakes.store.index_settings import IndexChoice
from pinakes.store.indexes import ensure_index
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.space_registry import register_space

Rows = npt.NDArray[np.float32]
COLLECTION = "pictures"


def clustered(rows: int, dimension: int, *, seed: int = 1, rank: int = 32, clusters: int = 100) -> Rows:
    """`rows` unit vectors, shape (rows, dimension), float32: clusters in a space of `rank` dimensions, and a little noise.

    The row's cluster is its number modulo `clusters`. Vectors of one `rank` and `dimension` share their space, whatever
    their seed, so that queries of another seed fall among the rows.
    """
    fixed = np.random.default_rng([rank, dimension, clusters])
    basis = fixed.standard_normal((rank, dimension), dtype=np.float32) / np.float32(np.sqrt(dimension))
    centres = fixed.standard_normal((clusters, rank), dtype=np.float32)
    rng = np.random.default_rng(seed)
    inner = centres[np.arange(rows) % clusters]
    inner += np.float32(0.6) * rng.standard_normal((rows, rank), dtype=np.float32)
    made = inner @ basis
    made += np.float32(0.05 / np.sqrt(dimension)) * rng.standard_normal((rows, dimension), dtype=np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


def store(
    database: Database, space: Space, vectors: Rows, metadata: dict[str, list[str]], *, index: IndexChoice = "none"
) -> list[str]:
    """A collection of these vectors, with metadata columns; the ids of its images, in order."""
    ids = [f"i{n:07}" for n in range(len(vectors))]
    named = {name: values for name, values in metadata.items() if name in COLUMNS}
    extra = [name for name in metadata if name not in COLUMNS]
    frame = pd.DataFrame({"image_id": ids, "uri": [f"file:///nowhere/{i}" for i in ids], "fingerprint": ids, **named})
    if extra:
        frame["extra"] = [dict(zip(extra, r, strict=True)) for r in zip(*(metadata[n] for n in extra), strict=True)]
    with database.connection() as (conn, pgvector):
        ensure_collection(conn, COLLECTION, "file:///nowhere/")
        register_space(conn, COLLECTION, space)
        with Lease(database.dsn, "tests", seconds=600) as lease, database.reconnecting() as lasting:
            loader = Loader(lasting, COLLECTION, space, lease)
            loader.load_images(lambda: [frame], with_metadata=True)
            loader.load_vectors([VectorChunk(ids, ids, vectors)])
            loader.finish()
            ensure_index(conn, COLLECTION, space, index, lease, pgvector)
    return ids


def stored_vectors(database: Database, space: Space) -> npt.NDArray[np.float64]:
    """What is stored, as it comes back, in the order of the ids: shape (rows, dimension), float64."""
    with database.connection() as (conn, _):
        rows = conn.execute(f"SELECT embedding::vector FROM {COLLECTION}.{space.name} ORDER BY image_id").fetchall()
    return np.array([row[0].to_numpy() for row in rows], dtype=np.float64)


def distances(vectors: npt.NDArray[np.float64], query: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Cosine distances, shape (rows,), float64."""
    wide = np.asarray(query, dtype=np.float64)
    return 1 - vectors @ wide / np.linalg.norm(vectors, axis=1) / np.linalg.norm(wide)
