"""How long tests wait for what takes a moment on a quiet machine: generously, and in one place."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

PATIENCE = 180.0
"""Seconds. A limit says that something is never going to happen; on a machine with ten times as much to do as it can, what
takes a second takes a minute."""

Found = TypeVar("Found")


def until(look: Callable[[], Found], process: subprocess.Popen[Any] | None = None, *, every: float = 0.02) -> Found:
    """What there is at last; `process` lives on meanwhile. Looking takes a quarter of the time at most."""
    given_up = time.monotonic() + PATIENCE
    while True:
        began = time.monotonic()
        if found := look():
            return found
        looked = time.monotonic()
        assert looked < given_up, "it did not happen"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(max(every, 3 * (looked - began)))
