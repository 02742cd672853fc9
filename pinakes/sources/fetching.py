"""Fetches files from the web, with limits on time, size and redirects, and never redirected into a private network."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.response import HTTPResponse
from urllib3.util.connection import create_connection

from pinakes.errors import one_line
from pinakes.settings import is_loopback
from pinakes.sources.http_headers import condition, retry_after_header, validator_of
from pinakes.sources.networks import is_public, may_be_named
from pinakes.types import ErrorClass, Failure

TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and between two pieces of an answer."""

DEADLINE = 120.0
"""Seconds for one picture, head and redirects included: a server that sends a few bytes at a time is given up then."""

MAX_BYTES = 256 << 20
"""The largest file that is fetched: three times the largest of SemArt's kind, and small enough for memory."""

MAX_REDIRECTS = 5

_PIECE = 1 << 16
_MOVED = frozenset({301, 302, 303, 307, 308})
_PAGES = ("text/", "application/json", "application/xhtml")
"""Content types that servers give to an error or a login page which they send with the status 200."""

# Pictures are compressed already, and only without another compression Content-Length is the size of the file.
_HEADERS = {"User-Agent": f"pinakes/{version('pinakes')}", "Accept-Encoding": "identity"}

PICTURES = "image/*,*/*;q=0.1"
"""The Accept header of a fetcher of pictures, which refuses what a server calls a page."""


