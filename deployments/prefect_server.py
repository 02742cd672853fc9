"""A Prefect API for the duration of a command: the server that is set, or one that ends with this process."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from deployments.constants import NO_TELEMETRY, RUN_TAG, RUNS, SERVER
from deployments.guard import Guarded
from pinakes.errors import PinakesError, UsageError
from pinakes.files import private_folder

START_SECONDS = 240.0
"""A first start migrates Prefect's own database; on a machine that is busy with much else that has taken two minutes. A
server that ends before it answers is seen at once."""

IDENTITY: Final = "Pinakes-Server"
"""The header with which a server that was started here names itself: another program may answer on its port."""

_STAYING: Final = ("SCHEDULER", "LATE_RUNS", "FOREMAN", "PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP")
"""Services for deployments and workers, which only a permanent server needs."""

_ENGINES: Final = frozenset({"flow_engine", "task_engine"})
"""Modules in which Prefect logs states and tracebacks; flows and tasks log from other modules."""


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """A server on loopback that ends with this process at the latest."""

    api_url: str
    program: Guarded


@contextmanager
def running_server(
    *, port: int | None = None, log: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[PrefectServer]:
    """Prefect's server for the duration of the block; it answers when the block begins.

    Args:
        port: of loopback; None: a free one.
        log: where its output goes; None drops it.
        environment: of the server; None: this process's. Unless it says otherwise, concurrency limits are kept so that
            slots survive a restart.

    Raises:
        UsageError: the port is in use.
        PinakesError: it does not start.
    """
    port = free_port() if port is None else port
    check_port(port)  # here and not by the server, which would say it only in its log
    api_url = f"http://127.0.0.1:{port}/api"
    identity = uuid4().hex
    program = Guarded(
        [
            *(sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"),
            *("--lifespan", "on", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"),
            *("--header", f"{IDENTITY}:{identity}"),
        ],
        log=log,
        environment=SERVER | dict(os.environ if environment is None else environment) | NO_TELEMETRY,
    )
    try:
        _wait_for(port, identity, program, log)
        yield PrefectServer(api_url, program)
    finally:
        program.stop()


@contextmanager
def prefect_server(home: Path) -> Iterator[None]:
    """Let flows run in this block; they are tagged as runs whose heartbeats are monitored.

    If `PREFECT_API_URL` is not set, a server is started on loopback. Unlike Prefect's own temporary server it ends even
    if this process is killed.

    Args:
        home: Pinakes' own folder; the log of that server is kept there.

    Raises:
        PinakesError: it does not start, or the one that is set does not answer.
    """
    # A server that is set keeps the log of the run for its UI; one that ends with the run has no readers.
    has_reader = "PREFECT_LOGGING_LEVEL" in os.environ or os.environ.get("PREFECT_API_URL")
    quiet = {} if has_reader else {"PREFECT_LOGGING_LEVEL": "WARNING"}
    with _environment(NO_TELEMETRY | RUNS | quiet), _answering(home):
        yield


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set these variables for this process and what it starts, for the duration of the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ |= values
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _answering(home: Path) -> Iterator[None]:
    """The server of this block; the environment is set."""
    from prefect import tags  # reads the environment
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if not logging.getLogger("pinakes").isEnabledFor(logging.DEBUG):  # --verbose shows tracebacks
        for handler in logging.root.handlers:
            handler.addFilter(_is_no_end_of_run)
    if PREFECT_API_URL.value():
        from deployments.server_client import answering_server

        with answering_server():
            pass  # only asked whether it answers: Prefect would show a traceback after the run has begun
        with tags(RUN_TAG):
            yield
        return
    with (
        a_server_for_one_run(home) as api_url,
        temporary_settings({PREFECT_API_URL: api_url}),
        tags(RUN_TAG),
    ):
        try:
            yield
        finally:
            from tasks.watching import drain_prefect

            # Prefect's client sends in the background; the server must have everything before it ends.
            drain_prefect()


@contextmanager
def a_server_for_one_run(home: Path) -> Iterator[str]:
    """The API address of a server without the services that only a permanent server needs.

    Not Prefect's ephemeral mode: that never frees the slots of a run that was killed.
    """
    few = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in _STAYING}
    environment = os.environ | few | prefect_home(home) | {"PREFECT_UI_ENABLED": "0"}
    with running_server(log=log_folder(home) / "prefect-server.log", environment=environment) as server:
        yield server.api_url


def prefect_home(home: Path) -> dict[str, str]:
    """PREFECT_HOME, by default in Pinakes' own folder: servers that share one would carry out each other's runs."""
    return {"PREFECT_HOME": os.environ.get("PREFECT_HOME") or str(home / "prefect")}


def log_folder(home: Path) -> Path:
    """The folder for the logs of programs that a command starts.

    Raises:
        PinakesError: it cannot be made.
    """
    folder = home / "logs"
    try:
        private_folder(folder)
    except OSError as exc:
        raise PinakesError(
            f"the folder {folder} cannot be made: {exc.strerror or exc}; let this user write there, or set PINAKES_HOME."
        ) from exc
    return folder


def _is_no_end_of_run(record: logging.LogRecord) -> bool:
    """Keeps the engine's lines about the end of a run off the terminal, where the command says it in one sentence."""
    engine = record.name.startswith(("prefect.flow_runs", "prefect.task_runs")) and record.module in _ENGINES
    return not engine or record.getMessage().startswith("Beginning flow run")


def free_port() -> int:
    """A TCP port of loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def check_port(port: int) -> None:
    """Check that a server can listen on a TCP port of loopback.

    Raises:
        UsageError: another program listens there, or this user may not.
    """
    with socket.socket() as probe:
        # As the server does: connections that have just ended do not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                raise _in_use(port) from exc
            raise UsageError(f"port {port} of 127.0.0.1 cannot be used: {exc.strerror}; choose another.") from exc


def _in_use(port: int) -> UsageError:
    import requests

    try:
        ours = IDENTITY in requests.get(f"http://127.0.0.1:{port}/api/health", timeout=2).headers
    except requests.RequestException:
        ours = False
    by = "a Prefect server that Pinakes started (pinakes up)" if ours else "another program"
    return UsageError(f"port {port} of 127.0.0.1 is in use by {by}: end that first, or choose another port (--port).")


def _wait_for(port: int, identity: str, server: Guarded, log: Path | None) -> None:
    """Wait until this very server answers.

    Raises:
        UsageError: another program took the port meanwhile.
        PinakesError: it ended, or took longer than `START_SECONDS`.
    """
    import requests  # only where a server is started

    api_url = f"http://127.0.0.1:{port}/api"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if not server.running:
            check_port(port)  # lost in a race with another program: that is a better reason than the log's last line
            raise PinakesError(f"Prefect's server at {api_url} ended at once.{_see(log)}")
        try:
            answer = requests.get(f"{api_url}/health", timeout=5)
        except requests.RequestException:
            pass
        else:
            if answer.headers.get(IDENTITY) != identity:
                raise _in_use(port)
            if answer.ok:
                return
        time.sleep(0.1)
    raise PinakesError(f"Prefect's server at {api_url} did not answer within {START_SECONDS:.0f} s.{_see(log)}")


def _see(log: Path | None) -> str:
    if log is None:
        return ""
    lines = log.read_text("utf-8", "replace").split("\n") if log.is_file() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return (f" It said last: {last.rstrip('.')}." if last else "") + f" Its log is {log}."
