"""From an address to the manifests behind it: nested collections, pages, and streams of changes.

https://iiif.io/api/discovery/1.0/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from pinakes.errors import SourceError
from pinakes.settings import is_loopback
from pinakes.sources.iiif.documents import Documents
from pinakes.sources.iiif.reading import as_list, id_of, members_of, type_of

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
            waiting = [iter((Found(address),))]  # members of what leads to what: as deep as that is
            while waiting:
                depth = len(waiting) - 1
                try:
                    found = next(waiting[-1], None)
                    depth += 1
                    if found is None:
                        waiting.pop()
                    elif found.url not in self._seen:
                        self._seen.add(found.url)
                        members = self._members(found)
                        if members is None:
                            yield found
                        else:
                            waiting.append(members)
                except SourceError as exc:
                    if depth == 1 and len(addresses) == 1:
                        raise
                    self._problems.append(str(exc).rstrip("."))

    def _members(self, found: Found) -> Iterator[Found] | None:
        """What a document leads to; None where it is a manifest."""
        head = self._documents.head(found.url, stamp=found.changed)
        match type_of(head):
            case "Manifest":
                return None
            case "Collection":
                return self._collection(found.url, head)
            case "OrderedCollection" | "OrderedCollectionPage":
                return self._changes(found.url, head)
            case kind:
                raise SourceError(
                    f"{found.url} is {f'a {kind}' if kind else 'JSON without a type'}; give a Manifest or a Collection of"
                    " IIIF, or the OrderedCollection of its changes."
                )

    def _collection(self, url: str, head: dict[str, Any]) -> Iterator[Found]:
        with self._documents.open(url) as body:
            for name in CHILDREN:
                for member in members_of(body, url, name):
                    yield from self._named(member, url)
        for name in ("first", "next"):  # of a collection in pages, and of a page
            if address := id_of(head.get(name)):
                yield Found(absolute(address, url))

    def _named(self, member: Any, url: str) -> Iterator[Found]:
        """What a member of a collection names, or, where it is a whole collection of its own, what the members in it do."""
        waiting = [member]
        while waiting:
            each = waiting.pop()
            within: list[Any] = []
            if isinstance(each, Mapping) and type_of(each) == "Collection":
                within = [child for name in CHILDREN for child in as_list(each.get(name))]
            if within:
                waiting += reversed(within)
            elif address := id_of(each):
                yield Found(absolute(address, url))
            else:
                self._problems.append(f"{url} has a member without an address")

    def _changes(self, url: str, head: dict[str, Any]) -> Iterator[Found]:
        """The manifests of a stream of changes, the latest change last; what was deleted is left out."""
        latest: dict[str, str | None] = {}
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
                yield Found(address, told)

    def _note(self, latest: dict[str, str | None], thing: Any, page: str, changed: str | None) -> None:
        """Note the last change of a thing; None: it is gone."""
        for each in as_list(thing):
            if address := id_of(each):
                latest.setdefault(absolute(address, page), changed)

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
