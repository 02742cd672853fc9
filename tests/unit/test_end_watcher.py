"""The watch for a run that Prefect wants to end goes on, whatever its server answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Running

from flows import ending
from pinakes.ingest.stopping import Stopping
from tests.waiting import until


class Server:
    """One that answers this."""

    def __init__(self, *answers: State[Any] | Exception) -> None:
        self._answers: Iterator[State[Any] | Exception] = iter(answers)

    def read_flow_run(self, _: Any) -> Any:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(state=answer, deployment_id=None)


def test_the_watch_for_a_cancelled_run_outlives_answers_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(Running(), httpx.ConnectError("gone"), ValueError("<html> is no JSON"), Cancelled())
    monkeypatch.setattr(ending, "get_client", lambda **_: nullcontext(server))
    monkeypatch.setattr(ending, "flow_run", SimpleNamespace(id=str(uuid4())))
    monkeypatch.setattr(ending, "LOOK_SECONDS", 0.01)
    run: Any = SimpleNamespace(stopping=Stopping())
    with ending.EndWatcher(run) as watcher:
        until(lambda: watcher.cancelled)
        until(run.stopping)
