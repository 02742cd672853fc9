"""What somebody who may start searches can read of the machine that runs them, and of its network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pinakes.errors import PictureError, SourceError, UsageError
from pinakes.images.decoding import decode
from pinakes.sources.fetching import Fetcher, FetchError
from pinakes.sources.networks import is_public, may_be_named
from pinakes.sources.reading import read_below, read_named, read_uri
from pinakes.sources.thumbnails import Thumbnails


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a b.jpg").write_bytes(b"A")
    (tmp_path / "secret.jpg").write_bytes(b"root:x:0:0")
    (tmp_path / "pictures-2").mkdir()
    (tmp_path / "pictures-2" / "c.jpg").write_bytes(b"C")
    return folder


def test_files_below_the_folders_are_read(pictures: Path) -> None:
    read = read_below([str(pictures.parent / "pictures-2"), str(pictures)])
    for name in ("a b.jpg", "../pictures/a b.jpg"):
        assert read(str(pictures / name)) == b"A"
    assert read((pictures / "a b.jpg").as_uri()) == b"A"
    assert read(str(pictures.parent / "pictures-2" / "c.jpg")) == b"C"


def test_a_folder_may_be_named_by_its_uri_or_below_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "50% off" / "a.jpg"
    picture.parent.mkdir()
    picture.write_bytes(b"A")
    monkeypatch.setenv("HOME", str(tmp_path))
    for root in (picture.parent.as_uri(), str(picture.parent), "~/50% off"):
        for name in (picture.as_uri(), str(picture)):
            assert read_below([root])(name) == b"A"


def test_no_other_file_is_read(pictures: Path) -> None:
    (pictures / "link.jpg").symlink_to(pictures.parent / "secret.jpg")
    os.mkfifo(pictures / "fifo.jpg")
    secret = pictures.parent / "secret.jpg"
    named = [
        secret,
        pictures / ".." / "secret.jpg",
        pictures / "link.jpg",
        pictures / "fifo.jpg",
        pictures / "none.jpg",
    ]
    named += [pictures.parent / "pictures-2" / "c.jpg", pictures, "/etc/passwd", "/dev/zero", "secret.jpg", ""]
    for roots in ([str(pictures)], [pictures.as_uri()], [str(pictures), "gs://bucket/pictures"]):
        for name in [*map(str, named), secret.as_uri(), "gs://bucket/pictures-2/a.jpg", "gs://other/a.jpg"]:
            with pytest.raises(UsageError, match=r"PINAKES_SEARCH_FOLDERS|cannot be read") as caught:
                read_below(roots)(name)
            assert "root" not in str(caught.value).replace(str(pictures.parent), "")
    with pytest.raises(UsageError, match="PINAKES_SEARCH_FOLDERS"):
        read_below([])(str(pictures / "a b.jpg"))


@pytest.mark.parametrize(
    ("uri", "package"), [("s3://bucket/a.jpg", "boto3"), ("az://account/box/a.jpg", "azure.storage.blob")]
)
def test_a_stored_picture_whose_service_is_not_installed_has_a_placeholder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uri: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SourceError, match=r"a\.jpg cannot be read: .* needs the package"):
        read_uri(uri)
    assert Thumbnails(tmp_path).of("md5:00", uri, 320).placeholder == "unreadable"


def test_a_search_by_flow_reads_only_there(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.search import _search

    monkeypatch.setenv("PINAKES_SOURCE", str(pictures))
    for asked in ({"image": "/etc/passwd"}, {"plus": ["image:/etc/passwd"]}, {"minus": ["2*image:/etc/passwd"]}):
        with pytest.raises(UsageError, match="is not a file below a folder that searches may read"):
            _search({"text": "blue", **asked})
    monkeypatch.setenv("PINAKES_SEARCH_FOLDERS", f"/nowhere{os.pathsep}{pictures.parent}")
    with pytest.raises(UsageError, match="-k 0 is out of range"):  # it has read the picture by then
        _search({"image": str(pictures.parent / "secret.jpg"), "k": 0})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"root:x:0:0:root:/root:/bin/bash\n", "not a picture but text"),
        ("pässwörd: geheim".encode(), "not a picture but text"),
        (b"\n<!DOCTYPE html><title>root", "not a picture but a web page"),
        (b"\x7fELF\x02\x01root", "not a picture but data of another kind"),
    ],
)
def test_what_is_no_picture_is_not_quoted(data: bytes, said: str) -> None:
    with pytest.raises(PictureError, match=said) as caught:
        decode(data)
    assert "root" not in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "public", "named"),
    [
        ("93.184.216.34", True, True),
        ("2606:2800:220:1::1", True, True),
        ("::ffff:93.184.216.34", True, True),
        ("127.0.0.1", False, True),
        ("10.1.2.3", False, True),
        ("100.64.0.1", False, True),
        ("::ffff:10.1.2.3", False, True),
        ("::1", False, True),
        ("fd00::1", False, True),
        ("169.254.169.254", False, False),
        ("fe80::1%eth0", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("ff0e::1", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("64:ff9b:1::1", False, False),
        ("2002:7f00:1::1", False, False),
        ("2001::1", False, False),
        ("fec0::1", False, False),
        ("::10.1.2.3", False, False),
    ],
)
def test_which_addresses_are_public_and_which_may_be_named(address: str, public: bool, named: bool) -> None:
    assert (is_public(address), may_be_named(address)) == (public, named)


@pytest.mark.parametrize("host", ["[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::7f00:1]", "169.254.169.254", "[ff02::1]"])
def test_a_list_may_not_name_a_gateway_or_a_group(host: str) -> None:
    with pytest.raises(FetchError, match=r"the URL leads to .* in a private network"):
        Fetcher().get(f"https://{host}/a.jpg")


@pytest.mark.parametrize(
    "name",
    [
        "https://me:s3cret@example.org/a.jpg",
        "https://me:s3cret@example.org\u2100/a.jpg",
        "https://me:[s3cret]@example.org/a.jpg",
        "ftp://me:s3cret@example.org/a.jpg",
    ],
)
def test_no_message_shows_the_password_of_an_address(tmp_path: Path, name: str) -> None:
    for read in (read_uri, read_named, read_below([str(tmp_path)])):
        with pytest.raises((SourceError, UsageError), match=r"//\[redacted\]@example\.org") as caught:
            read(name)
        assert "s3cret" not in str(caught.value)


def test_a_loop_of_links_is_refused_and_no_way_around_the_check(pictures: Path) -> None:
    (pictures / "loop").symlink_to("loop")
    (pictures / "link.jpg").symlink_to(pictures.parent / "secret.jpg")
    for name in ("loop", "loop/a.jpg", "loop/../link.jpg", "loop/../../secret.jpg"):
        with pytest.raises(UsageError, match="is not a file below a folder that searches may read"):
            read_below([str(pictures / "loop"), str(pictures)])(f"{pictures}/{name}")


def test_a_search_by_flow_may_not_name_a_local_server() -> None:
    with pytest.raises(UsageError, match="in a private network"):
        read_below([])("https://127.0.0.1/a.jpg")
