"""Everything behind PgBouncer in transaction mode, where the sessions of the server belong to nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pinakes.errors import DatabaseError
from pinakes.operations.maintenance import Maintenance
from pinakes.rates import Rate
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.store.indexes import rebuild_index
from pinakes.store.lease import Lease
from pinakes.store.limits import LimitStore
from pinakes.store.pool import STATEMENT_SECONDS, Connections
from pinakes.store.space_registry import spaces
from pinakes.takedowns.forget import Takedowns
from tests import pgbouncer as bouncers
from tests.counting import Counting
from tests.homes import new_database, settings_of
from tests.pgbouncer import pgbouncer
from tests.postgres import vector_postgres
from tests.running import find, gallery, run, stored


@dataclass(frozen=True)
class Pooled:
    """One database by two ways."""

    direct: Database
    pooled: Database
    settings: Settings


@pytest.fixture(scope="module")
def tcp_server() -> Iterator[str]:
    with vector_postgres() as address:
        yield address


@pytest.fixture(scope="module")
def bouncer(tcp_server: str) -> Iterator[str]:
    with pgbouncer(tcp_server) as address:
        yield address


@pytest.fixture(params=["public", "extensions"])
def place(request: pytest.FixtureRequest, tcp_server: str, bouncer: str, tmp_path: Path) -> Iterator[Pooled]:
    """A database whose pgvector is in the schema that everybody has in the search path, or in one that nobody has."""
    with new_database(tcp_server) as direct:
        pooled = make_conninfo(bouncer, dbname=conninfo_to_dict(direct)["dbname"])
        if request.param != "public":
            with psycopg.connect(direct, autocommit=True) as made:
                made.execute("CREATE SCHEMA extensions")
                made.execute("CREATE EXTENSION vector SCHEMA extensions")
        yield Pooled(Database(direct), Database(pooled), settings_of(pooled, tmp_path))


def sessions_of(place: Pooled) -> set[tuple[str, str, str, str]]:
    """What the pooler's sessions are set to, each seen by a client that has set nothing."""
    names = ("search_path", "statement_timeout", "synchronous_commit", "maintenance_work_mem")
    statement = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    seen = set()
    clients = [psycopg.connect(place.pooled.dsn, prepare_threshold=None) for _ in range(5)]
    for client in clients:  # each keeps its session until all have one
        seen.add(client.execute(statement).fetchone())
    for client in clients:
        client.close()
    return seen


