"""The plan: what a run would do, before it does it.

A listing is compared with the ledger of the checkpoint. Equal bytes are embedded once, however many names they have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
import pyarrow as pa

from pinakes.checkpoints.base import Rows
from pinakes.checkpoints.ledger import PROVES_EQUAL, Ledger, LedgerRow
from pinakes.images.regions import RegionKind, is_region, regions_in
from pinakes.ingest.account import NO_REGIONS, Regions
from pinakes.ingest.images import AT_ONCE, ENTRY, Images
from pinakes.ingest.work import Calls, Pair, Work
from pinakes.tombstones import FORGOTTEN
from pinakes.types import Image, Rejected, Skipped

MAX_EXAMPLES = 100
"""Skipped entries kept by name; the rest is counted by reason."""

NAMES_PER_REASON = 3
"""Skipped entries that the remark on them names."""

Held = Mapping[Pair, Pair]
"""What is planned → under which id and fingerprint the table has its vector."""

NOTHING: Held = {}


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
        regions: the same for the regions of these images, counted and not listed; None where none are embedded.
        counted: images that are counted instead of being in `images`.
    """

    images: Images = field(default_factory=Images)
    work: Sequence[Work] = ()
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
    regions: Plan | None = None
    counted: int = 0

    @property
    def listed(self) -> int:
        """Every entry that the source listed."""
        return len(self.images) + self.counted + len(self.rejected) + self.skipped.total()

    @property
    def calls(self) -> int:
        """Calls that the plan makes if each succeeds at once, those for regions included."""
        return len(self.work) + (self.regions.calls if self.regions else 0)

    @property
    def both(self) -> tuple[Plan, ...]:
        """This plan and, where there is one, that of the regions."""
        return (self, self.regions) if self.regions else (self,)

    def all_work(self) -> Sequence[Work]:
        """The calls in the order in which they are made: each picture is followed by its regions."""
        if self.regions is None or not self.regions.work:
            return self.work
        place = {image.image_id: number for number, image in enumerate(self.images)}
        # Next to one another a picture and its regions are mostly in one batch, which then reads the picture once.
        return sorted(
            [*self.work, *self.regions.work], key=lambda work: (work.attempts, place[work.image.image_id], work.regions)
        )

    def region_counts(self) -> Regions:
        """The counts of regions before any of them is embedded."""
        plan = self.regions
        return NO_REGIONS if plan is None else Regions(plan.listed, 0, plan.reused, len(plan.known_failures))

    @property
    def answered_without_call(self) -> bool:
        """Whether there are answers to enter for which no call is made."""
        return any(plan.rejected or plan.copies or plan.from_table for plan in self.both)

    def pictures(self) -> pa.Table:
        """Every listed entry that is a picture, as `images.ENTRY`; the fingerprint is empty if it cannot be read."""
        return pa.concat_tables([self.images.table.select(ENTRY.names), self._unreadable()])

    def found(self, ledger: Ledger) -> Rows:
        """The position of each row of `pictures` in a ledger, -1 if it is missing: shape (n,)."""
        unreadable = self._unreadable()
        return np.concatenate(
            [self.images.found(ledger), ledger.find(unreadable["image_id"], unreadable["fingerprint"])]
        )

    def count_call(self, image_id: str, row: LedgerRow | None, ledger: Ledger) -> None:
        """Count an image, or a region, that is embedded; `row` is what the ledger has of it."""
        if row is not None:
            self.retried += 1
        elif ledger.known(image_id):
            self.changed += 1
        else:
            self.new += 1

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
            names = [entry.name for entry in self.skipped_examples if entry.reason == reason][:NAMES_PER_REASON]
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
            "regions": sum(work.regions for work in self.regions.work) if self.regions else 0,
            "calls": self.calls,
        }


