"""How a space is indexed at present: what its index was built with, what it covers, and when it was refreshed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pinakes.store.connection import Connection, translated
from pinakes.store.index_settings import written
from pinakes.store.indexes import built_settings
from pinakes.store.search_plan import searched_with
from pinakes.store.space_registry import RegisteredSpace


@dataclass(frozen=True, slots=True)
class IndexState:
    """The index of a space.

    Attributes:
        kind: `hnsw`, `binary`, `ivfflat`, or None while searches are exact.
        settings: what it was built with; None where the index does not exist (any more).
        searched_with: the setting for searches that give none.
        coverage: the share of the rows that are in it; None where there is none.
        built_at: when it was last built.
        refreshed_at: when vectors last came into it.
    """

    kind: str | None
    settings: dict[str, int] | None
    searched_with: dict[str, int]
    coverage: float | None
    built_at: datetime | None
    refreshed_at: datetime | None

    def written(self) -> str:
        """Its kind and settings in a phrase."""
        settings = written(self.settings or {}) or "pgvector's own settings"
        return f"{self.kind} index: {settings}; searched with {written(self.searched_with)}"


def index_state(conn: Connection, collection: str, registered: RegisteredSpace) -> IndexState:
    """How a space is indexed at present."""
    kind, built = registered.index_kind, registered.index_built_at
    with translated(f"looking at the index of {registered.name}"):
        settings = built_settings(conn, collection, registered.space, kind) if kind else None
    # PostgreSQL enters every new vector into an index that it can use.
    moments = [moment for moment in (built, registered.loaded_at) if moment] if settings is not None else []
    return IndexState(
        kind=kind,
        settings=settings,
        searched_with=searched_with(registered),
        coverage=None if kind is None else float(settings is not None),
        built_at=built,
        refreshed_at=max(moments, default=None),
    )
