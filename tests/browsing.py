"""A visitor with a real browser, whom nothing that goes wrong on a page escapes."""

from __future__ import annotations

import csv
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageDraw
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.request import IngestRequest
from pinakes.settings import Settings, load_settings
from pinakes.store.database import Database
from pinakes.web.app import create_app
from pinakes.web.service import Service
from tests.homes import new_database
from tests.running import request_of, run_stages
from tests.waiting import PATIENCE

CHROMIUM = Path("/usr/bin/chromium")

COLOURS = {
    "blue": "#1030c0",
    "gold": "#e0b020",
    "red": "#b01018",
    "green": "#208040",
    "grey": "#909090",
    "brown": "#784018",
}
HALVES = "halves.png"
"""Blue above, red below: what a frame on it looks for depends on where the frame is."""
HOSTILE = "hostile'\"<b>&.png"
SCRIPT = "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>\"'>{{ 7 * 7 }}"
PICTURES = 56


def paint_collection(folder: Path) -> Path:
    """Pictures of one colour each in several shades, one of two colours, and one whose metadata attack; their table."""
    folder.mkdir(parents=True)
    rows: list[tuple[object, ...]] = [("file", "title", "author", "date", "type", "school", "description")]
    for number in range(PICTURES - 2):
        colour = list(COLOURS)[number % len(COLOURS)]
        name = f"{number:02}-{colour}.png"
        picture = Image.new("RGB", (96, 72) if number % 3 else (60, 90), COLOURS[colour])
        picture.paste("black" if number % 2 else "white", (4, 4, 6 + number, 10))
        picture.save(folder / name)
        kind = "landscape" if number % 2 else "portrait"
        school = "Dutch" if number % 4 else "French"
        author = f"PAINTER, {colour.title()}"
        rows.append((name, f"A {colour} field, {number}", author, 1600 + number, kind, school, f"All {colour}."))
    halves = Image.new("RGB", (120, 120), COLOURS["blue"])
    ImageDraw.Draw(halves).rectangle((0, 60, 120, 120), fill=COLOURS["red"])
    halves.save(folder / HALVES)
    rows.append((HALVES, "Sea and Earth", "PAINTER, Both", "1700s", "landscape", "Dutch", "Two halves. " * 30))
    hostile = Image.new("RGB", (80, 80), "white")
    for line in range(0, 80, 8):
        ImageDraw.Draw(hostile).line((line, 0, 79 - line, 80), fill="teal", width=3)
    hostile.save(folder / HOSTILE)
    rows.append((HOSTILE, SCRIPT, SCRIPT, 1650, SCRIPT, "Dutch", SCRIPT))
    table = folder.parent / "about.csv"
    with table.open("w", newline="") as out:
        csv.writer(out).writerows(rows)
    return table


@contextmanager
def page(
    server: str, folder: Path, *, second: bool = False, prepare: Callable[[Settings], object] = lambda _settings: None
) -> Iterator[str]:
    """The page over the painted collection in a database of its own; `second`: over two collections of it.

    `prepare` is called once they are there.
    """
    with new_database(server) as url:
        settings = load_settings({"PINAKES_HOME": str(folder / "home"), "PINAKES_DATABASE_URL": url}, folder)
        ingest(settings, folder / "pictures", *(["pictures", "second"] if second else ["pictures"]))
        prepare(settings)
        service = Service(settings, Database(url), "pictures", others=second)
        try:
            with serving(service) as address:
                yield address
        finally:
            service.close()


def ingest(settings: Settings, folder: Path, *collections: str) -> None:
    """The painted collection, under each of these names, in the space of the built-in embedder."""
    table = paint_collection(folder)
    for collection in collections:
        _ingest(
            request_of(settings, folder, metadata=(str(table),), embedder="palette", collection=collection), settings
        )


def _ingest(request: IngestRequest, settings: Settings) -> None:
    with open_ingestion(request, settings) as ingestion:
        run_stages(ingestion)


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """The page on a port of its own; its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(service), log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server ended before it had begun"
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, cut off from every other host. Without it the test is skipped, in CI it fails."""
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is not there; apt-get install chromium brings it"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",  # root has no other choice
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """One person's browser window.

    Args:
        browser: makes the window.
        site: the address of the page.
        options: of the window (viewport, colour scheme, whether scripts run, …).

    Attributes:
        page: the window.
        expected: statuses of documents that this visit means to provoke.
    """

    def __init__(self, browser: Browser, site: str, **options: Any) -> None:
        self.site = site
        self.context: BrowserContext = browser.new_context(
            base_url=site, **({"viewport": {"width": 1280, "height": 900}} | options)
        )
        self.context.set_default_timeout(PATIENCE * 1000)
        self.expected: set[int] = set()
        self._faults: list[str] = []
        self.context.on("console", self._on_console)
        self.context.on("weberror", lambda error: self._faults.append(f"exception: {error.error}"))
        self.context.on("request", self._on_request)
        self.context.on("response", self._on_response)
        self.context.on("requestfailed", self._on_failed)
        self.page: Page = self.context.new_page()

    def close(self) -> None:
        """Close the window; nothing may have gone wrong in it."""
        self.context.close()
        assert not self._faults, "\n".join(self._faults)

    def titles(self) -> list[str]:
        """What the grid shows, in order."""
        return self.page.locator("#grid cite, .neighbours cite").all_inner_texts()

    def hits(self) -> list[str]:
        """The image_ids of the grid, in order."""
        links = self.page.locator(".grid .work").evaluate_all(
            "links => links.map(a => decodeURIComponent(new URL(a.href).pathname))"
        )
        return [str(link).rpartition("/images/")[2] for link in links]

    def assert_accessible(self) -> None:
        """axe-core finds nothing serious, and nothing sticks out of the window."""
        found = Axe().run(self.page).response["violations"]
        serious = [f for f in found if f["impact"] in ("serious", "critical")]
        told = [f"{f['id']}: {f['help']}: {node['html'][:200]}" for f in serious for node in f["nodes"]]
        assert not told, f"{self.page.url}: " + "\n".join(told)
        too_wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, f"{self.page.url} can be scrolled sideways by {too_wide} pixels"

    def _on_console(self, message: ConsoleMessage) -> None:
        provoked = any(f"status of {status}" in message.text for status in self.expected)
        if message.type in ("error", "warning") and not provoked:
            self._faults.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith(self.site + "/"):
            self._faults.append(f"external request: {request.url[:200]}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self._faults.append(f"status {response.status}: {response.url}")

    def _on_failed(self, request: Request) -> None:
        # Leaving a page ends the loading of its pictures, which is nobody's fault.
        if request.failure != "net::ERR_ABORTED":
            self._faults.append(f"failed: {request.url}: {request.failure}")


NewVisitor = Callable[..., Visitor]
"""Opens a window of the browser; its options are those of `Visitor`."""
