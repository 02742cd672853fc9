"""Twenty damaged parts: whatever can be read is saved, the rest is named, and nothing is paid for without a word."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pinakes.checkpoints import parquet
from pinakes.checkpoints.checkpoint import Checkpoint, open_checkpoint
from pinakes.errors import CheckpointError, PinakesError
from pinakes.settings import Settings
from pinakes.store.database import Database
from tests.counting import Counting
from tests.running import gallery, run, stored

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

PARTS, ROWS, GROUP = 20, 20, 5
IMAGES = PARTS * ROWS
ROUNDS, RUNS = 20, 3
"""Of 20 flips each; so many of them with a whole run. Half of such a small part is its footer, without a checksum."""


def vectors_of(kept: Checkpoint) -> dict[str, bytes]:
    return {
        image_id: vector.tobytes()
        for chunk in kept.vectors()
        for image_id, vector in zip(chunk.image_ids, chunk.vectors, strict=True)
    }


def ids_in(part: Path) -> list[str]:
    ids: list[str] = pq.read_table(part, columns=["image_id"])["image_id"].to_pylist()
    return ids


@contextmanager
def flipped(parts: list[Path], chance: random.Random) -> Iterator[set[str]]:
    """One bit of each part is another one; yields the parts whose footers were hit. Afterwards the folder is as it was."""
    before = {part: part.read_bytes() for part in parts}
    hit = set()
    for part, data in before.items():
        at = chance.randrange(len(data))
        part.write_bytes(data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :])
        if at >= len(data) - 8 - int.from_bytes(data[-8:-4], "little"):
            hit.add(part.name)
    yield hit
    for path in parts[0].parent.rglob("*.parquet"):
        path.unlink()
    for part, data in before.items():
        part.write_bytes(data)


def test_flipped_bits_cost_what_they_hit_and_nothing_is_paid_for_without_a_word(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "chunk_rows", lambda _dimension: GROUP)
    chance = random.Random(int(os.environ.get("SOAK_SEED", "1")))
    source = gallery(tmp_path / "in", IMAGES)
    first = run(settings, source, batch_size=ROWS)
    folder = Path(first.run.checkpoint.location)
    parts = sorted(folder.glob("part-*.parquet"), key=lambda part: min(ids_in(part)))
    whole = vectors_of(first.run.checkpoint)
    assert (len(parts), len(whole)) == (PARTS, IMAGES)

    part_of = {name: part.name for part in parts for name in ids_in(part)}

    lost = damaged = 0
    for number in range(ROUNDS):
        with flipped(parts, chance) as without_footer:
            kept = open_checkpoint(settings.checkpoint, "pictures", Counting().facts.space)
            saved = vectors_of(kept)
            assert saved.items() <= whole.items(), "a vector is not what it was"
            gone = Counter(part_of[name] for name in whole.keys() - saved.keys())
            # One row group at most, unless what tells where the row groups are was hit.
            more = {part for part, rows in gone.items() if rows > GROUP} - without_footer
            assert not more, [problem for problem in kept.problems if problem.split()[0] in more]
            lost, damaged = lost + gone.total(), damaged + len(gone)
            reasons = [row.failure.message for row in kept.ledger() if row.failure is not None]
            told = "\n".join([*kept.problems, *reasons])
            assert all(part in told for part in gone), "a part is not named"

            if number >= RUNS:
                continue
            asked = Counting()
            if gone:
                with pytest.raises(CheckpointError, match=r"--from-table.*--pay-again"):
                    run(settings, source, embedder=asked)
            again = run(settings, source, embedder=asked, from_table=True)
            assert again.account.reused == again.account.listed == IMAGES
            assert not asked.asked, "something was paid for"
    print(f"{ROUNDS * PARTS} bits: {damaged} parts damaged, {lost} of {ROUNDS * IMAGES} answers lost, 0 paid for again")

    # Where the table has nothing either, they are paid for once, and after a word.
    with flipped(parts, random.Random(7)):
        stored(database, "DELETE FROM pictures.counting_colours_1_27 RETURNING 1")
        have = len(vectors_of(open_checkpoint(settings.checkpoint, "pictures", Counting().facts.space)))
        asked = Counting()
        with pytest.raises(PinakesError, match="--pay-again"):
            run(settings, source, embedder=asked)
        assert not asked.asked
        assert run(settings, source, embedder=asked, pay_again=True).account.embedded == IMAGES - have
        assert len(asked.asked) == IMAGES - have
