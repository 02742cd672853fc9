"""What asks a run to stop, and how it is told."""

from __future__ import annotations

import os
import pty
import signal
from collections.abc import Iterator

import pytest

from pinakes.ingest.stopping import Stopping, orderly, stop_on_interrupt


@pytest.fixture
def vanished_terminal() -> Iterator[None]:
    """Standard error is a terminal that has hung up: writing to it fails."""
    leader, follower = pty.openpty()
    before = os.dup(2)
    os.close(leader)
    os.dup2(follower, 2)
    yield
    os.dup2(before, 2)
    os.close(before)
    os.close(follower)


def test_a_run_whose_terminal_is_closed_is_asked_to_stop_and_ends_in_order(vanished_terminal: None) -> None:
    with stop_on_interrupt(), orderly():
        signal.raise_signal(signal.SIGHUP)
        assert Stopping().asked is not None
