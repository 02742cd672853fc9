"""The runs that a database keeps, as plain documents for `pinakes status --runs`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from pinakes.embedders.remote.prices import price_of
from pinakes.settings import Settings
from pinakes.store.collections import collection_names, prepare
from pinakes.store.connection import Connection
from pinakes.store.runs import Run, latest_runs
from pinakes.store.space_registry import spaces

COUNTS = ("listed", "embedded", "reused", "failed", "deferred", "calls", "rows_written")


def runs(conn: Connection, settings: Settings, collection: str | None, limit: int) -> list[dict[str, Any]]:
    """The latest runs, newest first, of a collection or (None) of all; every value fits JSON.

    `cost` is what the run spent, in US dollars. For a run of an earlier version it is computed from its calls and the
    current price of an image. It is None if the run has not ended, or if the price is unknown.
    """
    prepare(conn)
    price = _prices(conn, settings)
    return [_document(run, price(run.collection, run.space)) for run in latest_runs(conn, collection, limit)]


def _document(run: Run, price: float | None) -> dict[str, Any]:
    account = run.account
    calls = account.get("calls")
    return {
        "run_id": str(run.run_id),
        "started_at": run.started_at.isoformat(timespec="seconds"),
        "ended_at": run.ended_at.isoformat(timespec="seconds") if run.ended_at else None,
        "state": run.state,
        "collection": run.collection,
        "space": run.space,
        **{name: account.get(name) for name in COUNTS},
        "seconds": account.get("seconds"),
        "cost": account.get("cost", None if price is None or calls is None else round(calls * price, 6)),
        "who": run.holder,
        "message": run.message,
    }


def _prices(conn: Connection, settings: Settings) -> Callable[[str, str], float | None]:
    """A function from a collection and the name of a space to the price of an image."""
    existing = set(collection_names(conn))

    @cache
    def of(collection: str) -> dict[str, float]:
        if collection not in existing:  # runs outlive the collection that they filled
            return {}
        return {s.name: price_of(s.space, settings.prices).per_image for s in spaces(conn, collection)}

    return lambda collection, space: of(collection).get(space)
