"""The account of a run: every listed entry is exactly one thing, or the run fails."""

from __future__ import annotations

import re
from dataclasses import asdict, astuple, dataclass
from typing import Any

from pinakes.errors import AccountError, UsageError


@dataclass(frozen=True, slots=True)
class Regions:
    """What became of the regions of the listed images: listed = embedded + reused + failed + deferred.

    Attributes:
        listed: regions that the images have that did not fail for good.
        embedded: those whose vector this run requested.
        reused: those whose vector was there, under this image or another of equal bytes.
        failed: those without a vector, with the reason in the ledger.
        deferred: those that the run did not reach.
        transient: those that failed in this run and that the next one tries again.
    """

    listed: int = 0
    embedded: int = 0
    reused: int = 0
    failed: int = 0
    deferred: int = 0
    transient: int = 0

    def __add__(self, other: Regions) -> Regions:
        return Regions(*(mine + more for mine, more in zip(astuple(self), astuple(other), strict=True)))

    def __neg__(self) -> Regions:
        return Regions(*(-count for count in astuple(self)))

    @property
    def left(self) -> int:
        """How many have become nothing yet."""
        return self.listed - self.embedded - self.reused - self.failed - self.deferred


NO_REGIONS = Regions()


@dataclass(frozen=True, slots=True)
class Account:
    """What became of every listed entry, and what it took.

    The first six add up: listed = embedded + reused + failed + skipped + deferred.

    Attributes:
        listed: entries that the source listed.
        embedded: images whose vector this run requested, for them or for an image of equal bytes.
        reused: images whose vector was there from an earlier run, under this name or another.
        failed: images without a vector, with the reason in the ledger.
        skipped: entries that are no images.
        deferred: images that the run did not reach.
        new_failures: those of `failed` that were not known to have failed for good before.
        calls: requests made of the embedder.
        answers: rows written to the checkpoint.
        duplicates: images served by the call of another image of equal bytes.
        lost: answers that could not be kept, or were in a part that is damaged; their pictures and regions count as
            failed or deferred.
        vanished: stored images that the source does not list any more.
        pruned: vanished images that were removed.
        rows_written: rows of the collection inserted, updated or deleted.
        seconds: how long the run took.
        regions: what became of the parts of the images that are embedded, too.
    """

    listed: int = 0
    embedded: int = 0
    reused: int = 0
    failed: int = 0
    skipped: int = 0
    deferred: int = 0
    new_failures: int = 0
    calls: int = 0
    answers: int = 0
    duplicates: int = 0
    lost: int = 0
    vanished: int = 0
    pruned: int = 0
    rows_written: int = 0
    seconds: float = 0.0
    regions: Regions = NO_REGIONS

    @property
    def accounted_for(self) -> int:
        """Entries that have become one of embedded … deferred."""
        return self.embedded + self.reused + self.failed + self.skipped + self.deferred

    @property
    def unreached(self) -> int:
        """Images and regions that the run did not reach."""
        return self.deferred + self.regions.deferred

    def as_dict(self) -> dict[str, Any]:
        """The account in the order and under the names in which it is printed as JSON."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}

    def check_sum(self) -> None:
        """Raises AccountError unless every listed entry is exactly one of embedded … deferred."""
        total = self.accounted_for
        if total != self.listed:
            raise AccountError(
                f"the account does not balance: {self.listed} entries were listed, and {self.embedded} embedded +"
                f" {self.reused} reused + {self.failed} failed + {self.skipped} skipped + {self.deferred} deferred ="
                f" {total}. This is a bug in Pinakes; nothing you paid for is lost. Run pinakes status."
            )
        if self.regions.left:
            raise AccountError(
                f"the account does not balance: of {self.regions.listed} regions, {self.regions.left} are neither embedded,"
                " reused, failed nor deferred. This is a bug in Pinakes; nothing you paid for is lost. Run pinakes status."
            )

    def check_against(self, what: str, *, ok: int, failed: int | None = None, regions: bool = False) -> None:
        """Raises AccountError unless `what` (the checkpoint, the table) holds as many as the account says.

        Args:
            what: named in the message.
            ok: vectors of listed images that it holds.
            failed: failures of listed images that it holds, where it keeps failures.
            regions: whether `ok` counts the vectors of their regions instead.
        """
        counts: Regions | Account = self.regions if regions else self
        what_counts = "regions" if regions else "images"
        expected = counts.embedded + counts.reused
        if ok != expected:
            raise AccountError(
                f"the account does not balance: {expected} {what_counts} have a vector by the account and {ok} by {what};"
                " nothing you paid for is lost. Run pinakes ingest again."
            )
        # Not only vectors: a failure that the ledger lacks would never be reported, nor tried again.
        if failed is not None and failed != self.failed:
            raise AccountError(
                f"the account does not balance: {self.failed} images failed by the account and {failed} by {what};"
                " run pinakes ingest again."
            )


ALLOWED_FAILURES = r"\s*(?:\d+|\d+(?:\.\d+)?%)\s*"
"""What `AllowedFailures.parse` reads."""


@dataclass(frozen=True, slots=True)
class AllowedFailures:
    """How many new failures a run may have and still count as done: a number, or a share of the listed images."""

    number: int = 0
    percent: float | None = None

    @classmethod
    def parse(cls, text: str) -> AllowedFailures:
        """Read `N` or `P%`.

        Raises:
            UsageError: it is neither.
        """
        number, sign, _ = text.strip().partition("%")
        if not re.fullmatch(ALLOWED_FAILURES, text) or (sign and float(number) > 100):
            raise UsageError(f"--allow-failures {text!r} is neither a number (3) nor a percentage (0.5%).")
        return cls(percent=float(number)) if sign else cls(number=int(number))

    def exceeded_by(self, account: Account) -> bool:
        """Whether the account has more new failures than that."""
        return not self.allow(account, account.new_failures)

    def allow(self, account: Account, failures: int) -> bool:
        """Whether this number of failures is allowed, given how many images the account lists."""
        if self.percent is not None:  # skipped entries are no pictures: a folder full of text files must not allow more
            return failures * 100 <= self.percent * (account.listed - account.skipped)
        return failures <= self.number
