"""Answers that were paid for and that the checkpoint has lost: found in the plan, taken from the table, or paid for again.

The checkpoint is deleted, another one is named by mistake, or one of its parts is damaged. The table may still have the
vectors, rounded to half precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pinakes.checkpoints.checkpoint import Checkpoint
from pinakes.embedders.base import Embedder
from pinakes.errors import CheckpointError
from pinakes.ingest.account import Account
from pinakes.ingest.estimate import estimate
from pinakes.ingest.plan import Pair, Plan, Work
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.run import ANSWERS_PER_PART, Ingestion, in_parts
from pinakes.store.bulk_reads import held_pairs, held_vectors
from pinakes.store.connection import Connection
from pinakes.types import HALF_PRECISION, Answer, utc_now


def held_in_table(conn: Connection, collection: str, space: str, plan: Plan) -> dict[Pair, str]:
    """(image_id, fingerprint) of planned pictures → the image of equal bytes under which the table has their vector."""
    found = set(held_pairs(conn, collection, space, [pair for work in plan.work for pair in work.pairs]))
    held: dict[Pair, str] = {}
    for work in plan.work if found else ():
        holder = next((pair for pair in work.pairs if pair in found), None)
        if holder is not None:
            held |= dict.fromkeys(work.pairs, holder[0])
    return held


def why_refused(
    request: IngestRequest, checkpoint: Checkpoint, embedder: Embedder, plan: Plan, held: Mapping[Pair, str]
) -> str | None:
    """That the plan pays again for answers that are lost, for what and how much; None if it does not, or may.

    Args:
        request: may allow it.
        checkpoint: what has lost them.
        embedder: what would be called.
        plan: the calls.
        held: what the table has of them, see `held_in_table`.
    """
    if request.pay_again or not plan.work:
        return None
    damaged = checkpoint.ledger().lost
    again: Sequence[Work] = [work for work in plan.work if any(pair in held or pair in damaged for pair in work.pairs)]
    lost = sum(pair in damaged for work in again for pair in work.pairs)
    problems = [checkpoint.lacking(len(held))] if held else []
    if lost:
        problems.append(f"Damaged parts of the checkpoint held {lost:,} of the answers; pinakes status names them.")
    if checkpoint.unreadable_parts:  # any of the pictures may have been in them
        problems += checkpoint.damages
        again = plan.work
    if not problems:
        return None
    cost = estimate(replace(plan, work=again), embedder).cost
    ways = ["--from-table takes the stored vectors over in half precision, without a call"] if held else []
    ways.append(
        f"--pay-again embeds {sum(work.images for work in again):,} pictures"
        + (f" for USD {cost:,.4f}" if cost else "")
    )
    return f"{' '.join(problems)} Nothing was embedded. If they are gone, choose: {'; '.join(ways)}."


def refuse_to_pay_again(run: Ingestion, plan: Plan, held: Mapping[Pair, str]) -> None:
    """Stop before anything is paid for twice without a word.

    Raises:
        CheckpointError: the plan has calls for answers that were paid for and are lost, and the run was not told to make
            them again.
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
    for part in in_parts(plan.from_table, ANSWERS_PER_PART):
        with run.database.connection() as (conn, _):
            vectors = held_vectors(
                conn, run.request.collection, space.name, [(holder, image.fingerprint) for image, holder in part]
            )
        found = [(image, vectors[pair]) for image, holder in part if (pair := (holder, image.fingerprint)) in vectors]
        now = utc_now()
        run.keep(
            Answer(image.image_id, image.fingerprint, vector, None, 1, space.version + HALF_PRECISION, now)
            for image, vector in found
        )
        run.tally.add(reused=len(found), deferred=len(part) - len(found))
