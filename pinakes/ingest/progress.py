"""How far a run has come: bars at a terminal, a line in the log now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Any, Self

from tqdm import tqdm

logger = logging.getLogger(__name__)

LINE_SECONDS = 10.0
"""Seconds between two lines where there is no terminal."""


class Progress:
    """Counts images over a run, and its batches; thread-safe. Use as a context manager.

    Args:
        what: a word for what is being done, e.g. "embedding".
        images: how many there are.
        batches: how many batches they come in.
        unit: what is counted, where that is not images alone.
    """

    def __init__(self, what: str, images: int, batches: int, unit: str = "images") -> None:
        self.unit = unit
        self.what = what
        self.images = images
        self.batches = batches
        self.done = 0
        self.batches_done = 0
        self._lock = threading.Lock()
        self._started = self._last_line = time.monotonic()
        self._bars: tuple[Any, Any] | None = None

    def __enter__(self) -> Self:
        if self.images and sys.stderr.isatty():
            style = "{desc:<10}{percentage:3.0f}% {bar} {n_fmt}/{total_fmt} {unit} {rate_fmt} {remaining} left"
            self._bars = (
                tqdm(total=self.images, desc=self.what, unit=self.unit, dynamic_ncols=True, bar_format=style),
                tqdm(total=self.batches, desc="batches", unit="batches", dynamic_ncols=True, bar_format=style),
            )
        return self

    def __exit__(self, *_: object) -> None:
        for bar in reversed(self._bars or ()):
            bar.close()

    def advance(self, images: int) -> None:
        """So many more images are done."""
        with self._lock:
            self.done += images
            if self._bars:
                self._bars[0].update(images)
            # In a log, bars would be thousands of lines.
            elif time.monotonic() - self._last_line >= LINE_SECONDS:
                self._last_line = time.monotonic()
                logger.info("%s", self.line())

    def batch_done(self) -> None:
        """One more batch is done."""
        with self._lock:
            self.batches_done += 1
            if self._bars:
                self._bars[1].update(1)

    def line(self) -> str:
        """The state in one line: count, share, rate and the time that is left."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = self.done / seconds
        left = (self.images - self.done) / rate if rate else float("inf")
        share = 100 * self.done / self.images if self.images else 100.0
        eta = f"{left:,.0f} s left" if left != float("inf") else "time left unknown"
        return (
            f"{self.what} {self.done:,}/{self.images:,} {self.unit} ({share:.0f} %),"
            f" batch {self.batches_done}/{self.batches},"
            f" {rate:,.1f} {self.unit}/s, {eta}"
        )
