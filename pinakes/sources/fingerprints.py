"""Fingerprints of local files, and the cache that spares hashing what has not changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pinakes.errors import SourceError
from pinakes.files import open_regular
from pinakes.sources.sqlite_cache import SqliteCache, digest

_RACY_NS = 2_000_000_000
"""Two changes within one tick of a file system's clock leave the same time; FAT's tick, the longest, is 2 s."""

_SQLITE_INTEGERS = 1 << 63

_SMALL_BYTES = 1 << 18
"""Up to this size a file is hashed in one piece: `file_digest` begins by clearing a buffer as large as this."""


class ChangedError(SourceError):
    """A file is no longer what was listed; the next run lists it again."""


def fingerprint_bytes(data: bytes) -> str:
    """`md5:<hex>` of `data`."""
    return f"md5:{hashlib.md5(data, usedforsecurity=False).hexdigest()}"


def fingerprint_file(path: bytes) -> tuple[str, os.stat_result]:
    """`md5:<hex>` of a regular file, and the state of the file that was hashed.

    Raises:
        OSError: it cannot be opened or read.
        ChangedError: it changed while it was read.
    """
    with open(path, "rb", buffering=0, opener=open_regular) as file:
        before = os.fstat(file.fileno())
        if before.st_size <= _SMALL_BYTES:
            fingerprint = fingerprint_bytes(file.readall())
        else:
            fingerprint = f"md5:{hashlib.file_digest(file, _md5).hexdigest()}"
        after = os.fstat(file.fileno())
    if _state(before) != _state(after):
        raise ChangedError("the file changed while it was read; the next run tries again.")
    return fingerprint, after


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _state(status: os.stat_result) -> tuple[int, int, int]:
    """What shows that a file changed. The ctime also moves when a tool sets the mtime back, as `cp -p` does."""
    # A damaged time may lie beyond the year 2262, where nanoseconds no longer fit into an integer of SQLite.
    return status.st_size, status.st_mtime_ns % _SQLITE_INTEGERS, status.st_ctime_ns % _SQLITE_INTEGERS


_AHEAD_ROWS = 1024
"""Rows that are read at once where files are looked up in the order of their paths: a query for each file took half of the
time that listing an unchanged file takes."""


@dataclass(slots=True)
class _Window:
    """Some rows of the cache that follow each other.

    Attributes:
        root, first, last: it holds all rows of that root from the path `first` to `last`, or to the end if that is None.
        rows: path → the state of the file and the MD5.
        used: how many of them were looked up.
    """

    root: bytes
    first: bytes
    last: bytes | None
    rows: dict[bytes, tuple[tuple[int, int, int], bytes]]
    used: int = 0

    def covers(self, root: bytes, path: bytes) -> bool:
        return root == self.root and self.first <= path and (self.last is None or path <= self.last)


_NOTHING = _Window(b"", b"\xff", b"", {})


class FingerprintCache(SqliteCache):
    """Fingerprints by root and relative path, valid as long as size, mtime and ctime are the same."""

    file = "fingerprints.sqlite"
    table = "fingerprints"
    schema = """
        CREATE TABLE IF NOT EXISTS fingerprints (
            root BLOB NOT NULL, path BLOB NOT NULL,
            size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
            md5 BLOB NOT NULL,
            PRIMARY KEY (root, path)
        ) WITHOUT ROWID
    """
    without = "every file is hashed again"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._window = _NOTHING

    def get(self, root: bytes, relative: bytes, status: os.stat_result) -> str | None:
        """The fingerprint of the file `relative` below `root`, if `status` shows that it is as it was when it was hashed."""
        window = self._window if self._window.covers(root, relative) else self._read_ahead(root, relative)
        row = window.rows.get(relative)
        if row is None or row[0] != _state(status):
            return None
        window.used += 1
        return f"md5:{row[1].hex()}"

    def _read_ahead(self, root: bytes, first: bytes) -> _Window:
        """Read the rows from a path on: the more of the last window were used, the more of them."""
        # So a listing in order soon reads whole windows, and one that jumps about reads a row or two each time.
        count = min(_AHEAD_ROWS, 1 + 2 * self._window.used)
        statement = """
            SELECT path, size, mtime_ns, ctime_ns, md5 FROM fingerprints
            WHERE root = ? AND path >= ? ORDER BY path LIMIT ?
        """
        # Where the cache cannot be used, the empty window covers all later paths: none of them asks again.
        fetched = self._do(lambda connection: connection.execute(statement, (root, first, count)).fetchall()) or []
        rows = {path: ((size, mtime_ns, ctime_ns), md5) for path, size, mtime_ns, ctime_ns, md5 in fetched}
        self._window = _Window(root, first, fetched[-1][0] if len(fetched) == count else None, rows)
        return self._window

    def put(self, root: bytes, relative: bytes, hashed: os.stat_result, fingerprint: str, *, started_ns: int) -> None:
        """Keep `fingerprint` of a file in the state `hashed`; the hashing began at `started_ns` (`time.time_ns`).

        A file that changed within 2 s before that is not kept, since a second change could leave the same times.
        """
        # The system sets the ctime, but any program the mtime: one far in the future does not say that the file is new.
        recent = started_ns - _RACY_NS
        if hashed.st_ctime_ns > recent or recent < hashed.st_mtime_ns < started_ns + _RACY_NS:
            return
        self._put((root, relative, *_state(hashed), digest(fingerprint)))

    def close(self) -> None:
        """See `SqliteCache.close`; what is read ahead is read again afterwards."""
        self._window = _NOTHING
        super().close()

    def forget(self, paths: Collection[bytes], fingerprints: Collection[str]) -> int | None:
        """Delete the rows of some files, by their absolute paths, and of all files with certain bytes.

        Returns:
            How many rows there were; None if the cache cannot be used.
        """
        # A root ends in a slash, so where the path begins with it, the rest is the path below that root.
        by_path = """
            DELETE FROM fingerprints
            WHERE root = substr(?1, 1, length(root)) AND path = substr(?1, length(root) + 1)
        """
        self._window = _NOTHING
        return self._forget(by_path, paths, fingerprints)
