"""Leases whose holder is slow, paused or dead: who goes on, who takes over, and what is found out."""

from __future__ import annotations

import threading
from uuid import uuid4

import psycopg
import pytest

from pinakes.errors import LeaseLostError
from pinakes.settings import Settings
from pinakes.store.collections import prepare
from pinakes.store.connection import connect
from pinakes.store.database import Database
from pinakes.store.lease import Lease
from pinakes.store.runs import end_run, latest_runs, start_run
from tests.running import stored
from tests.waiting import PATIENCE


@pytest.fixture
def ready(settings: Settings, database: Database) -> str:
    with database.connection() as (conn, _):
        prepare(conn)
    assert settings.database_url
    return settings.database_url


def run_out(database: Database) -> None:
    """What time does to leases that nobody renews."""
    with database.connection() as (conn, _):
        conn.execute("UPDATE pinakes.locks SET expires_at = clock_timestamp() - interval '1 second'")


def test_a_long_transaction_under_the_lease_does_not_keep_it_from_being_renewed(ready: str, database: Database) -> None:
    with Lease(ready, "c/s", seconds=60) as lease, connect(ready) as conn, conn.transaction():
        lease.guard(conn)
        renewed = threading.Event()

        def renew() -> None:
            with connect(ready) as other:
                lease._renew(other)
            renewed.set()

        thread = threading.Thread(target=renew)
        thread.start()
        assert renewed.wait(PATIENCE)
        thread.join()
        lease.guard(conn)


def test_a_lease_that_ran_out_and_that_nobody_took_is_taken_up_again(ready: str, database: Database) -> None:
    with Lease(ready, "c/s", seconds=60) as lease, connect(ready) as conn:
        run_out(database)
        with conn.transaction():
            lease.guard(conn)
        assert stored(database, "SELECT expires_at > now() FROM pinakes.locks") == [(True,)]


def test_who_takes_over_ends_the_open_transactions_of_a_holder_that_does_not_renew(
    ready: str, database: Database
) -> None:
    with (
        Lease(ready, "c/s", seconds=60) as paused,
        Lease(ready, "c/other", seconds=60) as other,
        connect(ready) as stuck,
        connect(ready) as unhurt,
        unhurt.transaction(),
    ):
        other.guard(unhurt)
        stuck.autocommit = False
        paused.guard(stuck)
        run_out(database)
        with Lease(ready, "c/s", seconds=60) as second:
            assert second.token > paused.token
        with pytest.raises(psycopg.OperationalError):
            stuck.execute("SELECT 1")
        unhurt.execute("SELECT 1")


def test_a_process_that_slept_past_its_lease_asks_before_it_writes(ready: str, database: Database) -> None:
    with Lease(ready, "c/s", seconds=60) as slept:
        slept.check()
        run_out(database)
        with Lease(ready, "c/s", seconds=60):
            slept.check()  # it cannot know yet: by its own clock the lease is good
            slept._good_until = 0.0
            with pytest.raises(LeaseLostError, match="nothing more was written"):
                slept.check()
            with pytest.raises(LeaseLostError):
                slept.check()


def test_a_process_that_slept_and_was_not_overtaken_goes_on(ready: str, database: Database) -> None:
    with Lease(ready, "c/s", seconds=60) as slept:
        run_out(database)
        slept._good_until = 0.0
        slept.check()
        assert stored(database, "SELECT expires_at > now() FROM pinakes.locks") == [(True,)]


def test_a_run_that_never_ended_is_entered_as_died_by_the_next_one_and_may_still_say_how_it_ended(
    ready: str, database: Database
) -> None:
    with database.connection() as (conn, _):
        dead, elsewhere, ended = uuid4(), uuid4(), uuid4()
        start_run(conn, dead, "c", "s")
        start_run(conn, elsewhere, "c", "other")
        start_run(conn, ended, "c", "s")
        end_run(conn, ended, "completed", {})
        kept = {run.run_id: run for run in latest_runs(conn, "c")}
        states = stored(database, "SELECT state FROM pinakes.runs ORDER BY started_at")
        assert [state for (state,) in states] == ["died", "running", "completed"]
        assert kept[dead].ended_at is None
        assert "took over" in (kept[dead].message or "")
        assert kept[elsewhere].state == "died"  # it holds no lock
        end_run(conn, dead, "failed", {}, "the lock ran out")
        assert {run.run_id: run.state for run in latest_runs(conn, "c")}[dead] == "failed"


def test_a_run_that_was_overtaken_leaves_the_lock_to_its_new_holder_when_it_ends(
    ready: str, database: Database
) -> None:
    with Lease(ready, "c/s", seconds=60) as overtaken:
        run_out(database)
        second = Lease(ready, "c/s", seconds=60)
        second.__enter__()
    try:
        assert second.token > overtaken.token
        assert stored(database, "SELECT token FROM pinakes.locks") == [(second.token,)]
        second.check()
    finally:
        second.__exit__(None, None, None)
    assert stored(database, "SELECT token FROM pinakes.locks") == []
