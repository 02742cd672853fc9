"""The commands of the README that need no account, typed as they stand."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_every_command_marked_tested_runs(environment: dict[str, str], tmp_path: Path) -> None:
    blocks = re.findall(r"```sh tested\n(.*?)```", (PROJECT / "README.md").read_text("utf-8"), re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line.strip()]
    assert len(commands) >= 8
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "like-this.png").is_file()
    assert (tmp_path / "dataset.parquet").is_file()


def test_every_command_of_pinakes_in_the_readme_exists() -> None:
    from pinakes.cli.main import COMMANDS

    text = (PROJECT / "README.md").read_text("utf-8")
    named = set(re.findall(r"\bpinakes ([a-z]+)\b", text)) - {"makes", "command"}
    assert named <= set(COMMANDS)


def test_the_readme_names_the_commands_of_the_house() -> None:
    text = (PROJECT / "README.md").read_text("utf-8")
    makefile = (PROJECT / "Makefile").read_text("utf-8")
    for target in re.findall(r"`?make (\w+)`?", text):
        assert f"\n{target}:" in makefile
