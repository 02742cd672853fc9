"""A small web server of pictures: ETags, redirects, and answers that go wrong."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.fakes.fake import Fake


class WebFake(Fake[ThreadingHTTPServer]):
    """Serves what `pages` holds; use it as a context manager.

    Attributes:
        url: `http://127.0.0.1:<port>`.
        pages: by path: bytes (a picture, with its ETag unless the path holds `no-etag`); a str (a redirect there); an
            int (that status); or a tuple of those, one for each request, the last for all further ones.
        types: content types by path, where it is not image/jpeg.
        headers: more headers by path, of every answer.
        everywhere: more headers, of every answer of any path.
        agents: what clients called themselves.
        bodies: how often each path's body was sent.
        requests: how often each path was asked for.
    """

    def __init__(self, port: int = 0) -> None:
        self.pages: dict[str, bytes | str | int | tuple[bytes | str | int, ...]] = {}
        self.types: dict[str, str] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.everywhere: dict[str, str] = {}
        self.agents: set[str] = set()
        self.short: set[str] = set()
        self.bodies: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self._lock = threading.Lock()
        fake = self

        class Line(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                fake._answer(self)

            def log_message(self, *args: object) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # a client that needs no more hangs up
                    super().handle()

        server = ThreadingHTTPServer(("127.0.0.1", port), Line)
        server.daemon_threads = True
        server.block_on_close = False
        super().__init__(server)

    def made(self, path: str) -> bytes | int:
        """What is served where `pages` holds nothing: a picture, or a status."""
        return 404

    def _answer(self, line: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self.requests[line.path] += 1
            self.agents.add(line.headers.get("User-Agent", ""))
            page = self.pages.get(line.path)
            page = self.made(line.path) if page is None else page
            if isinstance(page, tuple):
                page = page[min(self.requests[line.path], len(page)) - 1]
        etag = f'"{hashlib.sha1(page).hexdigest()}"' if isinstance(page, bytes) else ""
        body = page if isinstance(page, bytes) else b""
        if isinstance(page, str):
            line.send_response(302)
            line.send_header("Location", page)
        elif isinstance(page, int):
            line.send_response(page)
        elif line.headers.get("If-None-Match") == etag or (
            line.headers.get("If-Modified-Since") == self.headers.get(line.path, {}).get("Last-Modified", "")
        ):
            line.send_response(304)
            body = b""
        else:
            line.send_response(200)
            line.send_header("Content-Type", self.types.get(line.path, "image/jpeg"))
            with self._lock:
                self.bodies[line.path] += 1
        if etag and "no-etag" not in line.path:
            line.send_header("ETag", etag)
        for name, value in (self.everywhere | self.headers.get(line.path, {})).items():
            line.send_header(name, value)
        line.send_header("Content-Length", str(len(body)))
        line.end_headers()
        if line.path in self.short:
            body, line.close_connection = body[: len(body) // 2], True
        with contextlib.suppress(ConnectionError):
            line.wfile.write(body)
