"""Where the embedded server lives, and the OS user it runs as.

A plain user's server runs as that user, below PINAKES_HOME. PostgreSQL refuses to run as root, so root's server runs as
another OS user, who must reach the data and the binaries. Nothing that exists is ever opened for that user: where a
folder on the way is closed to it, the data live below `SYSTEM_DIR` and a file in PINAKES_HOME says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import pwd
import re
import socket
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pinakes.errors import DatabaseError
from pinakes.files import above_mode, make_above
from pinakes.store.embedded.locks import Owner
from pinakes.store.embedded.user import SERVER_USER, OsUser, dedicated_user, reachable, user_name

log = logging.getLogger(__name__)

SYSTEM_DIR = Path("/var/lib/pinakes")
"""What root's servers keep outside of homes that their OS user cannot reach."""

SOCKET_PATH = re.compile(r"/[\w./ +=@-]*\Z")
"""Socket folders that need no quoting anywhere; libpq takes a comma in `host` for a list."""

_RECORD = "postgres.json"
_TEMPORARY = "pinakes-socket-"


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one home's server.

    Attributes:
        home: PINAKES_HOME with symbolic links resolved.
        root: the folder that holds everything below.
        owner: who gets the files that root makes here, when the home is another user's.
    """

    home: Path
    root: Path
    owner: Owner | None = None

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self.root / "data"

    @property
    def lock(self) -> Path:
        """Held while the server is started or stopped."""
        return self.root / "lock"

    @property
    def alive(self) -> Path:
        """Held by every process of the server, and by nothing else."""
        return self.root / "alive"

    @property
    def users(self) -> Path:
        """One locked file for each process that uses the server."""
        return self.root / "users"

    @property
    def password_file(self) -> Path:
        """The password file that libpq reads (mode 0600)."""
        return self.root / "pgpass"

    @property
    def state(self) -> Path:
        """What the last start decided, as JSON."""
        return self.root / "state.json"


def server_user(place: Place) -> OsUser | None:
    """Who runs the server: None for the present user; for root the owner of the data or home, or a user created for it.

    Raises:
        DatabaseError: the data belong to a user whom this process cannot become.
    """
    me = os.geteuid()
    owner = place.data.stat().st_uid if place.data.is_dir() else None
    if me != 0:
        if owner is not None and owner != me:
            raise DatabaseError(
                f"the data folder {place.data} belongs to the OS user {user_name(owner)!r} and you are"
                f" {user_name(me)!r}; run as {user_name(owner)!r} (or root), or choose another PINAKES_HOME."
            )
        return None
    if owner == 0:
        raise DatabaseError(
            f"the data folder {place.data} belongs to root, and PostgreSQL does not run as root; delete {place.root}"
            f" (the next run rebuilds it from the checkpoints), or give it back: chown -R {SERVER_USER} {place.data}"
        )
    if owner is not None:
        return OsUser(user_name(owner), owner, place.data.stat().st_gid)
    if place.owner is not None:
        # initdb requires a name for its user; an owner without one (a container's volume) cannot run it.
        with contextlib.suppress(KeyError):
            return OsUser(pwd.getpwuid(place.owner.uid).pw_name, place.owner.uid, place.owner.gid)
    return dedicated_user()


def find_place(home: Path) -> Place | None:
    """Where the server of `home` is, or None if it has never had one. Makes nothing.

    Raises:
        DatabaseError: the home cannot be read.
    """
    home = Path(os.path.realpath(home.expanduser()))
    inside, record = home / "postgres", home / _RECORD
    try:
        if inside.is_dir():
            return Place(home, inside, _owner(home))
        root = Path(json.loads(record.read_text())["root"]) if record.is_file() else None
        # A home that was moved or copied has not taken its server along: the folder's name is the home's hash.
        return Place(home, root) if root is not None and root.name == _hash(home) and root.is_dir() else None
    except OSError as exc:
        raise DatabaseError(
            f"the folder of the embedded server below {home} cannot be read ({exc.strerror}: {exc.filename});"
            " check the permissions, or choose another PINAKES_HOME."
        ) from exc


def make_place(home: Path) -> Place:
    """Where the server of `home` is; missing folders are made.

    Raises:
        DatabaseError: they cannot be made.
    """
    try:
        place = find_place(home) or _choose_place(Path(os.path.realpath(home.expanduser())))
        _make_folder(place.users, 0o700, place.owner)
    except OSError as exc:
        raise DatabaseError(
            f"the folder of the embedded server cannot be made below {home} ({exc.strerror}: {exc.filename});"
            " check the permissions, or choose another PINAKES_HOME."
        ) from exc
    return place


def _choose_place(home: Path) -> Place:
    if not home.is_dir():
        make_above(home)
        home.mkdir(mode=above_mode(), exist_ok=True)
    inside = Place(home, home / "postgres", _owner(home))
    if os.geteuid() != 0:
        _make_folder(inside.root, 0o700, None)
        return inside
    user = server_user(inside)
    assert user is not None
    # 0711 in both places: the server's user must pass through, and nobody else can list what is there.
    if reachable(home, user):
        _make_folder(inside.root, 0o711, inside.owner)
        return inside
    outside = Place(home, SYSTEM_DIR / _hash(home))
    make_system_dir()
    _make_folder(outside.root, 0o711, None)
    reason = f"the OS user {user.name} that runs it cannot enter {home}, whose permissions are left as they are"
    write_whole(home / _RECORD, json.dumps({"root": str(outside.root), "reason": reason}), 0o600, _owner(home))
    log.warning("the embedded server keeps its data in %s: %s", outside.root, reason)
    return outside


def relocation(place: Place) -> str | None:
    """Why the server's files are outside of the home, if they are."""
    record = place.home / _RECORD
    outside = not place.root.is_relative_to(place.home)
    return str(json.loads(record.read_text())["reason"]) if outside and record.is_file() else None


