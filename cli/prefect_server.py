"""Prefect's API for the length of a command: the server that is set, or one that ends with this process."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cli.guard import Guarded
from pinakes.errors import PinakesError

NO_TELEMETRY = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
"""Prefect's client and server report their use by default; a collection's keeper was not asked."""

START_SECONDS = 120.0
"""A first start migrates Prefect's own database; on a busy machine that has taken a minute."""


@contextmanager
def prefect_server() -> Iterator[None]:
    """Let flows run in this block.

    Where no `PREFECT_API_URL` is set a server is started on loopback. Unlike Prefect's own temporary server it is gone
    even if this process is killed.

    Raises:
        PinakesError: it does not start.
    """
    # Bars and tables are what a person at a terminal looks at; Prefect's own lines go to its server all the same.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    os.environ |= NO_TELEMETRY
    from prefect.settings import PREFECT_API_URL, temporary_settings  # after the environment is set

    if PREFECT_API_URL.value():
        yield
        return
    port = free_port()
    server = Guarded(
        [*uvicorn(), "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"],
        log=None,
        environment=os.environ | {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"},
    )
    try:
        url = f"http://127.0.0.1:{port}/api"
        wait_for(url, server)
        with temporary_settings({PREFECT_API_URL: url}):
            yield
            _send_what_is_left()
    finally:
        server.stop()


def uvicorn() -> list[str]:
    """The command that serves Prefect's API, without host and port."""
    return [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app", "--lifespan", "on"]


def free_port() -> int:
    """A TCP port of loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def wait_for(api_url: str, server: Guarded) -> None:
    """Wait until the server answers.

    Raises:
        PinakesError: it ended, or took longer than `START_SECONDS`.
    """
    import requests  # only where a server is started

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if not server.running:
            raise PinakesError(f"Prefect's server at {api_url} ended at once; is the port in use?")
        try:
            if requests.get(f"{api_url}/health", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise PinakesError(f"Prefect's server at {api_url} did not answer within {START_SECONDS:.0f} s.")


def _send_what_is_left() -> None:
    """Prefect's client sends events and logs in the background; the server must have them before it ends."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all(timeout=10)
    APILogWorker.drain_all(timeout=10)
