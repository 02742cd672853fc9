"""Regions: their names, the parts that draw the eye, and the frame that shows them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pinakes.errors import PictureError
from pinakes.images.contact_sheet import Card, contact_sheet
from pinakes.images.decoding import decode
from pinakes.images.regions import (
    GRID,
    SALIENT,
    cut,
    frame_of,
    is_region,
    kind_of,
    planned,
    regions_in,
    whole,
    with_frame,
)
from pinakes.images.saliency import COVER, salient_frames
from pinakes.ingest.batch import reconcile
from pinakes.ingest.plan import make_plan
from pinakes.ingest.region_reader import RegionReader
from pinakes.ingest.work import Work
from pinakes.types import Image as Listed
from pinakes.types import utc_now
from tests.unit.test_plan import answered, ledger_of

MD5 = "md5:00"


def test_the_name_of_a_region_tells_its_picture_and_its_frame() -> None:
    grid = list(regions_in(MD5, "grid"))
    assert [frame_of(name) for name in grid] == list(GRID)
    assert {whole(name) for name in grid} == {MD5}
    first = next(iter(regions_in(MD5, "salient")))
    framed = with_frame(first, (0.1, 0.25, 0.5, 0.35))
    assert (planned(framed), whole(framed), frame_of(framed)) == (first, MD5, (0.1, 0.25, 0.5, 0.35))
    assert [kind_of(name) for name in (MD5, grid[0], first, framed)] == ["none", "grid", "salient", "salient"]
    assert not is_region(MD5)
    assert frame_of(MD5) is None


def test_what_stands_out_is_framed_first() -> None:
    pixels = np.full((300, 400, 3), 90, np.uint8)
    pixels[200:240, 300:350] = np.random.default_rng(1).integers(0, 255, (40, 50, 3))
    frames = salient_frames(Image.fromarray(pixels))
    assert len(set(frames)) == SALIENT
    x, y, width, height = frames[0]
    assert x <= 0.75
    assert y <= 0.67
    assert x + width >= 0.87
    assert y + height >= 0.8
    assert frames[-len(COVER) :] == COVER
    assert {frame[2:] for frame in frames[: -len(COVER)]} == {(0.25, 0.25)}


def test_the_frames_that_cover_a_picture_hold_most_of_any_detail_of_half_a_side() -> None:
    places = np.linspace(0, 0.5, 21)
    shares = [
        max((0.5 - abs(x - left)) * (0.5 - abs(y - top)) / 0.25 for left, top, _, _ in COVER)
        for x in places
        for y in places
    ]
    assert min(shares) >= 0.5


def test_frames_of_an_earlier_choice_are_salient_and_are_not_taken_for_those_of_this_one() -> None:
    earlier = f"{MD5}#salient=1&xywh=percent:0,0,50,50"
    assert kind_of(earlier) == "salient"
    assert planned(earlier) not in set(regions_in(MD5, "salient"))


def test_a_picture_is_read_and_decoded_once_for_all_of_its_regions() -> None:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(2).integers(0, 255, (200, 200, 3), np.uint8)).save(out, "PNG")
    reads: list[str] = []

    def read(image: Listed) -> bytes:
        reads.append(image.fingerprint)
        return out.getvalue()

    images = [Listed("a", "file:///a", name, 1) for name in (MD5, *regions_in(MD5, "grid"))]
    reader = RegionReader(read, images)
    files = [reader.read(image) for image in images]
    assert reads == [MD5]
    assert files[0] == out.getvalue()
    assert {decode(file).size for file in files[1:]} == {(100, 100)}
    with pytest.raises(PictureError):
        RegionReader(lambda _: b"no picture", images).read(images[1])


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 2), (2, 2), (3, 2), (2, 500), (500, 2)])
def test_a_region_of_a_tiny_picture_holds_nothing_but_the_picture(size: tuple[int, int]) -> None:
    white = Image.new("RGB", size, "white")
    for frame in (*GRID, *COVER, (0.75, 0.75, 0.25, 0.25), (0.999, 0.999, 0.001, 0.001), (1.0, 1.0, 0.001, 0.001)):
        part = cut(white, frame)
        assert min(part.size) >= 1, frame
        assert part.getextrema() == ((255, 255),) * 3, frame


def test_a_region_of_an_ordinary_picture_is_its_frame_in_pixels() -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (120, 200, 3), np.uint8)
    part = cut(Image.fromarray(pixels), (0.75, 0.5, 0.25, 0.5))
    np.testing.assert_array_equal(np.asarray(part), pixels[60:, 150:])


def test_a_sheet_frames_the_part() -> None:
    black = Image.new("RGB", (200, 200))
    plain, framed = (
        np.asarray(contact_sheet([Card(black, "a", frame=frame)], heading="q"))
        for frame in (None, (0.25, 0.25, 0.5, 0.5))
    )
    assert plain.shape == framed.shape
    assert ((plain != framed).any(axis=2) & (framed == 255).all(axis=2)).sum() > 400


def test_what_a_dead_process_kept_of_its_regions_is_not_done_again() -> None:
    first, second = list(regions_in(MD5, "salient"))[:2]
    framed = with_frame(first, (0.0, 0.0, 0.5, 0.5))
    ledger = ledger_of([answered("a", MD5), answered("a", framed)])
    works = [Work(Listed("a", "", name, 1), 0) for name in (MD5, first, second)]
    done, left = reconcile(works, ledger, utc_now())
    assert (done.embedded, done.regions.embedded, done.answers, done.elsewhere.calls) == (1, 1, 2, 2)
    assert left == [works[2]]
    plan = make_plan([Listed("b", "", MD5, 1)], ledger, regions="salient")
    assert plan.regions is not None
    assert plan.regions.copies == [(Listed("b", "", framed, 1), "a")], "equal bytes: the frame is known with them"
    assert plan.calls == SALIENT - 1
