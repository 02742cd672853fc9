"""A connection that is lost in the middle of a load: the part is loaded again, nothing twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

from pinakes.checkpoints.base import VectorChunk
from pinakes.errors import DatabaseError
from pinakes.ingest import listing, lost_answers
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.store import reload
from pinakes.store.assignments import RunOfLeader, RunOfWorker
from pinakes.store.collections import ensure_collection
from pinakes.store.connection import Connection, ensure_pgvector
from pinakes.store.database import Database
from pinakes.store.indexes import ensure_index
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.reconnecting import Reconnecting
from pinakes.store.runs import start_run
from pinakes.store.space_registry import register_space
from tests.running import gallery, run, stored

T = TypeVar("T")

SPACE = Space("counting", "random", "1", 8, "")
IDS = [f"i{n:03}" for n in range(300)]
FRAME = pd.DataFrame({"image_id": IDS, "uri": IDS, "fingerprint": IDS, "title": IDS})
VECTORS = np.random.default_rng(1).standard_normal((300, 8)).astype(np.float32)


def cut(database: Database) -> None:
    """End every other session of the database, as a restart of the server would."""
    with database.connection() as (conn, _):
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


def chunks(database: Database, cuts: set[int]) -> Iterator[VectorChunk]:
    for number, start in enumerate(range(0, 300, 100)):
        if number in cuts:
            cut(database)
        yield VectorChunk(IDS[start : start + 100], IDS[start : start + 100], VECTORS[start : start + 100])


def frames(database: Database, cuts: list[int]) -> Iterator[pd.DataFrame]:
    for number, start in enumerate(range(0, 300, 100)):
        if number in cuts:
            cuts.remove(number)
            cut(database)
        yield FRAME.iloc[start : start + 100]


@pytest.mark.parametrize("again", [False, True])
def test_a_part_whose_connection_is_lost_is_loaded_again(database: Database, again: bool) -> None:
    with database.connection() as (conn, _):
        ensure_collection(conn, "pictures", "file:///x/")
        register_space(conn, "pictures", SPACE)
    with Lease(database.dsn, "x", seconds=5) as lease:
        if again:
            with database.reconnecting() as lasting:
                Loader(lasting, "pictures", SPACE, lease).load_images(
                    lambda: [FRAME.iloc[:50].assign(title="old")], with_metadata=True
                )
        with database.reconnecting() as lasting:
            loader = Loader(lasting, "pictures", SPACE, lease)
            cuts = [1]
            images = loader.load_images(lambda: frames(database, cuts), with_metadata=True)
            vectors = loader.load_vectors(chunks(database, {1, 2}))
    assert (images.inserted, images.updated) == ((250, 50) if again else (300, 0))
    assert vectors.inserted == 300
    assert stored(database, "SELECT count(*), count(DISTINCT title) FROM pictures.images") == [(300, 300)]
    assert stored(database, f"SELECT count(*) FROM pictures.{SPACE.name}") == [(300,)]


def cut_after(connection: Reconnecting, database: Database, what: str, number: int = 0) -> None:
    """Let a connection be lost once, when an action has been committed and before anybody learns of it.

    Args:
        connection: whose actions are watched.
        database: its database.
        what: the beginning of the action's name.
        number: which of the actions of that name, counted from 0.
    """
    numbers, do = count(), connection.do

    def watched(name: str, action: Callable[[Connection], T]) -> T:
        if not name.startswith(what) or next(numbers) != number:
            return do(name, action)
        cuts = iter([True])

        def lost(conn: Connection) -> T:
            result = action(conn)
            if next(cuts, False):
                cut(database)
                conn.execute("SELECT 1")
            return result

        return do(name, lost)

    connection.do = watched  # type: ignore[method-assign]


def test_vectors_that_were_committed_before_anybody_learned_of_it_are_not_copied_again(database: Database) -> None:
    with database.connection() as (conn, _):
        ensure_collection(conn, "pictures", "file:///x/")
        register_space(conn, "pictures", SPACE)
    with Lease(database.dsn, "x", seconds=5) as lease, database.reconnecting() as lasting:
        cut_after(lasting, database, "loading the vectors", 2)
        loader = Loader(lasting, "pictures", SPACE, lease)
        loader.load_images(lambda: [FRAME], with_metadata=True)
        loader.load_vectors(chunks(database, set()))
    assert stored(database, f"SELECT count(*) FROM pictures.{SPACE.name}") == [(300,)]


def test_a_second_table_that_took_its_place_before_anybody_learned_of_it_is_not_swapped_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "LEAST_ROWS", 0)
    with database.connection() as (conn, pgvector):
        ensure_collection(conn, "pictures", "file:///x/")
        register_space(conn, "pictures", SPACE)
        with Lease(database.dsn, "x", seconds=5) as lease:
            with database.reconnecting() as lasting:
                loader = Loader(lasting, "pictures", SPACE, lease)
                loader.load_images(lambda: [FRAME], with_metadata=True)
                loader.load_vectors([VectorChunk(IDS[:100], IDS[:100], VECTORS[:100])])
            ensure_index(conn, "pictures", SPACE, "hnsw", lease, pgvector)
            # A look at the space, the second table, three chunks, what is kept, and the build come before the swap.
            with database.reconnecting() as lasting:
                cut_after(lasting, database, "loading the vectors", 7)
                loader = Loader(lasting, "pictures", SPACE, lease)
                written = loader.load_vectors(chunks(database, set()), expected=300)
    assert (written.inserted, written.updated) == (200, 0)
    assert stored(database, "SELECT index_kind, index_rows FROM pictures.spaces") == [("hnsw", 300)]
    assert stored(database, f"SELECT count(*) FROM pictures.{SPACE.name}") == [(300,)]


def test_calls_are_given_back_once_though_nobody_learned_of_it(database: Database) -> None:
    run_id = uuid4()
    with database.connection() as (conn, _):
        start_run(conn, run_id, "pictures", SPACE.name)
    with RunOfLeader(database.dsn, run_id) as leader:
        leader.open(("pictures", SPACE.name), 2000)
    with RunOfWorker(database.dsn, run_id, f"pictures/{SPACE.name}", 1, 5.0) as worker:
        cut_after(worker, database, "giving calls back")
        taken = worker.take_calls()
        worker.give_back_calls(taken)
    assert taken > 1
    assert stored(database, "SELECT calls_left FROM pinakes.runs") == [(2000,)]


def test_a_connection_that_may_not_be_opened_again_is_lost_with_an_error(database: Database) -> None:
    with database.connection() as (conn, _):
        ensure_collection(conn, "pictures", "file:///x/")
        register_space(conn, "pictures", SPACE)
    with (
        Lease(database.dsn, "x", seconds=5) as lease,
        Reconnecting(database.dsn, ensure_pgvector, pauses=()) as once,
        pytest.raises(DatabaseError, match="loading the images"),
    ):
        Loader(once, "pictures", SPACE, lease).load_images(lambda: frames(database, [1]), with_metadata=True)


def test_a_run_whose_connection_is_lost_while_it_plans_goes_on(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = gallery(tmp_path / "in", 5)
    shutil.rmtree(run(settings, source).run.checkpoint.location)
    lost: list[str] = []

    def losing(name: str, read: Callable[..., Any]) -> Callable[..., Any]:
        def first_lost(conn: Connection, *args: Any, **kwargs: Any) -> Any:
            if name not in lost:
                lost.append(name)
                cut(database)
            return read(conn, *args, **kwargs)

        return first_lost

    monkeypatch.setattr(listing, "held_in_table", losing("plan", listing.held_in_table))
    monkeypatch.setattr(lost_answers, "held_vectors", losing("vectors", lost_answers.held_vectors))
    account = run(settings, source, from_table=True).account
    assert lost == ["plan", "vectors"]
    assert (account.reused, account.calls) == (5, 0)
