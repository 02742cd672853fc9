"""The OS user that root's embedded server runs as: PostgreSQL refuses to run as root."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from pinakes.errors import DatabaseError
from pinakes.store.embedded.locks import Owner

log = logging.getLogger(__name__)

SERVER_USER = "pinakes-pg"
"""The OS user that is made to run root's servers: no login, no home, no other purpose."""

BORROWED_USERS = ("nobody", "daemon")
"""Who runs root's servers where no user can be made."""

_MAKING_A_USER = (
    ("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
     "--shell", "/usr/sbin/nologin", SERVER_USER),
    ("adduser", "-S", "-D", "-H", "-s", "/sbin/nologin", SERVER_USER),
)  # fmt: skip
"""Of shadow-utils, which most distributions have, and of BusyBox, which Alpine has."""


@dataclass(frozen=True, slots=True)
class OsUser:
    """The OS user that the server's processes run as, when root starts them."""

    name: str
    uid: int
    gid: int


class Identity(TypedDict, total=False):
    """The arguments of `subprocess` that drop root's privileges."""

    user: int
    group: int
    extra_groups: list[int]


def identity(user: OsUser | None) -> Identity:
    """What makes a program run as `user`; nothing for the present user."""
    return {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}


def permits(info: os.stat_result, user: OsUser | Owner, bits: int) -> bool:
    """Whether a file's permission bits let `user` do what `bits` (of its owner) stand for."""
    # Only the user's own group counts: `identity` drops all others.
    shift = 0 if info.st_uid == user.uid else 3 if info.st_gid == user.gid else 6
    return info.st_mode & (bits >> shift) == bits >> shift


def reachable(path: Path, user: OsUser | Owner) -> bool:
    """Whether `user` may pass through every folder above `path` and enter it, by the permission bits alone.

    Access lists are left out: they could only send us elsewhere, or make the server's start fail with its reason.
    """
    path = path.resolve()
    try:
        return all(permits(folder.stat(), user, stat.S_IXUSR) for folder in (path, *path.parents))
    except OSError:
        return False


def _entry(name: str) -> OsUser | None:
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam(name)
        if entry.pw_uid != 0:
            return OsUser(name, entry.pw_uid, entry.pw_gid)
    return None


def dedicated_user() -> OsUser:
    """`SERVER_USER`, which is made if it does not exist; where it cannot be made, a borrowed one, with a warning."""
    if (user := _entry(SERVER_USER)) is not None:
        return user
    reason = "there is no useradd"
    for command in _MAKING_A_USER:
        if shutil.which(command[0]) is None:
            continue
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed commands
        # The user counts and not the exit code: another process may have made it at the same time.
        if (user := _entry(SERVER_USER)) is not None:
            log.info("made the OS user %s: PostgreSQL does not run as root", SERVER_USER)
            return user
        reason = f"{command[0]} failed: {done.stderr.strip()}"
    for name in BORROWED_USERS:
        if (user := _entry(name)) is not None:
            log.warning(
                "the embedded server runs as the OS user %r, which other programs may share (%s);"
                " make a user %r, or run as a plain user, to keep the data apart",
                name, reason, SERVER_USER,
            )  # fmt: skip
            return user
    raise DatabaseError(
        f"PostgreSQL does not run as root, and there is no other OS user to run it as ({reason});"
        f" make a user {SERVER_USER!r}, or run Pinakes as a plain user."
    )


def user_name(uid: int) -> str:
    """The name of an OS user, or the number of one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
