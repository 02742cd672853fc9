"""Distances of unit vectors in the metric that somebody asks for: the store compares by cosine."""

from __future__ import annotations

import math

from pinakes.query.query import Metric


def as_cosine(distance: float | None, metric: Metric) -> float | None:
    """A distance of unit vectors in another metric as cosine distance."""
    if distance is None or metric == "cosine":
        return distance
    if metric == "ip":
        return distance + 1
    # Nothing is nearer than 0: squared, a negative limit would let pictures through.
    return distance * distance / 2 if distance >= 0 else -1.0


def shown(distance: float | None, metric: Metric) -> float | None:
    """A cosine distance of unit vectors in the metric asked for."""
    if distance is None or metric == "cosine":
        return distance
    # Rounding leaves the distance of a vector to itself a little below 0 at times.
    return distance - 1 if metric == "ip" else math.sqrt(max(2 * distance, 0.0))
