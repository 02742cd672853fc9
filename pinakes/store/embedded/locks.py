"""Locks that the kernel drops: who may start or stop the embedded server, who uses it, whether it is alive.

All three questions are answered by `flock` on a file, never by a process id. The kernel drops such a lock when the last
process that holds the open file ends, however it ends, so a recycled id, another container on the same volume or a
process killed with -9 cannot be mistaken for something alive. (`fcntl` locks would not do: a process loses them as soon
as it closes any other descriptor of the file.)

A lock belongs to the open file, which `fork` shares with the child. A child does not count as a user and must not keep its
parent's locks after the parent's death, so every descriptor opened here is closed in a forked child, which releases nothing
for the parent. Programs that are run (`exec`) inherit none, except the server, which is given one on purpose.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pinakes.errors import DatabaseError

LOCK_TIMEOUT_S = 330.0
"""Longest wait for another process that starts or stops the server: a little over the longest start."""

_descriptors: set[int] = set()


def _close_in_child() -> None:
    for descriptor in _descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _descriptors.clear()


os.register_at_fork(after_in_child=_close_in_child)


@dataclass(frozen=True, slots=True)
class Owner:
    """The OS user to whom files belong that root makes in another user's home."""

    uid: int
    gid: int


def open_lock(path: Path, owner: Owner | None = None) -> int:
    """An open descriptor of the lock file at `path`, made with mode 0600 if it is not there.

    Raises:
        DatabaseError: it cannot be opened.
    """
    # No link is followed: root would create its target, or hand it to `owner`.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as exc:
        raise DatabaseError(
            f"the lock file {path} of the embedded server cannot be opened ({exc.strerror});"
            " run as the user who owns that folder, or choose another PINAKES_HOME."
        ) from exc
    _descriptors.add(descriptor)
    if owner is not None:
        os.fchown(descriptor, owner.uid, owner.gid)
    return descriptor


def try_lock(descriptor: int) -> bool:
    """Take the exclusive lock if it is free; whether it was.

    Raises:
        DatabaseError: the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        if exc.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS):
            raise
        raise DatabaseError(
            f"the file system of PINAKES_HOME has no file locks ({exc.strerror}); put PINAKES_HOME on a local disk."
        ) from exc
    return True


def close(descriptor: int) -> None:
    """Close a descriptor of `open_lock`; the lock goes with it unless another process was handed the open file."""
    if descriptor in _descriptors:
        _descriptors.discard(descriptor)
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock of the file at `path`."""
    if not path.exists():
        return False
    descriptor = open_lock(path)
    try:
        return not try_lock(descriptor)
    finally:
        close(descriptor)


def _removed(path: Path, descriptor: int) -> bool:
    """Whether the open file is no longer the one at `path`: the folder was removed meanwhile."""
    try:
        return not os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return True


@contextlib.contextmanager
def locked(path: Path, owner: Owner | None = None) -> Iterator[None]:
    """Hold the lock of the file at `path`; the file names the holder's process to those who wait too long.

    Raises:
        DatabaseError: it was not free within `LOCK_TIMEOUT_S` seconds.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    pause = 0.002
    descriptor = open_lock(path, owner)
    try:
        # The lock of a file that was removed excludes nobody: others lock the one that has taken its place.
        while not try_lock(descriptor) or _removed(path, descriptor):
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
                raise DatabaseError(
                    f"process {holder} has been starting or stopping the embedded server for over {LOCK_TIMEOUT_S:.0f} s"
                    f" (it holds {path}); end that process if it hangs, and run again."
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)
            if _removed(path, descriptor):
                # Opened before the old one is closed, whose number another thread may get at once.
                old, descriptor = descriptor, open_lock(path, owner)
                close(old)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        try:
            yield
        finally:
            # Not by closing alone: a child that another thread has just forked may still have the open file.
            if descriptor in _descriptors:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        close(descriptor)


def join_users(folder: Path, owner: Owner | None = None) -> tuple[Path, int]:
    """Register this process as a user of the server, under the server's lock.

    Returns its file in `folder`, and the descriptor that keeps that locked until it is closed.
    """
    # Not by the process id alone: containers that share the folder may have processes of equal ids.
    path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    descriptor = open_lock(path, owner)
    try_lock(descriptor)
    return path, descriptor


def living_users(folder: Path) -> int:
    """How many processes use the server; under its lock. The files of those that have ended are removed."""
    living = 0
    for path in folder.iterdir():
        if is_locked(path):
            living += 1
        else:
            path.unlink(missing_ok=True)
    return living
