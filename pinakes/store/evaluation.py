"""What an evaluation reads of a collection: sampled vectors, all vectors in blocks, and the index as a search asks it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pgvector import HalfVector
from pgvector import Vector as PgVector
from psycopg import sql

from pinakes.errors import DatabaseError
from pinakes.store.collections import RegisteredSpace
from pinakes.store.conditions import column, conditions
from pinakes.store.connection import ITERATIVE_SCANS, Connection, Pgvector, translated
from pinakes.store.indexes import index_name
from pinakes.store.restrictions import hidden_conditions
from pinakes.store.search import MARGIN
from pinakes.store.search_settings import NO_JIT

BLOCK = 2048
"""Vectors in memory at once: 8 MB at 1,024 components."""

Matrix = npt.NDArray[np.float32]


@contextmanager
def one_state(conn: Connection) -> Iterator[None]:
    """Everything that is read in the block is of one state of the collection, whatever is written meanwhile."""
    with translated("evaluating"), conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def sampled_vectors(conn: Connection, collection: str, space: str, count: int, seed: int) -> tuple[list[str], Matrix]:
    """`count` images of a space, or all if it has fewer: their ids and vectors, shape (n, dimension).

    The same seed gives the same images as long as the collection holds them.
    """
    with translated(f"sampling {space}"):
        rows = conn.execute(
            sql.SQL("SELECT image_id, embedding FROM {} ORDER BY md5(%s || image_id), image_id LIMIT %s").format(
                sql.Identifier(collection, space)
            ),
            (f"{seed}/", count),
            binary=True,
        ).fetchall()
    return [image_id for image_id, _ in rows], _matrix([vector for _, vector in rows])


def vector_blocks(conn: Connection, collection: str, space: str) -> Iterator[tuple[list[str], Matrix]]:
    """Every vector of a space, `BLOCK` at a time: ids, and shape (n, dimension); call it inside `one_state`."""
    with conn.cursor("vectors", scrollable=False) as cursor:
        cursor.itersize = BLOCK
        cursor.execute(
            sql.SQL("SELECT image_id, embedding FROM {}").format(sql.Identifier(collection, space)), binary=True
        )
        while rows := cursor.fetchmany(BLOCK):
            yield [image_id for image_id, _ in rows], _matrix([vector for _, vector in rows])


@dataclass(frozen=True, slots=True)
class Answered:
    """What a statement answered to each query.

    Attributes:
        distances: shape (queries, k), cosine, float64; inf where there were fewer than k.
        seconds: shape (queries,): from sending the statement to holding its rows.
    """

    distances: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]


class Asking:
    """Asks a space for the neighbours of its own images, each of which is left out of its answer.

    The statements are those of a search without filters (`pinakes.store.search`): candidates in half precision, which are
    then ordered in single precision; but no metadata is fetched.

    Args:
        conn: a connection inside `one_state`.
        pgvector: its version decides what is set.
        collection: the collection.
        registered: the space.
        k: how many neighbours.
    """

    def __init__(
        self, conn: Connection, pgvector: Pgvector, collection: str, registered: RegisteredSpace, k: int
    ) -> None:
        self._conn = conn
        self._pgvector = pgvector
        self._collection = collection
        self._registered = registered
        self._k = k

    @property
    def candidates(self) -> int:
        """How many a search takes before it orders them; it never asks an HNSW index with a smaller ef_search."""
        return self._k + 1 + MARGIN

    def index(self, setting: int, ids: Sequence[str], vectors: Matrix) -> Answered:
        """By the index: HNSW with `setting` as ef_search, IVFFlat with `setting` as probes.

        Raises:
            DatabaseError: PostgreSQL does not use the index.
        """
        kind = str(self._registered.index_kind)
        self._set("hnsw.ef_search" if kind == "hnsw" else "ivfflat.probes", str(setting))
        if self._pgvector.version >= ITERATIVE_SCANS:
            self._set(f"{kind}.iterative_scan", "relaxed_order")
        self._set("enable_seqscan", "off")
        self._set_as_searches_do()
        statement = self._statement(sql.SQL("embedding <=> {half}"))
        if len(ids):
            self._check(kind, statement, vectors[0])
        return self._ask(statement, ids, vectors)

    def scan(self, ids: Sequence[str], vectors: Matrix) -> Answered:
        """By comparing every vector."""
        self._set("enable_seqscan", "on")
        self._set_as_searches_do()
        # The sum keeps the planner from the index.
        return self._ask(self._statement(sql.SQL("(embedding <=> {half}) + 0, image_id")), ids, vectors)

    def lists(self) -> int:
        """How many lists the IVFFlat index has: with as many probes it is exact."""
        name = index_name(self._collection, self._registered.space, "ivfflat").as_string(self._conn)
        row = self._conn.execute(
            "SELECT option_value::int FROM pg_class, pg_options_to_table(reloptions)"
            " WHERE oid = to_regclass(%s) AND option_name = 'lists'",
            (name,),
        ).fetchone()
        return int(row[0]) if row else 100

    def _ask(self, statement: sql.Composed, ids: Sequence[str], vectors: Matrix) -> Answered:
        distances = np.full((len(ids), self._k), np.inf)
        seconds = np.zeros(len(ids))
        for number, (image_id, vector) in enumerate(zip(ids, vectors, strict=True)):
            started = time.perf_counter()
            rows = self._conn.execute(statement, self._asked(image_id, vector), binary=True).fetchall()
            seconds[number] = time.perf_counter() - started
            distances[number, : len(rows)] = [distance for (distance,) in rows]
        return Answered(distances, seconds)

    def _asked(self, image_id: str, vector: npt.NDArray[np.float32]) -> dict[str, Any]:
        half, full = HalfVector(vector), PgVector(vector)
        return {"id": image_id, "half": half, "full": full, "take": self.candidates, "k": self._k}

    def _statement(self, order: sql.SQL) -> sql.Composed:
        half = sql.SQL(f"%(half)s::halfvec({self._registered.space.dimension:d})")
        return sql.SQL(
            "WITH candidates AS MATERIALIZED (SELECT image_id, embedding::vector <=> %(full)s AS distance FROM {space}"
            " ORDER BY {order} LIMIT %(take)s)"
            " SELECT distance FROM candidates WHERE image_id <> %(id)s ORDER BY distance, image_id LIMIT %(k)s"
        ).format(order=order.format(half=half), space=sql.Identifier(self._collection, self._registered.name))

    def _set_as_searches_do(self) -> None:
        for name, value in NO_JIT.items():
            self._set(name, value)

    def _set(self, name: str, value: str) -> None:
        self._conn.execute("SELECT set_config(%s, %s, true)", (name, value))

    def _check(self, kind: str, statement: sql.Composed, vector: npt.NDArray[np.float32]) -> None:
        plan = self._conn.execute(sql.SQL("EXPLAIN ") + statement, self._asked("", vector)).fetchall()
        if not any("Index Scan using" in line and f"_{kind}" in line for (line,) in plan):
            raise DatabaseError(
                f"PostgreSQL does not use the {kind} index of {self._registered.name}; build it anew with"
                f" pinakes ingest --index none and then --index {kind}."
            )


def store_setting(conn: Connection, collection: str, space: str, ef_search: int, recall: float) -> None:
    """Let searches of a space use `ef_search`, of which `recall` was measured."""
    with translated(f"storing the setting of {space}"):
        conn.execute(
            sql.SQL("UPDATE {} SET ef_search = %s, ef_search_recall = %s WHERE space = %s").format(
                sql.Identifier(collection, "spaces")
            ),
            (ef_search, recall, space),
        )


class Comparable:
    """The images that several spaces hold current vectors of, restricted ones left out.

    Args:
        conn: a connection.
        collection: the collection.
        spaces: names of the spaces.
    """

    def __init__(self, conn: Connection, collection: str, spaces: Sequence[str]) -> None:
        self._conn = conn
        self._shown = conditions((), hidden_conditions(conn, collection))
        joins = [
            sql.SQL(
                "JOIN {space} {alias} ON {alias}.image_id = i.image_id AND {alias}.fingerprint = i.fingerprint"
            ).format(space=sql.Identifier(collection, space), alias=sql.Identifier(f"v{number}"))
            for number, space in enumerate(spaces)
        ]
        self._from = sql.SQL("{} i {}").format(sql.Identifier(collection, "images"), sql.SQL(" ").join(joins))

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[str, str, tuple[str | None, ...]]]:
        """(image_id, fingerprint, the values of `columns`) of each image by image_id; call it inside `one_state`."""
        values = dict(self._shown.values)
        selected = [column(name, f"column{number}", values) for number, name in enumerate(columns)]
        listed = sql.SQL(", ").join((sql.Identifier("i", "image_id"), sql.Identifier("i", "fingerprint"), *selected))
        statement = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY i.image_id").format(
            listed, self._from, self._shown.where
        )
        with self._conn.cursor("comparable") as cursor:
            cursor.itersize = 10_000
            cursor.execute(statement, values)
            for image_id, fingerprint, *rest in cursor:
                yield image_id, fingerprint, tuple(rest)

    def described(self, split: str | None) -> int:
        """How many have a description, in one split or in all."""
        return int(self._described(sql.SQL("count(*)"), split)[0][0])

    def descriptions(self, split: str | None, count: int, seed: int) -> list[tuple[str, str | None, str]]:
        """(image_id, title, description) of at most `count` of them by image_id, chosen by the seed."""
        chosen = self._described(
            sql.SQL("i.image_id, i.title, i.description"),
            split,
            sql.SQL("ORDER BY md5(%(seed)s || i.image_id), i.image_id LIMIT %(count)s"),
            {"seed": f"{seed}/", "count": count},
        )
        return sorted(chosen)

    def extra_columns(self) -> list[str]:
        """The names of the extra columns that any of the images has."""
        rows = self._conn.execute(
            sql.SQL('SELECT DISTINCT jsonb_object_keys(i.extra) COLLATE "C" FROM {} WHERE {} ORDER BY 1').format(
                self._from, self._shown.where
            ),
            self._shown.values,
        ).fetchall()
        return [name for (name,) in rows]

    def _described(
        self,
        selected: sql.Composable,
        split: str | None,
        ending: sql.Composable = sql.SQL(""),  # noqa: B008 - immutable
        values: dict[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        statement = sql.SQL(
            "SELECT {} FROM {} WHERE {} AND i.description <> '' AND (%(split)s::text IS NULL OR"
            " i.extra ->> 'split' = %(split)s) {}"
        ).format(selected, self._from, self._shown.where, ending)
        with translated("reading the descriptions"):
            return self._conn.execute(statement, {**self._shown.values, "split": split, **(values or {})}).fetchall()


def _matrix(vectors: Sequence[HalfVector]) -> Matrix:
    if not vectors:
        return np.empty((0, 0), dtype=np.float32)
    return np.stack([vector.to_numpy() for vector in vectors]).astype(np.float32)
