"""What is checked and corrected before a request is paid for."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from hypothesis.strategies import DataObject, integers, just, lists, sampled_from, tuples
from PIL import Image as Pillow

from pinakes.embedders.base import Limits, Picture
from pinakes.embedders.remote import preflight
from pinakes.embedders.remote.preflight import _header, _proof, ignored_words, prepare
from pinakes.embedders.remote.provider import Prepared
from pinakes.errors import PictureError, SourceError
from pinakes.images.decoding import decode
from pinakes.types import ErrorClass, Failure, Image
from tests.pictures import VARIANTS, grey16, plain, rgb16_png, rotated, saved, scene

WEB = frozenset({"JPEG", "PNG", "GIF", "BMP"})


def picture(data: bytes, name: str = "p.jpg", *, size: int | None = None, readable: bool = True) -> Picture:
    def read() -> bytes:
        if not readable:
            raise AssertionError("its bytes were read")
        return data

    fingerprint = f"md5:{hashlib.md5(data).hexdigest()}"
    return Picture(Image(name, f"gs://b/{name}", fingerprint, len(data) if size is None else size), read)


def prepared(data: bytes, limits: Limits, name: str = "p.jpg") -> Prepared:
    outcome = prepare(picture(data, name), limits, lambda uri: False)
    assert isinstance(outcome, Prepared), outcome
    return outcome


def failed(data: bytes, limits: Limits | None = None) -> Failure:
    outcome = prepare(picture(data), limits or Limits(), lambda uri: False)
    assert isinstance(outcome, Failure)
    return outcome


def opened(sent: Prepared) -> Pillow.Image:
    assert sent.data is not None
    return Pillow.open(io.BytesIO(sent.data))


@pytest.mark.parametrize(
    "variant", ["jpeg", "jpeg-progressive", "jpeg-grey", "png", "png-alpha", "png-palette", "gif", "bmp"]
)
def test_what_the_provider_takes_is_sent_as_it_is(variant: str) -> None:
    data = VARIANTS[variant]()
    sent = prepared(data, Limits(formats=WEB, max_bytes=len(data), max_pixels=2400, min_side=40, max_side=60))
    assert sent.data == data
    assert sent.mime_type == f"image/{variant.partition('-')[0]}"
    assert sent.uri is None


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_every_picture_that_can_be_decoded_is_sent_in_a_format_that_is_taken(variant: str) -> None:
    sent = prepared(VARIANTS[variant](), Limits(formats=frozenset({"JPEG", "PNG"})))
    image = opened(sent)
    assert sent.mime_type == f"image/{(image.format or '').lower()}"
    assert image.format in {"JPEG", "PNG"}
    assert image.mode in {"L", "RGB", "RGBA", "P"}


@pytest.mark.parametrize(
    "data", [saved(scene().convert("CMYK"), "JPEG"), saved(grey16(30000), "PNG"), rgb16_png((9, 9, 9))]
)
def test_inks_and_16_bits_are_encoded_anew_though_their_formats_are_taken(data: bytes) -> None:
    sent = prepared(data, Limits(formats=WEB))
    assert opened(sent).mode == "RGB"
    assert sent.data is not None
    assert sent.data[24] <= 8 or sent.mime_type == "image/jpeg"


def test_a_lossless_picture_stays_lossless() -> None:
    sent = prepared(VARIANTS["tiff-lzw"](), Limits(formats=WEB))
    assert sent.mime_type == "image/png"
    assert np.array_equal(np.asarray(opened(sent)), np.asarray(scene()))


def test_too_many_pixels_are_scaled_down_to_just_fit() -> None:
    sent = prepared(saved(scene((900, 500)), "PNG"), Limits(max_pixels=100_000))
    width, height = opened(sent).size
    assert 95_000 < width * height <= 100_000
    assert width / height == pytest.approx(1.8, rel=0.01)


def test_too_long_a_side_is_scaled_down() -> None:
    assert opened(prepared(saved(scene((900, 90)), "JPEG"), Limits(max_side=300))).size == (300, 30)


@pytest.mark.parametrize("orientation", [6, 8])
def test_a_turned_picture_is_scaled_the_right_way_round(orientation: int) -> None:
    assert opened(prepared(rotated(orientation), Limits(max_side=32))).size == (32, 16)


def test_too_many_bytes_are_encoded_smaller_until_they_fit() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8)
    sent = prepared(saved(Pillow.fromarray(noise), "PNG"), Limits(max_bytes=60_000, formats=WEB))
    assert sent.data is not None
    assert 30_000 < len(sent.data) <= 60_000


def test_what_cannot_be_made_to_fit_fails_with_the_limits() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    failure = failed(saved(Pillow.fromarray(noise), "PNG"), Limits(max_bytes=900, min_side=40, formats=WEB))
    assert failure.error_class is ErrorClass.TOO_LARGE
    assert "64 x 64 pixels cannot be made to fit" in failure.message
    assert "900 bytes at most, 40 pixels a side at least" in failure.message


def test_a_strip_that_would_become_thinner_than_the_provider_takes_fails() -> None:
    failure = failed(saved(plain(size=(4000, 12)), "PNG"), Limits(max_side=1000, min_side=11))
    assert failure.error_class is ErrorClass.TOO_LARGE


def test_a_picture_that_is_too_small_is_not_enlarged() -> None:
    failure = failed(saved(plain(size=(100, 10)), "PNG"), Limits(min_side=11))
    assert failure.error_class is ErrorClass.UNSUPPORTED
    assert "100 x 10 pixels" in failure.message
    assert "less than 11" in failure.message


@pytest.mark.parametrize(
    ("data", "error_class", "reason"),
    [
        (b"", ErrorClass.EMPTY, "empty"),
        (b"not a picture at all", ErrorClass.UNDECODABLE, "not a picture"),
        (VARIANTS["jpeg"]()[:-300], ErrorClass.UNDECODABLE, "is truncated"),
        (VARIANTS["png"]()[:-300], ErrorClass.UNDECODABLE, ""),
        (VARIANTS["png"]()[:30], ErrorClass.UNDECODABLE, ""),
        (b"8BPS" + bytes(60), ErrorClass.UNSUPPORTED, "Photoshop"),
    ],
    ids=["empty", "text", "cut jpeg", "cut png", "cut header", "photoshop"],
)
def test_what_cannot_be_decoded_fails_with_its_reason(data: bytes, error_class: ErrorClass, reason: str) -> None:
    failure = failed(data)
    assert failure.error_class is error_class
    assert reason in failure.message


def detailed_jpeg(**options: object) -> bytes:
    """Of several times as many bytes as are decoded of a whole one."""
    noise = np.random.default_rng(3).integers(0, 256, (96, 144, 3), np.uint8)
    return saved(Pillow.fromarray(noise), "JPEG", **options)


DETAILED = {
    "one scan": detailed_jpeg(),
    "restart markers": detailed_jpeg(restart_marker_blocks=2),
    "progressive": detailed_jpeg(progressive=True),
    "a JPEG in its Exif block": detailed_jpeg(exif=b"Exif\0\0II*\0\x08" + bytes(9) + VARIANTS["jpeg"]()),
}


def passes(action: Callable[[], object]) -> bool:
    try:
        action()
    except PictureError:
        return False
    return True


@pytest.mark.parametrize("kind", sorted(DETAILED))
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@given(draws=strategies.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_jpeg_is_sent_only_if_all_of_it_can_be_decoded(kind: str, draws: DataObject) -> None:
    whole = DETAILED[kind]
    place = integers(0, len(whole) - 1)
    damaged = bytearray(whole[: draws.draw(place | just(len(whole)))])
    for at, value in draws.draw(lists(tuples(place, integers(0, 255) | sampled_from([0x00, 0xD9, 0xFF])), max_size=4)):
        damaged[at : at + 1] = bytes([value])
    given_bytes = bytes(damaged)
    sent = prepare(picture(given_bytes), Limits(formats=WEB), lambda uri: False)
    if passes(lambda: decode(given_bytes)):
        assert isinstance(sent, Prepared)
    else:
        assert isinstance(sent, Failure)


@pytest.mark.parametrize("kind", sorted(DETAILED))
def test_a_jpeg_that_breaks_off_in_its_picture_is_not_sent(kind: str) -> None:
    whole = DETAILED[kind]
    for lost in (200, 1000, len(whole) // 3):
        assert failed(whole[:-lost]).error_class is ErrorClass.UNDECODABLE


def test_of_a_whole_jpeg_only_the_beginning_is_decoded() -> None:
    whole = DETAILED["one scan"]
    assert len(_proof(whole, _header(whole))) < len(whole) / 3
    assert _proof(whole[:-2], _header(whole)) == whole[:-2]


def test_a_picture_that_cannot_be_read_fails_for_this_run_only() -> None:
    def gone() -> bytes:
        raise SourceError("'p.jpg' is gone.")

    outcome = prepare(Picture(Image("p.jpg", "gs://b/p.jpg", "md5:0", 5), gone), Limits(), lambda uri: False)
    assert outcome == Failure(ErrorClass.UNREADABLE, "'p.jpg' is gone.")


def test_a_picture_for_which_memory_runs_out_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(image: Pillow.Image, kind: str) -> bytes:
        raise MemoryError

    monkeypatch.setattr(preflight, "_encoded", encode)
    failure = failed(saved(plain("RGB"), "TIFF"), Limits(formats=frozenset({"PNG"})))
    assert failure.error_class is ErrorClass.INTERNAL
    assert "lacks the memory" in failure.message


def test_what_the_provider_reads_itself_is_not_read_here() -> None:
    outcome = prepare(
        picture(b"", "a/p.JPG", size=9, readable=False), Limits(formats=WEB, max_bytes=9), lambda uri: True
    )
    assert outcome == Prepared(None, "image/jpeg", "gs://b/a/p.JPG")


@pytest.mark.parametrize(("name", "size"), [("p.tif", 5), ("p", 5), ("p.jpg", 999_999)])
def test_what_the_provider_would_refuse_at_its_uri_is_read_and_mended(name: str, size: int) -> None:
    limits = Limits(formats=WEB, max_bytes=100_000)
    outcome = prepare(picture(VARIANTS["tiff"](), name, size=size), limits, lambda uri: True)
    assert isinstance(outcome, Prepared)
    assert outcome.uri is None
    assert outcome.data is not None


@pytest.mark.parametrize(
    ("name", "content_type", "sent_as"),
    [
        ("p", "image/jpeg", "image/jpeg"),
        ("p.png", "image/jpg; q=1", "image/jpeg"),
        ("p.jpg", "", "image/jpeg"),
        ("p.jpg", "image/tiff", None),
        ("p.jpg", "text/plain", None),
    ],
)
def test_a_uri_has_the_type_of_the_listing_and_without_one_that_of_its_name(
    name: str, content_type: str, sent_as: str | None
) -> None:
    image = Image(name, f"gs://b/{name}", "md5:0", 9, content_type)
    outcome = prepare(Picture(image, VARIANTS["tiff"]), Limits(formats=WEB), lambda uri: True)
    assert isinstance(outcome, Prepared)
    if sent_as is None:
        assert (outcome.uri, outcome.mime_type) == (None, "image/png")
    else:
        assert (outcome.uri, outcome.mime_type) == (image.uri, sent_as)


def test_words_beyond_the_limit_are_named() -> None:
    assert ignored_words("one two  three\nfour", Limits(max_words=2)) == ("three", "four")
    assert ignored_words("one two", Limits(max_words=2)) == ()
    assert ignored_words("one two", Limits()) == ()
