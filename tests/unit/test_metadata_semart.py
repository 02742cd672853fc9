"""SemArt's own rules: TECHNIQUE as medium and size, damaged names, splits, the header."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinakes.metadata.semart import SEMART_COLUMNS, correct_name, is_semart, split_of, split_technique


@pytest.mark.parametrize(
    ("technique", "medium", "size"),
    [
        ("Oil on canvas, 71 x 61 cm", "Oil on canvas", "71 x 61 cm"),
        ("Oil on canvas, transferred from panel, 120 x 80 cm", "Oil on canvas, transferred from panel", "120 x 80 cm"),
        ("Fresco", "Fresco", None),
        ("Oil on panel, diameter 85 cm", "Oil on panel", "diameter 85 cm"),
        ("Oil on wood, diam. 12 cm", "Oil on wood", "diam. 12 cm"),
        ("Oil on oak, 61,5 x 50,2 cm", "Oil on oak", "61,5 x 50,2 cm"),
        ("Oil on oak, 61.5 × 50.2 cm", "Oil on oak", "61.5 × 50.2 cm"),
        ("Oil on canvas,71 x 61 cm", "Oil on canvas", "71 x 61 cm"),
        ("Etching, 1650, 12 x 10 cm", "Etching, 1650", "12 x 10 cm"),
        ("Fresco, 1305-06, 200 x 185 cm", "Fresco, 1305-06", "200 x 185 cm"),
        ("Woodcut, 1498", "Woodcut, 1498", None),
        ("Oil on canvas, 19th century", "Oil on canvas, 19th century", None),
        ("Tempera on wood, gold ground", "Tempera on wood, gold ground", None),
        ("Tempera, gold, and silver on panel, 31 x 22 cm", "Tempera, gold, and silver on panel", "31 x 22 cm"),
        (
            "Oil on wood, 220 x 109 cm (central), 220 x 53 cm (each wing)",
            "Oil on wood",
            "220 x 109 cm (central), 220 x 53 cm (each wing)",
        ),
        ("Oil on panel, each 30 x 20 cm", "Oil on panel", "each 30 x 20 cm"),
        ("Marble, height 2 m", "Marble", "height 2 m"),
        ("Drawing, 12 1/2 x 9 in.", "Drawing", "12 1/2 x 9 in."),
        ("Drawing, 12½ x 9¼ inches", "Drawing", "12½ x 9¼ inches"),
        ("Oil on canvas, 3 ft 2 in", "Oil on canvas", "3 ft 2 in"),
        ("Watercolour , ca. 20 x 30 cm", "Watercolour", "ca. 20 x 30 cm"),
        ("Oil on canvas,", "Oil on canvas,", None),
        ("71 x 61 cm", "71 x 61 cm", None),
        ("", "", None),
    ],
)
def test_technique_is_cut_at_the_comma_before_the_size(technique: str, medium: str, size: str | None) -> None:
    assert split_technique(technique) == (medium, size)


PARTS = st.sampled_from(
    [
        ", ",
        ",",
        " ,  ",
        " ",
        "Oil on canvas",
        "diameter ",
        "each ",
        "71",
        "61,5",
        " x ",
        "x",
        " cm",
        "1490",
        "(",
        "m",
        "½",
    ]
)


@given(st.lists(PARTS, max_size=12).map("".join))
@example("Oil ,  71 x 61 cm")
def test_the_split_loses_nothing_but_one_comma_and_spaces(technique: str) -> None:
    medium, size = split_technique(technique)
    if size is None:
        assert medium == technique
        return
    between = technique[len(medium) : len(technique) - len(size)]
    assert technique == medium + between + size
    assert between.strip() == ","
    assert any(char.isdigit() for char in size)


@pytest.mark.timeout(60)  # quadratic time would be minutes
@pytest.mark.parametrize(
    "piece", [" ", ", ", ", of ", ", 1", "1", ", 1 1/", "c. ", ", 12 ", ",", "each: ", ", diameter"]
)
def test_long_text_is_split_in_linear_time(piece: str) -> None:
    text = "Oil" + piece * (100_000 // len(piece)) + "."
    assert split_technique(text) == (text, None)
    assert split_technique(f"{text}, 2 x 3 cm")[1] == "2 x 3 cm"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("gap", ["of", "12", "12 x", "each 12"])
def test_a_long_gap_within_a_size_takes_linear_time(gap: str) -> None:
    text = f"Oil, {gap}{' ' * 100_000}."
    assert split_technique(text) == (text, None)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("TURA, Cosm?", "TURA, Cosmè"),
        ("DELACROIX, Eug?ne", "DELACROIX, Eugène"),
        ("attributed to TURA, Cosm?", "attributed to TURA, Cosmè"),
        ("MASTER of What?", "MASTER of What?"),
        ("REMBRANDT Harmenszoon van Rijn", "REMBRANDT Harmenszoon van Rijn"),
    ],
)
def test_only_the_two_damaged_names_are_corrected(written: str, meant: str) -> None:
    assert correct_name(written) == meant
    assert correct_name(meant) == meant


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("semart_train.csv", "train"),
        ("SemArt_VAL.csv", "val"),
        ("semart-test.csv.gz", "test"),
        ("semart.csv", None),
        ("valley.csv", None),
        ("latest.csv", None),
        ("training.csv", None),
    ],
)
def test_the_split_is_a_word_of_the_file_name(name: str, split: str | None) -> None:
    assert split_of(Path("/data/test") / name) == split


def test_the_header_is_semarts_in_any_order_and_case() -> None:
    assert is_semart(SEMART_COLUMNS)
    assert is_semart(name.lower() for name in reversed(SEMART_COLUMNS))
    assert not is_semart(SEMART_COLUMNS[:-1])
    assert not is_semart((*SEMART_COLUMNS, "COLOUR"))
    assert not is_semart((*SEMART_COLUMNS[:-1], "IMAGE_FILE"))
