"""Prefect's server goes away: what a command says then, and what it does not lose."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Cancelled

import flows.ingest
from deployments import ingest_run
from deployments.server_client import answering_server
from pinakes.errors import PinakesError, StoppedError
from pinakes.ingest.request import IngestRequest
from pinakes.settings import load_settings
from tasks.watching import outcome

REQUEST = IngestRequest.of(source="pictures", collection="pictures", checkpoint="checkpoints")


def test_a_run_that_was_cancelled_before_the_server_went_away_ends_as_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stopped = StoppedError("stopped by Prefect", {"embedded": 3})

    def cancelled(**_: Any) -> None:
        kept = outcome.get()
        assert kept is not None
        kept.append(Cancelled(message=str(stopped), data=stopped))
        raise httpx.ConnectError("all connection attempts failed")

    monkeypatch.setattr(ingest_run, "prefect_server", lambda _home: nullcontext())
    monkeypatch.setattr(flows.ingest, "ingest", cancelled)
    assert ingest_run.run_ingest(REQUEST, load_settings()) is stopped


def test_a_server_that_fails_without_a_message_is_named_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SyncPrefectClient, "api_healthcheck", lambda _: httpx.ReadTimeout(""))
    with (
        pytest.raises(PinakesError, match=r"no Prefect server answers at .*: ReadTimeout\."),
        answering_server("http://127.0.0.1:9/api"),
    ):
        pass
