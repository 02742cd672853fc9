"""The source of pictures in a bucket, against a strict fake of the API and against gcp-storage-emulator."""

from __future__ import annotations

import hashlib
import http.server
import socket
import tracemalloc
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pinakes.buckets.addresses import parse_uri
from pinakes.buckets.gcs import FIELDS
from pinakes.errors import SourceError, UsageError
from pinakes.sources.bucket import BucketSource
from pinakes.sources.fingerprints import ChangedError
from pinakes.sources.kinds import open_source
from pinakes.sources.reading import read_uri
from pinakes.sources.thumbnails import Thumbnails
from pinakes.types import Entry, ErrorClass, Image, Rejected, Skipped
from tests.fakes.faults import Fault, Faults, Kind
from tests.fakes.gcs import GcsFake
from tests.pictures import photo

RED = photo()
NFC, NFD = "caf\u00e9.jpg", "cafe\u0301.jpg"
ANGSTROM = "\u212b.jpg"  # a compatible character: it sorts behind the Å that it is


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsFake]:
    with GcsFake() as started:
        for name, value in started.environment.items():
            monkeypatch.setenv(name, value)
        yield started


def put(gcs: GcsFake, *names: str, bucket: str = "pics", data: bytes = RED, **options: Any) -> None:
    for name in names:
        gcs.put(bucket, name, data, **options)


def listed(address: str, **options: Any) -> list[Entry]:
    return list(BucketSource(address, **options).entries())


def ids(entries: list[Entry]) -> list[str]:
    return [entry.image_id for entry in entries if isinstance(entry, Image)]


def skipped(entries: list[Entry]) -> dict[str, str]:
    return {entry.name: entry.reason for entry in entries if isinstance(entry, Skipped)}


# --- What is listed


def test_a_listing_gives_fingerprints_and_downloads_nothing(gcs: GcsFake) -> None:
    generation = gcs.put("pics", "met/a b/ü#1.jpg", RED)
    source = BucketSource("gs://pics/met")
    (image,) = source.entries()
    assert source.root == "gs://pics/met/"
    assert image == Image(
        "a b/ü#1.jpg",
        f"gs://pics/met/a%20b/%C3%BC%231.jpg#{generation}",
        f"md5:{hashlib.md5(RED).hexdigest()}",
        len(RED),
        "image/jpeg",
    )
    assert gcs.counts["downloads"] == 0
    assert gcs.seen == [{"projection": "noAcl", "prefix": "met/", "fields": FIELDS, "prettyPrint": "false"}]


def test_a_composite_object_has_a_crc32c_and_a_size(gcs: GcsFake) -> None:
    gcs.put("pics", "a.jpg", RED, composite=True)
    (image,) = listed("gs://pics")
    assert isinstance(image, Image)
    kind, checksum, size = image.fingerprint.split(":")
    assert (kind, len(checksum), int(size)) == ("crc32c", 8, len(RED))


def test_every_page_is_listed_once_and_in_order(gcs: GcsFake) -> None:
    gcs.page = 7
    names = sorted(f"{n % 10}/{n:03}.jpg" for n in range(100))
    put(gcs, *names)
    assert ids(listed("gs://pics")) == names
    assert gcs.counts["lists"] == 15


@pytest.mark.parametrize(
    ("address", "root", "found"),
    [
        ("gs://pics", "gs://pics/", ["paint.jpg", "paint/1.jpg", "paint/x/2.jpg", "paintings/3.jpg"]),
        ("gs://pics/", "gs://pics/", ["paint.jpg", "paint/1.jpg", "paint/x/2.jpg", "paintings/3.jpg"]),
        ("gs://pics/paint", "gs://pics/paint/", ["1.jpg", "x/2.jpg"]),
        ("gs://pics/paint/", "gs://pics/paint/", ["1.jpg", "x/2.jpg"]),
        ("gs://pics/paint*", "gs://pics/", ["paint.jpg", "paint/1.jpg", "paint/x/2.jpg", "paintings/3.jpg"]),
        ("gs://pics/paint/x/2*", "gs://pics/paint/x/", ["2.jpg"]),
    ],
)
def test_a_prefix_is_a_folder_unless_a_star_ends_it(
    gcs: GcsFake, tmp_path: Path, address: str, root: str, found: list[str]
) -> None:
    put(gcs, "paint.jpg", "paint/1.jpg", "paint/x/2.jpg", "paintings/3.jpg", "other/4.jpg")
    source = open_source(address, home=tmp_path)
    expected = [*(["other/4.jpg"] if address in {"gs://pics", "gs://pics/"} else []), *found]
    assert ids(list(source.entries())) == expected
    assert source.root == root


