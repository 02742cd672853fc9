"""The runs of a database, newest first: what was done, when, by whom, with what account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from pinakes.store.connection import Connection, translated
from pinakes.store.lease import holder_name


@dataclass(frozen=True, slots=True)
class Run:
    """One run as the database keeps it."""

    run_id: UUID
    collection: str
    space: str
    holder: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    account: dict[str, Any]
    message: str | None


def start_run(conn: Connection, collection: str, space: str) -> UUID:
    """Enter a run that begins now."""
    run_id = uuid4()
    with translated("entering the run"):
        conn.execute(
            "INSERT INTO pinakes.runs (run_id, collection, space, holder) VALUES (%s, %s, %s, %s)",
            (run_id, collection, space, holder_name()),
        )
    return run_id


def end_run(
    conn: Connection, run_id: UUID, state: str, account: Mapping[str, object], message: str | None = None
) -> None:
    """Enter how a run ended: `completed`, `stopped` or `failed`."""
    with translated("entering the end of the run"):
        conn.execute(
            "UPDATE pinakes.runs SET state = %s, ended_at = now(), account = %s, message = %s WHERE run_id = %s",
            (state, Jsonb(dict(account)), message, run_id),
        )


def latest_runs(conn: Connection, collection: str, limit: int = 10) -> list[Run]:
    """The newest runs of a collection."""
    with translated("reading the runs"):
        rows = conn.execute(
            "SELECT run_id, collection, space, holder, state, started_at, ended_at, account, message"
            " FROM pinakes.runs WHERE collection = %s ORDER BY started_at DESC LIMIT %s",
            (collection, limit),
        ).fetchall()
    return [Run(*row) for row in rows]
