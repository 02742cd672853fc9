"""Files and folders of the file system: those that a user names, and those that only their owner may read.

A path that a user names is never opened if it is a named pipe, on which a program would wait, or a device without an end.
What Pinakes itself keeps is private, because it shows what a collection holds and what people searched for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pinakes.errors import PinakesError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""A full disk, a user's quota, and the largest file that the file system or `ulimit -f` allows."""

FOLDER = 0o700
FILE = 0o600
PASSABLE = 0o711
"""Of folders above a private one that root makes: root's embedded server runs as another user, who must pass through. Nobody
can list them, and what is in them is closed."""

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def special_kind(mode: int) -> str | None:
    """The kind of a special file with this mode; None for a regular file or a folder."""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return next((name for test, name in _KINDS if test(mode)), "a special file")


def open_regular(path: str | bytes, flags: int) -> int:
    """An `opener` for `open` that never waits, and refuses special files.

    Raises:
        OSError: it cannot be opened, or is a special file; `strerror` names the kind.
    """
    # Without O_NONBLOCK, opening a named pipe waits for a writer; it changes nothing for a regular file.
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # The open file is examined, not the path: the path may lead to another file a moment later.
        _refuse_special(os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_special(mode: int) -> None:
    kind = special_kind(mode)
    if kind is not None:
        raise OSError(errno.EINVAL, f"it is {kind}, not a file")


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: as `open_regular`.
    """
    with open(path, "rb", opener=open_regular) as file:
        return file.read()


def is_visible(path: Path) -> bool:
    """Whether something is at `path`, as far as this user can see.

    `Path.exists` raises an error for a path below a folder that this user may not enter.
    """
    try:
        path.stat()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def whole_file(path: Path, what: str) -> Iterator[BinaryIO]:
    """A file to write to, which replaces `path` when the block ends without an error.

    Args:
        path: the file that the user named; of a symbolic link, which stays, the file that it leads to.
        what: the file's name in messages, such as "the export".

    Raises:
        PinakesError: it cannot be written there, or `path` is a special file.
    """
    target = Path(os.path.realpath(path))
    partial = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    try:
        # Root may rename a file over /dev/null, and would take it away from every program.
        if path.exists():
            _refuse_special(path.stat().st_mode)
        with partial.open("wb") as out:
            yield out
            out.flush()
            # After a power cut the new name could otherwise lead to an empty file.
            os.fsync(out.fileno())
        partial.replace(target)
    except OSError as exc:
        fix = "free some space there" if exc.errno in FULL else "name a file in a folder that this user may write to"
        raise PinakesError(f"{what} {str(path)!r} cannot be written: {exc.strerror or exc}; {fix}.") from exc
    finally:
        with contextlib.suppress(OSError):  # what stopped the write matters more
            partial.unlink(missing_ok=True)


def private_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing; existing ones are left as they are.

    Raises:
        OSError: one cannot be made.
    """
    if folder.is_dir():
        return
    make_above(folder)
    folder.mkdir(mode=FOLDER, exist_ok=True)  # another process may have made it meanwhile


def make_above(folder: Path) -> None:
    """Make the missing folders above `folder`, but not itself."""
    above = folder.parent
    if not above.is_dir():
        make_above(above)
        above.mkdir(mode=above_mode(), exist_ok=True)


def above_mode() -> int:
    """The mode of folders that are made on the way to a private one."""
    return PASSABLE if os.geteuid() == 0 else FOLDER


def private_opener(path: str | bytes | os.PathLike[str], flags: int) -> int:
    """An `opener` for `open` whose new files are for their owner alone."""
    return os.open(path, flags, FILE)


def is_shared(folder: Path) -> bool:
    """Whether a group may write to an existing folder, such as a checkpoint of several users; then the umask decides."""
    mode = folder.stat().st_mode
    return bool(mode & stat.S_IWGRP) and not mode & stat.S_ISVTX  # not /tmp, which is everybody's
