"""A batch waits for a slot of Prefect's limit, but not once its run is stopping."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import httpx
import pytest

from tasks import slots

URL = "http://127.0.0.1:4200/api/v2/concurrency_limits/increment-with-lease"


class Full:
    """A server all of whose slots are taken."""

    def __init__(self) -> None:
        self.requests = 0

    def increment_concurrency_slots_with_lease(self, *_: Any) -> httpx.Response:
        self.requests += 1
        taken = httpx.Response(httpx.codes.LOCKED, headers={"Retry-After": "0.01"})
        raise httpx.HTTPStatusError("locked", request=httpx.Request("POST", URL), response=taken)


def test_a_batch_whose_run_is_stopping_does_not_wait_for_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Full()

    @contextmanager
    def client() -> Iterator[Full]:
        yield server

    monkeypatch.setattr(slots, "impatient_client", client)
    with slots.embedding_slot(lambda: server.requests == 3):
        pass
    assert server.requests == 3


def test_a_batch_is_embedded_without_a_slot_where_a_page_of_something_else_answers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Portal:
        def increment_concurrency_slots_with_lease(self, *_: Any) -> httpx.Response:
            return httpx.Response(httpx.codes.OK, text="<html>Sign in</html>")

    monkeypatch.setattr(slots, "impatient_client", lambda: nullcontext(Portal()))
    with slots.embedding_slot(lambda: False):
        pass
    assert "gives no slot for a batch" in caplog.text
