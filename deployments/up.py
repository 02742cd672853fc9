"""What `pinakes up` starts: Prefect's server, a worker, the database and the deployments, on loopback, until Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from deployments.constants import NO_TELEMETRY, POOL, RUNS
from deployments.guard import Guarded
from deployments.prefect_server import check_port, log_folder, prefect_home, running_server
from deployments.sample import COLLECTION, sample_gallery
from pinakes.errors import PinakesError, UsageError
from pinakes.settings import Settings
from pinakes.store.addresses import LIMITER_URL, check_address
from pinakes.store.database import open_database


def up(settings: Settings, project: Path, port: int) -> None:
    """Start everything, print the addresses, and stop everything on Ctrl-C.

    Args:
        settings: what the deployments run with.
        project: the folder that holds prefect.yaml.
        port: of Prefect's server and UI, on 127.0.0.1.

    Raises:
        UsageError: the port is in use, or `pinakes up` is running already with this PINAKES_HOME.
        DatabaseError: PINAKES_DATABASE_URL or PINAKES_LIMITER_URL is malformed, or the database cannot be used.
        PinakesError: something does not start, or ends by itself.
    """
    check_port(port)  # said at once, not after the sample gallery is painted
    if settings.limiter_url:
        check_address(settings.limiter_url, LIMITER_URL)  # which only paid runs read, hours later
    logs = log_folder(settings.home)
    try:
        with _only_one(settings.home, port):
            _bring_up(settings, project, port, logs)
    except KeyboardInterrupt:
        click.echo("stopping …", err=True)


def _bring_up(settings: Settings, project: Path, port: int, logs: Path) -> None:
    api_url = f"http://127.0.0.1:{port}/api"
    click.echo("Starting the database, Prefect's server and a worker; the first start takes a minute …")
    os.environ |= NO_TELEMETRY | prefect_home(settings.home)
    environment = os.environ | {"PREFECT_API_URL": api_url, "PREFECT_UI_API_URL": api_url} | RUNS | _source(settings)
    with (
        open_database(settings),
        running_server(port=port, log=logs / "prefect-server.log", environment=environment) as server,
    ):
        _set_up(api_url)
        _deploy(environment, project)
        _set_up(api_url)  # once more for the deployments, which need the work pool before them
        worker = Guarded(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--name", "pinakes-up"],
            log=logs / "worker.log",
            environment=environment,
        )
        try:
            click.echo(_ready(port, api_url, logs))
            _watch({"Prefect's server": server.program, "the worker": worker}, logs)
        finally:
            worker.stop()


@contextmanager
def _only_one(home: Path, port: int) -> Iterator[None]:
    """Hold the right to run Prefect's server in this home, whose database is for one server.

    Raises:
        UsageError: another process holds it.
    """
    with (home / "up.lock").open("a+") as lock:
        try:
            # Unlike a file that only exists, this lock ends with its process, even one that was killed.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UsageError(
                f"pinakes up is already running with PINAKES_HOME={home}, on port {lock.read().strip() or 'unknown'}: use"
                " that one, end it first, or set another PINAKES_HOME."
            ) from None
        lock.truncate(0)
        lock.write(f"{port}\n")
        lock.flush()
        yield


def _source(settings: Settings) -> dict[str, str]:
    """The settings that deployments take their source from: the person's own, or the sample gallery's."""
    if settings.source is not None:
        return {}
    collection = settings.values.get("PINAKES_COLLECTION") or COLLECTION
    gallery = sample_gallery(settings, collection)
    return {
        "PINAKES_SOURCE": str(gallery.pictures),
        "PINAKES_METADATA": os.pathsep.join(map(str, gallery.metadata)),
        "PINAKES_COLLECTION": collection,
    }


def _set_up(api_url: str) -> None:
    from deployments.server_setup import set_up  # imports Prefect, after the environment is set

    for step in set_up(api_url):
        if step.wrote:
            click.echo(step.line())


def _deploy(environment: dict[str, str], project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        env=environment | {"PWD": str(project)},  # prefect.yaml takes the project folder from it
        cwd=project,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PinakesError(f"the deployments of {project / 'prefect.yaml'} were not made:\n{done.stdout.strip()}")


def _ready(port: int, api_url: str, logs: Path) -> str:
    return "\n".join(
        [
            f"Prefect's UI: http://127.0.0.1:{port}   logs: {logs}",
            "In a second terminal:",
            f"  export PREFECT_API_URL={api_url}",
            "  prefect deployment run ingest/ingest --watch",
            '  prefect deployment run search/search --param text="dark blue and gold" --watch',
            "Ctrl-C ends everything.",
        ]
    )


def _watch(programs: dict[str, Guarded], logs: Path) -> None:
    while True:
        for name, program in programs.items():
            if not program.running:
                raise PinakesError(f"{name} ended by itself; see {logs}.")
        time.sleep(0.5)
