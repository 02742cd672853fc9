"""A source that changes at random, re-indexed by runs that are killed at random: after each cycle all three agree."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.settings import Settings
from pinakes.store.database import Database
from tests.counting import Counting
from tests.programs import Program
from tests.running import gallery, paint, stored

PROJECT = Path(__file__).parents[2]
IMAGES = 60
MOST_KILLS = 2
"""In one cycle, so that it ends."""
SPACE = "counting_colours_1_27"


class Source:
    """A folder of pictures, some of them torn, in which anything may happen.

    Attributes:
        torn: the names of pictures that cannot be decoded.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = gallery(folder, IMAGES)
        self.torn: set[str] = set()
        self._chance = chance
        self._made = 0

    def names(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.png"))

    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of each picture by its name, by the bytes that are there."""
        return {name: f"md5:{hashlib.md5((self.folder / name).read_bytes()).hexdigest()}" for name in self.names()}

    def change(self) -> None:
        """Add, change, copy, rename, remove, damage and repair some pictures."""
        for happening in (self._add, self._repaint, self._copy, self._rename, self._remove, self._tear, self._mend):
            for _ in range(self._chance.randint(0, 4)):
                happening()

    def _any(self) -> str:
        return self._chance.choice(self.names())

    def _new_name(self) -> str:
        self._made += 1
        return f"{self._chance.choice(('', 'a/', 'b/é/'))}made{self._made:03}.png"

    def _paint(self, name: str) -> None:
        paint(self.folder / name, tuple(self._chance.randbytes(3)), (9 + self._chance.randint(0, 9), 12))  # type: ignore[arg-type]  # three bytes
        self.torn.discard(name)

    def _add(self) -> None:
        self._paint(self._new_name())

    def _repaint(self) -> None:
        self._paint(self._any())

    def _copy(self, name: str = "") -> None:
        name, copy = name or self._any(), self._new_name()
        (self.folder / copy).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / copy).write_bytes((self.folder / name).read_bytes())
        if name in self.torn:
            self.torn.add(copy)

    def _rename(self) -> None:
        name = self._any()
        self._copy(name)
        self._drop(name)

    def _remove(self) -> None:
        self._drop(self._any())

    def _drop(self, name: str) -> None:
        (self.folder / name).unlink()
        self.torn.discard(name)

    def _tear(self) -> None:
        name = self._any()
        path = self.folder / name
        path.write_bytes(path.read_bytes()[: 40 + self._chance.randint(0, 9)])
        self.torn.add(name)

    def _mend(self) -> None:
        if self.torn:
            self._paint(self._chance.choice(sorted(self.torn)))


class Reindexing:
    """The command that is run again and again, and what it leaves."""

    def __init__(self, source: Source, settings: Settings, database: Database, environment: dict[str, str]) -> None:
        self.kills = 0
        self._source = source
        self._settings = settings
        self._database = database
        self._environment = environment
        self._log = Path(environment["COUNTING_LOG"])
        self._seconds = 5.0

    def cycle(self, chance: random.Random) -> None:
        """Run until a run completes; some are killed before, at any moment of theirs."""
        for _ in range(chance.randint(0, MOST_KILLS)):
            if self._killed(chance.uniform(0.3, 1.1) * self._seconds):
                self.kills += 1
            else:
                break
        began = time.monotonic()
        process = self._begin()
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        self._seconds = time.monotonic() - began
        self._compare(json.loads(out))

    def _begin(self) -> subprocess.Popen[str]:
        command = ("tests.counting", "ingest", self._source.folder, "--embedder", "counting")
        options = ("--batch-size", "16", "--prune", "--prune-share", "1", "--allow-failures", "100%", "--json")
        return Program(*command, *options, cwd=PROJECT, env=self._environment)

    def _killed(self, after: float) -> bool:
        """Whether a run was killed; False: it was faster."""
        process = self._begin()
        try:
            _, err = process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return True
        assert process.returncode == 0, err
        return False

    def _compare(self, account: dict[str, Any]) -> None:
        there = self._source.fingerprints()
        torn = {(name, there[name]) for name in self._source.torn}
        good = set(there.items()) - torn

        assert account["listed"] == len(there)
        assert account["embedded"] + account["reused"] == len(good)
        assert (account["failed"], account["skipped"], account["deferred"]) == (len(torn), 0, 0)

        images = stored(self._database, "SELECT image_id, fingerprint FROM pictures.images")
        vectors = stored(self._database, f"SELECT image_id, fingerprint FROM pictures.{SPACE}")
        assert sorted(images) == sorted(there.items())
        assert sorted(vectors) == sorted(good)

        checkpoint = open_checkpoint(self._settings.checkpoint, "pictures", Counting().facts.space)
        ledger = checkpoint.ledger()
        statuses = {pair: row.status for pair in there.items() if (row := ledger.get(*pair)) is not None}
        assert statuses == dict.fromkeys(good, "ok") | dict.fromkeys(torn, "failed")
        pairs = [
            pair for chunk in checkpoint.vectors(good) for pair in zip(chunk.image_ids, chunk.fingerprints, strict=True)
        ]
        assert sorted(pairs) == sorted(good)
        assert checkpoint.problems == []

        # What was kept is never asked for again; a kill may cost an answer that was on its way.
        asked = Counter(line.split()[1] for line in self._log.read_text().splitlines())
        assert max(asked.values()) <= 1 + self.kills
        states = Counter(state for (state,) in stored(self._database, "SELECT state FROM pinakes.runs"))
        assert set(states) <= {"completed", "died"}


def reindex(
    cycles: int, seed: int, settings: Settings, database: Database, environment: dict[str, str], tmp_path: Path
) -> Reindexing:
    """So many cycles on a fresh collection."""
    chance = random.Random(seed)
    source = Source(tmp_path / "in", chance)
    kept = {
        "COUNTING_LOG": str(tmp_path / "calls"),
        "COUNTING_SECONDS": "0.02",
        "PINAKES_COLLECTION": "pictures",
        "PYTHONPATH": str(PROJECT),
    }
    reindexing = Reindexing(source, settings, database, environment | kept)
    for _ in range(cycles):
        reindexing.cycle(chance)
        source.change()
    return reindexing


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_table_checkpoint_and_source_agree_after_each_cycle(
    settings: Settings, database: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    assert reindex(3, 6, settings, database, environment, tmp_path).kills


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_table_checkpoint_and_source_agree_after_each_of_many_cycles(
    settings: Settings, database: Database, environment: dict[str, str], prefect_api: str, tmp_path: Path
) -> None:
    environment["PREFECT_API_URL"] = prefect_api
    seed = int(os.environ.get("SOAK_SEED", "1"))
    assert reindex(30, seed, settings, database, environment, tmp_path).kills
