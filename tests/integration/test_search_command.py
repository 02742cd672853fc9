"""`pinakes search` as a person types it: words without quotes, pages by number, the next step said."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pinakes.cli.main import cli
from pinakes.cli.search import _first_time
from pinakes.ingest.opening import open_ingestion
from pinakes.settings import Settings
from tests.running import gallery, request_of, run_stages


@pytest.fixture
def told(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """What `pinakes search` prints in a home with twelve pictures, on one line."""
    request = request_of(settings, gallery(tmp_path / "in"), embedder="palette", dimension=256)
    with open_ingestion(request, settings) as ingestion:
        run_stages(ingestion)
    monkeypatch.chdir(tmp_path)
    for name, value in (("HOME", settings.home), ("DATABASE_URL", settings.database_url)):
        monkeypatch.setenv(f"PINAKES_{name}", str(value))

    def run(*arguments: str) -> str:
        outcome = CliRunner().invoke(cli, ["search", *arguments], standalone_mode=False)
        if outcome.exception is not None:
            raise outcome.exception
        return " ".join(outcome.output.split())

    return run


def test_a_model_whose_name_has_a_slash_is_explained_once(settings: Settings) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    assert [_first_time(settings, "told-of-facebook/dinov2-base") for _ in range(2)] == [True, False]


def test_words_pages_marks_and_the_lecture(told, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    words = told("red", "p03", "-k", "2")
    assert "distance" not in words, "fused ranks are in no order of distances"
    assert "next page: the same with --page 2" in words
    assert "it is not a semantic model" in words
    second = told("red", "p03", "-k", "2", "--page", "2")
    assert "3 – – " in second
    assert "next page: the same with --page 3" in second
    assert "semantic" not in second, "that is said once in a home"
    alone = told("p03")
    assert "found by words of the catalogue: 1 picture" in alone
    assert "reads only colours" in alone
    assert "reads only colours" not in told("p04")
    assert "1 is this very file" in told("--image", str(tmp_path / "in/p03.png"))
    with pytest.raises(click.exceptions.UsageError, match="Did you mean 'search'"):
        CliRunner().invoke(cli, ["serach", "red"], standalone_mode=False, catch_exceptions=False)
