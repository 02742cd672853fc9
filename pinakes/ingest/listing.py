"""The first stage: list the source, and compare it with what was answered before."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from pinakes.checkpoints.ledger import Ledger
from pinakes.images.regions import RegionKind, regions_in
from pinakes.ingest.estimate import Estimate, estimate
from pinakes.ingest.lost_answers import held_in_table
from pinakes.ingest.plan import Held, Plan, make_plan, plan_again
from pinakes.ingest.run import Ingestion
from pinakes.ingest.work import Pair
from pinakes.sources.base import keep_out
from pinakes.takedowns.sync import sync_tombstones
from pinakes.tombstones import Tombstones
from pinakes.types import utc_now


@dataclass(frozen=True, slots=True)
class Planned:
    """What `list_and_plan` hands to the stages after it.

    Attributes:
        plan: what became of every listed entry so far, and the calls to make.
        estimate: what the calls would take.
        tombstones: of pictures that were taken down for good.
        held: pictures whose answer is lost and whose vector the table has; see `lost_answers.held_in_table`.
        at: when the listing began, UTC: a failure that is older was there before.
    """

    plan: Plan
    estimate: Estimate
    tombstones: Tombstones
    at: datetime
    held: Held = field(default_factory=dict)

    def regions_with_vector(self, ledger: Ledger, kind: RegionKind) -> set[Pair]:
        """The (image_id, fingerprint) of the listed pictures' regions of a kind that the ledger has a vector for."""
        rows = (
            ledger.get(image.image_id, region)
            for image in self.plan.images
            for region in regions_in(image.fingerprint, kind)
        )
        return {(row.image_id, row.fingerprint) for row in rows if row is not None and row.ok}


def list_and_plan(run: Ingestion) -> Planned:
    """List the source and compare it with the ledger.

    Raises:
        SourceError: the source is missing, unreadable or holds no image.
        CheckpointError: which pictures were taken down cannot be read.
    """
    # Before the listing: a failure entered from here on is this run's own; see `reconcile`.
    at = utc_now()
    request = run.request
    tombstones = sync_tombstones(run.database, request.collection, request.checkpoint, lease_seconds=run.lease.seconds)
    # Between listing and plan, so that a picture that was taken down is never read, let alone embedded.
    entries = keep_out(run.source, tombstones)
    ledger = run.checkpoint.ledger()
    plan = make_plan(entries, ledger, retry_failed=request.retry_failed, regions=run.regions)
    held = run.database.do(
        "looking for lost answers", lambda conn: held_in_table(conn, request.collection, run.space, plan)
    )
    if held and request.from_table:
        plan = plan_again(plan, ledger, held, retry_failed=request.retry_failed, regions=run.regions)
        held = {}
    run.tally.start_from(plan)
    return Planned(plan, estimate(plan, run.embedder), tombstones, at, held)


def planned_with_imported(run: Ingestion, planned: Planned) -> Planned:
    """The same listing, compared again with a ledger that has received imported answers since."""
    ledger, retry = run.checkpoint.ledger(), run.request.retry_failed
    plan = plan_again(planned.plan, ledger, {}, retry_failed=retry, regions=run.regions)
    run.tally.start_from(plan)
    return replace(planned, plan=plan, estimate=estimate(plan, run.embedder), held={})
