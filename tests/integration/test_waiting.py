"""What changes a collection's tables while somebody has a transaction open: it ends, or says who is in the way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pinakes.checkpoints.base import VectorChunk
from pinakes.errors import DatabaseError
from pinakes.spaces import Space
from pinakes.store import indexes, maintenance, reload, tombstones
from pinakes.store.collections import ensure_collection
from pinakes.store.connection import Connection, Pgvector, connect
from pinakes.store.database import Database
from pinakes.store.indexes import drop_half_built, end_builds, ensure_index, rebuild_index
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.maintenance import TableState, tidy
from pinakes.store.migrate import migrate, scripts
from pinakes.store.space_registry import activate, register_space
from pinakes.store.strong_locks import naming_who_is_waited_for
from pinakes.store.tombstones import remove_images, scrub
from tests.waiting import until

SPACE = Space("made", "up", "1", 16, "")
TABLE = f"ours.{SPACE.name}"
NAMES = [f"{n:03}.jpg" for n in range(300)]
SEARCH_SECONDS = 10
"""One statement of a search takes less, however much is being changed."""


@dataclass
class Indexed:
    """A collection of 300 vectors with an index, and the run that writes it."""

    database: Database
    conn: Connection
    pgvector: Pgvector
    lease: Lease

    def load(self, version: str) -> None:
        frame = pd.DataFrame({"image_id": NAMES, "uri": NAMES, "fingerprint": [f"md5:{version}{n}" for n in NAMES]})
        vectors = np.random.default_rng(len(version)).standard_normal((len(NAMES), 16)).astype(np.float32)
        with self.database.reconnecting() as lasting:
            loader = Loader(lasting, "ours", SPACE, self.lease)
            loader.load_images(lambda: [frame], with_metadata=False)
            loader.load_vectors([VectorChunk(NAMES, frame["fingerprint"].tolist(), vectors)], expected=len(NAMES))
            loader.finish()

    def search(self) -> None:
        address = make_conninfo(self.database.dsn, options=f"-c statement_timeout={SEARCH_SECONDS}s")
        with psycopg.connect(address) as conn:
            conn.execute(f"SELECT count(*) FROM {TABLE} JOIN ours.images USING (image_id)".encode())

    def one(self, statement: str) -> object:
        with psycopg.connect(self.database.dsn) as conn:
            row = conn.execute(statement.encode()).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture
def indexed(database: Database) -> Iterator[Indexed]:
    with database.connection() as (conn, pgvector):
        ensure_collection(conn, "ours", "file:///x/")
        register_space(conn, "ours", SPACE)
        with Lease(database.dsn, "test", seconds=30) as lease:
            indexed = Indexed(database, conn, pgvector, lease)
            indexed.load("a")
            ensure_index(conn, "ours", SPACE, "hnsw", lease, pgvector)
            yield indexed


@contextmanager
def somebody(database: Database, statement: str) -> Iterator[str]:
    """A session that has done this and keeps its transaction open; yields how it is named."""
    with psycopg.connect(database.dsn, application_name="somebody") as conn:
        conn.execute(statement.encode())
        yield f"process {conn.info.backend_pid} of the server (somebody, user "
        conn.rollback()


def reading() -> str:
    return f"SELECT count(*) FROM {TABLE} JOIN ours.images USING (image_id)"


def test_a_rebuild_that_waits_for_a_reader_names_it_and_ends_after_it(
    indexed: Indexed, caplog: pytest.LogCaptureFixture
) -> None:
    rebuilt = threading.Thread(
        target=rebuild_index, args=(indexed.conn, "ours", SPACE, indexed.lease, indexed.pgvector), daemon=True
    )
    with somebody(indexed.database, reading()) as name, caplog.at_level(logging.WARNING):
        rebuilt.start()
        until(lambda: f"rebuilding the index of {SPACE.name} waits for {name}" in caplog.text)
        indexed.search()
        assert rebuilt.is_alive()
    rebuilt.join(60)
    assert not rebuilt.is_alive()


def test_a_rebuild_that_waits_for_too_long_gives_up_in_one_sentence_and_is_cleared_away(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with somebody(indexed.database, reading()) as name:
        monkeypatch.setattr(indexes, "LONG_PATIENCE", 3.0)
        with pytest.raises(DatabaseError) as said:
            rebuild_index(indexed.conn, "ours", SPACE, indexed.lease, indexed.pgvector)
        assert f"has waited for 3 s for {name}" in str(said.value)
        indexed.search()
    assert drop_half_built(indexed.conn, "ours", SPACE) == 1
    rebuild_index(indexed.conn, "ours", SPACE, indexed.lease, indexed.pgvector)


def test_a_build_that_a_killed_program_has_left_in_the_server_is_ended(indexed: Indexed) -> None:
    """It waits for a reader here; one that computes is ended in the same way."""
    ended: list[type[Exception]] = []

    def build() -> None:
        with connect(indexed.database.dsn) as conn:
            try:
                conn.execute(f"REINDEX INDEX CONCURRENTLY {TABLE}_hnsw".encode())
            except psycopg.Error as exc:
                ended.append(type(exc))

    left = threading.Thread(target=build, daemon=True)
    with somebody(indexed.database, reading()):
        left.start()
        until(lambda: indexed.one("SELECT count(*) FROM pg_stat_progress_create_index") == 1)
        end_builds(indexed.conn, "ours", SPACE)
        left.join(60)
        assert ended == [psycopg.errors.AdminShutdown]
        indexed.load("b")  # the statistics of its table wait for no build
    drop_half_built(indexed.conn, "ours", SPACE)
    assert indexed.one(f"SELECT count(*) FROM pg_index WHERE indrelid = '{TABLE}'::regclass AND NOT indisvalid") == 0


def test_searches_go_on_while_a_load_waits_to_remove_what_a_killed_load_has_left(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reload, "LEAST_ROWS", 0)
    again = reload.Reload("ours", SPACE, "hnsw", indexed.pgvector)
    with indexed.conn.transaction():
        again.begin(indexed.conn)
    loaded = threading.Thread(target=indexed.load, args=("b",), daemon=True)
    with somebody(indexed.database, "SELECT count(*) FROM ours.images"), caplog.at_level(logging.WARNING):
        loaded.start()
        until(lambda: "waits for" in caplog.text)
        for _ in range(3):
            indexed.search()
        assert loaded.is_alive()
    loaded.join(60)
    assert not loaded.is_alive()
    assert indexed.one(f"SELECT count(*) FROM {TABLE} WHERE fingerprint LIKE 'md5:b%'") == len(NAMES)


def test_a_statement_that_cannot_begin_leaves_nobody_watching_it(indexed: Indexed) -> None:
    before = threading.active_count()
    indexed.conn.execute("BEGIN")
    with pytest.raises(psycopg.errors.DivisionByZero):
        indexed.conn.execute("SELECT 1 / 0")
    with (
        pytest.raises(psycopg.errors.InFailedSqlTransaction),
        naming_who_is_waited_for(indexed.conn, "rebuilding", patience=1),
    ):
        pass
    indexed.conn.execute("ROLLBACK")
    assert threading.active_count() == before


def test_an_index_that_cannot_be_built_for_a_writer_says_so(indexed: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_index(indexed.conn, "ours", SPACE, "none", indexed.lease, indexed.pgvector)
    monkeypatch.setattr(indexes, "LONG_PATIENCE", 0.0)
    with somebody(indexed.database, f"DELETE FROM {TABLE} WHERE image_id = '000.jpg'") as name:
        with pytest.raises(DatabaseError) as said:
            ensure_index(indexed.conn, "ours", SPACE, "hnsw", indexed.lease, indexed.pgvector)
        assert str(said.value).startswith(f"building the index of {SPACE.name} needs {TABLE} to itself for a moment")
        assert name in str(said.value)
        indexed.search()


def test_a_space_that_cannot_be_activated_for_a_writer_says_so(indexed: Indexed) -> None:
    with somebody(indexed.database, "UPDATE ours.spaces SET rows = 0") as name:
        with pytest.raises(DatabaseError) as said:
            activate(indexed.conn, "ours", SPACE.name, least_coverage=0, patience=0)
        assert str(said.value).startswith(f"activating the space {SPACE.name} needs ours.spaces to itself for a moment")
        assert name in str(said.value)
        indexed.search()


def test_the_lock_of_a_run_that_was_paused_in_mid_copy_is_taken_over(indexed: Indexed) -> None:
    dsn = indexed.database.dsn

    def copy_until_it_is_lost() -> None:
        with connect(dsn) as paused, Lease(dsn, "other", seconds=1) as held, paused.transaction():
            held.guard(paused)
            with paused.cursor().copy(f"COPY {TABLE} FROM STDIN".encode()) as copy:
                held._closing.set()  # as a paused process, it renews nothing and sends nothing
                with Lease(dsn, "other", seconds=1, wait=60):
                    indexed.search()
                copy.write_row(["x"])

    with pytest.raises(psycopg.OperationalError):
        copy_until_it_is_lost()


def test_pictures_are_forgotten_while_somebody_reads(indexed: Indexed) -> None:
    with somebody(indexed.database, f"{reading()} WHERE embedding IS NOT NULL"):
        assert remove_images(indexed.conn, "ours", ["000.jpg"], [indexed.lease]) == {SPACE.name: 1}
        assert scrub(indexed.conn, "ours", ["images"]) == []
    assert indexed.one("SELECT count(*) FROM ours.images") == len(NAMES) - 1


def test_forgetting_says_which_writer_it_waits_for_and_ends_after_it(
    indexed: Indexed, caplog: pytest.LogCaptureFixture
) -> None:
    gone: list[dict[str, int]] = []

    def forget() -> None:
        gone.append(remove_images(indexed.conn, "ours", ["000.jpg"], [indexed.lease]))

    waiting = threading.Thread(target=forget, daemon=True)
    with somebody(indexed.database, "UPDATE ours.images SET title = 'x'") as name, caplog.at_level(logging.WARNING):
        waiting.start()
        until(lambda: "removing pictures of ours waits for" in caplog.text)
        assert f"which is used by {name}" in caplog.text
        indexed.search()
        assert not gone
    waiting.join(60)
    assert gone == [{SPACE.name: 1}]


def test_forgetting_gives_up_a_writer_that_does_not_end(indexed: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tombstones, "LONG_PATIENCE", 0.0)
    with somebody(indexed.database, f"DELETE FROM {TABLE}") as name:
        with pytest.raises(DatabaseError) as said:
            remove_images(indexed.conn, "ours", ["000.jpg"], [indexed.lease])
        assert str(said.value).startswith("removing pictures of ours needs ")
        assert name in str(said.value)
    assert indexed.one("SELECT count(*) FROM ours.images") == len(NAMES)


def test_a_vacuum_says_whom_it_waits_for_and_ends_after_them(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tables = TableState("ours", "images", 0, 0, True, True)
    vacuumed = threading.Thread(target=tidy, args=(indexed.conn, tables), daemon=True)
    holds = "LOCK TABLE ours.images IN SHARE UPDATE EXCLUSIVE MODE"  # as an ANALYZE or another VACUUM does
    with somebody(indexed.database, holds) as name, caplog.at_level(logging.WARNING):
        vacuumed.start()
        until(lambda: f"vacuuming ours.images waits for ours.images, which is used by {name}" in caplog.text)
        indexed.search()
        assert vacuumed.is_alive()
    vacuumed.join(60)
    assert not vacuumed.is_alive()
    assert indexed.one("SELECT vacuum_count > 0 FROM pg_stat_all_tables WHERE relid = 'ours.images'::regclass")

    monkeypatch.setattr(tombstones, "LONG_PATIENCE", 0.0)
    monkeypatch.setattr(maintenance, "LONG_PATIENCE", 0.0)
    with somebody(indexed.database, holds) as name:
        for vacuum in (lambda: tidy(indexed.conn, tables), lambda: scrub(indexed.conn, "ours", ["images"])):
            with pytest.raises(DatabaseError) as said:
                vacuum()
            assert name in str(said.value)


def test_a_migration_that_waits_for_a_reader_gives_up_in_one_sentence(indexed: Indexed) -> None:
    with indexed.conn.transaction():
        indexed.conn.execute("CREATE SCHEMA older")
        indexed.conn.execute("CREATE TABLE older.migrations (LIKE pinakes.migrations INCLUDING ALL)")
        for number, name, text in scripts("system")[:1]:
            indexed.conn.execute("SET LOCAL search_path TO older")
            indexed.conn.execute(text.replace("{{}}", "{}").encode())
            indexed.conn.execute("INSERT INTO older.migrations (number, name) VALUES (%s, %s)", (number, name))
    with somebody(indexed.database, "SELECT count(*) FROM older.runs") as name:
        with pytest.raises(DatabaseError) as said:
            migrate(indexed.conn, "older", "system", None, patience=0)
        assert str(said.value).startswith("bringing the schema 'older' up to date needs older.")
        assert name in str(said.value)
        indexed.search()
    assert migrate(indexed.conn, "older", "system", None)


def test_whoever_queues_behind_a_run_says_so(indexed: Indexed, caplog: pytest.LogCaptureFixture) -> None:
    held = Lease(indexed.database.dsn, "other", seconds=1)
    queued = Lease(indexed.database.dsn, "other", seconds=1, wait=60)
    with held, caplog.at_level(logging.WARNING):
        entering = threading.Thread(target=queued.__enter__, daemon=True)
        entering.start()
        until(lambda: "other is being written by process" in caplog.text)
    entering.join(60)
    assert "waiting for it, for up to 60 s" in caplog.text
    queued.__exit__(None, None, None)


def test_runs_that_fill_two_spaces_of_a_collection_are_never_deadlocked(indexed: Indexed) -> None:
    other = Space("made", "up", "1", 4, "")
    register_space(indexed.conn, "ours", other)
    frame = pd.DataFrame({"image_id": NAMES, "uri": NAMES, "fingerprint": [f"md5:a{n}" for n in NAMES]})

    def write(space: Space, seed: int) -> None:
        order = np.random.default_rng(seed)
        with indexed.database.reconnecting() as conn, Lease(indexed.database.dsn, f"ours/{seed}", seconds=30) as lease:
            loader = Loader(conn, "ours", space, lease)
            for turn in range(60):
                mixed = frame.sample(frac=1, random_state=order.integers(1000)).assign(uri=f"{seed} {turn}")
                loader.load_images(lambda mixed=mixed: [mixed], with_metadata=False)  # type: ignore[misc]
                loader.finish()

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(write, SPACE, 1), pool.submit(write, other, 2)]:
            done.result()
