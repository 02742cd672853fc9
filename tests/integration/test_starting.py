"""What the start of a run asks of the database while others use it: readers with an open transaction, writers, builds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pinakes.errors import DatabaseError, LockHeldError
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.store.collections import ensure_collection
from pinakes.store.connection import connect
from pinakes.store.database import Database
from pinakes.store.lease import Lease
from pinakes.store.space_registry import register_space, spaces
from pinakes.store.strong_locks import one_at_a_time
from tests.running import find, gallery, paint, run, stored

SPACE = "counting_colours_1_27"
OTHER = Space("counting", "other", "1", 27, "")
EVERYTHING = f"pictures.images, pictures.spaces, pictures.collection, pictures.{SPACE}, pinakes.locks, pinakes.runs"

GENEROUS = 20
"""Seconds after which a start is taken to wait for somebody; without any wait it takes part of one."""
SEARCH = 10
"""Seconds that one statement of a search may take: some of the lock attempts, and far less than their patience."""


def limited(address: str, setting: str, seconds: int) -> str:
    """An address whose sessions give up after so long."""
    return make_conninfo(address, options=f"-c {setting}={seconds}s")


@pytest.fixture
def source(settings: Settings, tmp_path: Path) -> Path:
    """The pictures of a collection that is complete."""
    pictures = gallery(tmp_path / "in", 6)
    run(settings, pictures)
    return pictures


@pytest.fixture
def starting(settings: Settings) -> Settings:
    """Settings of runs that fail where they have to wait for a lock for long."""
    assert settings.database_url
    return replace(settings, database_url=limited(settings.database_url, "lock_timeout", GENEROUS))


@pytest.fixture
def searching(database: Database) -> Database:
    """The database for searches that fail where they have to wait."""
    return Database(limited(database.dsn, "statement_timeout", SEARCH))


@contextmanager
def open_transaction(database: Database, *statements: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A session of somebody else that has done this and has not ended its transaction."""
    with psycopg.connect(database.dsn, application_name="somebody") as conn:
        for statement in statements:
            conn.execute(statement.encode())
        yield conn
        conn.rollback()


def reading(*tables: str) -> list[str]:
    return [f"SELECT count(*) FROM {table}" for table in tables]


def test_an_unchanged_run_takes_no_lock_that_a_reader_or_a_writer_would_wait_for(
    starting: Settings, searching: Database, source: Path
) -> None:
    """ROW EXCLUSIVE, which every writer holds, conflicts with whatever is stronger: a run that asks for it waits."""
    with open_transaction(searching, f"LOCK TABLE {EVERYTHING} IN ROW EXCLUSIVE MODE"):
        assert run(starting, source).account.rows_written == 0
        assert len(find(searching, "red", k=3).hits) == 3


def test_a_run_starts_loads_and_ends_while_a_reader_holds_its_transaction_open(
    starting: Settings, searching: Database, source: Path
) -> None:
    with open_transaction(searching, *reading(*EVERYTHING.split(", "))):
        assert run(starting, source).account.rows_written == 0
        paint(source / "new.png", (1, 2, 3))
        assert run(starting, source).account.rows_written == 2
        assert len(find(searching, "red", k=7).hits) == 7


def test_a_new_space_is_registered_while_a_reader_holds_its_transaction_open(
    starting: Settings, searching: Database, source: Path
) -> None:
    with open_transaction(searching, *reading(*EVERYTHING.split(", "))):
        run(starting, source, dimension=12)
        assert len(find(searching, "red", k=6).hits) == 6
    with searching.connection() as (conn, _):
        assert [(r.space.dimension, r.active, r.rows) for r in spaces(conn, "pictures")] == [
            (27, True, 6),
            (12, False, 6),
        ]


