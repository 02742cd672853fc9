"""Fusing ranked lists into one, and keeping the best row of each group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pinakes.store.images import Row
from pinakes.store.nearest import Found

FUSION_CONSTANT = 60
"""k of reciprocal rank fusion: Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet" (2009)."""


def fused(lists: Sequence[tuple[float, Found]]) -> list[Row]:
    """Reciprocal rank fusion with weights: a row scores the sum of weight / (60 + rank), ties by image_id."""
    if len(lists) == 1:
        return lists[0][1].rows
    scores: dict[str, float] = defaultdict(float)
    rows: dict[str, Row] = {}
    for weight, found in lists:
        for rank, row in enumerate(found.rows, start=1):
            scores[row.image_id] += weight / (FUSION_CONSTANT + rank)
            rows.setdefault(row.image_id, row)
    return sorted(rows.values(), key=lambda row: (-scores[row.image_id], row.image_id))


def best_of_each(rows: Iterable[Row], column: str | None, works: Mapping[str, tuple[str, bool]]) -> list[Row]:
    """The first row of each group of copies, or its preferred image; with a column, of these the first of each value."""
    best: dict[str, Row] = {}
    for row in rows:
        work, preferred = works.get(row.image_id, ("", False))
        # A group is named after one of its images, so the two kinds of keys need different beginnings.
        key = f"w{work}" if work else f"i{row.image_id}"
        # A dictionary keeps a key in its first place: the preferred image stands where the nearest copy stood.
        if key not in best or preferred:
            best[key] = row
    if column is None:
        return list(best.values())
    first: dict[str, Row] = {}
    for row in best.values():
        value = row.metadata.get(column)
        first.setdefault(f"i{row.image_id}" if value is None else f"v{value}", row)
    return list(first.values())
