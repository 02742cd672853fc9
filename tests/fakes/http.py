"""What the HTTP fakes share: a keep-alive server that throttles, delays, fails on schedule, and counts everything."""

from __future__ import annotations

import email.utils
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes.fake import Fake
from tests.fakes.faults import Fault, Faults, Kind, Latency
from tests.fakes.quota import Quota
from tests.fakes.tally import Tally
from tests.fakes.wire import Line, Request, Server, spelled


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


class HttpFake(Fake[Server]):
    """One fake service on one port; use it as a context manager. Subclasses give it its protocol.

    Args:
        port: 0 takes a free one.
        latency: seconds a request takes, or a `Latency`.
        quota: None lifts it.
        faults: None: nothing goes wrong.
        slow_seconds: over how long a slow answer is spread.
        retry_after: how a 429 says when to come back: `seconds`, `date` (an HTTP date) or `none`.
        blind: pictures are not looked at, so that the fake's own work is small: whatever the bytes are, they are
            accepted, and the vector follows from their hash. For measuring clients.

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
        blind: bool = False,
    ) -> None:
        self.latency = latency if isinstance(latency, Latency) else Latency(latency)
        self.quota = quota
        self.faults = faults or Faults()
        self.slow_seconds = slow_seconds
        self.retry_after = retry_after
        self.blind = blind
        self.tally = Tally()
        self._refusals: deque[Refusal] = deque()
        super().__init__(Server(self.serve, self.tally, port))

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
        return self.tally.counts

    @property
    def calls(self) -> Counter[str]:
        """A copy of how often each key was charged."""
        return self.tally.calls

    @property
    def delivered(self) -> Counter[str]:
        """A copy of how often each key's answer arrived."""
        return self.tally.delivered

    def refuse(self, status: int, code: str, message: str, **more: Any) -> None:
        """Answer the next authenticated request with this error."""
        self._refusals.append(Refusal(status, code, message, **more))

    def forget(self) -> None:
        """Count from zero again, and drop what `refuse` has queued."""
        self.tally.forget()
        self._refusals.clear()

    def hang_up(self) -> None:
        """Reset every connection that is open."""
        self._server.drop_all()

    def close(self) -> None:
        """Stop, and close every connection."""
        super().close()
        self._server.drop_all()

    # How a request is carried out.

    def serve(self, request: Request, line: Line) -> None:
        """Answer one request: credentials, quota, faults, validity, then the work; in the order of a real gateway."""
        with self.tally.request():
            try:
                self._serve(request, line)
            except Refusal as refusal:
                self.tally.add("throttled" if refusal.status == 429 else "refused")
                line.send(refusal.status, self._refused(refusal), refusal.headers | self.answer_headers())
            except OSError:
                line.keep = False  # the client has gone

    def _refused(self, refusal: Refusal) -> bytes:
        return json.dumps(self.refusal_body(refusal)).encode()

    def _serve(self, request: Request, line: Line) -> None:
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
            self.tally.add(f"fault-{fault.kind}")
            if not fault.charged:
                self._fail(fault, line)
                return
        work = self.examine(request)
        time.sleep(self.latency.draw())  # an Event would have one lock for all that wait
        body = work.answer()
        self.tally.charge(work.key)
        self._deliver(work, body, fault, line)

    def _deliver(self, work: Work, body: bytes, fault: Fault | None, line: Line) -> None:
        """Hand the answer over, counted before its last byte leaves: who has the answer finds it in the counts."""
        if fault is not None and fault.kind is not Kind.SLOW:
            self.tally.lose(work.key)
            self._fail(fault, line, body)
            return
        rest = spelled(200, body, self.answer_headers())
        try:
            if line.gone():
                raise ConnectionAbortedError("the client has gone")
            if fault is not None:
                line.drip(rest[:-1], self.slow_seconds, self._closing)
                rest = rest[-1:]
        except OSError:
            self.tally.lose(work.key)
            raise
        self.tally.deliver(work.key)
        try:
            line.wfile.write(rest)
        except OSError:
            self.tally.lose(work.key, delivered=True)
            raise

    def _fail(self, fault: Fault, line: Line, body: bytes = b"{}") -> None:
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
