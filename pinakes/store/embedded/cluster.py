"""One PostgreSQL data folder: created, started, queried and stopped, always under the server's lock."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from psycopg import pq
from psycopg.conninfo import make_conninfo

from pinakes.errors import DatabaseError
from pinakes.files import FULL
from pinakes.store.embedded.binaries import ENVIRONMENT, MAJOR, Programs, programs
from pinakes.store.embedded.locks import is_locked
from pinakes.store.embedded.place import (
    Place,
    drop_socket_folder,
    relocation,
    server_user,
    socket_folder,
    write_whole,
)
from pinakes.store.embedded.server_settings import PORT, settings_file, this_machine
from pinakes.store.embedded.user import identity, reachable

log = logging.getLogger(__name__)

ROLE = DATABASE = "pinakes"

START_TIMEOUT_S = 300.0
"""Longest start: after a crash of the machine up to 2 GB of log are replayed first."""

STOP_TIMEOUT_S = 60.0
"""Longest fast stop, which writes what is in memory, before an immediate stop is asked for."""

ORPHANS_TIMEOUT_S = 15.0
"""How long processes of a server whose postmaster was killed may take to notice that and end."""

LEAST_FREE = 32 << 20
"""Bytes on the disk below which a start is taken to have failed for lack of space: a segment of the log takes 16 MB."""

LOG_TAIL = 16 << 10
"""Bytes that are read from the end of a log: a whole day of failing statements may be in one file."""

_SETTINGS = "pinakes.conf"
_HBA = "# Written by Pinakes: the private socket, with the password in PINAKES_HOME.\nlocal all all scram-sha-256\n"


def read_state(place: Place) -> dict[str, str]:
    """What the last start decided: `sockets` and `version`; empty before the first."""
    try:
        state: dict[str, str] = json.loads(place.state.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return state


def ping(place: Place) -> pq.Ping:
    """Whether the server accepts connections (OK), is starting or stopping (REJECT), or cannot be reached."""
    sockets = read_state(place).get("sockets")
    if sockets is None:
        return pq.Ping.NO_RESPONSE
    conninfo = make_conninfo(host=sockets, port=PORT, dbname=DATABASE, user=ROLE, connect_timeout=2)
    return pq.Ping(pq.PGconn.ping(conninfo.encode()))


def last_words(place: Place, lines: int = 4) -> str:
    """The last lines of the server's newest log."""
    logs = [place.root / "startup.log", *place.data.glob("log/*.log")]
    texts = []
    for path in sorted((path for path in logs if path.is_file()), key=lambda path: path.stat().st_mtime):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL))
            texts += [line.strip() for line in file.read(LOG_TAIL).decode("utf-8", "replace").splitlines()]
    return " / ".join([text for text in texts if text and "HINT:  Future log output" not in text][-lines:])


def postmaster(place: Place) -> int | None:
    """The process id of the server; None where no process of that id is verifiably the server of this data folder."""
    try:
        pid = int((place.data / "postmaster.pid").read_text().partition("\n")[0])
    except (FileNotFoundError, ValueError):
        return None
    return pid if _serves(pid, place.data) else None


def _serves(pid: int, data: Path) -> bool:
    """Whether the process was started as `…/postgres -D <data>`, as we start it."""
    if Path("/proc/self/cmdline").exists():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return words[0].endswith(b"postgres") and os.fsencode(data) in words[1:]
    command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603  a fixed command
    return f"postgres -D {data}" in shown


