"""What the leader of a run hands to each worker that embeds batches for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from pinakes.ingest.answers import EmbedStage
from pinakes.ingest.request import WITHOUT_METADATA, IngestRequest
from pinakes.ingest.work import Work
from pinakes.quota.embedder_pool import NO_RATE
from pinakes.types import Image


class Assignment(BaseModel):
    """What a worker needs to embed for a run; it holds no key, no password and no address of a database.

    Prefect's server keeps it as a parameter, and shows it to everybody who may open its UI.

    Attributes:
        run_id: the run.
        request: the run's options, with paths that mean the same in every working directory.
        root: the URI of the source, which the worker must find again.
        space: the name of the embedding space, likewise.
        resource: what the leader's lease is for.
        token: the fencing token of that lease.
        lease_seconds: how long it lasts without renewal.
        planned_at: when the run was planned, UTC.
        budgeted: whether calls are taken from the run's allowance.
        batches: how many batches the run has; 0 where they are handed out one by one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: UUID
    request: IngestRequest
    root: str
    space: str
    resource: str
    token: int
    lease_seconds: float
    planned_at: datetime
    budgeted: bool
    batches: int = 0

    @classmethod
    def of(cls, stage: EmbedStage, ways: int, *, batches: int = 0) -> Self:
        """An assignment for each of `ways` workers of a run."""
        run = stage.run
        request = run.request
        return cls(
            run_id=run.run_id,
            request=request.model_copy(
                update={
                    "source": _anywhere(request.source),
                    "under": _anywhere(request.under) if request.under else None,
                    "checkpoint": _anywhere(request.checkpoint),
                    # Of what tables mean only the key is kept: a list of pictures is read by it as well.
                    **WITHOUT_METADATA,
                    "key": request.key,
                    # The leader has stored the rate with the quota already, and hands out the calls that the money pays for.
                    "rate": NO_RATE if request.rate == NO_RATE else None,
                    "max_cost": None,
                    # Shared out, since --concurrency is about the provider and not about each worker.
                    "concurrency": max(1, request.concurrency // ways) if request.concurrency else None,
                }
            ),
            root=run.source.root,
            space=run.space.name,
            resource=run.lease.resource,
            token=run.lease.token,
            lease_seconds=run.lease.seconds,
            planned_at=stage.planned.at,
            budgeted=run.budget is not None,
            batches=batches,
        )


def _anywhere(place: str) -> str:
    """A path that means the same in every working directory; a URL as it is."""
    return place if "://" in place else str(Path(place).expanduser().absolute())


def work_as_rows(work: Sequence[Work]) -> list[list[Any]]:
    """Calls as plain lists that fit JSON; `work_of_rows` reads them."""
    return [[item.attempts, *map(astuple, (item.image, *item.also))] for item in work]


def work_of_rows(rows: Sequence[Sequence[Any]]) -> list[Work]:
    """The calls that `work_as_rows` has written."""
    return [Work(Image(*first), attempts, [Image(*image) for image in also]) for attempts, first, *also in rows]
