"""The command `pinakes` with an embedder whose batches a test can watch and hold: `python -m tests.held ingest …`.

`--embedder held` appends "begin COLLECTION" and "end COLLECTION" to the file HELD_LOG, one line a batch, and does not end a
batch before the file HELD_UNTIL exists. HELD_HEARTBEAT sends heartbeats so often, in seconds, which Prefect itself limits to
one in 30 s.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pinakes.embedders.base import Picture
from pinakes.embedders.registry import register
from pinakes.types import Failure, Vector
from tests.counting import COUNTING, Counting

PATIENCE = 200.0
"""Seconds after which a test that forgot its run is over."""


class Held(Counting):
    """Real vectors, when the test allows; one batch at a time."""

    def __init__(self, dimension: int | None = None) -> None:
        super().__init__(dimension)
        self.facts = replace(self.facts, workers=1)

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        self._note("begin")
        given_up = time.monotonic() + PATIENCE
        while not Path(os.environ["HELD_UNTIL"]).exists():
            if time.monotonic() > given_up:
                raise TimeoutError("nobody let this batch go")
            time.sleep(0.05)
        yield from super().embed_images(batch)
        self._note("end")

    def _note(self, what: str) -> None:
        with Path(os.environ["HELD_LOG"]).open("a") as log:
            log.write(f"{what} {os.environ['PINAKES_COLLECTION']}\n")


register(replace(COUNTING, name="held", open=lambda choice, _around: Held(choice.dimension)))


def _send_heartbeats_every(seconds: int) -> None:
    from prefect import flow_engine

    flow_engine.MINIMUM_HEARTBEAT_INTERVAL = seconds
    flow_engine.BaseFlowRunEngine.heartbeat_seconds = property(lambda _engine: seconds)  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    from pinakes.cli.main import main

    if "HELD_HEARTBEAT" in os.environ:
        _send_heartbeats_every(int(os.environ["HELD_HEARTBEAT"]))
    main()
