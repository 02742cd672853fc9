"""The plan: what a run would do, before it does it.

A listing is compared with the ledger of the checkpoint. Equal bytes are embedded once, however many names they have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pyarrow as pa

from pinakes.checkpoints.base import Rows
from pinakes.checkpoints.ledger import PROVES_EQUAL, Ledger, LedgerRow
from pinakes.ingest.images import ENTRY, Images
from pinakes.tombstones import FORGOTTEN
from pinakes.types import Image, Rejected, Skipped

MAX_EXAMPLES = 100
"""Skipped entries kept by name; the rest is counted by reason."""

NAMED = 3
"""Of each reason, in a sentence."""

Pair = tuple[str, str]
"""image_id and fingerprint."""

NOTHING: Mapping[Pair, str] = {}


@dataclass(slots=True)
class Work:
    """One call that has to be made.

    Attributes:
        image: the picture whose bytes are read.
        attempts: how often these bytes were tried before.
        also: images of equal bytes, which get the same answer.
    """

    image: Image
    attempts: int
    also: list[Image] = field(default_factory=list)

    @property
    def images(self) -> int:
        """How many images one answer serves."""
        return 1 + len(self.also)

    @property
    def pairs(self) -> list[Pair]:
        """(image_id, fingerprint) of each of them."""
        return [(image.image_id, image.fingerprint) for image in (self.image, *self.also)]


@dataclass(slots=True)
class Plan:
    """What a run would do. The counts of images add up to `listed`.

    Attributes:
        images: every image of the listing that has an id and bytes, in listing order.
        work: the calls, in listing order; those that failed before come last, so that they cannot keep others waiting.
        copies: images whose bytes were answered under another id: (image, that id). No call.
        from_table: images whose answer is lost and whose vector the table has: (image, the id that has it there). No call.
        reused: images answered in an earlier run.
        known_failures: images that failed for good in an earlier run and are not tried again.
        rejected: entries that could not be named or read.
        skipped: entries that are no images, by reason.
        skipped_examples: some of them by name.
        new, changed, retried: images to embed that were never seen, have other bytes than before, or failed before.
        duplicates: images among the work that share the call of another.
    """

    images: Images = field(default_factory=Images)
    work: list[Work] = field(default_factory=list)
    copies: list[tuple[Image, str]] = field(default_factory=list)
    from_table: list[tuple[Image, str]] = field(default_factory=list)
    reused: int = 0
    known_failures: list[Image] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    skipped_examples: list[Skipped] = field(default_factory=list)
    new: int = 0
    changed: int = 0
    retried: int = 0
    duplicates: int = 0

    @property
    def listed(self) -> int:
        """Every entry that the source listed."""
        return len(self.images) + len(self.rejected) + self.skipped.total()

    @property
    def calls(self) -> int:
        """Calls that the plan makes if each succeeds at once."""
        return len(self.work)

    @property
    def to_embed(self) -> int:
        """Images that the calls serve."""
        return sum(work.images for work in self.work)

    def pictures(self) -> pa.Table:
        """Every listed entry that is a picture, as `images.ENTRY`; the fingerprint is empty if it cannot be read."""
        return pa.concat_tables([self.images.table.select(ENTRY.names), self._unreadable()])

    def found(self, ledger: Ledger) -> Rows:
        """Where each row of `pictures` stands in a ledger, -1 where it does not: shape (n,)."""
        unreadable = self._unreadable()
        return np.concatenate(
            [self.images.found(ledger), ledger.find(unreadable["image_id"], unreadable["fingerprint"])]
        )

    def _unreadable(self) -> pa.Table:
        ids, uris = [entry.image_id for entry in self.rejected], [entry.uri for entry in self.rejected]
        return pa.table([ids, uris, [""] * len(ids)], schema=ENTRY)

    def skipped_entries(self) -> list[dict[str, str]]:
        """The first `MAX_EXAMPLES` skipped entries with their reasons, as plain documents."""
        return [{"name": entry.name, "reason": entry.reason} for entry in self.skipped_examples]

    def why_skipped(self) -> list[str]:
        """A remark on the skipped entries, by reason, with some of their names; none where there are none."""
        reasons = []
        for reason, count in self.skipped.most_common():
            names = [entry.name for entry in self.skipped_examples if entry.reason == reason][:NAMED]
            more = [f"{count - len(names):,} more"] if count > len(names) else []
            reasons.append(f"{count:,} {reason} ({', '.join(names + more)})" if names else f"{count:,} {reason}")
        return [f"skipped: {'; '.join(reasons)}"] if reasons else []

    def counts(self) -> dict[str, int]:
        """The plan in numbers, as it is printed and shown."""
        return {
            "listed": self.listed,
            "new": self.new,
            "changed": self.changed,
            "to retry": self.retried,
            "reused": self.reused + len(self.copies),
            "from the table": len(self.from_table),
            "duplicate bytes": self.duplicates,
            "failed for good": len(self.known_failures),
            "unreadable": len(self.rejected),
            "skipped": self.skipped.total(),
            "calls": self.calls,
        }


def make_plan(
    entries: Iterable[Image | Skipped | Rejected],
    ledger: Ledger,
    *,
    retry_failed: bool = False,
    held: Mapping[Pair, str] = NOTHING,
) -> Plan:
    """Compare a listing with the ledger.

    Args:
        entries: what a source lists; image ids are unique.
        ledger: what was answered before, in the space of this run.
        retry_failed: try pictures again that failed for good.
        held: (image_id, fingerprint) of lost answers, and the id under which the table has the vector: no call.
    """
    plan = Plan()
    by_bytes: dict[str, Work] = {}
    plan.images = Images.of(_images(plan, entries))
    found = plan.images.found(ledger)
    ok = ledger.ok_at(found)
    plan.reused = int(ok.sum())
    others = np.flatnonzero(~ok)
    for image, position in zip(plan.images.taken(others), found[others].tolist(), strict=True):
        row = None if position < 0 else ledger.row(position)
        _place(plan, image, row, ledger, by_bytes, held, retry_failed=retry_failed)
    _let_failures_share(plan, by_bytes)
    plan.work.sort(key=lambda work: work.attempts)
    return plan


def plan_again(plan: Plan, ledger: Ledger, held: Mapping[Pair, str], *, retry_failed: bool) -> Plan:
    """The plan for the same listing, with lost answers that the table has taken from there."""
    again = make_plan(chain(plan.images, plan.rejected), ledger, retry_failed=retry_failed, held=held)
    again.skipped, again.skipped_examples = plan.skipped, plan.skipped_examples
    return again


def _images(plan: Plan, entries: Iterable[Image | Skipped | Rejected]) -> Iterator[Image]:
    """The images among some entries; the others are entered into the plan on the way."""
    for entry in entries:
        if isinstance(entry, Image):
            yield entry
        elif isinstance(entry, Rejected):
            plan.rejected.append(entry)
        else:
            plan.skipped[entry.reason] += 1
            # Of a picture that was forgotten the name is kept out as well.
            if len(plan.skipped_examples) < MAX_EXAMPLES and entry.reason != FORGOTTEN:
                plan.skipped_examples.append(entry)


def _let_failures_share(plan: Plan, by_bytes: dict[str, Work]) -> None:
    """Give images that failed for good the answer of equal bytes that are embedded under another name."""
    left = []
    for image in plan.known_failures:
        work = by_bytes.get(image.fingerprint) if image.fingerprint.startswith(PROVES_EQUAL) else None
        if work is None:
            left.append(image)
        else:
            work.also.append(image)
            plan.retried += 1
            plan.duplicates += 1
    plan.known_failures = left


def _place(
    plan: Plan,
    image: Image,
    row: LedgerRow | None,
    ledger: Ledger,
    by_bytes: dict[str, Work],
    held: Mapping[Pair, str],
    *,
    retry_failed: bool,
) -> None:
    """Enter an image that has no vector; `row` is its failure, if it was tried before."""
    donor = ledger.donor(image.fingerprint)
    if donor is not None:
        plan.copies.append((image, donor))
        return
    if (holder := held.get((image.image_id, image.fingerprint))) is not None:
        plan.from_table.append((image, holder))
        return
    if row is not None and row.final and not retry_failed:
        plan.known_failures.append(image)
        return
    if row is not None:
        plan.retried += 1
    elif ledger.known(image.image_id):
        plan.changed += 1
    else:
        plan.new += 1
    known = by_bytes.get(image.fingerprint) if image.fingerprint.startswith(PROVES_EQUAL) else None
    if known is None:
        work = Work(image, attempts=row.attempts if row else 0)
        plan.work.append(work)
        by_bytes[image.fingerprint] = work
    else:
        known.also.append(image)
        plan.duplicates += 1
