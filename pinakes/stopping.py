"""Stopping a run before its end: asked for once for the whole process, looked at between pictures."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

stop_requested = threading.Event()
"""Set by Ctrl-C while pictures are embedded: batches end after the picture at hand, and nothing new is begun."""

_orderly = threading.Event()
"""Set while there are pictures in flight whose answers a stop waits for."""

_SAID = b"\nstopping: what is in flight is kept and loaded first; Ctrl-C again interrupts at once\n"


class Stopping:
    """Why a run should begin nothing new: asked to stop, abandoned because it failed, or out of money."""

    def __init__(self) -> None:
        self._abandoned = threading.Event()
        self.budget_used_up: Callable[[], bool] = lambda: False

    def __call__(self) -> bool:
        """Whether it should."""
        return self.at_once() or self.budget_used_up()

    def at_once(self) -> bool:
        """Whether not even requests that its money was set aside for should be begun: all reasons but the last."""
        return stop_requested.is_set() or self._abandoned.is_set()

    def abandon(self) -> None:
        """Let what is in flight end, and begin nothing new: the run has failed."""
        self._abandoned.set()


@contextmanager
def orderly() -> Iterator[None]:
    """Pictures are embedded in this block: Ctrl-C lets those in flight end, and the run end in order without the rest."""
    _orderly.set()
    try:
        yield
    finally:
        _orderly.clear()


@contextmanager
def stop_on_interrupt() -> Iterator[None]:
    """Let Ctrl-C ask for a stop in an `orderly` block, once; otherwise it interrupts at once. In the main thread only.

    Whatever else a run does is done again by the next one, and may take minutes: nobody should wait for it.
    """
    stop_requested.clear()

    def ask(number: int, frame: FrameType | None) -> None:
        if not _orderly.is_set() or stop_requested.is_set():
            signal.signal(signal.SIGINT, before)
            signal.default_int_handler(number, frame)
        stop_requested.set()
        os.write(2, _SAID)  # not through sys.stderr, which may be in the middle of a write

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        stop_requested.clear()
