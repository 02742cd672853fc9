"""The plan: what a run would do, before it does it.

A listing is compared with the ledger of the checkpoint. Equal bytes are embedded once, however many names they have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pinakes.checkpoints.ledger import PROVES_EQUAL, Ledger
from pinakes.images.regions import RegionKind, is_region, regions_in
from pinakes.ingest.account import NO_REGIONS, Regions
from pinakes.tombstones import FORGOTTEN
from pinakes.types import Image, Rejected, Skipped

MAX_EXAMPLES = 100
"""Skipped entries kept by name; the rest is counted by reason."""

NAMED = 3
"""Of each reason, in a sentence."""

Pair = tuple[str, str]
"""image_id and fingerprint."""

Held = Mapping[Pair, Pair]
"""What is planned → under which id and fingerprint the table has its vector."""

NOTHING: Held = {}


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
    def answers(self) -> int:
        """How many images, or regions of images, one answer serves."""
        return 1 + len(self.also)

    @property
    def images(self) -> int:
        """How many images one answer serves; none where it is about a region."""
        return 0 if is_region(self.image.fingerprint) else self.answers

    @property
    def regions(self) -> int:
        """How many regions one answer serves."""
        return self.answers - self.images

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
        regions: the same for the regions of these images, counted and not listed; None where none are embedded.
        counted: images that are counted instead of being in `images`.
    """

    images: list[Image] = field(default_factory=list)
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

    def all_work(self) -> list[Work]:
        """The calls in the order in which they are made: each picture is followed by its regions."""
        if self.regions is None or not self.regions.work:
            return self.work
        place = {image.image_id: number for number, image in enumerate(self.images)}
        return sorted(
            [*self.work, *self.regions.work], key=lambda work: (work.attempts, place[work.image.image_id], work.regions)
        )

    def region_counts(self) -> Regions:
        """The regions as they stand before any of them is embedded."""
        plan = self.regions
        return NO_REGIONS if plan is None else Regions(plan.listed, 0, plan.reused, len(plan.known_failures))

    @property
    def to_embed(self) -> int:
        """Images that the calls serve."""
        return sum(work.images for work in self.work)

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
    by_bytes: dict[str, Work] = {}
    for entry in entries:
        if isinstance(entry, Skipped):
            plan.skipped[entry.reason] += 1
            if (
                len(plan.skipped_examples) < MAX_EXAMPLES and entry.reason != FORGOTTEN
            ):  # whose name is kept out as well
                plan.skipped_examples.append(entry)
        elif isinstance(entry, Rejected):
            plan.rejected.append(entry)
        else:
            plan.images.append(entry)
            _place(plan, entry, ledger, by_bytes, held, retry_failed=retry_failed)
    _let_failures_share(plan, by_bytes)
    plan.work.sort(key=lambda work: work.attempts)
    if regions != "none":
        plan.regions = _plan_regions(plan, ledger, held, regions, retry_failed=retry_failed)
    return plan


def _plan_regions(plan: Plan, ledger: Ledger, held: Held, kind: RegionKind, *, retry_failed: bool) -> Plan:
    """The plan for the regions of the images; where one has failed for good, only for those that have a vector."""
    made = Plan()
    by_bytes: dict[str, Work] = {}
    failed = {image.image_id for image in plan.known_failures}
    for image in plan.images:
        for fingerprint in regions_in(image.fingerprint, kind):
            if image.image_id in failed:
                row = ledger.get(image.image_id, fingerprint)
                if row is None or not row.ok:
                    continue
            made.counted += 1
            region = replace(image, fingerprint=fingerprint)
            _place(made, region, ledger, by_bytes, held, retry_failed=retry_failed)
    return made


def plan_again(plan: Plan, ledger: Ledger, held: Held, *, retry_failed: bool, regions: RegionKind = "none") -> Plan:
    """The plan for the same listing, with lost answers that the table has taken from there."""
    again = make_plan([*plan.images, *plan.rejected], ledger, retry_failed=retry_failed, held=held, regions=regions)
    again.skipped, again.skipped_examples = plan.skipped, plan.skipped_examples
    return again


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
    ledger: Ledger,
    by_bytes: dict[str, Work],
    held: Held,
    *,
    retry_failed: bool,
) -> None:
    row = ledger.get(image.image_id, image.fingerprint)
    if row is not None and row.status == "ok":
        plan.reused += 1
        return
    donor = ledger.donor(image.fingerprint)
    if donor is not None:
        given = ledger.get(donor, image.fingerprint)
        plan.copies.append((image if given is None else replace(image, fingerprint=given.fingerprint), donor))
        return
    if (stored := held.get((image.image_id, image.fingerprint))) is not None:
        plan.from_table.append((replace(image, fingerprint=stored[1]), stored[0]))
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
