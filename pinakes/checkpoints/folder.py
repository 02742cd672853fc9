"""Checkpoints in a folder: each file is written under a temporary name, synced, and then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pyarrow as pa

from pinakes.errors import CheckpointError
from pinakes.files import FOLDER, FULL, is_shared, private_opener

SET_ASIDE = "set-aside"

LEFTOVER_SECONDS = 24 * 3600
"""No write takes a day: a temporary file that is older belongs to a process that died."""

_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
"""Some network file systems cannot sync a folder; the rename itself is then all that they offer."""


class FolderStorage:
    """The files of one checkpoint in one local folder, which the first write creates."""

    readers = 1

    def __init__(self, folder: Path) -> None:
        self.location = str(folder)
        self._folder = folder

    def names(self) -> set[str]:
        """See `Storage.names`."""
        return self._listed(os.DirEntry.is_file)

    def folders(self) -> set[str]:
        """The folders in this one, without those whose name starts with a dot.

        Raises:
            CheckpointError: they cannot be listed.
        """
        return self._listed(os.DirEntry.is_dir)

    def _listed(self, is_one: Callable[[os.DirEntry[str]], bool]) -> set[str]:
        try:
            with os.scandir(self._folder) as entries:
                return {entry.name for entry in entries if not entry.name.startswith(".") and is_one(entry)}
        except FileNotFoundError:
            return set()
        except OSError as exc:
            raise CheckpointError(f"the checkpoint {self.location} cannot be listed: {explain(exc)}") from exc

    def open(self, name: str) -> pa.NativeFile:
        """See `Storage.open`."""
        # As bytes: a folder's name need not be UTF-8, and pyarrow encodes a str strictly.
        return pa.OSFile(os.fsencode(self._folder / name), "r")

    def write(self, name: str, fill: Callable[[IO[bytes]], object]) -> None:
        """See `Storage.write`."""
        path = self._folder / name
        temporary = self._folder / f".{name}.tmp"
        kept = False
        try:
            _make_durably(self._folder)
            opener = None if is_shared(self._folder) else private_opener
            with open(temporary, "xb", opener=opener) as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            # Renamed only when it is on the disk: after a power cut the name could otherwise be that of an empty file.
            temporary.replace(path)
            # The part counts from here on. If the sync fails it is written again, and the ledger resolves the double.
            kept = True
            _sync_folder(self._folder)
        except OSError as exc:
            raise CheckpointError(f"{path} cannot be written: {explain(exc)}") from exc
        finally:
            if not kept:
                with contextlib.suppress(OSError):  # what stopped the write matters more; a leftover is removed later
                    temporary.unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as exc:
            raise CheckpointError(f"{self._folder / name} cannot be deleted: {explain(exc)}") from exc

    def set_aside(self, name: str) -> str | None:
        """See `Storage.set_aside`. A second file of one name gets a number behind it; nothing is overwritten."""
        aside = self._folder / SET_ASIDE
        try:
            aside.mkdir(mode=_mode_in(self._folder), exist_ok=True)
            target = aside / name
            number = 0
            # `lexists`, since `rename` would replace a dangling link as well.
            while os.path.lexists(target):
                number += 1
                target = aside / f"{name}.{number}"
            (self._folder / name).rename(target)
        except FileNotFoundError:  # another process has just moved it
            return str(aside / name)
        except OSError:
            return None
        return str(target)

    def remove_leftovers(self) -> None:
        """See `Storage.remove_leftovers`."""
        oldest = time.time() - LEFTOVER_SECONDS
        for path in self._folder.glob(".*part-*.tmp"):
            with contextlib.suppress(OSError):  # gone already, or not ours to remove; it is never read
                if path.stat().st_mtime < oldest:
                    path.unlink()


def explain(exc: OSError) -> str:
    """The reason of a refused read or write, and how to fix it."""
    reason = exc.strerror or str(exc)
    if exc.errno in FULL:
        return f"{reason}; free some space there, or keep the checkpoint on another disk, and run again."
    if exc.errno == errno.EROFS:
        return f"{reason}; mount it writable or choose another folder."
    if exc.errno in _FORBIDDEN:
        return f"{reason}; give the user that runs Pinakes the right to read and write there."
    if exc.errno in {errno.ENOTDIR, errno.EEXIST}:
        return f"{reason}; the checkpoint's root must be a folder."
    return f"{reason}; check that the folder is there and its disk is healthy."


def _make_durably(folder: Path) -> None:
    """Create a folder and its missing parents so that they survive a power cut, as the files in it will."""
    if folder.is_dir():
        return
    _make_durably(folder.parent)
    folder.mkdir(mode=_mode_in(folder.parent), exist_ok=True)
    _sync_folder(folder.parent)


def _mode_in(folder: Path) -> int:
    """The mode of a new folder in an existing one."""
    return 0o777 if is_shared(folder) else FOLDER


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)
