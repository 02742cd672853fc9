"""Stopping a run before its end. A stop is requested once for the whole process; batches check for it between pictures."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | signal.Handlers

stop_requested = threading.Event()
"""Set by Ctrl-C while pictures are embedded: batches end after the current picture, and nothing new is begun."""

_orderly = threading.Event()
"""Set while pictures are in flight whose answers a stop waits for."""

_stop_handlers: list[Handler] = []
"""The handlers of `stop_on_interrupt` that are in force, the innermost last."""

_NOTICE = b"\nstopping: what is in flight is kept and loaded first; Ctrl-C again interrupts at once\n"


class Stopping:
    """Why a run should begin nothing new: asked to stop, abandoned because it failed, or out of money."""

    def __init__(self) -> None:
        self._abandoned = threading.Event()
        self._why: str | None = None
        self.budget_used_up: Callable[[], bool] = lambda: False

    def __call__(self) -> bool:
        """Whether it should."""
        return self.at_once() or self.budget_used_up()

    def at_once(self) -> bool:
        """Whether to stop even requests whose cost is already reserved: for all reasons but the last."""
        return stop_requested.is_set() or self._abandoned.is_set()

    def abandon(self) -> None:
        """Let what is in flight end, and begin nothing new: the run has failed."""
        self._abandoned.set()

    def ask(self, why: str) -> None:
        """Stop the run for this reason: let what is in flight end, and begin nothing new. The first reason counts."""
        self._why = self._why or why
        self._abandoned.set()

    @property
    def asked(self) -> str | None:
        """What stops this run, such as "SIGTERM"; None if nothing does."""
        return self._why or ("Ctrl-C" if stop_requested.is_set() else None)


@contextmanager
def handling(handler: Handler, *numbers: signal.Signals) -> Iterator[None]:
    """Let these signals call `handler` for the length of the block. Does nothing outside the main thread.

    By default those are Ctrl-C, SIGTERM and SIGHUP.

    Ctrl-C works even where this process was started with SIGINT ignored, as every background job of a script is. An ignored
    SIGHUP stays ignored: that is what nohup is for.
    """
    # Python lets only the main thread install handlers; Prefect may run a flow in another one.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if not numbers:
        hangup = (signal.SIGHUP,) if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else ()
        numbers = (signal.SIGINT, signal.SIGTERM, *hangup)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP raise KeyboardInterrupt in this block, so that what it has opened is closed."""
    with handling(signal.default_int_handler):
        yield


@contextmanager
def orderly() -> Iterator[None]:
    """Pictures are embedded in this block: Ctrl-C lets those in flight end, and the run end in order without the rest."""
    _orderly.set()
    try:
        # Installed again: in the meantime Prefect has installed a handler of its own for SIGTERM.
        with handling(_stop_handlers[-1]) if _stop_handlers else nullcontext():
            yield
    finally:
        _orderly.clear()


@contextmanager
def stop_on_interrupt() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP ask for a stop in an `orderly` block, once; otherwise they interrupt at once.

    Outside of such a block nothing is paid for, and the next run repeats it: nobody should have to wait for its end.
    """
    stop_requested.clear()

    def ask(number: int, frame: FrameType | None) -> None:
        if not _orderly.is_set() or stop_requested.is_set():
            signal.signal(number, signal.default_int_handler)  # one more interrupts the clean-up too
            signal.default_int_handler(number, frame)
        stop_requested.set()
        with suppress(OSError):  # after a hang-up there is no terminal any more
            os.write(2, _NOTICE)  # not through sys.stderr, which may be in the middle of a write

    _stop_handlers.append(ask)
    try:
        with handling(ask):
            yield
    finally:
        _stop_handlers.remove(ask)
        stop_requested.clear()