def test_the_root_of_a_source_opens_the_same_source_again(gcs: GcsFake, tmp_path: Path) -> None:
    put(gcs, "50% off/ü #1/a.jpg")
    source = open_source("gs://pics/50% off/ü #1", home=tmp_path)
    again = open_source(source.root, home=tmp_path)
    assert again.root == source.root
    assert list(again.entries()) == list(source.entries()) != []


def test_a_glob_is_applied_by_the_bucket(gcs: GcsFake) -> None:
    put(gcs, "1/0.jpg", "1/1.jpg", "22/0.jpg", "22/a/0.png")
    assert ids(listed("gs://pics", glob="*/0.jpg")) == ["1/0.jpg", "22/0.jpg"]
    assert ids(listed("gs://pics", glob="**/0.{jpg,png}")) == ["1/0.jpg", "22/0.jpg", "22/a/0.png"]
    assert gcs.seen[0]["matchGlob"] == "*/0.jpg"


def test_what_is_no_image_is_skipped_with_its_reason(gcs: GcsFake) -> None:
    put(gcs, "a.jpg")
    put(gcs, "folder/", "h_$folder$", data=b"", content_type="application/x-directory")
    put(gcs, ".hidden/b.jpg", "x/.c.jpg", "__MACOSX/d.jpg")
    put(gcs, "notes.csv", content_type="text/csv")
    put(gcs, "plan.svg", content_type="image/svg+xml")
    put(gcs, "untyped.jpg", "untyped.txt", "untyped", content_type=None)
    entries = listed("gs://pics")
    assert ids(entries) == ["a.jpg", "untyped.jpg"]
    reasons = skipped(entries)
    assert reasons["folder/"] == reasons["h_$folder$"] == "the placeholder of a folder"
    assert reasons[".hidden/b.jpg"] == reasons["x/.c.jpg"] == "hidden (its name begins with a dot)"
    assert "__MACOSX" in reasons["__MACOSX/d.jpg"]
    assert reasons["notes.csv"] == "not an image by its content type (text/csv)"
    assert reasons["plan.svg"] == "not an image by its content type (image/svg+xml)"
    assert reasons["untyped.txt"] == "not an image by its name (.txt)"
    assert len(entries) == 11


def test_a_content_type_that_is_asked_for_decides_alone(gcs: GcsFake) -> None:
    put(gcs, "a.jpg", "b.bin")
    put(gcs, "c.png", content_type="image/png")
    entries = listed("gs://pics", content_type="image/jpeg")
    assert ids(entries) == ["a.jpg", "b.bin"]
    assert skipped(entries) == {"c.png": "its content type is image/png, not image/jpeg"}


def test_a_limit_ends_the_listing_and_says_so(gcs: GcsFake) -> None:
    gcs.page = 2
    put(gcs, "a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg")
    source = BucketSource("gs://pics", limit=3)
    assert ids(list(source.entries())) == ["a.jpg", "b.jpg", "c.jpg"]
    assert source.problems == ["the listing stopped at its limit of 3; there are more images"]
    assert gcs.counts["lists"] == 2
    assert BucketSource("gs://pics", limit=6).problems == []


# --- Names


def test_a_name_in_another_spelling_becomes_its_nfc_id_and_can_be_read(gcs: GcsFake) -> None:
    put(gcs, NFD)
    source = BucketSource("gs://pics")
    (image,) = source.entries()
    assert isinstance(image, Image)
    assert image.image_id == NFC
    assert parse_uri(image.uri).name == NFD
    assert source.read(image) == RED


