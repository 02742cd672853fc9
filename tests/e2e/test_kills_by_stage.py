"""Thirty kills with -9 at load, index and compaction: nothing is lost or paid for twice, and no search is kept waiting."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from pinakes.checkpoints.checkpoint import open_checkpoint
from tests.counting import Counting
from tests.running import gallery, stored
from tests.sites import SPACE, Site
from tests.waiting import until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

IMAGES = 600
KILLS = int(os.environ.get("KILLS", "10"))
"""Of each kind."""
SEARCH_SECONDS = 2
BUILDS = "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()"


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


def killed(process: subprocess.Popen[str], begun: Callable[[], object], wait: float) -> bool:
    """Kill a run a moment after something has begun; whether it was still running."""
    while not begun() and process.poll() is None:
        time.sleep(0.002)
    time.sleep(wait)
    running = process.poll() is None
    process.kill()
    process.communicate()
    return running


def test_a_run_killed_at_load_index_or_compaction_is_taken_over(site: Site, on_the_session_server: str) -> None:
    chance = random.Random(1)
    gallery(site.source, IMAGES)
    site.environment["COUNTING_SECONDS"] = "0"
    site.end(site.begin("--index", "none"))
    folder = Path(site.settings.checkpoint) / "pictures" / SPACE
    scattered = folder.parent / "scattered"  # as it was before it was compacted: 300 parts
    kept = open_checkpoint(site.settings.checkpoint, "pictures", Counting().facts.space)
    answers = Counter(site.calls())
    hits: Counter[str] = Counter()
    with psycopg.connect(site.database.dsn, autocommit=True) as looking:

        def seen(statement: str) -> Callable[[], object]:
            return lambda: (looking.execute(statement.encode()).fetchone() or [0])[0]

        def load() -> subprocess.Popen[str]:
            looking.execute(f"TRUNCATE pictures.images, pictures.{SPACE}".encode())
            return site.begin("--index", "none")

        def index() -> subprocess.Popen[str]:
            site.end(site.begin("--index", "none"))
            return site.begin("--index", "hnsw")

        def compaction() -> subprocess.Popen[str]:
            for part in [*folder.glob("part-*")]:
                part.unlink()
            for part in scattered.iterdir():
                shutil.copy(part, folder)
            return site.begin("--index", "none")

        scattered.mkdir()
        _scatter(kept, scattered)
        kinds: dict[str, tuple[Callable[[], subprocess.Popen[str]], Callable[[], object], float]] = {
            "load": (
                load,
                seen(
                    "SELECT count(*) FROM pg_locks WHERE relation = 'pictures.images'::regclass"
                    " AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock')"
                ),
                0.1,
            ),
            "index": (index, seen(BUILDS), 0.05),
            "compaction": (compaction, lambda: len([*folder.glob("part-*")]) != 300, 0.05),
        }
        with searching(site) as took:
            for number in range(3 * KILLS):
                name = list(kinds)[number % 3]
                begin, begun, longest = kinds[name]
                hits[name] += killed(begin(), begun, chance.uniform(0, longest))
                options = ("--index", "hnsw" if name == "index" else "none")
                account = site.end(site.begin(*options))
                assert (account["calls"], account["reused"], account["failed"]) == (0, IMAGES, 0)
                assert Counter(site.calls()) == answers
                site.whole()
    print(f"killed while running: {dict(hits)} of {KILLS} each; {len(took):,} searches, the longest {max(took):.2f} s")
    assert all(count >= KILLS // 2 for count in hits.values()), hits


def _scatter(kept: object, folder: Path) -> None:
    """The answers in 300 parts of two."""
    import pyarrow.parquet as pq

    (part,) = Path(kept.location).glob("part-*.parquet")  # type: ignore[attr-defined]
    table = pq.read_table(part)
    for number in range(0, table.num_rows, 2):
        pq.write_table(table.slice(number, 2), folder / f"part-{number:08}-0000-4000-8000-000000000000.parquet")


def test_what_a_kill_in_mid_index_leaves_in_the_server_does_not_keep_the_next_run_waiting(
    site: Site, on_the_session_server: str
) -> None:
    gallery(site.source, 10)
    site.environment["COUNTING_SECONDS"] = "0"
    site.end(site.begin("--index", "none"))
    stored(
        site.database,
        "INSERT INTO pictures.images (image_id, uri, fingerprint, folded)"
        " SELECT 'made' || n, 'file:///made/' || n, 'md5:' || n, '' FROM generate_series(1, 60000) AS n RETURNING 1",
    )
    stored(
        site.database,
        f"INSERT INTO pictures.{SPACE} (image_id, fingerprint, norm, embedding)"
        " SELECT image_id, fingerprint, 1, (SELECT array_agg(random() + 0 * length(image_id)) FROM"
        " generate_series(1, 27))::real[]::halfvec FROM pictures.images WHERE image_id LIKE 'made%' RETURNING 1",
    )
    building = site.begin("--index", "hnsw")
    until(lambda: stored(site.database, BUILDS) == [(1,)], building, every=0.01)
    time.sleep(2)
    building.kill()
    building.communicate()
    begun = time.monotonic()
    account = site.end(site.begin("--index", "none"))
    seconds = time.monotonic() - begun
    assert stored(site.database, BUILDS) == [(0,)]
    assert (account["calls"], account["reused"]) == (0, 10)
    begun = time.monotonic()
    site.end(site.begin("--index", "hnsw"))
    print(
        f"the run after the kill took {seconds:.1f} s, and one that builds the index {time.monotonic() - begun:.1f} s"
    )
