"""The page stays quick and small: whatever server has its pictures, whatever is sent to it, whoever leaves."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil
import pytest

from pinakes.errors import SourceError
from pinakes.images.apart import CPU_SECONDS
from pinakes.ingest.stages import ingest
from pinakes.settings import Settings
from pinakes.store.connection import connect
from pinakes.store.space_registry import spaces
from pinakes.web.app import THUMBNAILS_AT_ONCE
from pinakes.web.bodies import BODIES, SMALL_BYTES, WAIT_SECONDS
from pinakes.web.protocol import PatientProtocol
from pinakes.web.service import SEARCHES_BY_PICTURE, Service
from tests import serving
from tests.running import request_of
from tests.serving import ODD, picture
from tests.unit.test_decoding_bounds import _children, many_scans
from tests.waiting import PATIENCE, until


@pytest.fixture(scope="module")
def home(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with serving.home(server, tmp_path_factory.mktemp("web")) as settings:
        yield settings


@pytest.fixture
def service(home: Settings) -> Iterator[Service]:
    with serving.service(home) as made:
        yield made


@pytest.fixture
def web(service: Service) -> Iterator[httpx.Client]:
    with serving.browsing(service, timeout=PATIENCE) as visitor:
        yield visitor


def test_nothing_waits_for_a_slow_picture_server(
    service: Service, web: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert web.get("/thumbnails/320/p00.png").headers.get("x-placeholder") is None  # it is kept from now on
    begun: list[str] = []
    release = threading.Event()

    def slow(uri: str) -> bytes:
        begun.append(uri)
        release.wait(PATIENCE)
        raise SourceError("it never answered.")

    monkeypatch.setattr(service._thumbnails, "_read", slow)
    waiting = [
        threading.Thread(target=web.get, args=(f"/thumbnails/960/p{n:02}.png",)) for n in range(THUMBNAILS_AT_ONCE)
    ]
    for thread in waiting:
        thread.start()
    try:
        # Not all of them: two pictures may share the lock under which a thumbnail is made, and one then waits for the other.
        until(lambda: len(begun) >= THUMBNAILS_AT_ONCE // 2)
        for path in ("/healthz", "/", "/images/p11.png", "/?like=p11.png", "/thumbnails/320/p00.png"):
            assert web.get(path).status_code == 200, path
        assert len(begun) <= THUMBNAILS_AT_ONCE
        assert not any("p11" in uri for uri in begun), "no page fetched anything"
    finally:
        release.set()
        for thread in waiting:
            thread.join()


def test_a_picture_server_that_never_answers_slows_nothing_else(settings: Settings, tmp_path: Path) -> None:
    serving.ingest(settings, tmp_path / "pictures")
    ingest(request_of(settings, tmp_path / "pictures", embedder="palette", allow_failures="1"), settings)
    with closing(socket.create_server(("127.0.0.1", 0), backlog=512)) as silent, serving.service(settings) as service:
        port = silent.getsockname()[1]
        with connect(str(settings.database_url)) as conn:
            conn.execute("UPDATE pictures.images SET uri = %s || image_id", (f"http://127.0.0.1:{port}/",))
            (space,) = [each.name for each in spaces(conn, "pictures") if each.space.provider == "palette"]
        paths = [f"/?like=p{n:02}.png&crop=0,0,0.5,0.5&space={space}" for n in range(12)] * 6
        paths += [f"/thumbnails/{size}/p{n:02}.png" for n in range(12) for size in (320, 960)]
        with serving.browsing(service, timeout=PATIENCE) as web, ThreadPoolExecutor(len(paths)) as visitors:
            limits = httpx.Limits(max_connections=None)
            with httpx.Client(base_url=web.base_url, timeout=PATIENCE, limits=limits) as others:
                waiting = [visitors.submit(others.get, path) for path in paths]
                held = [silent.accept() for _ in range(SEARCHES_BY_PICTURE + 1)]
                for path in (
                    "/healthz",
                    "/",
                    "/?q=blue",
                    "/api/search?q=blue",
                    f"/images/{quote(ODD)}",
                    "/?like=p03.png",
                ):
                    answer = web.get(path, timeout=WAIT_SECONDS / 2)
                    assert answer.status_code == 200, path
                assert not all(each.done() for each in waiting)
                for connection, _ in held:
                    connection.close()
                silent.close()
                answers = [each.result().status_code for each in waiting]
    assert 503 in answers


def test_a_page_knows_the_size_of_a_picture_that_it_has_not_read(home: Settings, service: Service) -> None:
    image = service.image(ODD)
    assert image is not None
    assert service.kept_thumbnail(image, 960) is None
    assert (service.size(image, 960), service.size(image, 320)) == ((640, 480), (320, 240))


def test_bodies_that_never_end_are_bounded(web: httpx.Client) -> None:
    head = b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: 9000000\r\n\r\n"
    address = (web.base_url.host, web.base_url.port)
    opened = []
    for _ in range(BODIES + 8):
        connection = socket.create_connection(address)
        connection.settimeout(PATIENCE)
        connection.sendall(head + b" " * (SMALL_BYTES + 1))
        opened.append(connection)
    refused: list[socket.socket] = []

    def looked() -> bool:
        for connection in opened:
            connection.setblocking(False)
            try:
                if connection not in refused and connection.recv(100).startswith(b"HTTP/1.1 503"):
                    refused.append(connection)
            except (BlockingIOError, ConnectionResetError):
                pass
        return len(refused) >= 8

    until(looked)
    assert len(refused) == 8
    assert web.post("/api/search", json={"q": "blue"}).status_code == 200  # a small one is always taken
    assert web.post("/", files={"picture": picture(size=(900, 700))}).status_code == 303
    for connection in opened:
        connection.close()

    def taken() -> bool:
        sent = {"picture": ("a.bmp", picture(size=(500, 500), kind="BMP"))}
        return web.post("/", files=sent).status_code == 303

    until(taken)


def test_connections_are_bounded_and_those_give_way_that_ask_nothing(
    web: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatientProtocol, "most", 4)
    address = (web.base_url.host, web.base_url.port)
    opened = []
    for number in range(8):
        opened.append(socket.create_connection(address, timeout=PATIENCE))
        if number >= 4:
            with suppress(ConnectionResetError):
                assert opened[number - 4].recv(1) == b""
    assert httpx.get(str(web.base_url), timeout=PATIENCE).status_code == 200
    for connection in opened:
        connection.close()


def test_the_work_for_a_visitor_who_left_is_ended(web: httpx.Client) -> None:
    upload = many_scans((6000, 4000), 30_000)
    sent = web.build_request("POST", "/", files={"picture": upload})
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.headers.items())
    visitor = socket.create_connection((web.base_url.host, web.base_url.port))
    visitor.sendall(f"POST / HTTP/1.1\r\n{head}\r\n".encode() + sent.read())
    until(_children)
    spent = [0.0]

    def ended() -> bool:
        children = _children()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                spent.append(sum(psutil.Process(child).cpu_times()[:2]))
        return not children

    visitor.close()
    until(ended)
    assert max(spent) < CPU_SECONDS / 2, "by itself it would go on to the limit"
    assert web.post("/", files={"picture": picture()}).status_code == 303