def _signal(place: Place, number: signal.Signals) -> bool:
    """Send a signal to the verified postmaster; False if there is none."""
    pid = postmaster(place)
    if pid is None:
        return False
    try:
        # A handle stands for the same process until it is closed, whereas an id may be given to another after the check.
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):  # macOS has no handles, and a container may forbid them
        log.debug("no pidfd_open here; signalling by process id")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return True
    try:
        if not _serves(pid, place.data):
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def start(place: Place, alive: int) -> None:
    """Start the server; the data folder is made first if there is none.

    Args:
        place: the server's folders.
        alive: descriptor of `place.alive`, locked. The server inherits it, so that it stays locked for as long as any
            process of the server lives; that it was free proves that no process of an earlier server is left.

    Raises:
        DatabaseError: it did not start; with the last lines of its log.
    """
    try:
        _start(place, alive)
    except DatabaseError as exc:
        full = any(os.strerror(number) in str(exc) for number in FULL)
        if not full and shutil.disk_usage(place.root).free > LEAST_FREE:
            raise
        log.debug("the server did not start: %s", exc)
        raise DatabaseError(
            f"the embedded database cannot be started: the disk that holds {place.root} is full. Free 200 MB there, set"
            " PINAKES_HOME to a folder on another disk, or PINAKES_DATABASE_URL to a database elsewhere, and run again."
        ) from exc


def _start(place: Place, alive: int) -> None:
    try:
        user = server_user(place)
        # Every server that Pinakes starts inherits the lock on `alive`, and that was free.
        foreign = postmaster(place)
        if foreign is not None:
            raise DatabaseError(
                f"process {foreign} is a PostgreSQL server on {place.data} that Pinakes did not start; stop it first."
            )
        if user is not None and not reachable(place.root, user):
            raise DatabaseError(
                f"the OS user {user.name!r} that runs the embedded server cannot enter {place.root}; open the folders"
                f" above it (chmod o+x), or delete it: the next run rebuilds it elsewhere from the checkpoints."
            )
        tools = programs(user)
        _check_version(place)
        # Nobody serves the data, as was checked, but PostgreSQL would believe a stale id that another process has by now.
        (place.data / "postmaster.pid").unlink(missing_ok=True)
        if not (place.data / "PG_VERSION").exists():
            _initialise(place, tools, alive)
        elif not place.password_file.exists():
            _set_password(place, place.data, tools, alive)
        sockets = socket_folder(place, user, read_state(place))
        text = settings_file(this_machine(place.data), sockets)
        write_whole(place.data / _SETTINGS, text, 0o600, user)
        state = {"sockets": str(sockets), "version": tools.version}
        write_whole(place.state, json.dumps(state), 0o600, place.owner)
        process = _launch(place, tools, alive)
    except OSError as exc:
        raise DatabaseError(
            f"the embedded server in {place.root} cannot be started ({exc.strerror}: {exc.filename})."
        ) from exc
    try:
        _wait_until_ready(place, process)
    except BaseException:
        _end(process)
        raise
    # Another process may stop the server, which would then stay a zombie of this one.
    threading.Thread(target=process.wait, name="embedded-server-reaper", daemon=True).start()
    where = "" if relocation(place) is None else f" in {place.root}"
    log.info("started the embedded PostgreSQL %s%s (process %d)", tools.version, where, process.pid)


def _check_version(place: Place) -> None:
    if place.data.is_dir() and not (place.data / "PG_VERSION").exists() and any(place.data.iterdir()):
        raise DatabaseError(f"{place.data} holds files but no PostgreSQL data; move them away.")
    with contextlib.suppress(FileNotFoundError):
        found = (place.data / "PG_VERSION").read_text().strip()
        if found != str(MAJOR):
            raise DatabaseError(
                f"the data folder {place.data} was made by PostgreSQL {found}, and this is PostgreSQL {MAJOR}; delete"
                " the folder and run again: everything is rebuilt from the checkpoints without paying twice."
            )


