"""Contact sheets of any number of cards and any text."""

from __future__ import annotations

import itertools
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pinakes.errors import PinakesError, UsageError
from pinakes.images import contact_sheet as sheet_module
from pinakes.images.contact_sheet import Card, contact_sheet, save_sheet, to_jpeg_under
from pinakes.query.query import ask
from pinakes.search.answer import Hit, SearchPlan, SearchResult
from pinakes.search.sheet import sheet_of

RED = Image.new("RGB", (60, 40), (200, 0, 0))


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("count", [0, 1, 3, 12, 100])
def test_any_number_of_cards_makes_a_sheet_of_the_wanted_width(count: int) -> None:
    sheet = contact_sheet([Card(RED, f"title {n}") for n in range(count)], heading="red", width=1200)
    assert sheet.mode == "RGB"
    assert sheet.width == 1200
    assert sheet.height > 100


def test_every_picture_is_on_the_sheet() -> None:
    pictures = [Image.new("RGB", (50, 50), (250, n * 20, 10)) for n in range(10)]
    sheet = contact_sheet([Card(picture, "t") for picture in pictures], heading="h", width=1000)
    colours = {colour for _, colour in sheet.getcolors(1 << 24) or []}
    assert {(250, n * 20, 10) for n in range(10)} <= colours


def test_the_query_comes_first_and_nothing_found_is_said() -> None:
    empty = contact_sheet([], heading="h", query=Card(RED, "asked"))
    full = contact_sheet([Card(Image.new("RGB", (60, 40), (0, 200, 0)), "hit")], heading="h", query=Card(RED, "asked"))
    pixels = np.asarray(full).astype(int)
    red = np.argwhere((pixels == (200, 0, 0)).all(axis=2))
    green = np.argwhere((pixels == (0, 200, 0)).all(axis=2))
    assert red[:, 1].max() < green[:, 1].min()
    assert empty.height > 0


@pytest.mark.parametrize("shape", [(60, 20), (60, 40), (40, 60)])
@pytest.mark.parametrize("card", [Card(None, "title"), Card(None, "title", "painter", "1 · 0.5"), Card(None, "")])
def test_the_space_between_rows_is_the_same_whatever_their_pictures_and_captions(
    shape: tuple[int, int], card: Card
) -> None:
    cards = [replace(card, picture=Image.new("RGB", shape, (250, row * 20, 10))) for row in range(3) for _ in range(2)]
    sheet = np.asarray(contact_sheet(cards, heading="h", columns=2, width=700)).astype(int)
    rows = [np.flatnonzero((sheet == (250, row * 20, 10)).all(axis=2).any(axis=1)) for row in range(3)]
    ends_of_captions = [
        int(np.flatnonzero((sheet[above.max() + 1 : below.min()] != sheet[0, 0]).any(axis=(1, 2))).max(initial=0))
        for above, below in itertools.pairwise(rows)
    ]
    gaps = [below.min() - above.max() for above, below in itertools.pairwise(rows)]
    assert gaps[0] == gaps[1]
    space = gaps[0] - (ends_of_captions[0] or sheet_module.CAPTION_GAP)
    assert sheet_module.ROW_GAP <= space <= sheet_module.ROW_GAP + sheet_module.TITLE_SIZE


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=400), st.text(max_size=100), st.text(max_size=60))
def test_no_text_breaks_or_widens_a_sheet(title: str, subtitle: str, note: str) -> None:
    cards = [Card(None, title, subtitle, note), Card(RED, title, subtitle, note)]
    sheet = contact_sheet(cards, heading=title, subheading=subtitle, query=Card(None, title), width=700)
    assert sheet.width == 700
    edge = np.asarray(sheet)[:, -20:]
    assert (edge == edge[0, 0]).all()


@pytest.mark.parametrize("character", "éèÉñøşŽčăłßœ«»—–…×αЖ")
def test_letters_with_accents_are_drawn(character: str) -> None:
    assert sheet_module._has(character)


def test_what_the_font_lacks_is_known() -> None:
    assert not sheet_module._has("日")


def test_a_jpeg_is_made_to_fit() -> None:
    data = to_jpeg_under(noise(1600, 1200), 300_000)
    assert len(data) <= 300_000
    assert Image.open(BytesIO(data)).format == "JPEG"


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.JPG", b"\xff\xd8\xff"), ("a.pdf", b"%PDF")])
def test_a_sheet_is_what_its_name_says(tmp_path: Path, name: str, begins: bytes) -> None:
    save_sheet(RED, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begins)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_sheet_of_another_name_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.png, \.jpg, \.jpeg, \.pdf"):
        save_sheet(RED, tmp_path / "sheet.gif")


def test_a_sheet_that_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    for folder in (tmp_path / "nowhere", in_the_way):
        with pytest.raises(PinakesError, match=r"cannot be written: .+; name a file in a folder"):
            save_sheet(RED, folder / "red.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_rows_are_aligned_at_the_top_and_narrow_pictures_are_in_the_middle_of_their_cells() -> None:
    wide, tall = Image.new("RGB", (90, 30), (250, 10, 10)), Image.new("RGB", (30, 90), (10, 10, 250))
    sheet = np.asarray(contact_sheet([Card(wide, "w"), Card(tall, "t")], heading="h", columns=2, width=700)).astype(int)
    (top, left), (_, right) = np.argwhere((sheet == (250, 10, 10)).all(axis=2))[[0, -1]]
    narrow = np.argwhere((sheet == (10, 10, 250)).all(axis=2))
    assert narrow[:, 0].min() == top
    cell = left + (right - left + 1) + sheet_module.GAP
    before, after = narrow[:, 1].min() - cell, cell + (right - left) - narrow[:, 1].max()
    assert abs(before - after) <= 1
    assert before > 0


def test_a_search_by_words_says_them_once_and_calls_a_distance_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    line = sheet_module._line
    monkeypatch.setattr(sheet_module, "_line", lambda *given: (written.append(given[2]), line(*given)))
    plan = SearchPlan("exact", "s", "cosine", "an embedder", 1, 0, 0, 1.0, ())
    result = SearchResult([Hit("a.png", 0.8312, "file:///nowhere/a.png", {"title": "Night"})], plan)
    sheet_of(ask("midnight blue"), result)
    assert sum("midnight blue" in text for text in written) == 1
    assert "1 · distance 0.83" in written
    written.clear()
    asked = BytesIO()
    RED.save(asked, "PNG")
    sheet_of(ask(image=asked.getvalue()), result)
    assert sum("picture" in text for text in written if text != "no picture") == 2, written
