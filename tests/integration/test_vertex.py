"""Vertex AI's embedder against a gRPC server that is as strict as the documents."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest
from google.api_core import exceptions as api

from pinakes.buckets.addresses import ObjectAddress, parse_uri
from pinakes.embedders.base import Picture
from pinakes.embedders.remote.client import Remote
from pinakes.embedders.remote.provider import CallError, CredentialsRefusedError, Prepared, Unpaced
from pinakes.embedders.remote.vertex import VertexMultimodal, from_settings
from pinakes.embedders.remote.vertex_declaration import MULTIMODAL
from pinakes.embedders.remote.vertex_errors import embedder_error
from pinakes.errors import EmbedderError, SettingsError, UsageError
from pinakes.sources.bucket import BucketSource
from pinakes.types import ErrorClass, Failure, Image
from tests.fakes import picture_vector, text_vector
from tests.fakes.faults import Fault, Faults, Kind
from tests.fakes.gcs import GcsFake
from tests.fakes.quota import Quota
from tests.fakes.vertex import VertexFake
from tests.pictures import photo
from tests.trials import opened
from tests.waiting import PATIENCE

RED, GREEN = photo((200, 30, 30)), photo((30, 200, 30), kind="PNG")
SECONDS = PATIENCE


@pytest.fixture
def fake() -> Iterator[VertexFake]:
    with VertexFake() as started:
        yield started


@pytest.fixture
def vertex(fake: VertexFake) -> Iterator[VertexMultimodal]:
    embedder = from_settings(fake.environment)
    yield embedder
    embedder.close()


def failed(embedder: VertexMultimodal, picture: Prepared | None = None) -> CallError:
    with pytest.raises(CallError) as raised:
        embedder.image(picture or Prepared(RED, "image/jpeg"), timeout=SECONDS)
    return raised.value


# --- What it answers


@pytest.mark.parametrize("dimension", MULTIMODAL.dimensions)
def test_a_picture_comes_back_as_the_vector_that_was_sent(fake: VertexFake, dimension: int) -> None:
    embedder = from_settings(fake.environment, dimension=dimension)
    vector, version = embedder.image(Prepared(RED, "image/jpeg"), timeout=SECONDS)
    embedder.close()
    assert vector.dtype == np.float32
    assert vector.shape == (dimension,)
    np.testing.assert_allclose(vector, 0.9 * picture_vector(RED, dimension), rtol=1e-6)
    assert version == embedder.facts.space.version == "001"
    assert embedder.facts.space.name == f"vertex_multimodalembedding_001_{dimension}_v1"


def test_a_text_comes_back_as_a_vector_of_the_same_space(fake: VertexFake, vertex: VertexMultimodal) -> None:
    vector, _ = vertex.text("a red picture", timeout=SECONDS)
    np.testing.assert_allclose(vector, 0.9 * text_vector("a red picture", 1408), rtol=1e-6)
    assert fake.calls == {"text:a red picture": 1}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
def test_every_format_that_is_promised_is_accepted(vertex: VertexMultimodal, kind: str) -> None:
    assert kind in (vertex.facts.limits.formats or ())
    vector, _ = vertex.image(Prepared(photo(kind=kind), f"image/{kind.lower()}"), timeout=SECONDS)
    assert vector.shape == (1408,)


def test_each_call_is_one_request_and_threads_share_the_connection(fake: VertexFake, vertex: VertexMultimodal) -> None:
    pictures = [photo((n, 2 * n, 100)) for n in range(1, 41)]
    with ThreadPoolExecutor(8) as pool:
        vectors = list(pool.map(lambda data: vertex.image(Prepared(data, "image/jpeg"), timeout=SECONDS)[0], pictures))
    for data, vector in zip(pictures, vectors, strict=True):
        np.testing.assert_allclose(vector, 0.9 * picture_vector(data, 1408), rtol=1e-6)
    assert fake.counts["requests"] == fake.counts["delivered"] == 40
    assert set(fake.calls.values()) == {1}


def test_after_close_the_next_request_opens_another_connection(vertex: VertexMultimodal) -> None:
    vertex.image(Prepared(RED, "image/jpeg"), timeout=SECONDS)
    vertex.close()
    vertex.close()
    assert vertex.image(Prepared(RED, "image/jpeg"), timeout=SECONDS)[0].shape == (1408,)


def test_the_model_version_of_an_answer_is_passed_on() -> None:
    with VertexFake(model_version="2") as fake:
        embedder = from_settings(fake.environment)
        assert embedder.text("a", timeout=SECONDS)[1] == "002"
        embedder.close()


# --- Pictures that Vertex AI reads itself


def test_a_picture_in_a_bucket_is_named_and_not_sent() -> None:
    with GcsFake() as gcs, VertexFake(objects=gcs.fetch) as fake:
        embedder = from_settings(fake.environment)
        gcs.put("b", "a ü/50%.jpg", RED)
        uri = ObjectAddress("gs://b", "a ü/50%.jpg", "123").uri
        assert embedder.reads_itself(uri)
        vector, _ = embedder.image(Prepared(None, "image/jpeg", uri), timeout=SECONDS)
        np.testing.assert_allclose(vector, 0.9 * picture_vector(RED, 1408), rtol=1e-6)
        assert fake.calls == {"gs://b/a ü/50%.jpg": 1}
        embedder.close()


def test_a_bucket_is_embedded_without_a_byte_passing_through_here(monkeypatch: pytest.MonkeyPatch) -> None:
    with GcsFake() as gcs, VertexFake(objects=gcs.fetch) as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        for number in range(12):
            gcs.put("bkt", f"pics/{number} ü.jpg", photo((number, 20, 20)))
        gcs.put("bkt", "pics/#1.jpg", RED)  # in a gcsUri that looks like a generation
        gcs.put("bkt", "pics/y.jpg", photo((9, 9, 200), kind="WEBP"))  # which the listing calls a JPEG
        gcs.put("bkt", "pics/x.webp", photo(kind="WEBP"), content_type="image/webp")  # not a format of the model's
        source = BucketSource("gs://bkt/pics")
        images = [entry for entry in source.entries() if isinstance(entry, Image)]
        embedder = Remote(from_settings(fake.environment, dimension=128), Unpaced(), backoff=0.0)
        batch = [Picture(image, lambda image=image: source.read(image)) for image in images]
        results = dict(embedder.embed_images(batch))
        embedder.close()
        assert len(results) == 15
        assert not [result for result in results.values() if isinstance(result, Failure)]
        assert gcs.counts["downloads"] == 3
        assert sum(fake.calls.values()) == 15
        assert {key for key in fake.calls if key.startswith("gs://")} == {f"gs://bkt/pics/{n} ü.jpg" for n in range(12)}


def started(stack: ExitStack, *arguments: str, **environment: str) -> dict[str, str]:
    """A fake started by command, until the stack unwinds: the variables that it says to set."""
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", "tests.fakes", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env=os.environ | environment,
        )
    )
    stack.callback(process.send_signal, signal.SIGINT)
    assert process.stdout
    assert next(process.stdout).startswith(f"# {arguments[0]} at ")
    lines = [next(process.stdout) for _ in range(1 if arguments[0] == "gcs" else 2)]
    return dict(line.strip().removeprefix("export ").split("=", 1) for line in lines)


def test_fakes_started_by_command_share_a_bucket_that_is_filled_from_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "ein bild.jpg").write_bytes(RED)
    (tmp_path / "notes.txt").write_text("no picture")
    with ExitStack() as stack:
        storage = started(stack, "gcs", "--bucket", f"bkt={tmp_path}")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage["STORAGE_EMULATOR_HOST"])
        embedder = from_settings(started(stack, "vertex", **storage))
        (image,) = [entry for entry in BucketSource("gs://bkt").entries() if isinstance(entry, Image)]
        assert image.image_id == "pics/ein bild.jpg"
        vector, _ = embedder.image(Prepared(None, "image/jpeg", image.uri), timeout=SECONDS)
        np.testing.assert_allclose(vector, 0.9 * picture_vector(RED, 1408), rtol=1e-6)
        missing = Prepared(None, "image/jpeg", "gs://bkt/gone.jpg")
        assert failed(embedder, missing).error_class is ErrorClass.REJECTED
        embedder.close()


def test_only_buckets_are_read_by_vertex_itself(vertex: VertexMultimodal) -> None:
    assert not vertex.reads_itself("file:///a.jpg")
    assert not vertex.reads_itself("https://example.org/a.jpg")
    assert failed(vertex, Prepared(None, "image/jpeg", "https://example.org/a.jpg")).error_class.final


def test_an_object_that_is_gone_or_may_not_be_read_fails_alone() -> None:
    with GcsFake() as gcs, VertexFake(objects=gcs.fetch) as fake:
        gcs.bucket("private", public=False)
        gcs.put("private", "a.jpg", RED)
        embedder = from_settings(fake.environment)
        refused = failed(embedder, Prepared(None, "image/jpeg", "gs://private/a.jpg"))
        assert (refused.error_class, refused.http_status) == (ErrorClass.UNREADABLE, 403)
        assert "storage.objects.get" in str(refused)
        gone = failed(embedder, Prepared(None, "image/jpeg", "gs://private-not/b.jpg"))
        assert (gone.error_class, gone.http_status) == (ErrorClass.REJECTED, 404)
        embedder.close()


@pytest.mark.parametrize(
    "name", ["a.jpg", "a b/ü.jpg", "50%25.jpg", "a#1.jpg", "a?b=c&d.jpg", "//x", "日.jpg", "a+b.jpg"]
)
def test_an_object_survives_its_uri(name: str) -> None:
    for generation in ("", "1700000000000001"):
        found = ObjectAddress("gs://b", name, generation)
        assert parse_uri(found.uri) == found
        assert found.uri.isascii()
        assert found.plain == f"gs://b/{name}"


@pytest.mark.parametrize("uri", ["gs://", "gs://b", "gs://b/", "https://b/a", "gs://b/a#x"])
def test_what_is_no_object_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="not the address of an object"):
        parse_uri(uri)


# --- What goes wrong


@pytest.mark.parametrize(
    ("code", "expected", "status"),
    [
        ("RESOURCE_EXHAUSTED", ErrorClass.QUOTA, 429),
        ("UNAVAILABLE", ErrorClass.CONNECTION, 503),
        ("DEADLINE_EXCEEDED", ErrorClass.TIMEOUT, 504),
        ("INTERNAL", ErrorClass.SERVER, 500),
        ("UNKNOWN", ErrorClass.SERVER, None),
        ("ABORTED", ErrorClass.SERVER, 409),
        ("INVALID_ARGUMENT", ErrorClass.REJECTED, 400),
        ("FAILED_PRECONDITION", ErrorClass.SERVER, 400),
    ],
)
def test_a_status_becomes_its_class(
    fake: VertexFake, vertex: VertexMultimodal, code: str, expected: ErrorClass, status: int | None
) -> None:
    fake.refuse(code, "It is so.", request_id="r-1")
    error = failed(vertex)
    assert (error.error_class, error.http_status, error.request_id) == (expected, status, "r-1")
    assert code in str(error)
    assert "It is so." in str(error)


def test_a_quota_says_how_long_to_wait() -> None:
    with VertexFake(quota=Quota("1/h")) as fake:
        embedder = from_settings(fake.environment)
        embedder.text("a", timeout=SECONDS)
        error = failed(embedder)
        assert error.error_class is ErrorClass.QUOTA
        assert error.retry_after == pytest.approx(3600, rel=0.01)
        assert fake.counts["throttled"] == 1  # nothing was tried again
        embedder.close()


def test_a_wait_in_the_trailers_is_read_in_both_forms(fake: VertexFake, vertex: VertexMultimodal) -> None:
    in_an_hour = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for trailer, seconds in (("7", 7), ("2.5", 2.5), (in_an_hour, 3600)):
        fake.refuse("RESOURCE_EXHAUSTED", "Quota exceeded.", trailer=trailer)
        assert failed(vertex).retry_after == pytest.approx(seconds, rel=0.02)


@pytest.mark.parametrize("code", ["UNAUTHENTICATED", "PERMISSION_DENIED"])
def test_refused_credentials_stop_the_run(fake: VertexFake, vertex: VertexMultimodal, code: str) -> None:
    fake.refuse(code, "Request had invalid authentication credentials.")
    with pytest.raises(CredentialsRefusedError, match="gcloud auth application-default login"):
        vertex.image(Prepared(RED, "image/jpeg"), timeout=SECONDS)


def test_a_right_to_the_model_that_is_missing_stops_the_run_even_for_a_picture_in_a_bucket(fake: VertexFake) -> None:
    embedder = VertexMultimodal("another-project", endpoint=fake.url)
    with pytest.raises(CredentialsRefusedError, match=r"aiplatform\.endpoints\.predict"):
        embedder.image(Prepared(None, "image/jpeg", "gs://b/a.jpg"), timeout=SECONDS)
    embedder.close()


def test_a_region_without_the_model_stops_the_run(fake: VertexFake) -> None:
    embedder = from_settings(fake.environment | {"PINAKES_VERTEX_LOCATION": "us-west9"})
    for picture in (Prepared(RED, "image/jpeg"), Prepared(None, "image/jpeg", "gs://b/a.jpg")):
        with pytest.raises(EmbedderError, match="PINAKES_VERTEX_LOCATION"):
            embedder.image(picture, timeout=SECONDS)
    embedder.close()


def test_not_found_after_an_answer_is_final_for_that_picture(fake: VertexFake, vertex: VertexMultimodal) -> None:
    vertex.text("a boat", timeout=SECONDS)
    fake.refuse("NOT_FOUND", "Requested entity was not found.")
    assert failed(vertex, Prepared(RED, "image/jpeg")).error_class is ErrorClass.REJECTED
    fake.refuse("NOT_FOUND", "Publisher Model `multimodalembedding@001` was not found.")
    with pytest.raises(EmbedderError, match="PINAKES_VERTEX_LOCATION"):
        vertex.image(Prepared(RED, "image/jpeg"), timeout=SECONDS)


def test_an_object_that_was_read_too_slowly_is_a_timeout_although_it_comes_as_unauthenticated(
    fake: VertexFake, vertex: VertexMultimodal
) -> None:
    fake.refuse("UNAUTHENTICATED", "Image embedding failed with the following error: Deadline")
    assert failed(vertex).error_class is ErrorClass.TIMEOUT


def test_credentials_that_expired_stop_the_run() -> None:
    error = embedder_error(
        api.ServiceUnavailable("Getting metadata from plugin failed with error: ('invalid_grant: Bad Request', {})"),
        "m",
        None,
        is_there=False,
    )
    assert isinstance(error, CredentialsRefusedError)
    lost = embedder_error(api.ServiceUnavailable("failed to connect to all addresses"), "m", None, is_there=False)
    assert isinstance(lost, CallError)
    assert lost.error_class is ErrorClass.CONNECTION


def test_a_picture_that_the_model_refuses_is_final(vertex: VertexMultimodal) -> None:
    for data in (b"no picture", photo(kind="TIFF")):
        error = failed(vertex, Prepared(data, "image/jpeg"))
        assert error.error_class is ErrorClass.REJECTED
        assert error.error_class.final


def test_a_text_of_1024_characters_is_refused_by_the_model(vertex: VertexMultimodal) -> None:
    with pytest.raises(CallError, match="smaller than 1024 characters"):
        vertex.text("x" * 1024, timeout=SECONDS)


@pytest.mark.parametrize(
    ("kind", "charged", "expected"),
    [
        (Kind.ERROR, False, ErrorClass.CONNECTION),
        (Kind.ERROR, True, ErrorClass.SERVER),
        (Kind.RESET, True, ErrorClass.CONNECTION),
        (Kind.MALFORMED, True, ErrorClass.SERVER),
    ],
)
def test_a_fault_of_the_service_is_transient(kind: Kind, charged: bool, expected: ErrorClass) -> None:
    with VertexFake(faults=Faults(script=[Fault(kind, charged)])) as fake:
        embedder = from_settings(fake.environment)
        error = failed(embedder)
        assert error.error_class is expected
        assert not error.error_class.final
        assert sum(fake.calls.values()) == charged
        embedder.image(Prepared(RED, "image/jpeg"), timeout=SECONDS)
        embedder.close()


def test_an_answer_that_does_not_come_in_time_is_a_timeout() -> None:
    with VertexFake(faults=Faults(script=[Fault(Kind.SLOW, charged=True)])) as fake:
        embedder = from_settings(fake.environment)
        with pytest.raises(CallError) as raised:
            embedder.image(Prepared(RED, "image/jpeg"), timeout=0.2)
        assert raised.value.error_class is ErrorClass.TIMEOUT
        embedder.close()


def test_a_server_that_is_not_there_is_a_lost_connection() -> None:
    with VertexFake() as fake:
        environment = fake.environment
    error = failed(from_settings(environment))
    assert error.error_class in {ErrorClass.CONNECTION, ErrorClass.TIMEOUT}


# --- Settings


@pytest.mark.parametrize("dimension", [1, 768, 1407, 3072])
def test_a_dimension_that_the_model_lacks_is_refused(dimension: int) -> None:
    with pytest.raises(UsageError, match="128, 256, 512 or 1408"):
        opened("vertex", {"PINAKES_VERTEX_PROJECT": "p"}, dimension=dimension)


def test_a_missing_project_is_named() -> None:
    with pytest.raises(SettingsError, match=r"PINAKES_VERTEX_PROJECT.*docs/vertex\.md"):
        opened("vertex", {})


@pytest.mark.parametrize(
    "endpoint",
    ["http://example.org:80", "insecure://10.0.0.1:1", "http://localhost.example.org", "ftp://x", "a/b", "http://"],
)
def test_an_unencrypted_endpoint_elsewhere_is_refused(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="PINAKES_VERTEX_ENDPOINT"):
        VertexMultimodal("p", endpoint=endpoint)


@pytest.mark.parametrize("location", ["evil.example.org/", "US", "us central1"])
def test_a_location_that_would_be_another_host_is_refused(location: str) -> None:
    with pytest.raises(SettingsError, match="PINAKES_VERTEX_LOCATION"):
        VertexMultimodal("p", location)


@pytest.mark.parametrize(
    ("named", "why"),
    [(None, "Your default credentials were not found"), ("/nowhere.json", "File /nowhere.json was not")],
)
def test_missing_credentials_say_what_to_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str | None, why: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    if named is None:
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    else:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", named)
    with pytest.raises(EmbedderError, match=rf"\({why}.*gcloud auth application-default login"):
        VertexMultimodal("p").text("a", timeout=SECONDS)


def test_the_facts_are_known_without_importing_googles_library() -> None:
    code = (
        "import sys; from pathlib import Path; from pinakes.embedders.registry import open_embedder as opened;"
        "from pinakes.embedders.declaration import Choice, Surroundings;"
        "f = opened(Choice('vertex'), Surroundings({'PINAKES_VERTEX_PROJECT': 'p'}, Path())).facts;"
        "assert f.retires == '2027-04-01' and f.price.per_image == 0.0001 and f.limits.max_words == 24;"
        "assert not {'grpc', 'google.api_core', 'google.auth'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
