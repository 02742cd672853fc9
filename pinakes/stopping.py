"""Stopping a run before its end: asked for once for the whole process, looked at between pictures."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

stop_requested = threading.Event()
"""Set by the first Ctrl-C: batches end after the picture at hand, and nothing new is begun."""


class Stopping:
    """Why a run should begin nothing new: asked to stop, abandoned because it failed, or out of money."""

    def __init__(self) -> None:
        self._abandoned = threading.Event()
        self.budget_used_up: Callable[[], bool] = lambda: False

    def __call__(self) -> bool:
        """Whether it should."""
        return stop_requested.is_set() or self._abandoned.is_set() or self.budget_used_up()

    def abandon(self) -> None:
        """Let what is in flight end, and begin nothing new: the run has failed."""
        self._abandoned.set()


@contextmanager
def stop_on_interrupt() -> Iterator[None]:
    """Let the first Ctrl-C ask for a stop, and the second one interrupt at once. In the main thread only."""
    stop_requested.clear()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop_requested.is_set():
            signal.signal(signal.SIGINT, before)
            signal.default_int_handler(number, frame)
        stop_requested.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        stop_requested.clear()