def advisory_locks(place: Pooled) -> list[tuple[object, ...]]:
    with psycopg.connect(place.direct.dsn) as conn:
        return conn.execute(
            "SELECT pid, objid FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchall()


def test_runs_searches_and_take_downs_work_and_leave_nothing_in_a_session(place: Pooled, tmp_path: Path) -> None:
    untouched = sessions_of(place)
    source = gallery(tmp_path / "in")
    (tmp_path / "meta.csv").write_text("file,title\n" + "".join(f"p{n:02}.png,Étude {n}\n" for n in range(12)))
    first = run(place.settings, source, metadata=[str(tmp_path / "meta.csv")], index="hnsw").account
    assert (first.embedded, first.calls) == (12, 12)
    assert advisory_locks(place) == []
    assert run(place.settings, source).account.rows_written == 0
    gallery(source, 14)  # other bytes for most of them, and new ones
    assert run(place.settings, source).account.embedded > 2

    for mode in ("exact", "index"):
        assert len(find(place.pooled, "red", k=5, mode=mode).hits) == 5
    before = [hit.image_id for hit in find(place.pooled, "red", k=20).hits]
    assert [hit.image_id for hit in find(place.direct, "red", k=20).hits] == before
    assert len(find(place.pooled, "étude", k=20, where=["title~étude"]).hits) == 12
    assert len(find(place.pooled, like="p03.png", k=3).hits) == 3

    takedowns = Takedowns(place.settings, place.pooled, "pictures")
    takedowns.forget(takedowns.find(["p03.png"]))
    assert "p03.png" not in [hit.image_id for hit in find(place.pooled, "red", k=20).hits]
    assert stored(place.direct, "SELECT image_id FROM pictures.forgotten") == [("p03.png",)]
    assert advisory_locks(place) == []
    assert sessions_of(place) == untouched


def test_first_users_at_one_time_make_everything_once(place: Pooled, tmp_path: Path) -> None:
    """Eight clients share five sessions."""
    source = gallery(tmp_path / "in", 3)
    failed: list[BaseException] = []

    def open_all() -> None:
        try:
            with place.pooled.connection():
                pass
        except BaseException as exc:  # noqa: BLE001  shown below
            failed.append(exc)

    threads = [threading.Thread(target=open_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert run(place.settings, source).account.embedded == 3
    assert advisory_locks(place) == []


def test_the_page_and_the_limits_set_nothing_for_other_clients(place: Pooled) -> None:
    untouched = sessions_of(place)
    limits = LimitStore(place.pooled.dsn, "shared", [Rate(30, 1.0, 5)])
    assert len(limits.reserve(5).slots) >= 1
    limits.throttled(None)
    assert limits.rate() < 30
    connections = Connections(place.pooled.dsn, most=3, wait_seconds=30)
    try:
        with connections.connection() as conn:
            (during,) = conn.execute("SELECT current_setting('statement_timeout')").fetchall()
            assert during == (f"{STATEMENT_SECONDS:d}s",)
            with conn.transaction():
                assert conn.execute("SELECT current_setting('statement_timeout')").fetchone() == during
            assert conn.execute("SELECT '[3,4]'::vector <-> '[0,0]'").fetchone() == (5.0,)
            conn.settings["statement_timeout"] = sql.Literal("50ms")
            with pytest.raises(psycopg.errors.QueryCanceled):
                conn.execute("SELECT pg_sleep(60)")
            assert conn.execute("SELECT 1").fetchone() == (1,)
    finally:
        connections.close()
        limits.close()
    assert sessions_of(place) == untouched


def test_two_writers_keep_each_other_out_through_a_pooler(place: Pooled, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 3)
    run(place.settings, source)
    space = Counting().facts.space.name
    with (
        Lease(place.pooled.dsn, f"pictures/{space}", seconds=3),
        pytest.raises(Exception, match="is being written by process"),
    ):
        run(place.settings, source)


def test_what_needs_a_session_of_its_own_says_so_and_the_rest_is_done(place: Pooled, tmp_path: Path) -> None:
    untouched = sessions_of(place)
    source = gallery(tmp_path / "in")
    run(place.settings, source, index="hnsw")
    with place.direct.connection() as (conn, _):
        conn.execute("UPDATE pictures.spaces SET index_bytes = 1")  # so that it seems to have grown
    acts = list(Maintenance(place.settings, place.pooled).run(["pictures"]))
    (told,) = [act for act in acts if act.what == "index"]
    assert not told.done
    assert "needs a session of its own" in told.detail
    assert "PINAKES_DATABASE_URL" in told.detail
    assert {act.what for act in acts} > {"index", "checkpoint"}
    with place.pooled.connection() as (conn, pgvector):
        (registered,) = spaces(conn, "pictures")
        with (
            Lease(place.pooled.dsn, f"pictures/{registered.name}", seconds=3) as lease,
            pytest.raises(DatabaseError, match="needs a session of its own"),
        ):
            rebuild_index(conn, "pictures", registered.space, lease, pgvector)
    assert sessions_of(place) == untouched


def test_a_missing_pgbouncer_fails_with_a_sentence(monkeypatch: pytest.MonkeyPatch, tcp_server: str) -> None:
    monkeypatch.setattr(bouncers, "PROGRAM", Path("/nowhere/pgbouncer"))
    with pytest.raises(pytest.fail.Exception, match="apt-get install pgbouncer"), pgbouncer(tcp_server):
        pass
