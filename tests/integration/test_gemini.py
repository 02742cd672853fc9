"""Google's real client (google-genai) against the fake of `gemini-embedding-2`, over real sockets."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from google.auth.exceptions import RefreshError
from google.oauth2.credentials import Credentials

from pinakes.embedders.base import Picture
from pinakes.embedders.remote.client import Remote
from pinakes.embedders.remote.gemini import GeminiEmbedding, from_settings
from pinakes.embedders.remote.gemini_declaration import GEMINI
from pinakes.embedders.remote.http_errors import MOST_BYTES, NoSuchServiceError
from pinakes.embedders.remote.provider import CallError, CredentialsRefusedError, Prepared, Unpaced
from pinakes.errors import SettingsError, UsageError
from pinakes.quota.limiter import Limiter
from pinakes.rates import parse_rate, parse_rates
from pinakes.sources.bucket import BucketSource
from pinakes.types import ErrorClass, Image
from tests.fakes.faults import Fault, Faults, Kind
from tests.fakes.gcs import GcsFake
from tests.fakes.gemini import KEY, GeminiFake
from tests.fakes.quota import Quota, per_second
from tests.pictures import photo, saved, scene
from tests.trials import opened
from tests.waiting import PATIENCE

PICTURE = Prepared(photo(), "image/jpeg")


@pytest.fixture(scope="module")
def service() -> Iterator[GeminiFake]:
    """One for all tests: google-genai takes a fifth of a second to make a client, so that is shared too."""
    with GeminiFake(slow_seconds=20) as service:
        yield service


@pytest.fixture
def fake(service: GeminiFake) -> GeminiFake:
    service.forget()
    service.faults = Faults()
    return service


@pytest.fixture(scope="module")
def key_client(service: GeminiFake) -> Iterator[GeminiEmbedding]:
    provider = GeminiEmbedding(api_key=KEY, endpoint=service.url, dimension=256)
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def vertex_client(service: GeminiFake) -> Iterator[GeminiEmbedding]:
    provider = GeminiEmbedding(project="my-project", endpoint=service.url, dimension=256)
    yield provider
    provider.close()


@pytest.fixture
def gemini(fake: GeminiFake, key_client: GeminiEmbedding) -> GeminiEmbedding:
    return key_client


@pytest.fixture
def vertex(fake: GeminiFake, vertex_client: GeminiEmbedding) -> GeminiEmbedding:
    return vertex_client


@pytest.fixture(params=["gemini", "vertex"])
def either(request: pytest.FixtureRequest) -> GeminiEmbedding:
    provider: GeminiEmbedding = request.getfixturevalue(request.param)
    return provider


def test_a_pictures_bytes_arrive_whole_and_give_its_vector(either: GeminiEmbedding, fake: GeminiFake) -> None:
    """google-genai has models for which it leaves the picture out without a word; this is not one of them."""
    data = saved(scene(), "PNG")
    vector, version, _ = either.image(Prepared(data, "image/png"), timeout=PATIENCE)
    assert (vector.shape, vector.dtype) == ((256,), np.float32)
    assert version == either.facts.space.version
    assert fake.calls == {f"md5:{hashlib.md5(data).hexdigest()}": 1}


def test_two_pictures_and_a_text_have_three_vectors(either: GeminiEmbedding) -> None:
    red, *_ = either.image(PICTURE, timeout=PATIENCE)
    blue, *_ = either.image(Prepared(photo((20, 20, 200)), "image/jpeg"), timeout=PATIENCE)
    text, *_ = either.text("something red", timeout=PATIENCE)
    assert float(text @ red) > float(text @ blue)
    assert not np.allclose(red, text)


@pytest.mark.parametrize("dimension", [128, 768, 3072])
def test_the_dimension_asked_for_is_the_one_that_comes(fake: GeminiFake, dimension: int) -> None:
    provider = GeminiEmbedding(api_key=KEY, endpoint=fake.url, dimension=dimension)
    vector, *_ = provider.image(PICTURE, timeout=PATIENCE)
    provider.close()
    assert vector.shape == (dimension,)
    assert provider.facts.space.dimension == dimension


@pytest.mark.parametrize("dimension", [0, 127, 3073])
def test_other_dimensions_are_refused(dimension: int) -> None:
    with pytest.raises(UsageError, match="choose 128 to 3072"):
        opened("gemini", {"PINAKES_GEMINI_API_KEY": KEY}, dimension=dimension)


def test_vertex_reads_objects_of_cloud_storage_by_itself(
    vertex: GeminiEmbedding, gemini: GeminiEmbedding, fake: GeminiFake
) -> None:
    uri = "gs://bucket/a picture.jpg"
    assert vertex.reads_itself(uri)
    assert not gemini.reads_itself(uri)
    assert not vertex.reads_itself("https://example.org/a.jpg")
    assert not vertex.reads_itself("gs://bucket/no%231.jpg#17")  # `#1` would be read as a generation
    vertex.image(Prepared(None, "image/jpeg", uri), timeout=PATIENCE)
    assert fake.calls == {uri: 1}


def test_a_bucket_is_embedded_without_a_byte_passing_through_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Google is told is the object's own name: without the generation, and not percent-encoded."""
    with GcsFake() as gcs, GeminiFake(objects=gcs.fetch) as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        for number in range(5):
            gcs.put("bkt", f"pics/{number} ü.jpg", photo((number, 20, 20)))
        source = BucketSource("gs://bkt/pics")
        batch = [Picture(image, partial(source.read, image)) for image in source.entries() if isinstance(image, Image)]
        embedder = Remote(GeminiEmbedding(project="my-project", endpoint=fake.url, dimension=128), Unpaced())
        results = dict(embedder.embed_images(batch))
        embedder.close()
        assert [type(result) for _, result in sorted(results.items())] == [np.ndarray] * 5
        assert gcs.counts["downloads"] == 0
        assert fake.calls == {f"gs://bkt/pics/{number} ü.jpg": 1 for number in range(5)}


