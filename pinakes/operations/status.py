"""The status of a collection: counts, failures with reasons, spaces, index, the last run."""

from __future__ import annotations

import codecs
import csv
from pathlib import Path
from typing import Any

import pyarrow as pa

from pinakes.checkpoints.base import OK
from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.checkpoints.ledger import FAILURE_COLUMNS
from pinakes.files import whole_file
from pinakes.settings import Settings
from pinakes.store.bulk_reads import held_pairs, stored_images
from pinakes.store.collections import collection_names, open_collection, require_collection
from pinakes.store.connection import Connection
from pinakes.store.restrictions import restrictions
from pinakes.store.runs import latest_runs
from pinakes.store.space_registry import RegisteredSpace, coverage, spaces, table_bytes


def status(conn: Connection, settings: Settings, collection: str) -> dict[str, Any]:
    """The status of one collection; every value fits JSON.

    Raises:
        UsageError: there is no such collection.
    """
    open_collection(conn, collection)
    root = require_collection(conn, collection)
    runs = latest_runs(conn, collection)
    # The last run may have died before it listed anything.
    listing = next((run.account for run in runs if run.account.get("listed")), {})
    restricted = restrictions(conn, collection)
    return {
        "collection": collection,
        "collections": collection_names(conn),
        "source": root,
        "home": str(settings.home),
        "database": "set by PINAKES_DATABASE_URL" if settings.database_url else "embedded",
        "postgresql": conn.info.parameter_status("server_version"),
        "spaces": [_space(conn, settings, collection, registered) for registered in spaces(conn, collection)],
        "restrictions": [{"condition": each.condition, "pictures": each.images} for each in restricted],
        "problems": [each.problem for each in restricted if each.problem is not None],
        "skipped": listing.get("skipped", 0),
        "skipped_entries": listing.get("skipped_entries", []),
        "last_run": {
            "started_at": runs[0].started_at.isoformat(timespec="seconds"),
            "state": runs[0].state,
            "space": runs[0].space,
            "account": runs[0].account,
            "message": runs[0].message,
        }
        if runs
        else None,
    }


def write_failures(document: dict[str, Any], file: Path) -> int:
    """Write every failed picture of a status as CSV, with a header, whole or not at all; returns their number.

    Raises:
        PinakesError: the file cannot be written.
    """
    rows = [{"space": space["space"], **failure} for space in document["spaces"] for failure in space["failures"]]
    with whole_file(file, "the list of failures") as out:
        writer = csv.DictWriter(codecs.getwriter("utf-8")(out), ("space", *FAILURE_COLUMNS))
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _space(conn: Connection, settings: Settings, collection: str, registered: RegisteredSpace) -> dict[str, Any]:
    counted, regions = coverage(conn, collection, registered.name), registered.regions
    checkpoint = open_checkpoint(settings.checkpoint, collection, registered.space)
    ledger = checkpoint.ledger()
    # By columns: to compare a million images row by row takes several times as long.
    stored = stored_images(conn, collection)
    positions = ledger.find(stored["image_id"], stored["fingerprint"])
    ok = ledger.ok_at(positions)
    lacking = stored.filter(pa.array(~ok))
    without = list(zip(lacking["image_id"].to_pylist(), lacking["fingerprint"].to_pylist(), strict=True))
    failures = [ledger.row(position).as_failure() for position in positions[(positions >= 0) & ~ok].tolist()]
    problems = list(checkpoint.problems)
    if not counted.images and (kept := ledger.counts()[OK]):
        problems.append(
            f"the checkpoint holds {kept:,} answers, and none is loaded yet: a run loads them at its end. Where it has died,"
            " run the same pinakes ingest again; they are not paid for again."
        )
    # The table has their vectors and the checkpoint does not: the next run would pay for them again.
    if lost := sum(1 for _ in held_pairs(conn, collection, registered.name, without)):
        problems.append(checkpoint.lacking(lost))
    if damaged := sum(pair in ledger.lost for pair in without):
        problems.append(
            f"{damaged:,} answers were in damaged parts of the checkpoint and are lost: pinakes ingest --from-table takes"
            " what the table still has, --pay-again embeds them again, and --dry-run says what that costs."
        )
    if rounded := ledger.rounded():
        problems.append(f"{rounded:,} answers were taken from the table, in half precision.")
    return {
        "space": registered.name,
        "active": registered.active,
        "dimension": registered.space.dimension,
        "rows": counted.vectors,
        "images": counted.images,
        "coverage": counted.share,
        "bytes": counted.table_bytes,
        "regions": None
        if regions is None or not regions.rows
        else {"rows": regions.rows, "bytes": table_bytes(conn, collection, regions.name), "index": regions.index_kind},
        "index": registered.index_kind,
        "index_built_at": registered.index_built_at.isoformat(timespec="seconds")
        if registered.index_built_at
        else None,
        "checkpoint": checkpoint.location,
        "statuses": {
            "ok": int(ok.sum()),
            "failed": len(failures),
            "not embedded yet": int((positions < 0).sum()),
        },
        "failures": failures,
        "problems": problems,
    }
