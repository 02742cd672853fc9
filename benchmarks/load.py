"""First load into PostgreSQL, against a bare binary COPY into an identical table and against INSERT row by row.

`python -m benchmarks.load [--rows 21382] [--dimension 1024]`
"""

from __future__ import annotations

import numpy as np
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.types.json import Jsonb

from benchmarks.common import (
    Figure,
    administrator,
    arguments,
    clustered,
    images,
    record,
    scratch_database,
    seconds,
    writing,
)
from pinakes.metadata.columns import COLUMNS
from pinakes.store.collections import ensure_collection
from pinakes.store.space_registry import register_space

ROW_BY_ROW = 1000
"""Rows for the slow side; rates are compared, so fewer will do."""

TEXTS = ("image_id", "uri", "fingerprint", *COLUMNS)


def main() -> None:
    options = arguments(__doc__, rows=21_382, dimension=1024)
    frame, vectors = images(options.rows), clustered(options.rows, options.dimension)
    rows = [
        (*record[: len(TEXTS)], Jsonb({"split": "train"}), " ".join(record[3 : len(TEXTS)]))
        for record in frame[list(TEXTS)].itertuples(index=False, name=None)
    ]
    with (
        scratch_database() as database,
        writing(database, options.dimension) as writer,
        administrator(database) as plain,
    ):
        space = writer.space
        register_vector(plain)
        for schema in ("bare", "slow"):
            ensure_collection(writer.conn, schema, "file:///x/")
            register_space(writer.conn, schema, space)

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
            # In autocommit mode: a transaction for each row, as a loop of `INSERT`s has it.
            for row, vector in zip(rows[:ROW_BY_ROW], vectors, strict=False):
                plain.execute(into_images, row)
                plain.execute(into_space, (row[0], row[2], 1.0, str(vector.tolist())))

        copied = options.rows / seconds(bare)
        ours = options.rows / seconds(lambda: writer.load(frame, vectors))
        inserted = min(ROW_BY_ROW, options.rows) / seconds(row_by_row)
    figures = [
        Figure(
            "first load, against a bare binary COPY into an identical table",
            f"{ours / copied:.2f} × ({ours:,.0f} against {copied:,.0f} images/s)",
            "≥ 0.5",
        ),
        Figure("against INSERT row by row", f"{ours / inserted:.1f} × ({inserted:,.0f} images/s)", "≥ 10"),
    ]
    record("load", "Loading into PostgreSQL", figures)


if __name__ == "__main__":
    main()