def forget_record(place: Place) -> None:
    """Remove the home's note of where its server was."""
    (place.home / _RECORD).unlink(missing_ok=True)


def make_system_dir() -> None:
    """Make `SYSTEM_DIR`, and refuse one in which anybody but root could put programs for the server to run."""
    _make_folder(SYSTEM_DIR, 0o755, None)
    info = SYSTEM_DIR.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o022:
        raise DatabaseError(
            f"{SYSTEM_DIR} must be a folder of root that nobody else can write to; fix it: chown root {SYSTEM_DIR}"
            f" && chmod go-w {SYSTEM_DIR}"
        )


def _hash(home: Path) -> str:
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:16]


def _owner(home: Path) -> Owner | None:
    if os.geteuid() != 0:
        return None
    info = home.stat()
    return Owner(info.st_uid, info.st_gid) if info.st_uid != 0 else None


def _make_folder(folder: Path, mode: int, owner: Owner | None) -> None:
    """Make `folder`, with this mode and owner if it is new; an existing one is left as it is."""
    try:
        folder.mkdir(mode=mode)
    except FileExistsError:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise DatabaseError(f"{folder} must be a folder, not a link or a file; remove it.") from None
        return
    # The umask may have taken bits from what `mkdir` was given.
    folder.chmod(mode)
    if owner is not None:
        # Root must not follow a link that the owner of the folder above has put in its place.
        os.chown(folder, owner.uid, owner.gid, follow_symlinks=False)


def write_whole(path: Path, text: str, mode: int, owner: OsUser | Owner | None = None) -> None:
    """Replace the file at `path`: readers see the old text or the new one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            if owner is not None:
                os.fchown(file.fileno(), owner.uid, owner.gid)
            file.write(text)
            file.flush()
            # Without it a crash of the machine could leave the new name with an empty file.
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def socket_folder(place: Place, user: OsUser | None, state: Mapping[str, str]) -> Path:
    """A private folder for the server's socket: next to the data, or a new one in /tmp where that cannot hold one.

    A socket's whole path may have 107 bytes (Linux; 103 on macOS), and some shared file systems have no sockets.
    `state` is what the last start left; its folder in /tmp is removed by `drop_socket_folder`.
    """
    drop_socket_folder(place, state)
    folder = place.root / "run"
    _make_folder(folder, 0o700, None)
    if not _holds_sockets(folder):
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
    if user is not None:
        os.chown(folder, user.uid, user.gid, follow_symlinks=False)
    # Left by a server that was killed: if another process has its id by now, PostgreSQL would take the lock file as valid.
    for leftover in folder.glob(".s.PGSQL.*"):
        leftover.unlink()
    return folder


def drop_socket_folder(place: Place, state: Mapping[str, str]) -> None:
    """Remove the folder in /tmp that the last start made, if it made one."""
    folder = Path(state.get("sockets") or place.root)
    if folder.name.startswith(_TEMPORARY) and not folder.is_symlink() and folder.is_dir():
        for leftover in folder.glob(".s.PGSQL.*"):
            leftover.unlink()
        with contextlib.suppress(OSError):  # it is not empty: the other files are not ours to remove
            folder.rmdir()


def _holds_sockets(folder: Path) -> bool:
    path = folder / ".s.PGSQL.0"  # as long as the real name but for the port
    if not SOCKET_PATH.match(str(folder)) or len(os.fsencode(path)) + 3 > 103:
        return False
    # Only binding shows whether the file system has sockets.
    trial = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        trial.bind(str(path))
    except OSError:
        return False
    finally:
        trial.close()
        path.unlink(missing_ok=True)
    return True
