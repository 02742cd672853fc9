"""Housekeeping: what is due is done, what is not is left alone, and searches go on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from psycopg.pq import TransactionStatus

from pinakes.checkpoints import open_checkpoint
from pinakes.checkpoints.base import VectorChunk
from pinakes.cli.main import cli
from pinakes.cli.maintain import rendered
from pinakes.errors import DatabaseError, UsageError
from pinakes.maps import layout
from pinakes.maps.making import make_map
from pinakes.operations.maintenance import Act, Maintenance
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.store import indexes, reload, strong_locks
from pinakes.store.collections import ensure_collection
from pinakes.store.connection import Connection, Pgvector
from pinakes.store.database import Database
from pinakes.store.indexes import ensure_index
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.nearest import Wanted, nearest
from pinakes.store.reconnecting import Reconnecting
from pinakes.store.space_registry import register_space, resolve_space, spaces
from pinakes.takedowns.forget import THUMBNAILS, Takedowns
from pinakes.types import Answer
from tests.counting import Counting
from tests.running import find, gallery, paint, run, stored

SPACE = Counting().facts.space
PLAIN = Space("made", "up", "1", 16, "")


def maintained(settings: Settings, database: Database, **options: Any) -> list[Act]:
    return list(Maintenance(settings, database, **options).run())


def done(acts: list[Act], what: str) -> list[str]:
    return [act.detail for act in acts if act.what == what and act.done]


class Indexed:
    """A collection of made-up vectors with an index."""

    def __init__(self, conn: Connection, pgvector: Pgvector, lasting: Reconnecting, lease: Lease, kind: str) -> None:
        self.conn, self.pgvector, self.lasting, self.lease = conn, pgvector, lasting, lease
        self.rng = np.random.default_rng(1)
        self.names = [f"{n:04}.jpg" for n in range(400)]
        self.loader = Loader(lasting, "ours", PLAIN, lease)
        self.load(self.names, "a")
        ensure_index(conn, "ours", PLAIN, kind, lease, pgvector)  # type: ignore[arg-type]  # one of the kinds

    def load(self, names: list[str], version: str, *, expected: int = 0) -> Any:
        frame = pd.DataFrame({"image_id": names, "uri": [f"file:///{n}" for n in names]})
        frame["fingerprint"] = [f"md5:{version}{n}" for n in names]
        self.loader.load_images(lambda: [frame], with_metadata=False)
        vectors = self.rng.standard_normal((len(names), PLAIN.dimension)).astype(np.float32)
        chunks = [
            VectorChunk(names[at : at + 64], frame["fingerprint"].tolist()[at : at + 64], vectors[at : at + 64])
            for at in range(0, len(names), 64)
        ]
        written = self.loader.load_vectors(chunks, expected=expected)
        self.loader.finish()
        return written

    def search(self) -> list[str]:
        """The nearest to a fixed query, by the index."""
        query = np.ones(PLAIN.dimension, np.float32) / 4
        registered = resolve_space(self.conn, "ours")
        rows = nearest(self.conn, self.pgvector, "ours", registered, query, Wanted(10, mode="index")).rows
        return [row.image_id for row in rows]

    def count_at_once(self) -> None:
        """Report dead rows now; PostgreSQL does so within seconds, or when the connection ends."""
        self.lasting.do("counting", lambda conn: conn.execute("SELECT pg_stat_force_next_flush()"))
        self.lasting.do("counting", lambda conn: conn.execute("SELECT 1"))

    def one(self, statement: str) -> Any:
        row = self.conn.execute(statement.encode()).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture(params=["hnsw"])
def indexed(request: pytest.FixtureRequest, database: Database) -> Iterator[Indexed]:
    with database.connection() as (conn, pgvector):
        ensure_collection(conn, "ours", "file:///x/")
        register_space(conn, "ours", PLAIN)
        with Lease(database.dsn, "test", seconds=30) as lease, database.reconnecting() as lasting:
            yield Indexed(conn, pgvector, lasting, lease, request.param)


def test_an_index_is_measured_when_it_is_built(indexed: Indexed) -> None:
    size = indexed.one(f"SELECT pg_relation_size('ours.{PLAIN.name}_hnsw')")
    assert indexed.one("SELECT index_bytes FROM ours.spaces") == size
    assert indexed.one("SELECT index_rows FROM ours.spaces") == 400


def test_no_transaction_is_open_while_a_map_is_laid_out(indexed: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[TransactionStatus] = []
    clusters = layout._clusters

    def noting(places: layout.Matrix, seed: int) -> layout.Numbers:
        states.append(indexed.conn.info.transaction_status)
        return clusters(places, seed)

    monkeypatch.setattr(layout, "has_tsne", lambda: False)
    monkeypatch.setattr(layout, "_clusters", noting)
    assert make_map(indexed.conn, "ours", resolve_space(indexed.conn, "ours")).images == 400
    assert states == [TransactionStatus.IDLE]


def test_a_bloated_index_is_built_anew_and_one_that_is_not_stays(
    indexed: Indexed, settings: Settings, database: Database
) -> None:
    index = f"ours.{PLAIN.name}_hnsw"
    before = indexed.one(f"SELECT pg_relation_filenode('{index}')")
    assert done(maintained(settings, database), "index") == []
    assert indexed.one(f"SELECT pg_relation_filenode('{index}')") == before
    indexed.loader.remove(indexed.names[:200])
    indexed.loader.finish()
    indexed.count_at_once()
    (detail,) = done(maintained(settings, database), "index")
    assert "2.00 times its size when built" in detail
    assert indexed.one(f"SELECT pg_relation_filenode('{index}')") != before
    assert indexed.one("SELECT index_rows FROM ours.spaces") == 200
    assert len(indexed.search()) == 10
    assert done(maintained(settings, database), "index") == []


def test_an_index_full_of_dead_rows_is_built_anew_before_the_vacuum(
    indexed: Indexed, settings: Settings, database: Database
) -> None:
    indexed.conn.execute(f"ALTER TABLE ours.{PLAIN.name} SET (autovacuum_enabled = false)".encode())
    indexed.load(indexed.names[:120], "b")
    indexed.count_at_once()
    acts = maintained(settings, database)
    what = [act.what for act in acts if act.done]
    assert what.index("index") < what.index("vacuum")
    assert "23% dead" in done(acts, "index")[0]
    assert done(maintained(settings, database), "index") == []


def test_what_a_concurrent_build_that_died_left_is_dropped(
    indexed: Indexed, settings: Settings, database: Database
) -> None:
    name = f"{PLAIN.name}_hnsw_ccnew"
    indexed.conn.execute(f"CREATE INDEX {name} ON ours.{PLAIN.name} (norm)".encode())
    indexed.conn.execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ours.{name}'::regclass".encode())
    assert "a half-built one was dropped" in done(maintained(settings, database), "index")
    assert indexed.one(f"SELECT to_regclass('ours.{name}')") is None


@pytest.mark.parametrize("indexed", ["ivfflat"], indirect=True)
def test_an_ivfflat_index_that_was_outgrown_is_built_anew(
    indexed: Indexed, settings: Settings, database: Database
) -> None:
    indexed.load([f"new {n:04}.jpg" for n in range(500)], "a")
    assert done(maintained(settings, database), "index") == ["rebuilt: 400 rows have become 900"]
    assert indexed.one("SELECT index_rows FROM ours.spaces") == 900
    assert len(indexed.search()) == 10


@pytest.mark.parametrize("indexed", ["hnsw", "ivfflat"], indirect=True)
def test_a_large_reload_goes_into_a_second_table_and_swaps(
    indexed: Indexed, database: Database, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(reload, "LEAST_ROWS", 0)
    indexed.conn.execute("CREATE ROLE visitor")
    try:
        indexed.conn.execute(f"GRANT SELECT ON ours.{PLAIN.name} TO visitor".encode())
        before = indexed.one(f"SELECT 'ours.{PLAIN.name}'::regclass::oid")
        shape = _shape(indexed)
        kept = stored(database, f"SELECT image_id, embedding FROM ours.{PLAIN.name} WHERE image_id >= '0300.jpg'")
        written = indexed.load(indexed.names[:300], "b", expected=300)
        assert (written.inserted, written.updated) == (300, 0)
        assert indexed.one(f"SELECT 'ours.{PLAIN.name}'::regclass::oid") != before
        assert _shape(indexed) == shape, "names, constraints, indexes and rights are those of before"
        assert sorted(map(str, kept)) == sorted(
            map(
                str, stored(database, f"SELECT image_id, embedding FROM ours.{PLAIN.name} WHERE image_id >= '0300.jpg'")
            )
        )
        assert (
            indexed.one(f"SELECT count(*) FROM ours.{PLAIN.name} v JOIN ours.images USING (image_id, fingerprint)")
            == 400
        )
        assert indexed.one("SELECT index_rows FROM ours.spaces") == 400
        assert len(indexed.search()) == 10
        indexed.loader.remove(indexed.names[:10])
        assert indexed.one(f"SELECT count(*) FROM ours.{PLAIN.name}") == 390, "images still take their vectors along"
    finally:
        indexed.conn.execute("DROP OWNED BY visitor")
        indexed.conn.execute("DROP ROLE visitor")


def _shape(indexed: Indexed) -> list[Any]:
    return indexed.conn.execute(
        "SELECT 'column', attname, format_type(atttypid, atttypmod), attstorage::text, attnotnull::text FROM pg_attribute"
        f" WHERE attrelid = 'ours.{PLAIN.name}'::regclass AND attnum > 0"
        " UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid), '', '' FROM pg_constraint"
        f" WHERE conrelid = 'ours.{PLAIN.name}'::regclass AND contype <> 'n'"
        " UNION ALL SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid), '', '' FROM pg_index"
        f" WHERE indrelid = 'ours.{PLAIN.name}'::regclass"
        " UNION ALL SELECT 'right', grantee::text, privilege_type, '', '' FROM information_schema.role_table_grants"
        f" WHERE table_schema = 'ours' AND table_name = '{PLAIN.name}' ORDER BY 1, 2, 3".encode()
    ).fetchall()


def test_a_small_change_is_made_in_place(indexed: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "LEAST_ROWS", 0)
    before = indexed.one(f"SELECT 'ours.{PLAIN.name}'::regclass::oid")
    indexed.load(indexed.names[:40], "b", expected=40)
    assert indexed.one(f"SELECT 'ours.{PLAIN.name}'::regclass::oid") == before


def test_a_reload_that_died_is_begun_anew(indexed: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "LEAST_ROWS", 0)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(reload.Reload, "end", dies)
        with pytest.raises(KeyboardInterrupt):
            indexed.load(indexed.names[:300], "b", expected=300)
    assert indexed.one(f"SELECT count(*) FROM ours.{PLAIN.name}") == 100, "what is current is still searched"
    assert len(indexed.search()) == 10
    assert indexed.load(indexed.names[:300], "b", expected=300).inserted == 300
    assert indexed.one(f"SELECT to_regclass('ours.\"{PLAIN.name}~next\"')") is None


def test_images_that_change_or_go_during_a_reload_do_not_come_back_with_it(
    indexed: Indexed, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "LEAST_ROWS", 0)
    swap = reload.Reload.end

    def meanwhile(self: reload.Reload, conn: Connection) -> tuple[int, int]:
        with database.connection() as (other, _):  # as a run into another space does
            other.execute("UPDATE ours.images SET fingerprint = 'md5:other' WHERE image_id = '0001.jpg'")
            other.execute("DELETE FROM ours.images WHERE image_id IN ('0002.jpg', '0399.jpg')")
        return swap(self, conn)

    monkeypatch.setattr(reload.Reload, "end", meanwhile)
    indexed.load(indexed.names[:300], "b", expected=300)
    left = {image_id for (image_id,) in stored(database, f"SELECT image_id FROM ours.{PLAIN.name}")}
    assert left == set(indexed.names) - {"0001.jpg", "0002.jpg", "0399.jpg"}


def test_searches_go_on_while_a_swap_waits_for_a_long_reader(
    indexed: Indexed, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "LEAST_ROWS", 0)
    monkeypatch.setattr(strong_locks, "LOCK_SECONDS", 0.2)
    monkeypatch.setattr(strong_locks, "PAUSE_SECONDS", 0.2)
    answered = 0
    with database.connection() as (reader, _), database.connection() as (searcher, _):
        with reader.transaction():
            reader.execute(f"SELECT count(*) FROM ours.{PLAIN.name}".encode())
            loading = threading.Thread(target=indexed.load, args=(indexed.names[:300], "b"), kwargs={"expected": 300})
            loading.start()
            for _ in range(20):
                searcher.execute(f"SELECT image_id FROM ours.{PLAIN.name} LIMIT 1".encode())
                answered += 1
                loading.join(0.1)
            assert loading.is_alive()
        loading.join()
    assert answered == 20
    assert indexed.one(f"SELECT count(*) FROM ours.{PLAIN.name}") == 400


def test_a_swap_that_never_gets_its_lock_says_why_and_leaves_the_old_table(
    indexed: Indexed, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "LEAST_ROWS", 0)
    monkeypatch.setattr(strong_locks, "LOCK_SECONDS", 0.1)
    monkeypatch.setattr(indexes, "LONG_PATIENCE", 0.0)
    with database.connection() as (reader, _), reader.transaction():
        reader.execute(f"SELECT count(*) FROM ours.{PLAIN.name}".encode())
        with pytest.raises(
            DatabaseError,
            match=r"putting a new index in place needs .* and process \d+ of the server .* has not let go of it",
        ):
            indexed.load(indexed.names[:300], "b", expected=300)
    assert len(indexed.search()) == 10


# -- checkpoints, what all share, and the command ----------------------------------------------------------------------


@pytest.fixture
def source(settings: Settings, tmp_path: Path) -> Path:
    pictures = gallery(tmp_path / "in")
    run(settings, pictures)
    return pictures


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_small_parts_are_merged_in_their_own_format(
    settings: Settings, database: Database, tmp_path: Path, form: Any
) -> None:
    pictures = gallery(tmp_path / "in")
    run(settings, pictures, format=form)
    checkpoint = open_checkpoint(settings.checkpoint, "pictures", SPACE, format=form)
    for number in range(8):
        vector = np.full(SPACE.dimension, number + 1, np.float32)
        checkpoint.write([Answer(f"{number}.png", f"md5:{number:032x}", vector, None, 1, "1")])
    before = set(checkpoint.ledger())
    (detail,) = done(maintained(settings, database), "checkpoint")
    assert detail == "parts: 9, now 1"
    again = open_checkpoint(settings.checkpoint, "pictures", SPACE)
    assert set(again.ledger()) == before
    assert {path.suffix for path in Path(again.location).glob("part-*")} == {f".{form}"}
    assert done(maintained(settings, database), "checkpoint") == []
    assert run(settings, pictures).account.rows_written == 0


def test_a_take_down_that_died_is_finished(
    settings: Settings, database: Database, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    own = Takedowns(settings, database, "pictures")
    with monkeypatch.context() as patched:
        patched.setattr("pinakes.takedowns.forget.remove_images", dies)
        with pytest.raises(KeyboardInterrupt):
            own.forget(own.find(["p03.png"]))
    assert done(maintained(settings, database), "tombstones") == [
        "forgotten answers removed: 1",
        "forgotten pictures removed: 1",
    ]
    assert not open_checkpoint(settings.checkpoint, "pictures", SPACE).ledger().known("p03.png")
    assert stored(database, "SELECT count(*) FROM pictures.images") == [(11,)]
    assert done(maintained(settings, database), "tombstones") == []


def test_old_runs_locks_and_queries_go_and_the_newest_run_stays(
    settings: Settings, database: Database, source: Path
) -> None:
    run(settings, source)
    with database.connection() as (conn, _):
        conn.execute("UPDATE pinakes.runs SET started_at = started_at - interval '2 years'")
        conn.execute("INSERT INTO pinakes.locks VALUES ('old', 'x', 1, now(), now() - interval '2 days')")
        conn.execute("INSERT INTO pinakes.locks VALUES ('new', 'x', 1, now(), now() - interval '1 minute')")
        for space, query, days in (
            (SPACE.name, "a", 400),
            (SPACE.name, "b", 40),
            ("other", "c", 40),
            ("other", "d", 2),
        ):
            conn.execute(
                "INSERT INTO pinakes.query_vectors VALUES (%s, %s, '{1}', '{}', '{}', now() - %s * interval '1 day')",
                (space, query.encode(), days),
            )
    acts = maintained(settings, database)
    assert done(acts, "runs") == ["1 removed (365 days old)"]
    assert done(acts, "locks") == ["1 removed (had run out)"]
    assert done(acts, "queries") == ["2 removed (long not asked)"]
    assert stored(database, "SELECT resource FROM pinakes.locks") == [("new",)]
    assert stored(database, "SELECT query FROM pinakes.query_vectors ORDER BY 1") == [(b"b",), (b"d",)]
    assert stored(database, "SELECT count(*) FROM pinakes.runs") == [(1,)]


def test_thumbnails_beyond_their_room_go(
    settings: Settings, database: Database, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.home.joinpath(*THUMBNAILS) / "ab"
    folder.mkdir(parents=True)
    for number in range(10):
        (folder / f"ab{number}").write_bytes(bytes(100))
    assert done(maintained(settings, database), "thumbnails") == []
    monkeypatch.setattr("pinakes.operations.maintenance.MAX_BYTES", 500)
    assert len(done(maintained(settings, database), "thumbnails")) == 1
    assert len(list(folder.iterdir())) < 5


def test_a_space_that_is_being_written_is_left_for_the_next_time(
    settings: Settings, database: Database, source: Path
) -> None:
    run(settings, source, dimension=6)
    with Lease(database.dsn, f"pictures/{SPACE.name}", seconds=3):
        acts = maintained(settings, database)
    (left,) = [act for act in acts if act.what == "space"]
    assert left.where == f"pictures/{SPACE.name}"
    assert "is being written by process" in left.detail
    assert any(act.where.endswith("_6") and act.what == "checkpoint" for act in acts)


def test_nothing_due_is_nothing_done_and_searches_are_as_before(
    settings: Settings, database: Database, source: Path
) -> None:
    maintained(settings, database)
    before = find(database, "red").hits
    files = {path: path.stat().st_mtime_ns for path in Path(settings.checkpoint).rglob("*")}
    assert [act for act in maintained(settings, database) if act.done] == []
    assert {path: path.stat().st_mtime_ns for path in Path(settings.checkpoint).rglob("*")} == files
    assert find(database, "red").hits == before
    paint(source / "new.png", (1, 1, 1))
    assert run(settings, source).account.embedded == 1
    with database.connection() as (conn, _):
        assert [each.rows for each in spaces(conn, "pictures")] == [13]


def test_the_command_fits_80_columns_and_has_one_json_document(
    settings: Settings, source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PINAKES_HOME", str(settings.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", settings.database_url or "")

    def pinakes(*arguments: str) -> str:
        return CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False).output

    told = pinakes("maintain")
    assert all(len(line) <= 80 for line in told.splitlines())
    assert "none: searches are exact" in told
    acts = json.loads(pinakes("maintain", "--collection", "pictures", "--json"))["acts"]
    assert {act["what"] for act in acts} >= {"checkpoint", "index", "runs", "queries", "thumbnails"}
    outcome = CliRunner().invoke(cli, ["maintain", "--collection", "other"], standalone_mode=False)
    assert isinstance(outcome.exception, UsageError)


def test_what_was_found_is_wrapped_and_not_cut() -> None:
    detail = "left for the next time: the space is being written by process 4711 on museum-1, and " + "so on " * 10
    acts = [
        Act("semart/azure_vision_2023_04_15_1024", "space", False, detail),
        Act("semart", "vacuum", True, "rows: 3"),
    ]
    shown = rendered(acts)
    assert detail.strip() in " ".join(shown.split())
    assert "* vacuum  rows: 3" in shown
    assert max(map(len, shown.splitlines())) <= 80