def _initialise(place: Place, tools: Programs, alive: int) -> None:
    """Create the data folder under another name, and rename it when it is complete."""
    # A process that is killed half-way leaves a folder that the next one removes, and never one that looks complete.
    new = place.root / "data.new"
    if new.exists():
        shutil.rmtree(new)
    new.mkdir(mode=0o700)
    if tools.user is not None:
        os.chown(new, tools.user.uid, tools.user.gid)
    log.info("making the embedded database in %s", place.data)
    tools.run(
        "initdb",
        f"--pgdata={new}",
        f"--username={ROLE}",
        "--auth=reject",  # until pg_hba.conf is replaced
        # PostgreSQL's own order of texts: a C library's may change with its version, which breaks indexes of text.
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--text-search-config=simple",
        "--no-instructions",
        keep=alive,
    )
    write_whole(new / "pg_hba.conf", _HBA, 0o600, tools.user)
    # `include` fails without the file; the start writes it again, with the folder of the socket.
    write_whole(new / _SETTINGS, settings_file(this_machine(new), place.root), 0o600, tools.user)
    settings = (new / "postgresql.conf").read_text(encoding="utf-8")
    write_whole(new / "postgresql.conf", f"{settings}\ninclude '{_SETTINGS}'\n", 0o600, tools.user)
    _set_password(place, new, tools, alive, f"CREATE DATABASE {DATABASE};\n")
    new.rename(place.data)
    # The name is safe from a crash of the machine only when the folder above is written, too.
    folder = os.open(place.root, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _set_password(place: Place, data: Path, tools: Programs, alive: int, more: str = "") -> None:
    """Give the role a new password (256 random bits) in single-user mode, which needs none, and write it down."""
    # On standard input, since every user of the machine can see the arguments of a program. The file is written last: where
    # it is missing, the next start sets another password.
    password = secrets.token_hex(32)
    statements = f"ALTER ROLE {ROLE} PASSWORD '{password}';\n{more}"
    tools.run("postgres", "--single", "-D", str(data), "postgres", text=statements, keep=alive)
    write_whole(place.password_file, f"*:*:*:{ROLE}:{password}\n", 0o600, place.owner)


def _launch(place: Place, tools: Programs, alive: int) -> subprocess.Popen[bytes]:
    """Run the server in a session of its own (no Ctrl-C reaches it), with none of our open files but the lock."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    output = os.open(place.root / "startup.log", flags, 0o600)
    try:
        if place.owner is not None:
            os.fchown(output, place.owner.uid, place.owner.gid)
        return subprocess.Popen(  # noqa: S603  a program of the wheel, with arguments of ours
            [tools.path("postgres"), "-D", str(place.data)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=ENVIRONMENT,
            umask=0o077,
            start_new_session=True,
            pass_fds=(alive,),
            **identity(tools.user),
        )
    except subprocess.SubprocessError as exc:
        raise DatabaseError(f"the embedded server cannot be run ({exc}); run Pinakes as a plain user.") from exc
    finally:
        os.close(output)


def _wait_until_ready(place: Place, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while (status := ping(place)) is not pq.Ping.OK:
        if process.poll() is not None:
            raise DatabaseError(
                f"the embedded server in {place.root} did not start (exit code {process.returncode});"
                f" the end of its log: {last_words(place)}"
            )
        if time.monotonic() > deadline:
            doing = "is still recovering" if status is pq.Ping.REJECT else "does not answer"
            raise DatabaseError(
                f"the embedded server in {place.root} {doing} after {START_TIMEOUT_S:.0f} s;"
                f" the end of its log: {last_words(place)}"
            )
        time.sleep(0.01)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server that this process started and that never became ready."""
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def stop(place: Place) -> None:
    """Stop the server and wait until none of its processes is left; nothing if there is none.

    Raises:
        DatabaseError: it cannot be stopped from here.
    """
    # PostgreSQL's fast stop ends its sessions; its immediate stop also skips writing, and the next start replays the log.
    for number, patience in ((signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGQUIT, ORPHANS_TIMEOUT_S)):
        signalled = _signal(place, number)
        if _gone(place, patience if signalled else ORPHANS_TIMEOUT_S):
            drop_socket_folder(place, read_state(place))
            return
        if not signalled:
            break  # what is left has lost its postmaster, or runs in another container
    raise DatabaseError(
        f"processes of the embedded server in {place.root} are left that do not end or run in another container; end"
        f" them (ps shows them as `postgres: …`) and run again. The end of its log: {last_words(place)}"
    )


def _gone(place: Place, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while is_locked(place.alive):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
