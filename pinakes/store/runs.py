"""The runs of a database, newest first: what was done, when, by whom, with what account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from pinakes.store.connection import Connection, translated
from pinakes.store.lease import holder_name


@dataclass(frozen=True, slots=True)
class Run:
    """One run as the database keeps it.

    Attributes:
        run_id: what its log records carry.
        collection, space: what it writes.
        holder: the process and the machine.
        state: `running`, `completed`, `stopped`, `failed`, or `died`.
        started_at, ended_at: on the database's clock; one that died has no end.
        account: what `pinakes.ingest.account.Account.as_dict` gave at its end; empty before.
        message: why it failed, or who found it dead.
    """

    run_id: UUID
    collection: str
    space: str
    holder: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    account: dict[str, Any]
    message: str | None


def start_run(conn: Connection, run_id: UUID, collection: str, space: str) -> None:
    """Enter a run that begins now.

    The caller holds the lock, so no other run of this collection and space is alive: one that has not entered its end is
    marked as `died`, without a time, since nobody knows when.
    """
    with translated("entering the run"), conn.transaction():
        conn.execute(
            """
            UPDATE pinakes.runs
            SET state = 'died', message = %s
            WHERE collection = %s AND space = %s AND state = 'running'
            """,
            (f"its process was killed or paused, or lost the database; {holder_name()} took over", collection, space),
        )
        conn.execute(
            "INSERT INTO pinakes.runs (run_id, collection, space, holder) VALUES (%s, %s, %s, %s)",
            (run_id, collection, space, holder_name()),
        )


def end_run(
    conn: Connection, run_id: UUID, state: str, account: Mapping[str, object], message: str | None = None
) -> None:
    """Enter how a run ended: `completed`, `stopped` or `failed`. It may have been taken for dead before."""
    with translated("entering the end of the run"):
        conn.execute(
            "UPDATE pinakes.runs SET state = %s, ended_at = now(), account = %s, message = %s WHERE run_id = %s",
            (state, Jsonb(dict(account)), message, run_id),
        )


def latest_runs(conn: Connection, collection: str | None, limit: int = 10) -> list[Run]:
    """The newest runs, newest first, of a collection or (None) of all of them.

    A run that has not entered its end and no longer holds its lock is shown as `died`: its process was killed, or is cut
    off from the database.
    """
    with translated("reading the runs"):
        rows = conn.execute(
            # A later run of the same process has the same holder, but has taken the lease after this one began.
            """
            SELECT r.run_id, r.collection, r.space, r.holder,
                CASE WHEN r.state = 'running' AND l.resource IS NULL THEN 'died' ELSE r.state END,
                r.started_at, r.ended_at, r.account, r.message
            FROM pinakes.runs AS r
            LEFT JOIN pinakes.locks AS l ON l.resource = r.collection || '/' || r.space
                AND l.holder = r.holder
                AND l.acquired_at <= r.started_at
                AND l.expires_at > clock_timestamp()
            WHERE %(collection)s::text IS NULL OR r.collection = %(collection)s
            ORDER BY r.started_at DESC, r.run_id
            LIMIT %(limit)s
            """,
            {"collection": collection, "limit": limit},
        ).fetchall()
    return [Run(*row) for row in rows]
