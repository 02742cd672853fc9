"""Azure AI Vision's real client against its fake, over real sockets."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from pinakes.embedders.remote.azure import DIMENSION, AzureVision, from_settings
from pinakes.embedders.remote.azure_declaration import AZURE
from pinakes.embedders.remote.http_errors import (
    MOST_BYTES,
    NoSuchServiceError,
    class_of,
    seconds_in_words,
    vector_of,
)
from pinakes.embedders.remote.provider import CallError, CredentialsRefusedError, Prepared
from pinakes.errors import SettingsError, UsageError
from pinakes.sources.http_headers import retry_after_header
from pinakes.types import ErrorClass
from tests.fakes.azure import KEY, AzureFake
from tests.fakes.faults import Fault, Faults, Kind
from tests.fakes.quota import Quota, per_second
from tests.pictures import photo, plain, png, saved
from tests.trials import opened
from tests.waiting import PATIENCE

PICTURE = Prepared(photo(), "image/jpeg")


@pytest.fixture
def fake() -> Iterator[AzureFake]:
    with AzureFake() as service:
        yield service


@pytest.fixture
def azure(fake: AzureFake) -> Iterator[AzureVision]:
    provider = AzureVision(fake.url, KEY)
    yield provider
    provider.close()


@pytest.fixture
def broken() -> Iterator[Callable[[Fault], tuple[AzureFake, AzureVision]]]:
    """Makes a service whose first answer has the fault, and its client."""
    opened: list[AzureFake | AzureVision] = []

    def make(fault: Fault) -> tuple[AzureFake, AzureVision]:
        service = AzureFake(faults=Faults(script=[fault]), slow_seconds=20)
        service.__enter__()
        provider = AzureVision(service.url, KEY)
        opened.extend((provider, service))
        return service, provider

    yield make
    for part in opened:
        part.close()


def test_a_picture_gives_its_vector_and_the_model_version(azure: AzureVision, fake: AzureFake) -> None:
    vector, version = azure.image(PICTURE, timeout=PATIENCE)
    assert (vector.shape, vector.dtype, version) == ((DIMENSION,), np.float32, "2023-04-15")
    assert version == azure.facts.space.version
    assert fake.calls == {f"md5:{hashlib.md5(photo()).hexdigest()}": 1}


def test_a_text_is_near_to_pictures_of_the_colour_it_names(azure: AzureVision) -> None:
    def near(text: str, colour: tuple[int, int, int]) -> float:
        words, _ = azure.text(text, timeout=PATIENCE)
        picture, _ = azure.image(Prepared(photo(colour), "image/jpeg"), timeout=PATIENCE)
        return float(words @ picture)

    assert near("something red", (200, 20, 20)) > near("something red", (20, 20, 200))


def test_a_url_is_sent_as_one_and_the_bytes_are_not_read(azure: AzureVision, fake: AzureFake) -> None:
    uri = "https://images.example.org/a%20b.jpg?sig=1"
    azure.image(Prepared(None, "image/jpeg", uri), timeout=PATIENCE)
    assert fake.calls == {uri: 1}


@pytest.mark.parametrize(
    ("uri", "reads"),
    [
        ("https://images.example.org/a.jpg", True),
        ("https://8.8.8.8/a.jpg", True),
        ("http://images.example.org/a.jpg", False),
        ("https://localhost/a.jpg", False),
        ("https://nas.local/a.jpg", False),
        ("https://192.168.1.5/a.jpg", False),
        ("https://[::1]/a.jpg", False),
        ("gs://bucket/a.jpg", False),
        ("file:///a.jpg", False),
    ],
)
def test_azure_reads_only_what_the_internet_can_reach(azure: AzureVision, uri: str, reads: bool) -> None:
    assert azure.reads_itself(uri) is reads


def test_a_url_that_cannot_be_reached_is_tried_again_by_the_next_run() -> None:
    with AzureFake(fetch=lambda url: None) as fake:
        azure = AzureVision(fake.url, KEY)
        with pytest.raises(CallError, match="InvalidImageUrl") as caught:
            azure.image(Prepared(None, "image/jpeg", "https://gone.example.org/a.jpg"), timeout=PATIENCE)
        azure.close()
    assert caught.value.error_class is ErrorClass.UNREADABLE


@pytest.mark.parametrize(
    ("data", "error_class"),
    [
        (b"no picture", ErrorClass.UNSUPPORTED),
        (photo()[:200], ErrorClass.UNSUPPORTED),
        (saved(plain(), "PPM"), ErrorClass.UNSUPPORTED),
        (saved(plain(size=(10, 40)), "PNG"), ErrorClass.REJECTED),
        (png((16000, 20), 8, 2), ErrorClass.REJECTED),
        (photo() + bytes(21_000_000), ErrorClass.TOO_LARGE),
    ],
    ids=["no-picture", "truncated", "format", "too-small", "too-wide", "too-many-bytes"],
)
def test_what_azure_does_not_accept_fails_for_good(
    azure: AzureVision, fake: AzureFake, data: bytes, error_class: ErrorClass
) -> None:
    with pytest.raises(CallError) as caught:
        azure.image(Prepared(data, "image/jpeg"), timeout=PATIENCE)
    assert (caught.value.error_class, caught.value.http_status) == (error_class, 400)
    assert caught.value.error_class.final
    assert fake.counts["charged"] == 0


@pytest.mark.parametrize("text", ["", " ".join(["word"] * 71)])
def test_a_text_of_no_words_or_of_more_than_70_is_refused(azure: AzureVision, text: str) -> None:
    with pytest.raises(CallError, match="between 1 and 70 words"):
        azure.text(text, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (400, ErrorClass.REJECTED),
        (408, ErrorClass.TIMEOUT),
        (409, ErrorClass.REJECTED),
        (413, ErrorClass.TOO_LARGE),
        (415, ErrorClass.UNSUPPORTED),
        (422, ErrorClass.REJECTED),
        (429, ErrorClass.QUOTA),
        (500, ErrorClass.SERVER),
        (502, ErrorClass.SERVER),
        (503, ErrorClass.SERVER),
        (504, ErrorClass.TIMEOUT),
        (529, ErrorClass.SERVER),
    ],
)
def test_every_status_has_its_class_and_the_services_own_words(
    azure: AzureVision, fake: AzureFake, status: int, error_class: ErrorClass
) -> None:
    fake.refuse(status, "SomeCode", "Something is not\n as it   should be.")
    with pytest.raises(CallError) as caught:
        azure.image(PICTURE, timeout=PATIENCE)
    assert (caught.value.error_class, caught.value.http_status) == (error_class, status)
    assert f"Azure AI Vision answered {status} (SomeCode): Something is not as it should be [request " in str(
        caught.value
    )
    assert caught.value.request_id
    assert caught.value.request_id in str(caught.value)


def test_an_error_that_is_no_json_keeps_its_text(azure: AzureVision, fake: AzureFake, monkeypatch) -> None:
    monkeypatch.setattr(fake, "_refused", lambda refusal: b"<html>Bad gateway</html>")
    fake.refuse(502, "", "")
    with pytest.raises(CallError, match="answered 502: <html>Bad gateway</html>"):
        azure.image(PICTURE, timeout=PATIENCE)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_stop_the_run_and_say_what_to_check(
    azure: AzureVision, fake: AzureFake, status: int
) -> None:
    fake.refuse(status, str(status), "Access denied.")
    with pytest.raises(CredentialsRefusedError, match=r"PINAKES_AZURE_KEY; docs/azure\.md"):
        azure.image(PICTURE, timeout=PATIENCE)


def test_a_wrong_key_is_refused(fake: AzureFake) -> None:
    wrong = AzureVision(fake.url, "ab" * 16)
    with pytest.raises(CredentialsRefusedError, match="answered 401"):
        wrong.text("a boat", timeout=PATIENCE)
    wrong.close()


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Out of call volume quota. Quota will be replenished in 2.12:24:00.", 2 * 86400 + 12 * 3600 + 24 * 60),
        ("Out of call volume quota for F0 pricing tier. Please retry after 12 days.", 12 * 86400),
        ("Out of call volume quota.", None),
    ],
)
def test_a_403_for_quota_is_a_quota_and_not_a_refused_key(
    azure: AzureVision, fake: AzureFake, message: str, seconds: float | None
) -> None:
    fake.refuse(403, "403", message)
    with pytest.raises(CallError) as caught:
        azure.image(PICTURE, timeout=PATIENCE)
    assert (caught.value.error_class, caught.value.retry_after) == (ErrorClass.QUOTA, seconds)


@pytest.mark.parametrize("retry_after", ["seconds", "date", "none"])
def test_a_full_quota_says_how_long_to_wait(retry_after: str) -> None:
    """In seconds, as a date, or in the message alone."""
    with AzureFake(quota=Quota("6/min", clock=lambda: 0.0), retry_after=retry_after) as fake:
        azure = AzureVision(fake.url, KEY)
        azure.image(PICTURE, timeout=PATIENCE)
        with pytest.raises(CallError) as caught:
            azure.image(PICTURE, timeout=PATIENCE)
        azure.close()
        assert fake.counts["throttled"] == 1
    assert caught.value.error_class is ErrorClass.QUOTA
    assert caught.value.retry_after == pytest.approx(10, abs=2)


def test_retry_after_is_read_in_both_forms_and_is_never_negative() -> None:
    date = {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    assert retry_after_header({"retry-after": "7"}) == 7
    assert retry_after_header({"Retry-After": "1.5"}) == 1.5
    assert retry_after_header({"Retry-After": "-3"}) == 0
    assert retry_after_header(date | {"Retry-After": "Thu, 01 Jan 2026 00:00:30 GMT"}) == 30
    assert retry_after_header(date | {"Retry-After": "Wed, 31 Dec 2025 23:00:00 GMT"}) == 0
    assert retry_after_header({"Retry-After": "soon"}) is None
    assert retry_after_header({}) is None


def test_a_date_in_retry_after_is_read_against_the_services_own_clock() -> None:
    headers = {"Date": "Thu, 01 Jan 1998 00:00:00 GMT", "Retry-After": "Thu, 01 Jan 1998 00:00:05 GMT"}
    assert retry_after_header(headers) == 5


def test_a_wait_in_words_is_read() -> None:
    assert seconds_in_words("Please retry after 26 seconds.") == 26
    assert seconds_in_words("Quota will be replenished in 01:02:03.") == 3723
    assert seconds_in_words("Try later.") is None


def test_an_unknown_status_is_transient_from_500_on() -> None:
    assert class_of(599) is ErrorClass.SERVER
    assert class_of(418) is ErrorClass.REJECTED


@pytest.mark.parametrize("charged", [False, True])
def test_a_fault_of_the_service_is_transient_paid_for_or_not(broken, charged: bool) -> None:
    fake, azure = broken(Fault(Kind.ERROR, charged))
    with pytest.raises(CallError) as caught:
        azure.image(PICTURE, timeout=PATIENCE)
    assert caught.value.error_class is ErrorClass.SERVER
    assert (fake.counts["charged"], fake.counts["lost"]) == (charged, charged)
    azure.image(PICTURE, timeout=PATIENCE)


@pytest.mark.parametrize("charged", [False, True])
def test_a_reset_is_a_lost_connection(broken, charged: bool) -> None:
    fake, azure = broken(Fault(Kind.RESET, charged))
    with pytest.raises(CallError, match="cannot be reached, or closed the connection") as caught:
        azure.image(PICTURE, timeout=PATIENCE)
    assert caught.value.error_class is ErrorClass.CONNECTION
    assert (fake.counts["requests"], fake.counts["lost"]) == (1, charged)


def test_a_truncated_answer_is_a_lost_connection(broken) -> None:
    _, azure = broken(Fault(Kind.TRUNCATED, charged=True))
    with pytest.raises(CallError) as caught:
        azure.image(PICTURE, timeout=PATIENCE)
    assert caught.value.error_class is ErrorClass.CONNECTION
    azure.image(PICTURE, timeout=PATIENCE)


def test_malformed_json_is_the_servers_error(broken) -> None:
    _, azure = broken(Fault(Kind.MALFORMED, charged=True))
    with pytest.raises(CallError, match="not JSON") as caught:
        azure.image(PICTURE, timeout=PATIENCE)
    assert caught.value.error_class is ErrorClass.SERVER


def test_an_answer_in_drips_does_not_outlast_the_timeout(broken) -> None:
    """20 s of drips, one a second: each arrives in time, the whole does not."""
    fake, azure = broken(Fault(Kind.SLOW, charged=True))
    with pytest.raises(CallError, match=r"in 1\.5 s") as caught:
        azure.image(PICTURE, timeout=1.5)
    assert caught.value.error_class is ErrorClass.TIMEOUT
    assert fake.counts["delivered"] == 0


def test_an_answer_without_end_is_not_read_to_its_end(azure: AzureVision, fake: AzureFake) -> None:
    fake.refuse(500, "Internal", "x" * (MOST_BYTES + 1))
    with pytest.raises(CallError, match=f"longer than {MOST_BYTES:,} bytes") as caught:
        azure.image(PICTURE, timeout=PATIENCE)
    assert caught.value.error_class is ErrorClass.SERVER


def test_no_answer_in_time_is_a_timeout_and_the_charged_answer_is_counted_as_lost() -> None:
    with AzureFake(latency=0.4) as fake:
        azure = AzureVision(fake.url, KEY)
        with pytest.raises(CallError, match=r"did not answer in 0\.1 s") as caught:
            azure.image(PICTURE, timeout=0.1)
        azure.close()
        while not fake.counts["lost"]:
            threading.Event().wait(0.02)
        assert fake.counts["delivered"] == 0
    assert caught.value.error_class is ErrorClass.TIMEOUT


def test_nobody_listening_is_a_lost_connection_after_one_attempt() -> None:
    with AzureFake() as fake:
        pass
    azure = AzureVision(fake.url, KEY)
    with pytest.raises(CallError, match="refused") as caught:
        azure.image(PICTURE, timeout=PATIENCE)
    assert caught.value.error_class is ErrorClass.CONNECTION


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (None, "not NoneType"),
        ("x", "not str"),
        ({"0": 1.0}, "not dict"),
        ([], r"4 numbers was expected, not of shape \(0,\)"),
        ([1.0] * 3, r"4 numbers was expected, not of shape \(3,\)"),
        ([1.0] * 5, r"4 numbers was expected, not of shape \(5,\)"),
        ([1.0, 2.0, "3", 4.0], "not a number"),
        ([[1.0] * 4], "not a number"),
        ([1.0, None, 1.0, 1.0], "not a number"),
        ([1.0, [2.0], 3.0, 4.0], "not a number"),
        ([10**400, 1, 1, 1], "not a number"),
        ([True, False, True, True], "not a number"),
        ([1.0, float("nan"), 1.0, 1.0], "not finite"),
        ([1e300, 1.0, 1.0, 1.0], "not finite"),
        ([0.0] * 4, "all numbers of the vector are zero"),
    ],
)
def test_a_vector_is_so_many_finite_numbers_or_the_servers_error(values: object, why: str) -> None:
    with pytest.raises(CallError, match=rf"cannot be used: .*{why}") as caught:
        vector_of(values, 4, provider="Someone")
    assert caught.value.error_class is ErrorClass.SERVER


def test_another_model_version_in_the_answer_is_reported_as_it_is() -> None:
    with AzureFake(model_version="2022-04-11") as fake:
        azure = AzureVision(fake.url, KEY)
        assert azure.image(PICTURE, timeout=PATIENCE)[1] == "2022-04-11"
        azure.close()


def test_a_place_without_the_service_stops_the_run(fake: AzureFake) -> None:
    """Otherwise every picture would be marked as failed for good, for a region that has no such model."""
    elsewhere = AzureVision(f"{fake.url}/elsewhere", KEY)
    with pytest.raises(NoSuchServiceError, match="a region that has multimodal embeddings"):
        elsewhere.image(PICTURE, timeout=PATIENCE)
    unknown = AzureVision(fake.url, KEY, model_version="1999-01-01")
    with pytest.raises(NoSuchServiceError, match="InvalidModelVersion"):
        unknown.image(PICTURE, timeout=PATIENCE)
    elsewhere.close()
    unknown.close()


def test_a_404_after_an_answer_is_final_for_that_picture(azure: AzureVision, fake: AzureFake) -> None:
    azure.image(PICTURE, timeout=PATIENCE)
    fake.refuse(404, "NotFound", "The image was not found.")
    with pytest.raises(CallError, match="404") as caught:
        azure.image(PICTURE, timeout=PATIENCE)
    assert caught.value.error_class is ErrorClass.REJECTED


def test_the_key_does_not_follow_a_redirect() -> None:
    asked: list[str] = []

    class Redirect(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(307)
            self.send_header("Location", "/other")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Redirect) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        azure = AzureVision(f"http://127.0.0.1:{server.server_port}", KEY)
        with pytest.raises(NoSuchServiceError, match="redirects to /other"):
            azure.text("a boat", timeout=PATIENCE)
        azure.close()
        server.shutdown()
    assert len(asked) == 1


def test_connections_are_kept_and_shared_by_threads(azure: AzureVision, fake: AzureFake) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: azure.image(PICTURE, timeout=PATIENCE), range(200)))
    assert fake.counts["delivered"] == 200
    assert fake.counts["connections"] <= 8


def test_sixty_four_threads_keep_sixty_four_connections(azure: AzureVision) -> None:
    with AzureFake(latency=0.1) as fake:
        azure = AzureVision(fake.url, KEY)
        with ThreadPoolExecutor(64) as pool:
            list(pool.map(lambda n: azure.text(f"boat {n}", timeout=PATIENCE), range(192)))
        azure.close()
        assert fake.counts["connections"] <= 64
        assert fake.counts["delivered"] == 192


def test_a_connection_that_was_closed_in_the_meantime_is_an_error_of_that_call_only(
    azure: AzureVision, fake: AzureFake
) -> None:
    azure.text("one", timeout=PATIENCE)
    fake.hang_up()
    with contextlib.suppress(CallError):
        azure.text("two", timeout=PATIENCE)
    azure.text("three", timeout=PATIENCE)


def test_the_key_is_shown_nowhere(fake: AzureFake, azure: AzureVision, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = [repr(azure), str(azure), repr(azure.facts)]
    for status in (400, 401, 403, 404, 429, 500):
        fake.refuse(status, KEY, f"You sent the key {KEY}.")
        with pytest.raises((CallError, CredentialsRefusedError)) as caught:
            azure.image(PICTURE, timeout=PATIENCE)
        shown.append(str(caught.value))
        assert "[redacted]" in shown[-1]
    azure.image(PICTURE, timeout=PATIENCE)
    for bad in (f"{KEY}\nX-Other: 1", f"{KEY} {KEY}", f"{KEY}é"):
        with pytest.raises(SettingsError) as refused:
            AzureVision(fake.url, bad)
        shown.append(str(refused.value))
    with pytest.raises(SettingsError) as refused:
        AzureVision(f"https://user:{KEY}@example.org/?key={KEY}", KEY)
    shown.append(str(refused.value))
    assert KEY not in "\n".join(shown)
    assert KEY not in caplog.text


def test_latest_is_no_version(fake: AzureFake) -> None:
    with pytest.raises(UsageError, match="only inside one version"):
        AzureVision(fake.url, KEY, model_version="latest")


def test_an_endpoint_may_end_in_a_slash(fake: AzureFake) -> None:
    azure = AzureVision(f"{fake.url}/", f" {KEY}\n")
    azure.image(PICTURE, timeout=PATIENCE)
    azure.close()


@pytest.mark.parametrize("endpoint", ["http://vision.example.org", "ftp://127.0.0.1", "vision.example.org", ""])
def test_a_key_goes_to_https_or_to_this_machine_only(endpoint: str) -> None:
    with pytest.raises(SettingsError, match=r"must be an https:// address.*docs/azure\.md"):
        AzureVision(endpoint, KEY)


def test_an_endpoint_without_its_scheme_is_told_so_and_not_repeated() -> None:
    with pytest.raises(
        SettingsError, match="PINAKES_AZURE_ENDPOINT does not begin with https:// and cannot be used"
    ) as caught:
        AzureVision("vision.example.org", KEY)
    assert "=" not in str(caught.value)


def test_an_endpoint_that_is_no_address_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(SettingsError, match=r"https://\*\.example\.org cannot be used"):
        AzureVision("https://*.example.org", KEY)


def test_settings_come_from_the_environment(fake: AzureFake) -> None:
    azure = from_settings(fake.environment | {"PINAKES_AZURE_MODEL_VERSION": "2022-04-11"})
    assert azure.image(PICTURE, timeout=PATIENCE)[1] == azure.facts.space.version == "2022-04-11"
    azure.close()
    microsofts = from_settings({"VISION_ENDPOINT": fake.url, "VISION_KEY": KEY})
    microsofts.text("a boat", timeout=PATIENCE)
    microsofts.close()


def test_missing_settings_are_named() -> None:
    with pytest.raises(SettingsError, match=r"needs PINAKES_AZURE_ENDPOINT and PINAKES_AZURE_KEY.*docs/azure\.md"):
        opened("azure", {})
    with pytest.raises(SettingsError, match="needs PINAKES_AZURE_KEY,"):
        opened("azure", {"VISION_ENDPOINT": "https://example.org"})


def test_facts_name_the_space_the_limits_the_price_and_the_end(fake: AzureFake) -> None:
    embedder = opened("azure", fake.environment)
    embedder.close()
    facts = embedder.facts
    assert facts.space.name == "azure_vision_multimodal_2023_04_15_1024_a1"
    assert facts.limits.max_words == 70
    assert facts.retires == "2028-09-25"
    assert facts.price.per_image > 0
    assert facts.price.as_of
    assert facts.price.source
    assert per_second(AZURE.default_rate or "") == 10


def test_faults_follow_their_seed_alone() -> None:
    one, again, other = (Faults(seed=seed, share=0.3) for seed in (1, 1, 2))
    fates = [[faults.next() for _ in range(200)] for faults in (one, again, other)]
    assert fates[0] == fates[1] != fates[2]
    assert 30 < sum(fate is not None for fate in fates[0]) < 90
    assert {fate.kind for fate in fates[0] if fate} == set(Kind)


def test_every_charged_answer_is_delivered_or_lost() -> None:
    with AzureFake(faults=Faults(seed=3, share=0.4), slow_seconds=0.2) as fake:
        azure = AzureVision(fake.url, KEY)
        good = 0
        failed = set()
        for number in range(60):
            try:
                azure.text(f"boat {number}", timeout=PATIENCE)
            except CallError as error:
                failed.add(error.error_class)
            else:
                good += 1
        azure.close()
        counts = fake.counts
    assert counts["delivered"] == good == fake.delivered.total()
    assert counts["charged"] == counts["delivered"] + counts["lost"] == fake.calls.total()
    assert counts["lost"]
    assert failed == {ErrorClass.SERVER, ErrorClass.CONNECTION}


def test_a_blind_fake_takes_any_bytes_and_tells_them_apart() -> None:
    with AzureFake(blind=True) as fake:
        azure = AzureVision(fake.url, KEY)
        first, second = (
            azure.image(Prepared(data, "image/jpeg"), timeout=PATIENCE)[0] for data in (b"one", b"another")
        )
        assert np.linalg.norm(first) == pytest.approx(np.linalg.norm(second))
        assert not np.array_equal(first, second)
        azure.close()


def test_a_fake_started_by_command_says_what_to_set_and_counts_at_its_end() -> None:
    command = [sys.executable, "-m", "tests.fakes", "azure", "--quota", "100/s", "--burst", "2", "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout
        next(process.stdout)
        lines = [next(process.stdout) for _ in range(2)]
        azure = from_settings(dict(line.strip().removeprefix("export ").split("=", 1) for line in lines))
        azure.text("a boat", timeout=PATIENCE)
        azure.close()
        process.send_signal(signal.SIGINT)
        shown = process.stdout.read()
    assert process.returncode == 0
    assert json.loads(shown.removeprefix("# "))["delivered"] == 1
