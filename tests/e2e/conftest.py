"""A collection that the tests of this folder ingest, and the browser in which they look at its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from pinakes.settings import Settings
from pinakes.store.database import Database
from tests import browsing
from tests.browsing import NewVisitor, Visitor
from tests.sites import Site


@pytest.fixture
def site(settings: Settings, database: Database, environment: dict[str, str], tmp_path: Path) -> Iterator[Site]:
    site = Site(settings, database, environment, tmp_path)
    yield site
    for process in site.processes:
        process.kill()
        process.wait()


@pytest.fixture
def on_the_session_server(site: Site, prefect_api: str) -> str:
    site.environment["PREFECT_API_URL"] = prefect_api
    return prefect_api


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing.chromium() as opened:
        yield opened


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[NewVisitor]:
    """Opens a window; at the end of the test nothing may have gone wrong in it."""
    opened: list[Visitor] = []

    def new(**options: Any) -> Visitor:
        opened.append(Visitor(browser, site, **options))
        return opened[-1]

    yield new
    for visitor in opened:
        visitor.close()
