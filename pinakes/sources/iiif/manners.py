"""Sends museums' servers requests as they want them: at a limited rate, and only for what their robots.txt allows."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection
from typing import Protocol
from urllib.parse import unquote, urlsplit
from urllib.robotparser import RobotFileParser

from pinakes.rates import parse_rate
from pinakes.settings import is_loopback
from pinakes.sources.fetching import Fetched, Fetcher, FetchError
from pinakes.types import ErrorClass

RATE = "5/s"
"""Requests to one host, unless `pinakes limits` sets another rate or its robots.txt asks for a lower one."""

NAME = "pinakes"
"""What robots.txt may call this program."""

AGAIN_SECONDS = 60.0
"""After which a robots.txt that could not be read is requested again."""

ROBOTS_BYTES = 512 << 10
"""RFC 9309, 2.5: at least 500 KiB are read."""

MOST_PAUSE = 3600.0
"""Seconds without requests that a host may ask for at once, as with a rate limit that is kept in the database."""

MOST_DELAY = 86_400
"""Seconds between two requests that a robots.txt may ask for; of a longer time the rate would be too small to write."""

_PACED = re.compile(r"\s*(crawl-delay|request-rate)\s*:", re.IGNORECASE)

_ROBOTS = Fetcher(max_bytes=ROBOTS_BYTES, accept="text/plain,*/*;q=0.1", seconds=30.0)


class Pace(Protocol):
    """Says when the next request to a host may be made; `pinakes.quota.limiter.Limiter` does so for all machines."""

    def wait(self) -> None:
        """Block until one request may be made."""
        ...

    def throttled(self, retry_after: float | None) -> None:
        """The host has asked for so many seconds without requests."""
        ...


class OwnPace:
    """The pace of this process, where no database keeps one.

    Args:
        quota: not used; a pace that the database keeps needs it.
        rate: see `RATE`.
    """

    def __init__(self, quota: str, rate: str) -> None:  # noqa: ARG002 - opened like a pace that the database keeps
        self._seconds = 1 / parse_rate(rate).per_second
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """See `Pace`."""
        # Under the lock a caller only takes the next turn; it waits for it without, or the others could take none.
        with self._lock:
            at = max(self._next, time.monotonic())
            self._next = at + self._seconds
        time.sleep(max(0.0, at - time.monotonic()))

    def throttled(self, retry_after: float | None) -> None:
        """See `Pace`."""
        pause = min(retry_after or 1.0, MOST_PAUSE)
        with self._lock:
            self._next = max(self._next, time.monotonic() + pause)


class Manners:
    """Fetches files at the pace of their hosts. Thread-safe.

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
        """The file at `url`, requested once, when it is this caller's turn.

        Raises:
            FetchError: it cannot be fetched, or robots.txt does not allow it.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        named = host if self.trusts(host) else ""
        robots, pace = self._host(f"{parts.scheme}://{parts.netloc}", named)
        if not robots.can_fetch(NAME, url):
            raise FetchError(ErrorClass.REJECTED, f"the robots.txt of {parts.netloc} does not allow this address")
        pace.wait()
        try:
            return fetcher.get(url, validator=validator, named=named)
        except FetchError as exc:
            if exc.failure.error_class is ErrorClass.QUOTA or exc.retry_after is not None:
                pace.throttled(exc.retry_after)
                exc.retry_after = exc.retry_after or 1.0  # the pace knows how long; it is worth another try
            raise

    def _host(self, origin: str, named: str) -> tuple[RobotFileParser, Pace]:
        # The lock is held during the request too: eight threads that meet a host together ask once for its robots.txt.
        with self._lock:
            if origin in self._hosts:
                return self._hosts[origin]
            at, failed = self._failed.get(origin, (0.0, None))
            if failed is not None and time.monotonic() - at < AGAIN_SECONDS:
                # An exception keeps the frames of each time that it is raised: with many pictures they would add up.
                raise failed.with_traceback(None)
            try:
                robots = self._robots(origin, named)
            except FetchError as exc:
                self._failed[origin] = time.monotonic(), exc
                raise
            delay = min(int(robots.crawl_delay(NAME) or 0), MOST_DELAY)
            rate = f"{60 / delay:.4g}/min" if delay > 1 / parse_rate(RATE).per_second else RATE
            self._hosts[origin] = robots, self.pace(f"iiif:{origin.partition('://')[2]}", rate)
            return self._hosts[origin]

    def _robots(self, origin: str, named: str) -> RobotFileParser:
        """What a host allows: everything where it has no robots.txt (4xx), nothing while that fails (RFC 9309, 2.3.1)."""
        parser = RobotFileParser()
        parser.modified()  # it allows nothing as long as it has no time at which a robots.txt was read
        try:
            # By this fetcher and not by the parser's own read(), which follows any redirect and has no limits.
            data = _ROBOTS.get(f"{origin}/robots.txt", named=named).data or b""
        except FetchError as exc:
            status = exc.failure.http_status or 500
            if not 400 <= status < 500 or status == 429:
                kind = exc.failure.error_class
                raise FetchError(kind, f"its robots.txt cannot be read: {exc}", None, exc.retry_after) from exc
            data = b""
        lines = data.decode("utf-8", "replace").removeprefix("\ufeff").splitlines()
        parser.parse([line for line in lines if not _PACED.match(line) or _has_numbers(line)])
        return parser


def _has_numbers(line: str) -> bool:
    """Whether the digits of a line of robots.txt are numbers: the parser would fail over ² and over 5,000 digits."""
    value = unquote(line.partition("#")[0].partition(":")[2])
    try:
        for number in value.split("/"):
            if number.strip().isdigit():
                int(number)
    except ValueError:
        return False
    return True
