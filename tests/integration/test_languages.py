"""The language of a collection's words: guessed from its texts, said, and changed while others search."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from pinakes.cli.main import cli
from pinakes.errors import UsageError
from pinakes.settings import Settings
from pinakes.store import folded_texts
from pinakes.store.database import Database
from pinakes.store.full_text import by_words
from pinakes.store.languages import guess_language, language_of, set_language
from pinakes.store.nearest import Wanted
from pinakes.store.space_registry import resolve_space
from tests.running import gallery, run

TITLES = {
    "english": ["Ships at Sea", "The Adoration of the Magi", "A View of the Harbour", "Portrait of a Man with a Hat"],
    "german": ["Der Hafen von Hamburg", "Bildnis eines Mannes mit dem Hut", "Die Anbetung der Könige", "Haus am See"],
    "french": ["Vue de la ville", "Portrait d'une femme à la fenêtre", "Le port de Marseille", "Les amants et la mort"],
    "italian": ["Veduta di una città", "Ritratto di un uomo con il cappello", "La nascita della Vergine", "Il mare"],
    "spanish": ["Retrato de un hombre con sombrero", "La ciudad y el mar", "Vista del puerto", "Los amantes de Teruel"],
    "dutch": [
        "De haven van Rotterdam",
        "Portret van een man met een hoed",
        "Gezicht op het dorp",
        "Het meisje en de dood",
    ],
    "swedish": ["En man i ett rum", "Det röda huset vid havet", "Kvinnan och barnet", "Porträtt av en flicka med hatt"],
    "russian": ["Портрет мужчины в шляпе", "Вид на море", "Корабли и люди у берега", "На реке и в лесу"],
}


@pytest.mark.parametrize("language", TITLES)
def test_titles_are_enough_to_guess_a_language(database: Database, language: str) -> None:
    with database.connection() as (conn, _):
        guess = guess_language(conn, TITLES[language] * 5)
    assert guess is not None
    assert guess.language == language


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["Ships at Sea", "The Harbour"],  # too few words
        ["Rembrandt van Rijn", "Peter Paul Rubens", "Titian", "Hokusai", "Judith Leyster", "Caravaggio Merisi"] * 20,
        [title for titles in (TITLES["dutch"], TITLES["english"]) for title in titles] * 5,  # each title in both
        ["IMG 0001", "IMG 0002", "12 x 30 cm"] * 50,
    ],
)
def test_no_language_is_guessed_where_none_stands_out(database: Database, texts: list[str]) -> None:
    with database.connection() as (conn, _):
        assert guess_language(conn, texts) is None


def catalogue(folder: Path, titles: list[str]) -> str:
    rows = [f"p{n:02}.png\t{title}" for n, title in enumerate(titles)]
    (folder / "catalogue.tsv").write_text("\n".join(["file\ttitle", *rows]) + "\n")
    return str(folder / "catalogue.tsv")


def found(database: Database, words: str) -> list[str]:
    with database.connection() as (conn, _):
        rows = by_words(conn, "pictures", resolve_space(conn, "pictures"), words, None, Wanted(100)).rows
    return sorted(row.image_id for row in rows)


def test_a_run_guesses_the_language_says_so_and_leaves_it_alone_afterwards(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 12)
    first = run(settings, source).summary
    assert first["language"] == "simple"
    assert not any("stems" in note for note in first["notes"])
    english = catalogue(tmp_path, TITLES["english"] * 3)
    second = run(settings, source, metadata=(english,)).summary
    assert second["language"] == "english"
    (said,) = (note for note in second["notes"] if "stems" in note)
    assert "the texts look English" in said
    assert "pinakes language pictures LANGUAGE changes that" in said
    assert found(database, "ship") == found(database, "ships") == ["p00.png", "p04.png", "p08.png"]
    assert found(database, "the") == []
    third = run(settings, source, metadata=(catalogue(tmp_path, TITLES["german"] * 3),)).summary
    assert third["language"] == "english"
    assert third["calls"] == 0
    assert not any("stems" in note for note in third["notes"])


def test_a_language_that_was_chosen_is_not_guessed_again(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 12)
    summary = run(settings, source, metadata=(catalogue(tmp_path, TITLES["english"] * 3),), language="simple").summary
    assert summary["language"] == "simple"
    assert found(database, "ship") == []
    assert found(database, "ships") == ["p00.png", "p04.png", "p08.png"]


def test_searches_find_every_row_while_the_language_changes_and_after_an_interruption(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = gallery(tmp_path / "in", 12)
    run(settings, source, metadata=(catalogue(tmp_path, TITLES["english"] * 3),), language="simple")
    monkeypatch.setattr(folded_texts, "BATCH", 4)
    monkeypatch.setattr(folded_texts, "LOCK_PAUSE_SECONDS", 0.05)
    with database.connection() as (conn, _), database.connection() as (writer, _), ThreadPoolExecutor() as pool:
        with writer.transaction():
            writer.execute("SELECT FROM pictures.images WHERE image_id = 'p08.png' FOR UPDATE")
            changing = pool.submit(set_language, conn, "pictures", "english")
            deadline = time.monotonic() + 60
            while found(database, "ship") != ["p00.png", "p04.png"]:  # the third batch waits for the row
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert found(database, "ships") == ["p00.png", "p04.png", "p08.png"]
            assert not changing.done()
        assert changing.result(timeout=60) > 0
    assert found(database, "ship") == ["p00.png", "p04.png", "p08.png"]

    def broken(*_: object) -> int:
        raise KeyboardInterrupt

    with database.connection() as (conn, _):
        with monkeypatch.context() as patched:
            patched.setattr("pinakes.store.languages.fold_stored", broken)
            with pytest.raises(KeyboardInterrupt):
                set_language(conn, "pictures", "german")
        assert language_of(conn, "pictures").all == ["german", "english"]
        assert found(database, "ship") == ["p00.png", "p04.png", "p08.png"]
    run(settings, source)  # which ends it
    with database.connection() as (conn, _):
        assert language_of(conn, "pictures").all == ["german"]
        stale = conn.execute("SELECT FROM pictures.images WHERE words <> to_tsvector('german', folded)").fetchall()
    assert not stale


def test_the_command_shows_and_changes_the_language(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        settings,
        gallery(tmp_path / "in", 12),
        metadata=(catalogue(tmp_path, TITLES["english"] * 3),),
        language="simple",
    )
    monkeypatch.chdir(tmp_path)
    for name, value in (("HOME", settings.home), ("DATABASE_URL", settings.database_url)):
        monkeypatch.setenv(f"PINAKES_{name}", str(value))

    def told(*arguments: str) -> str:
        outcome = CliRunner().invoke(cli, ["language", "pictures", *arguments], standalone_mode=False)
        if outcome.exception is not None:
            raise outcome.exception
        return " ".join(outcome.output.split())

    shown = told()
    assert "compares whole words" in shown
    assert "the texts look English" in shown
    assert "pinakes language pictures english" in shown
    assert "compares english stems; 12 pictures" in told("english")
    assert '"language": "english"' in told("--json")
    with pytest.raises(UsageError, match="did you mean 'english'"):
        told("englisch")
