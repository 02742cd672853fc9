"""Names of flow runs: they sort by time and say what is worked on."""

from __future__ import annotations

from datetime import datetime

from prefect.runtime import flow_run

from pinakes.settings import load_settings

LONGEST = 60


def ingest_run() -> str:
    """E.g. `2026-11-21 02:30 semart palette`."""
    parameters = flow_run.parameters
    collection = parameters.get("collection") or load_settings().collection
    return f"{_now()} {collection} {parameters.get('embedder')}"


def search_run() -> str:
    """E.g. `2026-11-21 02:30 search dark blue and gold`."""
    parameters = flow_run.parameters
    asked = " + ".join(str(parameters[name]) for name in ("text", "image", "like") if parameters.get(name))
    return f"{_now()} search {asked}"[:LONGEST]


def evaluate_run() -> str:
    """E.g. `2026-11-21 02:30 evaluate semart`."""
    parameters = flow_run.parameters
    return f"{_now()} evaluate {parameters.get('collection') or load_settings().collection}"


def shard_run_name(collection: str, shard: int, shards: int) -> str:
    """E.g. `2026-11-21 02:30 semart shard 2 of 4`."""
    return f"{_now()} {collection} shard {shard} of {shards}"


def _now() -> str:
    return f"{datetime.now().astimezone():%Y-%m-%d %H:%M}"
