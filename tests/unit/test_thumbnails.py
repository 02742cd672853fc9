"""Thumbnails and the folder that keeps them."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from pinakes.errors import PictureError, SourceError, UsageError
from pinakes.maps.drawing import Sheets
from pinakes.sources.thumbnails import DiskCache, Thumbnails, etag
from pinakes.web.uploads import KEPT_LONG_SIDE, MAX_UPLOAD_BYTES, Uploads


def encoded(
    size: tuple[int, int] = (1200, 800), colour: str = "#a04020", kind: str = "JPEG", **options: object
) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind, **options)
    return out.getvalue()


def md5(data: bytes) -> str:
    return "md5:" + hashlib.md5(data).hexdigest()


class Wall:
    """Pictures by uri, and how often each was read."""

    def __init__(self, **pictures: bytes) -> None:
        self.pictures = pictures
        self.reads: list[str] = []

    def read(self, uri: str) -> bytes:
        self.reads.append(uri)
        if uri not in self.pictures:
            raise SourceError(f"the picture at {uri} cannot be read: gone.")
        return self.pictures[uri]


@pytest.fixture
def thumbnails_of(tmp_path: Path) -> Callable[[Wall], Thumbnails]:
    return lambda wall: Thumbnails(tmp_path / "kept", read=wall.read)


def test_a_thumbnail_is_made_once_and_then_read_from_the_disk(thumbnails_of: Callable[[Wall], Thumbnails]) -> None:
    data = encoded()
    wall = Wall(house=data)
    made = thumbnails_of(wall).of(md5(data), "house", 320)
    again = thumbnails_of(wall).of(md5(data), "house", 320)
    assert wall.reads == ["house"]
    assert made == again
    assert (made.width, made.height, made.placeholder) == (320, 213, None)
    assert made.etag == etag(md5(data), 320)
    assert Image.open(io.BytesIO(made.data)).format == "JPEG"


def test_each_size_is_a_thumbnail_of_its_own(thumbnails_of: Callable[[Wall], Thumbnails]) -> None:
    data = encoded()
    thumbnails = thumbnails_of(Wall(house=data))
    small, large = (thumbnails.of(md5(data), "house", size) for size in (320, 960))
    assert (small.width, large.width) == (320, 960)
    assert small.etag != large.etag


def test_a_small_picture_is_not_enlarged(thumbnails_of: Callable[[Wall], Thumbnails]) -> None:
    data = encoded((40, 30), kind="PNG")
    assert thumbnails_of(Wall(stamp=data)).of(md5(data), "stamp", 320).width == 40


def test_a_changed_picture_is_not_kept_under_the_name_of_what_it_was(
    thumbnails_of: Callable[[Wall], Thumbnails],
) -> None:
    before, after = encoded(colour="#ff0000"), encoded(colour="#0000ff")
    wall = Wall(house=after)
    changed = thumbnails_of(wall).of(md5(before), "house", 320)
    assert changed.etag == etag(md5(after), 320)
    wall.pictures["house"] = before
    restored = thumbnails_of(wall).of(md5(before), "house", 320)
    assert Image.open(io.BytesIO(restored.data)).getpixel((5, 5))[0] > 200  # type: ignore[index]


def test_a_broken_picture_has_a_placeholder_and_is_not_read_again_at_once(
    thumbnails_of: Callable[[Wall], Thumbnails],
) -> None:
    wall = Wall(torn=encoded()[:700])
    thumbnails = thumbnails_of(wall)
    first, second = (thumbnails.of("md5:torn", "torn", 320) for _ in range(2))
    assert first.placeholder == second.placeholder == "undecodable"
    assert first.etag == ""
    assert Image.open(io.BytesIO(first.data)).size == (320, 240)
    assert wall.reads == ["torn"]


def test_a_picture_that_is_gone_has_a_placeholder(thumbnails_of: Callable[[Wall], Thumbnails]) -> None:
    assert thumbnails_of(Wall()).of("md5:0", "gone", 320).placeholder == "unreadable"


def test_a_damaged_file_of_the_cache_is_made_again(thumbnails_of: Callable[[Wall], Thumbnails], tmp_path: Path) -> None:
    data = encoded()
    thumbnails = thumbnails_of(Wall(house=data))
    whole = thumbnails.of(md5(data), "house", 320)
    (kept,) = (tmp_path / "kept").glob("??/*")
    kept.write_bytes(b"\0" * 100)
    assert thumbnails.of(md5(data), "house", 320) == whole


def test_many_visitors_at_once_have_a_thumbnail_made_once(thumbnails_of: Callable[[Wall], Thumbnails]) -> None:
    data = encoded()
    wall = Wall(house=data)
    thumbnails = thumbnails_of(wall)
    with ThreadPoolExecutor(16) as visitors:
        seen = list(visitors.map(lambda _: thumbnails.of(md5(data), "house", 320).data, range(64)))
    assert len(set(seen)) == 1
    assert wall.reads == ["house"]


def test_the_cache_keeps_within_its_size_and_what_was_used_last(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1000)
    for number in range(30):
        cache.put(f"{number:02x}-key", bytes(90))
        age = 3000 - 100 * number
        os.utime(tmp_path / f"{number:02x}" / f"{number:02x}-key", (tmp_path.stat().st_mtime - age,) * 2)
        cache.get("00-key")  # the first one stays in use
    held = list(tmp_path.glob("??/*"))
    assert sum(path.stat().st_size for path in held) <= 1000
    assert cache.get("00-key") is not None
    assert cache.get("01-key") is None
    assert cache.get("1d-key") is not None


def test_several_processes_keep_one_folder_within_its_size(tmp_path: Path) -> None:
    caches = [DiskCache(tmp_path, 1000) for _ in range(4)]

    def fill(number: int) -> None:
        for n in range(50):
            caches[number].put(f"{n:02x}-{number}", bytes(90))
            caches[number].get(f"{n:02x}-{(number + 1) % 4}")

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    caches[0].put("ff-last", bytes(90))
    held = sum(path.stat().st_size for path in tmp_path.glob("??/*"))
    assert held <= 1000
    assert not list(tmp_path.glob("??/.tmp-*"))


def test_a_file_that_cannot_be_removed_stays_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DiskCache(tmp_path, 1000)
    for number in range(11):
        cache.put(f"{number:02x}-key", bytes(90))
    (tmp_path / "00" / ".tmp-1").write_bytes(b"x")
    os.utime(tmp_path / "00" / ".tmp-1", (0, 0))  # of a process that was killed long ago

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert DiskCache(tmp_path, 500).trim() == (990, 990)


def test_kept_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    DiskCache(tmp_path / "new" / "kept", 1000).put("aa-1", b"x")
    file = tmp_path / "new" / "kept" / "aa" / "aa-1"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new" / "kept").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    data = encoded()
    wall = Wall(house=data)
    thumbnails = Thumbnails(tmp_path / "file" / "kept", read=wall.read)
    assert [thumbnails.of(md5(data), "house", 320).width for _ in range(2)] == [320, 320]
    assert wall.reads == ["house", "house"]


def test_an_upload_is_kept_small_and_without_its_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    exif[0x0112] = 6
    data = encoded((3000, 2000), exif=exif.tobytes())
    uploads = Uploads(tmp_path)
    token = uploads.keep(data)
    kept = uploads.get(token)
    picture = Image.open(io.BytesIO(kept))
    assert b"taken at home" in data
    assert b"taken at home" not in kept
    assert not picture.getexif()
    assert max(picture.size) == KEPT_LONG_SIDE
    assert picture.height > picture.width  # upright
    assert uploads.keep(data) == token


@pytest.mark.parametrize(
    ("data", "error_class"),
    [
        (b"", "empty"),
        (b"hello", "undecodable"),
        (b"%PDF-1.7 ...", "unsupported"),
        (encoded()[:900], "undecodable"),
        (b"\xff\xd8\xff" + bytes(MAX_UPLOAD_BYTES), "too-large"),
    ],
    ids=["nothing", "text", "pdf", "truncated", "too long"],
)
def test_an_upload_that_is_no_usable_picture_is_refused(tmp_path: Path, data: bytes, error_class: str) -> None:
    with pytest.raises(PictureError) as refused:
        Uploads(tmp_path).keep(data)
    assert refused.value.error_class == error_class
    assert not list(tmp_path.iterdir())


def test_an_upload_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    small = bytearray(encoded((1, 1), kind="PNG"))
    small[16:24] = (20_000).to_bytes(4, "big") * 2
    small[29:33] = zlib.crc32(bytes(small[12:29])).to_bytes(4, "big")
    with pytest.raises(PictureError) as refused:
        Uploads(tmp_path).keep(bytes(small))
    assert refused.value.error_class == "too-many-pixels"


@pytest.mark.parametrize("token", ["", "../../etc/passwd", "0" * 32, "A" * 32, "0" * 31 + "/"])
def test_a_token_names_an_upload_and_never_a_path(tmp_path: Path, token: str) -> None:
    with pytest.raises(UsageError, match="no longer kept"):
        Uploads(tmp_path).get(token)


def test_a_sheet_that_was_made_while_a_picture_could_not_be_read_is_made_again(
    thumbnails_of: Callable[[Wall], Thumbnails], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.sources.thumbnails.FORGET_TRANSIENT_SECONDS", 0.0)
    data, torn = encoded(), b"no picture"
    wall = Wall(torn=torn)
    sheets = Sheets(thumbnails_of(wall), DiskCache(tmp_path / "sheets", 1 << 20))
    shown = [(md5(torn), "torn"), (md5(data), "house")]
    sheets.make(shown, 0)
    grey, whole = sheets.sheet(shown, 0)
    assert not whole
    wall.pictures["house"] = data
    assert sheets.sheet(shown, 0) == (grey, False), "a visitor waits for no source"
    sheets.make(shown, 0)
    sheet, whole = sheets.sheet(shown, 0)
    assert whole, "a picture that cannot be decoded will never have a thumbnail"
    red, green, blue = Image.open(io.BytesIO(sheet)).getpixel((60, 20))  # type: ignore[misc]  # of an RGB picture
    assert max(abs(red - 0xA0), abs(green - 0x40), abs(blue - 0x20)) < 9
    reads = len(wall.reads)
    sheets.make(shown, 0)
    assert len(wall.reads) == reads
