"""Fingerprints of local files, and the cache that spares hashing what has not changed."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from pinakes.errors import SourceError

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_RACY_NS = 2_000_000_000
"""Two changes within one tick of a file system's clock leave one and the same time; FAT's tick, the longest, is 2 s."""

_FLUSH_ROWS = 512
_FLUSH_SECONDS = 2.0
"""New fingerprints wait in memory until there are so many or so long: a killed run loses no more."""

_BUSY_SECONDS = 10.0
"""How long to wait for another process that is writing; one write takes milliseconds."""

_SMALL_BYTES = 1 << 18
"""Up to this size a file is hashed in one piece: `file_digest` begins by clearing a buffer as large as this."""

_VERSION = 1
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS fingerprints (
        root BLOB NOT NULL, path BLOB NOT NULL,
        size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
        md5 BLOB NOT NULL,
        PRIMARY KEY (root, path)
    ) WITHOUT ROWID
"""
_GET = "SELECT md5 FROM fingerprints WHERE root = ? AND path = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?"
_PUT = "INSERT OR REPLACE INTO fingerprints VALUES (?, ?, ?, ?, ?, ?)"


class ChangedError(SourceError):
    """A file is not any more what was listed; the next run lists it anew."""


def open_regular(path: str | bytes, flags: int) -> int:
    """An `opener` for `open` that never waits, as opening a named pipe without a writer would."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


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
        if not stat.S_ISREG(before.st_mode):
            raise OSError(f"{os.fsdecode(path)!r} is not a regular file any more")
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


def _state(found: os.stat_result) -> tuple[int, int, int]:
    """What tells that a file changed. The ctime also moves when a tool sets the mtime back, as `cp -p` does."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


class FingerprintCache:
    """Fingerprints by (root, relative path), good as long as size, mtime and ctime are the same; a SQLite file.

    Threads may share one object, processes open one each. It is only a cache: a damaged file is set aside and begun
    anew, and one that cannot be used at all (a full disk, no permission) is done without; both leave a line in the log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._usable = True
        self._set_aside_once = False
        self._waiting: list[tuple[bytes, bytes, int, int, int, bytes]] = []
        self._flushed_at = time.monotonic()

    def get(self, root: bytes, relative: bytes, found: os.stat_result) -> str | None:
        """The fingerprint of the file `relative` below `root` if its state `found` is the one that was hashed."""
        row = self._do(lambda connection: connection.execute(_GET, (root, relative, *_state(found))).fetchone())
        return f"md5:{row[0].hex()}" if row is not None else None

    def put(self, root: bytes, relative: bytes, hashed: os.stat_result, fingerprint: str, *, started_ns: int) -> None:
        """Keep `fingerprint` of a file in the state `hashed`; the hashing began at `started_ns` (`time.time_ns`).

        A file that changed within 2 s before that is not kept, since a second change could carry the same times.
        """
        recent = started_ns - _RACY_NS
        if hashed.st_ctime_ns > recent or recent < hashed.st_mtime_ns < started_ns + _RACY_NS:
            return
        with self._lock:
            self._waiting.append((root, relative, *_state(hashed), bytes.fromhex(fingerprint.removeprefix("md5:"))))
            due = len(self._waiting) >= _FLUSH_ROWS or time.monotonic() - self._flushed_at >= _FLUSH_SECONDS
        if due:
            self.flush()

    def forget(self, paths: Collection[bytes], fingerprints: Collection[str]) -> int | None:
        """Take out what is known of some files, by their absolute paths, and of all files of some bytes.

        How many there were; None: the cache cannot be used.
        """
        if not self._path.exists():
            return 0
        digests = [bytes.fromhex(known.removeprefix("md5:")) for known in fingerprints if known.startswith("md5:")]
        return self._do(lambda connection: _forget(connection, paths, digests))

    def flush(self) -> None:
        """Write what waits in memory."""
        with self._lock:
            rows, self._waiting = self._waiting, []
            self._flushed_at = time.monotonic()
        if rows:
            self._do(lambda connection: _write(connection, rows))

    def close(self) -> None:
        """Write what waits in memory and close the file; a later call opens it again."""
        self.flush()
        with self._lock:
            self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, action: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """`action` on the open file; None if the cache cannot be used."""
        with self._lock:
            if not self._usable:
                return None
            try:
                return action(self._connect())
            except (sqlite3.OperationalError, OSError) as exc:
                self._give_up(exc)
            except sqlite3.DatabaseError as exc:
                self._set_aside(exc)
            return None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._inode = self._path.stat().st_ino
            if self._connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                self._connection.execute("BEGIN IMMEDIATE")
                if self._connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                    self._connection.execute("DROP TABLE IF EXISTS fingerprints")
                    self._connection.execute(_SCHEMA)
                    self._connection.execute(f"PRAGMA user_version = {_VERSION}")
                self._connection.execute("COMMIT")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _give_up(self, exc: Exception) -> None:
        self._usable = False
        self._disconnect()
        logger.warning("The fingerprint cache %s cannot be used (%s); every file is hashed anew.", self._path, exc)

    def _set_aside(self, exc: Exception) -> None:
        """Rename the damaged file, unless another process has done so already."""
        self._disconnect()
        if self._set_aside_once:
            self._give_up(exc)
            return
        self._set_aside_once = True
        aside = self._path.with_name(f"{self._path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
        try:
            if self._path.stat().st_ino == self._inode:
                self._path.rename(aside)
                self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)
        except OSError as failed:
            self._give_up(failed)
            return
        logger.warning(
            "The fingerprint cache %s is damaged (%s); it is set aside as %s and begun anew.",
            self._path,
            exc,
            aside.name,
        )


def _forget(connection: sqlite3.Connection, paths: Collection[bytes], digests: Collection[bytes]) -> int:
    connection.execute("PRAGMA secure_delete = ON")  # overwritten, not only unlinked
    connection.execute("BEGIN IMMEDIATE")
    gone = 0
    for path in paths:
        # A root ends in a slash, so one that begins the path is followed by what is relative to it.
        gone += connection.execute(
            "DELETE FROM fingerprints WHERE root = substr(:path, 1, length(root))"
            " AND path = substr(:path, length(root) + 1)",
            {"path": path},
        ).rowcount
    for digest in digests:
        gone += connection.execute("DELETE FROM fingerprints WHERE md5 = ?", (digest,)).rowcount
    connection.execute("COMMIT")
    return gone


def _write(connection: sqlite3.Connection, rows: list[tuple[bytes, bytes, int, int, int, bytes]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_PUT, rows)
    connection.execute("COMMIT")


def open_cache(home: Path) -> FingerprintCache:
    """The cache in Pinakes' own folder `home`; nothing is read or made before the first use."""
    return FingerprintCache(home / "fingerprints.sqlite")
