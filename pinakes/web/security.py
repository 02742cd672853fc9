"""Who may use the page, from where and with how much data; and what a browser may do with an answer.

The check comes before every route, so that no route can forget it.
"""

from __future__ import annotations

import base64
import hmac
import logging
import math
import re
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pinakes.web.bodies import Bodies, Body, departures
from pinakes.web.uploads import MAX_UPLOAD_BYTES

logger = logging.getLogger(__name__)

OPEN_TO_ALL: Final = "/healthz"
"""The path that load balancers request without a token; the answer says only that the page works."""

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

MAX_BODY_BYTES: Final = MAX_UPLOAD_BYTES * 4 // 3 + (256 << 10)
"""An upload as base64, which takes 4 characters for 3 bytes, and the rest of a query."""

BODY_SECONDS: Final = 120.0
"""The time in which a body must arrive: 15 MB at 1 Mbit/s. A slower client would only occupy a connection."""

WRONG_TOKEN_SECONDS: Final = 1.0
"""Whoever tries tokens one after the other tries one a second; a person who mistyped one does not mind."""

WRONG_TOKENS_LOGGED_SECONDS: Final = 10.0
"""Wrong tokens are logged in one line at most this often, so that nobody can fill the disk with them."""

_FOR_VIEWERS: Final = re.compile(r"(?:/in/[^/]+)?/(?:iiif|thumbnails)/")
"""The paths that pages of `Access.viewers` may use. The guard runs before `Places`, which takes the prefix off."""

_FOR_PROGRAMS: Final = re.compile(r"(?:/in/[^/]+)?/api/")
"""The paths whose errors are JSON."""

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that know no frame-ancestors
    # With `no-referrer` browsers send `Origin: null` with the page's own forms, which could then not be told apart.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""On every answer."""

DEFAULT_CACHING: Final = "private, no-cache"
"""For an answer that does not say how it may be cached: pictures may be restricted at any moment."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who is let in.

    Attributes:
        token: must be sent by clients, as a bearer token or as the password of basic authentication; None: none is needed.
        hosts: the names under which the page may be requested; None: any. On loopback this keeps out the pages of other
            sites whose own name points to this machine (DNS rebinding).
        body_seconds: the time in which the body of a request must arrive.
        viewers: origins, such as `https://viewer.example.org`, whose pages may show documents of IIIF and thumbnails.
        wrong_token_seconds: how long a client that sent a wrong token waits for its answer.
    """

    token: str | None = None
    hosts: frozenset[str] | None = LOOPBACK_NAMES
    body_seconds: float = BODY_SECONDS
    wrong_token_seconds: float = WRONG_TOKEN_SECONDS
    viewers: frozenset[str] = frozenset()


