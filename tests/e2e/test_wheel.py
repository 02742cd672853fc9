"""The wheel, installed with its runtime dependencies alone, far from the checkout and next to somebody else's `flows`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from importlib.metadata import Distribution, PathDistribution, distribution, distributions
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.running import gallery

PROJECT = Path(__file__).parents[2]
IMPORT_ALL = """
import importlib, importlib.util, json, pathlib, pkgutil, sys
import pinakes

names = [module.name for module in pkgutil.walk_packages(pinakes.__path__, "pinakes.")]
for name in names:
    importlib.import_module(name)
others = ["tasks", "deployments", "gallery", "pytest", "onnxruntime", "matplotlib", "ray", "playwright"]
print(json.dumps({
    "file": pinakes.__file__,
    "modules": len(names),
    "path": [str(pathlib.Path(entry).resolve()) for entry in sys.path],
    "flows": importlib.util.find_spec("flows").origin,
    "there": [name for name in others if importlib.util.find_spec(name) is not None],
}))
"""
"""Imports every module of the installed library and tells where it found what."""


@dataclass(frozen=True)
class Installed:
    """A virtual environment that holds the wheel and its runtime dependencies.

    Attributes:
        wheel: the file.
        python: the interpreter.
        dependencies: names of all distributions that it requires, directly and indirectly.
        foreign: a folder that holds a package `flows` which cannot be imported.
    """

    wheel: Path
    python: Path
    dependencies: frozenset[str]
    foreign: Path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    output([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=PROJECT)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index", "--no-deps", "--quiet"]
    output([*pip, str(wheel)])
    dependencies = required(metadata_of(wheel))
    link(dependencies, next(environment.glob("lib/python*/site-packages")))
    (folder / "foreign" / "flows").mkdir(parents=True)
    (folder / "foreign" / "flows" / "__init__.py").write_text(
        "raise RuntimeError('these are the flows of another project')"
    )
    return Installed(wheel, python, dependencies, folder / "foreign")


def metadata_of(wheel: Path) -> Distribution:
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {PurePosixPath(name).parts[0] for name in archive.namelist() if ".dist-info/" in name}
    return PathDistribution(zipfile.Path(wheel, f"{folder}/"))


def required(root: Distribution) -> frozenset[str]:
    """The distributions that `root` requires without any extra, and those that they require."""
    found: set[tuple[str, str]] = set()  # by name and extra: "" for what is required in any case
    waiting = [(root, "")]
    while waiting:
        dependent, extra = waiting.pop()
        for requirement in map(Requirement, dependent.requires or ()):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            name = canonicalize_name(requirement.name)
            new = {(name, wanted) for wanted in ("", *requirement.extras)} - found
            found |= new
            waiting += [(distribution(name), wanted) for _, wanted in new]
    return frozenset(name for name, _ in found)


def link(names: frozenset[str], site_packages: Path) -> None:
    """Let the environment see these distributions of the running one, and no file of any other.

    A folder that belongs to them alone is linked as a whole; one that others share, such as `google`, file by file.
    """
    inside: dict[PurePosixPath, Path] = {}
    shared: set[PurePosixPath] = set()
    for found in distributions():
        files = [file for file in found.files or () if ".." not in file.parts]
        if canonicalize_name(found.metadata["Name"]) in names:
            inside |= {file: Path(str(found.locate_file(file))) for file in files}
        else:
            shared |= {folder for file in files for folder in file.parents}
    for file, path in inside.items():
        *outer, _ = file.parents
        top = next((depth for depth, folder in enumerate(reversed(outer)) if folder not in shared), len(outer))
        levels = len(outer) - top
        link_path = site_packages.joinpath(*file.parts[: top + 1])
        if not link_path.is_symlink():
            link_path.parent.mkdir(parents=True, exist_ok=True)
            link_path.symlink_to(path.parents[levels - 1] if levels else path)


def output(command: list[str], **options: object) -> str:
    """What a command that succeeds prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture
def outside(installed: Installed, environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a person who has the wheel and works in a folder of their own."""
    return environment | {
        "PATH": f"{installed.python.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(installed.foreign),
    }


def pinakes(outside: dict[str, str], *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The installed command in the person's own folder."""
    command = [str(Path(outside["PATH"].partition(os.pathsep)[0], "pinakes")), *arguments]
    done = subprocess.run(
        command, env=outside, cwd=outside["HOME"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_the_wheel_holds_pinakes_alone(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        files = [PurePosixPath(name) for name in archive.namelist()]
    assert {file.parts[0] for file in files if not file.parts[0].endswith(".dist-info")} == {"pinakes"}
    in_checkout = output(["git", "ls-files", "pinakes"], cwd=PROJECT).splitlines()
    assert {str(file) for file in files} >= set(in_checkout)
    (command,) = metadata_of(installed.wheel).entry_points
    assert (command.group, command.name, command.value) == ("console_scripts", "pinakes", "pinakes.cli.main:main")


def test_every_module_is_imported_with_the_runtime_dependencies(installed: Installed, outside: dict[str, str]) -> None:
    told = json.loads(output([str(installed.python), "-c", IMPORT_ALL], env=outside, cwd=outside["HOME"]))
    assert Path(told["file"]).is_relative_to(installed.python.parents[1])
    assert told["modules"] > 150
    assert told["flows"] == str(installed.foreign / "flows" / "__init__.py")
    assert not told["there"]
    assert not any(Path(entry).is_relative_to(PROJECT) for entry in told["path"])
    assert {"prefect", "psycopg-pool", "google-auth"} <= installed.dependencies
    assert not installed.dependencies & {"pytest", "onnxruntime", "hatchling"}


@pytest.mark.parametrize("arguments", [("up",), ("setup",), ("sample", "here")], ids=lambda arguments: arguments[0])
def test_what_needs_a_checkout_says_so_in_one_sentence(outside: dict[str, str], arguments: tuple[str, ...]) -> None:
    done = pinakes(outside, *arguments, code=2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(
        rf"pinakes: pinakes {arguments[0]} needs the project's flows and deployments, which .*: run it in a checkout of the"
        r" Pinakes repository, or in its image\.",
        line,
    )
    assert not Path(outside["HOME"], "here").exists()


def test_the_other_commands_work_without_a_checkout(outside: dict[str, str]) -> None:
    assert pinakes(outside, "--version").stdout.startswith("pinakes ")
    assert "ingest" in pinakes(outside, "--help").stdout
    document = json.loads(pinakes(outside, "doctor", "--json").stdout)
    (prefect,) = [check for check in document["checks"] if check["what"] == "Prefect"]
    assert (document["errors"], prefect["state"]) == (0, "ok")
    assert "not installed here" in prefect["found"]


def test_a_folder_is_ingested_and_searched_without_a_checkout_or_a_server(outside: dict[str, str]) -> None:
    source = gallery(Path(outside["HOME"], "in"), 12)
    account = json.loads(pinakes(outside, "ingest", str(source), "--json").stdout)
    assert (account["listed"], account["embedded"], account["failed"]) == (12, 12, 0)
    assert "run directly" in pinakes(outside, "ingest", str(source)).stdout
    found = json.loads(pinakes(outside, "search", "--like", "p00.png", "--json").stdout)
    assert len(found["hits"]) == 10
    asked = pinakes(outside | {"PREFECT_API_URL": "http://127.0.0.1:9/api"}, "ingest", str(source), code=2)
    assert asked.stderr.startswith("pinakes: pinakes ingest with PREFECT_API_URL or --runner needs the project's flows")
