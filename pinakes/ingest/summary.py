"""What a run did, as a plain document: what `--json` prints, a flow returns and a table is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pinakes.embedders.remote.retirement import retirement_warning
from pinakes.evaluation.request import WANTED_RECALL
from pinakes.ingest.account import Account
from pinakes.ingest.answers import Embedded
from pinakes.ingest.listing import Planned
from pinakes.ingest.loading import Indexed, Loaded, Pruned
from pinakes.ingest.run import Ingestion
from pinakes.types import utc_now


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the stages of a run came to."""

    planned: Planned
    embedded: Embedded
    loaded: Loaded
    pruned: Pruned
    indexed: Indexed
    account: Account


def summarise(run: Ingestion, outcome: Outcome) -> dict[str, Any]:
    """The account first, then where things are and what is worth knowing; every value fits JSON."""
    return {
        **outcome.account.as_dict(),
        "collection": run.request.collection,
        "space": run.space.name,
        "active": outcome.indexed.active,
        "index": outcome.indexed.kind or "none (exact search)",
        "language": outcome.loaded.language,
        "checkpoint": run.checkpoint.location,
        "plan": outcome.planned.plan.counts(),
        **_planned_and_actual(run, outcome),
        "provider": _provider(run, outcome),
        "failures": _failures(run, outcome.planned),
        "skipped_entries": outcome.planned.plan.skipped_entries(),
        "notes": _notes(run, outcome),
    }


def why_deferred(run: Ingestion) -> str:
    """Why pictures were not reached, and how to go on."""
    kept = "All answers so far are kept; run the same command again"
    account = run.tally.account()
    regions = f" and {account.regions.deferred:,} regions" if account.regions.deferred else ""
    left = f"{account.deferred:,} pictures{regions} were not reached"
    if run.request.max_cost is not None and not run.stopping.asked:
        # Spending "the same amount again" would never get further here: the two requests for the check would take it.
        if not account.calls and run.embedder.paid:
            least = (run.embedder.check_units + 1) * run.embedder.facts.price.per_image
            return (
                f"--max-cost {run.request.max_cost:g} is less than USD {least:g}, the price of one picture and the two"
                f" requests that verify the embedder: nothing was requested, and {left}. Allow more."
            )
        return f"--max-cost {run.request.max_cost:g} is spent: {left}. {kept} to spend the same amount again."
    return f"{why_stopped(run)}: {left}. {kept} to resume."


def why_stopped(run: Ingestion) -> str:
    """That somebody stopped the run, and by which means if it is known."""
    return f"stopped by {run.stopping.asked}" if run.stopping.asked else "stopped before the end"


def _planned_and_actual(run: Ingestion, outcome: Outcome) -> dict[str, Any]:
    """What the plan said it would take, and what it took; retries and 429s of a paid embedder."""
    account, calls = outcome.account, run.tally.calls
    return {
        "planned": outcome.planned.estimate.as_dict(),
        "actual": {"calls": account.calls, "cost": run.tally.spent, "seconds": round(account.seconds, 3)},
        "rate_limited": calls.rate_limited,
        "retries": calls.retries,
    }


def _provider(run: Ingestion, outcome: Outcome) -> dict[str, Any]:
    """How the provider answered: requests, throughput and latency.

    The figures cover all processes of the run, except `in_flight`: the most requests that this process may have on their
    way at once. `per_second` is pictures embedded a second, from the beginning of the first batch to the end of the last.
    `lost` counts requests whose answer never came. `p50_ms` and `p95_ms` are times of single requests; of a model on this
    machine, times of a picture, taken as the average of its batch. What is not known is None.
    """
    counted, embedded = run.tally.calls, outcome.embedded
    latencies = counted.latencies + embedded.results.timed
    answered = latencies.answers

    def milliseconds(share: float) -> float | None:
        return round(1000 * latencies.quantile(share), 1) if answered else None

    return {
        "provider": run.space.provider,
        "model": run.space.model,
        "calls": counted.calls,
        "answered": answered,
        "lost": counted.lost,
        "rate_limited": counted.rate_limited,
        "retries": counted.retries,
        "per_second": round(outcome.account.embedded / embedded.seconds, 2) if embedded.seconds else None,
        "p50_ms": milliseconds(0.5),
        "p95_ms": milliseconds(0.95),
        "in_flight": run.embedder.statistics().in_flight,
    }


def _failures(run: Ingestion, planned: Planned) -> list[dict[str, Any]]:
    """The failed pictures of the listing, with their reasons, as plain documents."""
    # From the ledger and not from this run, which does not try again what has failed for good.
    ledger = run.checkpoint.ledger()
    found = planned.plan.found(ledger)
    return [ledger.row(position).as_failure() for position in found[(found >= 0) & ~ledger.ok_at(found)].tolist()]


def _notes(run: Ingestion, outcome: Outcome) -> list[str]:
    notes = list(run.metadata.report.lines()) if run.metadata is not None else []
    if outcome.loaded.join_report is not None:
        notes += outcome.loaded.join_report.lines()
    notes += outcome.planned.plan.why_skipped()
    regions = outcome.account.regions
    if regions.listed:
        notes.append(
            f"regions ({run.regions}): {regions.embedded:,} embedded, {regions.reused:,} reused"
            + (f", {regions.failed:,} without a vector: their pictures are found as wholes" if regions.failed else "")
        )
    if outcome.loaded.guessed is not None:
        notes.append(
            f"the texts look {outcome.loaded.guessed}, so full text compares stems: ship finds ships; pinakes language"
            f" {run.request.collection} LANGUAGE changes that"
        )
    notes += [f"the listing is not complete: {problem}" for problem in run.source.problems]
    notes += run.checkpoint.problems
    left = outcome.account.vanished - outcome.account.pruned
    if left > 0:
        notes.append(f"{left:,} stored pictures are not listed any more; they were kept. --prune removes them")
    if warning := retirement_warning(run.space, utc_now().date()):
        notes.append(warning)
    if outcome.indexed.falls_short:
        notes.append(
            f"no setting of the {outcome.indexed.kind} index finds {WANTED_RECALL:.0%} of the nearest pictures, so searches"
            " compare every vector; pinakes evaluate recall shows what it finds, and --index none drops it"
        )
    if not outcome.indexed.active:
        notes.append(
            f"searches use another space than {run.space.name}. To switch them to this one: pinakes activate"
            f" {run.space.name} --collection {run.request.collection}; for one search: --space {run.space.name}"
        )
    return notes