@pytest.mark.parametrize(
    ("names", "good"),
    [
        ([NFC, NFD], [NFC]),
        ([unicodedata.normalize("NFC", ANGSTROM), ANGSTROM], ["\u00c5.jpg"]),
        (["A\u030a.jpg", ANGSTROM], []),
        (["A\u030a.jpg", "\u00c5.jpg", ANGSTROM], ["\u00c5.jpg"]),
    ],
)
def test_of_names_that_are_one_text_only_the_nfc_one_is_listed_and_the_others_fail_by_name(
    gcs: GcsFake, names: list[str], good: list[str]
) -> None:
    put(gcs, *names, "z.jpg")
    entries = listed("gs://pics")
    assert ids(entries) == sorted([*good, "z.jpg"])
    rejected = [entry for entry in entries if isinstance(entry, Rejected)]
    assert {entry.failure.error_class for entry in rejected} == {ErrorClass.NAME_COLLISION}
    named = [getattr(entry, "image_id", "") for entry in entries]
    assert len(set(named)) == len(names) + 1
    assert {parse_uri(entry.uri).name for entry in rejected} == set(names) - set(good)


def test_an_id_that_is_too_long_fails_by_name(gcs: GcsFake) -> None:
    put(gcs, "\u0958" * 200 + "/" + "\u0958" * 200 + ".jpg", "a.jpg")  # NFC makes each of these two characters
    entries = listed("gs://pics")
    assert ids(entries) == ["a.jpg"]
    (bad,) = (entry for entry in entries if isinstance(entry, Rejected))
    assert bad.failure.error_class is ErrorClass.BAD_NAME
    assert len(bad.image_id.encode()) <= 1024


def test_memory_does_not_grow_with_the_listing(gcs: GcsFake) -> None:
    names = [f"{n:06}/\u00e9.jpg" for n in range(4000)]
    put(gcs, *names, data=b"x")
    del names
    source = BucketSource("gs://pics")
    entries = source.entries()
    for _ in range(1000):
        next(entries)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    count = sum(1 for _ in entries)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 3000
    assert after - before < 1_000_000


# --- Reading


def test_an_object_that_was_overwritten_is_not_read(gcs: GcsFake) -> None:
    put(gcs, "a.jpg")
    source = BucketSource("gs://pics")
    (image,) = source.entries()
    assert isinstance(image, Image)
    assert source.read(image) == RED
    put(gcs, "a.jpg")  # even the same bytes: the generation is another
    with pytest.raises(ChangedError, match=r"'a\.jpg' changed since it was listed"):
        source.read(image)
    gcs.delete("pics", "a.jpg")
    with pytest.raises(SourceError, match="there is no such object"):
        source.read(image)


@pytest.mark.parametrize("uri", ["file:///a.jpg", "gs://other/p/a.jpg", "gs://pics/q/a.jpg", "gs://pics"])
def test_an_image_of_another_source_is_not_read(gcs: GcsFake, uri: str) -> None:
    with pytest.raises(SourceError, match="is not part of the source gs://pics/p/"):
        BucketSource("gs://pics/p").read(Image("a.jpg", uri, "md5:0", 1))


@pytest.mark.parametrize("kind", [Kind.ERROR, Kind.RESET, Kind.TRUNCATED])
def test_a_fault_in_passing_is_repeated_by_the_library(gcs: GcsFake, kind: Kind) -> None:
    put(gcs, "a.jpg", data=photo(size=(900, 900)))
    gcs.faults = Faults(script=[Fault(kind, charged=False)])
    source = BucketSource("gs://pics")
    (image,) = source.entries()
    assert isinstance(image, Image)
    gcs.faults = Faults(script=[Fault(kind, charged=False)])
    assert hashlib.md5(source.read(image)).hexdigest() == image.fingerprint.removeprefix("md5:")


def test_a_stored_picture_is_shown_whatever_its_generation(gcs: GcsFake) -> None:
    put(gcs, "a b.jpg")
    assert read_uri("gs://pics/a%20b.jpg#1") == RED
    with pytest.raises(SourceError, match="no such object"):
        read_uri("gs://pics/gone.jpg")
    with pytest.raises(SourceError, match="not the address of an object"):
        read_uri("gs://pics")


