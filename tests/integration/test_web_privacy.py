"""What visitors cannot find out, and who is kept waiting."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from pinakes.cli.serve import command as serve
from pinakes.errors import SettingsError
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.store.restrictions import hide, unhide
from pinakes.web.security import Access
from pinakes.web.service import Service
from tests import serving
from tests.serving import picture
from tests.waiting import PATIENCE, until

TOKEN = "a-long-secret-of-24-signs"


@pytest.fixture(scope="module")
def home(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of an ingested collection; one of its pictures is hidden, and has a column of its own."""
    with serving.home(server, tmp_path_factory.mktemp("web")) as settings:
        assert settings.database_url
        with Database(settings.database_url).connection() as (conn, _):
            conn.execute("""UPDATE pictures.images SET extra = '{"donor": "A. Nonymous"}' WHERE title = 'Title 4'""")
            hide(conn, "pictures", "title=Title 4")
        yield settings


@pytest.fixture(scope="module")
def service(home: Settings) -> Iterator[Service]:
    with serving.service(home) as made:
        yield made


@pytest.fixture(scope="module")
def web(service: Service) -> Iterator[httpx.Client]:
    with serving.browsing(service, timeout=PATIENCE) as visitor:
        yield visitor


@pytest.mark.parametrize("condition", ["uri=x", "uri~/srv", " uri ~p00"])
def test_where_pictures_are_stored_cannot_be_asked(web: httpx.Client, condition: str) -> None:
    answers = [web.get(path, params={"where": condition}) for path in ("/api/facets", "/api/search", "/")]
    answers.append(web.post("/api/search", json={"where": [condition]}))
    for answer in answers:
        assert answer.status_code == 400
        assert "not for visitors" in answer.text
        assert "file://" not in answer.text
        assert "p00.png" not in answer.text


def test_pictures_are_not_grouped_by_where_they_are_stored(web: httpx.Client) -> None:
    for asked in ({"group_by": "uri"}, {"group_by": "uri", "q": "blue"}):
        assert web.get("/api/search", params=asked).status_code == 400


@pytest.mark.parametrize("asked", [{"where": "donor~A"}, {"where": "donor=A. Nonymous"}, {"group_by": "donor"}])
def test_columns_that_only_hidden_pictures_have_are_unknown(
    web: httpx.Client, home: Settings, asked: dict[str, str]
) -> None:
    for path in ("/api/search", "/api/facets"):
        if "group_by" in asked and path == "/api/facets":
            continue
        answer = web.get(path, params=asked)
        assert answer.status_code == 400
        assert "has a column 'donor'" in answer.text
        assert answer.text.count("donor") == 1  # it is not listed among those that there are
    assert home.database_url
    with Database(home.database_url).connection() as (conn, _):
        unhide(conn, "pictures", "title=Title 4")
        try:
            assert web.get("/api/search", params=asked).status_code == 200
        finally:
            hide(conn, "pictures", "title=Title 4")


def test_wrong_tokens_are_slowed_and_logged(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    access = Access(TOKEN, hosts=None, wrong_token_seconds=0.5)
    with serving.browsing(service, access) as web, caplog.at_level(logging.WARNING, "pinakes.web.security"):
        answers: list[Any] = [web.get("/api/search", headers={"authorization": f"Bearer x{n}"}) for n in range(3)]
        assert web.get("/api/search").status_code == 401  # a browser's first request has none, and is no attempt
    assert [answer.status_code for answer in answers] == [401] * 3
    assert min(answer.elapsed.total_seconds() for answer in answers) >= 0.5
    assert [record.getMessage() for record in caplog.records] == [
        "1 request(s) with a wrong token since the last such line; the latest from 127.0.0.1"
    ]


@pytest.mark.parametrize(
    ("path", "kind"), [("/api/search", "application/json"), ("/", "multipart/form-data; boundary=x")]
)
def test_a_client_that_hangs_up_is_no_error(
    web: httpx.Client, path: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "pinakes.web.app"):
        with socket.create_connection((web.base_url.host, web.base_url.port or 0), timeout=PATIENCE) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nContent-Type: {kind}\r\n\r\n"
            connection.sendall(head.encode() + b"--x")
        until(lambda: caplog.records)
        assert web.post("/api/search", files={"picture": picture()}).status_code == 200
    assert [
        (record.levelname, record.getMessage()) for record in caplog.records if record.name.startswith("pinakes")
    ] == [("DEBUG", f"a client hung up at POST {path}")]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "museum.example"])
def test_a_short_token_is_refused_where_others_can_try_it(host: str) -> None:
    asked = CliRunner().invoke(serve, ["--host", host, "--port", "0"], env={"PINAKES_WEB_TOKEN": "fifteen-letters"})
    assert isinstance(asked.exception, SettingsError)
    assert "has 15 characters" in str(asked.exception)
    assert "fifteen" not in str(asked.exception)
