"""A small collection with everything that a page has to cope with, and the page before it."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from PIL import Image

from pinakes.settings import Settings, load_settings
from pinakes.store.database import Database
from pinakes.web.app import create_app
from pinakes.web.protocol import PatientProtocol
from pinakes.web.security import Access
from pinakes.web.service import Service
from tests.homes import new_database
from tests.running import gallery, paint, run

ODD = "rooms/café & co #1?.png"
"""An id that must survive every address."""
BROKEN = "torn.jpg"


@contextmanager
def home(server: str, folder: Path) -> Iterator[Settings]:
    """Settings of a database of its own with the collection in it, for the tests of a whole file."""
    with new_database(server) as url:
        settings = load_settings({"PINAKES_HOME": str(folder / "home"), "PINAKES_DATABASE_URL": url}, folder)
        ingest(settings, folder / "pictures")
        yield settings


def ingest(settings: Settings, folder: Path) -> None:
    """Twelve plain pictures, one with an odd name and one that is no picture, with metadata; the space is `counting`'s."""
    gallery(folder)
    paint(folder / ODD, (0, 0, 255), (640, 480))
    (folder / BROKEN).write_bytes(picture()[:500])
    rows = [f"p{n:02}.png,Title {n},{'Ada' if n % 2 else 'Bo'},{1600 + n},landscape" for n in range(12)]
    table = folder.parent / "about.csv"
    table.write_text("\n".join(["file,title,author,date,type", *rows, f"{BROKEN},Torn,Ada,1700,portrait"]) + "\n")
    run(settings, folder, metadata=(str(table),), allow_failures="1")


def picture(colour: str = "#00f", size: tuple[int, int] = (64, 48), kind: str = "JPEG") -> bytes:
    """A picture file."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


@contextmanager
def service(settings: Settings, collection: str = "pictures") -> Iterator[Service]:
    """The service, closed at the end."""
    assert settings.database_url
    made = Service(settings, Database(settings.database_url), collection)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def browsing(
    served: Service,
    access: Access | None = None,
    protocol: type[asyncio.Protocol] = PatientProtocol,
    **options: Any,
) -> Iterator[httpx.Client]:
    """A visitor of a page that is served on a port of its own; `options` are the visitor's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(served, access), log_config=None, http=protocol))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", **options) as visitor:
                yield visitor
        finally:
            server.should_exit = True
            thread.join()
