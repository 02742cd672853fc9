"""A whole stack as `pinakes up` brings it up, used by Prefect's API."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tests.programs import Program

PROJECT = Path(__file__).parents[1]
PATIENCE = 300
"""Seconds for a deployment run that takes ten of them on a quiet machine."""
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

Found = TypeVar("Found")


def asking_again() -> requests.Session:
    """Requests as Prefect's own clients make them: a server whose SQLite is busy answers 503, and is asked again."""
    session = requests.Session()
    again = Retry(5, backoff_factor=0.5, status_forcelist=[502, 503], allowed_methods=None)
    session.mount("http://", HTTPAdapter(max_retries=again))
    return session


class Stack:
    """What `pinakes up` has started, as it is used by Prefect's API."""

    def __init__(self, api: str) -> None:
        self._api = api
        self._session = asking_again()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer to a request that is granted; None where it has no body."""
        response = self.asked(method, path, body)
        assert response.ok, response.text
        return response.json() if response.content else None

    def asked(self, method: str, path: str, body: object = None) -> requests.Response:
        """The answer to a request, whatever it says."""
        return self._session.request(method, f"{self._api}/{path}", json=body, timeout=60)

    def run(self, deployment: str, **parameters: Any) -> dict[str, Any]:
        """A deployment run that has ended: Prefect's flow run, and its `artifacts` by key."""
        return self.end_of(self.begin(deployment, **parameters))

    def begin(self, deployment: str, **parameters: Any) -> str:
        """Start a deployment run, and give its id."""
        found = self.deployment(deployment)
        begun = self.ask("POST", f"deployments/{found['id']}/create_flow_run", {"parameters": parameters})
        return str(begun["id"])

    def end_of(self, run_id: str) -> dict[str, Any]:
        """A flow run when it has ended, and its `artifacts` by key."""

        def ended() -> dict[str, Any] | None:
            run = self.ask("GET", f"flow_runs/{run_id}")
            assert isinstance(run, dict)
            return run if run["state_type"] in FINAL else None

        run = until(ended)
        artifacts = self.ask("POST", "artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run_id]}}})
        return run | {"artifacts": {artifact["key"]: artifact["data"] for artifact in artifacts}}

    def deployment(self, name: str) -> dict[str, Any]:
        """What Prefect knows of a deployment."""
        found = self.ask("GET", f"deployments/name/{name}")
        assert isinstance(found, dict)
        return found

    def scheduled(self, deployment: str, state: str) -> list[dict[str, Any]]:
        """The runs of a deployment in a state that the server made for a schedule, by the time they were made for."""
        runs = self.ask(
            "POST",
            "flow_runs/filter",
            {
                "flow_runs": {
                    "deployment_id": {"any_": [self.deployment(deployment)["id"]]},
                    "state": {"type": {"any_": [state]}},
                },
                "sort": "EXPECTED_START_TIME_ASC",
            },
        )
        return [run for run in runs if run["auto_scheduled"]]


def until(look: Callable[[], Found]) -> Found:
    """What there is at last."""
    given_up = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < given_up, "it did not happen"
        time.sleep(0.5)
    return found


def table(run: dict[str, Any], key: str) -> dict[str, Any]:
    """A table artifact of two columns."""
    rows = [list(row.values()) for row in json.loads(run["artifacts"][key])]
    return dict(rows)


@contextmanager
def program(line: str, environment: dict[str, str], *arguments: str) -> Iterator[str]:
    """A command of ours that runs until the end of the block, when Ctrl-C ends it; yields its line that holds `line`."""
    process = Program("pinakes.cli.main", *arguments, cwd=PROJECT, env=environment, stderr=None, start_new_session=True)
    try:
        assert process.stdout
        said = []
        for found in process.stdout:
            said.append(found)
            if line in found:
                break
        else:
            pytest.fail(f"pinakes {arguments[0]} ended with {process.wait()}: {''.join(said)}")
        yield found
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(120) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
