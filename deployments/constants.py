"""What Prefect's server, its workers and the processes of its runs agree on; no Prefect is imported here."""

from __future__ import annotations

from typing import Final

POOL: Final = "pinakes"
"""The work pool that prefect.yaml deploys to."""

RUN_TAG: Final = "pinakes"
"""Of the flow runs whose heartbeats are awaited."""

EMBED_TAG: Final = "pinakes-embed"
"""Of the task runs that embed a batch."""

CONCURRENT_BATCHES: Final = 8
"""Two runs of a paid embedder at once, with at most four batches each, go unhindered."""

HEARTBEAT_SECONDS: Final = 30
"""How often a run says that it lives: the least that Prefect allows (its default of 180 s finds a dead run late)."""

NO_TELEMETRY: Final = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
"""Prefect's client and server report their use by default; a collection's keeper was not asked."""

LEASE_STORAGE: Final = "prefect.server.concurrency.lease_storage.filesystem"
"""Keeps the leases of tag limits under PREFECT_HOME; in memory, the default, a restart leaves held slots taken for good."""

SERVER: Final = {
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASE_STORAGE,
    # A batch that waits for a slot asks again so often, in seconds; with the default of 30 half of the slots idle.
    "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
}
"""What Prefect's server is started with, unless the environment says otherwise."""

RUNS: Final = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}
"""What the process of a flow run is started with; the automation for dead runs counts on it."""
