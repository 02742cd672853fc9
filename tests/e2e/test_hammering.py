"""Everything at once on one collection for three minutes: nobody sees a deadlock, and searches never wait for long."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle

import psycopg
import pytest

from tests.programs import ended
from tests.running import gallery, paint
from tests.sites import PROJECT, Site

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

SECONDS = float(os.environ.get("HAMMERING_SECONDS", "180"))
PATIENCE_SECONDS = 2
"""Longer than this no search waits for a lock."""

REFUSALS = (
    "is being written by",
    "has no space",
    "less than 0%",
    "is not in the collection",
    "there is no picture",
    "changed since it was listed; run again",
)
"""What a person is told who comes at the wrong moment."""


class Hammering:
    """Commands that several people repeat until the time is up."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._ends_at = time.monotonic() + SECONDS
        self.ended: Counter[str] = Counter()
        self.wrong: list[str] = []

    def lasts(self) -> bool:
        return time.monotonic() < self._ends_at and not self.wrong

    def repeat(self, *commands: tuple[str, ...]) -> threading.Thread:
        def work() -> None:
            for command in cycle(commands):
                if not self.lasts():
                    return
                self._once(command)

        return threading.Thread(target=work)

    def _once(self, command: tuple[str, ...]) -> None:
        done = ended("tests.counting", *command, cwd=PROJECT, env=self._site.environment)
        self.ended[f"{command[0]}: {done.returncode}"] += 1
        refused = any(text in done.stderr for text in REFUSALS)
        if "deadlock" in done.stderr or "Traceback" in done.stderr or (done.returncode and not refused):
            self.wrong.append(f"{' '.join(command)}: {done.returncode}\n{done.stderr}")

    def search(self) -> Iterator[float]:
        """A searcher in a loop: how long each search waits, by PostgreSQL's own limit."""
        with psycopg.connect(self._site.database.dsn, autocommit=True) as conn:
            conn.execute(f"SET lock_timeout = '{PATIENCE_SECONDS}s'")
            while self.lasts():
                begun = time.monotonic()
                try:
                    conn.execute(
                        "SELECT count(*) FROM pictures.images JOIN pictures.counting_colours_1_27 USING (image_id)"
                    )
                except psycopg.errors.LockNotAvailable as exc:
                    self.wrong.append(f"a search waited for {PATIENCE_SECONDS} s: {exc}")
                yield time.monotonic() - begun
                time.sleep(0.02)


def test_everything_at_once_shows_nobody_a_deadlock_and_keeps_no_search_waiting(site: Site) -> None:
    gallery(site.source, 30)
    site.environment["COUNTING_SECONDS"] = "0"
    site.end(site.begin())
    site.end(site.begin("--dimension", "12"))
    hammering = Hammering(site)
    ingest = ("ingest", str(site.source), "--embedder", "counting", "--wait", "30")

    def change() -> None:
        number = 0
        while hammering.lasts():
            number += 1
            paint(site.source / f"p{number % 30:02}.png", (number % 256, number // 256 % 256, 7))
            time.sleep(0.1)

    people = [
        threading.Thread(target=change),
        hammering.repeat((*ingest, "--index", "hnsw"), (*ingest, "--index", "none")),
        hammering.repeat((*ingest, "--dimension", "12", "--index", "ivfflat"), (*ingest, "--dimension", "12")),
        hammering.repeat((*ingest, "--dimension", "6")),
        hammering.repeat(("maintain",)),
        hammering.repeat(("forget", "p07.png", "--yes", "--wait", "30"), ("forget", "p07.png", "--undo", "--yes")),
        hammering.repeat(
            ("activate", "counting_colours_1_12", "--force"), ("activate", "counting_colours_1_27", "--force")
        ),
        hammering.repeat(("search", "red")),
        hammering.repeat(("status",)),
    ]
    for person in people:
        person.start()
    longest = max(hammering.search())
    for person in people:
        person.join()
    print(dict(hammering.ended), f"the longest search: {longest:.2f} s")
    assert not hammering.wrong, "\n\n".join(hammering.wrong)
