"""Pictures on the web, from a list of their URLs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pinakes import ids
from pinakes.errors import SourceError
from pinakes.sources.base import Listing, changed
from pinakes.sources.etags import EtagCache, Known
from pinakes.sources.fetching import Fetched, Fetcher, FetchError
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

_MOST_PAUSE = 30.0
"""Seconds that a server may ask for before a second try."""

_PASSING = frozenset({ErrorClass.CONNECTION, ErrorClass.SERVER})
"""Failures that soon pass. A timeout is none of them: with its two minutes each, three tries would hold up the listing."""


def patiently(get: Callable[[], Fetched]) -> Fetched:
    """What `get` fetches; a failure that may pass, or one with a time to ask again, is followed by another try.

    Raises:
        FetchError: the last try failed, or the first one for good.
    """
    for attempt in range(1, _TRIES):
        try:
            return get()
        except FetchError as exc:
            if exc.failure.error_class not in _PASSING and exc.retry_after is None:
                raise
            time.sleep(max(_PAUSE * attempt, min(exc.retry_after or 0.0, _MOST_PAUSE)))
    return get()


_UnderWay = tuple[UrlLine, Future[tuple[Known, bool]]]
"""A line, and the future state of the file at its URL: see `UrlSource._known`."""

Named = Entry | UrlLine | Callable[[], None]
"""An item of a list: an entry that is settled, a URL to fetch, or something to do once all items before it are listed."""


class UrlSource(Listing):
    """Images at URLs, in the order in which `_named` gives them.

    The fingerprint is the MD5 of the body, so a first listing fetches everything; later ones ask with the validator and
    fetch only what has changed, if the server gives validators.

    Args:
        root: see `pinakes.sources.base.Source`.
        cache: spares fetching what has not changed; None fetches everything.
        limit: see `pinakes.sources.base.Listing`.
    """

    def __init__(self, root: str, cache: EtagCache | None, limit: int | None) -> None:
        self._cache = cache
        self._fetcher = Fetcher()
        self._failed = False  # whether a file could not be fetched whose entry has been listed
        super().__init__(root, limit)

    def _named(self) -> Iterator[Named]:
        """What there is, lazily; no two lines have the same image_id."""
        raise NotImplementedError

    def _get(self, url: str, validator: str | None) -> Fetched:
        """The file at `url`, requested once."""
        return self._fetcher.get(url, validator=validator)

    def _listed(self) -> Iterator[Entry]:
        try:
            yield from self._fetched()
        finally:
            if self._cache:
                self._cache.close()

    def read(self, image: Image) -> bytes:
        """The bytes of `image`, fetched again: see `pinakes.sources.base.Source.read`."""
        try:
            check_url(image.uri)
            data = patiently(lambda: self._get(image.uri, None)).data
        except (FetchError, ValueError) as exc:
            raise SourceError(f"{image.image_id!r} can no longer be read: {exc}.") from exc
        # The body itself is compared: a server may have no validator, or change it without changing the file.
        if data is None or fingerprint_bytes(data) != image.fingerprint:
            raise changed(image)
        return data

    def _fetched(self) -> Iterator[Entry]:
        """Entries in the order of `_named`, at most `_WINDOW` of them under way."""
        # Settled entries and things to do wait in the same line as fetches, so that all come out in their order.
        waiting: deque[Entry | _UnderWay | Callable[[], None]] = deque()
        pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch")
        try:
            for item in self._named():
                waiting.append(self._begun(item, pool) if isinstance(item, UrlLine) else item)
                while len(waiting) >= _WINDOW:
                    yield from self._entry(waiting.popleft())
            while waiting:
                yield from self._entry(waiting.popleft())
        finally:
            # A listing that is given up (a limit, Ctrl-C) must not fetch what is still in the window.
            pool.shutdown(wait=True, cancel_futures=True)

    def _begun(self, line: UrlLine, pool: ThreadPoolExecutor) -> Image | _UnderWay:
        known = self._cache.get(line.url) if self._cache else None
        if known is not None and line.unchanged:
            return Image(line.image_id, line.url, known.fingerprint, known.size)
        return line, pool.submit(self._known, line.url, known)

    def _entry(self, item: Entry | _UnderWay | Callable[[], None]) -> Iterator[Entry]:
        if callable(item):
            item()
        elif isinstance(item, tuple):
            line, future = item
            try:
                known, fresh = future.result()
            except FetchError as exc:
                self._failed = True
                yield Rejected(line.image_id, line.url, exc.failure)
                return
            # Without a validator the whole file is fetched again anyway, but an older row must not outlive its file.
            if self._cache and fresh and (known.validator or self._cache.get(line.url)):
                self._cache.put(line.url, known)
            yield Image(line.image_id, line.url, known.fingerprint, known.size)
        else:
            yield item

    def _known(self, url: str, known: Known | None) -> tuple[Known, bool]:
        """The state of the file at `url`, and whether it was fetched."""
        got = patiently(lambda: self._get(url, known.validator if known else None))
        if got.data is None and known is not None:  # the server says that it has not changed
            return known, False
        data = got.data or b""
        return Known(got.validator or "", fingerprint_bytes(data), len(data)), True


class UrlListSource(UrlSource):
    """The images that a list of https:// URLs names, in the order of the list.

    Memory grows with the list, by about 0.5 kB a URL.

    Args:
        list_file, key: see `pinakes.sources.urltable.read_urls`.
        cache, limit: see `UrlSource`.
    """

    def __init__(
        self, list_file: Path, *, key: str | None = None, cache: EtagCache | None = None, limit: int | None = None
    ) -> None:
        self._list, self._key = list_file, key
        super().__init__(list_file.resolve().as_uri(), cache, limit)

    def _named(self) -> Iterator[Named]:
        named: dict[str, list[UrlLine]] = {}
        for line in read_urls(self._list, self._key):
            named.setdefault(line.image_id, []).append(line)
        if not named:
            raise SourceError(f"{str(self._list)!r} names no URL; give a list with one a line or a row.")
        for image_id, lines in named.items():
            if self.leave_out(image_id):
                yield from (Skipped(image_id, FORGOTTEN) for _ in lines)
            else:
                yield from _settled(image_id, lines)


def _settled(image_id: str, lines: list[UrlLine]) -> list[Entry | UrlLine]:
    """The lines of one image_id as the line to fetch, repetitions as skipped, and failures where they disagree."""
    # If several URLs claim the id, all of them fail: which picture is meant is never guessed.
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
