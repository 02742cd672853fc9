"""First load into PostgreSQL, against a bare binary COPY into an identical table and against INSERT row by row.

`python -m benchmarks.load [--rows 21382] [--dimension 1024]`
"""

from __future__ import annotations

import argparse

import numpy as np
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.types.json import Jsonb

from benchmarks.common import administrator, chunks, clustered, images, machine, scratch_database, seconds
from pinakes.metadata.columns import COLUMNS
from pinakes.spaces import Space
from pinakes.store.collections import ensure_collection
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.space_registry import register_space

ROW_BY_ROW = 1000
"""Rows for the slow side; it is a rate that is compared."""

TEXTS = ("image_id", "uri", "fingerprint", *COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=21_382)
    parser.add_argument("--dimension", type=int, default=1024)
    asked = parser.parse_args()
    frame, vectors = images(asked.rows), clustered(asked.rows, asked.dimension)
    space = Space("benchmark", "none", "1", asked.dimension, "")
    rows = [
        (*record[: len(TEXTS)], Jsonb({"split": "train"}), " ".join(record[3 : len(TEXTS)]))
        for record in frame[list(TEXTS)].itertuples(index=False, name=None)
    ]
    print(f"{asked.rows:,} rows x {asked.dimension}; {machine()}")
    with scratch_database() as database, database.connection() as (conn, _):
        ensure_collection(conn, "ours", "file:///x/")
        register_space(conn, "ours", space)

        def ours() -> None:
            with Lease(database.dsn, "benchmark", seconds=60) as lease:
                loader = Loader(conn, "ours", space, lease)
                loader.load_images(
                    lambda: (frame.iloc[i : i + 5000] for i in range(0, len(frame), 5000)), with_metadata=True
                )
                loader.load_vectors(chunks(frame, vectors))

        with administrator(database) as plain:
            register_vector(plain)
            for schema in ("bare", "slow"):
                ensure_collection(conn, schema, "file:///x/")
                register_space(conn, schema, space)

            def bare() -> None:
                halves = [HalfVector(vector) for vector in vectors.astype(np.float16)]
                copies = (
                    ("images", (*TEXTS, "extra", "folded"), ("text",) * len(TEXTS) + ("jsonb", "text"), rows),
                    (
                        space.name,
                        ("image_id", "fingerprint", "norm", "embedding"),
                        ("text", "text", "float4", "halfvec"),
                        [(row[0], row[2], 1.0, half) for row, half in zip(rows, halves, strict=True)],
                    ),
                )
                for table, columns, types, records in copies:
                    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
                        sql.Identifier("bare", table), sql.SQL(", ").join(map(sql.Identifier, columns))
                    )
                    with plain.cursor() as cursor, cursor.copy(statement) as copy:
                        copy.set_types(types)
                        for record in records:
                            copy.write_row(record)

            def row_by_row() -> None:
                into_images = sql.SQL("INSERT INTO slow.images ({}) VALUES ({})").format(
                    sql.SQL(", ").join(map(sql.Identifier, (*TEXTS, "extra", "folded"))),
                    sql.SQL(", ").join([sql.Placeholder()] * (len(TEXTS) + 2)),
                )
                into_space = sql.SQL("INSERT INTO slow.{} VALUES (%s, %s, %s, %s::halfvec)").format(
                    sql.Identifier(space.name)
                )
                for row, vector in zip(rows[:ROW_BY_ROW], vectors, strict=False):
                    plain.execute(into_images, row)
                    plain.execute(into_space, (row[0], row[2], 1.0, str(vector.tolist())))

            rates = {
                "bare COPY": asked.rows / seconds(bare),
                "Pinakes": asked.rows / seconds(ours),
                "INSERT row by row": ROW_BY_ROW / seconds(row_by_row),
            }
    for name, rate in rates.items():
        print(f"{name:<20}{rate:>10,.0f} images/s")
    print(f"Pinakes / bare COPY: {rates['Pinakes'] / rates['bare COPY']:.2f} (wanted: at least 0.5)")
    print(f"Pinakes / row by row: {rates['Pinakes'] / rates['INSERT row by row']:.1f} (wanted: at least 10)")


if __name__ == "__main__":
    main()
