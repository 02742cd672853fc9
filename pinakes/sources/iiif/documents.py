"""Documents of IIIF from the web, kept with their validators so that what has not changed is not fetched again."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

from pinakes.errors import SourceError
from pinakes.sources.fetching import Fetcher, FetchError
from pinakes.sources.iiif.manners import Manners
from pinakes.sources.iiif.reading import head_of
from pinakes.sources.sqlite_cache import SqliteCache
from pinakes.sources.urls import patiently
from pinakes.sources.urltable import check_url, without_login

MAX_BYTES = 128 << 20
"""Of one document: 60,000 canvases have about 100 MB."""

_HEADS = 64
"""Heads of documents that are remembered: each takes reading the whole document."""

ACCEPT = (
    'application/ld+json;profile="http://iiif.io/api/presentation/3/context.json",'
    "application/ld+json;q=0.9,application/json;q=0.8,*/*;q=0.1"
)


class Document(NamedTuple):
    """A document as it was last fetched.

    Attributes:
        validator: see `pinakes.sources.fetching.Fetched`.
        packed: its bytes, as gzip.
        stamp: when it changed last, as a stream of changes says it, and everything that it names was listed since.
    """

    validator: str
    packed: bytes
    stamp: str


class DocumentCache(SqliteCache):
    """Documents by URL."""

    file = "iiif.sqlite"
    table = "documents"
    schema = """
        CREATE TABLE IF NOT EXISTS documents (
            url TEXT PRIMARY KEY, validator TEXT NOT NULL, md5 BLOB NOT NULL, packed BLOB NOT NULL, stamp TEXT NOT NULL
        )
    """
    without = "every manifest is fetched again"

    def get(self, url: str) -> Document | None:
        """What is known of `url`."""
        self.flush()  # a document is read back at once, for its head and for its canvases
        row = self._row("SELECT validator, packed, stamp FROM documents WHERE url = ?", (url,))
        return Document(*row) if row else None

    def put(self, url: str, document: Document) -> None:
        """Keep a document."""
        digest = hashlib.md5(document.packed, usedforsecurity=False).digest()
        self._put((url, document.validator, digest, document.packed, document.stamp))

    def forget_all(self) -> int | None:
        """Delete every document, since any may tell of a picture; how many there were, or None if that failed."""
        # Not by the bytes that are taken down, as in other caches: the MD5 here is that of the document.
        if not self._path.exists():
            return 0
        return self._write([("DELETE FROM documents WHERE ?", [(1,)])])


class Documents:
    """Fetches documents, each at most once in the life of this object.

    Args:
        cache: where they are kept.
        manners: fetches them.
    """

    def __init__(self, cache: DocumentCache, manners: Manners) -> None:
        self.cache = cache
        self._manners = manners
        self._fetcher = Fetcher(max_bytes=MAX_BYTES, accept=ACCEPT)
        self._fresh: set[bytes] = set()
        self._failed: dict[str, str] = {}
        self._heads: dict[str, dict[str, Any]] = {}

    def open(self, url: str, *, stamp: str = "") -> IO[bytes]:
        """The bytes of a document, as a stream.

        Args:
            url: where it is.
            stamp: when it changed last, if that is known: what has been kept since is not requested again.

        Raises:
            SourceError: it cannot be fetched.
        """
        if url in self._failed:
            raise SourceError(self._failed[url])
        known = self.cache.get(url)
        if known is not None and (_key(url) in self._fresh or (stamp and stamp == known.stamp)):
            return _unpacked(known.packed)
        try:
            check_url(url)
            validator = known.validator if known else None
            got = patiently(lambda: self._manners.get(self._fetcher, url, validator))
            data = utf8(got.data or b"")
        except (FetchError, ValueError) as exc:
            self._failed[url] = without_login(f"{url} cannot be read: {exc}.", url)
            raise SourceError(self._failed[url]) from exc
        # A document is opened several times in a run, for its head and for each of its lists, but requested only once.
        self._fresh.add(_key(url))
        if got.data is None and known is not None:
            return _unpacked(known.packed)
        # Without a stamp: that comes when all pictures are listed, so that a run which stops before lists them again.
        self.cache.put(url, Document(got.validator or "", gzip.compress(data, 1), ""))
        return io.BytesIO(data)

    def head(self, url: str, *, stamp: str = "") -> dict[str, Any]:
        """A document without its long lists.

        Raises:
            SourceError: it cannot be fetched, or is no JSON object.
        """
        if url not in self._heads:
            with self.open(url, stamp=stamp) as body:
                head = head_of(body, url)
            # The oldest one goes: a walk needs the heads of what it is in, which it has read last.
            if len(self._heads) >= _HEADS:
                del self._heads[next(iter(self._heads))]
            self._heads[url] = head
        return self._heads[url]

    def info(self, url: str) -> Mapping[str, Any] | None:
        """The description of an image service; None where it has none that can be read."""
        try:
            return self.head(url)
        except SourceError:
            return None

    def is_listed(self, url: str, stamp: str) -> bool:
        """Whether everything that a document names was listed after it changed last."""
        known = self.cache.get(url) if stamp else None
        return known is not None and known.stamp == stamp

    def listed(self, url: str, stamp: str) -> None:
        """Note that everything that a document names is listed, as it is since `stamp`."""
        known = self.cache.get(url) if stamp else None
        if known is not None and known.stamp != stamp:
            self.cache.put(url, known._replace(stamp=stamp))


def utf8(data: bytes) -> bytes:
    """A document in UTF-8, which servers also send as a file of gzip, with a byte order mark, or in UTF-16.

    Raises:
        ValueError: it is damaged, or larger than `MAX_BYTES`.
    """
    if data.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(io.BytesIO(data)) as packed:
                data = packed.read(
                    MAX_BYTES + 1
                )  # a byte more shows that it is too large, and the rest is not unpacked
        except (OSError, EOFError, zlib.error) as exc:
            raise ValueError(f"it is damaged gzip ({exc})") from exc
        if len(data) > MAX_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_BYTES:,} bytes")
    encoding = json.detect_encoding(data)
    return data if encoding == "utf-8" else data.decode(encoding, "replace").encode()


def _key(url: str) -> bytes:
    """16 bytes for a URL, since a collection may have a million."""
    return hashlib.md5(url.encode(), usedforsecurity=False).digest()


def _unpacked(packed: bytes) -> IO[bytes]:
    return gzip.open(io.BytesIO(packed))  # type: ignore[return-value]  # it is read from alone