def test_an_object_without_a_byte_is_shown_as_empty(gcs: GcsFake, tmp_path: Path) -> None:
    put(gcs, "a.jpg", data=b"")
    assert read_uri("gs://pics/a.jpg") == b""
    assert Thumbnails(tmp_path).of("md5:00", "gs://pics/a.jpg", 320).placeholder == "empty"


# --- What goes wrong


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        ({"readable": False}, "--anonymous"),
        ({"public": False}, "gcloud auth application-default login"),
        ({"requester_pays": True}, "--user-project"),
    ],
)
def test_a_bucket_that_may_not_be_listed_says_what_fixes_it(gcs: GcsFake, options: dict[str, bool], fix: str) -> None:
    put(gcs, "a.jpg")
    gcs.bucket("pics", **options)
    with pytest.raises(SourceError, match=fix):
        listed("gs://pics")


def test_the_project_that_pays_is_named_in_every_request(gcs: GcsFake) -> None:
    put(gcs, "a.jpg")
    gcs.bucket("pics", requester_pays=True)
    source = BucketSource("gs://pics", user_project="payer")
    (image,) = source.entries()
    assert isinstance(image, Image)
    assert source.read(image) == RED
    assert gcs.seen[0]["userProject"] == "payer"


def test_a_bucket_that_does_not_exist_is_said_so(gcs: GcsFake) -> None:
    with pytest.raises(SourceError, match="bucket does not exist"):
        listed("gs://no-such-bucket")


def test_an_empty_folder_is_said_so(gcs: GcsFake) -> None:
    put(gcs, "paintings/a.jpg")
    with pytest.raises(SourceError, match=r"gs://pics/paint\* for names that begin with it"):
        listed("gs://pics/paint")
    with pytest.raises(SourceError, match="no picture was found"):
        listed("gs://pics", content_type="image/png")


@pytest.mark.parametrize("address", ["gs://", "gs:///a", "gs://UPPER/a", "gs://a b/c", "gs://-x/"])
def test_what_is_no_bucket_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match=r"gs://bucket"):
        BucketSource(address)


def test_a_credentials_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read without it, a private bucket would seem to be refused for another reason."""
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    with pytest.raises(SourceError, match=r"\(File /nowhere\.json was not found\); run gcloud"):
        list(BucketSource("gs://bucket").entries())


def test_options_without_meaning_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--user-project belong to a bucket"):
        open_source(str(tmp_path), home=tmp_path, glob="*")
    with pytest.raises(UsageError, match="--under and --key belong to a list"):
        open_source("gs://bucket", home=tmp_path, key="IMAGE_FILE")
    with pytest.raises(UsageError, match="--anonymous"):
        BucketSource("gs://bucket", anonymous=True, user_project="p")


# --- Another implementation of the same API


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """gcp-storage-emulator, with threads, and without writing its state at each change."""
    pytest.importorskip("gcp_storage_emulator")
    monkeypatch.setattr(http.server, "HTTPServer", http.server.ThreadingHTTPServer)
    from gcp_storage_emulator.server import create_server
    from gcp_storage_emulator.storage import Storage
    from google.cloud.storage import Client

    monkeypatch.setattr(Storage, "_write_config_to_file", lambda self: None)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="pics")
    server.start()
    try:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        yield Client(project="test").bucket("pics")
    finally:
        server.stop()


def test_the_emulator_lists_and_reads_the_same(emulator: Any) -> None:
    for name in ("met/1/0.jpg", "met/1/1.jpg", "met/2/ü 0.jpg", "other.jpg"):
        emulator.blob(name).upload_from_string(RED, content_type="image/jpeg")
    source = BucketSource("gs://pics/met", glob="met/*/*0.jpg")
    images = [entry for entry in source.entries() if isinstance(entry, Image)]
    assert [image.image_id for image in images] == ["1/0.jpg", "2/ü 0.jpg"]
    assert {image.fingerprint for image in images} == {f"md5:{hashlib.md5(RED).hexdigest()}"}
    assert [source.read(image) for image in images] == [RED, RED]
