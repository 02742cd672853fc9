"""Pictures and checkpoints in S3 and Azure Blob Storage: what their contracts do not show."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as boto

from pinakes.buckets.addresses import ObjectAddress, removing
from pinakes.buckets.base import glob_matcher, once
from pinakes.buckets.opening import open_bucket
from pinakes.buckets.s3 import S3Bucket
from pinakes.checkpoints import open_checkpoint
from pinakes.checkpoints.bucket import BucketStorage
from pinakes.errors import CheckpointError, SourceError, UsageError
from pinakes.settings import load_settings
from pinakes.sources.bucket import BucketSource
from pinakes.sources.reading import read_uri
from pinakes.sources.thumbnails import Thumbnails
from pinakes.types import Entry, Image, Skipped
from tests.fakes.line import Line
from tests.object_stores import ACCOUNT, KEY, AzureStore, S3Store, Store
from tests.pictures import photo
from tests.unit.test_checkpoints import SPACE, bits, ok, stored

RED = photo()
BELOW = "art/space"


@pytest.fixture(params=["s3", "azurite"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Store:
    found: Store = request.getfixturevalue(request.param)
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    found.bucket("kept")
    return found


def ids(source: BucketSource) -> list[str]:
    return [entry.image_id for entry in source.entries() if isinstance(entry, Image)]


def through(store: Store, line: Line) -> dict[str, str]:
    """The environment in which a store is reached over a line."""
    return {name: value.replace(store.url, line.url) for name, value in store.environment.items()}


# --- Pictures


def test_a_glob_picks_names_and_limits_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinakes.buckets.base.PAGE", 2)
    for name in ("1/0.jpg", "1/1.jpg", "22/0.jpg", "22/a/0.png"):
        store.put("kept", name, RED)
    assert ids(BucketSource(store.root("kept"), glob="*/0.jpg")) == ["1/0.jpg", "22/0.jpg"]
    assert ids(BucketSource(f"{store.root('kept')}/22*", glob="**/0.{jpg,png}")) == ["22/0.jpg", "22/a/0.png"]
    assert ids(BucketSource(store.root("kept"), limit=3)) == ["1/0.jpg", "1/1.jpg", "22/0.jpg"]


def test_azure_lists_content_types_and_s3_says_that_it_does_not(
    azurite: AzureStore, s3: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (azurite.environment | s3.environment).items():
        monkeypatch.setenv(name, value)
    for store in (azurite, s3):
        store.bucket("typed")
        store.put("typed", "a.jpg", RED)
        store.put("typed", "notes.jpg", b"to do", "text/plain")
    entries: list[Entry] = list(BucketSource(azurite.root("typed")).entries())
    assert [entry.content_type for entry in entries if isinstance(entry, Image)] == ["image/jpeg"]
    assert [entry.reason for entry in entries if isinstance(entry, Skipped)] == [
        "not an image by its content type (text/plain)"
    ]
    assert ids(BucketSource(azurite.root("typed"), content_type="text/*")) == ["notes.jpg"]
    assert ids(BucketSource("s3://typed")) == ["a.jpg", "notes.jpg"]
    with pytest.raises(UsageError, match="S3 lists no content types; use --glob"):
        BucketSource("s3://typed", content_type="image/*")


def test_what_was_uploaded_in_pieces_has_a_fingerprint_of_its_etag_and_is_read(
    azurite: AzureStore, s3: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (azurite.environment | s3.environment).items():
        monkeypatch.setenv(name, value)
    azurite.bucket("pieces")
    blob = azurite.client.get_blob_client("pieces", "a.jpg")
    blob.stage_block("1", RED)
    blob.commit_block_list(["1"])
    s3.bucket("pieces")
    upload: dict[str, Any] = {"Bucket": "pieces", "Key": "a.jpg"}
    upload["UploadId"] = s3.client.create_multipart_upload(**upload)["UploadId"]
    etag = s3.client.upload_part(**upload, PartNumber=1, Body=RED)["ETag"]
    s3.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"ETag": etag, "PartNumber": 1}]})
    for root in (azurite.root("pieces"), s3.root("pieces")):
        source = BucketSource(root)
        (image,) = source.entries()
        assert isinstance(image, Image)
        assert image.fingerprint.startswith("etag:")
        assert image.fingerprint.endswith(f":{len(RED)}")
        assert source.read(image) == RED


def test_a_bucket_that_does_not_exist_is_said_so(store: Store) -> None:
    with pytest.raises(SourceError, match=r"nowhere cannot be listed: .*check its name"):
        ids(BucketSource(store.root("nowhere")))


@pytest.mark.parametrize(
    "address", ["s3://", "s3://UPPER/a", "az://account", "az://a/b", "az://account/-x", "az://ACC/con"]
)
def test_what_names_no_bucket_is_refused_with_what_to_write(address: str) -> None:
    with pytest.raises(UsageError, match=r"(s3://bucket|az://account/container)/folder"):
        BucketSource(address)
    with pytest.raises(UsageError, match=r"(s3://bucket|az://account/container)/folder"):
        open_checkpoint(address, "art", SPACE)


def test_a_project_that_pays_belongs_to_google() -> None:
    with pytest.raises(UsageError, match="--user-project belongs to Google Cloud Storage"):
        BucketSource("s3://bucket", user_project="payer")


@pytest.mark.parametrize("glob", ["a[!0-9].jpg", "a[b-d].jpg", "{a,a,ab}.jpg", "a?.jpg", "**b.jpg"])
def test_globs_mean_what_they_mean_to_google(glob: str) -> None:
    assert glob_matcher(glob)("ab.jpg")
    assert not glob_matcher(glob)("a1.png")


@pytest.mark.parametrize("glob", ["[z-a].jpg", "[!].jpg"])
def test_what_is_no_glob_is_said_so(glob: str) -> None:
    with pytest.raises(UsageError, match=r"--glob '.*' is not a pattern \(.*\); check its brackets"):
        glob_matcher(glob)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (boto.EndpointConnectionError(endpoint_url="https://s3"), "did not answer .*; check the network"),
        (boto.ConnectTimeoutError(endpoint_url="https://s3"), "did not answer .*; check the network"),
        (boto.SSLError(endpoint_url="https://s3", error="expired"), "did not answer .*; check the network"),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), "did not answer .*; check the network"),
        (boto.FlexibleChecksumError(error_msg="differs"), "do not match their checksum; try again"),
        (boto.ProfileNotFound(profile="mine"), "profile .* set AWS_ACCESS_KEY_ID"),
    ],
)
def test_s3_says_whether_the_network_or_the_login_failed(error: Exception, why: str) -> None:
    with (
        pytest.raises(SourceError, match=rf"it cannot be read: .*{why}"),
        S3Bucket("s3://bucket").errors("it cannot be read"),
    ):
        raise error


# --- Clients


def test_threads_that_begin_at_once_share_one_client() -> None:
    opened: list[object] = []
    begin = threading.Barrier(8)

    def open_client() -> object:
        opened.append(object())
        threading.Event().wait(0.05)  # so that others would begin before it is there
        return opened[-1]

    client = once(open_client)

    def ask(_: int) -> object:
        begin.wait()
        return client()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {opened[0]}
    assert len(opened) == 1


def test_a_client_that_could_not_be_opened_is_opened_by_the_next_request(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("kept", "a.jpg", RED)
    bucket = open_bucket(store.root("kept"))
    with monkeypatch.context() as patched:
        patched.setenv("AWS_PROFILE", "nobody")
        patched.setenv("AZURE_STORAGE_CONNECTION_STRING", "nonsense")
        with pytest.raises((SourceError, UsageError)), bucket.errors("it cannot be read"):
            bucket.read("a.jpg")
    assert bucket.read("a.jpg") == RED


# --- Credentials


def test_a_public_container_is_read_without_credentials_and_a_private_one_is_not(
    azurite: AzureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_BLOB_ENDPOINT", f"{azurite.url}/{ACCOUNT}")
    for name, public in (("open", True), ("private", False)):
        azurite.bucket(name, public=public)
        azurite.put(name, "a.jpg", RED)
    assert ids(BucketSource(azurite.root("open"), anonymous=True)) == ["a.jpg"]
    with pytest.raises(SourceError, match="private cannot be listed"):
        ids(BucketSource(azurite.root("private"), anonymous=True))


def test_a_signature_gives_the_rights_that_it_names_and_is_never_shown(
    azurite: AzureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    azurite.bucket("shared")
    azurite.put("shared", "a.jpg", RED)
    token = generate_container_sas(
        ACCOUNT,
        "shared",
        account_key=KEY,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    monkeypatch.setenv("AZURE_STORAGE_BLOB_ENDPOINT", f"{azurite.url}/{ACCOUNT}")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", token)
    source = BucketSource(azurite.root("shared"))
    (image,) = source.entries()
    assert isinstance(image, Image)
    assert source.read(image) == RED
    with pytest.raises(CheckpointError, match="Storage Blob Data Contributor") as refused:
        open_checkpoint(azurite.root("shared"), "art", SPACE).write([ok(1)])
    assert token.partition("sig=")[2][:12] not in str(refused.value)


@pytest.mark.parametrize(
    "lines",
    [
        f"AZURE_STORAGE_ACCOUNT={ACCOUNT}\nAZURE_STORAGE_KEY={KEY}",
        f"BLOB_ACCOUNT_NAME={ACCOUNT}\nBLOB_ACCOUNT_KEY={KEY}",  # the names in the Azure tutorial's .env
    ],
)
def test_the_key_of_an_account_is_read_from_the_settings_file(
    azurite: AzureStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: str
) -> None:
    azurite.bucket("keyed")
    azurite.put("keyed", "a.jpg", RED)
    for name in ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "BLOB_ACCOUNT_NAME", "BLOB_ACCOUNT_KEY"):
        monkeypatch.setenv(name, "")  # so that they are taken away again at the end
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_STORAGE_BLOB_ENDPOINT", f"{azurite.url}/{ACCOUNT}")
    (tmp_path / ".env").write_text(lines)
    load_settings(directory=tmp_path)
    assert ids(BucketSource(azurite.root("keyed"))) == ["a.jpg"]


def test_a_connection_string_of_another_account_is_refused(
    azurite: AzureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in azurite.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"is of the account '{ACCOUNT}', and az://another/pics is in 'another'"):
        ids(BucketSource("az://another/pics"))
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"AccountKey={KEY}")
    with pytest.raises(UsageError, match="cannot be read") as refused:
        ids(BucketSource("az://another/pics"))
    assert KEY not in str(refused.value)


def test_without_a_key_it_is_said_which_credentials_there_could_be(
    azurite: AzureStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_BLOB_ENDPOINT", f"{azurite.url}/{ACCOUNT}")
    monkeypatch.setenv("HOME", str(tmp_path))  # where nobody has logged in
    for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_SAS_TOKEN", "BLOB_ACCOUNT_KEY", "AZURE_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    fix = "set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or run az login"
    with pytest.raises(SourceError, match=rf"the Azure credentials fail \(.*\); {fix}, or read"):
        ids(BucketSource(azurite.root("kept")))
    monkeypatch.setenv("AZURE_STORAGE_KEY", "not base64")
    with pytest.raises(SourceError, match=fix) as refused:
        ids(BucketSource(azurite.root("kept")))
    assert "not base64" not in str(refused.value)


@pytest.mark.parametrize(("root", "package"), [("s3://bucket", "s3"), ("az://account/container", "azure")])
def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, root: str, package: str) -> None:
    for module in ("boto3", "botocore", "azure.storage.blob", "azure.core", "azure.core.exceptions"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"pip install -e '\.\[{package}\]'"):
        ids(BucketSource(root))


def test_bytes_that_break_off_are_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(256)) * 400
    store.put("kept", "a.bin", data)
    with Line(store.url, cut=2) as line:
        for name, value in through(store, line).items():
            monkeypatch.setenv(name, value)
        bucket = open_bucket(store.root("kept"))
        with bucket.errors("it cannot be read"):
            assert bucket.read("a.bin") == data


def test_bytes_that_are_not_those_of_their_checksum_are_refused(s3: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Spoiling(Line):
        def _answer(self, client: socket.socket, server: socket.socket) -> None:
            with suppress(OSError):  # the line ends while it still reads
                while data := server.recv(65536):
                    client.sendall(data.replace(b"a picture", b"A PICTURE"))

    s3.bucket("kept")
    s3.put("kept", "a.jpg", b"a picture")
    with Spoiling(s3.url) as line:
        for name, value in through(s3, line).items():
            monkeypatch.setenv(name, value)
        bucket = open_bucket(s3.root("kept"))
        with pytest.raises(SourceError, match="do not match their checksum"), bucket.errors("it cannot be read"):
            bucket.read("a.jpg")


def test_an_object_without_a_byte_is_shown_as_empty(store: Store, tmp_path: Path) -> None:
    store.put("kept", "a.jpg", b"")
    uri = f"{store.root('kept')}/a.jpg"
    assert read_uri(uri) == b""
    assert Thumbnails(tmp_path).of("md5:00", uri, 320).placeholder == "empty"


def test_a_range_behind_the_last_byte_is_refused(store: Store) -> None:
    store.put("kept", "a.bin", b"abc")
    bucket = open_bucket(store.root("kept"))
    assert bucket.read("a.bin", start=1, end=9) == b"bc"
    with pytest.raises(SourceError, match="the service answered 416"), bucket.errors("it cannot be read"):
        bucket.read("a.bin", start=8, end=9)


# --- Checkpoints


def test_another_object_of_the_name_is_never_overwritten(store: Store) -> None:
    storage = BucketStorage(store.root("kept"), BELOW)
    store.put("kept", f"{BELOW}/part-1.parquet", b"theirs")
    for content in (b"ours!!", b"longer than theirs"):
        with pytest.raises(CheckpointError, match=r"part-1\.parquet cannot be written .* another object of that name"):
            storage.write("part-1.parquet", lambda sink, content=content: sink.write(content))  # type: ignore[misc]
    assert store.objects("kept") == {f"{BELOW}/part-1.parquet": b"theirs"}


def test_an_upload_whose_answer_was_lost_is_recognised(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with Line(store.url, lose=1) as line:
        for name, value in through(store, line).items():
            monkeypatch.setenv(name, value)
        checkpoint = open_checkpoint(store.root("kept"), "art", SPACE)
        checkpoint.write([ok(1)])
        assert stored(checkpoint) == bits([ok(1)])
    assert len(store.objects("kept")) == 1


UPLOAD = """
import sys
from pinakes.checkpoints.bucket import BucketStorage
BucketStorage(sys.argv[1], "art/space").write("part-1.parquet", lambda sink: sink.write(bytes(int(sys.argv[2]))))
"""


@pytest.mark.parametrize("megabytes", [8, 68])
def test_a_process_that_is_killed_while_it_uploads_leaves_no_half_part(store: Store, megabytes: int) -> None:
    """8 MB are one request everywhere; of 68 MB Azure's client uploads blocks."""
    if megabytes == 68 and isinstance(store, S3Store):
        megabytes = 5  # one request too; nothing is uploaded in parts
    size = megabytes << 20
    with Line(store.url, stall_after=size // 2) as line:
        process = subprocess.Popen(
            [sys.executable, "-c", UPLOAD, store.root("kept"), str(size)], env=os.environ | through(store, line)
        )
        assert line.stalled.wait(120)
        process.kill()
        process.wait()
    storage = BucketStorage(store.root("kept"), BELOW)
    assert storage.names() == set()
    assert store.objects("kept") == {}
    storage.write("part-1.parquet", lambda sink: sink.write(bytes(size)))
    assert storage.names() == {"part-1.parquet"}
    assert storage.open("part-1.parquet").size() == size


@pytest.mark.parametrize(
    ("location", "command"),
    [
        (ObjectAddress("gs://bucket", "a folder/art").uri, "gcloud storage rm --recursive 'gs://bucket/a folder/art'"),
        (ObjectAddress("s3://bucket", "50%/Gemälde/art").uri, "aws s3 rm --recursive 's3://bucket/50%/Gemälde/art'"),
        ("s3://bucket/kept/art", "aws s3 rm --recursive s3://bucket/kept/art"),
        (
            "az://account/container/kept/art",
            "az storage blob delete-batch --account-name account --source container --pattern 'kept/art/*'",
        ),
    ],
)
def test_the_command_that_deletes_a_checkpoint_is_the_services_own(location: str, command: str) -> None:
    assert removing(location) == command
