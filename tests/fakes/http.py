"""What the HTTP fakes share: a keep-alive server that throttles, delays, fails on schedule, and counts everything."""

from __future__ import annotations

import contextlib
import email.utils
import json
import select
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.fakes.faults import Fault, Faults, Kind, Latency
from tests.fakes.quota import Quota

_LARGEST_BODY = 64 * 1024 * 1024
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


@dataclass(frozen=True, slots=True)
class Work:
    """A valid request: what is charged, under which key (`md5:<hex>`, a uri or `text:…`), and how it is answered."""

    key: str
    answer: Callable[[], bytes]


class Refusal(Exception):  # noqa: N818 - the service refuses; nothing of ours is in error
    """The service's own error answer; `detail` is for the protocol's extra fields."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        detail: Any = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        self.detail = detail


@dataclass(slots=True)
class _Tally:
    counts: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    delivered: Counter[str] = field(default_factory=Counter)


class HttpFake:
    """One fake service on one port; use it as a context manager. Subclasses give it its protocol.

    Args:
        port: 0 takes a free one.
        latency: seconds a request takes, or a `Latency`.
        quota: None lifts it.
        faults: None: nothing goes wrong.
        slow_seconds: over how long a slow answer is spread.
        retry_after: how a 429 says when to come back: `seconds`, `date` (an HTTP date) or `none`.

    Attributes:
        url: `http://127.0.0.1:<port>`.
        counts: `connections`, `requests`, `throttled`, `refused`, `charged`, `delivered`, `lost` (charged, and the
            client did not get the answer), `fault-<kind>`, and `peak`: most requests at once.
        calls: how often each key was charged.
        delivered: how often its answer was handed over whole and right.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        latency: float | Latency = 0.0,
        quota: Quota | None = None,
        faults: Faults | None = None,
        slow_seconds: float = 10.0,
        retry_after: str = "seconds",
    ) -> None:
        self.latency = latency if isinstance(latency, Latency) else Latency(latency)
        self.quota = quota
        self.faults = faults or Faults()
        self.slow_seconds = slow_seconds
        self.retry_after = retry_after
        self._tally = _Tally()
        self._lock = threading.Lock()
        self._now = 0
        self._refusals: deque[Refusal] = deque()
        self._closing = threading.Event()
        self._server = _Server(self, port)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name=f"{type(self).__name__}"
        )

    # What a protocol fills in.

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point Pinakes at this fake."""
        raise NotImplementedError

    def authenticate(self, request: Request) -> None:
        """Raises Refusal when the credentials are not right."""
        raise NotImplementedError

    def examine(self, request: Request) -> Work:
        """What the request asks for; raises Refusal when the service would not accept it."""
        raise NotImplementedError

    def refusal_body(self, refusal: Refusal) -> Any:
        """The error as the service spells it, to be sent as JSON."""
        raise NotImplementedError

    def throttle(self, wait: float) -> Refusal:
        """The 429 of this service, without Retry-After; `wait` in seconds."""
        raise NotImplementedError

    def answer_headers(self) -> dict[str, str]:
        """Headers of every answer."""
        return {}

    # For tests.

    @property
    def counts(self) -> Counter[str]:
        """A copy of the counts so far."""
        with self._lock:
            return self._tally.counts.copy()

    @property
    def calls(self) -> Counter[str]:
        """A copy of how often each key was charged."""
        with self._lock:
            return self._tally.calls.copy()

    @property
    def delivered(self) -> Counter[str]:
        """A copy of how often each key's answer arrived."""
        with self._lock:
            return self._tally.delivered.copy()

    def refuse(self, status: int, code: str, message: str, **more: Any) -> None:
        """Answer the next authenticated request with this error."""
        self._refusals.append(Refusal(status, code, message, **more))

    def forget(self) -> None:
        """Count from zero again, and drop what `refuse` has queued."""
        with self._lock:
            self._tally = _Tally()
        self._refusals.clear()

    def hang_up(self) -> None:
        """Reset every connection that is open."""
        self._server.drop_all()

    def close(self) -> None:
        """Stop, and close every connection."""
        self._closing.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._server.drop_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # How a request is carried out.

    def count(self, *names: str) -> None:
        """Add one to each of these counts."""
        with self._lock:
            self._tally.counts.update(names)

    def serve(self, request: Request, line: _Line) -> None:
        """Answer one request: credentials, quota, faults, validity, then the work; in the order of a real gateway."""
        with self._lock:
            self._now += 1
            self._tally.counts["requests"] += 1
            self._tally.counts["peak"] = max(self._tally.counts["peak"], self._now)
        try:
            self._serve(request, line)
        except Refusal as refusal:
            self.count("throttled" if refusal.status == 429 else "refused")
            line.send(refusal.status, self._refused(refusal), refusal.headers | self.answer_headers())
        except OSError:
            line.keep = False  # the client has gone
        finally:
            with self._lock:
                self._now -= 1

    def _refused(self, refusal: Refusal) -> bytes:
        return json.dumps(self.refusal_body(refusal)).encode()

    def _serve(self, request: Request, line: _Line) -> None:
        self.authenticate(request)
        if self.quota is not None and (wait := self.quota.take()):
            refusal = self.throttle(wait)
            seconds = max(1, int(wait + 0.999))
            if self.retry_after == "seconds":
                refusal.headers["Retry-After"] = str(seconds)
            elif self.retry_after == "date":
                refusal.headers["Retry-After"] = email.utils.formatdate(time.time() + seconds, usegmt=True)
            raise refusal
        if self._refusals:
            raise self._refusals.popleft()
        fault = self.faults.next()
        if fault is not None:
            self.count(f"fault-{fault.kind}")
            if not fault.charged:
                self._fail(fault, line)
                return
        work = self.examine(request)
        self._closing.wait(self.latency.draw())
        body = work.answer()
        with self._lock:
            self._tally.counts["charged"] += 1
            self._tally.calls[work.key] += 1
        self._deliver(work, body, fault, line)

    def _deliver(self, work: Work, body: bytes, fault: Fault | None, line: _Line) -> None:
        """Hand the answer over, counted before its last byte leaves: who has the answer finds it in the counts."""
        if fault is not None and fault.kind is not Kind.SLOW:
            self._settle(work, lost=1)
            self._fail(fault, line, body)
            return
        rest = _answer(200, body, self.answer_headers())
        try:
            if line.gone():
                raise ConnectionAbortedError("the client has gone")
            if fault is not None:
                line.drip(rest[:-1], self.slow_seconds, self._closing)
                rest = rest[-1:]
        except OSError:
            self._settle(work, lost=1)
            raise
        self._settle(work, delivered=1)
        try:
            line.wfile.write(rest)
        except OSError:
            self._settle(work, delivered=-1, lost=1)
            raise

    def _settle(self, work: Work, *, delivered: int = 0, lost: int = 0) -> None:
        with self._lock:
            self._tally.counts["delivered"] += delivered
            self._tally.counts["lost"] += lost
            self._tally.delivered[work.key] += delivered

    def _fail(self, fault: Fault, line: _Line, body: bytes = b"{}") -> None:
        if fault.kind is Kind.ERROR:
            status, code = (500, "InternalServerError") if fault.charged else (503, "ServiceUnavailable")
            refusal = Refusal(status, code, "The service has a fault of its own.")
            line.send(status, self._refused(refusal), self.answer_headers())
        elif fault.kind is Kind.MALFORMED:
            line.send(200, body[: len(body) // 2] + b" ~~", self.answer_headers())
        elif fault.kind is Kind.TRUNCATED:
            line.send(200, body, self.answer_headers(), until=len(body) // 2)
        else:
            line.reset()


class _Line(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    @property
    def keep(self) -> bool:
        return not self.close_connection

    @keep.setter
    def keep(self, value: bool) -> None:
        self.close_connection = not value

    def do_POST(self) -> None:
        try:
            length = int(self.headers["Content-Length"])
        except (TypeError, ValueError):
            self.send(411, b"", {})
            self.keep = False
            return
        if length > _LARGEST_BODY:
            self.send(413, b"", {})
            self.keep = False
            return
        body = self.rfile.read(length)
        if len(body) < length:
            self.keep = False
            return
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        self.server.fake.serve(
            Request(self.command, url.path, query, {k.lower(): v for k, v in self.headers.items()}, body), self
        )

    def do_GET(self) -> None:
        self.send(405, b"", {})

    def send(self, status: int, body: bytes, headers: Mapping[str, str], *, until: int | None = None) -> None:
        """Write an answer; only `until` so many bytes of its body if that is given, and then no more."""
        whole = _answer(status, body, headers)
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

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):  # ValueError: a file that was closed under it
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *args: object) -> None:
        """Says nothing: the counts do."""


def _answer(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {responses.get(status, '')}",
        f"Content-Length: {len(body)}",
        "Content-Type: application/json; charset=utf-8",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
        connection.close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 256  # 64 clients may connect at once; the default of 5 makes some wait a second
    daemon_threads = True
    block_on_close = False

    def __init__(self, fake: HttpFake, port: int) -> None:
        self.fake = fake
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Line)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for this machine's name, which may take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        self.fake.count("connections")
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def drop_all(self) -> None:
        for connection in list(self._open):
            _reset(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A fault of the fake itself: shown, so that no test passes by accident."""
        self.fake.count("broken")
        super().handle_error(request, client_address)
