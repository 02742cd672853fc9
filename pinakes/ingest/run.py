"""What the stages of one run share. What a stage hands to the next is a value defined in that stage's module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar
from uuid import UUID

from pinakes.checkpoints.checkpoint import Checkpoint
from pinakes.embedders.base import Embedder
from pinakes.images.regions import RegionKind
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.stopping import Stopping
from pinakes.ingest.tally import Tally
from pinakes.metadata.table import Metadata
from pinakes.quota.embedder_pool import Budget
from pinakes.sources.base import Source
from pinakes.spaces import Space
from pinakes.store.database import Database
from pinakes.store.lease import Lease
from pinakes.store.runs import end_run
from pinakes.types import Answer

ANSWERS_PER_PART = 256
"""Answers without a call that are written together: as many as a part of the checkpoint holds."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ingestion:
    """A run with everything it works on, made by `open_ingestion`.

    Attributes:
        run_id: names it in the database.
        request: the options of the run.
        source: lists the pictures and reads them.
        embedder: turns them into vectors.
        checkpoint: keeps every answer.
        database: keeps the collection.
        lease: the lock of the collection and space.
        metadata: what tables say about the pictures, or None.
        stopping: whether the run should begin nothing new.
        budget: what `max_cost` pays for; None where nothing limits the cost.
        tally: what has been counted so far.
        regions: which parts of each picture are embedded, too; see `region_kind`.
    """

    run_id: UUID
    request: IngestRequest
    source: Source
    embedder: Embedder
    checkpoint: Checkpoint
    database: Database
    lease: Lease
    metadata: Metadata | None
    stopping: Stopping
    budget: Budget | None
    tally: Tally
    regions: RegionKind = "none"

    @property
    def space(self) -> Space:
        """Where the vectors go."""
        return self.embedder.facts.space

    def keep(self, answers: Iterable[Answer]) -> None:
        """Write answers that needed no call to the checkpoint.

        Raises:
            CheckpointError: they cannot be kept.
        """
        for part in in_parts(answers, ANSWERS_PER_PART):
            self.checkpoint.write(part)
            self.tally.add(answers=len(part))

    def enter_end(self, state: str, message: str | None = None) -> None:
        """Enter into the database how the run ended, with the account as it is; what was entered before is replaced.

        Raises:
            DatabaseError: the database does not answer.
        """
        # No parts of the account's sum, but entered with it: `pinakes status` shows them.
        account = self.tally.account().as_dict() | {
            "cost": self.tally.spent,
            "skipped_entries": self.tally.skipped_entries,
        }
        self.database.do(
            "entering the end of the run", lambda conn: end_run(conn, self.run_id, state, account, message)
        )


def in_parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
