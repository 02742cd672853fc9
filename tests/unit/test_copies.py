"""What is a copy of what, without a database: pictures that only share a horizon, parts, borders, and names of leaves."""

from __future__ import annotations

import random

import pytest
from PIL import Image, ImageDraw, ImageOps

from benchmarks.made_copies import composed, encoded, leaves
from pinakes.duplicates.comparison import compare
from pinakes.duplicates.groups import sides
from pinakes.duplicates.sketch import Sketch


def sketch(picture: Image.Image) -> Sketch:
    return Sketch.of(encoded(picture))


@pytest.mark.parametrize(("first", "second"), [(20, 352), (191, 613), (28, 352)])
def test_pictures_that_share_their_horizon_alone_are_no_copies(first: int, second: int) -> None:
    assert compare(sketch(composed(first)), sketch(composed(second))) is None


@pytest.mark.parametrize("seed", [725, 825, 20])
def test_a_thumbnail_of_forty_pixels_is_found(seed: int) -> None:
    whole = composed(seed)
    small = whole.resize((40, round(40 * whole.height / whole.width)))
    match = compare(sketch(whole), sketch(small))
    assert match is not None
    assert match.kind == "resized"
    assert compare(sketch(composed(seed + 1).resize(whole.size)), sketch(small)) is None


def lines(seed: int) -> Image.Image:
    """A drawing of thin lines, of which a sketch of half of it shows more than a sketch of the whole."""
    dice = random.Random(seed)
    picture = Image.new("L", (640, 480), 235)
    draw = ImageDraw.Draw(picture)
    for _ in range(160):
        x, y = dice.randrange(640), dice.randrange(480)
        ends = [(x + dice.randint(-90, 90), y + dice.randint(-90, 90)) for _ in range(2)]
        draw.line([(x, y), *ends], fill=dice.randrange(140), width=dice.randint(1, 6))
    return picture.convert("RGB")


def test_a_part_of_half_of_each_side_is_found_in_a_drawing() -> None:
    for seed in range(8):
        whole = lines(seed)
        match = compare(sketch(whole), sketch(whole.crop((150, 90, 480, 340))))
        assert match is not None, seed
        assert match.kind == "crop"
        assert compare(sketch(whole), sketch(lines(seed + 100).crop((150, 90, 480, 340)))) is None


def test_a_picture_is_found_in_its_border_however_the_border_is_cut() -> None:
    for seed in range(8):
        whole = lines(seed)
        for width, colour in ((11, "white"), (23, (240, 240, 235)), (38, "black")):
            match = compare(sketch(whole), sketch(ImageOps.expand(whole, width, colour)))
            assert match is not None, (seed, width)


def test_two_sides_of_a_leaf_are_known_by_the_ways_museums_write_them_and_no_others_are() -> None:
    names, pairs = leaves()
    assert set(sides(sorted(names))) == pairs


@pytest.mark.parametrize("name", ["Map verſo.tif", "a voorzıjde.jpg", "a ACHTERZİJDE.jpg", "verſo.png"])
def test_a_name_in_letters_that_only_resemble_those_of_a_side_is_no_side(name: str) -> None:
    assert list(sides([name, "leaf 7r.jpg", "leaf 7v.jpg"])) == [("leaf 7r.jpg", "leaf 7v.jpg")]
