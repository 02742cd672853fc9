"""What `pinakes.images.decoding` makes of every kind of file that a collection may hold."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from pinakes.errors import PictureError
from pinakes.images import cost
from pinakes.images import decoding as subject
from pinakes.images.decoding import MAX_PIXELS, decode, thumbnail_jpeg
from pinakes.images.formats import head_reason, other_kind, sniff, suffix, suffix_reason
from pinakes.types import ErrorClass
from tests import pictures as make

# pytest shows all warnings; outside of it Pillow's are silenced, which a test below holds.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")


def colour(image: Image.Image, at: tuple[int, int] | None = None) -> tuple[int, int, int]:
    assert image.mode == "RGB"
    pixel = image.getpixel(at or (image.width // 2, image.height // 2))
    assert isinstance(pixel, tuple)
    red, green, blue = pixel
    return red, green, blue


def near(image: Image.Image, expected: tuple[int, int, int], tolerance: int = 2) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(colour(image), expected, strict=True))


def failure(data: bytes, **options: int) -> PictureError:
    with pytest.raises(PictureError) as caught:
        decode(data, **options)
    return caught.value


@pytest.mark.parametrize("name", make.VARIANTS)
def test_every_kind_decodes_to_rgb_and_keeps_no_metadata(name: str) -> None:
    image = decode(make.VARIANTS[name]())
    assert image.mode == "RGB"
    assert min(image.size) >= 2
    assert image.info == {}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_exif_rotated_picture_comes_out_upright(orientation: int, kind: str) -> None:
    image = decode(make.rotated(orientation, kind))
    assert image.size == (64, 32)
    for at, expected in (((8, 4), make.RED), ((56, 4), (255,) * 3), ((8, 28), (255,) * 3), ((56, 28), (255,) * 3)):
        assert np.allclose(colour(image, at), expected, atol=12), (orientation, kind, at)


def test_an_exif_rotated_jpeg_is_upright_at_reduced_scale_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    tall = decode(make.saved(make.plain(size=(640, 480)), "JPEG", exif=exif), at_least=60)
    assert tall.size == (60, 80)


def test_a_damaged_exif_block_does_not_cost_the_picture() -> None:
    data = make.saved(make.plain(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + bytes(8))
    assert near(decode(data), make.RED)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_an_embedded_profile_is_converted_to_srgb(kind: str) -> None:
    # In this profile the red channel means sRGB's green.
    data = make.saved(make.plain("RGB", (255, 0, 0)), kind, icc_profile=make.swapped_profile(), quality=100)
    assert near(decode(data), (0, 255, 0), 6)


def test_a_profile_of_a_palette_with_transparency_is_converted_and_the_alpha_kept() -> None:
    image = make.plain("RGBA", (255, 0, 0, 128))
    data = make.saved(image, "PNG", icc_profile=make.swapped_profile())
    assert near(decode(data), (127, 255, 127), 3)


def test_a_grey_profile_is_converted() -> None:
    # Linear light: half the light is 188 in sRGB.
    data = make.saved(make.plain("L", 128), "PNG", icc_profile=make.grey_profile(1.0))
    assert near(decode(data), (188, 188, 188), 3)


def test_a_cmyk_profile_is_used() -> None:
    data = make.saved(make.plain("CMYK", (0, 255, 255, 0)), "JPEG", icc_profile=make.cmyk_profile(), quality=95)
    assert near(decode(data), (119, 119, 119), 4)  # L* 50


@pytest.mark.parametrize(
    "profile", [b"not a profile", b"\0" * 128, make.swapped_profile()[:200], make.cmyk_profile()], ids=len
)
def test_a_profile_that_is_broken_or_of_another_mode_is_ignored(profile: bytes) -> None:
    assert near(decode(make.saved(make.plain(), "PNG", icc_profile=profile)), make.RED)


def test_cmyk_red_is_red() -> None:
    red = make.plain("CMYK", (0, 255, 255, 0))
    assert near(decode(make.saved(red, "JPEG", quality=95)), (255, 0, 0), 4)
    assert near(decode(make.saved(red, "TIFF")), (255, 0, 0))


def test_a_ycck_jpeg_with_adobes_inverted_inks_is_red() -> None:
    assert near(decode(make.ycck_jpeg()), (255, 0, 0), 6)


def test_a_lab_tiff_is_converted() -> None:
    assert near(decode(make.lab_tiff()), (130, 130, 130), 6)


@pytest.mark.parametrize(
    ("data", "grey"),
    [
        (make.saved(make.grey16(32896), "PNG"), 128),
        (make.saved(make.grey16(257), "PNG"), 1),
        (make.saved(make.grey16(65535), "PNG"), 255),
        (make.saved(make.grey16(32896), "TIFF"), 128),
        (make.saved(make.grey16(32896), "PPM"), 128),
        (make.saved(make.grey16(32896), "JPEG2000"), 128),
        (make.inverted16_tiff(0), 255),
        (make.inverted16_tiff(65535 - 32896), 128),
        (make.grey12_tiff(2056), 128),
        (make.grey12_tiff(4095), 255),
        (make.signed16_tiff(16448), 128),
        (make.grey32_tiff(0x80808080), 128),
        (make.float_tiff(0.5), 128),
        (make.float_tiff(float("nan")), 0),
        (make.saved(make.plain("F", 0.25), "PPM"), 64),
        (b"P2\n2 2\n1023\n512 512 512 512\n", 128),
        (make.saved(make.plain("1", 1), "PNG"), 255),
        (make.saved(make.plain("L", 77), "JPEG"), 77),
    ],
)
def test_grey_of_any_depth_is_scaled_to_eight_bits(data: bytes, grey: int) -> None:
    assert near(decode(data), (grey,) * 3, 1)


def test_floats_beyond_one_are_scaled_to_the_largest() -> None:
    image = Image.fromarray(np.array([[0.0, 50.0, 100.0]] * 3, np.float32))
    assert [colour(decode(make.saved(image, "TIFF")), (x, 1))[0] for x in range(3)] == [0, 128, 255]


def test_a_picture_is_scaled_in_bands_as_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = np.arange(0, 65536, 23, np.uint16)[: 40 * 60].reshape(40, 60)
    data = make.saved(Image.fromarray(levels), "PNG")
    monkeypatch.setattr(cost, "BAND_PIXELS", 7 * 60)
    assert np.array_equal(np.asarray(decode(data))[..., 0], np.rint(levels / 257).astype(np.uint8))


def test_sixteen_bits_a_channel_come_out_as_eight() -> None:
    assert near(decode(make.rgb16_png((51400, 10280, 7710))), (200, 40, 30), 1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (make.saved(make.plain("RGBA", (255, 0, 0, 0)), "PNG"), (255, 255, 255)),
        (make.saved(make.plain("RGBA", (0, 0, 0, 128)), "PNG"), (127, 127, 127)),
        (make.saved(make.plain("RGBA", (0, 0, 0, 128)), "WEBP", lossless=True), (127, 127, 127)),
        (make.saved(make.plain("RGBA", (0, 0, 0, 128)), "TIFF"), (127, 127, 127)),
        (make.saved(make.plain("LA", (0, 128)), "PNG"), (127, 127, 127)),
        (make.saved(make.four_colours(), "PNG", transparency=3), (255, 255, 255)),
        (make.saved(make.four_colours(), "PNG", transparency=bytes([255, 255, 255, 128])), (127, 127, 127)),
        (make.saved(make.four_colours(), "GIF", transparency=3), (255, 255, 255)),
        (make.saved(make.plain("L", 9), "PNG", transparency=9), (255, 255, 255)),
        (make.saved(make.plain("RGB", (1, 2, 3)), "PNG", transparency=(1, 2, 3)), (255, 255, 255)),
        (make.saved(make.plain("1", 0), "PNG", transparency=0), (255, 255, 255)),
        (make.grey16_png_with_clear_value(700), (255, 255, 255)),
        (make.grey_png(4, 5, clear=5), (255, 255, 255)),
        (make.grey_png(4, 5, clear=85), (255, 255, 255)),  # of which only the lower four bits count
        (make.grey_png(4, 5, clear=4), (85, 85, 85)),
        (make.grey_png(2, 1, clear=1), (255, 255, 255)),
        (make.grey_png(2, 1, clear=2), (85, 85, 85)),
        (make.rgb16_png((0x8000,) * 3, (0x8000,) * 3), (255, 255, 255)),
        (make.rgb16_png((0, 0, 0), (0x8000,) * 3), (0, 0, 0)),
    ],
)
def test_what_is_transparent_is_laid_over_white(data: bytes, expected: tuple[int, int, int]) -> None:
    assert near(decode(data), expected)


def test_a_transparent_colour_of_sixteen_bits_does_not_stop_the_picture() -> None:
    clear = (51400, 10280, 7710)
    assert decode(make.rgb16_png(clear, clear)).size == make.SIZE


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    assert near(decode(make.animated(kind)), make.RED, 6)


def test_a_multi_picture_jpeg_is_its_first_picture() -> None:
    data = make.saved(make.plain(), "MPO", save_all=True, append_images=[make.plain("RGB", (0, 0, 255))])
    assert near(decode(data), make.RED, 6)


@pytest.mark.parametrize(
    ("at_least", "size"), [(100, (150, 100)), (99, (150, 100)), (101, (300, 200)), (9999, (1200, 800))]
)
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_is_enough(at_least: int, size: tuple[int, int]) -> None:
    assert decode(make.photo(size=(1200, 800)), at_least=at_least).size == size


@pytest.mark.parametrize("size", [(801, 333), (17, 2000), (1, 1), (255, 256)])
@pytest.mark.parametrize("at_least", [1, 16, 64, 100])
def test_the_short_side_never_falls_below_what_is_needed(size: tuple[int, int], at_least: int) -> None:
    assert min(decode(make.photo(size=size), at_least=at_least).size) >= min(at_least, *size)


def test_a_file_of_zero_bytes_is_empty() -> None:
    assert failure(b"").error_class == ErrorClass.EMPTY


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<!DOCTYPE html><title>404</title>", "not a picture but a web page"),
        (b"\x00\x01\x02\x03\x04" * 9, "not a picture but data of another kind"),
        (b"BM is how this text begins, and it is no bitmap", "not a picture but text"),
    ],
)
def test_what_is_no_picture_fails_with_what_it_is(data: bytes, words: str) -> None:
    error = failure(data)
    assert error.error_class == ErrorClass.UNDECODABLE
    assert words in str(error)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "HEIF"),
        (b"8BPS\0\1" + bytes(30), "Photoshop"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(30), "Canon raw"),
        (make.raw_like_tiff(), "camera raw"),
    ],
)
def test_a_kind_that_is_never_decoded_is_named(data: bytes, words: str) -> None:
    error = failure(data)
    assert error.error_class == ErrorClass.UNSUPPORTED
    assert words in str(error)


def test_a_tiff_of_an_unknown_layout_is_unsupported() -> None:
    assert failure(make.tiff({258: (3, 64), 339: (3, 3)}, bytes(99))).error_class == ErrorClass.UNSUPPORTED


@pytest.mark.parametrize(
    ("compression", "tag"), [("tiff_lzw", 278), ("raw", 273)], ids=["rows a strip", "strip offset"]
)
def test_a_tiff_with_a_tag_of_the_wrong_type_is_damaged(compression: str, tag: int) -> None:
    data = bytearray(make.saved(make.plain("L", 128), "TIFF", compression=compression))
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    places = range(directory + 2, directory + 2 + 12 * entries, 12)
    at = next(at for at in places if struct.unpack_from("<H", data, at) == (tag,))
    struct.pack_into("<H", data, at + 2, 2)  # text
    error = failure(bytes(data))
    assert error.error_class == ErrorClass.UNDECODABLE
    assert str(error) == "the file is damaged: its picture data make no sense"


def test_a_truncated_jpeg_fails_with_its_reason() -> None:
    data = make.saved(make.scene((400, 300)), "JPEG")
    error = failure(data[: len(data) // 2])
    assert error.error_class == ErrorClass.UNDECODABLE
    assert str(error) == f"the file is truncated: after {len(data) // 2:,} bytes its picture is not complete"


def tries(name: str, usual: int) -> int:
    """How many damaged files of a kind are tried; JPEG 2000 is decoded in processes of its own, which take long to start."""
    return usual // 5 if name in {"jp2", "j2k-16"} else usual


@pytest.mark.parametrize("name", make.VARIANTS)
def test_a_file_cut_short_fails_or_loses_nothing_of_its_picture(name: str) -> None:
    data = make.VARIANTS[name]()
    whole = np.asarray(decode(data))
    for end in {1, 8, 20, 40, *range(0, len(data), max(1, len(data) // tries(name, 40))), len(data) - 1}:
        try:
            image = decode(data[:end], max_pixels=100_000)
        except PictureError as error:
            assert error.error_class in {"empty", "undecodable", "unsupported"}, (end, error)  # noqa: PT017
        else:
            # What was cut off can only be what follows the picture: a checksum, metadata, further frames.
            assert np.array_equal(np.asarray(image), whole), end


@pytest.mark.parametrize("name", make.VARIANTS)
def test_damage_of_any_kind_ends_in_a_picture_or_a_picture_error(name: str) -> None:
    data = make.VARIANTS[name]()
    chance = random.Random(name)
    for _ in range(tries(name, 60)):
        damaged = bytearray(data)
        for _ in range(chance.choice([1, 2, 8])):
            at = chance.randrange(min(len(damaged), chance.choice([40, 200, len(damaged)])))
            damaged[at] = chance.choice([0, 255, damaged[at] ^ (1 << chance.randrange(8))])
        try:
            image = decode(bytes(damaged), at_least=chance.choice([None, 10]), max_pixels=100_000)
        except PictureError as error:
            assert error.error_class in set(ErrorClass)  # noqa: PT017
            assert " at 0x" not in str(error)  # noqa: PT017
            assert "BytesIO" not in str(error)  # noqa: PT017
        else:
            assert image.mode == "RGB"


@pytest.mark.parametrize(
    "data",
    [
        make.png((20_000, 20_000), 8, 2),
        make.saved(make.plain(), "BMP")[:18]
        + struct.pack("<ii", 20_000, 20_000)
        + make.saved(make.plain(), "BMP")[26:],
        b"P6\n20000 20000\n255\n" + bytes(99),
        b"GIF89a" + struct.pack("<HH", 20_000, 20_000) + b"\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02L\x01\0;",
        make.tiff({256: (4, 20_000), 257: (4, 20_000)}, bytes(99)),
    ],
    ids=["png", "bmp", "ppm", "gif", "tiff"],
)
def test_a_decompression_bomb_is_refused_by_its_header(data: bytes) -> None:
    error = failure(data)
    assert error.error_class == ErrorClass.TOO_MANY_PIXELS
    assert str(error) == f"20,000 x 20,000 pixels are 400,000,000; the limit is {MAX_PIXELS:,}"


def test_a_callers_own_limit_of_pixels_is_kept() -> None:
    data = make.photo(size=(100, 50))
    assert decode(data, max_pixels=5_000).size == (100, 50)
    error = failure(data, max_pixels=4_999)
    assert error.error_class == ErrorClass.TOO_MANY_PIXELS
    assert failure(data, max_pixels=4_999, at_least=5).error_class == ErrorClass.TOO_MANY_PIXELS


def test_a_large_picture_within_the_limit_says_nothing_on_stderr() -> None:
    # 100 megapixels: above Pillow's warning, below its refusal. One bit a pixel, so it is quick; eight threads at once.
    program = """
