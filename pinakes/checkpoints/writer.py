"""Collects answers into parts, and writes each part within a few seconds."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from pinakes.checkpoints.base import AnswersLostError, RefusedWriteError
from pinakes.checkpoints.checkpoint import Checkpoint
from pinakes.errors import CheckpointError
from pinakes.types import Answer

PROMISED_SECONDS = 5.0
"""A kill costs at most the answers of this many seconds."""

FLUSH_SECONDS = 4.0
"""How long an answer waits at most before its part is written: a second less, for the writing on a slow disk."""

FLUSH_ANSWERS = 256
"""This many waiting answers are written immediately: a Parquet part of 1 MB at 1,024 components."""


class CheckpointWriter:
    """Keeps answers as they come: use it in a `with`, add from any thread.

    A part is written when `flush_answers` wait (by the thread that adds the last of them, so that a slow disk slows the
    adding down), when the oldest has waited for `flush_seconds` (by a thread in the background), and at the end, also
    when the `with` is left by an exception. When a write fails its answers are kept and tried again, every
    `flush_seconds` and at the end; the next `add` says so, and so does the end unless that last try succeeds.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, flush_seconds: float = FLUSH_SECONDS, flush_answers: int = FLUSH_ANSWERS
    ) -> None:
        self._checkpoint = checkpoint
        self._flush_seconds = flush_seconds
        self._flush_answers = flush_answers
        # Two locks: a write, which may take minutes, holds `_writing` alone, so that answers can be added meanwhile.
        self._state = threading.Condition()
        self._writing = threading.Lock()
        self._waiting: list[Answer] = []
        self._due = 0.0
        self._failed: CheckpointError | None = None
        self._refused = False
        self._closing = False
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._background: Future[None] | None = None

    def __enter__(self) -> Self:
        """Start the background thread, and clear away what dead writers left."""
        self._checkpoint.remove_leftovers()
        self._background = self._threads.submit(self._flush_when_due)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what waits.

        Raises:
            AnswersLostError: it cannot be written, and is lost.
        """
        with self._state:
            self._closing = True
            self._state.notify_all()
        try:
            self.flush()
        except CheckpointError as failed:
            raise AnswersLostError(str(failed), self._waiting, exc) from failed
        finally:
            self._threads.shutdown()
        self._check_background()  # only here: while answers still wait, `flush` must come first

    def add(self, answer: Answer) -> None:
        """Take an answer; it is on the disk within `flush_seconds` and the time of a write.

        Raises:
            CheckpointError: the answer cannot be kept at all: it is not of this space.
            RefusedWriteError: this write or an earlier one has failed; its answers and this one wait for the next try.
        """
        self._checkpoint.check(answer)
        with self._state:
            if not self._waiting:
                self._due = time.monotonic() + self._flush_seconds
                self._state.notify_all()
            self._waiting.append(answer)
            failed, self._failed = self._failed, None
            # Whoever adds does not wait for a storage that has refused: that may take minutes each time.
            full = len(self._waiting) >= self._flush_answers and not self._refused
        self._check_background()
        if failed is not None:
            raise RefusedWriteError(str(failed)) from failed
        if full:
            try:
                self.flush()
            except CheckpointError as exc:
                raise RefusedWriteError(str(exc)) from exc

    def flush(self) -> None:
        """Write what waits now.

        Raises:
            CheckpointError: it cannot be written, and still waits.
        """
        with self._writing:
            with self._state:
                # Taken out before the write, so that what is added meanwhile goes into the next part.
                answers, self._waiting = self._waiting, []
            # Whatever ends the write, a lost lease or a lack of memory too: its answers wait again.
            kept = False
            try:
                self._checkpoint.write(answers)
                kept = True
            finally:
                with self._state:
                    self._refused = not kept
                    if kept:
                        self._failed = None
                    else:
                        self._waiting = answers + self._waiting
                        self._due = time.monotonic() + self._flush_seconds
                        self._state.notify_all()  # the background may wait without a limit for what was taken out above

    def _flush_when_due(self) -> None:
        while True:
            with self._state:
                # In a loop, since a flush meanwhile moves the time at which the next one is due.
                while not self._closing and (not self._waiting or time.monotonic() < self._due):
                    self._state.wait(self._due - time.monotonic() if self._waiting else None)
                if self._closing:
                    return
            try:
                self.flush()
            except CheckpointError as exc:
                with self._state:
                    self._failed = exc

    def _check_background(self) -> None:
        """Raise what ended the background thread, if anything but the end of the `with` did."""
        if self._background is not None and self._background.done():
            self._background.result()
