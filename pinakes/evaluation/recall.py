"""How much of the exact answer a space's index finds, how long it takes, and which setting is enough."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pinakes.errors import UsageError
from pinakes.evaluation.measures import KthNearest, lower_bound, queries_needed, recall_at_k
from pinakes.evaluation.request import WANTED_RECALL, EvaluationRequest
from pinakes.query.query import DEFAULT_K, MAX_EFFORT
from pinakes.spaces import Space
from pinakes.store.bulk_reads import Matrix, one_state, sampled_vectors, vector_blocks
from pinakes.store.connection import Connection, Pgvector
from pinakes.store.index_trial import Answered, IndexTrial, passes, store_setting
from pinakes.store.space_registry import RegisteredSpace, resolve_space

EF_SEARCH_LEVELS = (40, 50, 60, 70, 80, 90, 100, 120, 140, 160, 180, 200, 250, 300, 350, 400, 500, 600, 800, 1000)
"""40 is pgvector's default and 1,000 its limit; those that no search uses are raised to the least that one does."""

SETTLED = 3
"""Settings without any gain after which higher ones are not measured: parts of a graph may be out of reach for good."""

EXACT_QUERIES = 25
"""Enough for the median time of a scan, which may take a second at a million vectors."""

SETTLING_QUERIES = 200
"""Queries after a build, when the mean decides. A graph that leads into the wrong cluster loses all neighbours of a query;
to show with 95 % confidence that this is rare takes so many queries that they cost more than a few hundredths of the build,
and among fewer than these one lost query weighs too much."""

SURELY_NEAR = 0.99
"""The share of the queries whose k-th neighbour is nearer than the distance beyond which a search looks a second time."""


@dataclass(frozen=True, slots=True)
class Level:
    """One setting of an index.

    Attributes:
        setting: ef_search of HNSW and binary, probes of IVFFlat.
        recall: mean recall@k over the queries.
        at_least: what the mean recall over all images exceeds with 95 % confidence.
        p50_ms, p95_ms: milliseconds of a query's statement, as its client sees them.
    """

    setting: int
    recall: float
    at_least: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class RecallReport:
    """Index against exact, for one space.

    Attributes:
        space, active: which space, and whether searches use it when they name none.
        index: `hnsw`, `binary`, `ivfflat`, or None while searches compare every vector.
        rows: vectors of the space.
        queries: how many were asked; without an index they are images, each left out of its own answer.
        k: neighbours.
        wanted: the recall that the recommended setting is to reach.
        levels: by setting; empty without an index.
        exact_ms, exact_p95_ms: milliseconds of comparing every vector.
        recommended: the smallest setting measured whose lower bound reaches `wanted`; None where none does.
        stored: whether it was stored with the space.
        before: the setting stored before.
        notes: what a person must know in order not to be misled by the figures.
    """

    space: str
    active: bool
    index: str | None
    rows: int
    queries: int
    k: int
    wanted: float
    levels: tuple[Level, ...]
    exact_ms: float
    exact_p95_ms: float
    recommended: int | None
    stored: bool
    before: int | None
    notes: tuple[str, ...]

    @property
    def setting_name(self) -> str:
        """What the index calls its setting."""
        return "probes" if self.index == "ivfflat" else "ef_search"

    @property
    def recommended_level(self) -> Level | None:
        """What was measured of the recommended setting."""
        return next((level for level in self.levels if level.setting == self.recommended), None)

    def as_dict(self) -> dict[str, Any]:
        """As it is printed as JSON."""
        return asdict(self) | {"setting": self.setting_name}


@dataclass(frozen=True, slots=True)
class _Sample:
    """Queries of a space and their exact answers.

    Attributes:
        ids: images that are left out of the answer to their own query; "" for a query that is no stored image.
        vectors: shape (queries, dimension).
        kth: the distance of each query's k-th neighbour, by whether only images that `passes` count.
        rows: vectors of the space.
        far: the distance beyond which the nearest that an index finds is unlikely to be the nearest there is.
    """

    ids: list[str]
    vectors: Matrix
    kth: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
    rows: int
    far: float


