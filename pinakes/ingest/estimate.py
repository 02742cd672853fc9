"""What a plan would take: calls, money and time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pinakes.embedders.base import CHECK_TEXT, Embedder, Price
from pinakes.ingest.plan import Plan
from pinakes.metadata.opening_tables import bytes_scanned as bytes_scanned_by
from pinakes.sources.base import Source
from pinakes.sources.object_table import ObjectTableSource

CHECK_CALLS = 2
"""One image and one text, before the first batch of a paid embedder."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Before a run.

    Attributes:
        calls: requests, if each succeeds at once.
        cost: US dollars.
        seconds: at the quota in force; None where there is no quota.
        price: what `cost` rests on.
    """

    calls: int
    cost: float
    seconds: float | None
    price: Price

    def as_dict(self) -> dict[str, Any]:
        """As it is printed as JSON."""
        return {
            "calls": self.calls,
            "cost": round(self.cost, 6),
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "price_per_image": self.price.per_image,
            "price_as_of": self.price.as_of or None,
            "price_source": self.price.source or None,
        }


def bytes_scanned(source: Source, metadata: Sequence[str]) -> int | None:
    """The bytes that BigQuery scans, and bills for, to list a source and to read tables; None where it does neither.

    Raises:
        PinakesError: BigQuery refuses a query.
    """
    counts = [bytes_scanned_by(name) for name in metadata]
    counts.append(source.reading().bytes_scanned if isinstance(source, ObjectTableSource) else None)
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def estimate(plan: Plan, embedder: Embedder) -> Estimate:
    """What the plan's calls would take."""
    price = embedder.facts.price
    # `verify_embedder` makes them only before a first call; half of them is a picture, the other half a text.
    check = CHECK_CALLS if embedder.paid and plan.calls else 0
    cost = (plan.calls + check / 2) * price.per_image + check / 2 * price.of_text(CHECK_TEXT)
    rate = embedder.rate
    seconds = (plan.calls + check) / rate if math.isfinite(rate) else None
    return Estimate(plan.calls + check, cost, seconds, price)
