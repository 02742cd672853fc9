"""Opening files that somebody names: never a named pipe, on which a program would wait, or a device that has no end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def special_kind(mode: int) -> str | None:
    """What a file of this mode is, if it is neither a regular file nor a folder."""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return next((name for test, name in _KINDS if test(mode)), "a special file")


def open_regular(path: str | bytes, flags: int) -> int:
    """An `opener` for `open` that never waits, and refuses what is no regular file.

    Raises:
        OSError: it cannot be opened, or is a special file, which `strerror` names.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = special_kind(os.fstat(descriptor).st_mode)
    if kind is not None:
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"it is {kind}, not a file")
    return descriptor


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: as `open_regular`.
    """
    with open(path, "rb", opener=open_regular) as file:
        return file.read()