def measure_recall(
    conn: Connection, pgvector: Pgvector, registered: RegisteredSpace, request: EvaluationRequest
) -> RecallReport:
    """Ask the index about vectors near some of the space's own images at each setting, and compare with brute force.

    The exact neighbours are found in numpy over the stored values, streamed in blocks: memory is that of the queries
    and of one block, for a space of any size. The settings end where every query is answered exactly, or where
    higher ones gain nothing.

    Raises:
        UsageError: the space holds too few vectors.
        DatabaseError: PostgreSQL does not use the index.
    """
    collection, k = request.collection, request.k
    with one_state(conn):
        trial = IndexTrial(conn, pgvector, collection, registered, k)
        sample = _sampled(conn, trial, collection, registered, request.queries, request.seed, k)
        exact = trial.scan(sample.ids[:EXACT_QUERIES], sample.vectors[:EXACT_QUERIES])
        levels = _levels(trial, registered, sample, request)
    recommended = next((level for level in levels if level.at_least >= request.recall), None)
    # An IVFFlat index may have more lists than a search ever probes.
    stored = recommended is not None and recommended.setting <= MAX_EFFORT and request.store
    if recommended is not None and stored:
        setting, found = recommended.setting, recommended.recall
        # After the transaction that measures, which can only read.
        store_setting(conn, collection, registered, setting, found, request.recall, far=sample.far)
    return RecallReport(
        space=registered.name,
        active=registered.active,
        index=registered.index_kind,
        rows=sample.rows,
        queries=len(sample.ids),
        k=k,
        wanted=request.recall,
        levels=levels,
        exact_ms=_milliseconds(exact, 50),
        exact_p95_ms=_milliseconds(exact, 95),
        recommended=None if recommended is None else recommended.setting,
        stored=stored,
        before=registered.ef_search,
        notes=tuple(_notes(registered, levels, recommended, _milliseconds(exact, 50), sample, request)),
    )


def settle(conn: Connection, pgvector: Pgvector, collection: str, space: Space) -> RegisteredSpace:
    """After a build, or once a space has doubled: find and store the setting that its index is searched with.

    It is the smallest setting whose mean recall reaches that of the last `pinakes evaluate`, or `WANTED_RECALL`; the largest
    of all where none does, and then searches compare every vector. Reading the vectors once and asking some hundred queries
    takes a few hundredths of the time of the build.
    """
    registered = resolve_space(conn, collection, space.name)
    if not _due(registered):
        return registered
    wanted = registered.ef_search_wanted or WANTED_RECALL
    with one_state(conn):
        trial = IndexTrial(conn, pgvector, collection, registered, DEFAULT_K)
        sample = _sampled(conn, trial, collection, registered, SETTLING_QUERIES, 1, DEFAULT_K)
        settings = _settings(trial, registered)

        @cache
        def reached(setting: int, *, filtered: bool) -> float:
            answered = trial.index(setting, sample.ids, sample.vectors, filtered=filtered, far=sample.far)
            return float(recall_at_k(answered.distances, sample.kth[filtered]).mean())

        # Halving needs five of the twenty settings; recall only grows with them, but for a query or two.
        def least(start: int, *, filtered: bool) -> int:
            if reached(settings[start], filtered=filtered) >= wanted:
                return start
            enough = bisect_left(settings, wanted, start + 1, key=lambda setting: reached(setting, filtered=filtered))
            return min(enough, len(settings) - 1)

        near = least(0, filtered=False)
        # A search with a filter looks at more of the index anyway: it seldom needs a larger setting, never a smaller one.
        narrow = least(near, filtered=True)
        found = reached(settings[near], filtered=False)
    store_setting(conn, collection, registered, settings[near], found, wanted, settings[narrow], sample.far)
    return resolve_space(conn, collection, space.name)


def _sampled(
    conn: Connection,
    trial: IndexTrial,
    collection: str,
    registered: RegisteredSpace,
    count: int,
    seed: int,
    k: int,
) -> _Sample:
    """Queries near stored images, but none of them, and their exact answers; the images themselves without an index."""
    ids, vectors = sampled_vectors(conn, collection, registered.name, count, seed)
    if registered.index_kind is not None and ids:
        ids, vectors = [""] * len(ids), trial.strangers(vectors)
    kth, rows = _kth_distances(conn, collection, registered.name, ids, vectors, k)
    # By the images that `passes`: their k-th is farther than the k-th of all, and much farther than the first.
    far = float(np.quantile(kth[True], SURELY_NEAR, method="higher"))
    return _Sample(ids, vectors, kth, rows, far)


def _due(registered: RegisteredSpace) -> bool:
    """Whether the index was built after the last measurement, or has twice as many rows as then; an IVFFlat index never."""
    if registered.index_kind not in ("hnsw", "binary") or registered.rows <= DEFAULT_K:
        return False
    outgrown = registered.rows > 2 * (registered.ef_search_rows or 0)
    return outgrown or registered.ef_search_built != registered.index_built_at


