"""A password in a malformed address of a database is printed by no command, in no log and in no traceback."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinakes.cli.main import COMMANDS
from tests.homes import new_database
from tests.programs import PROJECT, ended
from tests.running import gallery
from tests.unit.test_addresses import MALFORMED, SECRET

WITHOUT_DATABASE = frozenset({"export", "models", "sample", "setup"})
"""They have no use for the address, and so do not refuse it."""

ARGUMENTS = {
    "ingest": ["in", "--embedder", "palette"],
    "search": ["red"],
    "space": ["add", "--dimension", "9"],
    "activate": ["SPACE"],
    "hide": ["author=x"],
    "language": ["pictures"],
    "drop": ["pictures", "--yes"],
    "forget": ["p00.png", "--yes"],
    "evaluate": ["recall"],
    "import": ["vectors.csv"],
    "serve": ["--port", "0"],
    "limits": ["q", "1/s"],
    "export": ["out.csv", "--embedder", "palette"],
    "sample": ["gallery", "--count", "1"],
}


def said(environment: dict[str, str], folder: Path, setting: str, addresses: list[str], *arguments: str) -> str:
    """All that a command prints, run once with each of the addresses."""
    asked = json.dumps([setting, addresses, *arguments])
    known = environment | {"PYTHONPATH": str(PROJECT)}
    ran = ended("tests.each_address", asked, env=known, cwd=folder, stderr=subprocess.STDOUT)
    assert ran.stdout.count("ended with") == len(addresses), ran.stdout
    return ran.stdout


@pytest.fixture(scope="module")
def database_url(server: str) -> Iterator[str]:
    """One for all: each command is told another address, or that of its limits, and stops there."""
    with new_database(server) as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    gallery(tmp_path / "in", 1)
    (tmp_path / "vectors.csv").write_text(f'image_id,vector\np00.png,"{json.dumps([1.0] * 320)}"\n')
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_prints_it(environment: dict[str, str], folder: Path, command: str) -> None:
    if command == "up":  # else it looks into the database for the sample before it starts anything
        environment["PINAKES_SOURCE"] = "in"
    printed = said(environment, folder, "PINAKES_DATABASE_URL", MALFORMED, command, *ARGUMENTS.get(command, []))
    assert SECRET not in printed
    assert "Traceback" not in printed, printed
    refused = 0 if command in WITHOUT_DATABASE else len(MALFORMED)
    assert printed.count("PINAKES_DATABASE_URL is not") == refused, printed


@pytest.mark.parametrize("command", ["limits", "doctor", "up"])
def test_nor_that_of_the_limits(environment: dict[str, str], folder: Path, command: str) -> None:
    printed = said(environment, folder, "PINAKES_LIMITER_URL", MALFORMED, command)
    assert SECRET not in printed
    assert printed.count("is not an address") >= len(MALFORMED) - 1, printed
