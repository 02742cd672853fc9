"""Colours as points of OKLab, and the words for them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageColor

from pinakes.embedders.palette.colours import Colour, Region, oklab_planes
from pinakes.embedders.palette.names import BASIC, COMMON, CSS, SHADES
from pinakes.embedders.palette.words import read


def focus(text: str) -> Colour:
    (wish,) = read(text).wishes
    return wish.region.focus


@pytest.mark.parametrize(
    ("value", "lab"),
    [
        # CSS Color Module Level 4 and Ottosson 2020 give these to three places.
        ("#ffffff", (1.0, 0.0, 0.0)),
        ("#000000", (0.0, 0.0, 0.0)),
        ("#ff0000", (0.628, 0.225, 0.126)),
        ("#00ff00", (0.866, -0.234, 0.179)),
        ("#0000ff", (0.452, -0.032, -0.312)),
    ],
)
def test_the_corners_of_srgb_are_where_oklab_has_them(value: str, lab: tuple[float, float, float]) -> None:
    assert Colour.from_hex(value).lab == pytest.approx(lab, abs=1e-3)
    pixel = np.array([[ImageColor.getrgb(value)]], np.uint8)
    assert oklab_planes(pixel)[:, 0, 0].tolist() == pytest.approx(lab, abs=2e-3)


def test_the_fast_conversion_agrees_with_the_exact_one() -> None:
    rng = np.random.RandomState(3)
    pixels = rng.randint(0, 256, (20, 10, 3)).astype(np.uint8)
    planes = oklab_planes(pixels)
    assert planes.shape == (3, 20, 10)
    assert planes.dtype == np.float32
    for y in range(20):
        exact = Colour.from_hex("#" + bytes(pixels[y, 0]).hex()).lab
        assert planes[:, y, 0].tolist() == pytest.approx(exact, abs=2e-3)


def test_a_colour_out_of_gamut_is_shown_with_less_chroma() -> None:
    wild = Colour(0.6, 0.5, 2.0)
    shown = wild.shown()
    assert not wild.in_gamut
    assert shown.in_gamut
    assert shown.lightness == wild.lightness
    assert shown.hue == pytest.approx(wild.hue)


def test_a_region_holds_its_focus_and_fades_with_distance() -> None:
    blue = Colour.from_hex("#2f62c0")
    region = Region(blue, 0.15, 0.05, 0.3)
    points = [blue, blue.towards(Colour(1, 0, 0), 0.2), blue.towards(Colour(1, 0, 0), 0.6), Colour.from_hex("#c8202a")]
    weights = region.membership(np.array([point.lab for point in points]))
    assert weights[0] == pytest.approx(1)
    assert (np.diff(weights) < 0).all()


def test_every_css_colour_is_read_whole_and_where_css_has_it() -> None:
    assert len(CSS) == 148
    for name, value in CSS.items():
        reading = read(name)
        assert reading.read == (name,)
        assert len(reading.wishes) == 1
        if name.replace("gray", "grey") not in BASIC and name not in COMMON:
            assert reading.wishes[0].region.focus == Colour.from_hex(value)


@pytest.mark.parametrize("name", [*BASIC, *COMMON])
def test_every_common_name_is_read_whole(name: str) -> None:
    reading = read(f"a {name} coat")
    assert reading.read == tuple(name.split())
    assert reading.unread == ("coat",)
    assert len(reading.wishes) == 1


@pytest.mark.parametrize("base", ["blue", "red", "green", "brown", "ochre", "grey", "turquoise"])
def test_shades_move_in_the_direction_of_their_names(base: str) -> None:
    plain = focus(base)
    assert focus(f"dark {base}").lightness < plain.lightness
    assert focus(f"very dark {base}").lightness < focus(f"dark {base}").lightness
    assert focus(f"light {base}").lightness > plain.lightness
    assert focus(f"pale {base}").lightness > plain.lightness
    if base != "grey":
        assert focus(f"deep {base}").lightness < plain.lightness
        assert focus(f"muted {base}").chroma < plain.chroma
        assert focus(f"greyish {base}").chroma < plain.chroma
        assert focus(f"vivid {base}").chroma >= plain.chroma


def test_every_shade_of_every_basic_colour_can_be_shown() -> None:
    for shade in SHADES:
        for base in BASIC:
            assert focus(f"{shade} {base}").in_gamut


def test_tints_pull_towards_their_colour() -> None:
    assert focus("bluish grey").lab[2] < focus("grey").lab[2] - 0.02
    assert focus("reddish brown").lab[1] > focus("brown").lab[1]
    assert focus("blue-green").hue == pytest.approx((focus("blue").hue + focus("green").hue) / 2 % np.pi, abs=3.2)


@pytest.mark.parametrize(
    ("text", "foci", "unread"),
    [
        ("dark blue and gold", 2, ()),
        ("pale pink sky", 1, ()),
        ("Light Sky Blue", 1, ()),
        ("dark olive green", 1, ()),
        ("blues, greens & OCHRES", 3, ()),
        ("off-white", 1, ()),
        ("dark-blue", 1, ()),
        ("blue-green sea", 1, ("sea",)),
        ("a white dress", 1, ("dress",)),
        ("lapis lazuli with vermilion", 2, ()),
        ("black and white cat", 1, ("cat",)),
        ("grayish green", 1, ()),
        ("the deep sea", 0, ("deep", "sea")),
        ("sky", 0, ("sky",)),
        ("3 red apples", 1, ("3", "apples")),
        ("tone of colours", 0, ()),
    ],
)
def test_a_text_becomes_its_colours_and_the_words_left_over(text: str, foci: int, unread: tuple[str, ...]) -> None:
    reading = read(text)
    assert len(reading.wishes) == foci
    assert reading.unread == unread


def test_dark_grey_in_two_words_is_darker_than_grey_though_css_has_it_lighter() -> None:
    assert focus("dark grey").lightness < focus("grey").lightness < focus("darkgray").lightness
    assert focus("dark gray") == focus("dark grey")


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("blue sky", ["top"]),
        ("green at the bottom", ["bottom"]),
        ("blue above green", ["top", "bottom"]),
        ("red below gold", ["bottom", "top"]),
        ("red on white", ["centre", "edges"]),
        ("golden field, blue sky", ["", "top"]),
        ("blue, at the top", ["top"]),
        ("sky blue", [""]),
        ("white on the left and black on the right", ["left", "right"]),
    ],
)
def test_places_belong_to_the_colours_beside_them(text: str, places: list[str]) -> None:
    assert [wish.place for wish in read(text).wishes] == places


def test_a_denied_colour_is_unwanted_and_the_next_clause_is_free_of_it() -> None:
    assert [wish.present for wish in read("blue without red").wishes] == [True, False]
    assert [wish.present for wish in read("no red or pink but green").wishes] == [False, False, True]
    assert read("no people").wishes == ()
