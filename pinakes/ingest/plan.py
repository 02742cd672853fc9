"""The plan: what a run would do, before it does it.

A listing is compared with the ledger of the checkpoint. Equal bytes are embedded once, however many names they have.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import overload

import numpy as np
import pyarrow as pa

from pinakes.checkpoints.base import Rows
from pinakes.checkpoints.ledger import PROVES_EQUAL, Ledger
from pinakes.ingest.images import AT_ONCE, ENTRY, Images
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


class Works(Sequence[Work]):
    """The calls of a plan, kept as positions in its listing; immutable. A `Work` is made when it is asked for.

    Args:
        images: the listing.
        positions: of the picture of each call there: shape (n,).
        attempts: see `Work.attempts`: shape (n,).
        also: by position, those of the images that get the same answer.
    """

    def __init__(self, images: Images, positions: Rows, attempts: Rows, also: Mapping[int, Sequence[int]]) -> None:
        self._images, self._positions, self._attempts, self._also = images, positions, attempts, also

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, at: int) -> Work: ...

    @overload
    def __getitem__(self, at: slice) -> list[Work]: ...

    def __getitem__(self, at: int | slice) -> Work | list[Work]:
        if not isinstance(at, slice):
            at = range(len(self))[at]
            return self[at : at + 1][0]
        positions = self._positions[at]
        images = self._images.taken(positions)
        return [
            Work(image, attempts, [self._images[other] for other in self._also.get(position, ())])
            for image, position, attempts in zip(images, positions.tolist(), self._attempts[at].tolist(), strict=True)
        ]

    def __iter__(self) -> Iterator[Work]:
        for start in range(0, len(self), AT_ONCE):
            yield from self[start : start + AT_ONCE]


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
        return self.new + self.changed + self.retried

    @property
    def answered_without_call(self) -> bool:
        """Whether there are answers to enter for which no call is made."""
        return bool(self.rejected or self.copies or self.from_table)

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
    plan.images = Images.of(_images(plan, entries))
    found = plan.images.found(ledger)
    ok = ledger.ok_at(found)
    plan.reused = int(ok.sum())
    others = np.flatnonzero(~ok)
    calls = _Calls()
    for start in range(0, len(others), AT_ONCE):
        part = others[start : start + AT_ONCE]
        for at, image, position in zip(part.tolist(), plan.images.taken(part), found[part].tolist(), strict=True):
            row = None if position < 0 else ledger.row(position)
            if (donor := ledger.donor(image.fingerprint)) is not None:
                plan.copies.append((image, donor))
            elif (holder := held.get((image.image_id, image.fingerprint))) is not None:
                plan.from_table.append((image, holder))
            elif row is not None and row.final and not retry_failed:
                calls.refused.append((at, image))
            else:
                plan.retried += row is not None
                plan.changed += row is None and ledger.known(image.image_id)
                plan.new += row is None and not ledger.known(image.image_id)
                plan.duplicates += calls.add(at, image, row.attempts if row else 0)
    # What failed for good gets the answer of equal bytes that are embedded under another name.
    for at, image in calls.refused:
        if calls.joins(at, image):
            plan.retried += 1
            plan.duplicates += 1
        else:
            plan.known_failures.append(image)
    plan.work = calls.of(plan.images)
    return plan


class _Calls:
    """The calls of a plan in the making."""

    def __init__(self) -> None:
        self.refused: list[tuple[int, Image]] = []
        self._positions, self._attempts = array("q"), array("q")
        self._by_bytes: dict[str, int] = {}
        self._also: defaultdict[int, list[int]] = defaultdict(list)

    def add(self, at: int, image: Image, attempts: int) -> bool:
        """Have the image at a position embedded; whether it shares the call of an earlier one."""
        if self.joins(at, image):
            return True
        if image.fingerprint.startswith(PROVES_EQUAL):
            self._by_bytes[image.fingerprint] = at
        self._positions.append(at)
        self._attempts.append(attempts)
        return False

    def joins(self, at: int, image: Image) -> bool:
        """Let the image share the call for equal bytes; whether there is one."""
        first = self._by_bytes.get(image.fingerprint)
        if first is not None:
            self._also[first].append(at)
        return first is not None

    def of(self, images: Images) -> Works:
        """The calls, what failed before last."""
        attempts = np.array(self._attempts, np.int64)
        order = np.argsort(attempts, kind="stable")
        return Works(images, np.array(self._positions, np.int64)[order], attempts[order], dict(self._also))


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
