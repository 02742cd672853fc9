"""What the caches of fingerprints share: one SQLite file that a listing can do without."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pinakes.files import private_folder, private_opener

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_FLUSH_ROWS = 512
_FLUSH_SECONDS = 2.0
"""New rows wait in memory until there are this many or the oldest has waited this long: a killed run loses no more."""

_BUSY_SECONDS = 10.0
"""How long to wait for another process that is writing; one write takes milliseconds."""

_VERSION = 1
"""Of the tables: raised whenever one has other columns, so that older files are begun again."""


class SqliteCache:
    """Rows in one table of a SQLite file, with a column `md5` for the MD5 of the bytes that each row is about.

    Threads may share one object, processes open one each. Since it is only a cache, a damaged file is renamed and a new
    one begun, and a file that cannot be used at all (a full disk, no permission) is ignored; the log has a warning of it.

    Nothing is read or created before the first use.

    Args:
        home: Pinakes' own folder, in which the file is.

    Attributes:
        file: the file's name.
        table: the table's name.
        schema: the statement that creates it.
        without: what a listing does without the cache, for the warnings.
    """

    file: ClassVar[str]
    table: ClassVar[str]
    schema: ClassVar[str]
    without: ClassVar[str]

    def __init__(self, home: Path) -> None:
        self._path = home / self.file
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._usable = True
        self._renamed_once = False
        self._waiting: list[Sequence[Any]] = []
        self._flushed_at = time.monotonic()

    def flush(self) -> None:
        """Write the rows that wait in memory."""
        # The rows are taken under the lock but written without it, as _do takes it again.
        with self._lock:
            rows, self._waiting = self._waiting, []
            self._flushed_at = time.monotonic()
        if rows:
            places = ", ".join("?" * len(rows[0]))
            self._write([(f"INSERT OR REPLACE INTO {self.table} VALUES ({places})", rows)])  # noqa: S608 - our own names

    def close(self) -> None:
        """Write the rows that wait in memory and close the file; a later call opens it again."""
        self.flush()
        with self._lock:
            self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _row(self, statement: str, parameters: Sequence[Any]) -> tuple[Any, ...] | None:
        """The first row of a query; None also where the cache cannot be used."""
        return self._do(lambda connection: connection.execute(statement, parameters).fetchone())

    def _put(self, row: Sequence[Any]) -> None:
        with self._lock:
            self._waiting.append(row)
            due = len(self._waiting) >= _FLUSH_ROWS or time.monotonic() - self._flushed_at >= _FLUSH_SECONDS
        if due:
            self.flush()

    def _forget(self, statement: str, names: Collection[Any], fingerprints: Collection[str]) -> int | None:
        """Delete by `statement` the row of each name, and all rows about some bytes.

        Returns:
            How many rows were deleted; None if the cache cannot be used.
        """
        if not self._path.exists():  # a take-down must not create the file
            return 0
        digests = [(digest(known),) for known in fingerprints if known.startswith("md5:")]
        by_digest = f"DELETE FROM {self.table} WHERE md5 = ?"  # noqa: S608
        return self._write([(statement, [(name,) for name in names]), (by_digest, digests)])

    def _write(self, statements: Sequence[tuple[str, Sequence[Sequence[Any]]]]) -> int | None:
        """Run statements, each once for every row of parameters, in one transaction; how many rows they changed."""

        def write(connection: sqlite3.Connection) -> int:
            connection.execute("BEGIN IMMEDIATE")
            changed = sum(connection.executemany(statement, rows).rowcount for statement, rows in statements)
            connection.execute("COMMIT")
            return changed

        return self._do(write)

    def _do(self, action: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """`action` on the open file; None if the cache cannot be used."""
        with self._lock:
            if not self._usable:
                return None
            # A full disk, a lock, a missing permission (OperationalError) come before DatabaseError, its base class:
            # with those the file itself is sound, and must not be renamed.
            try:
                return action(self._connect())
            except (sqlite3.OperationalError, OSError) as exc:
                self._give_up(exc)
            except sqlite3.DatabaseError as exc:
                self._set_aside(exc)
            return None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        private_folder(self._path.parent)
        os.close(private_opener(self._path, os.O_RDWR | os.O_CREAT))  # SQLite's other files get the same mode
        # Threads take turns under the lock, and transactions are begun and ended by the statements below.
        self._connection = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._inode = self._path.stat().st_ino
        # What a take-down deletes must be overwritten, not only unlinked.
        self._connection.execute("PRAGMA secure_delete = ON")
        if not self._is_current():
            # IMMEDIATE takes the lock for writing at once: two processes that both read first could not both go on.
            self._connection.execute("BEGIN IMMEDIATE")
            if not self._is_current():  # another process may have created the table in the meantime
                self._connection.execute(f"DROP TABLE IF EXISTS {self.table}")
                self._connection.execute(self.schema)
                self._connection.execute(f"PRAGMA user_version = {_VERSION}")
            self._connection.execute("COMMIT")
        return self._connection

    def _is_current(self) -> bool:
        assert self._connection is not None
        return bool(self._connection.execute("PRAGMA user_version").fetchone()[0] == _VERSION)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _give_up(self, exc: Exception) -> None:
        self._usable = False
        self._disconnect()
        logger.warning("The cache %s cannot be used (%s), so %s.", self._path, exc, self.without)

    def _set_aside(self, exc: Exception) -> None:
        """Rename the damaged file, unless another process has already done so."""
        self._disconnect()
        if self._renamed_once:  # a disk that damages each new file as well
            self._give_up(exc)
            return
        self._renamed_once = True
        aside = self._path.with_name(f"{self._path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
        # Another inode is the new file of a process that has met the same damage, and it is sound.
        try:
            if self._path.stat().st_ino == self._inode:
                self._path.rename(aside)
                # SQLite would play the damaged file's journal back into the new one.
                self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)
        except OSError as failed:
            self._give_up(failed)
            return
        logger.warning(
            "The cache %s is damaged (%s), so %s; the damaged file is kept as %s.",
            self._path,
            exc,
            self.without,
            aside.name,
        )


def digest(fingerprint: str) -> bytes:
    """The 16 bytes of a fingerprint `md5:<hex>`."""
    return bytes.fromhex(fingerprint.removeprefix("md5:"))
