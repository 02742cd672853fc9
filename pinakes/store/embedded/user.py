"""The OS user that root's embedded server runs as: PostgreSQL refuses to run as root."""

from __future__ import annotations

import contextlib
import logging
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


def reachable(path: Path, user: OsUser | Owner) -> bool:
    """Whether `user` may pass through every folder above `path` and enter it, by the permission bits alone.

    Access lists are left out: they could only send us elsewhere, or make the server's start fail with its reason.
    """
    path = path.resolve()
    for folder in (path, *path.parents):
        try:
            info = folder.stat()
        except OSError:
            return False
        if info.st_uid == user.uid:
            needed = stat.S_IXUSR
        elif info.st_gid == user.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not info.st_mode & needed:
            return False
    return True


def _entry(name: str) -> OsUser | None:
    with contextlib.suppress(KeyError):
        found = pwd.getpwnam(name)
        if found.pw_uid != 0:
            return OsUser(name, found.pw_uid, found.pw_gid)
    return None


def dedicated_user() -> OsUser:
    """`SERVER_USER`, made if it is not there; else a borrowed one, with a warning."""
    user = _entry(SERVER_USER)
    commands = (
        ("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
         "--shell", "/usr/sbin/nologin", SERVER_USER),
        ("adduser", "-S", "-D", "-H", "-s", "/sbin/nologin", SERVER_USER),
    )  # fmt: skip
    reason = "there is no useradd"
    for command in commands:
        program = shutil.which(command[0])
        if user is None and program is not None:
            # S603: fixed commands, found where root's PATH has them.
            done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)  # noqa: S603
            # Another process may have made the user in the meantime, so its being there counts, not the exit code.
            user = _entry(SERVER_USER)
            reason = f"{command[0]} failed: {done.stderr.strip()}"
            if user is not None:
                log.info("made the OS user %s: PostgreSQL does not run as root", SERVER_USER)
    if user is not None:
        return user
    for name in BORROWED_USERS:
        user = _entry(name)
        if user is not None:
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
