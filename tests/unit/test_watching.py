"""What a run shows on Prefect's server is kept while the server is away, and never ends the run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prefect.logging.handlers import APILogWorker

from tasks import watching
from tasks.watching import Outbox

REQUEST = httpx.Request("POST", "http://127.0.0.1/artifacts")


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch) -> Outbox:
    monkeypatch.setattr(watching, "PAUSE_SECONDS", 0.01)
    return Outbox()


def failing(times: int, exc: Exception, sent: list[str], what: str) -> Callable[[], None]:
    """Raises so many times before it is sent."""
    left = [exc] * times

    def send() -> None:
        if left:
            raise left.pop()
        sent.append(what)

    return send


def test_what_cannot_be_sent_is_sent_in_its_order_when_the_server_answers_and_said_once(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[str] = []
    outbox.put("first", failing(3, httpx.ConnectError("refused"), sent, "first"))
    outbox.put("second", lambda: sent.append("second"))
    assert outbox.drain(60)
    assert sent == ["first", "second"]
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        "Prefect's server does not answer",
        "Prefect's server answers again, and is shown what it has missed",
    ]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_too_busy_is_asked_again(outbox: Outbox, status: int) -> None:
    sent: list[str] = []
    busy = httpx.HTTPStatusError("busy", request=REQUEST, response=httpx.Response(status))
    outbox.put("plan", failing(2, busy, sent, "plan"))
    assert outbox.drain(60)
    assert sent == ["plan"]


def test_what_the_server_refuses_is_named_and_given_up(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    sent: list[str] = []
    refused = httpx.HTTPStatusError("too large", request=REQUEST, response=httpx.Response(413))
    with caplog.at_level(logging.WARNING):
        outbox.put("pictures", failing(1, refused, sent, "pictures"))
        outbox.put("name", lambda: sent.append("name"))
        assert outbox.drain(60)
    assert sent == ["name"]
    assert "Prefect's server does not show the pictures of this run: too large" in caplog.text


def test_of_one_key_only_the_newest_is_kept_while_the_server_is_away(outbox: Outbox) -> None:
    sent: list[str] = []
    outbox.put("progress", failing(10**6, httpx.ConnectError("refused"), sent, "old"))
    assert not outbox.drain(0.1)
    outbox.put("progress", lambda: sent.append("new"))
    assert outbox.drain(60)
    assert sent == ["new"]


def test_a_server_that_stays_away_is_not_waited_for_for_good(outbox: Outbox) -> None:
    sent: list[str] = []
    outbox.put("end", failing(10**6, httpx.ReadTimeout("silence"), sent, "end"))
    assert not outbox.drain(0.1)
    outbox.forget()
    assert outbox.drain(60)
    assert sent == []


class Client:
    """Prefect's client, whose server is away for so many requests."""

    def __init__(self, away: int) -> None:
        self.away = away
        self.taken: list[bytes] = []

    async def request(self, _method: str, _path: str, *, content: bytes, **_options: Any) -> None:
        self.away -= 1
        if self.away >= 0:
            raise httpx.ConnectError("refused")
        self.taken.append(content)


def send_logs(client: Client) -> None:
    worker: Any = SimpleNamespace(_client=client)
    asyncio.run(APILogWorker._handle_batch(worker, [b"{1}", b"{2}"]))


def test_lines_of_the_log_are_kept_until_the_server_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAUSE_SECONDS", 0.01)
    client = Client(away=50)
    send_logs(client)
    assert client.taken == [b"[{1},{2}]"]


def test_lines_of_the_log_are_given_up_with_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watching._given_up.set()
    try:
        send_logs(client := Client(away=1))
    finally:
        watching._given_up.clear()
    assert not client.taken
    assert "2 lines of the log are not on Prefect's server (refused)" in capsys.readouterr().err
