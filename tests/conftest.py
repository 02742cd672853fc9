"""Real parts for all tests: one embedded PostgreSQL and one Prefect server for the session, a database for each test."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from psycopg.conninfo import conninfo_to_dict

from pinakes.settings import Settings
from pinakes.store.collections import prepare
from pinakes.store.database import Database
from pinakes.store.embedded.server import embedded_server, remove_server
from tests.homes import environment_of, new_database, settings_of
from tests.object_stores import AzureStore, S3Store, azure_store, s3_store
from tests.postgres import be_quick, plain_postgres, server_folder
from tests.prefect_homes import LEAN, prefect_home

PROJECT = Path(__file__).parents[1]

# What a person has set for themselves is nothing that a test asked for, and reaches every program that a test starts.
for name in [name for name in os.environ if name.startswith(("PINAKES_", "PREFECT_", "COUNTING_", "HELD_"))]:
    del os.environ[name]

# Many images set it. Each of the hundreds of programs that the tests start would compile all that it imports.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A background job of a script is started with Ctrl-C ignored, one under nohup with hang-ups: what the tests start begins
# as it would in a terminal, wherever they are run themselves. A test of such a start sets it (tests/signals.py).
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)

# Nothing that collecting the tests makes is garbage, and there is much of it to look through again and again.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


# Continuous integration judges a change, so it tries the same examples every time; elsewhere each run looks for new ones.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a PostgreSQL with pgvector that runs for the whole session.

    TEST_POSTGRES names another, such as one whose locales are those of ICU, which the embedded programs lack.
    """
    if (address := os.environ.get("TEST_POSTGRES")) is not None:
        yield address
        return
    home = server_folder("pinakes-tests-")
    try:
        with embedded_server(home) as dsn:
            be_quick(dsn)
            yield dsn
    finally:
        remove_server(home)
        shutil.rmtree(home)


@pytest.fixture
def plain_server() -> Iterator[str]:
    """A PostgreSQL without pgvector, with the extensions of PostgreSQL's own."""
    with plain_postgres() as address:
        yield address


@pytest.fixture(scope="session")
def first_used(server: str) -> Iterator[str]:
    """The name of a database as the first command leaves it that finds no collection there."""
    with new_database(server) as url:
        with Database(url).connection() as (conn, _):
            prepare(conn)
        yield conninfo_to_dict(url)["dbname"]


@pytest.fixture
def like(request: pytest.FixtureRequest) -> str:
    """The name of the database that the test's own is a copy of; a file whose tests begin alike names another."""
    return "template1" if request.node.get_closest_marker("empty") else str(request.getfixturevalue("first_used"))


@pytest.fixture
def database_url(server: str, like: str) -> Iterator[str]:
    """A database without a collection, unless it is `like` one with a collection."""
    with new_database(server, like=like) as url:
        yield url


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings of a home and a database of this test's own."""
    return settings_of(database_url, tmp_path)


@pytest.fixture
def database(settings: Settings) -> Database:
    """The test's own database."""
    assert settings.database_url
    return Database(settings.database_url)


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prefect server that runs for the whole session; flows in this process use it."""
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    from deployments.prefect_server import running_server
    from tasks.watching import drain_prefect

    home = prefect_home(tmp_path_factory.mktemp("prefect"))
    environment = os.environ | LEAN | {"PREFECT_HOME": str(home)}
    with (
        running_server(log=home / "server.log", environment=environment) as server,
        temporary_settings({PREFECT_API_URL: server.api_url, PREFECT_HOME: home}),
    ):
        yield server.api_url
        drain_prefect()  # at its end this process would wait for a server that is gone, without a limit


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Store]:
    """Amazon S3's protocol on loopback."""
    with s3_store() as store:
        yield store


@pytest.fixture(scope="session")
def azurite() -> Iterator[AzureStore]:
    """Azure Blob Storage's protocol on loopback."""
    with azure_store() as store:
        yield store


@pytest.fixture
def environment(settings: Settings, tmp_path: Path) -> dict[str, str]:
    """The environment in which a test runs the command as a person would."""
    return environment_of(settings, tmp_path)
