"""The two local sources: what they list, what they say of the rest, and what the cache of fingerprints does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinakes import ids
from pinakes.errors import SourceError, UsageError
from pinakes.sources import local
from pinakes.sources.fingerprints import ChangedError, FingerprintCache
from pinakes.sources.folder import FolderSource
from pinakes.sources.kinds import found_here, open_source
from pinakes.sources.listfile import ListFileSource
from pinakes.types import Entry, ErrorClass, Image, Rejected, Skipped
from tests.pictures import photo, saved, scene

JPEG = photo(size=(8, 8))
NFC = unicodedata.normalize("NFC", "café.jpg")
NFD = unicodedata.normalize("NFD", "café.jpg")


def put(root: Path, *names: str | bytes, data: bytes | None = None) -> None:
    """Files of those names; each with bytes of its own unless `data` are given."""
    for name in names:
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG + os.fsencode(name) if data is None else data)


def listing(root: Path, **options: int) -> tuple[list[Entry], list[str]]:
    source = FolderSource(root, cache=None, **options)
    return list(source.entries()), source.problems


def images(entries: list[Entry]) -> list[str]:
    return [entry.image_id for entry in entries if isinstance(entry, Image)]


def skipped(entries: list[Entry]) -> dict[str, str]:
    return {entry.name: entry.reason for entry in entries if isinstance(entry, Skipped)}


def rejected(entries: list[Entry]) -> dict[str, tuple[ErrorClass, str]]:
    found = [entry for entry in entries if isinstance(entry, Rejected)]
    result = {entry.image_id: (entry.failure.error_class, entry.failure.message) for entry in found}
    assert len(result) == len(found), "two rejected entries share one id"
    return result


# --- What a folder lists


def test_an_image_has_its_path_its_uri_its_md5_and_its_size(tmp_path: Path) -> None:
    put(tmp_path, "a/b c.jpg")
    (image,), problems = listing(tmp_path)
    data = (tmp_path / "a/b c.jpg").read_bytes()
    assert image == Image(
        "a/b c.jpg", f"{tmp_path.as_uri()}/a/b%20c.jpg", f"md5:{hashlib.md5(data).hexdigest()}", len(data)
    )
    assert problems == []


def test_the_order_is_that_of_the_image_ids(tmp_path: Path) -> None:
    names = [
        "b.jpg",
        "a/z.jpg",
        "a.jpg",
        "a-b.jpg",
        "a/b/c.jpg",
        "B.jpg",
        "é.jpg",
        "z/1.jpg",
        "10.jpg",
        "9.jpg",
        "日.jpg",
    ]
    put(tmp_path, *names)
    assert images(listing(tmp_path)[0]) == sorted(names)


def test_the_root_is_the_uri_of_the_resolved_folder(tmp_path: Path) -> None:
    put(tmp_path / "pictures é", "a.jpg")
    (tmp_path / "link").symlink_to("pictures é")
    source = FolderSource(tmp_path / "link", cache=None)
    assert source.root == f"{tmp_path.as_uri()}/pictures%20%C3%A9/"
    (image,) = source.entries()
    assert isinstance(image, Image)
    assert image.uri == source.root + "a.jpg"


def test_every_odd_name_that_is_utf8_is_an_image_and_can_be_read(tmp_path: Path) -> None:
    names = [
        "a'b\".jpg",
        "new\nline.jpg",
        "50%.jpg",
        "50%25.jpg",
        "a#b?c.jpg",
        " lead.jpg",
        "back\\slash.jpg",
        NFC,
        "n" * 251 + ".jpg",
    ]
    put(tmp_path, *names)
    source = FolderSource(tmp_path, cache=None)
    found = [entry for entry in source.entries() if isinstance(entry, Image)]
    assert [image.image_id for image in found] == sorted(names)
    for image in found:
        assert source.read(image) == (tmp_path / image.image_id).read_bytes()
        assert image.uri.isascii()
        assert "\n" not in image.uri


def test_a_name_in_nfd_has_its_id_in_nfc_and_its_uri_in_its_own_bytes(tmp_path: Path) -> None:
    put(tmp_path, NFD)
    source = FolderSource(tmp_path, cache=None)
    (image,) = source.entries()
    assert isinstance(image, Image)
    assert image.image_id == NFC
    assert unquote_to_bytes(image.uri).endswith(NFD.encode())
    assert source.read(image) == JPEG + NFD.encode()


def test_an_unreadable_file_in_nfd_is_rejected_under_the_id_it_has_when_it_can_be_read(tmp_path: Path) -> None:
    put(tmp_path, "ok.jpg")
    (tmp_path / NFD).symlink_to("nowhere")
    assert list(rejected(listing(tmp_path)[0])) == [NFC]


def test_a_name_that_is_not_utf8_is_rejected_under_its_spelled_out_bytes(tmp_path: Path) -> None:
    put(tmp_path, b"caf\xe9.jpg", b"d\xff/a.jpg", "caf\\xe9.jpg", "d\\xff/a.jpg", "ok.jpg")
    entries, _ = listing(tmp_path)
    # Two files are really called like the spelled-out bytes: theirs are the plain ids.
    assert images(entries) == ["caf\\xe9.jpg", "d\\xff/a.jpg", "ok.jpg"]
    odd = rejected(entries)
    assert set(odd) == {"caf\\\\xe9.jpg", "d\\\\xff/a.jpg"}
    assert odd["caf\\\\xe9.jpg"] == (
        ErrorClass.BAD_NAME,
        "the name is not UTF-8 (byte 0xe9 at position 3); rename the file",
    )
    uris = {entry.uri for entry in entries if isinstance(entry, Rejected)}
    assert f"{tmp_path.as_uri()}/caf%E9.jpg" in uris


def test_a_name_that_is_not_utf8_has_the_id_of_its_printable_name(tmp_path: Path) -> None:
    put(tmp_path, b"x/caf\xe9.jpg")
    assert list(rejected(listing(tmp_path)[0])) == [ids.printable_name(b"x/caf\xe9.jpg")]


def test_a_path_longer_than_an_id_is_rejected_under_a_shortened_one(tmp_path: Path) -> None:
    deep = "/".join(["é" * 120] * 5)
    put(tmp_path, f"{deep}/a.jpg", f"{deep}/b.jpg", "ok.jpg")
    entries, _ = listing(tmp_path)
    assert images(entries) == ["ok.jpg"]
    odd = rejected(entries)
    assert len(odd) == 2
    for name, (kind, message) in odd.items():
        assert len(name.encode()) <= ids.MAX_ID_BYTES
        assert kind is ErrorClass.BAD_NAME
        assert "an image_id may have 1024" in message


def test_two_files_whose_names_are_one_text_are_both_rejected_and_name_each_other(tmp_path: Path) -> None:
    put(tmp_path, NFC, NFD, "ok.jpg")
    entries, _ = listing(tmp_path)
    assert images(entries) == ["ok.jpg"]
    odd = rejected(entries)
    assert set(odd) == {NFC, "cafe\\xcc\\x81.jpg"}
    for kind, message in odd.values():
        assert kind is ErrorClass.NAME_COLLISION
        assert "caf\\xc3\\xa9.jpg" in message
        assert "cafe\\xcc\\x81.jpg" in message


def test_two_folders_whose_names_are_one_text_collide_only_where_their_files_do(tmp_path: Path) -> None:
    put(tmp_path, "é/a.jpg", "e\u0301/a.jpg", "é/b.jpg", "e\u0301/c.jpg")
    entries, _ = listing(tmp_path)
    assert images(entries) == ["é/b.jpg", "é/c.jpg"]
    assert set(rejected(entries)) == {"é/a.jpg", "e\\xcc\\x81/a.jpg"}


name_bytes = st.one_of(
    st.sampled_from(
        [NFC.encode(), NFD.encode(), b"caf\xe9.jpg", b"caf\\xe9.jpg", b"a.txt", b".a.jpg", b"a\\\\xe9.jpg"]
    ),
    st.binary(min_size=1, max_size=12)
    .map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))
    .map(lambda raw: raw + b".jpg"),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(
        st.tuples(st.sampled_from([b"", b"d/", "é/".encode(), "e\u0301/".encode(), b"\xe9/"]), name_bytes), min_size=1
    )
)
def test_whatever_the_names_each_file_is_listed_once_under_an_id_of_its_own(names: set[tuple[bytes, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        put(Path(root), b"ok.jpg", *(folder + name for folder, name in names))
        entries, problems = listing(Path(root))
        named = [entry.image_id for entry in entries if not isinstance(entry, Skipped)]
        assert len(set(named)) == len(named)
        assert len(entries) == len({folder + name for folder, name in names} | {b"ok.jpg"})
        assert problems == []
        ordered = images(entries)
        assert ordered == sorted(ordered)


# --- What a folder skips


def test_what_is_no_image_is_skipped_with_its_reason(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", ".hidden.jpg", ".git/x.jpg", "Thumbs.db", "__MACOSX/b.jpg", "notes.txt", "film.mp4")
    entries, problems = listing(tmp_path)
    assert images(entries) == ["a.jpg"]
    assert skipped(entries) == {
        ".git": "hidden (its name begins with a dot)",
        ".hidden.jpg": "hidden (its name begins with a dot)",
        "Thumbs.db": "clutter of the system (Thumbs.db)",
        "__MACOSX": "clutter of the system (__MACOSX)",
        "film.mp4": "not an image by its name (.mp4)",
        "notes.txt": "not an image by its name (.txt)",
    }
    assert problems == []


def test_a_file_without_an_extension_is_judged_by_its_first_bytes(tmp_path: Path) -> None:
    put(tmp_path, "Interior, c.1650", "IMG_0001")
    put(tmp_path, "README", "Makefile.1", data=b"plain text")
    entries, _ = listing(tmp_path)
    assert images(entries) == ["IMG_0001", "Interior, c.1650"]
    assert set(skipped(entries).values()) == {"not an image by its first bytes"}


def test_a_text_called_jpg_and_a_jpeg_called_png_are_both_listed(tmp_path: Path) -> None:
    put(tmp_path, "text.jpg", data=b"no picture")
    put(tmp_path, "jpeg.png")
    put(tmp_path, "empty.jpg", data=b"")
    assert images(listing(tmp_path)[0]) == ["empty.jpg", "jpeg.png", "text.jpg"]


def test_a_pipe_a_socket_and_a_device_are_skipped_and_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # a socket's path has a limit of 108 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        (tmp_path / "device.jpg").symlink_to("/dev/null")
        entries, _ = listing(tmp_path)
    assert images(entries) == ["a.jpg"]
    assert skipped(entries) == {
        "device.jpg": "a device, not a file",
        "pipe": "a named pipe, not a file",
        "pipe.jpg": "a named pipe, not a file",
        "socket.jpg": "a socket, not a file",
    }


# --- Links


def test_a_link_to_a_file_is_an_image_of_its_own(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.jpg")
    put(tmp_path / "out", "b.jpg")
    (tmp_path / "in/again.jpg").symlink_to("a.jpg")
    (tmp_path / "in/outer.jpg").symlink_to("../out/b.jpg")
    entries, _ = listing(tmp_path / "in")
    assert images(entries) == ["a.jpg", "again.jpg", "outer.jpg"]


def test_a_broken_link_is_rejected_with_where_it_points(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").symlink_to("gone/c.jpg")
    (tmp_path / "notes.txt").symlink_to("gone")
    entries, problems = listing(tmp_path)
    assert rejected(entries) == {
        "b.jpg": (
            ErrorClass.UNREADABLE,
            "the file cannot be read: the link points to 'gone/c.jpg', which does not exist",
        )
    }
    assert "notes.txt" in skipped(entries)
    assert problems == []


def test_a_broken_link_that_may_have_been_a_folder_makes_the_listing_incomplete(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    (tmp_path / "archive").symlink_to("/mnt/not-mounted")
    entries, problems = listing(tmp_path)
    assert list(rejected(entries)) == ["archive"]
    assert problems == ["the link 'archive' is broken; if it was a folder, its pictures are missing"]


def test_a_link_that_points_to_itself_is_rejected(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").symlink_to("b.jpg")
    entries, _ = listing(tmp_path)
    assert rejected(entries)["b.jpg"][0] is ErrorClass.UNREADABLE


@pytest.mark.parametrize("target", [".", "..", "../..", "../../.."])
def test_a_link_loop_is_skipped_and_told(tmp_path: Path, target: str) -> None:
    root = tmp_path / "root"
    put(root, "x/y/a.jpg")
    (root / "x/y/loop").symlink_to(target)
    entries, problems = listing(root)
    assert images(entries) == ["x/y/a.jpg"]
    assert skipped(entries) == {"x/y/loop": "link loop: it points to a folder above it"}
    assert len(problems) == 1
    assert "'x/y/loop' is a loop" in problems[0]


def test_a_loop_by_way_of_a_folder_elsewhere_ends(tmp_path: Path) -> None:
    put(tmp_path / "root", "a.jpg")
    put(tmp_path / "other", "b.jpg")
    (tmp_path / "root/out").symlink_to("../other")
    (tmp_path / "other/back").symlink_to("../root")
    (tmp_path / "other/self").symlink_to(".")
    entries, problems = listing(tmp_path / "root")
    assert images(entries) == ["a.jpg", "out/b.jpg"]
    assert set(skipped(entries)) == {"out/back", "out/self"}
    assert len(problems) == 2


def test_a_folder_that_links_reach_twice_is_listed_once(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(root, "z/a.jpg")
    put(tmp_path / "other", "sub/b.jpg")
    (root / "a-link").symlink_to("z")  # sorts before the folder, and still the folder's own path counts
    (root / "first").symlink_to("../other/sub")
    (root / "second").symlink_to("../other")
    (root / "third").symlink_to("../other")
    entries, problems = listing(root)
    assert images(entries) == ["first/b.jpg", "z/a.jpg"]
    assert skipped(entries) == {
        "a-link": "a link to the folder 'z', which is listed by itself",
        "second/sub": "the same folder as 'first/', which is listed once",
        "third": "the same folder as 'second/', which is listed once",
    }
    assert problems == []


def test_a_link_to_a_hidden_folder_is_followed(tmp_path: Path) -> None:
    put(tmp_path, ".store/a.jpg")
    (tmp_path / "shown").symlink_to(".store")
    assert images(listing(tmp_path)[0]) == ["shown/a.jpg"]


# --- What cannot be read


@pytest.fixture
def private() -> Iterator[Path]:
    """A folder that everybody may enter, with a file and a folder in it that its owner may not even read."""
    root = Path(tempfile.mkdtemp(prefix="pinakes-"))
    root.chmod(0o755)
    put(root, "ok.jpg", "secret.jpg", "locked/a.jpg", "nameless")
    for name in ("secret.jpg", "locked", "nameless"):
        (root / name).chmod(0)
    yield root
    (root / "locked").chmod(0o700)
    shutil.rmtree(root)


def unprivileged(root: Path) -> dict[str, list[list[str]] | list[str] | str]:
    """The listing of `root` as a user who is not root: permissions do not bind root."""
    program = """
