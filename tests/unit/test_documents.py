"""README and docs: their links, their commands, and what they tell people to install."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from benchmarks import report, results
from pinakes.cli.main import cli

PROJECT = Path(__file__).parents[2]
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), PROJECT / "docs" / "tour.ipynb"])
UNITS = sorted((PROJECT / "deployments" / "systemd").glob("*.service"))
CODE = sorted(
    file
    for folder in ("pinakes", "tasks", "flows", "deployments", "gallery")
    for file in (PROJECT / folder).rglob("*")
    if file.suffix in {".py", ".toml", ".yaml", ".html"}
)

FENCE = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def commands_of(path: Path) -> list[str]:
    """Every `pinakes …` of a document, in its blocks of code and within its lines."""
    text = path.read_text("utf-8")
    if path in UNITS:
        return re.findall(r"^ExecStart=\S+/(pinakes .+)$", text, re.MULTILINE)
    blocks = [line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    return [line.strip() for line in (*blocks, *inline) if re.match(r"\s*(\.venv/bin/)?pinakes [a-z]", line)]


def test_nobody_is_told_to_install_the_stranger_called_pinakes_on_the_public_index() -> None:
    strange = re.compile(r"pip install[^\n`]*[ '\"]pinakes\b")
    files = [*DOCUMENTS, *CODE, PROJECT / "Makefile"]
    assert [name(file) for file in files if strange.search(file.read_text("utf-8"))] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_an_extra_is_installed_so_that_the_checkout_stays_editable(path: Path) -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    text = path.read_text("utf-8")
    for found in re.finditer(r"(?<=')\.\[([\w,]+)\]", text):
        assert text[: found.start()].endswith(".venv/bin/python -m pip install -e '"), found
        assert set(found[1].split(",")) <= set(extras)


@pytest.mark.parametrize("path", [*DOCUMENTS, PROJECT / "Makefile"], ids=name)
def test_every_module_that_is_to_be_run_exists(path: Path) -> None:
    for module in re.findall(
        r"python -m ((?:benchmarks|tests|deployments|pinakes|gallery|cli)[\w.]*)", path.read_text()
    ):
        assert importlib.util.find_spec(module.rstrip(".")) is not None, module


@pytest.mark.parametrize("path", [file for file in DOCUMENTS if file.suffix == ".md"], ids=name)
def test_every_link_to_a_file_of_the_project_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        file, _, heading = target.partition("#")
        there = (path.parent / file) if file else path
        assert there.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in anchors, target


@pytest.mark.parametrize("path", [*(file for file in DOCUMENTS if file.suffix == ".md"), *UNITS], ids=name)
def test_every_command_of_pinakes_and_every_option_exists(path: Path) -> None:
    for written in commands_of(path):
        words = shlex.split(re.split(r"&&|\||>", written)[0], comments=True)
        command = cli.get_command(click.Context(cli), words[1])
        if isinstance(command, click.Group) and words[2:3] and words[2] in command.commands:
            command = command.get_command(click.Context(command), words[2])
        assert command is not None, written
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        used = {word.partition("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
        assert used <= known | {"--help", "-h"}, written


def test_the_sample_is_painted_into_no_folder_of_the_checkout() -> None:
    painted = [line.split()[2] for path in DOCUMENTS for line in commands_of(path) if line.split()[1] == "sample"]
    assert painted
    tracked = {"docs", *(file.relative_to(PROJECT).parts[0] for file in CODE)}
    assert tracked.isdisjoint(painted)


def test_every_unit_of_systemd_starts_a_command() -> None:
    assert len(UNITS) == 3
    assert all(commands_of(unit) for unit in UNITS)


def test_the_readme_is_short() -> None:
    assert len((PROJECT / "README.md").read_text("utf-8").split()) <= 900


def test_the_index_of_the_docs_names_every_page() -> None:
    index = (PROJECT / "docs" / "README.md").read_text("utf-8")
    pages = {page.name for page in (PROJECT / "docs").glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"({page})" in index} == pages


def test_the_page_of_performance_is_what_the_benchmarks_wrote() -> None:
    assert report.PAGE.read_text("utf-8") == report.page(results.read())