def test_an_object_that_is_gone_fails_alone() -> None:
    with GeminiFake(objects=lambda uri: None) as fake:
        vertex = GeminiEmbedding(project="my-project", endpoint=fake.url)
        with pytest.raises(CallError, match="does not exist") as caught:
            vertex.image(Prepared(None, "image/jpeg", "gs://bucket/gone.jpg"), timeout=PATIENCE)
        vertex.close()
    assert caught.value.error_class is ErrorClass.REJECTED


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (b"no picture", "image/jpeg"),
        (photo()[:200], "image/jpeg"),
        (photo(), "image/png"),
        (photo(kind="WEBP"), "image/webp"),
    ],
    ids=["no-picture", "truncated", "wrong-type", "format"],
)
def test_what_the_model_does_not_accept_fails_for_good(either: GeminiEmbedding, data: bytes, mime: str) -> None:
    with pytest.raises(CallError, match="INVALID_ARGUMENT") as caught:
        either.image(Prepared(data, mime), timeout=PATIENCE)
    assert caught.value.error_class is ErrorClass.REJECTED


@pytest.mark.parametrize(
    ("status", "code", "error_class"),
    [
        (400, "INVALID_ARGUMENT", ErrorClass.REJECTED),
        (408, "DEADLINE_EXCEEDED", ErrorClass.TIMEOUT),
        (413, "INVALID_ARGUMENT", ErrorClass.TOO_LARGE),
        (415, "INVALID_ARGUMENT", ErrorClass.UNSUPPORTED),
        (429, "RESOURCE_EXHAUSTED", ErrorClass.QUOTA),
        (500, "INTERNAL", ErrorClass.SERVER),
        (502, "UNKNOWN", ErrorClass.SERVER),
        (503, "UNAVAILABLE", ErrorClass.SERVER),
        (504, "DEADLINE_EXCEEDED", ErrorClass.TIMEOUT),
    ],
)
def test_every_status_has_its_class_after_one_request(
    gemini: GeminiEmbedding, fake: GeminiFake, status: int, code: str, error_class: ErrorClass
) -> None:
    fake.refuse(status, code, "Something is amiss.")
    with pytest.raises(CallError) as caught:
        gemini.image(PICTURE, timeout=PATIENCE)
    assert (caught.value.error_class, caught.value.http_status) == (error_class, status)
    assert str(caught.value) == f"Gemini answered {status} ({code}): Something is amiss."
    assert fake.counts["requests"] == 1


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"[]", b'{"error": null}', b'{"error": "x"}', b"\xff"])
def test_an_error_that_is_not_googles_is_classed_by_its_status(
    gemini: GeminiEmbedding, fake: GeminiFake, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(fake, "_refused", lambda refusal: body)
    fake.refuse(502, "", "")
    with pytest.raises(CallError) as caught:
        gemini.image(PICTURE, timeout=PATIENCE)
    assert caught.value.error_class is ErrorClass.SERVER


@pytest.mark.parametrize(("status", "code"), [(401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED")])
def test_refused_credentials_stop_the_run(either: GeminiEmbedding, fake: GeminiFake, status: int, code: str) -> None:
    fake.refuse(status, code, "No.")
    with pytest.raises(CredentialsRefusedError, match=r"docs/gemini\.md"):
        either.image(PICTURE, timeout=PATIENCE)


def test_a_wrong_key_is_refused_credentials_though_google_says_400(fake: GeminiFake) -> None:
    wrong = GeminiEmbedding(api_key="AIzaWrong", endpoint=fake.url)
    with pytest.raises(CredentialsRefusedError, match=r"answered 400 .*PINAKES_GEMINI_API_KEY"):
        wrong.text("a boat", timeout=PATIENCE)
    wrong.close()


def test_a_region_without_the_model_stops_the_run(vertex: GeminiEmbedding, fake: GeminiFake) -> None:
    fake.refuse(404, "NOT_FOUND", "Publisher model was not found.")
    with pytest.raises(NoSuchServiceError, match="Vertex AI, project my-project, us-central1"):
        vertex.image(PICTURE, timeout=PATIENCE)


def test_a_404_after_an_answer_is_final_for_that_picture(either: GeminiEmbedding, fake: GeminiFake) -> None:
    either.image(PICTURE, timeout=PATIENCE)
    fake.refuse(404, "NOT_FOUND", "Requested entity was not found.")
    with pytest.raises(CallError, match="404") as caught:
        either.image(PICTURE, timeout=PATIENCE)
    assert caught.value.error_class is ErrorClass.REJECTED


def test_an_object_whose_reader_is_being_made_is_tried_again(vertex: GeminiEmbedding, fake: GeminiFake) -> None:
    fake.refuse(400, "FAILED_PRECONDITION", "Service agents are being provisioned. Try again in a few minutes.")
    with pytest.raises(CallError) as caught:
        vertex.image(Prepared(None, "image/jpeg", "gs://bucket/a.jpg"), timeout=PATIENCE)
    assert not caught.value.error_class.final


def test_a_country_without_the_service_stops_the_run(gemini: GeminiEmbedding, fake: GeminiFake) -> None:
    fake.refuse(400, "FAILED_PRECONDITION", "User location is not supported for the API use.")
    with pytest.raises(NoSuchServiceError, match="User location"):
        gemini.text("a boat", timeout=PATIENCE)


@pytest.mark.parametrize("retry_after", ["seconds", "date", "none"])
def test_a_full_quota_says_how_long_to_wait(retry_after: str) -> None:
    """In seconds, as a date, or in google.rpc.RetryInfo alone."""
    with GeminiFake(quota=Quota("6/min", clock=lambda: 0.0), retry_after=retry_after) as fake:
        gemini = GeminiEmbedding(api_key=KEY, endpoint=fake.url)
        gemini.text("a boat", timeout=PATIENCE)
        with pytest.raises(CallError) as caught:
            gemini.text("a boat", timeout=PATIENCE)
        gemini.close()
        assert (fake.counts["requests"], fake.counts["throttled"]) == (2, 1)
    assert caught.value.error_class is ErrorClass.QUOTA
    assert caught.value.retry_after == pytest.approx(10, abs=2)


@pytest.mark.parametrize(
    ("fault", "error_class"),
    [
        (Fault(Kind.ERROR, charged=False), ErrorClass.SERVER),
        (Fault(Kind.ERROR, charged=True), ErrorClass.SERVER),
        (Fault(Kind.RESET, charged=False), ErrorClass.CONNECTION),
        (Fault(Kind.RESET, charged=True), ErrorClass.CONNECTION),
        (Fault(Kind.TRUNCATED, charged=True), ErrorClass.CONNECTION),
        (Fault(Kind.MALFORMED, charged=True), ErrorClass.SERVER),
    ],
    ids=str,
)
def test_faults_are_transient_and_not_retried_here(
    fake: GeminiFake, gemini: GeminiEmbedding, fault: Fault, error_class: ErrorClass
) -> None:
    fake.faults = Faults(script=[fault])
    with pytest.raises(CallError) as caught:
        gemini.image(PICTURE, timeout=PATIENCE)
    assert caught.value.error_class is error_class
    counts = fake.counts
    assert (counts["requests"], counts["charged"], counts["lost"]) == (1, fault.charged, fault.charged)
    gemini.image(PICTURE, timeout=PATIENCE)


def test_an_answer_in_drips_does_not_outlast_the_timeout(fake: GeminiFake, gemini: GeminiEmbedding) -> None:
    """20 s of drips, one a second: each arrives in time, the whole does not."""
    fake.faults = Faults(script=[Fault(Kind.SLOW, charged=True)])
    with pytest.raises(CallError, match=r"in 1\.5 s") as caught:
        gemini.image(PICTURE, timeout=1.5)
    assert caught.value.error_class is ErrorClass.TIMEOUT
    assert fake.counts["delivered"] == 0


def test_an_answer_without_end_is_not_read_to_its_end(gemini: GeminiEmbedding, fake: GeminiFake) -> None:
    fake.refuse(500, "Internal", "x" * (MOST_BYTES + 1))
    with pytest.raises(CallError, match=f"longer than {MOST_BYTES:,} bytes") as caught:
        gemini.image(PICTURE, timeout=PATIENCE)
    assert caught.value.error_class is ErrorClass.SERVER


def test_no_answer_in_time_is_a_timeout() -> None:
    with GeminiFake(latency=0.5) as fake:
        gemini = GeminiEmbedding(api_key=KEY, endpoint=fake.url)
        with pytest.raises(CallError, match=r"did not answer in 0\.1 s") as caught:
            gemini.text("a boat", timeout=0.1)
        gemini.close()
    assert caught.value.error_class is ErrorClass.TIMEOUT


def test_nobody_listening_is_a_lost_connection() -> None:
    with GeminiFake() as fake:
        pass
    gemini = GeminiEmbedding(api_key=KEY, endpoint=fake.url)
    with pytest.raises(CallError) as caught:
        gemini.text("a boat", timeout=PATIENCE)
    gemini.close()
    assert caught.value.error_class is ErrorClass.CONNECTION


BAD = [
    b"",
    b"null",
    b"12",
    b"[]",
    b'"x"',
    b"{}",
    b'{"embeddings": []}',
    b'{"embeddings": [1]}',
    b'{"embeddings": [{}]}',
    b'{"embeddings": [{"values": [1.0]}]}',
    b'{"embeddings": [{"values": ["a"]}]}',
    b'{"embeddings": [{"values": [1.0]}, {"values": [1.0]}]}',
    b'{"embedding": [1]}',
    b'{"embedding": {"values": "x"}}',
    b'{"embedding": {"values": [1.0]}}',
]


@pytest.mark.parametrize("body", BAD)
def test_an_answer_that_is_not_one_vector_is_the_servers_error(
    either: GeminiEmbedding, fake: GeminiFake, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    examine = fake.examine
    monkeypatch.setattr(fake, "examine", lambda request: type(examine(request))("text:x", lambda: body))
    with pytest.raises(CallError, match="cannot be used") as caught:
        either.text("a boat", timeout=PATIENCE)
    assert caught.value.error_class is ErrorClass.SERVER


def test_a_text_that_was_cut_is_an_error_and_not_a_vector(
    vertex: GeminiEmbedding, fake: GeminiFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    examine = fake.examine
    body = b'{"embedding": {"values": [1.0]}, "truncated": true}'
    monkeypatch.setattr(fake, "examine", lambda request: type(examine(request))("text:x", lambda: body))
    with pytest.raises(CallError, match="cut the input"):
        vertex.text("a boat", timeout=PATIENCE)


def test_connections_are_kept_and_shared_by_threads() -> None:
    with GeminiFake(latency=0.2) as fake:
        gemini = GeminiEmbedding(api_key=KEY, endpoint=fake.url, dimension=128)
        with ThreadPoolExecutor(32) as pool:  # httpx by itself would close all but 20 again
            list(pool.map(lambda n: gemini.text(f"boat {n}", timeout=PATIENCE), range(96)))
        gemini.close()
        assert fake.counts["delivered"] == 96
        assert fake.counts["connections"] <= 32


def test_no_token_of_googles_goes_to_an_address_without_encryption(fake: GeminiFake) -> None:
    provider = GeminiEmbedding(project="p", endpoint=fake.url, credentials=Credentials(token="a real token"))
    provider.text("a boat", timeout=PATIENCE)  # the fake accepts one token only, which says that it is none
    provider.close()


def test_credentials_that_cannot_be_refreshed_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def expired(self: Credentials, request: object) -> None:
        raise RefreshError("Reauthentication is needed.")

    monkeypatch.setattr(Credentials, "refresh", expired)
    stale = Credentials(token=None, refresh_token="x", token_uri="x", client_id="x", client_secret="x")
    provider = GeminiEmbedding(project="p", credentials=stale)
    with pytest.raises(CredentialsRefusedError, match="gcloud auth application-default login"):
        provider.text("a boat", timeout=PATIENCE)
    provider.close()


def test_the_key_is_shown_nowhere(fake: GeminiFake, gemini: GeminiEmbedding, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = [repr(gemini), str(gemini), repr(gemini.facts)]
    for status in (400, 401, 403, 404, 429, 500):
        fake.refuse(status, "UNKNOWN", f"You sent the API key {KEY}.")
        with pytest.raises((CallError, CredentialsRefusedError)) as caught:
            gemini.image(PICTURE, timeout=PATIENCE)
        shown.append(str(caught.value))
        assert "[redacted]" in shown[-1]
    gemini.image(PICTURE, timeout=PATIENCE)
    with pytest.raises(SettingsError) as refused:
        GeminiEmbedding(api_key=f"{KEY}\n{KEY}")
    shown.append(str(refused.value))
    assert KEY not in "\n".join(shown)
    assert KEY not in caplog.text


def test_settings_come_from_the_environment(fake: GeminiFake) -> None:
    by_key = from_settings(fake.environment | {"PINAKES_VERTEX_PROJECT": "other"}, dimension=128)
    assert by_key.text("a boat", timeout=PATIENCE)[0].shape == (128,)
    by_key.close()
    with GeminiFake(project="my-project") as cloud:
        vertex = from_settings(cloud.environment | {"PINAKES_VERTEX_LOCATION": "europe-west4"})
        vertex.text("a boat", timeout=PATIENCE)
        assert "my-project, europe-west4" in repr(vertex)
        vertex.close()


def test_googles_own_variables_do_not_change_the_way(fake: GeminiFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_API_KEY", "another")
    for settings in (fake.environment, {"PINAKES_VERTEX_PROJECT": "p", "PINAKES_GEMINI_ENDPOINT": fake.url}):
        provider = from_settings(settings)
        provider.text("a boat", timeout=PATIENCE)
        provider.close()


def test_missing_settings_are_named() -> None:
    with pytest.raises(SettingsError, match=r"PINAKES_GEMINI_API_KEY or PINAKES_VERTEX_PROJECT.*docs/gemini\.md"):
        opened("gemini", {})
    with pytest.raises(SettingsError, match="must be an https:// address"):
        from_settings({"PINAKES_GEMINI_API_KEY": KEY, "PINAKES_GEMINI_ENDPOINT": "http://example.org"})
    with pytest.raises(SettingsError, match="either an API key or a project"):
        GeminiEmbedding(api_key=KEY, project="p")


def test_facts_name_the_space_the_limits_and_the_price(gemini: GeminiEmbedding, vertex: GeminiEmbedding) -> None:
    assert gemini.facts.space.name == "gemini_gemini_embedding_2_ga_256_a1"
    assert gemini.facts.space == vertex.facts.space
    assert gemini.facts.limits.formats == {"JPEG", "PNG"}
    embedder = opened("gemini", {"PINAKES_GEMINI_API_KEY": KEY})
    embedder.close()
    assert embedder.facts.price.per_image == pytest.approx(0.00012)
    assert per_second(GEMINI.default_rate or "") == 10


def test_both_quotas_are_complied_with_and_what_a_picture_counts_is_learnt(database_url: str) -> None:
    """A picture counts more than it was taken to at first, as the answers of Vertex AI say."""
    text = "600/s burst 60, 1200000 tokens/min burst 20000"
    calls, tokens = parse_rates(text)
    with GeminiFake(
        project="my-project",
        picture_tokens=1290,
        quota=Quota(calls.per_second, calls.burst),
        tokens=Quota(tokens.per_second, tokens.burst),
    ) as fake:
        pacer = Limiter(database_url, "gemini", [calls, tokens])
        embedder = opened("gemini", fake.environment, pace=lambda _quota, _rate: pacer, dimension=128)
        embedder.check()
        batch = [Picture(Image(f"{n}", f"file:///{n}", f"md5:{n}", 1), partial(photo, (n, 0, 0))) for n in range(60)]
        assert sum(isinstance(outcome, np.ndarray) for _, outcome in embedder.embed_images(batch)) == 60
        assert embedder.embed_text("a ship at sea").vector.shape == (128,)
        assert embedder.rate == pytest.approx(20_000 / 1290, rel=0.01)
        embedder.close()
        pacer.close()
        assert fake.counts["throttled"] == 0
        assert fake.counts["charged"] == 63


def test_a_quota_of_tokens_that_nobody_named_is_answered_429_and_adapted_to(database_url: str) -> None:
    with GeminiFake(project="my-project", tokens=Quota(258 * 20.0, 258 * 5)) as fake:
        pacer = Limiter(database_url, "gemini", [parse_rate("100/s")])
        embedder = opened("gemini", fake.environment, pace=lambda _quota, _rate: pacer, dimension=128)
        batch = [Picture(Image(f"{n}", f"file:///{n}", f"md5:{n}", 1), partial(photo, (n, 0, 0))) for n in range(12)]
        assert sum(isinstance(outcome, np.ndarray) for _, outcome in embedder.embed_images(batch)) == 12
        assert embedder.rate < 100
        embedder.close()
        pacer.close()
        assert fake.counts["throttled"] > 0


def test_importing_the_module_does_not_import_google() -> None:
    """google-genai takes a second to import, which only those should wait for who use it."""
    code = (
        "import sys, pinakes.embedders.remote.gemini; print([m for m in ('google.genai', 'httpx') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
