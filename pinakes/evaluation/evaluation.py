"""An evaluation from beginning to end, as the command line, the flow and Python run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from pinakes.errors import UsageError
from pinakes.evaluation.index_choice import IndexComparison, compare_indexes
from pinakes.evaluation.recall import RecallReport, measure_recall
from pinakes.evaluation.request import EvaluationRequest
from pinakes.evaluation.retrieval import RetrievalReport, measure_retrieval
from pinakes.quota.embedder_pool import Embedders
from pinakes.settings import Settings
from pinakes.store.collections import open_collection
from pinakes.store.connection import Connection
from pinakes.store.database import Database, open_database
from pinakes.store.lease import Lease
from pinakes.store.space_registry import RegisteredSpace, spaces


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured.

    Attributes:
        collection: the collection that was measured.
        recall: index against exact, by space; empty when it was not requested.
        retrieval: the spaces side by side; None when it was not requested.
        indexes: kinds of index side by side, by space; `recall` then has a report of each of them.
    """

    collection: str
    recall: tuple[RecallReport, ...] = ()
    retrieval: RetrievalReport | None = None
    indexes: tuple[IndexComparison, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        return {
            "collection": self.collection,
            "recall": [report.as_dict() for report in self.recall],
            "retrieval": None if self.retrieval is None else self.retrieval.as_dict(),
            "indexes": [asdict(comparison) for comparison in self.indexes],
        }


def evaluate_recall(database: Database, request: EvaluationRequest) -> tuple[RecallReport, ...]:
    """Index against exact for each space.

    Raises:
        UsageError: there is no such collection or space, or a space holds too few vectors.
    """
    with database.connection() as (conn, pgvector):
        return tuple(measure_recall(conn, pgvector, space, request) for space in chosen_spaces(conn, request))


def evaluate_indexes(
    database: Database, settings: Settings, request: EvaluationRequest
) -> tuple[tuple[IndexComparison, ...], tuple[RecallReport, ...]]:
    """Build and measure the requested kinds of index, space by space; no run writes the space meanwhile.

    Raises:
        UsageError: there is no such collection or space, or a space holds too few vectors.
        LockHeldError: a run is writing a space.
    """
    comparisons, reports = [], []
    with database.connection() as (conn, pgvector):
        for space in chosen_spaces(conn, request):
            # One space at a time: builds take long, and runs may write the others meanwhile.
            with _lease(database, settings, request, space.name) as lease:
                found, measured = compare_indexes(conn, pgvector, space, request, lease)
            comparisons.append(found)
            reports += measured
    return tuple(comparisons), tuple(reports)


def evaluate_retrieval(
    database: Database, settings: Settings, request: EvaluationRequest, say: Callable[[str], None]
) -> RetrievalReport:
    """Retrieval in the spaces, side by side.

    `say` announces what texts will cost before they are paid for.

    Raises:
        UsageError: there is no such collection or space, or the spaces share too few images.
    """
    with database.connection() as (conn, _), closing(Embedders(settings, database.dsn)) as embedders:
        return measure_retrieval(conn, embedders, chosen_spaces(conn, request), request, say)


@contextmanager
def kept_as_they_are(settings: Settings, request: EvaluationRequest) -> Iterator[None]:
    """Keep runs from writing the measured spaces inside the block; `evaluate_indexes` takes the leases itself.

    Raises:
        LockHeldError: one of them is being written.
        UsageError: there is no such collection or space, or no vectors at all.
    """
    with open_database(settings) as database, ExitStack() as held:
        with database.connection() as (conn, _):
            # In one order, so that two evaluations at once do not refuse each other: one of them gets all of its spaces.
            names = sorted(space.name for space in chosen_spaces(conn, request))
        for name in names if not request.indexes else ():
            held.enter_context(_lease(database, settings, request, name))
        yield


def _lease(database: Database, settings: Settings, request: EvaluationRequest, space: str) -> Lease:
    return Lease(database.dsn, f"{request.collection}/{space}", seconds=settings.lease_seconds)


def chosen_spaces(conn: Connection, request: EvaluationRequest) -> list[RegisteredSpace]:
    """The requested spaces, or all that hold vectors, the active one first.

    Raises:
        UsageError: there is no such collection or space, or no vectors at all.
    """
    open_collection(conn, request.collection)
    found = spaces(conn, request.collection)
    names = [space.name for space in found]
    unknown = next((name for name in request.spaces if name not in names), None)
    if unknown is not None:
        raise UsageError(
            f"the collection {request.collection!r} has no space {unknown!r}; there are: {', '.join(names) or 'none'}."
        )
    chosen = [space for space in found if (space.name in request.spaces if request.spaces else space.rows)]
    if not chosen:
        raise UsageError(f"the collection {request.collection!r} has no embeddings yet; run pinakes ingest.")
    return chosen
