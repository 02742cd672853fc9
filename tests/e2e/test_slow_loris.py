"""Whoever sends byte by byte, an origin of pictures or a visitor of the page, holds nobody up and is given up in time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pinakes.settings import Settings
from pinakes.sources import fetching
from pinakes.sources.fetching import Fetcher, FetchError
from pinakes.types import ErrorClass
from pinakes.web.protocol import PatientProtocol
from pinakes.web.security import LOOPBACK_NAMES, Access
from tests import serving
from tests.pictures import photo
from tests.running import run
from tests.waiting import PATIENCE, until

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"


@contextmanager
def trickling(at_once: bytes, forever: bytes) -> Iterator[str]:
    """An origin whose answer begins with some bytes and goes on with others, one in a tenth of a second, for good."""
    over = threading.Event()

    def answer(line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            line.recv(1 << 16)
            line.sendall(at_once)
            while not over.wait(0.1):
                line.sendall(forever)

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = listener.accept()
                threading.Thread(target=answer, args=(line,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=listen, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/slow.jpg"
        finally:
            over.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


KINDS = {
    "the first line": (b"", b"H"),
    "a header": (HEAD + b"X-Slow: ", b"x"),
    "headers": (HEAD, b"X: y\r\n"),
    "a body of known length": (HEAD + b"Content-Length: 90000\r\n\r\n", b"\xff"),
    "a body without a length": (HEAD + b"Connection: close\r\n\r\n", b"\xff"),
    "a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n9000\r\n", b"\xff"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_origin_that_sends_byte_by_byte_is_given_up_in_time(kind: str) -> None:
    with trickling(*KINDS[kind]) as url:
        fetched: list[FetchError] = []

        def fetch() -> None:
            try:
                Fetcher(seconds=1).get(url)
            except FetchError as exc:
                fetched.append(exc)

        fetching_it = threading.Thread(target=fetch, daemon=True)
        fetching_it.start()
        fetching_it.join(20)
        assert fetched, "it is still waited for"
        assert fetched[0].failure.error_class in (ErrorClass.TIMEOUT, ErrorClass.CONNECTION)


def test_a_good_origin_is_asked_again_over_the_same_connection_after_the_time_of_the_first_answer() -> None:
    from tests.fakes.web import WebFake

    with WebFake() as web:
        web.pages["/a.jpg"] = photo()
        fetcher = Fetcher(seconds=0.5)
        for _ in range(3):
            assert fetcher.get(f"{web.url}/a.jpg").data == photo()
            time.sleep(0.4)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_run_with_slow_origins_accounts_for_every_picture(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.fakes.web import WebFake

    monkeypatch.setattr(fetching, "DEADLINE", 3.0)
    monkeypatch.setattr(Fetcher.__init__, "__kwdefaults__", {**Fetcher.__init__.__kwdefaults__, "seconds": 3.0})
    with ExitStack() as stack:
        web = stack.enter_context(WebFake())
        web.pages.update({f"/{n}.jpg": photo((n, 0, 0)) for n in range(12)})
        slow = [stack.enter_context(trickling(*kind)) for kind in KINDS.values()]
        urls = [f"{web.url}/{n}.jpg" for n in range(12)]
        table = tmp_path / "urls.csv"
        table.write_text("\n".join(line for pair in zip(urls, slow * 2, strict=True) for line in pair) + "\n")
        begun = time.monotonic()
        ended = run(settings, table, allow_failures="1")
        print(f"{ended.account.as_dict()} in {time.monotonic() - begun:.1f} s")
        assert ended.account.embedded == 12
        assert (ended.account.failed, ended.account.skipped) == (len(slow), len(slow))  # each is named twice


def test_visitors_that_send_byte_by_byte_hold_nobody_up_and_are_given_up(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatientProtocol, "head_seconds", 2.0)
    access = Access(body_seconds=2.0, hosts=LOOPBACK_NAMES)
    begins = (
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n",
        b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n90000\r\n",
    )
    with (
        serving.home(server, tmp_path) as settings,
        serving.service(settings) as service,
        serving.browsing(service, access, timeout=PATIENCE) as web,
    ):
        lines = [socket.create_connection((web.base_url.host, web.base_url.port)) for _ in range(200)]
        for number, line in enumerate(lines):
            line.sendall(begins[number % len(begins)])
        left = set(lines)

        def all_given_up() -> bool:
            for line in list(left):
                try:
                    line.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        while line.recv(1 << 16):
                            pass
                        left.discard(line)
                    line.send(b"x")
                except OSError:
                    left.discard(line)
            assert web.get("/healthz").status_code == 200
            return not left

        assert web.get("/", params={"q": "blue"}).status_code == 200
        until(all_given_up, every=0.1)
        assert web.post("/", files={"picture": photo()}).status_code == 303
        for line in lines:
            line.close()
