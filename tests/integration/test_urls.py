"""The source of pictures on the web, against a small web server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pinakes.errors import SourceError, UsageError
from pinakes.sources import urls
from pinakes.sources.etags import EtagCache
from pinakes.sources.fetching import Fetcher, FetchError
from pinakes.sources.fingerprints import ChangedError
from pinakes.sources.http_headers import retry_after_header, validator_of
from pinakes.sources.kinds import open_source
from pinakes.sources.listfile import ListFileSource
from pinakes.sources.reading import read_uri
from pinakes.sources.urls import UrlListSource
from pinakes.sources.urltable import read_urls
from pinakes.types import Entry, ErrorClass, Image, Rejected, Skipped
from tests.fakes.web import WebFake
from tests.pictures import photo

RED, GREEN = photo((200, 30, 30)), photo((30, 200, 30))


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebFake]:
    monkeypatch.setattr(urls, "_PAUSE", 0.0)
    with WebFake() as started:
        yield started


def listing(folder: Path, text: str, **options: Any) -> tuple[list[Entry], UrlListSource]:
    path = folder / "urls.csv"
    path.write_text(text)
    source = UrlListSource(path, cache=EtagCache(folder / "home"), **options)
    return list(source.entries()), source


def failures(entries: list[Entry]) -> dict[str, ErrorClass]:
    return {entry.image_id: entry.failure.error_class for entry in entries if isinstance(entry, Rejected)}


def host(web: WebFake) -> str:
    return web.url.removeprefix("http://")


# --- What is listed


def test_an_image_has_its_host_and_path_its_url_its_md5_and_its_size(web: WebFake, tmp_path: Path) -> None:
    web.pages["/a%20b/%C3%BC.jpg"] = RED
    url = f"{web.url}/a%20b/%C3%BC.jpg"
    (image,), source = listing(tmp_path, f"{url}\n")
    assert image == Image(f"{host(web)}/a b/ü.jpg", url, f"md5:{hashlib.md5(RED).hexdigest()}", len(RED))
    assert source.read(image) == RED
    assert source.root == (tmp_path / "urls.csv").as_uri()


def test_the_order_is_that_of_the_list_whatever_comes_first(web: WebFake, tmp_path: Path) -> None:
    names = [f"/{n}.jpg" for n in range(100, 0, -1)]
    web.pages.update(dict.fromkeys(names, RED))
    entries, _ = listing(tmp_path, "".join(f"{web.url}{name}\n" for name in names))
    assert [entry.uri for entry in entries if isinstance(entry, Image)] == [web.url + name for name in names]


@pytest.mark.parametrize(
    "text", ["title,url\nA,{0}\n", "title\tIMAGE_FILE\nA\t{0}\n", "\ufefftitle;link\nA;{0}\n", "\n  {0}  \n\n"]
)
def test_a_url_is_found_in_any_column(web: WebFake, tmp_path: Path, text: str) -> None:
    web.pages["/a,b.jpg"] = RED
    entries, _ = listing(tmp_path, text.format(f'"{web.url}/a,b.jpg"' if "," in text else f"{web.url}/a,b.jpg"))
    assert [entry.uri for entry in entries if isinstance(entry, Image)] == [f"{web.url}/a,b.jpg"]


def test_a_key_names_the_column_and_image_id_the_ids(web: WebFake, tmp_path: Path) -> None:
    web.pages["/1.jpg"] = web.pages["/2.jpg"] = RED
    text = f"page,image_id,large\nhttps://x.org/p,one,{web.url}/1.jpg\nhttps://x.org/p,two,{web.url}/2.jpg\n"
    entries, _ = listing(tmp_path, text, key="large")
    assert [entry.image_id for entry in entries if isinstance(entry, Image)] == ["one", "two"]
    with pytest.raises(SourceError, match="no column 'small'"):
        listing(tmp_path, text, key="small")


@pytest.mark.parametrize(
    ("url", "image_id"),
    [
        ("https://X.org/a%20b.jpg", "x.org/a b.jpg"),
        ("https://x.org:8443/a.jpg?id=1&s=2#top", "x.org:8443/a.jpg?id=1&s=2"),
        ("https://x.org/a%2Fb.jpg", "x.org/a%2Fb.jpg"),
        ("https://x.org/%2e%2e/b.jpg", "x.org/%2e%2e/b.jpg"),
        ("https://x.org/a%00b.jpg", "x.org/a%00b.jpg"),
        ("https://x.org/cafe%CC%81.jpg", "x.org/café.jpg"),
        ("https://x.org/a%20b/caf%E9.jpg?s=%E9", "x.org/a%20b/caf%E9.jpg?s=%E9"),
    ],
)
def test_an_id_is_decoded_only_where_that_is_safe(tmp_path: Path, url: str, image_id: str) -> None:
    (tmp_path / "l.txt").write_text(url)
    (line,) = read_urls(tmp_path / "l.txt", None)
    assert (line.image_id, line.problem) == (image_id, None)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.org/a.jpg", "only https://"),
        ("https://me:secret@example.org/a.jpg", "user name"),
        ("https:///a.jpg", "not a URL"),
        ("ftp://example.org/a.jpg", "not a URL"),
        ("ftp://me:secret@example.org/a.jpg", "not a URL"),
        ("https://[half/a.jpg", "Invalid IPv6 URL"),
        ("https://me:secret@[half/a.jpg", "user name"),
        ("https://me:[secret]@example.org/a.jpg", "user name"),
        ("ftp://me:secret@[half/a.jpg", "Invalid IPv6 URL"),
        ("ftp://me:secret@example.org\u2100/a.jpg", "invalid characters"),
        ("https://example.org:port/a.jpg", "'port'"),
    ],
)
@pytest.mark.parametrize(("form", "number"), [("{good}\n{url}\n", 2), ("image_id,url\na,{good}\nb,{url}\n", 3)])
def test_what_may_not_be_fetched_fails_by_name(
    web: WebFake, tmp_path: Path, url: str, why: str, form: str, number: int
) -> None:
    web.pages["/a.jpg"] = RED
    entries, _ = listing(tmp_path, form.format(good=f"{web.url}/a.jpg", url=url))
    (good,) = (entry for entry in entries if isinstance(entry, Image))
    (bad,) = (entry for entry in entries if isinstance(entry, Rejected))
    assert good.uri == f"{web.url}/a.jpg"
    assert bad.failure.error_class is ErrorClass.BAD_NAME
    assert why in bad.failure.message
    assert f"line {number}" in bad.failure.message
    assert "secret" not in str(bad)


def test_a_path_that_is_not_utf8_is_fetched_under_its_encoded_name(web: WebFake, tmp_path: Path) -> None:
    web.pages["/caf%E9.jpg"] = RED
    (image,), _ = listing(tmp_path, f"{web.url}/caf%E9.jpg\n")
    assert isinstance(image, Image)
    assert image.image_id == f"{host(web)}/caf%E9.jpg"


def test_a_url_twice_is_one_image_and_two_urls_of_one_id_fail(web: WebFake, tmp_path: Path) -> None:
    web.pages["/a.jpg"] = web.pages["/%61.jpg"] = web.pages["/b.jpg"] = RED
    entries, _ = listing(tmp_path, "".join(f"{web.url}{path}\n" for path in ("/b.jpg", "/b.jpg", "/a.jpg", "/%61.jpg")))
    assert [type(entry) for entry in entries] == [Image, Skipped, Rejected, Rejected]
    assert failures(entries) == {
        f"{web.url}/a.jpg": ErrorClass.NAME_COLLISION,
        f"{web.url}/%61.jpg": ErrorClass.NAME_COLLISION,
    }


def test_a_limit_ends_the_listing_and_says_so(web: WebFake, tmp_path: Path) -> None:
    web.pages.update({f"/{n}.jpg": RED for n in range(60)})
    entries, source = listing(tmp_path, "".join(f"{web.url}/{n}.jpg\n" for n in range(60)), limit=2)
    assert len(entries) == 2
    assert source.problems == ["the listing stopped at its limit of 2; there are more images"]
    assert sum(web.bodies.values()) < 60


# --- Fetching only what changed


def test_what_has_not_changed_is_not_fetched_again(web: WebFake, tmp_path: Path) -> None:
    web.pages |= {"/a.jpg": RED, "/b.jpg": RED, "/no-etag.jpg": RED}
    text = "".join(f"{web.url}{path}\n" for path in web.pages)
    first, _ = listing(tmp_path, text)
    web.pages["/b.jpg"] = GREEN
    second, _ = listing(tmp_path, text)
    assert web.bodies == {"/a.jpg": 1, "/b.jpg": 2, "/no-etag.jpg": 2}
    assert first[0] == second[0]
    assert isinstance(second[1], Image)
    assert second[1].fingerprint == f"md5:{hashlib.md5(GREEN).hexdigest()}"


def test_a_damaged_cache_is_set_aside(web: WebFake, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/etags.sqlite").write_bytes(b"no database" * 500)
    web.pages["/a.jpg"] = RED
    entries, _ = listing(tmp_path, f"{web.url}/a.jpg\n")
    assert isinstance(entries[0], Image)
    assert "every URL is fetched again" in caplog.text
    assert len(list((tmp_path / "home").glob("etags.sqlite.damaged-*"))) == 1
    assert listing(tmp_path, f"{web.url}/a.jpg\n")[0] == entries
    assert web.bodies == {"/a.jpg": 1}, "the new cache spares the second fetch"


def test_a_picture_that_changed_after_its_listing_is_not_read(web: WebFake, tmp_path: Path) -> None:
    web.pages["/a.jpg"] = RED
    (image,), source = listing(tmp_path, f"{web.url}/a.jpg\n")
    assert isinstance(image, Image)
    web.pages["/a.jpg"] = GREEN
    with pytest.raises(ChangedError, match="changed since it was listed"):
        source.read(image)
    web.pages["/a.jpg"] = 404
    with pytest.raises(SourceError, match="answers 404"):
        source.read(image)


# --- What goes wrong


def test_each_failure_has_its_class_and_costs_only_itself(web: WebFake, tmp_path: Path) -> None:
    web.pages |= {
        "/good.jpg": RED,
        "/gone.jpg": 404,
        "/secret.jpg": 403,
        "/busy.jpg": 429,
        "/down.jpg": 503,
        "/page.jpg": b"<html>",
        "/short.jpg": RED,
    }
    web.types["/page.jpg"] = "text/html"
    web.short.add("/short.jpg")
    entries, _ = listing(tmp_path, "".join(f"{web.url}{path}\n" for path in web.pages))
    assert [entry.uri for entry in entries if isinstance(entry, Image)] == [f"{web.url}/good.jpg"]
    assert {name.removeprefix(host(web)): kind for name, kind in failures(entries).items()} == {
        "/gone.jpg": ErrorClass.UNREADABLE,
        "/secret.jpg": ErrorClass.UNREADABLE,
        "/busy.jpg": ErrorClass.QUOTA,
        "/down.jpg": ErrorClass.SERVER,
        "/page.jpg": ErrorClass.UNREADABLE,
        "/short.jpg": ErrorClass.CONNECTION,
    }
    assert web.requests["/down.jpg"] == 3
    assert web.requests["/gone.jpg"] == 1


def test_a_fault_in_passing_is_tried_again(web: WebFake, tmp_path: Path) -> None:
    web.pages["/a.jpg"] = (503, 500, RED)
    entries, _ = listing(tmp_path, f"{web.url}/a.jpg\n")
    assert isinstance(entries[0], Image)


@pytest.mark.parametrize("size", [100_000, 100_001])
def test_a_file_over_the_limit_is_a_failure(
    web: WebFake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int
) -> None:
    web.pages["/a.jpg"] = b"\xff\xd8\xff" + bytes(size - 3)
    monkeypatch.setattr(urls, "Fetcher", partial(Fetcher, max_bytes=100_000))
    entries, _ = listing(tmp_path, f"{web.url}/a.jpg\n")
    assert failures(entries) == ({f"{host(web)}/a.jpg": ErrorClass.TOO_LARGE} if size > 100_000 else {})


def test_redirects_are_followed_five_times(web: WebFake, tmp_path: Path) -> None:
    web.pages |= {f"/{n}": f"/{n - 1}" for n in range(1, 7)} | {"/0": RED}
    entries, _ = listing(tmp_path, f"{web.url}/5\n{web.url}/6\n")
    assert isinstance(entries[0], Image)
    assert entries[0].uri == f"{web.url}/5"
    assert failures(entries) == {f"{host(web)}/6": ErrorClass.UNREADABLE}


@pytest.mark.parametrize(
    "target",
    [
        "https://10.1.2.3/a.jpg",
        "https://169.254.169.254/computeMetadata/v1/",
        "https://[fd00::1]/a.jpg",
        "https://[::ffff:192.168.0.1]/a.jpg",
        "http://example.org/a.jpg",
        "file:///etc/passwd",
        "ftp://example.org/a.jpg",
    ],
)
def test_a_redirect_into_a_private_network_or_to_another_scheme_is_not_followed(
    web: WebFake, tmp_path: Path, target: str
) -> None:
    web.pages["/a.jpg"] = target
    entries, _ = listing(tmp_path, f"{web.url}/a.jpg\n")
    (bad,) = (entry for entry in entries if isinstance(entry, Rejected))
    assert bad.failure.error_class is ErrorClass.UNREADABLE
    assert "redirects to" in bad.failure.message


def test_an_address_is_looked_at_when_the_connection_is_made(web: WebFake) -> None:
    web.pages["/a.jpg"] = RED
    strict = Fetcher()._session(trusted=False)
    with pytest.raises(ValueError, match="private network"):
        strict.get(f"{web.url}/a.jpg")
    assert not web.requests


def test_a_server_that_is_not_there_is_a_lost_connection(tmp_path: Path) -> None:
    with WebFake() as web:
        url = web.url
    with pytest.raises(FetchError) as raised:
        Fetcher().get(f"{url}/a.jpg")
    assert raised.value.failure.error_class is ErrorClass.CONNECTION


# --- Opening and showing


def test_a_list_of_urls_opens_as_one_and_a_list_of_files_does_not(tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("https://example.org/a.jpg\n")
    (tmp_path / "table.csv").write_text("AUTHOR,IMAGE_FILE\nhttps,https://example.org/a.jpg\n")
    (tmp_path / "files.txt").write_text("https.jpg\na.jpg\n")
    source = open_source(str(tmp_path / "urls.txt"), home=tmp_path)
    assert isinstance(source, UrlListSource)
    assert isinstance(open_source(source.root, home=tmp_path), UrlListSource)
    assert isinstance(open_source(str(tmp_path / "table.csv"), home=tmp_path, key="IMAGE_FILE"), UrlListSource)
    assert isinstance(open_source(str(tmp_path / "files.txt"), home=tmp_path), ListFileSource)
    with pytest.raises(UsageError, match="--under"):
        open_source(str(tmp_path / "urls.txt"), home=tmp_path, under=tmp_path)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("\n\nhttps://example.org/a.jpg\n\nhttps://example.org/b.jpg\n", [3, 5]),
        ("\n\nurl,title\n\nhttps://example.org/a.jpg,A\n", [5]),
    ],
)
def test_empty_lines_count_as_lines_and_are_never_the_header(tmp_path: Path, text: str, numbers: list[int]) -> None:
    (tmp_path / "l.csv").write_text(text)
    lines = list(read_urls(tmp_path / "l.csv", None))
    assert [line.number for line in lines] == numbers
    assert [line.problem for line in lines] == [None] * len(numbers)


@pytest.mark.parametrize("date", ["Mon, 01 Jan 99999999999 00:00:00 GMT", "Mon, 01 Jan 2020 00:00:00 +999999999999999"])
def test_a_date_that_no_calendar_has_is_none(date: str) -> None:
    assert validator_of({"Last-Modified": date, "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}) is None
    assert retry_after_header({"Retry-After": date}) is None


def test_a_list_without_urls_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no column 'of URLs'|names no URL"):
        listing(tmp_path, "")


def test_a_stored_picture_is_shown(web: WebFake) -> None:
    web.pages["/a.jpg"] = RED
    assert read_uri(f"{web.url}/a.jpg") == RED
    with pytest.raises(SourceError, match="404"):
        read_uri(f"{web.url}/b.jpg")
    with pytest.raises(SourceError, match="only https://"):
        read_uri("http://example.org/a.jpg")
    with pytest.raises(SourceError, match="this version reads"):
        read_uri("ftp://bucket/a.jpg")
