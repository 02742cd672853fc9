"""What is refused as the command line is read, before a database is opened or a search is paid for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pinakes.cli.main import cli
from pinakes.errors import PinakesError, UsageError


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PINAKES_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PINAKES_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")


def refused(*arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False)
    return str(caught.value)


@pytest.mark.parametrize(
    ("before", "flag"),
    [
        (("--collection", "prints"), "--collection"),
        (("--checkpoint", "gs://bucket/c"), "--checkpoint"),
        (("--json",), "--json"),
    ],
)
def test_options_before_decide_are_refused_and_not_ignored(before: tuple[str, ...], flag: str) -> None:
    said = refused("duplicates", *before, "decide", "same", "a.jpg", "b.jpg")
    assert said == f"{flag} stands before decide, where it has no effect: write it after decide."


def test_an_option_that_a_subcommand_does_not_have_is_to_be_left_out() -> None:
    assert "decide has no such option" in refused("duplicates", "--space", "s", "decide", "same", "a.jpg", "b.jpg")
    assert "get has no such option" in refused("models", "--json", "get")


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "M\udce4dchen"),
        ("search", "--like", "M\udce4dchen.jpg"),
        ("search", "red", "--where", "title~M\udce4dchen"),
        ("search", "red", "--plus", "like:M\udce4dchen.jpg"),
        ("search", "red", "--minus", "M\udce4dchen"),
        ("search", "red", "--group-by", "M\udce4dchen"),
        ("search", "red", "--space", "M\udce4dchen"),
        ("hide", "title=M\udce4dchen"),
        ("forget", "a.jpg", "M\udce4dchen.jpg"),
        ("duplicates", "decide", "same", "a.jpg", "M\udce4dchen.jpg"),
    ],
)
def test_words_and_ids_that_are_not_utf8_are_refused_in_a_sentence(arguments: tuple[str, ...]) -> None:
    said = refused(*arguments)
    assert r"M\udce4dchen" in said
    assert "is not UTF-8; set the terminal to UTF-8" in said


def test_a_path_need_not_be_utf8(tmp_path: Path) -> None:
    picture = tmp_path / "M\udce4dchen.png"
    picture.write_bytes(b"a picture")
    for arguments in (("--image", str(picture)), ("red", "--plus", f"image:{picture}")):
        with pytest.raises(PinakesError, match="database"):  # which comes after the picture was read
            CliRunner().invoke(cli, ["search", *arguments], standalone_mode=False, catch_exceptions=False)


def test_an_excel_file_is_checked_before_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "must end in .xlsx" in refused("search", "red", "--excel", "hits.xls")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert "run pip install openpyxl" in refused("search", "red", "--excel", "hits.xlsx")


def test_a_limit_of_runs_without_runs_is_refused() -> None:
    assert "give --runs as well" in refused("status", "--limit", "3")
