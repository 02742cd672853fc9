"""The sample gallery: its files, its tables, and that its painters can be told apart."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from click.testing import CliRunner
from PIL import Image

from gallery import Gallery, catalogue, studio, write_gallery
from gallery.colour import name_of, rgb
from gallery.gallery import MARKER, PICTURES, SEED, _paint_all
from gallery.light import LIGHTS
from gallery.painter import PAINTERS, Painter
from gallery.panel import Dice, Panel
from gallery.scenes import SCENES
from gallery.story import Story, tell
from gallery.worker import paint
from pinakes.cli.main import cli
from pinakes.errors import UsageError

COUNT = 14  # one picture by each painter
TYPES = {"landscape", "portrait", "still-life", "interior", "study", "genre", "other"}


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Gallery, str]:
    """A gallery, and what was shown while it was painted."""
    shown = io.StringIO()
    with contextlib.redirect_stderr(shown):
        return write_gallery(tmp_path_factory.mktemp("sample") / "gallery", count=COUNT, workers=2), shown.getvalue()


@pytest.fixture(scope="module")
def gallery(painted: tuple[Gallery, str]) -> Gallery:
    return painted[0]


@pytest.fixture(scope="module")
def rows(gallery: Gallery) -> list[dict[str, str]]:
    lines = []
    for table in gallery.metadata:
        header, *rest = table.read_bytes().decode("cp1252", "strict").splitlines()
        assert header.split("\t") == list(catalogue.COLUMNS)
        lines += [dict(zip(catalogue.COLUMNS, line.split("\t"), strict=True)) for line in rest]
    return lines


def files(gallery: Gallery) -> dict[str, Path]:
    return {path.name: path for path in gallery.pictures.rglob("*.*") if path.suffix in {".jpg", ".png"}}


def unchanged(directory: Path) -> dict[Path, tuple[int, bytes]]:
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in directory.rglob("*") if p.is_file()}


def test_every_picture_has_a_row_and_every_row_a_picture(gallery: Gallery, rows: list[dict[str, str]]) -> None:
    assert gallery.images == COUNT + 1
    assert gallery.distinct == gallery.painted == COUNT
    assert sorted(files(gallery)) == sorted(row["IMAGE_FILE"] for row in rows)


def test_a_bar_counts_every_picture_once(painted: tuple[Gallery, str]) -> None:
    assert f" 0/{COUNT} " in painted[1]
    assert re.search(rf"painting: 100%\|.+\| {COUNT}/{COUNT} ", painted[1])


def test_the_command_shows_the_bar_and_then_what_it_wrote(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pinakes.cli.main", "sample", str(tmp_path / "gallery"), "--count", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(r"painting: 100%\|.+\| 1/1 ", done.stderr)
    assert done.stdout == f"2 pictures and 3 metadata files in {tmp_path / 'gallery'}\n"


def test_the_command_refuses_to_paint_no_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def paint_nothing(*_: object) -> Iterator[tuple[int, Story]]:
        raise AssertionError("no picture was asked for")

    monkeypatch.setattr("gallery.gallery._paint_all", paint_nothing)
    with pytest.raises(UsageError, match="at least 1"):
        CliRunner().invoke(cli, ["sample", str(tmp_path / "gallery"), "--count", "0"], catch_exceptions=False)
    assert not (tmp_path / "gallery").exists()


@pytest.mark.parametrize("workers", [2, 3])
def test_every_picture_is_painted_once_by_one_of_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr("gallery.gallery._FEWEST_PER_WORKER", 1)
    painted = _paint_all(tmp_path, SEED, 2 * workers + 1, workers)
    assert sorted(number for number, _ in painted) == list(range(2 * workers + 1))
    assert len(list(tmp_path.iterdir())) == 2 * workers + 1


def test_the_words_of_a_story_follow_the_facts() -> None:
    facts = {"old": True, "hair": rgb("#2a1c14"), "woman": True, "beard": False, "left": False, "coat": rgb("#e98a2b")}
    facts |= {"collar": "ruff", "hat": "", "behind": "plain", "cloth": rgb("#ffffff")}
    facts |= {"sitter": "a Scholar", "who": "a scholar"}
    plain = replace(PAINTERS[0], palette=replace(PAINTERS[0].palette, pull=0, shadows="#000000", lights="#ffffff"))
    story = tell("portrait", facts, LIGHTS["noon"], plain, Dice(np.random.default_rng(0)))
    assert story.title == "Portrait of a Scholar"
    assert story.description == (
        "Portrait of a scholar: a grey-haired woman looks out of the picture to the right. The sitter wears an orange coat"
        " with a ruff. The background is plain and white."
    )


def test_what_other_processes_do_not_paint_is_painted_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gallery.gallery._FEWEST_PER_WORKER", 1)
    monkeypatch.setattr("sys.executable", str(tmp_path / "nothing"))
    assert write_gallery(tmp_path / "without", count=3, workers=2).painted == 3
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert write_gallery(tmp_path / "failing", count=3, workers=2).painted == 3
    assert (tmp_path / "without" / "semart_train.csv").read_bytes() == (
        tmp_path / "failing" / "semart_train.csv"
    ).read_bytes()


def test_processes_end_with_the_painting_that_started_them(tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    painted = _paint_all(tmp_path, SEED, 200, 2)
    next(painted)
    assert len(set(psutil.Process().children()) - before) == 2
    painted.close()
    assert set(psutil.Process().children()) <= before, "all have ended and were waited for"


def test_every_picture_opens_in_rgb_with_a_long_side_of_480_to_640(gallery: Gallery) -> None:
    shapes = set()
    for path in files(gallery).values():
        with Image.open(path) as picture:
            picture.load()
            assert picture.mode == "RGB"
            assert 480 <= max(picture.size) <= 640
            assert picture.format == ("PNG" if path.suffix == ".png" else "JPEG")
            shapes.add(round(picture.width / picture.height, 1))
    assert min(shapes) < 1 < max(shapes)
    assert sum(path.suffix == ".png" for path in files(gallery).values()) == 1


def test_one_picture_is_there_twice_and_one_file_is_not_a_picture(gallery: Gallery) -> None:
    digests = [hashlib.md5(path.read_bytes()).hexdigest() for path in files(gallery).values()]
    assert len(digests) - len(set(digests)) == 1
    assert "not an image" in (gallery.pictures / "NOTES.txt").read_text(encoding="utf-8")


def test_rows_say_what_semart_says(rows: list[dict[str, str]]) -> None:
    for row in rows:
        assert re.fullmatch(r".+, \d+ x \d+ cm", row["TECHNIQUE"])
        assert row["TYPE"] in TYPES
        assert re.fullmatch(r"[^a-zà-ÿ]+, .+", row["AUTHOR"]), "the surname is in capitals"
        first, last = (int(year) for year in row["TIMEFRAME"].split("-"))
        date = re.search(r"\d{4}", row["DATE"])
        assert date is not None
        assert first <= int(date[0]) + (row["DATE"].endswith("s")) <= last
        assert last - first == 49
        assert len(row["DESCRIPTION"].split()) > 20
        assert all(row.values())


def test_there_are_accents_and_unknown_masters(rows: list[dict[str, str]]) -> None:
    authors = {row["AUTHOR"] for row in rows}
    assert sum(author.startswith("UNKNOWN MASTER, ") for author in authors) == 2
    assert len([author for author in authors if not author.isascii()]) >= 6
    assert {author.split(", ")[1] for author in authors} >= {"Zoé", "Søren", "José"}


def test_the_size_has_the_shape_of_the_picture(gallery: Gallery, rows: list[dict[str, str]]) -> None:
    for row in rows:
        high, wide = (int(part) for part in re.findall(r"(\d+) x (\d+) cm", row["TECHNIQUE"])[0])
        with Image.open(files(gallery)[row["IMAGE_FILE"]]) as picture:
            assert wide / high == pytest.approx(picture.width / picture.height, rel=0.06)


def test_all_three_tables_hold_pictures(gallery: Gallery) -> None:
    lengths = [len(table.read_text(encoding="cp1252").splitlines()) - 1 for table in gallery.metadata]
    assert lengths == [COUNT + 1 - 2, 1, 1]


def test_the_same_seed_paints_the_same_bytes_whichever_process_paints(gallery: Gallery, tmp_path: Path) -> None:
    for number in (0, 6, 12):
        paint(tmp_path, SEED, number)
    again = list(tmp_path.iterdir())
    assert len(again) == 3
    for path in again:
        assert path.read_bytes() == (gallery.pictures / path.name).read_bytes()


def test_another_seed_paints_another_picture(gallery: Gallery, tmp_path: Path) -> None:
    paint(tmp_path, SEED + 1, 0)
    (path,) = tmp_path.iterdir()
    assert path.read_bytes() != (gallery.pictures / path.name).read_bytes()


def test_writing_again_writes_nothing(gallery: Gallery) -> None:
    before = unchanged(gallery.directory)
    again = write_gallery(gallery.directory, count=COUNT)
    assert again.painted == 0
    assert (again.images, again.metadata) == (gallery.images, gallery.metadata)
    assert unchanged(gallery.directory) == before


def test_another_count_replaces_the_gallery_and_leaves_other_files(tmp_path: Path) -> None:
    write_gallery(tmp_path, count=2)
    (tmp_path / "mine.txt").write_text("mine")
    second = write_gallery(tmp_path, count=1)
    assert second.painted == 1
    assert len(files(second)) == 2
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_an_interrupted_gallery_is_painted_again(tmp_path: Path) -> None:
    write_gallery(tmp_path, count=1)
    marker = json.loads((tmp_path / MARKER).read_text())
    (tmp_path / MARKER).write_text(json.dumps({**marker, "complete": False}))
    assert write_gallery(tmp_path, count=1).painted == 1
    (tmp_path / "Images" / "NOTES.txt").unlink()
    assert write_gallery(tmp_path, count=1).painted == 1
    assert write_gallery(tmp_path, count=1).painted == 0
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_folder_with_other_files_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"precious")
    before = unchanged(tmp_path)
    with pytest.raises(UsageError, match="holds other files"):
        write_gallery(tmp_path, count=1)
    assert unchanged(tmp_path) == before
    with pytest.raises(UsageError, match="it is a file"):
        write_gallery(tmp_path / "holiday.jpg", count=1)


def test_a_marker_cannot_make_it_delete_files_elsewhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("stay")
    directory = tmp_path / "gallery"
    directory.mkdir()
    listed = {"version": 0, "count": 1, "seed": 1, "complete": True, "files": ["../outside.txt", str(outside), 7]}
    (directory / MARKER).write_text(json.dumps(listed))
    write_gallery(directory, count=1)
    assert outside.read_text() == "stay"


def test_no_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        write_gallery(tmp_path / "new", count=0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match=re.escape(str(tmp_path))):
        write_gallery(tmp_path / "gallery", count=1)


def test_a_name_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot be written to"):
        write_gallery(tmp_path / "file" / "gallery", count=1)


@pytest.mark.parametrize("kind", SCENES)
def test_every_subject_can_be_drawn_by_day_and_by_night(kind: str) -> None:
    scene = SCENES[kind]
    for seed, light in enumerate(
        sorted({scene.lights[0], scene.lights[-1], *(set(scene.lights) & {"night", "storm"})})
    ):
        panel = (
            Panel(150, 110, np.random.default_rng(seed)) if seed % 2 else Panel(97, 140, np.random.default_rng(seed))
        )
        story = scene.draw(panel, LIGHTS[light], PAINTERS[seed])
        assert np.isfinite(panel.rgb).all()
        assert panel.rgb.std() > 0.02
        assert story.type in TYPES
        assert catalogue.encode([("a.jpg", story.description, "B, C", story.title, "t", "1", story.type, "s", "f")])
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou\W]|  |\.\.", story.description, re.IGNORECASE)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("snow", "snow"), ("ships", "sail"), ("interior", "window"), ("night_city", "lamp"), ("desert", "dunes|desert")],
)
def test_descriptions_name_what_is_painted(kind: str, words: str) -> None:
    for seed in range(4):
        panel = Panel(90, 90, np.random.default_rng(seed))
        story = SCENES[kind].draw(panel, LIGHTS[SCENES[kind].lights[0]], PAINTERS[seed])
        assert re.search(words, story.description)


def test_there_are_many_subjects_and_painters_and_each_paints_several() -> None:
    assert len(SCENES) >= 8
    assert 8 <= len(PAINTERS) <= 15
    assert all(len(set(painter.kinds)) >= 5 for painter in PAINTERS)
    orders = [studio.commission(number, SEED) for number in range(PICTURES)]
    assert {order.kind for order in orders} == set(SCENES)
    assert len({catalogue.file_name(order) for order in orders}) == PICTURES


def traits(painter: Painter, kind: str) -> npt.NDArray[np.float64]:
    """Colour and texture of a small picture: quantiles of each channel, and how rough it is at two scales."""
    order = studio.Commission(5, painter, kind, SCENES[kind].lights[0], 200, 160, 3)
    pixels = np.asarray(studio.execute(order)[0], np.float64) / 255
    grey = pixels.mean(axis=2)
    rough = [np.abs(np.diff(grey[::step], axis=0)).mean() * 6 for step in (1, 4)]
    chroma = pixels - grey[..., None]
    return np.concatenate(
        [np.quantile(grey, [0.1, 0.5, 0.9]), np.quantile(chroma, [0.1, 0.5, 0.9], axis=(0, 1)).ravel() * 3, rough]
    )


def test_painters_differ_in_the_same_subject_and_resemble_themselves_in_another() -> None:
    works = {painter.author: [traits(painter, kind) for kind in ("mountains", "still_life")] for painter in PAINTERS}
    for (_, first), (_, second) in itertools.combinations(works.items(), 2):
        assert np.linalg.norm(first[0] - second[0]) > 0.08
    own = np.mean([np.linalg.norm(a - b) for a, b in works.values()])
    others = np.mean([np.linalg.norm(works[a][0] - works[b][1]) for a, b in itertools.permutations(works, 2)])
    assert own < others * 0.9


@pytest.mark.parametrize(
    ("code", "word"),
    [("#ffffff", "white"), ("#101010", "black"), ("#d02020", "red"), ("#1a2a70", "blue"), ("#4a3010", "brown")],
)
def test_colours_have_plain_names(code: str, word: str) -> None:
    assert word in name_of(rgb(code))


def test_a_value_that_would_break_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="not a line"):
        catalogue.encode([("a\tb", *["x"] * 8)])
