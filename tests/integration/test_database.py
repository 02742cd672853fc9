"""Connections, extension, migrations and leases against real servers."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pinakes.errors import DatabaseError, LeaseLostError, LockHeldError, UsageError
from pinakes.settings import Settings
from pinakes.store.collections import check_root, ensure_collection, prepare
from pinakes.store.connection import connect, ensure_pgvector
from pinakes.store.database import Database
from pinakes.store.lease import Lease
from pinakes.store.migrate import migrate, scripts

pytestmark = pytest.mark.empty


def test_a_database_that_is_down_is_named_without_its_password() -> None:
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1:1/db cannot be reached.*PINAKES_DATABASE_URL") as caught:
        connect("postgresql://someone:s3cret@127.0.0.1:1/db")
    assert "s3cret" not in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="Debian's packages")
def test_a_server_without_pgvector_says_what_to_install(plain_server: str) -> None:
    conn = connect(plain_server)
    with conn, pytest.raises(DatabaseError, match=r"has no pgvector: install it.*postgresql-\d+-pgvector"):
        ensure_pgvector(conn)


def test_a_pgvector_that_is_too_old_says_which_and_what_to_do(database_url: str) -> None:
    conn = connect(database_url)
    with conn:
        ensure_pgvector(conn)
        conn.execute("UPDATE pg_extension SET extversion = '0.5.1' WHERE extname = 'vector'")
        with pytest.raises(DatabaseError, match=r"has pgvector 0\.5\.1.*needs 0\.7.*ALTER EXTENSION vector UPDATE"):
            ensure_pgvector(conn)


def test_a_user_who_may_not_create_the_extension_is_told_who_can(database_url: str) -> None:
    name = make_conninfo(database_url).split("dbname=")[1].split()[0]
    role = f"reader_{name}"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        try:
            conn = connect(make_conninfo(database_url, user=role, password="x"))
            with conn, pytest.raises(DatabaseError, match="as an administrator run CREATE EXTENSION vector"):
                ensure_pgvector(conn)
        finally:
            admin.execute(f"DROP ROLE {role}")


def test_an_extension_that_azure_does_not_list_names_the_parameter(database_url: str) -> None:
    """As Azure Database for PostgreSQL refuses it."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
            ' \'extension "vector" is not allow-listed for "azure_pg_admin" users in Azure Database for PostgreSQL\''
            " USING ERRCODE = 'feature_not_supported'; END $$"
        )
        admin.execute(
            "CREATE EVENT TRIGGER refusing ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION refuse()"
        )
        with (
            connect(database_url) as conn,
            pytest.raises(DatabaseError, match=r"VECTOR .* parameter azure\.extensions"),
        ):
            ensure_pgvector(conn)


@pytest.mark.parametrize("made_by", ["an administrator", "somebody"])
def test_where_a_function_creates_extensions_it_is_used_if_it_is_the_administrators(
    database_url: str, made_by: str
) -> None:
    """As Azure Cosmos DB for PostgreSQL has it."""
    name = make_conninfo(database_url).split("dbname=")[1].split()[0]
    role = f"writer_{name}"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        try:
            admin.execute(
                "CREATE FUNCTION public.create_extension(name text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS"
                " $$ BEGIN EXECUTE format('CREATE EXTENSION %I', name); END $$"
            )
            if made_by == "somebody":
                admin.execute(f"ALTER FUNCTION public.create_extension OWNER TO {role}")
            conn = connect(make_conninfo(database_url, user=role, password="x"))
            with conn:
                if made_by == "somebody":
                    with pytest.raises(DatabaseError, match="as an administrator run CREATE EXTENSION vector"):
                        ensure_pgvector(conn)
                else:
                    assert ensure_pgvector(conn).version >= (0, 7)
        finally:
            admin.execute("DROP FUNCTION public.create_extension")
            admin.execute(f"DROP ROLE {role}")