def make_plan(
    entries: Iterable[Image | Skipped | Rejected],
    ledger: Ledger,
    *,
    retry_failed: bool = False,
    held: Held = NOTHING,
    regions: RegionKind = "none",
) -> Plan:
    """Compare a listing with the ledger.

    Args:
        entries: what a source lists; image ids are unique.
        ledger: what was answered before, in the space of this run.
        retry_failed: try pictures again that failed for good.
        held: (image_id, fingerprint) of lost answers, and under which of them the table has the vector: no call.
        regions: which parts of each picture are embedded, too.
    """
    plan = Plan()
    plan.images = Images.of(_images(plan, entries))
    found = plan.images.found(ledger)
    ok = ledger.ok_at(found)
    plan.reused = int(ok.sum())
    # Only these become objects, a part of them at a time: in an unchanged run that is none of them.
    others = np.flatnonzero(~ok)
    calls = Calls()
    for start in range(0, len(others), AT_ONCE):
        part = others[start : start + AT_ONCE]
        for at, image, position in zip(part.tolist(), plan.images.taken(part), found[part].tolist(), strict=True):
            row = None if position < 0 else ledger.row(position)
            # What costs nothing first: equal bytes that are answered serve even an image that failed for good.
            if _needs_no_call(plan, image, ledger, held):
                continue
            if row is not None and row.final and not retry_failed:
                calls.refused.append((at, image))
            else:
                plan.count_call(image.image_id, row, ledger)
                plan.duplicates += calls.add(at, image, row.attempts if row else 0)
    # Only now are all calls known. What failed for good gets the answer of equal bytes that are embedded anyway.
    for at, image in calls.refused:
        if calls.joins(at, image):
            plan.retried += 1
            plan.duplicates += 1
        else:
            plan.known_failures.append(image)
    plan.work = calls.of(plan.images)
    if regions != "none":
        plan.regions = _plan_regions(plan, ledger, held, regions, retry_failed=retry_failed)
    return plan


def _plan_regions(plan: Plan, ledger: Ledger, held: Held, kind: RegionKind, *, retry_failed: bool) -> Plan:
    """The plan for the regions of the images; where one has failed for good, only for those that have a vector."""
    made = Plan()
    calls: list[Work] = []
    by_bytes: dict[str, Work] = {}
    failed = {image.image_id for image in plan.known_failures}
    for image in plan.images:
        for fingerprint in regions_in(image.fingerprint, kind):
            row = ledger.get(image.image_id, fingerprint)
            if image.image_id in failed and (row is None or not row.ok):
                continue
            made.counted += 1
            region = replace(image, fingerprint=fingerprint)
            if row is not None and row.ok:
                made.reused += 1
            elif _needs_no_call(made, region, ledger, held):
                continue
            elif row is not None and row.final and not retry_failed:
                made.known_failures.append(region)
            else:
                made.count_call(image.image_id, row, ledger)
                if (known := by_bytes.get(fingerprint)) is not None:
                    known.also.append(region)
                    made.duplicates += 1
                    continue
                work = Work(region, attempts=row.attempts if row else 0)
                if fingerprint.startswith(PROVES_EQUAL):
                    by_bytes[fingerprint] = work
                calls.append(work)
    made.work = calls
    return made


def _needs_no_call(plan: Plan, image: Image, ledger: Ledger, held: Held) -> bool:
    """Enter an image or region whose vector the ledger has under another id, or the table has; False if neither has."""
    pair = (image.image_id, image.fingerprint)
    if (donor := ledger.donor(image.fingerprint)) is not None:
        given = ledger.get(donor, image.fingerprint) if is_region(image.fingerprint) else None
        # Answered salient regions carry their frame, which a copy must carry too.
        plan.copies.append((image if given is None else replace(image, fingerprint=given.fingerprint), donor))
    elif pair in held:
        holder, fingerprint = held[pair]
        plan.from_table.append((replace(image, fingerprint=fingerprint), holder))
    else:
        return False
    return True


def plan_again(plan: Plan, ledger: Ledger, held: Held, *, retry_failed: bool, regions: RegionKind) -> Plan:
    """The plan for the same listing, with lost answers that the table has taken from there."""
    entries: Iterable[Image | Skipped | Rejected] = chain(plan.images, plan.rejected)
    again = make_plan(entries, ledger, retry_failed=retry_failed, held=held, regions=regions)
    # The source is not listed again: that may take minutes, and another listing may differ.
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
            # The name of a forgotten picture must not come back either.
            if len(plan.skipped_examples) < MAX_EXAMPLES and entry.reason != FORGOTTEN:
                plan.skipped_examples.append(entry)
