"""Where a visitor is: in which collection, and with which pictures kept. Every link of a page carries both along."""

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
"""Pictures of a shortlist: its address stays below what browsers and mail programs can carry."""

COLLECTION = "collection"
"""The key of a request's scope under which the name of its collection is; empty for the one at the root."""

_COLLECTION = re.compile(r"/in/([^/]+)(/.*)")
"""The path of every collection other than the one that is served at the root."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request is answered.

    Attributes:
        prefix: before every path, empty for the collection at the root.
        kept: the image_ids of the shortlist, in the order in which they were kept.
        path, pairs: the address itself, without the prefix and the shortlist.
    """

    prefix: str = ""
    kept: tuple[str, ...] = ()
    path: str = "/"
    pairs: tuple[tuple[str, str], ...] = ()


PLACE: ContextVar[Place] = ContextVar("place", default=Place())  # noqa: B039 - it is frozen
"""Set for each request; a thread that answers one inherits it."""


def file_path(path: str) -> str:
    """The address of a file of this collection: of a picture, or of an answer for programs."""
    return PLACE.get().prefix + path


def link(path: str, pairs: Iterable[tuple[str, str]] = (), kept: tuple[str, ...] | None = None) -> str:
    """The address of a page of this collection.

    Args:
        path: from the root of the collection.
        pairs: its parameters.
        kept: the shortlist; None: as it is now.
    """
    kept = PLACE.get().kept if kept is None else kept
    every = [*pairs, *((KEEP, image_id) for image_id in kept)]
    return file_path(path) + ("?" + urlencode(every, quote_via=quote, safe="=,:/~*") if every else "")


def toggled(image_id: str) -> str:
    """The address of the same page, with a picture added to the shortlist or taken off it."""
    place = PLACE.get()
    others = tuple(kept for kept in place.kept if kept != image_id)
    return link(place.path, place.pairs, others if image_id in place.kept else (*place.kept, image_id))


class Places:
    """ASGI middleware that finds the collection of a path and the shortlist of an address.

    Args:
        app: what answers; the path that it sees has no prefix.
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
        pairs = tuple(pair for pair in sent if pair[0] != KEEP) if scope["method"] == "GET" else ()
        PLACE.set(Place(f"/in/{quote(name)}" if name else "", kept, quote(path), pairs))
        await self._app({**scope, "path": path, "raw_path": quote(path).encode(), COLLECTION: name}, receive, send)
