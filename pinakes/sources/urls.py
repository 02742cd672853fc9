"""Pictures on the web, from a list of their URLs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pinakes import ids
from pinakes.errors import SourceError
from pinakes.sources.base import Listing, changed
from pinakes.sources.etags import EtagCache, Known
from pinakes.sources.fetching import MAX_BYTES, Fetched, Fetcher, FetchError
from pinakes.sources.fingerprints import fingerprint_bytes
from pinakes.sources.urltable import UrlLine, check_url, read_urls
from pinakes.tombstones import FORGOTTEN
from pinakes.types import Entry, ErrorClass, Failure, Image, Rejected, Skipped

PARALLEL = 8
"""Files fetched at once while listing: considerate to one server, and enough to hide its latency."""

_WINDOW = 4 * PARALLEL
"""URLs that are being fetched or wait to be listed; each takes memory for a fingerprint, not for a body."""

_TRIES = 3
_PAUSE = 0.5
"""Seconds before a second try; twice as many before the third."""

_PASSING = frozenset({ErrorClass.CONNECTION, ErrorClass.SERVER})


_UnderWay = tuple[UrlLine, Future[tuple[Known, bool]]]
"""A line, and the future state of the file at its URL: see `UrlListSource._known`."""


class UrlListSource(Listing):
    """The images that a list of https:// URLs names, in the order of the list.

    The fingerprint is the MD5 of the body, so a first listing fetches everything; later ones ask with the ETag and
    fetch only what has changed, if the server gives ETags. Memory grows with the list, by about 0.5 kB a URL.

    Args:
        list_file: see `pinakes.sources.urltable.read_urls`, as for `key` and `names`.
        cache: spares fetching what has not changed; None fetches everything.
        limit: see `pinakes.sources.base.Listing`.
        max_bytes: a larger file is a failure.
    """

    def __init__(
        self,
        list_file: Path,
        *,
        key: str | None = None,
        names: str | None = None,
        cache: EtagCache | None = None,
        limit: int | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._list, self._key, self._names, self._cache = list_file, key, names, cache
        self._fetcher = Fetcher(max_bytes=max_bytes)
        super().__init__(list_file.resolve().as_uri(), limit)

    def _listed(self) -> Iterator[Entry]:
        named: dict[str, list[UrlLine]] = {}
        for line in read_urls(self._list, self._key, self._names):
            named.setdefault(line.image_id, []).append(line)
        if not named:
            raise SourceError(f"{str(self._list)!r} names no URL; give a list with one a line or a row.")
        try:
            yield from self._fetched(named)
        finally:
            if self._cache:
                self._cache.close()

    def read(self, image: Image) -> bytes:
        """The bytes of `image`, fetched again: see `pinakes.sources.base.Source.read`."""
        try:
            check_url(image.uri)
            data = self._with_patience(image.uri, None).data
        except (FetchError, ValueError) as exc:
            raise SourceError(f"{image.image_id!r} can no longer be read: {exc}.") from exc
        if data is None or fingerprint_bytes(data) != image.fingerprint:
            raise changed(image)
        return data

    def _fetched(self, named: dict[str, list[UrlLine]]) -> Iterator[Entry]:
        """Entries in the order of the list, at most `_WINDOW` of them under way."""
        waiting: deque[Entry | _UnderWay] = deque()
        pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch")
        try:
            for image_id, lines in named.items():
                if self.leave_out(image_id):
                    waiting.extend(Skipped(image_id, FORGOTTEN) for _ in lines)
                    continue
                for item in _settled(image_id, lines):
                    if isinstance(item, UrlLine):
                        known = self._cache.get(item.url) if self._cache else None
                        waiting.append((item, pool.submit(self._known, item.url, known)))
                    else:
                        waiting.append(item)
                while len(waiting) >= _WINDOW:
                    yield self._entry(waiting.popleft())
            while waiting:
                yield self._entry(waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _entry(self, item: Entry | _UnderWay) -> Entry:
        if not isinstance(item, tuple):
            return item
        line, future = item
        try:
            found, fresh = future.result()
        except FetchError as exc:
            return Rejected(line.image_id, line.url, exc.failure)
        if self._cache and fresh and found.etag:
            self._cache.put(line.url, found)
        return Image(line.image_id, line.url, found.fingerprint, found.size)

    def _known(self, url: str, known: Known | None) -> tuple[Known, bool]:
        """The state of the file at `url`, and whether it was fetched."""
        got = self._with_patience(url, known.etag if known else None)
        if got.data is None and known is not None:
            return known, False
        data = got.data or b""
        return Known(got.etag or "", fingerprint_bytes(data), len(data)), True

    def _with_patience(self, url: str, etag: str | None) -> Fetched:
        for attempt in range(1, _TRIES):
            try:
                return self._fetcher.get(url, etag=etag)
            except FetchError as exc:
                if exc.failure.error_class not in _PASSING:
                    raise
                time.sleep(_PAUSE * attempt)
        return self._fetcher.get(url, etag=etag)


def _settled(image_id: str, lines: list[UrlLine]) -> list[Entry | UrlLine]:
    """The lines of one image_id as the line to fetch, repetitions as skipped, and failures where they disagree."""
    urls = list(dict.fromkeys(line.url for line in lines))
    settled: list[Entry | UrlLine] = []
    seen: set[str] = set()
    for line in lines:
        if line.url in seen:
            settled.append(Skipped(f"{image_id} (line {line.number})", "named twice"))
            continue
        seen.add(line.url)
        if line.problem is not None:
            failure = Failure(ErrorClass.BAD_NAME, f"line {line.number}: {line.problem}")
        elif len(urls) > 1:
            others = ", ".join(repr(url) for url in urls if url != line.url)
            failure = Failure(
                ErrorClass.NAME_COLLISION,
                f"line {line.number}: {others} would have the same id {image_id!r}; name them apart in a column image_id",
            )
        else:
            settled.append(line)
            continue
        own = image_id if len(urls) == 1 else line.url
        settled.append(Rejected(ids.ledger_id(own, line.url.encode()), line.url, failure))
    return settled