import json, os, sys
from pathlib import Path
from pinakes.errors import SourceError
from pinakes.sources.folder import FolderSource
if os.geteuid() == 0:
    os.seteuid(65534)
source = FolderSource(Path(sys.argv[1]), cache=None)
try:
    entries = [[type(e).__name__, getattr(e, "image_id", ""), str(getattr(e, "failure", ""))] for e in source.entries()]
except SourceError as error:
    print(json.dumps({"error": str(error)}))
else:
    print(json.dumps({"entries": entries, "problems": source.problems}))
"""
    done = subprocess.run([sys.executable, "-c", program, str(root)], capture_output=True, text=True, check=True)
    answer: dict[str, list[list[str]] | list[str] | str] = json.loads(done.stdout)
    return answer


def test_an_unreadable_folder_is_a_problem_and_an_unreadable_file_is_rejected(private: Path) -> None:
    answer = unprivileged(private)
    assert answer["problems"] == ["the folder 'locked' cannot be listed (Permission denied)"]
    kinds = {name: (kind, failure) for kind, name, failure in answer["entries"]}
    assert kinds["ok.jpg"][0] == "Image"
    for name in ("secret.jpg", "nameless"):
        assert kinds[name][0] == "Rejected"
        assert "unreadable" in kinds[name][1]
        assert "Permission denied" in kinds[name][1]


def test_an_unreadable_root_raises_with_the_fix(private: Path) -> None:
    answer = unprivileged(private / "locked")
    assert "cannot be listed (Permission denied); let this user read it" in str(answer["error"])


def test_a_missing_folder_and_a_file_as_a_folder_raise_with_the_fix(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    with pytest.raises(SourceError, match=r"there is no folder '.*missing'; check the path"):
        listing(tmp_path / "missing")
    with pytest.raises(SourceError, match="is not a folder; give the folder that holds the pictures"):
        listing(tmp_path / "a.jpg")


def test_an_empty_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is empty; give the folder that holds the pictures"):
        listing(tmp_path)


def test_a_folder_without_one_image_raises_with_what_was_found(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", "b.txt", "c.mp4", ".x.jpg")
    source = FolderSource(tmp_path, cache=None)
    entries = []
    with pytest.raises(SourceError, match=r"all 4 entries were skipped \(2 not an image by its name \(\.txt\), 1 "):
        entries.extend(source.entries())


def test_a_folder_of_nothing_but_rejected_files_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("gone")
    assert list(rejected(listing(tmp_path)[0])) == ["a.jpg"]


# --- The limit


def test_a_limit_stops_the_listing_and_says_so(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.txt", "c.jpg", "d.jpg")
    entries, problems = listing(tmp_path, limit=2)
    assert images(entries) == ["a.jpg", "c.jpg"]
    assert problems == ["the listing stopped at its limit of 2; there are more images"]


def test_a_limit_that_is_not_reached_leaves_the_listing_complete(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg", "c.txt")
    entries, problems = listing(tmp_path, limit=2)
    assert images(entries) == ["a.jpg", "b.jpg"]
    assert "c.txt" in skipped(entries)
    assert problems == []


def test_a_limit_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="limit of 0"):
        FolderSource(tmp_path, cache=None, limit=0)


def test_a_source_can_be_listed_again(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "d/b.jpg")
    (tmp_path / "d/loop").symlink_to("..")
    source = FolderSource(tmp_path, cache=None)
    assert list(source.entries()) == list(source.entries())
    assert len(source.problems) == 1


# --- Reading


def one(root: Path, cache: FingerprintCache | None = None) -> tuple[FolderSource, Image]:
    source = FolderSource(root, cache=cache)
    (image,) = source.entries()
    assert isinstance(image, Image)
    return source, image


@pytest.mark.parametrize("data", [b"longer than it was " * 99, JPEG[:-1] + b"!"], ids=["another-size", "the-same-size"])
def test_reading_a_file_that_changed_since_it_was_listed_fails(tmp_path: Path, data: bytes) -> None:
    put(tmp_path, "a.jpg", data=JPEG)
    source, image = one(tmp_path)
    put(tmp_path, "a.jpg", data=data)
    with pytest.raises(ChangedError, match=r"'a\.jpg' changed since it was listed"):
        source.read(image)


def test_reading_a_file_that_is_gone_fails(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    source, image = one(tmp_path)
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(SourceError, match=r"'a\.jpg' can no longer be read: No such file") as caught:
        source.read(image)
    assert not isinstance(caught.value, ChangedError)


def test_an_image_of_another_source_is_not_read(tmp_path: Path) -> None:
    put(tmp_path / "one", "a.jpg")
    put(tmp_path / "two", "a.jpg")
    _, image = one(tmp_path / "one")
    with pytest.raises(SourceError, match="is not part of the source"):
        FolderSource(tmp_path / "two", cache=None).read(image)


# --- The cache of fingerprints


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing happens an hour after the files were written, so that their times can be trusted."""
    now = time.time_ns
    monkeypatch.setattr(local.time, "time_ns", lambda: now() + 3_600_000_000_000)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The files that are really read, in their order."""
    calls: list[bytes] = []
    real = local.fingerprint_file

    def spy(path: bytes) -> tuple[str, os.stat_result]:
        calls.append(path.rpartition(b"/")[2])
        return real(path)

    monkeypatch.setattr(local, "fingerprint_file", spy)
    return calls


def listed(root: Path, home: Path) -> list[Entry]:
    with FingerprintCache(home) as cache:
        return list(FolderSource(root, cache=cache).entries())


@pytest.mark.usefixtures("later")
def test_an_unchanged_file_is_not_hashed_again(tmp_path: Path, hashed: list[bytes]) -> None:
    put(tmp_path / "in", "a.jpg", NFD, "d/b.jpg")
    first = listed(tmp_path / "in", tmp_path / "home")
    assert len(hashed) == 3
    assert listed(tmp_path / "in", tmp_path / "home") == first
    assert len(hashed) == 3


@pytest.mark.usefixtures("later")
def test_a_changed_file_is_hashed_again_even_if_its_size_and_mtime_are_the_same(
    tmp_path: Path, hashed: list[bytes]
) -> None:
    put(tmp_path / "in", "a.jpg", data=JPEG)
    put(tmp_path / "in", "b.jpg")
    (before, _) = listed(tmp_path / "in", tmp_path / "home")
    times = (tmp_path / "in/a.jpg").stat()
    put(tmp_path / "in", "a.jpg", data=JPEG[:-1] + b"!")
    os.utime(tmp_path / "in/a.jpg", ns=(times.st_atime_ns, times.st_mtime_ns))
    (after, _) = listed(tmp_path / "in", tmp_path / "home")
    assert isinstance(before, Image)
    assert isinstance(after, Image)
    assert after.fingerprint != before.fingerprint
    assert hashed == [b"a.jpg", b"b.jpg", b"a.jpg"]


def test_a_file_written_just_now_is_hashed_again(tmp_path: Path, hashed: list[bytes]) -> None:
    put(tmp_path / "in", "a.jpg")
    assert listed(tmp_path / "in", tmp_path / "home") == listed(tmp_path / "in", tmp_path / "home")
    assert hashed == [b"a.jpg", b"a.jpg"]


@pytest.mark.usefixtures("later")
def test_two_roots_do_not_share_a_relative_path(tmp_path: Path) -> None:
    put(tmp_path / "one", "a.jpg", data=JPEG)
    put(tmp_path / "two", "a.jpg", data=JPEG[:-1] + b"!")
    times = (tmp_path / "one/a.jpg").stat()
    os.utime(tmp_path / "two/a.jpg", ns=(times.st_atime_ns, times.st_mtime_ns))
    home = tmp_path / "home"
    fingerprints = {
        entry.fingerprint
        for root in ("one", "two")
        for entry in listed(tmp_path / root, home)
        if isinstance(entry, Image)
    }
    assert len(fingerprints) == 2


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("damage", ["not a database", "torn in the middle"])
def test_a_damaged_cache_is_set_aside_and_begun_again(
    tmp_path: Path, hashed: list[bytes], caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    put(tmp_path / "in", *(f"{number:03}.jpg" for number in range(300)))
    home = tmp_path / "home"
    expected = listed(tmp_path / "in", home)
    file = home / "fingerprints.sqlite"
    whole = file.read_bytes()
    file.write_bytes(b"rubbish" * 999 if damage == "not a database" else whole[:4096] + b"\xff" * (len(whole) - 4096))
    assert listed(tmp_path / "in", home) == expected
    assert "is damaged" in caplog.text
    assert len(list(home.glob("fingerprints.sqlite.damaged-*"))) == 1
    hashed.clear()
    assert listed(tmp_path / "in", home) == expected
    assert len(hashed) < 10  # what was looked up before the damage was met may be missing


@pytest.mark.usefixtures("later")
def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, "in/a.jpg", "file")
    assert images(listed(tmp_path / "in", tmp_path / "file")) == ["a.jpg"]
    assert "cannot be used" in caplog.text


@pytest.mark.usefixtures("later")
def test_a_cache_of_another_version_is_begun_again(tmp_path: Path, hashed: list[bytes]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with sqlite3.connect(home / "fingerprints.sqlite") as connection:
        connection.execute("CREATE TABLE fingerprints (something TEXT)")
    connection.close()
    put(tmp_path / "in", "a.jpg")
    assert listed(tmp_path / "in", home) == listed(tmp_path / "in", home)
    assert hashed == [b"a.jpg"]


@pytest.mark.usefixtures("later")
def test_a_file_from_the_far_future_or_past_is_kept_like_any_other(tmp_path: Path, hashed: list[bytes]) -> None:
    put(tmp_path / "in", "a.jpg", "b.jpg")
    os.utime(tmp_path / "in" / "a.jpg", (11e9, 11e9))  # 2318, in nanoseconds more than SQLite's integers hold
    os.utime(tmp_path / "in" / "b.jpg", (-1e9, -1e9))
    assert listed(tmp_path / "in", tmp_path / "home") == listed(tmp_path / "in", tmp_path / "home")
    assert hashed == [b"a.jpg", b"b.jpg"]


@pytest.mark.usefixtures("later")
def test_threads_share_one_cache_and_processes_one_file(tmp_path: Path) -> None:
    put(tmp_path / "in", *(f"{number}.jpg" for number in range(40)))
    home = tmp_path / "home"
    with FingerprintCache(home) as cache, FingerprintCache(home) as second, ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(lambda used=used: list(FolderSource(tmp_path / "in", cache=used).entries()))
            for used in (cache, second) * 6
        ]
        answers = [job.result() for job in jobs]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.usefixtures("later")
def test_a_listing_in_order_reads_the_cache_ahead_and_asks_it_seldom(tmp_path: Path) -> None:
    put(tmp_path / "in", *(f"{number // 500:02}/{number:05}.jpg" for number in range(2000)))
    before = listed(tmp_path / "in", tmp_path)
    asked: list[str] = []
    with FingerprintCache(tmp_path) as cache:
        assert cache.get(b"/", b"x", (tmp_path / "in").stat()) is None  # connects
        assert cache._connection is not None
        cache._connection.set_trace_callback(asked.append)
        assert list(FolderSource(tmp_path / "in", cache=cache).entries()) == before
    assert len(asked) < 40, "one query for many files"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_cache_is_a_simple_model_in_whatever_order_it_is_asked(tmp_path: Path, data: st.DataObject) -> None:
    known: dict[tuple[bytes, bytes], str] = {}
    state = tmp_path.stat()
    with tempfile.TemporaryDirectory() as home, FingerprintCache(Path(home)) as cache:
        for number in range(data.draw(st.integers(1, 40))):
            root, path = data.draw(st.sampled_from([b"/a/", b"/b/"])), data.draw(st.binary(min_size=1, max_size=1))
            match data.draw(st.sampled_from(["put", "get", "get", "get", "forget", "close"])):
                case "put":
                    known[root, path] = f"md5:{number:032x}"
                    cache.put(root, path, state, known[root, path], started_ns=state.st_ctime_ns + 10**10)
                    cache.close()  # rows that wait are not read yet, and what is read ahead may be older
                case "forget":
                    cache.flush()
                    cache.forget([root + path], [])
                    known.pop((root, path), None)
                case "close":
                    cache.close()
                case _:
                    assert cache.get(root, path, state) == known.get((root, path))


def test_a_cache_that_another_process_keeps_locked_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pinakes.sources.sqlite_cache._BUSY_SECONDS", 0.05)
    put(tmp_path / "in", "a.jpg")
    listed(tmp_path / "in", tmp_path / "home")
    blocker = sqlite3.connect(tmp_path / "home/fingerprints.sqlite", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    assert images(listed(tmp_path / "in", tmp_path / "home")) == ["a.jpg"]
    blocker.close()
    assert "database is locked" in caplog.text


# --- A list of files


SEMART = "IMAGE_FILE\tDESCRIPTION\tAUTHOR\n{}\n"


def of_list(
    tmp_path: Path, text: str | bytes, *, name: str = "list.txt", **options: object
) -> tuple[list[Entry], list[str]]:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    source = ListFileSource(file, **{"under": None, "key": None, "cache": None, **options})  # type: ignore[arg-type]
    return list(source.entries()), source.problems


def test_plain_lines_name_images_next_to_the_list(tmp_path: Path) -> None:
    put(tmp_path, "b.jpg", "d/a.jpg", "not named.jpg")
    entries, problems = of_list(tmp_path, "d/a.jpg\r\n\nb.jpg\n")
    assert images(entries) == ["b.jpg", "d/a.jpg"]
    assert problems == []


def test_a_semart_file_names_what_is_in_the_folder_images(tmp_path: Path) -> None:
    put(tmp_path / "Images", "01-cafe.jpg", "02.jpg")
    rows = '02.jpg\tA caf\xe9, "sunny"\tX\n01-cafe.jpg\tLong\tY'
    file_name = "semart_train.csv"
    entries, _ = of_list(tmp_path, SEMART.format(rows).encode("cp1252"), name=file_name)
    assert images(entries) == ["01-cafe.jpg", "02.jpg"]
    source = ListFileSource(tmp_path / file_name, under=None, key=None, cache=None)
    assert source.root == f"{tmp_path.as_uri()}/Images/"


def test_a_list_and_its_folder_give_equal_images(tmp_path: Path) -> None:
    put(tmp_path / "Images", "a.jpg", NFD, "c d/50%.jpg")
    entries, _ = of_list(tmp_path, f"a.jpg\n{NFC}\nc d/50%.jpg\n")
    assert entries == listing(tmp_path / "Images")[0]


@pytest.mark.parametrize(
    ("text", "name", "key"),
    [
        ("IMAGE_FILE,TITLE\na.jpg,x\nb.jpg,y\n", "t.csv", None),
        ('TITLE;IMAGE_FILE\nx;a.jpg\n"y\nz";b.jpg\n', "t.csv", None),
        ("file\ttitle\na.jpg\tx\nb.jpg\ty\n", "t.tsv", "file"),
        ("file\na.jpg\nb.jpg\n", "t.csv", "file"),
        ("\ufeffIMAGE_FILE\na.jpg\nb.jpg\n", "t.txt", None),
        ("a.jpg\nb.jpg\n", "t.csv", None),
        ("./a.jpg\n b.jpg \n", "t.txt", None),
    ],
)
def test_tables_of_many_kinds_are_read(tmp_path: Path, text: str, name: str, key: str | None) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    assert images(of_list(tmp_path, text, name=name, key=key)[0]) == ["a.jpg", "b.jpg"]


def test_a_list_in_utf16_is_read(tmp_path: Path) -> None:
    put(tmp_path, NFC)
    assert images(of_list(tmp_path, f"IMAGE_FILE\tX\n{NFC}\ty\n".encode("utf-16"))[0]) == [NFC]


def test_a_list_written_on_windows_finds_its_files(tmp_path: Path) -> None:
    put(tmp_path, "d/a.jpg", NFC)
    assert images(of_list(tmp_path, f"d\\a.jpg\r\n{NFC}\r\n".encode("cp1252"))[0]) == [NFC, "d/a.jpg"]


def test_a_missing_column_is_named_with_the_ones_there_are(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    with pytest.raises(
        SourceError, match=r"no column 'IMAGE_FILE', only 'file', 'title'; name the column .* with --key"
    ):
        of_list(tmp_path, "file\ttitle\na.jpg\tx\n", name="t.tsv")
    with pytest.raises(SourceError, match="no column 'nope'"):
        of_list(tmp_path, "file,title\na.jpg,x\n", key="nope")


def test_a_file_that_is_named_but_not_there_is_rejected_with_its_line(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    entries, _ = of_list(tmp_path, "a.jpg\ngone.jpg\n")
    kind, message = rejected(entries)["gone.jpg"]
    assert kind is ErrorClass.UNREADABLE
    assert message == f"named in 'list.txt', line 2: there is no such file below {str(tmp_path)!r}"


def test_a_line_number_is_the_line_on_which_a_row_begins(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    entries, _ = of_list(tmp_path, 'IMAGE_FILE,X\na.jpg,"one\ntwo\nthree"\ngone.jpg,y\n', name="t.csv")
    assert "line 5:" in rejected(entries)["gone.jpg"][1]


@pytest.mark.parametrize("name", ["../a.jpg", "d/../../a.jpg", "/etc/a.jpg", "C:\\a.jpg", "..\\a.jpg"])
def test_a_name_that_leads_out_of_the_folder_is_rejected(tmp_path: Path, name: str) -> None:
    put(tmp_path, "a.jpg", "in/b.jpg", "in/d/c.jpg")
    entries, _ = of_list(tmp_path, f"{name}\nb.jpg\n", under=tmp_path / "in")
    assert images(entries) == ["b.jpg"]
    ((kind, message),) = rejected(entries).values()
    assert kind is ErrorClass.BAD_NAME
    assert "leads out of the folder" in message


def test_a_name_listed_twice_counts_once(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", NFC)
    entries, _ = of_list(tmp_path, f"a.jpg\n./a.jpg\n{NFC}\n{NFD}\n")
    assert images(entries) == ["a.jpg", NFC]
    assert skipped(entries) == {
        "a.jpg (line 2)": "named twice: line 1 has it too",
        f"{NFC} (line 4)": "named twice: line 3 has it too",
    }


def test_two_files_of_one_name_in_a_list_are_both_rejected(tmp_path: Path) -> None:
    put(tmp_path, NFC, NFD, "ok.jpg")
    entries, _ = of_list(tmp_path, f"{NFC}\n{NFD}\nok.jpg\n")
    assert images(entries) == ["ok.jpg"]
    assert {name: kind for name, (kind, _) in rejected(entries).items()} == {
        NFC: ErrorClass.NAME_COLLISION,
        "cafe\\xcc\\x81.jpg": ErrorClass.NAME_COLLISION,
    }


def test_a_list_has_entries_for_what_is_no_image_a_folder_or_nothing(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "notes.txt", "d.jpg/x.jpg")
    entries, _ = of_list(
        tmp_path, "IMAGE_FILE,X\na.jpg,1\nnotes.txt,2\n,3\nd.jpg,4\n" + "n" * 300 + ".jpg,5\n", name="t.csv"
    )
    assert images(entries) == ["a.jpg"]
    assert skipped(entries) == {"notes.txt": "not an image by its name (.txt)", "line 4": "the line names no image"}
    assert {kind for kind, _ in rejected(entries).values()} == {ErrorClass.UNREADABLE}
    assert "this is a folder" in rejected(entries)["d.jpg"][1]


def test_a_list_of_which_nothing_is_there_raises_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none of the 2 names .* \(line 1 names 'x\.jpg'\); .* with --under"):
        of_list(tmp_path, "x.jpg\ny.jpg\n")


def test_an_empty_list_and_a_missing_folder_raise(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="names no image"):
        of_list(tmp_path, "")
    with pytest.raises(SourceError, match="there is no folder"):
        of_list(tmp_path, "a.jpg\n", under=tmp_path / "missing")


def test_a_limit_cuts_a_list_too(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    entries, problems = of_list(tmp_path, "c.jpg\nb.jpg\na.jpg\n", limit=2)
    assert images(entries) == ["a.jpg", "b.jpg"]
    assert len(problems) == 1


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_whatever_a_list_holds_it_is_listed_or_refused_in_words(text: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        put(Path(root), "a.jpg")
        (Path(root) / "list.txt").write_text("a.jpg\n" + text, encoding="utf-8", errors="replace", newline="")
        source = ListFileSource(Path(root) / "list.txt", under=None, key=None, cache=None)
        entries = list(source.entries())
        named = [entry.image_id for entry in entries if not isinstance(entry, Skipped)]
        assert "a.jpg" in named
        assert len(set(named)) == len(named)


# --- Opening


def test_a_folder_opens_as_a_folder_and_a_file_as_a_list(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.jpg")
    (tmp_path / "in/list.txt").write_text("a.jpg\n")
    folder = open_source(str(tmp_path / "in"), home=tmp_path / "home")
    assert isinstance(folder, FolderSource)
    named = open_source(str(tmp_path / "in/list.txt"), home=tmp_path / "home")
    assert isinstance(named, ListFileSource)
    assert images(list(folder.entries())) == images(list(named.entries())) == ["a.jpg"]
    assert folder.root == named.root
    again = open_source(folder.root, home=tmp_path / "home")
    assert again.root == folder.root


@pytest.mark.parametrize("source", ["https://example.org/list.txt", "ftp://bucket"])
def test_a_kind_of_source_that_is_not_supported_is_said_so(tmp_path: Path, source: str) -> None:
    with pytest.raises(UsageError, match="this version reads a folder, or a list of files"):
        open_source(source, home=tmp_path)


@pytest.mark.parametrize(
    "source", ["", "no/such/folder", "nul\0byte", "nul\0byte/folder", "~nobody-of-that-name/folder"]
)
def test_what_does_not_exist_is_said_so(tmp_path: Path, source: str) -> None:
    with pytest.raises(SourceError, match="check the path"):
        open_source(source, home=tmp_path)


@pytest.mark.parametrize("name", ["50% off", "%41", "Gem\u00e4lde", b"\xff".decode("utf-8", "surrogateescape")])
def test_the_root_of_a_folder_opens_it_again_whatever_its_name(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, "a.jpg")
    source = open_source(str(tmp_path / name), home=tmp_path)
    again = open_source(source.root, home=tmp_path)
    assert list(again.entries()) == list(source.entries())


def test_options_of_a_list_are_refused_for_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--under and --key"):
        open_source(str(tmp_path), home=tmp_path, key="IMAGE_FILE")


def test_equal_bytes_have_equal_fingerprints_wherever_they_are(tmp_path: Path) -> None:
    data = saved(scene((600, 500)), "BMP")  # larger than what is hashed in one piece
    put(tmp_path, "a.bmp", "d/b.bmp", data=data)
    entries, _ = listing(tmp_path)
    assert {entry.fingerprint for entry in entries if isinstance(entry, Image)} == {
        f"md5:{hashlib.md5(data).hexdigest()}"
    }


def test_a_name_that_is_nearly_there_is_answered_with_the_one_that_is(tmp_path) -> None:
    (tmp_path / "Pictures").mkdir()
    with pytest.raises(SourceError, match=f"pictures', but there is '{tmp_path}/Pictures'; check the path"):
        found_here(str(tmp_path / "pictures"))
    with pytest.raises(SourceError, match="other/pictures'; check the path"):
        found_here(str(tmp_path / "other" / "pictures"))


def test_a_picture_is_no_list_of_names(tmp_path) -> None:
    (tmp_path / "a.JPG").write_bytes(photo())
    with pytest.raises(SourceError, match=f"a.JPG' is a picture, .* give its folder '{tmp_path}'; pinakes search"):
        found_here(str(tmp_path / "a.JPG"))
