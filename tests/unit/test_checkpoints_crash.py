"""Processes that are killed while they write, and folders that they may not write to."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pinakes.checkpoints import open_checkpoint
from tests.unit.test_checkpoints import FORMATS, SPACE, bits, ok, stored

HERE = Path(__file__).parents[2]

WRITING = """
import itertools, sys
from pinakes.checkpoints import open_checkpoint
from tests.unit.test_checkpoints import SPACE, ok

root, form, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
checkpoint = open_checkpoint(root, "art", SPACE, format=form)
for number in itertools.count(first):
    checkpoint.write([ok(number)])
    print(number, flush=True)
    if number % 5 == 0:
        checkpoint.compact()
"""

FORBIDDEN = """
import os, sys
from pathlib import Path
from pinakes.checkpoints import open_checkpoint
from pinakes.errors import CheckpointError
from tests.unit.test_checkpoints import SPACE, ok, stored

root = sys.argv[1]
checkpoint = open_checkpoint(root, "art", SPACE)
checkpoint.write([ok(1)])
folder = Path(checkpoint.location)
(folder / "notes.txt").write_text("to do")
folder.chmod(0o555)
if os.geteuid() == 0:
    for path in (folder.parent, folder, *folder.iterdir()):
        os.chown(path, 65534, 65534)
    os.setuid(65534)
try:
    checkpoint.write([ok(2)])
except CheckpointError as exc:
    print(exc)
print(len(stored(checkpoint)), checkpoint.problems)
"""


@pytest.mark.parametrize("form", FORMATS)
def test_a_process_killed_at_any_moment_loses_nothing_that_was_acknowledged(form: str, tmp_path: Path) -> None:
    chance = random.Random(f"killed while writing {form}")
    acknowledged = 0
    for _ in range(2):
        command = [sys.executable, "-c", WRITING, str(tmp_path), form, str(acknowledged + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE) as process:
            assert process.stdout is not None
            for _ in range(chance.randint(3, 20)):
                acknowledged = int(process.stdout.readline())
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(chance.random() * 0.05)
            process.kill()
            acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        checkpoint = open_checkpoint(str(tmp_path), "art", SPACE)
        found = stored(checkpoint)
        assert bits([ok(n) for n in range(1, acknowledged + 1)]).items() <= found.items()
        assert found.items() <= bits([ok(n) for n in range(1, acknowledged + 2)]).items(), "one may be unacknowledged"
        assert checkpoint.problems == []


def test_a_folder_without_the_right_to_write_is_an_error_that_says_so_and_can_still_be_read() -> None:
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)  # the child gives up root's rights and must still find its way
        done = subprocess.run(
            [sys.executable, "-c", FORBIDDEN, root], capture_output=True, text=True, check=True, cwd=HERE
        )
    error, state = done.stdout.splitlines()
    assert "Permission denied; give the user that runs Pinakes the right to read and write there." in error
    assert "part-" in error
    assert state.startswith("1 ['notes.txt is not a part of this checkpoint")
    assert "ignored" in state
