"""Constants shared by Prefect's server, its workers and the processes of runs; this module does not import Prefect."""

from __future__ import annotations

from typing import Final

POOL: Final = "pinakes"
"""The work pool that prefect.yaml deploys to."""

RUN_TAG: Final = "pinakes"
"""The tag of flow runs whose heartbeats are monitored."""

EMBED_TAG: Final = "pinakes-embed"
"""The tag whose limit caps how many batches run at once; no task has it, see `tasks.slots`."""
CONCURRENT_BATCHES: Final = 8
"""Enough for two runs of a paid embedder at the same time, with at most four batches each."""

HEARTBEAT_SECONDS: Final = 30
"""How often a run sends a heartbeat: the least that Prefect allows (its default of 180 s finds a dead run late)."""

VARIABLES: Final = {
    "pinakes_reindex_cron": "30 2 * * *",
    "pinakes_evaluate_cron": "30 4 * * 0",
    "pinakes_timezone": "UTC",
}
"""Prefect's variables that the schedules of prefect.yaml are made from, with what they are until somebody sets them."""

NO_TELEMETRY: Final = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
"""Prefect's client and server report their use by default; the owner of a collection has not agreed to that."""

LEASE_STORAGE: Final = "prefect.server.concurrency.lease_storage.filesystem"
"""Keeps the leases of tag limits under PREFECT_HOME; in memory, the default, a restart leaves slots taken for good."""

SERVER: Final = {
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASE_STORAGE,
    # Seconds after which a batch that waits for a slot asks again; with the default of 30, half of the slots are idle.
    "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
    # `prefect deployment run --watch` shows the log of the run, and so why it failed.
    "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED": "true",
    "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED": "true",
    # States of task runs are entered together, once a second. By default each is entered alone, and a task run takes 28 ms
    # of processor time instead of 5. (Prefect cuts the interval to whole seconds: below one it loops without a pause.)
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}
"""The environment of Prefect's server, unless the environment says otherwise."""

RUNS: Final = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),  # the automation for dead runs relies on it
    # Logs and the state of a run are sent for 126 s while the server is away; with the default of 5 for 62 s.
    "PREFECT_CLIENT_MAX_RETRIES": "6",
}
"""The environment of a flow run's process."""
