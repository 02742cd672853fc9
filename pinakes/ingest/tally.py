"""What a run has counted so far. It may be cut short at any moment, so counts are kept here instead of handed on."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

from pinakes.embedders.base import Embedder
from pinakes.ingest.account import Account, Regions
from pinakes.ingest.batch import BatchResult, Calls
from pinakes.ingest.plan import Plan

_OF_A_BATCH = ("embedded", "failed", "deferred", "answers", "lost", "regions")
"""Counts of the account that a batch adds to, by the names that they have in both."""


class Tally:
    """The account of a run that is under way. Thread-safe.

    Args:
        embedder: of this process; its calls count from now on.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._called_before = Calls.of(embedder)
        self._account = Account()
        self._results = BatchResult()
        self.skipped_entries: list[dict[str, str]] = []
        """Those of the listing that are named; see `Plan.skipped_entries`."""
        self._started = time.monotonic()
        self._seconds: float | None = None
        self._lock = threading.Lock()

    @property
    def results(self) -> BatchResult:
        """The sum of the results of all batches, with the first error."""
        return self._results

    @property
    def calls(self) -> Calls:
        """The requests of all processes of the run."""
        return Calls.of(self._embedder) - self._called_before + self._results.elsewhere

    @property
    def spent(self) -> float:
        """US dollars so far, in all processes of the run: pictures and texts each at their price."""
        return round(self.calls.cost(self._embedder.facts.price), 6)

    def account(self) -> Account:
        """The account as it is now."""
        seconds = time.monotonic() - self._started if self._seconds is None else self._seconds
        # The embedder counts its calls, not the batches their answers: a call that failed may have been charged as well.
        return replace(self._account, calls=self.calls.calls, seconds=seconds)

    def start_from(self, plan: Plan) -> None:
        """Enter what the plan says of its images before any of them is embedded."""
        self.skipped_entries = plan.skipped_entries()
        with self._lock:
            self._account = replace(
                self._account,
                listed=plan.listed,
                skipped=plan.skipped.total(),
                reused=plan.reused,
                duplicates=plan.duplicates,
                failed=len(plan.known_failures),
                regions=plan.region_counts(),
            )

    def add(self, **counts: Any) -> None:
        """Add to counts of the account, by their names."""
        with self._lock:
            self._add(counts)

    def add_known(self, plan: Plan, **counts: int) -> None:
        """Add to the counts of the images of a plan; or of regions, where it is the plan of those."""
        self.add(**({"regions": Regions(**counts)} if plan.counted else counts))

    def add_result(self, result: BatchResult) -> None:
        """Add the result of a batch."""
        with self._lock:
            self._results += result
            counts = {name: getattr(result, name) for name in _OF_A_BATCH}
            self._add(counts | {"new_failures": result.failed})

    def defer_unreached(self) -> None:
        """Balance the account of a run that is cut short: what has become nothing else was not reached."""
        with self._lock:
            # From nothing each time: it is called again as batches in flight end, which makes fewer of them deferred.
            account = replace(self._account, deferred=0, regions=replace(self._account.regions, deferred=0))
            self._account = replace(
                account,
                deferred=max(0, account.listed - account.accounted_for),
                regions=replace(account.regions, deferred=max(0, account.regions.left)),
            )

    def close(self) -> Account:
        """The account at the end, whose time no longer changes."""
        self._seconds = time.monotonic() - self._started
        return self.account()

    def _add(self, counts: dict[str, Any]) -> None:
        self._account = replace(
            self._account, **{name: getattr(self._account, name) + count for name, count in counts.items()}
        )
