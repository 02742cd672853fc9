"""Neighbours that share their metadata: precision@k of a space by any column, against chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pinakes.errors import UsageError
from pinakes.evaluation.measures import TIE, UNLABELLED, Neighbours, chance_precision, precision_at_k
from pinakes.evaluation.request import EvaluationRequest
from pinakes.metadata.columns import COLUMNS
from pinakes.store.bulk_reads import Matrix, one_state
from pinakes.store.comparable import Comparable
from pinakes.store.connection import Connection
from pinakes.store.space_registry import RegisteredSpace

DEFAULT_COLUMNS = ("type", "school", "timeframe", "author")


@dataclass(frozen=True, slots=True)
class Precision:
    """Precision@k of one column in one space.

    Attributes:
        column, space: the column whose values are compared, and the space.
        queries: images whose neighbours were looked for; all have a value in the column.
        precision: the mean share of the k nearest other images with the query's value.
        error: its standard error over the queries.
        chance: what a random ranking would score.
    """

    column: str
    space: str
    queries: int
    precision: float
    error: float
    chance: float


@dataclass(frozen=True, slots=True)
class Images:
    """The images that all spaces hold, by image_id: which are equal, and their labels by column."""

    ids: tuple[str, ...]
    place: dict[str, int]
    groups: npt.NDArray[np.int64]
    labels: dict[str, npt.NDArray[np.int64]]


def read_images(
    conn: Connection, comparable: Comparable, registered: Sequence[RegisteredSpace], request: EvaluationRequest
) -> Images:
    """The images that all spaces hold, with the labels of the columns that have values.

    Raises:
        UsageError: they are too few, or a requested column has no value.
    """
    names = request.columns or DEFAULT_COLUMNS
    ids: list[str] = []
    groups: list[int] = []
    labels: dict[str, list[int]] = {name: [] for name in names}
    of_group: dict[str, int] = {}
    of_label: dict[str, dict[str, int]] = {name: {} for name in names}
    with one_state(conn):
        for image_id, fingerprint, values in comparable.rows(names):
            ids.append(image_id)
            groups.append(of_group.setdefault(fingerprint, len(of_group)))
            for name, value in zip(names, values, strict=True):
                known = of_label[name]
                labels[name].append(known.setdefault(value, len(known)) if value else UNLABELLED)
    # Different pictures and not images, since a copy of the query never counts as its neighbour.
    if len(of_group) <= request.k:
        spaces = ", ".join(space.name for space in registered)
        raise UsageError(
            f"the spaces {spaces} have {len(of_group)} different pictures in common, too few for the {request.k} neighbours"
            " of -k; ingest more into them, or name other spaces with --space."
        )
    empty = [name for name in request.columns if not of_label[name]]
    if empty:
        columns = ", ".join((*COLUMNS, *comparable.extra_columns()))
        raise UsageError(
            f"the column {empty[0]!r} (--column) has no value in {request.collection!r}; there are: {columns}."
        )
    return Images(
        tuple(ids),
        {image_id: number for number, image_id in enumerate(ids)},
        np.array(groups, dtype=np.int64),
        {name: np.array(codes, dtype=np.int64) for name, codes in labels.items() if of_label[name]},
    )


@dataclass(frozen=True, slots=True)
class Columns:
    """The queries of each column.

    Attributes:
        names: the columns.
        queries: positions of all images whose neighbours are looked for.
        labelled: for each column the rows of `queries` that have a value in it.
        chance: for each column the expected precision of those.
    """

    names: tuple[str, ...]
    queries: npt.NDArray[np.int64]
    labelled: dict[str, npt.NDArray[np.int64]]
    chance: dict[str, float]

    @classmethod
    def chosen(cls, images: Images, request: EvaluationRequest) -> Columns:
        """The same images for each column and space, as far as they have a value."""
        # The first ones of a permutation: more queries include all of the fewer.
        order = np.random.default_rng(request.seed).permutation(len(images.ids))
        queries: npt.NDArray[np.int64] = np.sort(order[: request.queries])
        labelled: dict[str, npt.NDArray[np.int64]] = {}
        chance: dict[str, float] = {}
        for name, labels in images.labels.items():
            rows = np.flatnonzero(labels[queries] != UNLABELLED)
            if len(rows):
                labelled[name] = rows
                chance[name] = float(chance_precision(labels, images.groups, queries[rows]).mean())
        return cls(tuple(labelled), queries, labelled, chance)


def distances_of(
    queries: Matrix, block: Matrix, images: Images, columns: Columns, positions: npt.NDArray[np.int64]
) -> Matrix:
    """Cosine distances, shape (queries, n); inf for the query itself and for pictures of equal bytes."""
    # Any embedder finds a copy of the query, whose metadata are mostly the same: it would raise the figures of all spaces.
    distances = 1 - queries @ block.T
    distances[images.groups[columns.queries][:, None] == images.groups[positions][None, :]] = np.inf
    return np.asarray(distances, dtype=np.float32)


class Counts:
    """How many images are nearer than each query's k-th neighbour, or as near, and how many of them share its label.

    They are counted block by block, in a second pass: the neighbours themselves need not be kept.
    """

    def __init__(self, columns: Columns, images: Images, kth: Matrix) -> None:
        self._columns = columns
        self._images = images
        self._kth = kth[:, None]
        queries = len(columns.queries)
        self._closer = np.zeros(queries, dtype=np.int64)
        self._equal = np.zeros(queries, dtype=np.int64)
        self._closer_same = {name: np.zeros(queries, dtype=np.int64) for name in columns.names}
        self._equal_same = {name: np.zeros(queries, dtype=np.int64) for name in columns.names}

    def add(self, distances: Matrix, positions: npt.NDArray[np.int64]) -> None:
        """Take in a block of distances to the images at `positions`."""
        closer = distances < self._kth - TIE
        equal = (distances <= self._kth + TIE) & ~closer
        self._closer += closer.sum(axis=1)
        self._equal += equal.sum(axis=1)
        for name in self._columns.names:
            labels = self._images.labels[name]
            same = labels[self._columns.queries][:, None] == labels[positions][None, :]
            self._closer_same[name] += (closer & same).sum(axis=1)
            self._equal_same[name] += (equal & same).sum(axis=1)

    def precision(self, name: str, space: str, k: int) -> Precision:
        """Of one column, over the queries that have a value in it."""
        rows = self._columns.labelled[name]
        found = Neighbours(
            self._closer[rows], self._closer_same[name][rows], self._equal[rows], self._equal_same[name][rows]
        )
        shares = precision_at_k(found, k)
        error = float(shares.std(ddof=1) / np.sqrt(len(shares))) if len(shares) > 1 else 0.0
        return Precision(name, space, len(rows), float(shares.mean()), error, self._columns.chance[name])