class Guard:
    """ASGI middleware that refuses requests which are not allowed, and puts `HEADERS` on every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._wrong = 0
        self._logged_at = -math.inf
        self._bodies = Bodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        viewer = self._viewer(scope, headers)

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                _secure(MutableHeaders(scope=message), viewer)
            await send(message)

        refusal = self._refusal(scope, headers)
        if refusal is not None:
            if refusal.status_code == 401 and "authorization" in headers:
                self._count_wrong_token(scope)
                await anyio.sleep(self._access.wrong_token_seconds)
            await refusal(scope, receive, send_secured)
            return
        if scope["method"] == "HEAD":  # answered as GET; the server leaves the body out
            scope = {**scope, "method": "GET"}
        with self._bodies.one() as body:
            async with departures(scope, _capped(receive, self._access.body_seconds, body)) as came:
                await self._app(scope, came, send_secured)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if self._access.hosts is not None and _name_of(host) not in self._access.hosts:
            return _refused(
                scope, 400, "this page answers only on this machine, under the name localhost or 127.0.0.1."
            )
        if scope["path"] != OPEN_TO_ALL and not self._knows_token(headers):
            response = _refused(scope, 401, "this page requires a token: ask whoever runs it.")
            response.headers["WWW-Authenticate"] = 'Basic realm="Pinakes", charset="UTF-8"'
            return response
        if self._viewer(scope, headers) is None and _is_foreign(scope["method"], headers, host):
            return _refused(scope, 403, "another site sent this request, and this page accepts only its own.")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > MAX_BODY_BYTES:
            response = _refused(scope, 413, _TOO_LARGE)
            response.headers["Connection"] = "close"  # otherwise the server would read the body to its end
            return response
        return None

    def _viewer(self, scope: Scope, headers: Headers) -> str | None:
        """The origin of a viewer, if one of its pages requests a path that viewers may use; else None."""
        if scope["method"] not in ("GET", "HEAD") or not _FOR_VIEWERS.match(scope["path"]):
            return None
        # For a picture in an <img>, a browser sends no Origin, but the address of the page as Referer.
        origin = headers.get("origin") or "://".join(_parsed(headers.get("referer", ""))[:2])
        return origin if origin in self._access.viewers else None

    def _count_wrong_token(self, scope: Scope) -> None:
        self._wrong += 1
        if time.monotonic() - self._logged_at < WRONG_TOKENS_LOGGED_SECONDS:
            return
        # Counted over all clients: with a line for each address, many machines together could fill the disk.
        host, _ = scope.get("client") or ("an unknown address", 0)
        logger.warning(
            "%d request(s) with a wrong token since the last such line; the latest from %s", self._wrong, host
        )
        self._wrong, self._logged_at = 0, time.monotonic()

    def _knows_token(self, headers: Headers) -> bool:
        if self._access.token is None:
            return True
        sent = _token_in(headers.get("authorization", ""))
        # == takes longer the more bytes agree, which would reveal the token byte by byte to a patient client.
        return sent is not None and hmac.compare_digest(sent, self._access.token.encode())


_TOO_LARGE: Final = f"the request is too large: a picture may have {MAX_UPLOAD_BYTES >> 20} MB."

_TOO_SLOW: Final = "the request came too slowly; send it again over a better line, or a smaller picture."


def _secure(headers: MutableHeaders, viewer: str | None) -> None:
    """Add the headers of every answer, and those that let the pages of a viewer use it."""
    for name, value in HEADERS.items():
        headers[name] = value
    if viewer is not None:
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        headers["Access-Control-Allow-Origin"] = viewer
        headers.add_vary_header("Origin")
    headers.setdefault("Cache-Control", DEFAULT_CACHING)


def _capped(receive: Receive, seconds: float, body: Body) -> Receive:
    """The same body, which ends in an error once it is too long or too late: an announced length may be false."""
    complete = False
    # One deadline for the whole body: a limit on each message would let a client send a byte at a time.
    deadline = time.monotonic() + seconds

    async def capped() -> Message:
        nonlocal complete
        if complete:  # the only event left is that the visitor leaves, which has no deadline
            return await receive()
        with anyio.move_on_after(deadline - time.monotonic()) as waited:
            message = await receive()
        if waited.cancelled_caught:
            raise HTTPException(408, _TOO_SLOW, headers={"Connection": "close"})
        complete = not message.get("more_body", False)
        if body.took(len(message.get("body", b""))) > MAX_BODY_BYTES:
            raise HTTPException(413, _TOO_LARGE, headers={"Connection": "close"})
        return message

    return capped


def _token_in(authorization: str) -> bytes | None:
    """The token in a header, of either scheme."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1")  # the bytes of the header, which Starlette decodes as latin-1
    if scheme.lower() == "basic":
        try:
            _, colon, password = base64.b64decode(value.strip(), validate=True).partition(b":")
        except ValueError:
            return None
        return password if colon else None
    return None


def _name_of(host: str) -> str:
    """The Host header without its port, in lower case."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def _is_foreign(method: str, headers: Headers, host: str) -> bool:
    """Whether a page of another origin makes this request, to change something here, or to show or read it.

    Links from other sites to the page are allowed. Programs other than browsers send neither header.
    """
    # A page cannot set this header; older browsers do not send it, and for them `Origin` decides.
    site = headers.get("sec-fetch-site")
    if site in ("same-origin", "none"):  # none: the address was typed, or is a bookmark
        return False
    if method in _SAFE_METHODS:
        return site is not None and headers.get("sec-fetch-mode") != "navigate"
    if site is not None:
        return True
    origin = headers.get("origin")
    return origin is not None and _parsed(origin).netloc.lower() != host.lower()


def _parsed(address: str) -> SplitResult:
    """The parts of an address, empty ones if it is none, such as `http://[`."""
    # An error in the guard would be logged with a traceback for everybody who sends such a header, token or not.
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _refused(scope: Scope, status: int, message: str) -> Response:
    if _FOR_PROGRAMS.match(scope["path"]):
        return JSONResponse({"error": message}, status)
    return PlainTextResponse(message, status)
