"""Finds the kind of index that answers a space's searches fastest: builds and measures each, and keeps the quickest."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from pinakes.evaluation.recall import RecallReport, measure_recall, settle
from pinakes.evaluation.request import EvaluationRequest
from pinakes.store.connection import Connection, Pgvector
from pinakes.store.index_settings import IndexChoice, IndexKind
from pinakes.store.index_trial import store_setting
from pinakes.store.indexes import built_settings, ensure_index, index_bytes
from pinakes.store.lease import Lease
from pinakes.store.space_registry import RegisteredSpace, resolve_space


@dataclass(frozen=True, slots=True)
class IndexFigures:
    """The cost of one kind of index, and its recall and times at the smallest setting that is enough.

    Attributes:
        index: the kind; `none` compares every vector.
        setting: ef_search or probes; the highest that was tried where none is enough; None for `none`.
        recall, at_least: mean recall@k, and what it exceeds with 95 % confidence.
        p50_ms, p95_ms: milliseconds of a query's statement.
        bytes: of the index.
        build_seconds: how long building it took; None for an index that already existed, and for `none`.
        enough: whether the wanted recall is reached.
    """

    index: IndexChoice
    setting: int | None
    recall: float
    at_least: float
    p50_ms: float
    p95_ms: float
    bytes: int
    build_seconds: float | None
    enough: bool


@dataclass(frozen=True, slots=True)
class IndexComparison:
    """The kinds of index of one space side by side.

    Attributes:
        space, active: its name, and whether searches use it when they name no space.
        rows: its vectors.
        k, wanted: neighbours, and the recall that is to be reached.
        kinds: in the order in which they were measured.
        quickest: the kind with the smallest median of those that are enough; None where none is.
        before, kept: the kind that the space had, and the one that it has now.
    """

    space: str
    active: bool
    rows: int
    k: int
    wanted: float
    kinds: tuple[IndexFigures, ...]
    quickest: IndexChoice | None
    before: IndexChoice
    kept: IndexChoice

    @property
    def conclusion(self) -> str:
        """What was kept and why, in a sentence."""
        reason = (
            f"no index reaches {self.wanted:g}"
            if self.quickest is None
            else f"{self.quickest} is the quickest that reaches {self.wanted:g} with 95 % confidence"
        )
        return f"{reason}; kept: {self.kept} (before: {self.before})"


def compare_indexes(
    conn: Connection, pgvector: Pgvector, registered: RegisteredSpace, request: EvaluationRequest, lease: Lease
) -> tuple[IndexComparison, list[RecallReport]]:
    """Build each requested kind, measure it, and keep the quickest whose lower bound reaches the wanted recall.

    Where none does, or nothing is to be stored, the former index is built again. After an interruption the space has the
    index that was built last.

    Returns:
        The kinds side by side, and what was measured of each that was built.

    Raises:
        UsageError: the space holds too few vectors.
        DatabaseError: PostgreSQL does not use an index.
        LeaseLostError: another run has taken the space over.
    """
    collection, space, kept = request.collection, registered.space, registered.index_kind
    before: IndexChoice = kept or "none"
    settings_before = built_settings(conn, collection, space, kept) if kept else None
    # The existing index comes first, because it can be measured without being built.
    kinds = sorted(dict.fromkeys(request.indexes), key=lambda kind: kind != before)
    built = [_measured(conn, pgvector, registered, kind, request, lease) for kind in kinds if kind != "none"]
    reports = [report for _, report in built]
    figures = [found for found, _ in built]
    # Every report has the times of comparing all vectors, so that `none` needs a measurement only where it is alone.
    if "none" in kinds:
        reports = reports or [measure_recall(conn, pgvector, registered, replace(request, store=False))]
        figures.append(IndexFigures("none", None, 1, 1, reports[0].exact_ms, reports[0].exact_p95_ms, 0, None, True))
    quickest = min((found for found in figures if found.enough), key=lambda found: found.p50_ms, default=None)
    chosen = quickest.index if quickest is not None and request.store else before
    ensure_index(conn, collection, space, chosen, lease, pgvector, (chosen == before and settings_before) or {})
    # As after any build; what was measured with more queries then takes the place of the setting that this stores.
    settled = settle(conn, pgvector, collection, space)
    level = next((report.recommended_level for found, report in built if found.index == chosen), None)
    if request.store and level is not None:
        store_setting(conn, collection, settled, level.setting, level.recall, request.recall)
    comparison = IndexComparison(
        space=space.name,
        active=registered.active,
        rows=reports[0].rows,
        k=request.k,
        wanted=request.recall,
        kinds=tuple(figures),
        quickest=None if quickest is None else quickest.index,
        before=before,
        kept=chosen,
    )
    return comparison, reports


def _measured(
    conn: Connection,
    pgvector: Pgvector,
    registered: RegisteredSpace,
    kind: IndexKind,
    request: EvaluationRequest,
    lease: Lease,
) -> tuple[IndexFigures, RecallReport]:
    started = time.monotonic()
    ensure_index(conn, request.collection, registered.space, kind, lease, pgvector)
    seconds = time.monotonic() - started
    current = resolve_space(conn, request.collection, registered.name)
    # Nothing is stored yet: this index may be replaced by the next one.
    report = measure_recall(conn, pgvector, current, replace(request, store=False))
    level = report.recommended_level
    shown = level or report.levels[-1]
    return IndexFigures(
        index=kind,
        setting=shown.setting,
        recall=shown.recall,
        at_least=shown.at_least,
        p50_ms=shown.p50_ms,
        p95_ms=shown.p95_ms,
        bytes=index_bytes(conn, request.collection, registered.space, kind),
        build_seconds=None if current.index_built_at == registered.index_built_at else round(seconds, 1),
        enough=level is not None,
    ), report
