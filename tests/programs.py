"""Programs of ours that begin as a copy of a process which has imported the library, without a second of imports each.

Most of what a command costs the processor is the import of what it uses, and the tests start hundreds. All processes of
pytest have it imported once, by a process from which they have their nurseries forked, one for each module. `Program` is a
`subprocess.Popen` of `python -m MODULE ARGUMENT…` for them: a process of its own, with its own environment, folder, streams,
signals and exit code; `preexec_fn` may be one of tests/signals.py. Prefect is imported before as well where PREFECT_API_URL
is set, and reads its settings again in the copy. What depends on the interpreter's own start (limits, encodings, memory) is
tested with a real one, as are the README and installed programs; TEST_COLD=1 starts all so.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import importlib.abc
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests import signals
from tests.waiting import PATIENCE

PROJECT = Path(__file__).parents[1]
COLD = "TEST_COLD"


class Program(subprocess.Popen[str]):
    """`python -m MODULE ARGUMENT…`, whose text streams are pipes unless named; `cold`: started from nothing."""

    def __init__(self, *command: str | Path, cold: bool = False, **options: Any) -> None:
        before = options.get("preexec_fn")
        self._signals = next((name for name, way in vars(signals).items() if way is before), None) if before else None
        cold = cold or COLD in os.environ or (before is not None and not self._signals)
        flows = "PREFECT_API_URL" in (options.get("env") or os.environ)
        self._nursery = None if cold else _nursery(str(command[0]), flows)
        streams = {"stdin": None, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        super().__init__([sys.executable, "-m", *map(str, command)], **(streams | options))

    def _execute_child(self, args: list[str], *how: Any) -> None:
        """Let the copy be made, with the child's ends of the streams that `Popen` has prepared."""
        if self._nursery is None:
            super()._execute_child(args, *how)
            return
        _, _, _, _, cwd, env, _, _, _, *pipes = how[:15]
        streams = [own if end == -1 else end for own, end in enumerate((pipes[0], pipes[3], pipes[5]))]
        self.pid = self._nursery.born(
            {
                "command": args[2:],
                "env": dict(os.environ if env is None else env),
                "cwd": str(cwd or Path.cwd()),
                "session": how[-2],
                "signals": self._signals,
            },
            streams,
        )
        self._child_created = True
        self._close_pipe_fds(*pipes)

    def _internal_poll(self, *args: Any, **kwargs: Any) -> int | None:
        if self._nursery is None:
            return super()._internal_poll(*args, **kwargs)
        if self.returncode is None:
            self.returncode = self._nursery.code(self.pid, 0)
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self._nursery is None:
            return super()._wait(timeout)
        if self.returncode is None:
            self.returncode = self._nursery.code(self.pid, timeout)
            if self.returncode is None:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode


