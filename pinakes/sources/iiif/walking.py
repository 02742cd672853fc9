"""From an address to the manifests behind it: nested collections, pages, and streams of changes.

https://iiif.io/api/discovery/1.0/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from pinakes.errors import SourceError
from pinakes.settings import is_loopback
from pinakes.sources.iiif.documents import Documents
from pinakes.sources.iiif.reading import id_of, members_of, type_of

CHILDREN = ("collections", "manifests", "members", "items")
"""Lists of a collection, in version 2 and 3."""

GONE = frozenset({"Delete", "Remove"})


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest; `changed` is when, as a stream of changes says it, or empty."""

    url: str
    changed: str = ""


class Walk:
    """Goes through collections, each of them once.

    Args:
        documents: where they come from.
        problems: a sentence is added for each document that cannot be read.
    """

    def __init__(self, documents: Documents, problems: list[str]) -> None:
        self._documents = documents
        self._problems = problems
        self._seen: set[str] = set()

    def manifests(self, addresses: Sequence[str]) -> Iterator[Found]:
        """The manifests below addresses, in their order, each once.

        Raises:
            SourceError: the only address cannot be read.
        """
        for address in addresses:
            try:
                yield from self._below(address, "")
            except SourceError as exc:
                if len(addresses) == 1:
                    raise
                self._problems.append(str(exc).rstrip("."))

    def _below(self, url: str, changed: str) -> Iterator[Found]:
        if url in self._seen:
            return
        self._seen.add(url)
        head = self._documents.head(url, stamp=changed)
        match type_of(head):
            case "Manifest":
                yield Found(url, changed)
            case "Collection":
                yield from self._collection(url, head)
            case "OrderedCollection" | "OrderedCollectionPage":
                yield from self._changes(url, head)
            case kind:
                raise SourceError(
                    f"{url} is {f'a {kind}' if kind else 'JSON without a type'}; give a Manifest or a Collection of IIIF,"
                    " or the OrderedCollection of its changes."
                )

    def _child(self, url: str, kind: str, changed: str = "") -> Iterator[Found]:
        """What one member of a collection leads to; a manifest is not opened for it."""
        if kind == "Manifest":
            if url not in self._seen:
                self._seen.add(url)
                yield Found(url, changed)
            return
        try:
            yield from self._below(url, changed)
        except SourceError as exc:
            self._problems.append(str(exc).rstrip("."))

    def _collection(self, url: str, head: dict[str, Any]) -> Iterator[Found]:
        for name in CHILDREN:
            with self._documents.open(url) as body:
                for member in members_of(body, url, name):
                    if address := id_of(member):
                        yield from self._child(absolute(address, url), type_of(member))
        for name in ("first", "next"):  # of a collection in pages, and of a page
            if address := id_of(head.get(name)):
                yield from self._child(absolute(address, url), "")

    def _changes(self, url: str, head: dict[str, Any]) -> Iterator[Found]:
        """The manifests of a stream of changes, the latest change last; what was deleted is left out."""
        latest: dict[str, tuple[str, str] | None] = {}
        for page in self._pages(url, head):
            with self._documents.open(page) as body:
                activities = list(members_of(body, page, "orderedItems"))
            refreshed = False
            for activity in reversed(activities):
                kind, changed = type_of(activity), str(activity.get("endTime") or activity.get("startTime") or "")
                if kind == "Refresh":
                    refreshed = True  # everything that is there is announced again after it
                    break
                self._note(latest, activity.get("object"), page, None if kind in (*GONE, "Move") else changed)
                if kind == "Move":
                    self._note(latest, activity.get("target"), page, changed)
            if refreshed:
                break
        for address, told in reversed(latest.items()):
            if told is not None:
                yield from self._child(address, *told)

    def _note(self, latest: dict[str, tuple[str, str] | None], thing: Any, page: str, changed: str | None) -> None:
        """Note the last change of a thing; None: it is gone."""
        if address := id_of(thing):
            kind = type_of(thing) if isinstance(thing, dict) else ""
            latest.setdefault(absolute(address, page), None if changed is None else (kind, changed))

    def _pages(self, url: str, head: dict[str, Any]) -> Iterator[str]:
        """The pages of a stream, the last one first."""
        seen: set[str] = set()
        at = url
        if type_of(head) == "OrderedCollection":
            at = absolute(id_of(head.get("last")) or id_of(head.get("first")), url)
            head = self._documents.head(at)
        while (later := id_of(head.get("next"))) and at not in seen:
            seen.add(at)
            at = absolute(later, at)
            head = self._documents.head(at)
        seen.clear()
        while at not in seen:
            seen.add(at)
            yield at
            if not (earlier := id_of(self._documents.head(at).get("prev"))):
                return
            at = absolute(earlier, at)


def absolute(address: str, base: str) -> str:
    """An address of a document as it is fetched: percent-encoded, and by https:// where it is not on this machine.

    One that cannot be read stays as it is; `pinakes.sources.urltable.check_url` says why.
    """
    try:
        parts = urlsplit(urljoin(base, address))
        host = parts.hostname or ""
    except ValueError:
        return address
    scheme = "https" if parts.scheme == "http" and not is_loopback(host) else parts.scheme
    path, query = (quote(text, safe="/%:=&?~+!$,;'@()*[]") for text in (parts.path, parts.query))
    return urlunsplit((scheme, parts.netloc, path, query, ""))
