"""The registry of embedders: what goes over it, what it checks, and what it costs to ask it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pinakes.cli.main import COMMANDS
from pinakes.embedders.base import Embedder, Facts, Picture, TextReading
from pinakes.embedders.declaration import Declaration, Model, Setting, Surroundings
from pinakes.embedders.palette.declaration import PALETTE
from pinakes.embedders.palette.descriptor import RECIPES
from pinakes.embedders.registry import BUILT_IN, EMBEDDERS, model_of, register, space_made
from pinakes.embedders.remote.prices import price_of
from pinakes.embedders.remote.retirement import retirement_of
from pinakes.errors import EmbedderError, SettingsError, UsageError
from pinakes.operations.checks import State, findings
from pinakes.operations.doctor import CHECKS, Examination
from pinakes.settings import load_settings
from pinakes.spaces import Space
from pinakes.types import Failure, Vector
from tests.trials import opened

PROJECT = Path(__file__).parents[2]

HEAVY = {"google.api_core", "google.auth", "google.genai", "grpc", "onnxruntime", "fastembed", "pandas"}
"""Of `google` and `google.cloud` themselves a namespace is made whenever Python starts."""


SMALL = Model(
    name="small",
    versions=("1", "0"),
    dimensions=(2, 3),
    default_dimension=2,
    preprocessing="t1",
    version_setting="TOY_VERSION",
    retires="2030-01-01",
)
LARGE = Model(name="large", versions=("7",), dimensions=(9,), default_dimension=9, preprocessing="t1")


class Toy(Embedder):
    """Claims two dimensions whatever it is asked for, as a careless factory would."""

    calls = 0

    def __init__(self) -> None:
        self.facts = Facts(Space("toy", "small", "1", 2, "t1"), "For tests.")
        self.closed = False

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        raise AssertionError("nothing is asked for")

    def embed_text(self, text: str) -> TextReading:
        raise AssertionError("nothing is asked for")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def toy() -> Iterator[Toy]:
    embedder = Toy()
    register(
        Declaration(
            name="toy",
            title="a toy",
            guide="README.md",
            open=lambda _choice, _around: embedder,
            models=(SMALL, LARGE),
            settings=(
                Setting(name="TOY_KEY", meaning="its key", aliases=("TOY_OTHER_KEY",), secret=True),
                Setting(name="TOY_PLACE", meaning="its place", instead=("TOY_PROJECT",)),
            ),
        )
    )
    yield embedder
    del EMBEDDERS["toy"]


SET = {"TOY_KEY": "k", "TOY_PLACE": "p"}


def test_an_embedder_of_a_program_is_registered_like_one_of_the_project(toy: Toy) -> None:
    assert opened("toy", SET) is toy
    assert retirement_of(toy.facts.space) == "2030-01-01"
    assert price_of(toy.facts.space).per_image == 0
    assert model_of(replace(toy.facts.space, model="huge")) is None


def test_a_factory_that_makes_something_else_than_was_asked_for_is_found_out_and_closed(toy: Toy) -> None:
    with pytest.raises(UsageError, match="has vectors of 2 dimensions, not 3"):
        opened("toy", SET, dimension=3)
    assert toy.closed


def test_what_is_not_declared_never_reaches_a_factory(toy: Toy) -> None:
    with pytest.raises(UsageError, match="no vectors of 4 dimensions; choose 2 or 3"):
        opened("toy", SET, dimension=4)
    with pytest.raises(UsageError, match="has the model small or large, not 'huge'"):
        opened("toy", SET, model="huge")
    assert not toy.closed


def test_settings_that_are_missing_are_named_all_at_once_with_what_they_hold(toy: Toy) -> None:
    with pytest.raises(SettingsError, match=r"needs TOY_KEY and TOY_PLACE or TOY_PROJECT, .* TOY_KEY is its key"):
        opened("toy", {})
    assert opened("toy", {"TOY_OTHER_KEY": "k", "TOY_PROJECT": "p"}) is toy
    assert EMBEDDERS["toy"].secrets({"TOY_OTHER_KEY": "k", "TOY_PLACE": "p"}) == ["k"]


def test_a_space_of_any_declared_model_is_known_without_settings(toy: Toy) -> None:
    nothing_set = Surroundings({}, Path())
    assert space_made(Space("toy", "small", "0", 3, ""), nothing_set).preprocessing == "t1"
    assert space_made(Space("toy", "large", "7", 9, "t1"), nothing_set).model == "large"
    with pytest.raises(
        UsageError, match=r"toy/small/2 with 2 .*; toy makes toy/small/1 or toy/small/0 with 2 or 3 dim.* or toy/large"
    ):
        space_made(Space("toy", "small", "2", 2, ""), nothing_set)
    assert space_made(Space("toy", "small", "2", 2, ""), Surroundings({"TOY_VERSION": "2"}, Path())).version == "2"
    with pytest.raises(UsageError, match=r"'latest' cannot be used: .* e\.g\. TOY_VERSION=1"):
        space_made(Space("toy", "small", "1", 2, ""), Surroundings({"TOY_VERSION": "latest"}, Path()))
    assert not toy.closed


def test_a_missing_package_is_named_with_what_installs_it(toy: Toy) -> None:
    register(replace(EMBEDDERS["toy"], packages=("no_such_package",), extra="clip"))
    with pytest.raises(EmbedderError, match=r"needs the package no_such_package, .* pip install -e '\.\[clip\]'"):
        opened("toy", SET)


def test_the_doctor_looks_at_every_embedder_of_the_registry(toy: Toy, tmp_path: Path) -> None:
    def check(**values: str) -> tuple[str, State]:
        environ = {"HOME": str(tmp_path), "PINAKES_HOME": str(tmp_path), **values}
        of_embedders = [check for check in CHECKS if check.name in {"embedder", "embedders"}]
        (found,) = findings(of_embedders, Examination(load_settings(environ, tmp_path)))
        return found.what, found.state

    assert check() == ("embedders", State.OK)
    assert check(TOY_KEY="k") == ("embedder toy", State.ERROR)
    assert check(TOY_KEY="k", TOY_PLACE="p") == ("embedder toy", State.OK)
    assert toy.closed


def test_an_embedder_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(
        UsageError, match=r"no embedder 'nobody'; there are: palette, vertex, gemini, azure, clip, onnx"
    ):
        opened("nobody", {})


def test_the_dimensions_that_palette_declares_are_those_it_has_a_recipe_for() -> None:
    assert PALETTE.models[0].dimensions == tuple(RECIPES)


def test_help_imports_no_client_of_a_provider_and_no_runtime_of_a_model() -> None:
    program = f"""