def ended(*command: str | Path, timeout: float = PATIENCE, **options: Any) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` of a `Program`."""
    with Program(*command, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


class _Nursery:
    """The process that is copied: asked over a socket, and told by it how the copies ended."""

    def __init__(self, module: str, flows: bool) -> None:
        self._socket = _new_nursery(module, flows)
        self._unread = b""
        self._codes: dict[int, int] = {}
        self._lock = threading.Lock()
        atexit.register(self._socket.close)

    def born(self, how: dict[str, Any], streams: list[int]) -> int:
        """The process id of a new copy."""
        request = json.dumps(how).encode()
        with self._lock:
            socket.send_fds(self._socket, [len(request).to_bytes(4, "big")], streams)
            self._socket.sendall(request)
            while (pid := self._codes.pop(0, None)) is None:
                self._read(None)
            return pid

    def code(self, pid: int, timeout: float | None) -> int | None:
        """How a copy ended, or None if it has not within that time."""
        given_up = None if timeout is None else time.monotonic() + timeout
        while True:
            left = 1.0 if given_up is None else given_up - time.monotonic()
            with self._lock:  # for a moment: other threads wait for other copies
                said = self._read(min(max(left, 0.0), 0.1))
                if pid in self._codes:
                    return self._codes.pop(pid)
            if left <= 0 and not said:
                return None

    def _read(self, timeout: float | None) -> bool:
        """Take one message, [process id, exit code] or [0, process id of a new copy]; whether there was one in time."""
        while b"\n" not in self._unread:
            if self._socket.fileno() == -1 or not select.select([self._socket], [], [], timeout)[0]:
                return False  # at the end of this process, or not in time
            got = self._socket.recv(65536)
            assert got, "the process that programs are copied from has ended"
            self._unread += got
        line, _, self._unread = self._unread.partition(b"\n")
        key, value = json.loads(line)
        self._codes[key] = value
        return True


@functools.cache
def _nursery(module: str, flows: bool) -> _Nursery:
    """The one of a module in this process: what options a command has may depend on what the module declares."""
    return _Nursery(module, flows)


def _new_nursery(module: str, flows: bool) -> socket.socket:
    """A connection to a new nursery; where the process that forks them is not there, it is started."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", os.getpid())
    named = "\0" if sys.platform == "linux" else f"{tempfile.gettempdir()}/"  # Linux has names of which no file is left
    address = f"{named}pinakes-tests-{run}-{int(flows)}"
    given_up = time.monotonic() + PATIENCE
    while time.monotonic() < given_up:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as listening:
            listening.bind(address)  # whoever can starts it
            listening.listen()
            subprocess.Popen(
                [sys.executable, "-m", "tests.programs", str(listening.fileno()), *["flows"] * flows],
                env=os.environ | {"DO_NOT_TRACK": "1"},
                cwd=PROJECT,
                pass_fds=[listening.fileno()],
                stdin=subprocess.DEVNULL,
            )
        connection = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):  # it does not listen yet, or is ending
            connection.connect(address)
            connection.sendall(f"{module}\n".encode())
            if connection.recv(1):
                return connection
        connection.close()
        time.sleep(0.05)
    raise AssertionError("no process that programs are copied from has started")


def _nurseries(listening: socket.socket, *more: str) -> tuple[socket.socket, str] | None:
    """Fork a nursery for each connection; returns in each that and its module, and here None when all have ended."""
    _import_library()
    if more:
        _import_prefect()
    gc.collect()
    gc.freeze()
    nurseries: set[int] = set()
    patience = PATIENCE
    while select.select([listening], [], [], patience)[0] or nurseries:
        patience = 0.5
        with contextlib.suppress(BlockingIOError):
            connection, _ = listening.accept()
            if (pid := os.fork()) == 0:
                listening.close()
                connection.setblocking(True)
                return connection, connection.makefile().readline().strip()
            connection.close()
            nurseries.add(pid)
        while nurseries and (ended := os.waitpid(-1, os.WNOHANG)[0]):
            nurseries.remove(ended)
    return None


def _copies(ours: socket.socket, module: str) -> dict[str, Any] | None:
    """Make a copy for each request; returns in each copy what it is to do, and here None at the end."""
    importlib.import_module(module)
    from pinakes.cli.main import COMMANDS

    for command in COMMANDS.values():
        importlib.import_module(command)
    for again in (module, "prefect.main"):  # which are executed once more in each copy
        sys.modules.pop(again, None)
    gc.collect()
    gc.freeze()
    ours.sendall(b"!")
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([ours, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            while True:
                try:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    break
                if pid == 0:
                    break
                _say(ours, pid, os.waitstatus_to_exitcode(status))
        if ours in ready:
            size, streams, _, _ = socket.recv_fds(ours, 4, 3)
            if not size:
                return None
            request = b""
            while len(request) < int.from_bytes(size, "big"):
                request += ours.recv(1 << 20)
            sys.stdout.flush()
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                ours.close()
                for end in (woken, wake):
                    os.close(end)
                return dict(json.loads(request)) | {"streams": streams}
            for end in streams:
                os.close(end)
            _say(ours, 0, pid)


def _say(ours: socket.socket, *numbers: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        ours.sendall(json.dumps(numbers).encode() + b"\n")


def _import_library() -> None:
    """Import what commands import; they themselves are made of what there is when they are imported."""
    library = ("pinakes.ingest.stages", "pinakes.search.answer", "pinakes.evaluation.evaluation", "pinakes.web.app")
    for name in (*library, "pandas", "pyarrow.parquet", "uvicorn", "psycopg_pool"):
        importlib.import_module(name)


def _import_prefect() -> None:
    """Import what flows import of Prefect."""
    from prefect.logging import configuration

    set_up, configuration.setup_logging = configuration.setup_logging, dict
    importlib.import_module("prefect.flow_engine")
    importlib.import_module("prefect.artifacts")
    configuration.setup_logging = set_up


class _PrefectAgain(importlib.abc.MetaPathFinder):
    """Lets Prefect read its settings from the environment that a copy has when it imports Prefect."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "prefect.main":
            from prefect.context import refresh_global_settings_context

            refresh_global_settings_context()


def _become(how: dict[str, Any]) -> None:
    """Be `python -m` that module, in its environment and folder and with its streams."""
    if how["session"]:
        os.setsid()
    if how["signals"]:
        getattr(signals, how["signals"])()
    os.environ.clear()
    os.environ.update(how["env"])
    time.tzset()
    os.chdir(how["cwd"])
    for number, end in enumerate(how["streams"]):
        os.dup2(end, number)
    for end in how["streams"]:
        if end > 2:
            os.close(end)
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        raw = open(number, "rb" if number == 0 else "wb", closefd=False)  # noqa: SIM115
        errors = "backslashreplace" if number == 2 else "strict"
        stream = io.TextIOWrapper(raw, "utf-8", errors, line_buffering=number == 2 or os.isatty(number))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    if "prefect.context" in sys.modules:
        again = _PrefectAgain()
        again.find_spec("prefect.main")
        sys.meta_path.insert(0, again)
    module, *arguments = how["command"]
    sys.path[0:1] = [how["cwd"], str(PROJECT)]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as listening_:
        listening_.setblocking(False)
        nursery = _nurseries(listening_, *sys.argv[2:])
    if nursery is not None:
        with nursery[0] as ours_:
            told = _copies(*nursery)
        if told is not None:
            _become(told)
