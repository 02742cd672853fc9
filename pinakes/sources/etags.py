"""Fingerprints of files on the web by their validators, so that what has not changed is not fetched again."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from pinakes.sources.sqlite_cache import SqliteCache, digest


class Known(NamedTuple):
    """What a URL held when it was last fetched; the validator is that of `pinakes.sources.fetching.Fetched`."""

    validator: str
    fingerprint: str
    size: int


class EtagCache(SqliteCache):
    """Fingerprints by URL and validator."""

    file = "etags.sqlite"
    table = "etags"
    schema = """
        CREATE TABLE IF NOT EXISTS etags (
            url TEXT PRIMARY KEY, etag TEXT NOT NULL, md5 BLOB NOT NULL, size INTEGER NOT NULL
        ) WITHOUT ROWID
    """
    without = "every URL is fetched again"

    def get(self, url: str) -> Known | None:
        """What is known of `url`."""
        row = self._row("SELECT etag, md5, size FROM etags WHERE url = ?", (url,))
        return Known(row[0], f"md5:{row[1].hex()}", row[2]) if row else None

    def put(self, url: str, known: Known) -> None:
        """Keep what was fetched from `url`."""
        self._put((url, known.validator, digest(known.fingerprint), known.size))

    def forget(self, urls: Collection[str], fingerprints: Collection[str]) -> int | None:
        """Delete the rows of some URLs, and of every URL that held certain bytes; how many, or None if that failed."""
        return self._forget("DELETE FROM etags WHERE url = ?", urls, fingerprints)
