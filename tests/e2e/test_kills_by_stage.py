"""Thirty kills with -9 at load, index and compaction: nothing is lost or paid for twice, and no search is kept waiting.

The runs are processes forked from one that has imported everything, and without Prefect, which only watches: that makes
thirty of them a matter of minutes. tests/e2e/test_kill.py kills the command that a person types.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pinakes.ingest.stages import ingest
from pinakes.settings import Settings
from tests.running import gallery, request_of, stored
from tests.sites import SPACE, Site
from tests.waiting import until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

IMAGES, PARTS = 600, 300
KILLS = int(os.environ.get("KILLS", "10"))
"""Of each kind."""
SEARCH_SECONDS = 2
GATE = 1729
"""The advisory lock at which the server lets a run wait while the test holds it."""

GATES = f"""
    CREATE TABLE public.gate (image_id text);
    INSERT INTO public.gate VALUES (NULL);
    CREATE FUNCTION public.at_a_row() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF new.image_id = (SELECT image_id FROM public.gate) THEN
            PERFORM pg_advisory_xact_lock_shared({GATE});
        END IF;
        RETURN new;
    END $$;
    CREATE TRIGGER gate BEFORE INSERT ON pictures.images FOR EACH ROW EXECUTE FUNCTION public.at_a_row();
    CREATE FUNCTION public.at_an_index() RETURNS event_trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF current_query() ILIKE '%USING hnsw%' THEN
            PERFORM pg_advisory_xact_lock_shared({GATE});
        END IF;
    END $$;
    CREATE EVENT TRIGGER before_an_index ON ddl_command_start WHEN tag IN ('CREATE INDEX')
        EXECUTE FUNCTION public.at_an_index();
    CREATE EVENT TRIGGER after_an_index ON ddl_command_end WHEN tag IN ('CREATE INDEX')
        EXECUTE FUNCTION public.at_an_index();
