"""A vector index put to the test: a space is asked for the neighbours of its own images, by its index or without it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import numpy as np
import numpy.typing as npt
from pgvector import HalfVector
from pgvector import Vector as PgVector
from psycopg import sql

from pinakes.errors import DatabaseError
from pinakes.query.query import MAX_EFFORT
from pinakes.store.bulk_reads import Matrix
from pinakes.store.connection import ITERATIVE_SCANS, Connection, Pgvector, translated
from pinakes.store.indexes import built_settings
from pinakes.store.nearness import nearness
from pinakes.store.search_plan import AGAIN, BEYOND, NARROW
from pinakes.store.search_settings import NO_JIT
from pinakes.store.space_registry import RegisteredSpace

NEIGHBOURS = 8
"""Neighbours of a stored vector that are read to learn in which directions from it pictures are found."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a statement answered to each query.

    Attributes:
        distances: shape (queries, k), cosine, float64; inf where there were fewer than k.
        seconds: shape (queries,): from sending the statement to holding its rows.
    """

    distances: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class IndexTrial:
    """Asks a space for the neighbours of its own images, each of which is left out of its answer.

    The statements are those of a search without filters (`pinakes.store.nearest`): candidates in half precision, which are
    then ordered in single precision; but no metadata is fetched.

    The connection is inside `one_state`.
    """

    conn: Connection
    pgvector: Pgvector
    collection: str
    registered: RegisteredSpace
    k: int

    @property
    def candidates(self) -> int:
        """How many a search takes at least before it orders them; it never asks with a smaller ef_search."""
        return self.k + 1 + BEYOND

    def index(
        self, setting: int, ids: Sequence[str], vectors: Matrix, *, filtered: bool = False, far: float | None = None
    ) -> Answered:
        """By the index: HNSW and binary with `setting` as ef_search, IVFFlat with `setting` as probes.

        Args:
            setting: how far it looks.
            ids: the images that are asked about.
            vectors: theirs, shape (ids, dimension).
            filtered: only among the images that `passes`, one in `NARROW`.
            far: what has nothing nearer is looked for a second time and farther, as a search does.

        Raises:
            DatabaseError: PostgreSQL does not use the index.
        """
        kind = str(self.registered.index_kind)
        self._settings_of_index(setting)
        # Two of the sixteen first digits of a hash are one image in `NARROW`, spread over the whole space.
        statement = self._statement(self._nearness, "WHERE md5(image_id) < '2'" if filtered else "")
        take = self.candidates
        if kind == "binary":
            take = max(take, setting // NARROW if filtered else setting)
        if len(ids):
            self._check(kind, statement, vectors[0])
        answered = self._ask(statement, ids, vectors, take)
        lost = [number for number, first in enumerate(answered.distances[:, 0]) if far is not None and first > far]
        if lost:
            more = take * AGAIN if kind == "binary" else take
            self._settings_of_index(AGAIN * setting if kind == "ivfflat" else min(AGAIN * setting, MAX_EFFORT))
            again = self._ask(statement, [ids[number] for number in lost], vectors[lost], more)
            answered.distances[lost] = again.distances
            answered.seconds[lost] += again.seconds
        return answered

    def strangers(self, vectors: Matrix) -> Matrix:
        """For each of some stored vectors, shape (n, dimension), one that is not stored but could be a picture's.

        A graph finds the neighbours of its own nodes too easily: it leads to the node, and has linked those to it. So the
        vector is moved by as much as its nearest neighbour is away from it, parallel to the line between two others: by half
        of that, 600,000 vectors seemed to need an ef_search of 40 for the recall that new ones reach at 150.
        """
        self._settings_of_index(self.candidates)
        order, moved = self._nearness, vectors.copy()
        statement = sql.SQL("SELECT embedding FROM {} ORDER BY {} LIMIT %(take)s").format(self._table, order)
        for number, vector in enumerate(vectors):
            rows = self.conn.execute(statement, self._values("", vector, NEIGHBOURS + 1), binary=True).fetchall()
            near = np.stack([found.to_numpy() for (found,) in rows]).astype(np.float32)
            if len(near) <= NEIGHBOURS:
                continue
            along = near[NEIGHBOURS // 2] - near[NEIGHBOURS]
            length = float(np.linalg.norm(along))
            if length:
                moved[number] += along * float(np.linalg.norm(near[1] - near[0])) / length
        return moved

    def scan(self, ids: Sequence[str], vectors: Matrix) -> Answered:
        """By comparing every vector."""
        self._set({"enable_seqscan": "on", "enable_sort": "on"})
        # The sum keeps the planner from the index.
        order = sql.SQL("(embedding <=> {half}) + 0, image_id").format(half=self._half)
        return self._ask(self._statement(order), ids, vectors, self.candidates)

    def lists(self) -> int:
        """How many lists the IVFFlat index has: with as many probes it is exact."""
        built = built_settings(self.conn, self.collection, self.registered.space, "ivfflat") or {}
        return built.get("lists", 100)

    def _settings_of_index(self, setting: int) -> None:
        method, name = ("ivfflat", "probes") if self.registered.index_kind == "ivfflat" else ("hnsw", "ef_search")
        settings = {"enable_seqscan": "off", "enable_sort": "off", f"{method}.{name}": str(setting)}
        if self.pgvector.version >= ITERATIVE_SCANS:
            settings[f"{method}.iterative_scan"] = "relaxed_order"
        self._set(settings)

    @property
    def _table(self) -> sql.Identifier:
        return sql.Identifier(self.collection, self.registered.name)

    @property
    def _nearness(self) -> sql.Composed:
        kind, dimension = str(self.registered.index_kind), self.registered.space.dimension
        return nearness(kind, sql.SQL("embedding"), self._half, dimension)

    @property
    def _half(self) -> sql.Composed:
        return sql.SQL("%(half)s::halfvec({})").format(sql.Literal(self.registered.space.dimension))

    def _ask(self, statement: sql.Composed, ids: Sequence[str], vectors: Matrix, take: int) -> Answered:
        distances = np.full((len(ids), self.k), np.inf)
        seconds = np.zeros(len(ids))
        for number, (image_id, vector) in enumerate(zip(ids, vectors, strict=True)):
            started = time.perf_counter()
            rows = self.conn.execute(statement, self._values(image_id, vector, take), binary=True).fetchall()
            seconds[number] = time.perf_counter() - started
            distances[number, : len(rows)] = [distance for (distance,) in rows]
        return Answered(distances, seconds)

    def _values(self, image_id: str, vector: npt.NDArray[np.float32], take: int) -> dict[str, Any]:
        half, full = HalfVector(vector), PgVector(vector)
        return {"id": image_id, "half": half, "full": full, "take": take, "k": self.k}

    def _statement(self, order: sql.Composed, where: LiteralString = "") -> sql.Composed:
        return sql.SQL(
            """
            WITH candidates AS MATERIALIZED (
                SELECT image_id, embedding::vector <=> %(full)s AS distance
                FROM {space}
                {where}
                ORDER BY {order}
                LIMIT %(take)s
            )
            SELECT distance
            FROM candidates
            WHERE image_id <> %(id)s
            ORDER BY distance, image_id
            LIMIT %(k)s
            """
        ).format(order=order, where=sql.SQL(where), space=self._table)

    def _set(self, settings: dict[str, str]) -> None:
        for name, value in (settings | NO_JIT).items():
            self.conn.execute("SELECT set_config(%s, %s, true)", (name, value))

    def _check(self, kind: str, statement: sql.Composed, vector: npt.NDArray[np.float32]) -> None:
        # A plan without the index would compare every vector, and its recall of 1 be stored for searches by the index.
        values = self._values("", vector, self.candidates)
        plan = self.conn.execute(sql.SQL("EXPLAIN ") + statement, values).fetchall()
        if not any("Index Scan using" in line and f"_{kind}" in line for (line,) in plan):
            raise DatabaseError(
                f"PostgreSQL does not use the {kind} index of {self.registered.name}; rebuild it with"
                f" pinakes ingest --index none and then --index {kind}."
            )


def passes(image_id: str) -> bool:
    """Whether an image is among those that a filtered trial asks about: one in `NARROW`."""
    return hashlib.md5(image_id.encode(), usedforsecurity=False).hexdigest() < "2"


def store_setting(
    conn: Connection,
    collection: str,
    registered: RegisteredSpace,
    ef_search: int,
    recall: float,
    wanted: float,
    filtered: int | None = None,
    far: float | None = None,
) -> None:
    """Let searches of a space use `ef_search`, of which `recall` was measured where `wanted` was to be reached.

    `filtered` is for those with a filter, and `far` says when to look again; None leaves them as they are.
    """
    with translated(f"storing the setting of {registered.name}"):
        conn.execute(
            sql.SQL(
                """
                UPDATE {registry}
                SET
                    ef_search = %s, ef_search_recall = %s, ef_search_wanted = %s, ef_search_rows = %s, ef_search_built = %s,
                    ef_search_filtered = coalesce(%s, ef_search_filtered), ef_search_far = coalesce(%s, ef_search_far)
                WHERE space = %s
                """
            ).format(registry=sql.Identifier(collection, "spaces")),
            (ef_search, recall, wanted, registered.rows, registered.index_built_at, filtered, far, registered.name),
        )
