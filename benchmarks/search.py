"""Exact search, all Python included, against the bare SQL on a hand-tuned `halfvec` table stored PLAIN.

`python -m benchmarks.search [--rows 21382] [--dimension 1024]`
"""

from __future__ import annotations

import argparse

from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import sql

from benchmarks.common import administrator, alternating, chunks, clustered, images, machine, scratch_database
from pinakes.access import Embedders
from pinakes.search import Query, search
from pinakes.settings import load_settings
from pinakes.spaces import Space
from pinakes.store.collections import ensure_collection, register_space
from pinakes.store.lease import Lease
from pinakes.store.load import Loader

ROUNDS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=21_382)
    parser.add_argument("--dimension", type=int, default=1024)
    asked = parser.parse_args()
    frame, vectors = images(asked.rows), clustered(asked.rows, asked.dimension)
    space = Space("nothing", "none", "1", asked.dimension, "")
    print(f"{asked.rows:,} rows x {asked.dimension}; {machine()}")
    import benchmarks.nothing  # noqa: F401 - registers the embedder that the space belongs to

    with scratch_database() as database, database.connection() as (conn, pgvector), administrator(database) as plain:
        ensure_collection(conn, "ours", "file:///x/")
        register_space(conn, "ours", space)
        with Lease(database.dsn, "benchmark", seconds=60) as lease:
            loader = Loader(conn, "ours", space, lease)
            loader.load_images(lambda: [frame], with_metadata=True)
            loader.load_vectors(chunks(frame, vectors))
            loader.finish()
        register_vector(plain)
        kind = sql.SQL(f"halfvec({asked.dimension:d})")
        plain.execute(
            sql.SQL("CREATE TABLE bare (image_id text PRIMARY KEY, title text, embedding {} NOT NULL)").format(kind)
        )
        plain.execute("ALTER TABLE bare ALTER COLUMN embedding SET STORAGE PLAIN")
        plain.execute(
            sql.SQL(
                "INSERT INTO bare SELECT image_id, title, embedding FROM ours.{} JOIN ours.images USING (image_id)"
            ).format(sql.Identifier(space.name))
        )
        plain.execute("VACUUM ANALYZE bare")
        conn.execute("VACUUM ANALYZE")
        statement = sql.SQL("SELECT image_id, title, embedding <=> %s::{} AS d FROM bare ORDER BY d LIMIT 10").format(
            kind
        )
        half = HalfVector(vectors[17])
        embedders = Embedders(load_settings(), database.dsn)
        nearest = Query(like=frame["image_id"][17], k=10, exact=True)
        ours, bare = alternating(
            lambda: search(conn, pgvector, "ours", nearest, embedders),
            lambda: plain.execute(statement, (half,), binary=True).fetchall(),
            ROUNDS,
        )
    print(f"bare SQL        p50 {bare * 1000:6.1f} ms")
    print(f"pinakes.search  p50 {ours * 1000:6.1f} ms")
    print(f"pinakes.search / bare SQL: {ours / bare:.2f} (wanted: at most 1.3)")


if __name__ == "__main__":
    main()