import json, sys
from click.testing import CliRunner
from pinakes.cli.main import cli
said = {{name: CliRunner().invoke(cli, [name, "--help"]).output for name in {list(COMMANDS)!r}}}
print(json.dumps([said, sorted({HEAVY!r} & set(sys.modules))]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PROJECT)
    said, loaded = json.loads(done.stdout)
    assert loaded == []
    assert set(said) == set(COMMANDS)
    for command in ("ingest", "export", "doctor"):
        assert "--embedder" in said[command] or "--call" in said[command]
    names = "|".join(declaration.name for declaration in BUILT_IN)
    assert names in re.sub(r"\s", "", said["ingest"])
    assert names in re.sub(r"\s", "", said["export"])


# -- the table of embedders ------------------------------------------------------------------------------------------------


def rows() -> dict[str, list[str]]:
    """The cells of the table of embedders, by name."""
    lines = (
        (PROJECT / "docs" / "embedders.md").read_text().split("| `--embedder` |")[1].split("\n\n")[0].splitlines()[2:]
    )
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row for row in cells}


def dimensions_of(declaration: Declaration) -> str:
    if not declaration.models:
        return "the model's"
    (model,) = declaration.models
    if isinstance(model.dimensions, range):
        return f"{model.dimensions[0]}–{model.dimensions[-1]}"
    return ", ".join(map(str, model.dimensions))


def price_of_a_picture(declaration: Declaration) -> str:
    price = declaration.models[0].price if declaration.models else None
    if price is None:
        return "–"
    shown = f"${price.per_image:f}".rstrip("0")
    return shown if price.as_of[:2] == "20" else f"{shown}, {price.as_of}"


def what_to_set(declaration: Declaration) -> str:
    install = [f"the extra `{declaration.extra}`"] if declaration.extra else []
    needed = [setting for setting in declaration.settings if setting.required]
    settings = [" or ".join(f"`{n}`" for n in (setting.name, *setting.instead)) for setting in needed]
    return ", ".join(install + settings) or "nothing"


@pytest.mark.parametrize("declaration", BUILT_IN, ids=lambda declaration: declaration.name)
def test_the_table_in_the_docs_says_of_an_embedder_what_is_declared(declaration: Declaration) -> None:
    link = (
        declaration.title
        if declaration.guide == "README.md"
        else f"[{declaration.title}]({declaration.guide.removeprefix('docs/')})"
    )
    retires = declaration.models[0].retires if declaration.models else None
    row = rows().get(declaration.name, [])
    limits = row[3] if len(row) > 3 else declaration.default_rate or "–"  # in the provider's words, then the rate
    assert (declaration.default_rate or "") in limits
    expected = [
        f"`{declaration.name}`",
        link if declaration.reads_words else f"{link}, no words",
        dimensions_of(declaration),
        limits,
        price_of_a_picture(declaration),
        retires or "–",
        what_to_set(declaration),
    ]
    assert row == expected, f"the row should be: | {' | '.join(expected)} |"


def test_the_table_in_the_docs_has_no_embedder_that_is_not_there() -> None:
    assert set(rows()) <= {declaration.name for declaration in BUILT_IN}
