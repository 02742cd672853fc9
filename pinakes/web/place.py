"""The collection that a visitor looks at, and the pictures of their shortlist; every link of a page contains both."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from starlette.types import ASGIApp, Receive, Scope, Send

KEEP = "keep"
"""The parameter of an address that names a kept picture; it is repeated."""

MOST_KEPT = 100
"""The most pictures of a shortlist: its address stays shorter than browsers and mail programs allow."""

COLLECTION = "collection"
"""The key of a request's scope under which the name of its collection is; empty for the one at the root."""

_COLLECTION = re.compile(r"/in/([^/]+)(/.*)")
"""The path of every collection other than the one that is served at the root."""


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a request.

    Attributes:
        prefix: comes before every path; empty for the collection at the root.
        kept: the image_ids of the shortlist, in the order in which they were added.
        path, pairs: the path and the parameters of the request, without the prefix and the shortlist.
    """

    prefix: str = ""
    kept: tuple[str, ...] = ()
    path: str = "/"
    pairs: tuple[tuple[str, str], ...] = ()


PLACE: ContextVar[Place] = ContextVar("place", default=Place())  # noqa: B039 - it is frozen
"""Set for each request; a thread that answers one inherits it."""


def file_path(path: str) -> str:
    """The address of a file of this collection, such as a picture or a document for programs: without the shortlist."""
    return PLACE.get().prefix + path


def link(path: str, pairs: Iterable[tuple[str, str]] = (), kept: tuple[str, ...] | None = None) -> str:
    """The address of a page of this collection.

    Args:
        path: from the root of the collection.
        pairs: its parameters.
        kept: the shortlist; None: that of the request.
    """
    kept = PLACE.get().kept if kept is None else kept
    every = [*pairs, *((KEEP, image_id) for image_id in kept)]
    # Conditions such as author=X stay readable: a query may contain these characters.
    return file_path(path) + ("?" + urlencode(every, quote_via=quote, safe="=,:/~*") if every else "")


def toggled(image_id: str) -> str:
    """The address of the same page, with a picture added to the shortlist or taken off it; a full list is shown instead."""
    place = PLACE.get()
    # The address would carry one picture too many, and the next page would leave it out without a word.
    if image_id not in place.kept and len(place.kept) >= MOST_KEPT:
        return link("/shortlist")
    others = tuple(kept for kept in place.kept if kept != image_id)
    return link(place.path, place.pairs, others if image_id in place.kept else (*place.kept, image_id))


class Places:
    """ASGI middleware that finds the collection of a path and the shortlist of an address.

    Args:
        app: the application; it gets the path without the prefix.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request in its place."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = parse_qsl(scope.get("query_string", b"").decode("latin-1"))
        kept = tuple(dict.fromkeys(value for name, value in sent if name == KEEP))[:MOST_KEPT]
        found = _COLLECTION.fullmatch(scope["path"])
        name, path = (found[1], found[2]) if found else ("", scope["path"])
        # A page that answers a POST has no address of its own: links on it lead to the bare path.
        pairs = tuple(pair for pair in sent if pair[0] != KEEP) if scope["method"] == "GET" else ()
        # Never reset: each request runs in a context of its own.
        PLACE.set(Place(f"/in/{quote(name)}" if name else "", kept, quote(path), pairs))
        await self._app({**scope, "path": path, "raw_path": quote(path).encode(), COLLECTION: name}, receive, send)
