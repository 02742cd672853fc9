"""The order of a run's stages, and what each stage hands to the next; nothing else states this order.

list → plan → reuse known answers → embed in batches (→ checkpoint) → merge metadata and load → prune → index → report

`ingest` runs them in this process. The flow runs the same ones as Prefect tasks, and an import replaces those that call
the embedder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pinakes.errors import (
    CheckpointError,
    PinakesError,
    PruneRefusedError,
    StoppedError,
    TooManyFailuresError,
    UnfinishedError,
)
from pinakes.ingest import answers, listing, loading
from pinakes.ingest.account import Account
from pinakes.ingest.answers import Embedded
from pinakes.ingest.garbage import collecting_seldom
from pinakes.ingest.listing import Planned
from pinakes.ingest.loading import Indexed, Loaded, Pruned
from pinakes.ingest.lost_answers import why_lost
from pinakes.ingest.opening import dry_run, open_ingestion
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.run import Ingestion
from pinakes.ingest.summary import Outcome, summarise, why_deferred
from pinakes.settings import Settings
from pinakes.types import Answer


@dataclass(frozen=True, slots=True)
class Stages:
    """How each stage of a run is carried out."""

    list_and_plan: Callable[[Ingestion], Planned] = listing.list_and_plan
    reuse_known_answers: Callable[[Ingestion, Planned], None] = answers.reuse_known_answers
    verify_embedder: Callable[[Ingestion, Planned], None] = answers.verify_embedder
    embed: Callable[[Ingestion, Planned], Embedded] = answers.embed_here
    load: Callable[[Ingestion, Planned], Loaded] = loading.load
    prune: Callable[[Ingestion, Planned, Loaded], Pruned] = loading.prune
    build_index: Callable[[Ingestion], Indexed] = loading.build_index
    close_account: Callable[[Ingestion, Planned], Account] = loading.close_account


@collecting_seldom()
def run_stages(run: Ingestion, stages: Stages) -> Outcome:
    """Carry the stages out, one after the other.

    Raises:
        AccountError: the account does not balance with the listing, the checkpoint or the table.
        PinakesError: a stage failed.
    """
    planned = stages.list_and_plan(run)
    stages.reuse_known_answers(run, planned)
    # The first call that may cost money: what needs no call is in the checkpoint by now, whatever comes of it.
    stages.verify_embedder(run, planned)
    embedded = stages.embed(run, planned)
    try:
        loaded = stages.load(run, planned)
        pruned = stages.prune(run, planned, loaded)
        indexed = stages.build_index(run)
        account = stages.close_account(run, planned)
    except PinakesError as exc:
        # An error here would hide the first one: that answers which were paid for could not be kept.
        if not embedded.results.lost:
            raise
        # A full disk, for example, stops the load as well.
        raise CheckpointError(f"{embedded.results.why_unfinished} What was kept is not loaded yet: {exc}") from exc
    return Outcome(planned, embedded, loaded, pruned, indexed, account)


def run_without_calls(run: Ingestion, planned: Planned, found: Iterable[Answer]) -> tuple[int, Outcome]:
    """Keep answers that come from elsewhere, and carry out the stages with them: how many were kept, and the outcome.

    What has no answer then is deferred.

    Raises:
        PinakesError: as `run_stages`.
    """
    before = run.tally.account().answers
    run.keep(found)
    kept = run.tally.account().answers - before
    # The same listing is planned again, so that what was kept is among the answers that the run reuses.
    stages = Stages(
        list_and_plan=lambda run: listing.planned_with_imported(run, planned),
        verify_embedder=lambda _run, _planned: None,
        embed=answers.defer_the_rest,
    )
    return kept, run_stages(run, stages)


def check_pruned(outcome: Outcome, summary: dict[str, Any]) -> None:
    """Check, while the run is still open, that its pruning was not refused.

    Raises:
        PruneRefusedError: it was; the run is entered as failed, with everything else loaded and reported.
    """
    if outcome.pruned.refused is not None:
        raise PruneRefusedError(outcome.pruned.refused, summary)


def shortfall(run: Ingestion, outcome: Outcome, summary: dict[str, Any]) -> UnfinishedError | None:
    """Why a run that has ended in order did not do everything that was requested; None if it did."""
    # The cause before its effects: after an error or a loss pictures are deferred too, which alone would read as a stop.
    error, account = outcome.embedded.results.why_unfinished, outcome.account
    if error is not None:
        return UnfinishedError(f"{error} What was answered before is stored; the rest is deferred.", summary)
    if account.lost:
        return UnfinishedError(why_lost(run, account), summary)
    if account.unreached:
        return StoppedError(why_deferred(run), summary)
    if run.request.allowed_failures.exceeded_by(account):
        return TooManyFailuresError(
            f"{account.new_failures:,} of the pictures failed and --allow-failures is {run.request.allow_failures};"
            " everything else was stored. See pinakes status for the reasons.",
            summary,
        )
    # Regions that failed for good are no reason: their pictures are found as wholes, and no later run gets more.
    if account.regions.transient and not run.request.allowed_failures.allow(account, account.regions.transient):
        return TooManyFailuresError(
            f"{account.regions.transient:,} regions of pictures failed in a way that may pass, and --allow-failures is"
            f" {run.request.allow_failures}; everything else was stored. Run the same command again to try them again.",
            summary,
        )
    return None


def ingest(request: IngestRequest, settings: Settings) -> dict[str, Any]:
    """Run a whole ingest in this process, without Prefect; what was done, as a plain document.

    Raises:
        UnfinishedError: it did not do everything that was requested; the error holds the document.
        PinakesError: it failed.
    """
    if request.dry_run:
        return dry_run(request, settings)
    with open_ingestion(request, settings) as run:
        outcome = run_stages(run, Stages())
        summary = summarise(run, outcome)
        check_pruned(outcome, summary)
    missing = shortfall(run, outcome, summary)
    if missing is not None:
        raise missing
    return summary
