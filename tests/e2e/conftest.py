"""A collection that the tests of this folder ingest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pinakes.settings import Settings
from pinakes.store.database import Database
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
