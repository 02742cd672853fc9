"""Answers that were paid for and that the checkpoint has lost: found in the plan, taken from the table, or paid for again.

The checkpoint is deleted, another one is named by mistake, or one of its parts is damaged. The table may still have the
vectors, rounded to half precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pinakes.checkpoints.checkpoint import Checkpoint
from pinakes.embedders.base import Embedder
from pinakes.errors import CheckpointError
from pinakes.images.regions import planned
from pinakes.ingest.account import Account
from pinakes.ingest.estimate import estimate
from pinakes.ingest.plan import Held, Plan
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.run import ANSWERS_PER_PART, Ingestion, in_parts
from pinakes.ingest.work import Pair, Work
from pinakes.spaces import RegionSpace, Space
from pinakes.store.bulk_reads import held_pairs, held_vectors, regions_of
from pinakes.store.connection import Connection
from pinakes.types import HALF_PRECISION, Answer, utc_now


def held_in_table(conn: Connection, collection: str, space: Space, plan: Plan) -> dict[Pair, Pair]:
    """(image_id, fingerprint) of planned pictures and regions → the pair of equal bytes whose vector the table has."""
    pairs = [pair for work in plan.work for pair in work.pairs]
    found = {pair: pair for pair in held_pairs(conn, collection, space.name, pairs)}
    works = plan.work
    if plan.regions is not None and plan.regions.work:
        works = [*works, *plan.regions.work]
        image_ids = sorted({image_id for work in plan.regions.work for image_id, _ in work.pairs})
        held_regions = regions_of(conn, collection, RegionSpace.of(space).name, image_ids)
        # The table knows a salient region by its frame, and the plan only by its number.
        found |= {(image_id, planned(fingerprint)): (image_id, fingerprint) for image_id, fingerprint in held_regions}
    held: dict[Pair, Pair] = {}
    for work in works if found else ():
        # One call serves all images of equal bytes, so that the vector of any of them answers it.
        holder = next((found[pair] for pair in work.pairs if pair in found), None)
        if holder is not None:
            held |= dict.fromkeys(work.pairs, holder)
    return held


def why_refused(
    request: IngestRequest, checkpoint: Checkpoint, embedder: Embedder, plan: Plan, held: Held
) -> str | None:
    """That the plan pays again for answers that are lost, for what and how much; None if it does not, or may.

    Args:
        request: may allow it.
        checkpoint: what has lost them.
        embedder: what would be called.
        plan: the calls.
        held: what the table has of them, see `held_in_table`.
    """
    if request.pay_again or not plan.calls:
        return None
    # By what was planned: a salient region has its frame in the ledger, and none in the plan.
    damaged = {(image_id, planned(fingerprint)) for image_id, fingerprint in checkpoint.ledger().lost}
    again: Sequence[Work] = [
        work for work in plan.all_work() if any(pair in held or pair in damaged for pair in work.pairs)
    ]
    lost = sum(pair in damaged for work in again for pair in work.pairs)
    problems = [checkpoint.lacking(len(held))] if held else []
    if lost:
        problems.append(f"Damaged parts of the checkpoint held {lost:,} of the answers; pinakes status names them.")
    if checkpoint.unreadable_parts:  # any of the pictures may have been in them
        problems += checkpoint.damages
        again = plan.all_work()
    if not problems:
        return None
    cost = estimate(Plan(work=again), embedder).cost
    ways = ["--from-table takes the stored vectors over in half precision, without a call"] if held else []
    ways.append(
        f"--pay-again embeds {sum(work.images for work in again):,} pictures"
        + (f" and {regions:,} regions" if (regions := sum(work.regions for work in again)) else "")
        + (f" for USD {cost:,.4f}" if cost else "")
    )
    return f"{' '.join(problems)} Nothing was embedded. If they are gone, choose: {'; '.join(ways)}."


def refuse_to_pay_again(run: Ingestion, plan: Plan, held: Held) -> None:
    """Stop before anything is paid for twice without the user's consent.

    Raises:
        CheckpointError: the plan has calls for answers that were paid for and are lost, without `--pay-again`.
    """
    refused = why_refused(run.request, run.checkpoint, run.embedder, plan, held)
    if refused is not None:
        raise CheckpointError(refused)


def why_lost(run: Ingestion, account: Account) -> str:
    """That the checkpoint was found damaged in the run, what that costs, and how to go on."""
    cost = account.lost * run.embedder.facts.price.per_image
    money = f", which costs USD {cost:,.4f}" if cost else ""
    return (
        f"{account.lost:,} answers are lost: {' '.join(run.checkpoint.damages)} Everything else was stored. Run again with"
        f" --from-table, which takes what the table still has, or with --pay-again, which embeds them again{money}."
    )


def take_from_table(run: Ingestion, plan: Plan) -> None:
    """Keep lost answers as the table has them, marked as rounded."""
    space = run.space
    table = RegionSpace.of(space).name if plan.counted else space.name
    for part in in_parts(plan.from_table, ANSWERS_PER_PART):
        pairs = [(holder, image.fingerprint) for image, holder in part]
        vectors = run.database.do(
            "reading lost answers", partial(held_vectors, collection=run.request.collection, space=table, pairs=pairs)
        )
        found = [(image, vectors[pair]) for image, holder in part if (pair := (holder, image.fingerprint)) in vectors]
        # The table may have lost some since the plan: those are deferred, and the account still balances.
        now = utc_now()
        run.keep(
            Answer(image.image_id, image.fingerprint, vector, None, 1, space.version + HALF_PRECISION, now)
            for image, vector in found
        )
        run.tally.add_known(plan, reused=len(found), deferred=len(part) - len(found))