class FetchError(Exception):
    """A file could not be fetched.

    Attributes:
        failure: how the ledger keeps it.
        retry_after: seconds that the server asks to wait, or None.
    """

    def __init__(
        self, error_class: ErrorClass, message: str, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.failure = Failure(error_class, message, status)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of a request.

    Attributes:
        data: the body; None where the server answers that it has not changed.
        validator: what identifies this state of the file on the server: its ETag, or `Last-Modified: ` and the date; None
            where nothing does.
    """

    data: bytes | None
    validator: str | None


class Fetcher:
    """Fetches files over HTTPS (HTTP from this machine only); thread-safe.

    A redirect may lead to another public server, or elsewhere on the first server, but from a public server to no
    address of this machine or a private network; the address is checked when the connection is made, so a name
    that resolves differently the second time gains nothing. A proxy, where one is set, makes its own connections.

    Args:
        max_bytes: the largest file.
        trusting: whether the server may be on a local network. To link-local addresses, groups and gateways no request is
            ever sent.
        seconds: how long a whole answer may take.
        accept: the Accept header.
    """

    def __init__(
        self,
        *,
        max_bytes: int = MAX_BYTES,
        trusting: bool = True,
        seconds: float = DEADLINE,
        accept: str = PICTURES,
    ) -> None:
        self._accept = accept
        self._max_bytes = max_bytes
        self._trusting = trusting
        self._seconds = seconds
        self._local = threading.local()

    def get(self, url: str, *, validator: str | None = None, named: str | None = None) -> Fetched:
        """The file at `url`; with `validator`, only if it has changed since.

        Args:
            url: where it is.
            validator: of the state that is known.
            named: the host that a person named, which leads to this one; None: this one.

        Raises:
            FetchError: it cannot be fetched.
        """
        first = (urlsplit(url).hostname or "") if named is None else named
        headers = {"Accept": self._accept} | condition(validator)
        at = url
        with _Ending(self._seconds) as ending:
            try:
                for _ in range(MAX_REDIRECTS + 1):
                    # Judged again for each redirect, which requests itself would follow without asking.
                    trusted = self._trusting and _is_trusted(urlsplit(at).hostname or "", first)
                    session = self._session(trusted=trusted)
                    with session.get(
                        at, headers=headers, timeout=TIMEOUT, stream=True, allow_redirects=False
                    ) as answer:
                        if answer.status_code not in _MOVED:
                            taken = self._taken(answer, validator)
                            ending.check()  # what has no stated length would seem complete
                            return taken
                        at = _redirected(answer, at, first)
            except (requests.RequestException, HTTPError, OSError, ValueError) as exc:
                ending.check()  # the closed socket is an error of its own, which does not say that the time is over
                if isinstance(exc, requests.Timeout):
                    raise FetchError(
                        ErrorClass.TIMEOUT, f"the server did not answer in time ({one_line(exc)})"
                    ) from exc
                if (blocked := _blocked(exc)) is not None:
                    leads = "the server redirects" if at != url else "the URL leads"
                    raise FetchError(ErrorClass.UNREADABLE, f"{leads} to {blocked}") from exc
                raise FetchError(ErrorClass.CONNECTION, f"the connection failed ({one_line(exc)})") from exc
        raise FetchError(ErrorClass.UNREADABLE, f"the server redirects more than {MAX_REDIRECTS} times")

    def _taken(self, answer: requests.Response, known: str | None) -> Fetched:
        status, validator = answer.status_code, validator_of(answer.headers)
        # Some servers ignore the condition and send the whole file: its validator saves reading the body.
        if known and (status == 304 or (status == 200 and validator == known)):
            return Fetched(None, known)
        if status != 200:
            said = f"the server answers {status} {answer.reason}".rstrip()
            raise FetchError(_class_of(status), said, status, retry_after_header(answer.headers))
        kind = answer.headers.get("Content-Type", "").lower()
        if self._accept == PICTURES and kind.startswith(_PAGES):
            raise FetchError(ErrorClass.UNREADABLE, f"the server answers with {kind}, not with a picture", status)
        if (size := int(answer.headers.get("Content-Length") or 0)) > self._max_bytes:
            raise self._too_large(f"{size:,} bytes")
        body = bytearray()  # counted as it comes, since the length may be missing or wrong
        for piece in answer.iter_content(_PIECE):
            body += piece
            if len(body) > self._max_bytes:
                raise self._too_large("more")
        return Fetched(bytes(body), validator)

    def _too_large(self, size: str) -> FetchError:
        return FetchError(ErrorClass.TOO_LARGE, f"the file has {size}; the limit is {self._max_bytes:,} bytes")

    def _session(self, *, trusted: bool) -> requests.Session:
        """One of this thread's two sessions: a server that the list names may have an address of a local network."""
        # Two, because a session keeps its connections open, and one that was allowed to the first server of a fetch
        # must not be used again for a redirect to it. One pair a thread, as sessions are not made for several.
        name = "trusted" if trusted else "strict"
        session: requests.Session | None = getattr(self._local, name, None)
        if session is None:
            session = requests.Session()
            session.headers.update(_HEADERS)
            for scheme in ("https://", "http://"):
                session.mount(scheme, _CheckingAdapter(may_be_named if trusted else is_public))
            setattr(self._local, name, session)
        return session


class _Ending:
    """Ends a thread's request after some seconds, whatever the server does; a context manager.

    A limit to each wait, as a socket has it, lets a server that sends a byte now and then go on for days: a piece is read
    when all of it has come, and a head may have a hundred long lines.
    """

    of_thread = threading.local()
    """`current` is that of the fetch which a thread is doing."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._over = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self.of_thread.current = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._socket = None  # another fetch may be using it by now
        self.of_thread.current = None

    def watch(self, used: socket.socket | None) -> None:
        """An answer is awaited from this socket."""
        with self._lock:
            self._socket = used
        if self._over:  # before there was a socket to close
            self._end()

    def check(self) -> None:
        """Raise `FetchError` if the time is over."""
        if self._over:
            raise FetchError(ErrorClass.TIMEOUT, f"the server took more than {self._seconds:.0f} s")

    def _end(self) -> None:
        self._over = True
        with self._lock, suppress(OSError):  # closed meanwhile
            if self._socket is not None:
                # Not the method of a TLS socket, which also drops the TLS state that another thread is reading with.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class PrivateAddressError(ValueError):
    """A URL or a redirect leads to a private network, which the list did not name or may not name."""


Allows = Callable[[str], bool]
"""Whether a connection to an IP address may be made."""


def _connected(connection: HTTPConnection, allows: Allows) -> socket.socket:
    """A connection as urllib3 makes it, to an address that was checked first."""
    host = connection._dns_host  # noqa: SLF001 - as urllib3's own _new_conn does
    resolved = socket.getaddrinfo(host, connection.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in resolved))
    # All of them, since a name with one public and one private address is made to lead into the private network.
    if not all(map(allows, addresses)):
        raise PrivateAddressError(f"{host}, which is in a private network")
    problem: OSError | None = None
    for address in addresses:
        try:
            # To the address that was checked, not to the name, whose answer may be another one the second time.
            return create_connection(
                (address, connection.port),
                connection.timeout,
                source_address=connection.source_address,
                socket_options=connection.socket_options,
            )
        except TimeoutError:  # which a NewConnectionError would hide, and a further address would take as long again
            raise
        except OSError as exc:
            problem = exc
    raise NewConnectionError(connection, f"{host} cannot be reached: {problem}")


class _CheckingAdapter(HTTPAdapter):
    """Connects only to addresses that are allowed."""

    def __init__(self, allows: Allows) -> None:
        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return _connected(self, allows)

            def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 itself
                # By way of the thread, because urllib3 does not tell a connection whose request it serves.
                ending: _Ending | None = getattr(_Ending.of_thread, "current", None)
                if ending is not None:
                    ending.watch(self.sock)
                return super().getresponse()

        class Tls(Plain, HTTPSConnection):  # what Plain replaces comes before what HTTPSConnection inherits
            pass

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class TlsPool(HTTPSConnectionPool):
            ConnectionCls = Tls

        self._pools: Mapping[str, Any] = {"http": PlainPool, "https": TlsPool}
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools


def _is_trusted(host: str, first: str) -> bool:
    """Whether a server may have an address of a local network, because it is the one that the list names."""
    return host == first or (is_loopback(host) and is_loopback(first))


def _redirected(answer: requests.Response, url: str, first: str) -> str:
    """Where a redirect leads."""
    target = urljoin(url, answer.headers.get("Location", ""))
    parts = urlsplit(target)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host) and is_loopback(first)):
        raise FetchError(
            ErrorClass.UNREADABLE, f"the server redirects to {target!r}; only https:// is followed", answer.status_code
        )
    return target


def _class_of(status: int) -> ErrorClass:
    if status == 429:
        return ErrorClass.QUOTA
    if status in {408, 504}:
        return ErrorClass.TIMEOUT
    return ErrorClass.SERVER if status >= 500 else ErrorClass.UNREADABLE


def _blocked(exc: BaseException) -> PrivateAddressError | None:
    """The `PrivateAddressError` among an exception's causes, if there is one."""
    cause: BaseException | None = exc
    while cause is not None and not isinstance(cause, PrivateAddressError):
        cause = cause.__cause__ or cause.__context__
    return cause
