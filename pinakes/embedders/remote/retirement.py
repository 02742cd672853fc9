"""When providers retire their models, and what to do before that."""

from __future__ import annotations

from datetime import date
from typing import Final

from pinakes.spaces import Space

RETIREMENTS: Final[dict[str, str]] = {
    "vertex/multimodalembedding": "2027-04-01",
    "azure/vision-multimodal": "2028-09-25",
}
"""By "provider/model", as ISO dates: docs.cloud.google.com, «Model versions and lifecycle», and learn.microsoft.com, «Image
Analysis retirement», both read 2026-11-20. What is not named has no end that was announced."""

NEAR_DAYS: Final = 365
"""From so many days before its end on, a model's retirement is warned of: time to embed a collection once more."""


def retirement_of(space: Space) -> str | None:
    """The ISO date on which the model of a space is retired; None: it is not known."""
    return RETIREMENTS.get(f"{space.provider}/{space.model}")


def retirement_warning(space: Space, today: date) -> str | None:
    """A sentence for who embeds into a space whose model is retired within a year; None for others."""
    retires = retirement_of(space)
    if retires is None or (date.fromisoformat(retires) - today).days > NEAR_DAYS:
        return None
    return (
        f"the model of {space.name} is retired on {retires}: ingest into a second space (--embedder), compare the two with"
        " pinakes spaces and search --space, then pinakes activate"
    )
