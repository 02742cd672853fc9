"""HTTP/1.1 over sockets for the fakes: connections that are kept, a thread each, and answers that may go wrong.

`http.server` would do, but its parsing of headers takes longer than all else that a fake does for a request, and the
fakes share a machine with the clients that are measured against them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import select
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import responses
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.tally import Tally

_LARGEST_BODY = 64 * 1024 * 1024
_LONGEST_LINE = 64 * 1024
_DRIPS = 20
"""Parts that a slow answer is cut into."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived, with its whole body."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes

    def json(self) -> Any:
        """The body as JSON; raises ValueError when it is none."""
        return json.loads(self.body)


class Line(StreamRequestHandler):
    """One connection.

    Attributes:
        keep: whether another request may follow on it.
    """

    disable_nagle_algorithm = True
    rbufsize = 1 << 16
    server: Server
    keep = True

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):  # ValueError: a file that was closed under it
            while self.keep:
                self._handle_one()

    def _handle_one(self) -> None:
        start = self._read_line()
        if not start:
            self.keep = False
            return
        words = start.split()
        headers = self._headers()
        if len(words) != 3 or words[2] != "HTTP/1.1" or headers is None:
            self._break_off(400)
            return
        method, target, _ = words
        if headers.get("connection", "").lower() == "close":
            self.keep = False
        length = headers.get("content-length", "0" if method == "GET" else "")
        if not length.isdecimal():
            self._break_off(411)
            return
        if int(length) > _LARGEST_BODY:
            self._break_off(413)
            return
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.keep = False
        elif method != "POST":
            self.send(405, b"", {})
        else:
            self.server.serve(Request(method, *_split(target), headers, body), self)

    def _read_line(self) -> str:
        return self.rfile.readline(_LONGEST_LINE).decode("latin-1").rstrip("\r\n")

    def _headers(self) -> dict[str, str] | None:
        """By lower-case name; None when one is no header."""
        headers: dict[str, str] = {}
        while line := self._read_line():
            name, colon, value = line.partition(":")
            if not colon:
                return None
            headers[name.lower()] = value.strip()
        return headers

    def _break_off(self, status: int) -> None:
        self.keep = False
        self.send(status, b"", {})

    def send(self, status: int, body: bytes, headers: Mapping[str, str], *, until: int | None = None) -> None:
        """Write an answer; only `until` so many bytes of its body if that is given, and then no more."""
        whole = spelled(status, body, headers)
        if until is not None:
            whole = whole[: len(whole) - len(body) + until]
            self.keep = False
        self.wfile.write(whole)

    def drip(self, data: bytes, seconds: float, stop: threading.Event) -> None:
        """Write in `_DRIPS` parts, spread over so many seconds."""
        step = len(data) // _DRIPS + 1
        for start in range(0, len(data), step):
            self.wfile.write(data[start : start + step])
            if stop.wait(seconds / _DRIPS):
                raise ConnectionAbortedError("the fake is closing")

    def gone(self) -> bool:
        """Whether the client has closed its end: it would never read an answer."""
        if not select.select([self.connection], [], [], 0)[0]:
            return False
        return not self.connection.recv(1, socket.MSG_PEEK)

    def reset(self) -> None:
        """Close so that the client sees a reset."""
        _reset(self.connection)
        self.keep = False

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()


class Server(ThreadingTCPServer):
    """Listens on 127.0.0.1.

    Args:
        serve: answers one request on its line.
        tally: is told of connections, and of what breaks in the fake itself.
        port: 0 takes a free one.
    """

    allow_reuse_address = True
    request_queue_size = 256  # 64 clients may connect at once; the default of 5 makes some wait a second
    daemon_threads = True
    block_on_close = False

    def __init__(self, serve: Callable[[Request, Line], None], tally: Tally, port: int) -> None:
        self.serve = serve
        self._tally = tally
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Line)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._tally.add("connections")
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def drop_all(self) -> None:
        """Reset every connection that is open."""
        for connection in list(self._open):
            _reset(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A fault of the fake itself: shown, so that no test passes by accident."""
        self._tally.add("broken")
        super().handle_error(request, client_address)


def spelled(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    """An answer as it goes over the wire."""
    lines = [
        f"HTTP/1.1 {status} {responses.get(status, '')}",
        f"Content-Length: {len(body)}",
        "Content-Type: application/json; charset=utf-8",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


@functools.lru_cache(maxsize=64)
def _split(target: str) -> tuple[str, dict[str, list[str]]]:
    """Path and query; nobody changes the dict."""
    url = urlsplit(target)
    return url.path, parse_qs(url.query, keep_blank_values=True)


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
        connection.close()
