"""What importing Pinakes costs, and the grid of pictures where it needs no database."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pinakes
from pinakes.errors import PictureError, UsageError
from pinakes.images.decoding import decode
from pinakes.notebook import html as results_html
from pinakes.notebook.arguments import conditions_of, query_of
from pinakes.notebook.html import grid, plan_line, thumbnail_of
from pinakes.notebook.results import Answers, Results
from pinakes.query.query import Query, ask
from pinakes.search.answer import Hit, SearchPlan, SearchResult
from tests.running import paint

PLAN = SearchPlan("exact", "space", "cosine", "", 12, 0, 0, 3.2, ())


def loaded_after(statement: str, names: set[str]) -> set[str]:
    program = f"import sys; {statement}; print(*({names!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = {"numpy", "PIL", "psycopg", "pandas", "prefect", "pyarrow", "pinakes.notebook.collection"}
    assert loaded_after("import pinakes", heavy) == set()


def test_collections_need_neither_pandas_nor_prefect_until_a_table_is_asked_for() -> None:
    heavy = {"pandas", "prefect", "pyarrow", "matplotlib", "fastapi"}
    assert loaded_after("from pinakes import Collection", heavy) == set()


def test_commands_reach_flows_deployments_and_the_gallery_only_when_they_run() -> None:
    everything = (
        "import importlib; from pinakes.cli.main import COMMANDS; [*map(importlib.import_module, COMMANDS.values())]"
    )
    assert loaded_after(everything, {"flows", "tasks", "deployments", "gallery", "prefect"}) == set()


def test_the_package_offers_collection_and_nothing_that_is_not_there() -> None:
    assert "Collection" in dir(pinakes)
    assert pinakes.__version__
    with pytest.raises(AttributeError, match="no attribute 'Colection'"):
        pinakes.Colection  # noqa: B018


def hits_of(path: Path, count: int) -> list[Hit]:
    return [Hit(f"{n}.png", n / 10, path.as_uri(), {"title": f"T{n}"}) for n in range(count)]


def test_a_hint_is_in_the_html_that_a_notebook_shows_after_it_has_made_the_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(results_html, "_hinting", [])

    def result() -> Results:
        plan = replace(PLAN, hints=("write it otherwise",))
        return Results(
            Answers(lambda _query: SearchResult([], plan), lambda _id: None), ask("red"), SearchResult([], plan)
        )

    first, second = result(), result()
    for shown in (repr(first), first._repr_html_()):
        assert "write it otherwise" in shown
    assert "write it otherwise" not in repr(second) + second._repr_html_()


def test_a_grid_shows_so_many_pictures_and_counts_the_rest(tmp_path: Path) -> None:
    path = paint(tmp_path / "a.png", (9, 9, 200))
    shown = grid(ask("red"), PLAN, hits_of(path, 100), [], more=False)
    assert shown.count("<figure") == results_html.MAX_SHOWN
    assert "40 more of these hits are not shown" in shown


def test_the_size_of_a_grid_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_html, "MAX_BYTES", 6000)
    shown = grid(ask("red"), PLAN, hits_of(paint(tmp_path / "a.png", (9, 9, 200)), 50), [], more=False)
    assert len(shown) <= 6000 + 300
    assert shown.count("<figure") < 50
    assert f"{50 - shown.count('<figure')} more" in shown


def test_the_pictures_of_a_grid_stand_on_one_line_no_higher_than_they_need(tmp_path: Path) -> None:
    low = paint(tmp_path / "low.png", (9, 9, 200), size=(200, 50))
    assert "height:42px" in grid(ask("red"), PLAN, hits_of(low, 2), [], more=False)
    tall = paint(tmp_path / "tall.png", (9, 9, 200), size=(50, 200))
    assert "height:150px" in grid(ask("red"), PLAN, [*hits_of(low, 1), *hits_of(tall, 1)], [], more=False)


def test_an_empty_grid_says_so() -> None:
    assert "0 hits" in grid(Query(), PLAN, [], [], more=False)
    assert plan_line(PLAN, 1, more=True) == "1 hit, more with .next() · exact · 12 compared · 3 ms · space"


def test_a_thumbnail_keeps_its_shape_and_a_broken_one_its_reason(tmp_path: Path) -> None:
    data = paint(tmp_path / "a.png", (9, 9, 200), size=(400, 100)).read_bytes()
    assert thumbnail_of(data).shape == pytest.approx(0.25, abs=0.01)
    assert "not a picture" in thumbnail_of(b"nonsense").reason
    assert "empty" in thumbnail_of(b"").reason


def test_conditions_of_a_dictionary_are_those_of_the_command_line() -> None:
    assert conditions_of({"type": ["portrait", "genre"], "years": "1650..1700"}) == [
        "type=portrait",
        "type=genre",
        "years=1650..1700",
    ]
    assert conditions_of({"years": (1650, 1700), "shelf": 3}) == ["years=1650..1700", "shelf=3"]
    assert conditions_of("title~blue") == ["title~blue"]
    assert conditions_of(()) == []


def test_a_picture_among_the_additions_keeps_its_name(tmp_path: Path) -> None:
    path = paint(tmp_path / "harbour.png", (9, 9, 200))
    query = query_of("night", image=None, vector=None, plus=path, minus=(), crop=None, where=())
    assert query.label == "night + harbour.png"


def asked(image: Image.Image) -> Image.Image:
    """The picture that is compared where a Pillow image is searched by."""
    (part,) = query_of(None, image=image, vector=None, plus=(), minus=(), crop=None, where=()).parts
    assert part.picture is not None
    return decode(part.picture)


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Image.frombytes("I;16B", (4, 4), b"\x80\x80" * 16), (128, 128, 128)),
        (Image.new("I;16", (4, 4), 32896), (128, 128, 128)),
        (Image.new("I", (4, 4), 32896), (128, 128, 128)),
        (Image.new("F", (4, 4), 0.5), (128, 128, 128)),
        (Image.new("PA", (4, 4)), (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (9, 9, 9, 0)), (255, 255, 255)),
        (Image.new("RGB", (4, 4), (9, 90, 200)), (9, 90, 200)),
    ],
)
def test_a_pillow_image_of_any_mode_is_asked_about_as_its_file_would_be(
    image: Image.Image, colour: tuple[int, int, int]
) -> None:
    assert asked(image).getcolors() == [(16, colour)]


def test_a_pillow_image_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    data = paint(tmp_path / "whole.png", (9, 9, 200), size=(64, 64)).read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with Image.open(path) as half, pytest.raises(PictureError, match="the Pillow image cannot be read"):
        asked(half)
    with pytest.raises(PictureError, match=r"has no pixels: its size is \(0, 0\)"):
        asked(Image.new("RGB", (0, 0)))


@pytest.mark.parametrize("vector", [["a"], [[1, 2], [3]], [{}], [10**400]])
def test_a_vector_that_is_none_is_refused_in_a_sentence(vector: Any) -> None:
    with pytest.raises(UsageError, match="a vector to search by is a list of numbers"):
        query_of(None, image=None, vector=vector, plus=(), minus=(), crop=None, where=())


def test_conditions_take_the_whole_numbers_of_numpy() -> None:
    assert conditions_of({"years": np.int64(1650)}) == ["years=1650"]
    assert conditions_of({"years": np.array([1650, 1700])}) == ["years=1650..1700"]


@pytest.mark.parametrize("value", [1650.5, None, b"portrait", [1650.5, 1700], {"a": 1}])
def test_a_condition_that_is_neither_text_nor_a_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match=r"the condition for years has the value .*text or a whole number"):
        conditions_of({"years": value})
