"""The built-in embedder: what its vectors are, how they rank, and what one bad picture costs."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from pinakes.embedders.base import Embedder, Picture
from pinakes.embedders.palette.descriptor import RECIPES, Palette, describe
from pinakes.errors import SourceError, UnreadableQueryError, UsageError
from pinakes.types import ErrorClass, Failure, Image, Vector
from tests.trials import opened

COLOURS = {
    "red": (200, 30, 40),
    "orange": (240, 140, 30),
    "yellow": (240, 210, 40),
    "green": (60, 140, 60),
    "blue": (45, 100, 190),
    "purple": (120, 60, 150),
    "pink": (240, 150, 175),
    "brown": (120, 75, 40),
    "black": (12, 12, 12),
    "white": (248, 248, 246),
    "grey": (128, 128, 128),
}


def grain(seed: int, size: tuple[int, int] = (200, 160), amplitude: int = 12) -> np.ndarray:
    """Grey grain with blotches of 1 to 20 pixels, shape (height, width, 1)."""
    rng = np.random.RandomState(seed)
    total = np.zeros((size[1], size[0]))
    for step in (1, 5, 20):
        coarse = rng.randint(0, 256, (size[1] // step, size[0] // step)).astype(np.uint8)
        total += np.asarray(Pillow.fromarray(coarse).resize(size, Pillow.Resampling.BICUBIC), float) / 127.5 - 1
    return (total * amplitude)[..., None]


def painted(*parts: tuple[tuple[int, int, int], float], seed: int = 0, across: bool = True) -> Pillow.Image:
    """A grainy picture of bands from top to bottom (or left to right), each a colour and its share of the picture."""
    canvas = np.zeros((160, 200, 3))
    start = 0.0
    for colour, share in parts:
        length = 160 if across else 200
        band = slice(round(start * length), round((start + share) * length))
        canvas[(band, slice(None)) if across else (slice(None), band)] = colour
        start += share
    return Pillow.fromarray(np.clip(canvas + grain(seed), 0, 255).astype(np.uint8))


def encoded(picture: Pillow.Image, kind: str = "PNG", **options: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def as_picture(data: bytes | Callable[[], bytes], name: str = "a.png") -> Picture:
    image = Image(image_id=name, uri=f"file:///{name}", fingerprint="md5:0", size=0)
    return Picture(image, data if callable(data) else lambda: data)


def vector_of(picture: Pillow.Image, dimension: int = 1024) -> Vector:
    return vector_of_bytes(encoded(picture), dimension)


@cache
def vector_of_bytes(data: bytes, dimension: int) -> Vector:
    ((_, result),) = Palette(dimension).embed_images([as_picture(data)])
    assert not isinstance(result, Failure)
    return result


def ranking(text: str, pictures: dict[str, Pillow.Image], dimension: int = 1024) -> list[str]:
    query = Palette(dimension).embed_text(text).vector
    return sorted(pictures, key=lambda name: -float(query @ vector_of(pictures[name], dimension)))


@pytest.mark.parametrize("dimension", RECIPES)
def test_vectors_of_pictures_and_texts_have_the_dimension_and_length_one(dimension: int) -> None:
    embedder: Embedder = Palette(dimension)
    vectors = [
        vector_of(painted((COLOURS["red"], 0.5), (COLOURS["blue"], 0.5)), dimension),
        embedder.embed_text("dark blue").vector,
        embedder.embed_text("blue at the top and red at the bottom").vector,
    ]
    for vector in vectors:
        assert vector.shape == (dimension,)
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert embedder.facts.space.name == f"palette_descriptor_3_{dimension}_p1"


@pytest.mark.parametrize("dimension", [0, -1, 100, 1023, 3072, 4096])
def test_an_unknown_dimension_is_refused_with_the_ones_there_are(dimension: int) -> None:
    with pytest.raises(UsageError, match="choose 256, 512 or 1024"):
        opened("palette", {}, dimension=dimension)


def test_the_description_says_that_it_is_no_semantic_model_and_it_costs_nothing() -> None:
    facts = Palette().facts
    assert "not a semantic model" in facts.description
    assert facts.price.per_image == facts.price.per_text == 0


@pytest.mark.parametrize("dimension", RECIPES)
def test_the_same_picture_has_the_same_vector_on_any_machine(dimension: int) -> None:
    picture = painted((COLOURS["blue"], 0.4), (COLOURS["brown"], 0.6), seed=7)
    vector = describe(picture, dimension).astype(np.float64)
    # Sums with changing signs, so that no component can hide.
    waves = np.cos(np.outer([1, 2, 5], np.arange(dimension))) / np.sqrt(dimension)
    assert (waves @ vector).tolist() == pytest.approx(PINNED[dimension], abs=1e-5)
    assert vector[[0, 40, 120, 200, 250]].tolist() == pytest.approx(PINNED_PARTS[dimension], abs=1e-5)


PINNED = {
    256: [-0.0228895, -0.034743, 0.0267137],
    512: [0.0121004, -0.0177421, -0.0121441],
    1024: [0.0200041, -0.0440682, 0.0360331],
}
PINNED_PARTS = {
    256: [0.0, 0.0, -0.188862, -0.1375919, 0.0001818],
    512: [0.0, 0.0, 0.0, -0.0075577, -0.0813794],
    1024: [0.0, 0.0, 0.0, -0.044337, -0.0029257],
}


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    colour=st.tuples(*[st.integers(0, 255)] * 3),
)
@settings(max_examples=25, deadline=None)
def test_a_plain_picture_of_any_size_and_colour_has_a_finite_vector(
    width: int, height: int, colour: tuple[int, int, int]
) -> None:
    vector = describe(Pillow.new("RGB", (width, height), colour), 1024)
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_rounding_in_the_last_place_does_not_show() -> None:
    """Greys have no hue and plain pictures no edges; neither may turn rounding errors into components."""
    grey = painted((COLOURS["grey"], 1.0))
    # 200 x 152 pixels are measured as they are; one pixel of 30,400 that changes by one step may do only that much.
    plain = grey.crop((0, 0, 200, 152))
    nudged = plain.copy()
    r, g, b = plain.getpixel((50, 50))
    nudged.putpixel((50, 50), (r, g, b + 1))
    assert np.abs(describe(plain, 1024) - describe(nudged, 1024)).max() < 2e-3
    mirrored = describe(plain.convert("L").convert("RGB"), 1024)
    assert np.abs(describe(plain, 1024) - mirrored).max() < 1e-6


@pytest.mark.parametrize(
    ("data", "error_class"),
    [
        (b"", ErrorClass.EMPTY),
        (b"not a picture at all", ErrorClass.UNDECODABLE),
        (encoded(painted((COLOURS["red"], 1.0)), "JPEG")[:900], ErrorClass.UNDECODABLE),
    ],
)
def test_a_bad_picture_fails_alone_and_says_why(data: bytes, error_class: ErrorClass) -> None:
    good = encoded(painted((COLOURS["green"], 1.0)))
    embedder = Palette()
    results = dict(embedder.embed_images([as_picture(good), as_picture(data), as_picture(good)]))
    failure = results[1]
    assert isinstance(failure, Failure)
    assert failure.error_class is error_class
    assert failure.message
    assert isinstance(results[0], np.ndarray)
    assert isinstance(results[2], np.ndarray)
    assert embedder.calls == 2


@pytest.mark.parametrize("exc", [FileNotFoundError("a.png is gone"), SourceError("the bucket says 403")])
def test_a_picture_that_cannot_be_read_fails_alone_and_may_be_tried_again(exc: Exception) -> None:
    def gone() -> bytes:
        raise exc

    results = dict(Palette().embed_images([as_picture(gone), as_picture(encoded(painted((COLOURS["red"], 1.0))))]))
    failure = results[0]
    assert isinstance(failure, Failure)
    assert failure.error_class is ErrorClass.UNREADABLE
    assert not failure.final
    assert str(exc) in failure.message
    assert isinstance(results[1], np.ndarray)


def test_a_picture_for_which_memory_runs_out_fails_alone() -> None:
    def endless() -> bytes:
        raise MemoryError

    results = dict(Palette().embed_images([as_picture(endless), as_picture(encoded(painted((COLOURS["red"], 1.0))))]))
    failure = results[0]
    assert isinstance(failure, Failure)
    assert failure.error_class is ErrorClass.INTERNAL
    assert isinstance(results[1], np.ndarray)


def test_many_threads_get_what_one_gets() -> None:
    pictures = [encoded(painted((COLOURS[name], 1.0), seed=i)) for i, name in enumerate(COLOURS)]
    batches = [[as_picture(data) for data in pictures[i::3]] for i in range(3)] * 3
    embedder = Palette()
    alone = [dict(Palette().embed_images(batch)) for batch in batches[:3]] * 3
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda batch: dict(embedder.embed_images(batch)), batches))
        list(pool.map(embedder.embed_text, COLOURS))
    for one, other in zip(alone, together, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[i], other[i]) for i in one)
    assert embedder.calls == 3 * len(pictures) + len(COLOURS)


def test_a_copy_that_was_cropped_shrunk_and_recompressed_finds_its_original() -> None:
    names = list(COLOURS)
    originals = [
        painted((COLOURS[a], 0.3), (COLOURS[b], 0.7), seed=i, across=i % 2 == 0)
        for i, (a, b) in enumerate(zip(names, names[3:] + names[:3], strict=True))
    ]
    matrix = np.array([vector_of(picture) for picture in originals])
    for i, picture in enumerate(originals):
        worse = encoded(picture.crop((10, 8, 195, 155)).resize((120, 96)), "JPEG", quality=60)
        ((_, copy),) = Palette().embed_images([as_picture(worse)])
        assert isinstance(copy, np.ndarray)
        assert int(np.argmax(matrix @ copy)) == i


@pytest.mark.parametrize("dimension", [512, 1024])
def test_a_detail_is_nearer_to_the_rest_of_its_picture_than_to_another_picture_composed_alike(dimension: int) -> None:
    green, brown, cream = (40, 70, 50), (80, 62, 52), (225, 215, 190)
    detail = vector_of(painted((green, 0.5), (cream, 0.5), seed=1), dimension)
    rest = vector_of(painted((cream, 0.5), (green, 0.5), seed=2), dimension)
    alike = vector_of(painted((brown, 0.5), (cream, 0.5), seed=3), dimension)
    assert detail @ rest > detail @ alike


def test_pictures_of_one_texture_are_nearer_than_pictures_of_another() -> None:
    stripes = np.zeros((160, 200, 3)) + 128 + 50 * np.sign(np.sin(np.arange(200) / 3))[None, :, None]
    turned = np.zeros((160, 200, 3)) + 128 + 50 * np.sign(np.sin(np.arange(160) / 3))[:, None, None]
    one, same, other = (
        vector_of(Pillow.fromarray(np.clip(base + grain(seed), 0, 255).astype(np.uint8)))
        for base, seed in ((stripes, 1), (stripes, 2), (turned, 3))
    )
    assert one @ same > one @ other + 0.1


@cache
def mostly_of_one_colour() -> dict[str, Pillow.Image]:
    names = list(COLOURS)
    return {
        name: painted((COLOURS[name], 0.7), (COLOURS[names[(i + 4) % len(names)]], 0.3), seed=i)
        for i, name in enumerate(names)
    }


@pytest.mark.parametrize("dimension", RECIPES)
@pytest.mark.parametrize("name", COLOURS)
def test_a_basic_colour_finds_the_picture_that_is_mostly_of_it(name: str, dimension: int) -> None:
    assert ranking(name, mostly_of_one_colour(), dimension)[0] == name


@pytest.mark.parametrize("name", ["red", "green", "blue", "yellow", "white", "black", "brown"])
def test_more_of_a_colour_ranks_higher_and_agrees_with_counted_pixels(name: str) -> None:
    others = [COLOURS["grey"], COLOURS["purple"], COLOURS["orange"]]
    shares = {f"{round(share * 100)}%": share for share in (0.05, 0.2, 0.4, 0.6, 0.8, 1.0)}
    pictures = {
        label: painted((others[i % 3], 1 - share), (COLOURS[name], share), seed=i, across=i % 2 == 0)
        for i, (label, share) in enumerate(shares.items())
    }
    counted = {
        label: float(np.mean(np.abs(np.asarray(picture, int) - COLOURS[name]).max(-1) < 50))
        for label, picture in pictures.items()
    }
    assert ranking(name, pictures) == sorted(counted, key=lambda label: -counted[label])


def test_a_text_ranks_by_colour_whatever_the_texture() -> None:
    smooth = Pillow.new("RGB", (200, 160), COLOURS["blue"])
    rough = painted((COLOURS["blue"], 1.0), seed=5)
    query = Palette().embed_text("blue").vector
    grey = float(query @ vector_of(painted((COLOURS["grey"], 1.0), seed=5)))
    assert min(float(query @ vector_of(smooth)), float(query @ vector_of(rough))) > grey + 0.1


def test_two_colours_find_the_picture_that_has_both() -> None:
    navy, gold = (25, 40, 95), (212, 175, 55)
    pictures = {
        "both": painted((navy, 0.5), (gold, 0.5)),
        "navy": painted((navy, 1.0), seed=1),
        "gold": painted((gold, 1.0), seed=2),
        "red": painted((COLOURS["red"], 1.0), seed=3),
    }
    order = ranking("dark blue and gold", pictures)
    assert order[0] == "both"
    assert order[-1] == "red"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grey", ["grey", "crowd", "brown"]),
        ("pastel pink", ["pink", "flesh", "brown"]),
        ("red and gold", ["both", "much red", "red"]),
        ("black and white drawing", ["drawing", "crowd", "dark"]),
    ],
)
def test_amounts_demand_all_colours_and_look_past_crowds(text: str, expected: list[str]) -> None:
    gold, red, grey = (212, 175, 55), COLOURS["red"], COLOURS["grey"]
    crowd = [(COLOURS[name], 0.1) for name in ("red", "yellow", "green", "blue", "purple", "brown", "black")]
    pictures = {
        "grey": painted((grey, 0.7), (COLOURS["black"], 0.3)),
        "crowd": painted(*crowd, (grey, 0.3), seed=1),
        "brown": painted((COLOURS["brown"], 1.0), seed=2),
        "pink": painted(((246, 214, 216), 0.4), (COLOURS["green"], 0.6), seed=3),
        "flesh": painted(((246, 214, 216), 0.1), (COLOURS["brown"], 0.9), seed=4),
        "both": painted((red, 0.3), (gold, 0.3), (COLOURS["black"], 0.4), seed=5),
        "much red": painted((red, 0.92), (gold, 0.08), seed=6),
        "red": painted((red, 1.0), seed=7),
        "drawing": painted(((235, 235, 232), 0.8), ((60, 60, 60), 0.2), seed=8),
        "dark": painted(((14, 13, 12), 0.9), ((150, 110, 60), 0.1), seed=9),
    }
    reading = Palette().embed_text(text)
    assert reading.amounts is not None
    found = reading.amounts(np.array([vector_of(pictures[name]) for name in expected]))
    assert found.tolist() == sorted(found, reverse=True)
    assert found[0] > 2 * found[2]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("blue sky", "blue over green"),
        ("blue above green", "blue over green"),
        ("green at the top", "green over blue"),
        ("blue at the bottom", "green over blue"),
        ("green below blue", "blue over green"),
        ("blue on the left and green on the right", "blue beside green"),
    ],
)
def test_a_place_in_the_text_decides_between_equal_colours(text: str, first: str) -> None:
    blue, green = (COLOURS["blue"], 0.5), (COLOURS["green"], 0.5)
    pictures = {
        "blue over green": painted(blue, green),
        "green over blue": painted(green, blue),
        "blue beside green": painted(blue, green, across=False),
        "green beside blue": painted(green, blue, across=False),
    }
    assert ranking(text, pictures)[0] == first


def test_red_on_white_is_not_white_on_red() -> None:
    def spot(inner: str, outer: str) -> Pillow.Image:
        canvas = np.zeros((160, 200, 3)) + COLOURS[outer]
        canvas[45:115, 55:145] = COLOURS[inner]
        return Pillow.fromarray(np.clip(canvas + grain(4), 0, 255).astype(np.uint8))

    pictures = {"red on white": spot("red", "white"), "white on red": spot("white", "red")}
    assert ranking("red on white", pictures)[0] == "red on white"
    assert ranking("white on red", pictures)[0] == "white on red"


def test_what_a_text_denies_goes_last() -> None:
    pictures = {name: painted((COLOURS[name], 0.5), (COLOURS["grey"], 0.5)) for name in ("red", "green", "blue")}
    assert ranking("no red", pictures)[-1] == "red"
    assert ranking("blue without green", pictures)[0] == "blue"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("dark", "dark"),
        ("bright", "light"),
        ("colourful", "colourful"),
        ("monochrome", "grey"),
        ("black and white", "grey"),
    ],
)
def test_words_for_the_whole_picture_are_understood(text: str, first: str) -> None:
    pictures = {
        "dark": painted(((30, 24, 18), 0.6), ((60, 40, 25), 0.4)),
        "light": painted(((244, 238, 225), 0.6), ((225, 235, 245), 0.4), seed=1),
        "grey": painted(((70, 70, 70), 0.4), ((130, 130, 130), 0.3), ((190, 190, 190), 0.3), seed=2),
        "colourful": painted(((220, 30, 40), 0.4), ((30, 90, 220), 0.3), ((30, 170, 60), 0.3), seed=3),
    }
    assert ranking(text, pictures)[0] == first


def test_a_text_without_a_colour_is_refused_with_what_could_be_read() -> None:
    embedder = Palette()
    for text in ("a portrait of a lady", "", "the", "sky", "1889"):
        with pytest.raises(UnreadableQueryError, match="reads only colours"):
            embedder.embed_text(text)
    assert embedder.calls == 0


def test_a_text_says_which_words_it_read_and_which_it_did_not() -> None:
    reading = Palette().embed_text("A white dress with dark blue and the Gräfin")
    assert reading.read == ("white", "dark", "blue")
    assert reading.unread == ("dress", "gräfin")


def test_a_colour_that_is_wanted_and_denied_is_refused() -> None:
    with pytest.raises(UnreadableQueryError, match="at once"):
        Palette().embed_text("red without red")


def test_stop_words_are_neither_read_nor_unread() -> None:
    reading = Palette().embed_text("the black and white of a cat with some grey")
    assert reading.read == ("black", "white", "grey")
    assert reading.unread == ("cat",)
