"""How the servers of museums are asked: in turn, by name, and only for what their robots.txt allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Protocol
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

from pinakes.rates import parse_rate
from pinakes.settings import is_loopback
from pinakes.sources.fetching import Fetched, Fetcher, FetchError
from pinakes.types import ErrorClass

RATE = "5/s"
"""Requests to one host, if nobody says otherwise by `pinakes limits` and its robots.txt asks for no more time."""

NAME = "pinakes"
"""What robots.txt may call this program."""

AGAIN_SECONDS = 60.0
"""After which a robots.txt that could not be read is asked for again."""

ROBOTS_BYTES = 512 << 10
"""RFC 9309, 2.5: at least 500 KiB are read."""

_ROBOTS = Fetcher(max_bytes=ROBOTS_BYTES, accept="text/plain,*/*;q=0.1", seconds=30.0)


class Pace(Protocol):
    """Says when a host may be asked; `pinakes.quota.limiter.Limiter` is one for all processes and machines."""

    def wait(self) -> None:
        """Block until one request may be made."""
        ...

    def throttled(self, retry_after: float | None) -> None:
        """The host has asked for so many seconds without requests."""
        ...


class OwnPace:
    """The pace of this process, where no database keeps one.

    Args:
        quota: whose it is, for nobody.
        rate: see `RATE`.
    """

    def __init__(self, quota: str, rate: str) -> None:  # noqa: ARG002 - as a pacer with a database is opened
        self._seconds = 1 / parse_rate(rate).per_second
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """See `Pace`."""
        with self._lock:
            at = max(self._next, time.monotonic())
            self._next = at + self._seconds
        time.sleep(max(0.0, at - time.monotonic()))

    def throttled(self, retry_after: float | None) -> None:
        """See `Pace`."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + (retry_after or 1.0))


class Manners:
    """Asks hosts for files. Thread-safe.

    Args:
        named: the hosts that a person has named. Others, which documents name, must be public servers.

    Attributes:
        pace: opens the pace of a quota, given its name and its default rate.
    """

    def __init__(self, named: Collection[str]) -> None:
        self.pace: Callable[[str, str], Pace] = OwnPace
        self._named = named
        self._hosts: dict[str, tuple[RobotFileParser, Pace]] = {}
        self._failed: dict[str, tuple[float, FetchError]] = {}
        self._lock = threading.Lock()

    def trusts(self, host: str) -> bool:
        """Whether a host may be on a local network, because a person has named it."""
        return host in self._named or (is_loopback(host) and any(map(is_loopback, self._named)))

    def get(self, fetcher: Fetcher, url: str, validator: str | None) -> Fetched:
        """The file at `url`, asked for once, when it is this caller's turn.

        Raises:
            FetchError: it cannot be fetched, or robots.txt does not allow it.
        """
        parts = urlsplit(url)
        robots, pace = self._host(f"{parts.scheme}://{parts.netloc}", parts.hostname or "")
        if not robots.can_fetch(NAME, url):
            raise FetchError(ErrorClass.REJECTED, f"the robots.txt of {parts.netloc} does not allow this address")
        pace.wait()
        try:
            return fetcher.get(url, validator=validator, named=self._leading_to(parts.hostname or ""))
        except FetchError as exc:
            if exc.failure.error_class is ErrorClass.QUOTA or exc.retry_after is not None:
                pace.throttled(exc.retry_after)
                exc.retry_after = exc.retry_after or 1.0  # the pace knows how long; it is worth another try
            raise

    def _leading_to(self, host: str) -> str:
        return host if self.trusts(host) else ""

    def _host(self, origin: str, host: str) -> tuple[RobotFileParser, Pace]:
        with self._lock:
            if origin in self._hosts:
                return self._hosts[origin]
            at, failed = self._failed.get(origin, (0.0, None))
            if failed is not None and time.monotonic() - at < AGAIN_SECONDS:
                raise failed
            try:
                robots = self._robots(origin, host)
            except FetchError as exc:
                self._failed[origin] = time.monotonic(), exc
                raise
            delay = float(robots.crawl_delay(NAME) or 0)
            rate = f"{60 / delay:.4g}/min" if delay > 1 / parse_rate(RATE).per_second else RATE
            self._hosts[origin] = robots, self.pace(f"iiif:{origin.partition('://')[2]}", rate)
            return self._hosts[origin]

    def _robots(self, origin: str, host: str) -> RobotFileParser:
        """What a host allows: everything where it has no robots.txt (4xx), nothing while that fails (RFC 9309, 2.3.1)."""
        parser = RobotFileParser()
        parser.modified()
        try:
            data = _ROBOTS.get(f"{origin}/robots.txt", named=self._leading_to(host)).data or b""
        except FetchError as exc:
            status = exc.failure.http_status or 500
            if not 400 <= status < 500 or status == 429:
                kind = exc.failure.error_class
                raise FetchError(kind, f"its robots.txt cannot be read: {exc}", None, exc.retry_after) from exc
            data = b""
        parser.parse(data.decode("utf-8", "replace").removeprefix("\ufeff").splitlines())
        return parser