import sys, zlib
from concurrent.futures import ThreadPoolExecutor
sys.path.insert(0, sys.argv[1])
from tests.pictures import png, tiff
from pinakes.errors import PictureError
from pinakes.images.decoding import decode
def one(data):
    try:
        return decode(data).size
    except PictureError as error:
        return str(error.error_class)
files = [png((10_000, 10_000), 1, 0, bytes(10)), tiff({256: (4, 10_000), 257: (4, 10_000), 258: (3, 1)}, bytes(10))] * 2
with ThreadPoolExecutor(4) as pool:
    print(set(pool.map(one, files)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(subject.__file__).rsplit("/", 2)[0]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "{'undecodable'}\n"
    assert done.stderr == ""


def test_pictures_are_decoded_alike_in_many_threads() -> None:
    data = make.saved(make.scene(), "PNG", icc_profile=make.swapped_profile())
    alone = decode(data).tobytes()
    with ThreadPoolExecutor(8) as pool:
        assert {image.tobytes() for image in pool.map(decode, [data] * 64)} == {alone}


def test_the_content_decides_and_not_the_name() -> None:
    assert sniff(make.photo()[:64]) == "JPEG"
    assert sniff(make.photo(kind="PNG")[:64]) == "PNG"


@pytest.mark.parametrize("name", make.VARIANTS)
def test_every_kind_that_is_decoded_is_known_by_its_first_bytes(name: str) -> None:
    head = make.VARIANTS[name]()[:64]
    assert sniff(head)
    assert head_reason(head) is None


def test_the_first_bytes_tell_texts_and_documents_from_pictures() -> None:
    for head in (b"", b"P1 is a text", b"BMW", b"#!/bin/sh\n", b"%PDF-1.4", b"RIFF\0\0\0\0WAVEfmt "):
        assert head_reason(head) == "not an image by its first bytes"
    assert head_reason(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") is None
    assert other_kind(b"\xff\xd8\xff\xe0") is None


@pytest.mark.parametrize(
    "name",
    [
        "a.jpg",
        "A.JPEG",
        "dir.d/x.TIF",
        "a.webp",
        "a.avif",
        "a.jp2",
        "a.heic",
        "a.nef",
        "README",
        "c.1650",
        "x/.jpg",
        "a. b",
    ],
)
def test_a_name_may_be_one_of_a_picture(name: str) -> None:
    assert suffix_reason(name) is None


@pytest.mark.parametrize(
    ("name", "ending"),
    [("a.txt", ".txt"), ("a.jpg.gz", ".gz"), ("a.JPG~", ".jpg~"), ("a.svg", ".svg"), ("a.mp4", ".mp4")],
)
def test_a_name_of_another_kind_is_told_by_its_ending(name: str, ending: str) -> None:
    assert suffix(name) == ending
    assert suffix_reason(name) == f"not an image by its name ({ending})"


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1200, 800), (256, 171)), ((800, 1200), (171, 256)), ((100, 40), (100, 40)), ((3000, 2), (256, 1))],
)
def test_a_thumbnail_fits_its_long_side_and_is_never_enlarged(size: tuple[int, int], expected: tuple[int, int]) -> None:
    image = Image.open(io.BytesIO(thumbnail_jpeg(make.photo(size=size), long_side=256)))
    assert image.format == "JPEG"
    assert image.size == expected
    assert near(image, make.RED, 6)


def test_a_thumbnail_of_a_damaged_picture_fails_like_the_picture() -> None:
    with pytest.raises(PictureError, match="is truncated"):
        thumbnail_jpeg(make.photo(size=(400, 300))[:700], long_side=100)


def test_a_png_with_a_broken_data_stream_fails() -> None:
    rows = zlib.compress(bytes(61 * 40))
    data = make.png(make.SIZE, 8, 0).replace(zlib.compress(bytes(16)), rows[:-5])
    assert failure(data).error_class == ErrorClass.UNDECODABLE
