"""What a run did, as a plain document: what `--json` prints, a flow returns and a table is made of."""

from __future__ import annotations

from typing import Any

from pinakes.batches import Calls
from pinakes.embedders.calling import Remote
from pinakes.embedders.retirement import retirement_warning
from pinakes.ingestion import Ingestion
from pinakes.stopping import stop_requested
from pinakes.types import utc_now

MAX_FAILURES = 100
"""Failed pictures named in a summary; all of them are counted, and kept in the ledger."""


def summarise(run: Ingestion) -> dict[str, Any]:
    """The account first, then where things are and what is worth knowing; every value fits JSON."""
    return {
        **run.account.as_dict(),
        "collection": run.request.collection,
        "space": run.space.name,
        "active": run.active,
        "index": run.index_kind or "none (exact search)",
        "checkpoint": run.checkpoint.location,
        "plan": run.plan.counts(),
        **planned_and_actual(run),
        "provider": provider(run),
        "failures": run.failures(MAX_FAILURES),
        "notes": _notes(run),
    }


def why_deferred(run: Ingestion) -> str:
    """Why pictures were not reached, and how to go on."""
    kept = "All answers so far are kept; run the same command again"
    left = f"{run.account.deferred:,} pictures were not reached"
    if run.request.max_cost is not None and not stop_requested.is_set():
        return f"--max-cost {run.request.max_cost:g} pays for no more: {left}. {kept} to go on for as much once more."
    return f"stopped before the end: {left}. {kept} to resume."


def planned_and_actual(run: Ingestion) -> dict[str, Any]:
    """What the plan said it would take, and what it took; retries and 429s of a paid embedder."""
    counted = Calls.of(run.embedder) + run.calls_elsewhere
    return {
        "planned": run.planned.as_dict(),
        "actual": {
            "calls": run.account.calls,
            "cost": round(counted.cost(run.embedder.facts.price), 6),
            "seconds": round(run.account.seconds, 3),
        },
        "rate_limited": counted.rate_limited,
        "retries": counted.retries,
    }


def provider(run: Ingestion) -> dict[str, Any]:
    """How the provider answered: requests, throughput and latency.

    `answered`, `per_second`, `p50_ms`, `p95_ms` and `in_flight` are of the requests of this process, and None where it
    made none that are timed: a model on this machine, or batches that ran in other processes. `lost` are requests whose
    answer never came; `rate_limited` (429s) and `retries` are those of all processes.
    """
    counted = Calls.of(run.embedder) + run.calls_elsewhere
    shown: dict[str, Any] = {
        "provider": run.space.provider,
        "model": run.space.model,
        "calls": counted.calls,
        "rate_limited": counted.rate_limited,
        "retries": counted.retries,
    }
    names = ("answered", "lost", "per_second", "p50_ms", "p95_ms", "in_flight")
    own = run.embedder.statistics() if isinstance(run.embedder, Remote) else None
    if own is None or not own.answered:
        return shown | dict.fromkeys(names)
    figures = (
        own.answered,
        own.lost,
        round(own.per_second, 2),
        round(1000 * own.p50, 1),
        round(1000 * own.p95, 1),
        own.in_flight,
    )
    return shown | dict(zip(names, figures, strict=True))


def _notes(run: Ingestion) -> list[str]:
    notes = list(run.metadata.report.lines()) if run.metadata is not None else []
    if run.join_report is not None:
        notes += run.join_report.lines()
    notes += [f"the listing is not complete: {problem}" for problem in run.source.problems]
    notes += run.checkpoint.problems
    if run.account.vanished > run.account.pruned:
        left = run.account.vanished - run.account.pruned
        notes.append(f"{left} stored pictures are not listed any more and were kept; --prune removes them")
    if warning := retirement_warning(run.space, utc_now().date()):
        notes.append(warning)
    if not run.active:
        notes.append(
            f"searches use another space than {run.space.name}: pinakes activate {run.space.name} --collection"
            f" {run.request.collection} lets them use this one, --space {run.space.name} asks it once"
        )
    return notes
