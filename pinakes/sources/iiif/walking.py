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
class Reference:
    """A document that another one names.

    Attributes:
        url: its address.
        changed: the time of its last change, as a stream of changes gives it; else empty.
    """

    url: str
    changed: str = ""


class Walk:
    """Goes through collections, through each of them once.

    Args:
        documents: where they come from.
        problems: a sentence is added for each document that cannot be read.
    """

    def __init__(self, documents: Documents, problems: list[str]) -> None:
        self._documents = documents
        self._problems = problems
        self._seen: set[str] = set()

    def manifests(self, addresses: Sequence[str]) -> Iterator[Reference]:
        """The manifests below addresses, in their order, each once.

        Raises:
            SourceError: the only address cannot be read.
        """
        for address in addresses:
            # Iterators instead of recursion: a collection may be in more pages than Python has nested calls.
            waiting = [iter((Reference(address),))]
            while waiting:
                depth = len(waiting) - 1
                try:
                    reference = next(waiting[-1], None)
                    depth += 1
                    if reference is None:
                        waiting.pop()
                    elif reference.url not in self._seen:
                        self._seen.add(reference.url)
                        members = self._members(reference)
                        if members is None:
                            yield reference
                        else:
                            waiting.append(members)
                except SourceError as exc:
                    # One document among many is a note; where it is all that was named, there is nothing to list.
                    if depth == 1 and len(addresses) == 1:
                        raise
                    self._problems.append(str(exc).rstrip("."))

    def _members(self, reference: Reference) -> Iterator[Reference] | None:
        """The documents that a document names; None where it is a manifest."""
        head = self._documents.head(reference.url, stamp=reference.changed)
        match type_of(head):
            case "Manifest":
                return None
            case "Collection":
                return self._collection(reference.url, head)
            case "OrderedCollection" | "OrderedCollectionPage":
                return self._changes(reference.url, head)
            case kind:
                raise SourceError(
                    f"{reference.url} is {f'a {kind}' if kind else 'JSON without a type'}; give a Manifest or a Collection"
                    " of IIIF, or the OrderedCollection of its changes."
                )

    def _collection(self, url: str, head: dict[str, Any]) -> Iterator[Reference]:
        with self._documents.open(url) as body:
            for name in CHILDREN:
                for member in members_of(body, url, name):
                    yield from self._named(member, url)
        for name in ("first", "next"):  # of a collection in pages, and of a page
            if address := id_of(head.get(name)):
                yield Reference(absolute(address, url))

    def _named(self, member: Any, url: str) -> Iterator[Reference]:
        """What a member of a collection names; where it is a whole collection itself, what its members name."""
        waiting = [member]
        while waiting:
            node = waiting.pop()
            within: list[Any] = []
            if isinstance(node, Mapping) and type_of(node) == "Collection":
                within = [child for name in CHILDREN for child in as_list(node.get(name))]
            if within:
                waiting += reversed(within)
            elif address := id_of(node):
                yield Reference(absolute(address, url))
            else:
                self._problems.append(f"{url} has a member without an address")

    def _changes(self, url: str, head: dict[str, Any]) -> Iterator[Reference]:
        """The manifests of a stream of changes, the latest change last; what was deleted is left out."""
        # From the last page back: the first word about a manifest is the newest, and setdefault keeps it.
        latest: dict[str, str | None] = {}
        for page, activity in self._activities(url, head):
            kind, changed = type_of(activity), str(activity.get("endTime") or activity.get("startTime") or "")
            self._note(latest, activity.get("object"), page, None if kind in (*GONE, "Move") else changed)
            if kind == "Move":
                self._note(latest, activity.get("target"), page, changed)
        for address, last_change in reversed(latest.items()):
            if last_change is not None:
                yield Reference(address, last_change)

    def _activities(self, url: str, head: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The activities of a stream, each with the address of its page, the latest first."""
        for page in self._pages(url, head):
            with self._documents.open(page) as body:
                activities = list(members_of(body, page, "orderedItems"))
            for activity in reversed(activities):
                if type_of(activity) == "Refresh":  # after which everything that exists is announced again
                    return
                yield page, activity

    def _note(self, latest: dict[str, str | None], thing: Any, page: str, changed: str | None) -> None:
        """Note the last change of a thing; None: it is gone."""
        for item in as_list(thing):
            if address := id_of(item):
                latest.setdefault(absolute(address, page), changed)

    def _pages(self, url: str, head: dict[str, Any]) -> Iterator[str]:
        """The pages of a stream, the last one first."""
        # The address may be that of any page: first forward to the last one. Pages that lead in a circle end both ways.
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