def test_a_new_space_waits_for_a_writer_and_nobody_waits_for_it(
    database: Database, searching: Database, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registered = threading.Event()

    def register() -> None:
        with database.connection() as (conn, _):
            register_space(conn, "pictures", OTHER)
        registered.set()

    thread = threading.Thread(target=register)
    with open_transaction(database, "UPDATE pictures.images SET title = 'x'"), caplog.at_level(logging.WARNING):
        thread.start()
        while "waits for" not in caplog.text:
            assert len(find(searching, "red", k=6).hits) == 6
        with searching.connection() as (conn, _):  # other writers get through between two attempts
            conn.execute("UPDATE pictures.spaces SET rows = rows")
        assert not registered.is_set()
    assert registered.wait(60)
    thread.join()
    assert [space for (space,) in stored(database, "SELECT space FROM pictures.spaces WHERE NOT active")] == [
        OTHER.name
    ]


def test_a_space_that_cannot_be_registered_says_who_is_in_the_way(database: Database, source: Path) -> None:
    with (
        open_transaction(database, "UPDATE pictures.images SET title = 'x'") as writer,
        database.connection() as (conn, _),
        pytest.raises(
            DatabaseError,
            match=rf"^registering the space {OTHER.name} needs pictures.images, pictures.spaces to itself for a moment,"
            rf" and process {writer.info.backend_pid} of the server \(somebody, user \w+, in a transaction since 20.*\)"
            r" has not let go of it for 0 s\.",
        ),
    ):
        register_space(conn, "pictures", OTHER, patience=0)
    assert stored(database, f"SELECT to_regclass('pictures.{OTHER.name}')") == [(None,)]
    assert stored(database, "SELECT space FROM pictures.spaces") == [(SPACE,)]


def test_a_table_whose_vectors_are_not_stored_plain_is_changed_without_stopping_searches(
    database: Database, searching: Database, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = (
        "SELECT attstorage::text FROM pg_attribute"
        f" WHERE attrelid = 'pictures.{SPACE}'::regclass AND attname = 'embedding'"
    )
    with database.connection() as (conn, _):
        (registered,) = spaces(conn, "pictures")
        conn.execute(f"ALTER TABLE pictures.{SPACE} ALTER COLUMN embedding SET STORAGE EXTERNAL".encode())

    def register() -> None:
        with database.connection() as (conn, _):
            register_space(conn, "pictures", registered.space)

    thread = threading.Thread(target=register)
    with open_transaction(database, *reading(f"pictures.{SPACE}")) as reader:
        with (
            database.connection() as (conn, _),
            pytest.raises(DatabaseError, match=rf"process {reader.info.backend_pid} of the server \(somebody"),
        ):
            register_space(conn, "pictures", registered.space, patience=0)
        caplog.clear()
        thread.start()
        while "waits for" not in caplog.text:
            assert len(find(searching, "red", k=6).hits) == 6
        assert len(find(searching, "red", k=6).hits) == 6
        assert stored(database, storage) == [("e",)]
    thread.join()
    assert stored(database, storage) == [("p",)]


def test_a_run_behind_an_index_build_is_refused_and_searches_go_on(
    starting: Settings, searching: Database, source: Path
) -> None:
    build = f"CREATE INDEX being_built ON pictures.{SPACE} USING hnsw (embedding halfvec_cosine_ops)"
    with (
        Lease(searching.dsn, f"pictures/{SPACE}", seconds=3),
        open_transaction(searching, "SET search_path TO public", build),
    ):
        with pytest.raises(LockHeldError, match="is being written by process"):
            run(starting, source)
        assert len(find(searching, "red", k=6).hits) == 6


def test_a_collection_of_another_root_is_refused_before_the_lock_is_waited_for(
    settings: Settings, database: Database, source: Path, tmp_path: Path
) -> None:
    other = gallery(tmp_path / "other", 2)
    with Lease(database.dsn, f"pictures/{SPACE}", seconds=600), pytest.raises(Exception, match="holds the pictures of"):
        run(settings, other)


def test_what_is_made_by_one_session_at_a_time_names_the_session_that_does_not_end(database: Database) -> None:
    with connect(database.dsn) as first, connect(database.dsn) as second, one_at_a_time(first, "migration"):
        with (
            pytest.raises(
                DatabaseError, match=rf"being made by process {first.info.backend_pid} of the server \(pinakes"
            ),
            one_at_a_time(second, "migration", patience=0),
        ):
            raise AssertionError("two sessions at a time")
        first.execute("SELECT 1")
    with connect(database.dsn) as third, one_at_a_time(third, "migration", patience=0):
        pass


def test_names_stay_in_the_rows_of_long_vectors(database: Database) -> None:
    long = Space("made", "up", "1", 1024, "")
    with database.connection() as (conn, _):
        ensure_collection(conn, "long", "file:///x/")
        register_space(conn, "long", long)
        name = "folder/" + 5 * "a rather long name of a picture "
        conn.execute("INSERT INTO long.images (image_id, uri, fingerprint) VALUES (%s, 'file:///a', 'md5:a')", (name,))
        conn.execute(
            f"INSERT INTO long.{long.name} VALUES (%s, %s, 1, %s::halfvec)".encode(),
            (name, f"md5:{32 * '0'}#xywh=percent:0,12.5,50,50", str([1.0] + 1023 * [0.0])),
        )
        fetched = conn.execute(
            "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = %s::regclass", (f"long.{long.name}",)
        ).fetchone()
    assert fetched == (0,)
