"""Names of flow runs: they sort by time and say what is worked on, and in the end what was done.

Times are UTC, so that runs of machines in several time zones sort, and those of the night in which clocks are put back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from pinakes.settings import load_settings
from tasks.watching import OUTBOX

LONGEST = 60
"""Characters of the name of a search, whose words may be a paragraph."""


def ingest_run() -> str:
    """E.g. `2026-11-21 01:30:00Z semart palette`, with `dry run` where nothing is going to be done."""
    parameters = flow_run.parameters
    collection = parameters.get("collection") or load_settings().collection
    dry = " dry run" if parameters.get("dry_run") else ""
    return f"{_now()} {collection} {parameters.get('embedder')}{dry}"


def say_what_was_done(summary: Mapping[str, Any]) -> None:
    """Add to the name of this run of `ingest` what it came to, e.g. `…: 24 embedded, 2 failed, 1 pruned`."""
    # Taken here, in the flow's own context: the outbox sends from a thread.
    run_id, name = UUID(flow_run.id), f"{flow_run.name}: {_done(summary)}"

    def send() -> None:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run_id, name=name)

    OUTBOX.put("name", send)


def _done(summary: Mapping[str, Any]) -> str:
    counted = {
        "embedded": summary["embedded"],
        "failed": summary["new_failures"],
        "deferred": summary["deferred"],
        "pruned": summary["pruned"],
    }
    parts = [f"{count:,} {what}" for what, count in counted.items() if count]
    if not parts and summary["rows_written"]:
        parts = [f"{summary['rows_written']:,} rows written"]
    return ", ".join(parts) or "nothing new"


def search_run() -> str:
    """E.g. `2026-11-21 01:30:00Z search dark blue and gold`."""
    parameters = flow_run.parameters
    query = [str(parameters[name]) for name in ("text", "image", "like") if parameters.get(name)]
    for name in ("plus", "minus", "where"):
        query += [f"{name} {value}" for value in parameters.get(name) or ()]
    return f"{_now()} search {', '.join(query) or 'all pictures'}"[:LONGEST]


def evaluate_run() -> str:
    """E.g. `2026-11-21 01:30:00Z evaluate semart recall`."""
    parameters = flow_run.parameters
    part = "" if parameters.get("what") == "both" else f" {parameters.get('what')}"
    return f"{_now()} evaluate {parameters.get('collection') or load_settings().collection}{part}"


def shard_run_name(collection: str, shard: int, shards: int) -> str:
    """E.g. `2026-11-21 01:30:00Z semart shard 2 of 4`."""
    return f"{_now()} {collection} shard {shard} of {shards}"


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"
