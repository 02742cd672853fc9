"""Folders and files for their owner alone: what Pinakes keeps says what a collection holds and what was looked for in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

FOLDER = 0o700
FILE = 0o600
PASSABLE = 0o711
"""Of folders above a private one that root makes: root's embedded server runs as another user, who must pass through. Nobody
can list them, and what is in them is closed."""


def private_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing; existing ones are left as they are.

    Raises:
        OSError: one cannot be made.
    """
    if folder.is_dir():
        return
    make_above(folder)
    folder.mkdir(mode=FOLDER, exist_ok=True)


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
    """Whether a group writes to an existing folder, as a checkpoint's of several users; then the umask decides."""
    mode = folder.stat().st_mode
    return bool(mode & stat.S_IWGRP) and not mode & stat.S_ISVTX  # not /tmp, which is everybody's