def test_migrating_twice_changes_nothing(database: Database) -> None:
    with database.connection() as (conn, pgvector):
        assert migrate(conn, "pinakes", "system", pgvector)
        assert not migrate(conn, "pinakes", "system", pgvector)
        ensure_collection(conn, "one", "file:///one/")
        ensure_collection(conn, "one", "file:///one/")


def test_a_collection_takes_another_root_while_it_is_empty_and_nobody_writes_it(ready: str) -> None:
    """A run that failed over a mistyped folder must not keep the name for it."""
    with connect(ready) as conn:
        ensure_collection(conn, "one", "file:///mistyped/")
        with (
            Lease(ready, "one/s", seconds=60),
            pytest.raises(UsageError, match="holds the pictures of file:///mistyped/"),
        ):
            ensure_collection(conn, "one", "file:///one/")
        with Lease(ready, "one_more/s", seconds=60):
            ensure_collection(conn, "one", "file:///one/")
        check_root(conn, "one", "file:///one/")
        conn.execute("INSERT INTO one.images (image_id, uri, fingerprint) VALUES ('a', 'file:///one/a', 'md5:1')")
        with pytest.raises(UsageError, match="one source root"):
            ensure_collection(conn, "one", "file:///two/")


def test_a_schema_of_a_newer_version_is_refused(database: Database) -> None:
    with database.connection() as (conn, _):
        prepare(conn)
        conn.execute("INSERT INTO pinakes.migrations (number, name) VALUES (999, 'from the future')")
        newest = scripts("system")[-1][0]
        with pytest.raises(DatabaseError, match=f"version 999 and this Pinakes knows versions up to {newest}"):
            prepare(conn)


def test_many_first_users_at_once_migrate_once(database: Database) -> None:
    failures: list[BaseException] = []

    def use() -> None:
        try:
            with database.connection() as (conn, _):
                ensure_collection(conn, "one", "file:///one/")
        except BaseException as exc:  # noqa: BLE001 - a thread's failure is what is asserted
            failures.append(exc)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.fixture
def ready(settings: Settings, database: Database) -> str:
    with database.connection() as (conn, _):
        prepare(conn)
    assert settings.database_url
    return settings.database_url


def test_a_second_writer_is_refused_and_told_who_holds_the_lock(ready: str) -> None:
    with Lease(ready, "c/s", seconds=2), pytest.raises(LockHeldError, match=r"written by process \d+ on .* since"):
        Lease(ready, "c/s", seconds=2).__enter__()


def test_a_second_writer_can_queue(ready: str) -> None:
    first = Lease(ready, "c/s", seconds=2)
    first.__enter__()
    timer = threading.Timer(1.0, first.__exit__, (None, None, None))
    timer.start()
    with Lease(ready, "c/s", seconds=2, wait=30) as second:
        assert second.token > first.token
    timer.join()


def test_other_resources_are_not_locked(ready: str) -> None:
    with Lease(ready, "c/s", seconds=2), Lease(ready, "c/other", seconds=2):
        pass


def test_a_lease_is_renewed_past_its_length(ready: str) -> None:
    with Lease(ready, "c/s", seconds=1) as lease:
        time.sleep(2.5)
        with connect(ready) as conn, conn.transaction():
            lease.guard(conn)


def test_the_lease_of_a_dead_holder_ends_by_itself(ready: str) -> None:
    program = (
        "import os, sys; from pinakes.store.lease import Lease;"
        f"Lease({ready!r}, 'c/s', seconds=2).__enter__(); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.wait()
    with Lease(ready, "c/s", seconds=2) as lease:
        lease.check()


def test_a_writer_that_was_overtaken_cannot_write(ready: str) -> None:
    with Lease(ready, "c/s", seconds=60) as paused, connect(ready) as conn:
        conn.execute("UPDATE pinakes.locks SET expires_at = now() - interval '1 second'")
        with Lease(ready, "c/s", seconds=60) as second:
            with conn.transaction():
                second.guard(conn)
            with pytest.raises(LeaseLostError, match="nothing more was written"), conn.transaction():
                paused.guard(conn)
            with pytest.raises(LeaseLostError):
                paused.check()
