"""The vectors of queries that were paid for, kept in the database for every machine."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

from pinakes.store.connection import Connection, translated
from pinakes.types import Vector

MOST = 10_000
"""Queries that are kept; those that were used longest ago are removed first."""

Kept = tuple[Vector, tuple[str, ...], tuple[str, ...]]
"""The vector, the words that shaped it, and those that the embedder could not read."""


def key_of(kind: Literal["text", "picture"], content: bytes) -> bytes:
    """The hash by which the vector of a text, or of a picture's bytes, is kept."""
    return hashlib.sha256(kind.encode() + b"\0" + content).digest()


def recall(conn: Connection, space: str, query: bytes) -> Kept | None:
    """The vector that is kept for a query, by its hash, in a space; None where there is none."""
    with translated("looking up a query"):
        row = conn.execute(
            # Reads it and notes that it is used, so that what is asked for again is not removed.
            """
            UPDATE pinakes.query_vectors
            SET used_at = now()
            WHERE space = %s AND query = %s
            RETURNING vector, read, unread
            """,
            (space, query),
        ).fetchone()
    return None if row is None else (np.asarray(row[0], dtype=np.float32), tuple(row[1]), tuple(row[2]))


def keep(conn: Connection, space: str, query: bytes, kept: Kept) -> None:
    """Keep the vector of a query, and remove the oldest of too many."""
    vector, read, unread = kept
    with translated("keeping a query"), conn.transaction():
        conn.execute(
            # Two searches may have paid for the same query at the same time.
            """
            INSERT INTO pinakes.query_vectors (space, query, vector, read, unread)
            VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT DO NOTHING
            """,
            (space, query, vector.tolist(), list(read), list(unread)),
        )
        conn.execute(
            """
            DELETE FROM pinakes.query_vectors
            WHERE (space, query) IN (
                SELECT space, query FROM pinakes.query_vectors ORDER BY used_at DESC OFFSET %s
            )
            """,
            (MOST,),
        )
