"""One batch: ask the embedder, keep every answer in the checkpoint, count.

A batch is idempotent: what it has answered is in the checkpoint, and a re-run plans only what is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pinakes.checkpoints.checkpoint import Checkpoint
from pinakes.checkpoints.writer import CheckpointWriter
from pinakes.embedders.base import Embedder, Picture
from pinakes.embedders.calling import Remote
from pinakes.errors import EmbedderError
from pinakes.plan import Work
from pinakes.sources.base import Source
from pinakes.types import Answer, ErrorClass, Failure, Vector


class Batch:
    """Some calls of a plan, numbered from 1 for a person. Not a dataclass: Prefect would walk through its fields."""

    __slots__ = ("number", "total", "work")

    def __init__(self, number: int, total: int, work: Sequence[Work]) -> None:
        self.number = number
        self.total = total
        self.work = work

    @property
    def images(self) -> int:
        """How many images its answers serve."""
        return sum(item.images for item in self.work)


def batched(work: Sequence[Work], size: int) -> Iterator[Batch]:
    """The work in batches of at most `size` calls, in its order."""
    total = -(-len(work) // size)
    for number, start in enumerate(range(0, len(work), size), start=1):
        yield Batch(number, total, work[start : start + size])


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch, counted in images (`answers` in rows of the checkpoint).

    Attributes:
        embedded: images that got a vector.
        failed: images that got a failure.
        deferred: images that were not reached because a stop was asked for.
        answers: rows written.
        error: why the embedder cannot go on at all, or None.
    """

    embedded: int = 0
    failed: int = 0
    deferred: int = 0
    answers: int = 0
    error: str | None = None


def embed_batch(
    batch: Batch,
    source: Source,
    embedder: Embedder,
    checkpoint: Checkpoint,
    *,
    stopping: Callable[[], bool],
    advance: Callable[[int], object],
) -> BatchResult:
    """Embed a batch into the checkpoint.

    Args:
        batch: the calls to make.
        source: where the bytes are read.
        embedder: asked for the vectors.
        checkpoint: keeps every answer, within seconds of its arrival.
        stopping: asked between pictures; what is not reached is deferred.
        advance: told after each answer how many images it served.

    Returns:
        The counts; with `error` when the embedder cannot work at all, or its vectors are not of its space.

    Raises:
        CheckpointError: an answer could not be kept.
    """
    work = batch.work
    pictures = [Picture(item.image, partial(source.read, item.image)) for item in work]
    version = embedder.facts.space.version
    embedded = failed = 0
    # A paid embedder ends by itself and yields what is in flight: leaving it earlier would lose answers that are paid for.
    drains = isinstance(embedder, Remote)
    open_items = dict(enumerate(work))
    error = None
    with CheckpointWriter(checkpoint) as writer:
        try:
            for index, outcome in embedder.embed_images(pictures):
                item = open_items[index]
                checked = outcome if isinstance(outcome, Failure) else _checked(outcome, item, embedder)
                for answer in _answers(item, checked, version):
                    writer.add(answer)
                del open_items[index]
                if isinstance(checked, Failure):
                    failed += item.images
                else:
                    embedded += item.images
                advance(item.images)
                if stopping() and not drains:
                    break
            if open_items and not stopping():
                error = _unanswered(embedder, batch, open_items)
        except EmbedderError as exc:
            # What was answered before counts all the same; what was not is deferred, and the run ends.
            error = str(exc)
    deferred = sum(item.images for item in open_items.values())
    return BatchResult(embedded, failed, deferred, embedded + failed, error)


def _unanswered(embedder: Embedder, batch: Batch, open_items: Mapping[int, Work]) -> str:
    names = ", ".join(repr(item.image.image_id) for item in list(open_items.values())[:3])
    return (
        f"the embedder {embedder.facts.space.provider} gave no answer for {len(open_items)} of {len(batch.work)} pictures,"
        f" among them {names}."
    )


def _answers(item: Work, outcome: Vector | Failure, version: str) -> list[Answer]:
    vector, failure = (None, outcome) if isinstance(outcome, Failure) else (outcome, None)
    return [
        Answer(image.image_id, image.fingerprint, vector, failure, item.attempts + 1, version)
        for image in (item.image, *item.also)
    ]


def _checked(vector: Vector, item: Work, embedder: Embedder) -> Vector | Failure:
    """The vector, if it can be compared with others; a failure of this picture if not."""
    dimension = embedder.facts.space.dimension
    if vector.shape != (dimension,):
        raise EmbedderError(
            f"the embedder {embedder.facts.space.provider} answered {item.image.image_id!r} with a vector of shape"
            f" {vector.shape}, and the space {embedder.facts.space.name} has {dimension} components."
        )
    vector = np.ascontiguousarray(vector, dtype=np.float32)
    if not np.isfinite(vector).all():
        return Failure(ErrorClass.INTERNAL, "the embedder answered with a vector that holds NaN or infinity")
    if not vector.any():
        return Failure(ErrorClass.ZERO_VECTOR, "the embedder answered with a zero vector, which has no direction")
    return vector
