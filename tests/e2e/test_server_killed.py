"""The embedded database's server is killed while a run uses it, and nobody else does: the run starts it again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.store.embedded.cluster import postmaster
from pinakes.store.embedded.place import find_place
from pinakes.store.embedded.server import embedded_server, remove_server
from tests.running import gallery, paint
from tests.sites import Site
from tests.waiting import PATIENCE, until


@pytest.fixture
def own(settings: Settings, environment: dict[str, str], tmp_path: Path) -> Iterator[Site]:
    """A collection of five pictures in the embedded server of a home."""
    kept = {name: value for name, value in environment.items() if name != "PINAKES_DATABASE_URL"}
    try:
        with embedded_server(settings.home) as dsn:
            site = Site(settings, Database(dsn), kept, tmp_path)
            gallery(site.source, 5)
            site.end(site.begin())
        yield site
        for process in site.processes:
            process.kill()
            process.wait()
    finally:
        remove_server(settings.home)


def kill_server(site: Site) -> None:
    place = find_place(site.settings.home)
    assert place is not None
    server = postmaster(place)
    assert server is not None
    os.kill(server, signal.SIGKILL)


def completed(site: Site, images: int) -> None:
    with embedded_server(site.settings.home):
        assert site.states() == ["completed", "completed"]
        site.whole()
    assert len(site.calls()) == images


def test_a_run_whose_server_is_killed_while_it_embeds_starts_it_again(own: Site) -> None:
    gallery(own.source / "more", 40)
    for path in (own.source / "more").iterdir():
        path.rename(own.source / f"more-{path.name}")
    (own.source / "more").rmdir()
    running = own.begin("--batch-size", "4")
    until(lambda: len(own.calls()) > 15, running)
    kill_server(own)
    until(lambda: len(own.calls()) > 30, running)
    _, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, err
    assert "was killed, or died, while it was in use, and has been started again" in err
    completed(own, len(own.calls()))


@pytest.mark.slow
def test_a_run_whose_server_is_killed_in_mid_upsert_starts_it_again(own: Site) -> None:
    paint(own.source / "new.png", (1, 2, 3))
    own.environment["COUNTING_SECONDS"] = "3"
    running = own.begin()
    until(lambda: len(own.calls()) == 6, running)
    with suppress(psycopg.OperationalError), psycopg.connect(own.database.dsn) as blocking:
        blocking.execute("LOCK TABLE pictures.images IN SHARE ROW EXCLUSIVE MODE")
        with psycopg.connect(own.database.dsn, autocommit=True) as looking:

            def waiting() -> bool:
                row = looking.execute(
                    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pictures.images'::regclass"
                ).fetchone()
                return row is not None and row[0] > 0

            until(waiting, running)
            kill_server(own)
    assert own.end(running)["rows_written"] == 2
    completed(own, 6)
