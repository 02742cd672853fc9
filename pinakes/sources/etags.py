"""Fingerprints of files on the web by their ETags: what spares fetching again what has not changed."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple, TypeVar

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_FLUSH_ROWS = 256
_BUSY_SECONDS = 10.0
_VERSION = 1
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS etags (
        url TEXT PRIMARY KEY, etag TEXT NOT NULL, md5 BLOB NOT NULL, size INTEGER NOT NULL
    ) WITHOUT ROWID
"""


class Known(NamedTuple):
    """What a URL held when it was last fetched."""

    etag: str
    fingerprint: str
    size: int


class EtagCache:
    """Fingerprints by (URL, ETag); a SQLite file, used by one thread at a time.

    It is only a cache: one that cannot be used (damaged, a full disk) is done without, and a line in the log says so.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._usable = True
        self._waiting: list[tuple[str, str, bytes, int]] = []

    def get(self, url: str) -> Known | None:
        """What is known of `url`."""
        row = self._do(
            lambda found: found.execute("SELECT etag, md5, size FROM etags WHERE url = ?", (url,)).fetchone()
        )
        return Known(row[0], f"md5:{row[1].hex()}", row[2]) if row else None

    def put(self, url: str, known: Known) -> None:
        """Keep what was fetched from `url`."""
        digest = bytes.fromhex(known.fingerprint.removeprefix("md5:"))
        self._waiting.append((url, known.etag, digest, known.size))
        if len(self._waiting) >= _FLUSH_ROWS:
            self.flush()

    def forget(self, urls: Collection[str], fingerprints: Collection[str]) -> int | None:
        """Take out what is known of some URLs, and of every URL that held some bytes; how many, None: it failed."""
        if not self._path.exists():
            return 0
        digests = [bytes.fromhex(known.removeprefix("md5:")) for known in fingerprints if known.startswith("md5:")]
        return self._do(lambda found: _forget(found, urls, digests))

    def flush(self) -> None:
        """Write what waits in memory."""
        rows, self._waiting = self._waiting, []
        if rows:
            self._do(lambda found: _write(found, rows))

    def close(self) -> None:
        """Write what waits in memory and close the file; a later call opens it again."""
        self.flush()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _do(self, action: Callable[[sqlite3.Connection], _T]) -> _T | None:
        if not self._usable:
            return None
        try:
            return action(self._connect())
        except (sqlite3.Error, OSError) as exc:
            self._usable = False
            logger.warning(
                "The cache %s cannot be used (%s), so every URL is fetched anew; remove the file.", self._path, exc
            )
            return None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            if self._connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                self._connection.execute("DROP TABLE IF EXISTS etags")
                self._connection.execute(_SCHEMA)
                self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        return self._connection


def _forget(connection: sqlite3.Connection, urls: Collection[str], digests: Collection[bytes]) -> int:
    connection.execute("PRAGMA secure_delete = ON")  # overwritten, not only unlinked
    connection.execute("BEGIN IMMEDIATE")
    gone = connection.executemany("DELETE FROM etags WHERE url = ?", [(url,) for url in urls]).rowcount
    gone += connection.executemany("DELETE FROM etags WHERE md5 = ?", [(digest,) for digest in digests]).rowcount
    connection.execute("COMMIT")
    return gone


def _write(connection: sqlite3.Connection, rows: list[tuple[str, str, bytes, int]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT OR REPLACE INTO etags VALUES (?, ?, ?, ?)", rows)
    connection.execute("COMMIT")