def _kth_distances(
    conn: Connection, collection: str, space: str, ids: list[str], vectors: Matrix, k: int
) -> tuple[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]], int]:
    """The exact distance of each query's k-th other neighbour, of all and of those that `passes`; and how many are all."""
    place = {image_id: number for number, image_id in enumerate(ids) if image_id}
    # The stored values are of unit length but for the rounding of `halfvec`, which cosine distance divides out.
    queries = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if ids else vectors
    nearest, passing = KthNearest(len(ids), k), KthNearest(len(ids), k)
    rows = 0
    for block_ids, block in vector_blocks(conn, collection, space):
        rows += len(block_ids)
        distances = 1 - queries @ (block / np.linalg.norm(block, axis=1, keepdims=True)).T
        for at, image_id in enumerate(block_ids):
            if image_id in place:
                distances[place[image_id], at] = np.inf
        nearest.add(distances)
        passing.add(distances[:, [passes(image_id) for image_id in block_ids]])
    if rows <= k:
        raise UsageError(f"the space {space} holds {rows:,} vectors, too few for the {k} neighbours of -k {k}.")
    return (nearest.distances, passing.distances), rows


def _levels(
    trial: IndexTrial, registered: RegisteredSpace, sample: _Sample, request: EvaluationRequest
) -> tuple[Level, ...]:
    measured: list[Level] = []
    for setting in _settings(trial, registered):
        if not measured:  # reads the index into memory; these times would be the disk's
            trial.index(setting, sample.ids, sample.vectors)
        answered = trial.index(setting, sample.ids, sample.vectors, far=sample.far)
        shares = recall_at_k(answered.distances, sample.kth[False])
        # Looking at more candidates finds no less, so that the bound of a setting holds for those above it too.
        surely = lower_bound(shares, request.k, population=sample.rows)
        measured.append(
            Level(
                setting,
                float(shares.mean()),
                max([surely, *(level.at_least for level in measured)]),
                _milliseconds(answered, 50),
                _milliseconds(answered, 95),
            )
        )
        if measured[-1].recall == 1 or _settled(measured, request.recall):
            break
    return tuple(measured)


def _settled(measured: list[Level], wanted: float) -> bool:
    """Whether the recall is enough, and the last `SETTLED` settings found nothing more than the one before them."""
    last = measured[-1 - SETTLED :]
    return len(last) > SETTLED and last[0].at_least >= wanted and last[-1].recall <= last[0].recall


def _settings(trial: IndexTrial, registered: RegisteredSpace) -> list[int]:
    """The settings to measure, ascending; for IVFFlat powers of two up to all of its lists, where it is exact."""
    if registered.index_kind in ("hnsw", "binary"):
        return sorted({max(level, trial.candidates) for level in EF_SEARCH_LEVELS})
    if registered.index_kind == "ivfflat":
        lists = trial.lists()
        return sorted({min(2**power, lists) for power in range(lists.bit_length() + 1)})
    return []


def _notes(
    registered: RegisteredSpace,
    levels: tuple[Level, ...],
    recommended: Level | None,
    exact_ms: float,
    sample: _Sample,
    request: EvaluationRequest,
) -> list[str]:
    if registered.index_kind is None:
        return [
            "searches of this space compare every vector, so that recall is 1; an HNSW index (pinakes ingest --index hnsw)"
            " would answer in a few milliseconds at most sizes and miss some neighbours: build it when the exact time"
            " above is too long, and evaluate again"
        ]
    notes = []
    if recommended is None and levels[-1].recall >= request.recall:
        notes.append(
            f"{len(sample.ids):,} queries are too few to show a recall of {request.recall:g}; use --queries"
            f" {min(queries_needed(request.recall), sample.rows):,} or more, or a lower --recall"
        )
    elif recommended is None:
        notes.append(
            f"no setting up to {levels[-1].setting} reaches a recall of {request.recall:g}; nothing was stored. Search"
            " with --mode exact, or ask for a lower --recall"
        )
    elif recommended.p50_ms >= exact_ms:
        notes.append(
            f"at {recommended.setting} the index takes no less time than comparing every vector ({exact_ms:g} ms): at this"
            " size it gains nothing; pinakes ingest --index none drops it"
        )
    if recommended is not None and recommended.setting > MAX_EFFORT:
        notes.append(f"no search asks for more than {MAX_EFFORT:,} probes, so that this is not stored")
    notes.append(
        "the queries lie among the stored pictures; words, whose vectors lie apart from all of them, are found somewhat less"
        " surely"
    )
    return notes


def _milliseconds(answered: Answered, percentile: int) -> float:
    return round(float(np.percentile(answered.seconds, percentile)) * 1000, 3)