"""
WAITS = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {GATE} AND NOT granted"
VALID = f"SELECT indisvalid FROM pg_index WHERE indexrelid = 'pictures.{SPACE}_hnsw'::regclass"
BEGUN = "SELECT tuples_done > 100 FROM pg_stat_progress_create_index WHERE datname = current_database()"
BUILDS = "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()"


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.e2e.test_kills_by_stage"])


class Run:
    """A whole ingest in a process of its own."""

    def __init__(self, site: Site, index: str) -> None:
        self._answers, answers = FORKS.Pipe(duplex=False)
        self.process = FORKS.Process(target=_ingest, args=(site.settings, site.source, str(site.log), index, answers))
        self.process.start()
        answers.close()

    def poll(self) -> int | None:
        return self.process.exitcode

    def communicate(self) -> str:
        """How it ended, where it should not have."""
        return f"it ended with {self.process.exitcode}; its output is above"

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        assert self.process.exitcode == -signal.SIGKILL, "it had ended before"

    def end(self) -> dict[str, Any]:
        """Its account."""
        try:
            account: dict[str, Any] = self._answers.recv()
        except EOFError:
            raise AssertionError(self.communicate()) from None
        self.process.join()
        return account


def _ingest(settings: Settings, source: Path, log: str, index: str, answers: Connection) -> None:
    os.environ["COUNTING_LOG"] = log
    answers.send(ingest(request_of(settings, source, index=index), settings))


@contextmanager
def searching(site: Site) -> Iterator[list[float]]:
    """A searcher in a loop, none of whose searches may wait for longer than two seconds for a lock."""
    over = threading.Event()
    took: list[float] = []
    wrong: list[psycopg.Error] = []

    def search() -> None:
        with psycopg.connect(site.database.dsn, autocommit=True) as conn:
            conn.execute(f"SET lock_timeout = '{SEARCH_SECONDS}s'".encode())
            while not over.wait(0.02):
                begun = time.monotonic()
                try:
                    conn.execute(
                        f"SELECT count(*) FROM pictures.images JOIN pictures.{SPACE} USING (image_id)".encode()
                    )
                except psycopg.errors.LockNotAvailable as exc:
                    wrong.append(exc)
                took.append(time.monotonic() - begun)

    searcher = threading.Thread(target=search)
    searcher.start()
    try:
        yield took
    finally:
        over.set()
        searcher.join()
    assert not wrong, f"a search waited for {SEARCH_SECONDS} s"


def test_a_run_killed_at_load_index_or_compaction_is_taken_over(site: Site) -> None:
    chance = random.Random(int(os.environ.get("SOAK_SEED", "1")))
    gallery(site.source, IMAGES)
    Run(site, "none").end()
    folder = Path(site.settings.checkpoint) / "pictures" / SPACE
    scattered = site.source.parent / "scattered"
    scatter(folder, scattered)
    answers = Counter(site.calls())
    with psycopg.connect(site.database.dsn, autocommit=True) as gate:
        gate.execute(GATES.encode())

        def waits() -> bool:
            return gate.execute(WAITS.encode()).fetchone() != (0,)

        def load() -> Callable[[], bool]:
            """Killed between two rows, wherever that is."""
            gate.execute(f"TRUNCATE pictures.images, pictures.{SPACE}".encode())
            gate.execute("UPDATE public.gate SET image_id = %s", (chance.choice([*site.source.iterdir()]).name,))
            return waits

        def index() -> Callable[[], bool]:
            """Killed before the index is built, or when it is and nobody sees it yet."""
            before, after = chance.sample(("ENABLE", "DISABLE"), 2)
            gate.execute(f"ALTER EVENT TRIGGER before_an_index {before}".encode())
            gate.execute(f"ALTER EVENT TRIGGER after_an_index {after}".encode())
            return waits

        def compaction() -> Callable[[], bool]:
            """Killed while the new part is written, or while the old ones are deleted."""
            for part in folder.glob("part-*"):
                part.unlink()
            shutil.copytree(scattered, folder, dirs_exist_ok=True)
            if chance.random() < 0.5:
                return lambda: any(folder.glob(".part-*.tmp"))
            return lambda: 0 < len([*folder.glob("part-*")]) < PARTS

        stages = {"load": load, "index": index, "compaction": compaction}
        with searching(site) as took:
            for number in range(3 * KILLS):
                name = [*stages][number % 3]
                begun = stages[name]()
                kind = "hnsw" if name == "index" else "none"
                gate.execute("SELECT pg_advisory_lock(%s)", (GATE,))
                run = Run(site, kind)
                until(begun, run, every=0.001)
                run.kill()
                gate.execute("SELECT pg_advisory_unlock(%s)", (GATE,))
                account = Run(site, kind).end()
                assert (account["calls"], account["reused"], account["failed"]) == (0, IMAGES, 0)
                assert Counter(site.calls()) == answers
                site.whole()
                if name == "index":
                    assert stored(site.database, VALID) == [(True,)]
    print(f"{3 * KILLS} runs killed; {len(took):,} searches, the longest {max(took):.2f} s")


def scatter(folder: Path, into: Path) -> None:
    """The answers of a checkpoint in many parts, as they are before it is compacted."""
    into.mkdir()
    table = pa.concat_tables(pq.read_table(part) for part in folder.glob("part-*.parquet"))
    for number, start in enumerate(range(0, table.num_rows, IMAGES // PARTS)):
        rows = table.slice(start, IMAGES // PARTS)
        pq.write_table(rows, into / f"part-{number:08}-0000-4000-8000-000000000000.parquet")


def test_what_a_kill_in_mid_index_leaves_in_the_server_does_not_keep_the_next_run_waiting(
    site: Site, on_the_session_server: str
) -> None:
    gallery(site.source, 10)
    site.environment["COUNTING_SECONDS"] = "0"
    site.end(site.begin("--index", "none"))
    stored(
        site.database,
        "INSERT INTO pictures.images (image_id, uri, fingerprint, folded)"
        " SELECT 'made' || n, 'file:///made/' || n, 'md5:' || n, '' FROM generate_series(1, 20000) AS n RETURNING 1",
    )
    stored(
        site.database,
        f"INSERT INTO pictures.{SPACE} (image_id, fingerprint, norm, embedding)"
        " SELECT image_id, fingerprint, 1, (SELECT array_agg(random()) FROM generate_series(1, 27)"
        " WHERE image_id IS NOT NULL)::real[]::halfvec FROM pictures.images WHERE image_id LIKE 'made%' RETURNING 1",
    )
    building = site.begin("--index", "hnsw")
    until(lambda: stored(site.database, BEGUN) == [(True,)], building, every=0.01)
    building.kill()
    building.communicate()
    begun = time.monotonic()
    account = site.end(site.begin("--index", "none"))
    print(f"the run after the kill took {time.monotonic() - begun:.1f} s")
    assert stored(site.database, BUILDS) == [(0,)]
    assert (account["calls"], account["reused"]) == (0, 10)
    site.end(site.begin("--index", "hnsw"))
    assert stored(site.database, VALID) == [(True,)]
