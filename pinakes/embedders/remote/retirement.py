"""When providers retire their models, and what to do before that."""

from __future__ import annotations

from datetime import date
from typing import Final

from pinakes.embedders.registry import model_of
from pinakes.spaces import Space

NEAR_DAYS: Final = 365
"""How many days before a model's retirement the warnings begin: time to embed a collection again."""


def retirement_of(space: Space) -> str | None:
    """The ISO date on which the model of a space is retired; None where none is known."""
    model = model_of(space)
    return None if model is None else model.retires


def retirement_warning(space: Space, today: date) -> str | None:
    """A warning where the model of a space is retired within a year; otherwise None."""
    retires = retirement_of(space)
    if retires is None or (date.fromisoformat(retires) - today).days > NEAR_DAYS:
        return None
    return (
        f"the model of {space.name} is retired on {retires}: ingest into a second space (--embedder), compare the two with"
        " pinakes spaces and search --space, then pinakes activate"
    )
