"""Who is let in, how much may be sent, and what is told when something goes wrong."""

from __future__ import annotations

import base64
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest
from psycopg import sql

from pinakes.cli.serve import _origin, listening
from pinakes.errors import PinakesError, UsageError
from pinakes.images.turns import Turns
from pinakes.query.query import Query
from pinakes.search.answer import SearchResult
from pinakes.settings import Settings, is_loopback
from pinakes.store.database import Database
from pinakes.web.protocol import PatientProtocol
from pinakes.web.security import HEADERS, MAX_BODY_BYTES, Access
from pinakes.web.service import Service
from pinakes.web.uploads import MAX_UPLOAD_BYTES
from tests import serving
from tests.serving import picture
from tests.waiting import PATIENCE

TOKEN = "a-long-secret-é"


@pytest.fixture(scope="module")
def home(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of an ingested collection that all tests of this file read."""
    with serving.home(server, tmp_path_factory.mktemp("web")) as settings:
        yield settings


@pytest.fixture(scope="module")
def service(home: Settings) -> Iterator[Service]:
    with serving.service(home) as made:
        yield made


@pytest.fixture(scope="module")
def web(service: Service) -> Iterator[httpx.Client]:
    with serving.browsing(service) as visitor:
        yield visitor


def basic(password: str, user: str = "anybody") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# --- Every answer


def test_every_answer_tells_the_browser_what_it_may_do(web: httpx.Client) -> None:
    upload = {"content": b"x" * 10, "headers": {"origin": "https://elsewhere.example"}}
    answers = [
        web.get("/"),
        web.get("/api/search"),
        web.get("/thumbnails/320/p00.png"),
        web.get("/nothing"),
        web.get("/api/search", params={"k": 0}),
        web.post("/api/search", **upload),  # type: ignore[arg-type]
        web.get("/", headers={"host": "elsewhere.example"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 422, 403, 400]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, answer.url
        assert "cache-control" in answer.headers


def test_the_content_policy_allows_what_is_here_and_nothing_else() -> None:
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "img-src", "connect-src", "form-action")} == {"'self'"}


# --- From where


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8484", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8484"])
def test_loopback_answers_to_its_own_names(web: httpx.Client, host: str) -> None:
    assert web.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "localhost.elsewhere.example", "127.0.0.1.example", "[::2]", "0.0.0.0"]
)
def test_loopback_answers_to_no_other_name(web: httpx.Client, host: str) -> None:
    for path in ("/", "/api/search", "/thumbnails/320/p00.png", "/healthz"):
        answer = web.get(path, headers={"host": host})
        assert answer.status_code == 400, path
        assert "p00" not in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://localhost:8484", "host": "localhost:8484"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "https://proxy.example"}, 200),
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": "http://localhost:3000", "host": "localhost:8484"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_a_post_of_another_site_is_refused(web: httpx.Client, headers: dict[str, str], status: int) -> None:
    assert web.post("/api/search", json={"q": "blue"}, headers=headers).status_code == status
    assert web.post("/", files={"picture": picture()}, headers=headers).status_code == (303 if status == 200 else 403)


def test_a_header_that_is_no_address_is_no_error_of_the_page(
    web: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert web.get("/thumbnails/320/p00.png", headers={"referer": "http://["}).status_code == 200
    assert web.post("/api/search", json={"q": "blue"}, headers={"origin": "http://["}).status_code == 403
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Viewer.example.org/", "https://viewer.example.org"),
        ("https://viewer.example.org:443", "https://viewer.example.org"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        *(
            (text, None)
            for text in ("https://[::1", "viewer.example.org", "https://me:it@viewer.example", "https://a/b")
        ),
    ],
)
def test_a_viewer_is_named_as_browsers_name_it(text: str, origin: str | None) -> None:
    if origin is not None:
        assert _origin(text) == origin
        return
    with pytest.raises(UsageError, match="is no origin"):
        _origin(text)


def test_a_host_that_cannot_be_is_said_in_a_sentence() -> None:
    with pytest.raises(PinakesError, match=r"^--host a\.\.b --port 0 cannot be listened on"), listening("a..b", 0):
        pass


def test_a_program_is_refused_in_json_in_every_collection(web: httpx.Client) -> None:
    for path in ("/api/search", "/in/pictures/api/search"):
        refused = web.post(path, json={"q": "blue"}, headers={"sec-fetch-site": "cross-site"})
        assert (refused.status_code, list(refused.json())) == (403, ["error"])


def test_another_site_may_link_here_and_show_nothing_of_it(web: httpx.Client) -> None:
    linked = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert web.get("/", headers=linked).status_code == 200
    for mode in ("no-cors", "cors"):
        for path in ("/thumbnails/320/p00.png", "/api/search?q=blue"):
            assert web.get(path, headers=linked | {"sec-fetch-mode": mode}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_these_addresses_are_this_machine_s_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "museum.example", ""])
def test_these_addresses_may_be_reached_from_elsewhere(host: str) -> None:
    assert not is_loopback(host)


# --- By whom


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        (basic(TOKEN), 200),
        (basic(TOKEN, user=""), 200),
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (basic(""), 401),
        (basic("wrong", user=TOKEN), 401),
        ("Basic !!!", 401),
        ("Basic " + base64.b64encode(TOKEN.encode()).decode(), 401),
        (f"Digest {TOKEN}", 401),
    ],
)
def test_a_token_is_wanted_for_everything_but_health(service: Service, authorization: str | None, status: int) -> None:
    headers = {} if authorization is None else {"authorization": authorization.encode()}
    with serving.browsing(service, Access(TOKEN, hosts=None, wrong_token_seconds=0)) as web:
        for path in ("/", "/api/search", "/api/openapi.json", "/thumbnails/320/p00.png", "/api/images/p00.png"):
            answer = web.get(path, headers=headers)  # type: ignore[arg-type]
            assert answer.status_code == status, path
            if status == 401:
                assert answer.headers["www-authenticate"].startswith("Basic ")
                assert "p00" not in answer.text
        assert web.get("/healthz").json() == {"status": "ok"}
        assert web.get("/", headers={"host": "museum.example", "authorization": basic(TOKEN)}).status_code == 200


# --- How much


def test_a_body_that_announces_too_much_is_refused_unread(web: httpx.Client) -> None:
    with socket.create_connection((web.base_url.host, web.base_url.port or 0), timeout=PATIENCE) as connection:
        head = f"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n"
        connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("path", ["/api/search", "/"])
def test_a_body_is_cut_off_as_soon_as_it_is_too_long(web: httpx.Client, path: str) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n'
        for _ in range(1000):
            sent += 1 << 20
            yield bytes(1 << 20)

    # The server answers and hangs up; whether the visitor still gets to read that is up to the network.
    try:
        status = web.post(path, content=body(), headers={"content-type": "multipart/form-data; boundary=x"}).status_code
    except httpx.TransportError:
        status = 413
    assert status == 413
    assert sent < 100 << 20
    assert web.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("path", "kind"), [("/api/search", "application/json"), ("/", "multipart/form-data; boundary=x")]
)
def test_a_body_that_does_not_come_is_not_waited_for(service: Service, path: str, kind: str) -> None:
    with serving.browsing(service, Access(body_seconds=0.3)) as web:
        with socket.create_connection((web.base_url.host, web.base_url.port or 0), timeout=PATIENCE) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nContent-Type: {kind}\r\n\r\n"
            connection.sendall(head.encode() + b"--x")
            answer = connection.recv(10_000)
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"connection: close" in answer.lower()
        assert web.post("/api/search", json={"q": "blue"}).status_code == 200


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT"])
def test_the_first_lines_of_a_request_are_not_waited_for_either(service: Service, sent: bytes) -> None:
    class Impatient(PatientProtocol):
        head_seconds = 0.3

    with serving.browsing(service, protocol=Impatient) as web:
        with socket.create_connection((web.base_url.host, web.base_url.port or 0), timeout=PATIENCE) as connection:
            connection.sendall(sent)
            read = b""
            while part := connection.recv(10_000):  # until the server hangs up
                read += part
            assert read.count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")
        # Whoever sends a request and lets the connection rest is not hung up on before the answer.
        assert web.post("/", files={"picture": picture(size=(2000, 1500))}).status_code == 303


def test_a_method_that_is_not_answered_is_told_those_that_are(web: httpx.Client) -> None:
    for method, path, allowed in (
        ("PUT", "/api/search", "GET, HEAD, POST"),
        ("OPTIONS", "/api/facets", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD, POST"),
        ("POST", "/thumbnails/320/p00.png", "GET, HEAD"),
    ):
        answer = web.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert answer.json() == {"error": f"this address answers only {allowed}."}


def test_a_picture_that_is_too_large_is_refused(web: httpx.Client) -> None:
    large = b"\xff\xd8\xff" + bytes(MAX_UPLOAD_BYTES)
    answers = [
        web.post("/api/search", files={"picture": large}),
        web.post("/api/search", json={"picture": base64.b64encode(large[: MAX_UPLOAD_BYTES + 1]).decode()}),
    ]
    assert [answer.status_code for answer in answers] == [413, 413]
    assert "15,728,640" in answers[0].json()["error"]


def test_a_search_by_picture_beyond_the_limit_is_put_off(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "searches_by_picture", Turns(1))
    monkeypatch.setattr("pinakes.web.bodies.WAIT_SECONDS", 0.05)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with service.searches_by_picture.turn(1):
            held.set()
            release.wait(PATIENCE)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(PATIENCE)
    try:
        with serving.browsing(service) as web:
            answer = web.post("/api/search", files={"picture": picture()})
            assert web.get("/api/search", params={"q": "blue"}).status_code == 200  # words need no turn
    finally:
        release.set()
        holder.join()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


def test_many_visitors_at_once_are_all_answered(web: httpx.Client) -> None:
    asked = [f"/thumbnails/{size}/p{n:02}.png" for n in range(12) for size in (320, 960)]
    asked += ["/api/search?q=blue", "/api/facets", "/", "/api/search?like=p03.png"] * 10
    with ThreadPoolExecutor(32) as visitors:
        statuses = list(visitors.map(lambda path: web.get(path, timeout=PATIENCE).status_code, asked))
    assert set(statuses) == {200}


# --- What is told


def test_a_lost_database_is_a_503_and_found_again(
    home: Settings, server: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.web.service.WAIT_SECONDS", 0.5)
    assert home.database_url
    name = str(psycopg.conninfo.conninfo_to_dict(home.database_url)["dbname"])
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format
    with (
        serving.service(home) as service,
        serving.browsing(service, timeout=PATIENCE) as web,
        psycopg.connect(server, autocommit=True) as administrator,
    ):
        assert web.get("/healthz").status_code == 200
        administrator.execute(allow(sql.Identifier(name), sql.Literal(False)))
        administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            with caplog.at_level(logging.ERROR, "pinakes.web"):
                answers = [web.get(path) for path in ("/api/search?q=blue", "/healthz", "/thumbnails/320/p00.png")]
                answers.append(web.get("/", headers={"accept": "text/html"}))
        finally:
            administrator.execute(allow(sql.Identifier(name), sql.Literal(True)))
        deadline = time.monotonic() + PATIENCE
        while web.get("/api/search?q=blue").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert [answer.status_code for answer in answers] == [503] * 4
    assert "text/html" in answers[3].headers["content-type"]
    number = answers[0].json()["error"].partition("(error ")[2].rstrip(").")
    assert answers[0].headers["retry-after"] == "5"
    assert f"error {number} at GET /api/search" in caplog.text
    assert "blue" not in caplog.text
    for answer in answers:
        assert "Traceback" not in answer.text
        assert name not in answer.text


class Faulty(Service):
    """A service with a mistake in it."""

    def search(self, query: Query) -> SearchResult:
        raise RuntimeError("the inside of the house")


@pytest.mark.parametrize("accept", ["text/html,*/*", "application/json"])
def test_a_mistake_is_logged_with_a_number_and_told_without_a_trace(
    home: Settings, accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert home.database_url
    faulty = Faulty(home, Database(home.database_url), "pictures")
    try:
        with serving.browsing(faulty) as web, caplog.at_level(logging.ERROR, "pinakes.web"):
            answers = [web.get(path, headers={"accept": accept}) for path in ("/api/search", "/")]
    finally:
        faulty.close()
    for answer in answers:
        assert answer.status_code == 500
        assert "inside of the house" not in answer.text
        assert "Traceback" not in answer.text
        assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    number = answers[0].json()["error"].rstrip(".").split()[-1]
    assert f"error {number} at GET /api/search: the inside of the house" in caplog.text
