"""`pinakes serve`: the search page and its JSON API."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from urllib.parse import urlsplit

import click
import uvicorn
from typing_extensions import override

from pinakes.cli import options
from pinakes.errors import PinakesError, SettingsError, UsageError
from pinakes.ingest.stopping import handling
from pinakes.settings import is_loopback, load_settings
from pinakes.store.collections import collection_names
from pinakes.store.database import Database, open_database
from pinakes.web import pages
from pinakes.web.app import create_app
from pinakes.web.protocol import PatientProtocol
from pinakes.web.security import LOOPBACK_NAMES, Access
from pinakes.web.service import Service

DEFAULT_PORT = 8484

TOKEN = "PINAKES_WEB_TOKEN"  # noqa: S105 - the name of the setting
SHORT_TOKEN = 16
"""The shortest token, in characters, that a program cannot guess."""

MAX_HEAD_BYTES = 256 << 10
"""The largest head of a request: room for a cursor and the longest query."""

LOOK_SECONDS = 1.0
"""How often --wait looks for the collection."""

STOP_SECONDS = 3.0
"""How long closing may take after Ctrl-C, including the embedded database. It takes tenths of a second if no request is
being answered."""

logger = logging.getLogger("pinakes.serve")


@click.command("serve")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="The address to bind to; any but loopback requires a token.",
)
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="The TCP port to listen on; 0 takes any that is free.",
)
@options.collection
@click.option(
    "--iiif-viewer",
    "viewers",
    multiple=True,
    metavar="ORIGIN",
    help="The origin of a IIIF viewer that may read /iiif and /thumbnails, such as https://viewer.example.org; repeatable."
    " Default: none.",
)
@click.option(
    "--read-only",
    is_flag=True,
    help="Let visitors look and search, and change nothing: what is decided about copies is shown and stays as it is.",
)
@click.option("--wait", is_flag=True, help="Wait for a collection that does not exist yet instead of ending.")
def command(
    *, host: str, port: int, collection: str | None, viewers: tuple[str, ...], read_only: bool, wait: bool
) -> None:
    """Search in the browser: a page, a JSON API under /api, and documents for viewers of IIIF under /iiif.

    Without --collection and PINAKES_COLLECTION the page offers every collection of the database.

    It answers only on this machine. Bound to another address (--host 0.0.0.0) it requires PINAKES_WEB_TOKEN, which clients
    send as a bearer token or, in a browser, as the password of any user. It speaks plain HTTP: put a proxy in front of it
    for encryption.
    """
    settings = load_settings()
    token = settings.values.get(TOKEN) or None
    loopback = is_loopback(host)
    if not loopback and token is None:
        raise SettingsError(
            f"--host {host} can be reached from other machines, and {TOKEN} is not set: set it to a long secret, or leave"
            " --host out to serve only this machine."
        )
    if token is not None and len(token) < SHORT_TOKEN:
        problem = f"{TOKEN} has {len(token)} characters, and a program can guess it; set one of {SHORT_TOKEN} or more"
        if not loopback:
            raise SettingsError(
                f"{problem} (openssl rand -hex 16 makes one), or leave --host out to serve only this machine."
            )
        logger.warning("%s.", problem)
    # With a token any host name will do: a browser sends it to no other name, and a proxy may use a name of its own.
    hosts = LOOPBACK_NAMES | {url_host(host)} if token is None else None
    access = Access(token, hosts, viewers=frozenset(map(_origin, viewers)))
    try:
        # The port first: if it is taken, no embedded server is started in vain.
        with listening(host, port) as listener, open_database(settings) as database:
            # `settings.collection` alone does not tell a collection that somebody chose from the default one.
            named = collection or settings.values.get("PINAKES_COLLECTION")
            name = named or settings.collection
            if wait:
                _await(name, database)
            elif not named:
                name = _first(name, database)
            # A page for a named collection offers no other.
            service = Service(settings, database, name, others=not named, read_only=read_only)
            try:
                server = _Server(
                    uvicorn.Config(
                        create_app(service, access),
                        log_config=None,  # records keep the format of PINAKES_LOG
                        http=PatientProtocol,
                        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                        log_level="warning",
                        access_log=False,  # its lines would say what each visitor looked for
                        server_header=False,
                        proxy_headers=False,  # anybody can send X-Forwarded-For, and wrong tokens are logged by address
                        timeout_keep_alive=15,
                        timeout_graceful_shutdown=1,  # otherwise it waits for every answer, however long a provider takes
                    )
                )
                pages.prepare()
                # Somebody opens the address as soon as it is printed. Connections wait in the listening socket until then.
                click.echo(f"Serving {service.collection} at http://{url_host(host)}:{listener.getsockname()[1]}/")
                server.run(sockets=[listener])
            finally:
                service.close()
    except KeyboardInterrupt:
        click.echo("stopped", err=True)


def _origin(text: str) -> str:
    """An origin as browsers write it.

    Raises:
        UsageError: `text` is not an origin.
    """
    try:
        parts = urlsplit(text.strip().lower())
    except ValueError:
        parts = urlsplit("")
    ports = {"https": ":443", "http": ":80"}
    if parts.scheme not in ports or not parts.hostname or "@" in parts.netloc or parts.path.strip("/") or parts.query:
        raise UsageError(
            f"--iiif-viewer {text!r} is no origin; write its scheme and host, such as https://viewer.example.org."
        )
    return f"{parts.scheme}://{parts.netloc.removesuffix(ports[parts.scheme])}"


def _first(collection: str, database: Database) -> str:
    """The collection to begin with: the default one if it exists, else the first one."""
    with database.connection() as (conn, _):
        names = collection_names(conn)
    return collection if collection in names or not names else names[0]


def _await(collection: str, database: Database) -> None:
    """Wait until a run has created the collection."""
    announced = False
    while True:
        with database.connection() as (conn, _):
            if collection in collection_names(conn):
                return
        if not announced:
            click.echo(f"Waiting for the collection {collection}; pinakes ingest makes it.")
            announced = True
        time.sleep(LOOK_SECONDS)


class _Server(uvicorn.Server):
    """Ends soon after Ctrl-C even while a thread waits for a provider, because a thread cannot be interrupted."""

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn does not handle SIGHUP. After it has ended, it raises the signals again that it captured.
        with super().capture_signals(), handling(self.handle_exit):
            yield

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # sys.exit would wait for the threads of the pool. A daemon, so that it keeps no process that ends by itself.
        last = threading.Timer(STOP_SECONDS, os._exit, (0,))
        last.daemon = True
        last.start()
        super().handle_exit(sig, frame)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that accepts connections, which wait until the server is ready.

    Raises:
        PinakesError: the port is taken, or the address is not this machine's.
    """
    with contextlib.ExitStack() as opened:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
            listener = opened.enter_context(socket.socket(family, kind, protocol))
            # Otherwise a restart finds the port in use for a minute, by connections that have been closed.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(256)
        except (OSError, UnicodeError) as exc:  # the latter for a name that no host can have, such as a..b
            reason = getattr(exc, "strerror", None) or exc
            raise PinakesError(
                f"--host {host} --port {port} cannot be listened on: {reason}; choose another port with --port."
            ) from exc
        yield listener


def url_host(host: str) -> str:
    """A host as it is written in a URL."""
    bare = host.strip("[]")
    try:
        return f"[{bare}]" if ipaddress.ip_address(bare).version == 6 else bare
    except ValueError:
        return bare
