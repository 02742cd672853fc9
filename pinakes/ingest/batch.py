"""One batch: ask the embedder, keep every answer in the checkpoint, count.

A batch is idempotent: what it has answered is in the checkpoint, and a re-run plans only what is not.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from functools import partial
from typing import Any, Self

import numpy as np

from pinakes.checkpoints.base import AnswersLostError, RefusedWriteError, lost_sentence
from pinakes.checkpoints.checkpoint import Checkpoint
from pinakes.checkpoints.ledger import Ledger
from pinakes.checkpoints.writer import CheckpointWriter
from pinakes.embedders.base import CHECK_TEXT, Embedder, Picture, Price
from pinakes.embedders.counters import Latencies
from pinakes.errors import EmbedderError
from pinakes.images.regions import is_region
from pinakes.ingest.account import NO_REGIONS, Regions
from pinakes.ingest.region_reader import RegionReader
from pinakes.ingest.work import Work
from pinakes.types import Answer, ErrorClass, Failure, Image, Vector


class Batch:
    """Some calls of a plan, numbered from 1 for a person. Not a dataclass, whose fields Prefect would walk through."""

    __slots__ = ("number", "total", "work")

    def __init__(self, number: int, total: int, work: Sequence[Work]) -> None:
        self.number = number
        self.total = total
        self.work = work

    @property
    def images(self) -> int:
        """How many images its answers serve."""
        return sum(item.images for item in self.work)

    @property
    def answers(self) -> int:
        """How many images and regions its answers serve."""
        return sum(item.answers for item in self.work)

    @property
    def deferred(self) -> BatchResult:
        """The result of a batch that was not reached."""
        return BatchResult(deferred=self.images, regions=Regions(deferred=self.answers - self.images))


def batched(work: Sequence[Work], size: int) -> Iterator[Batch]:
    """The work in batches of at most `size` calls, in its order."""
    total = -(-len(work) // size)
    for number, start in enumerate(range(0, len(work), size), start=1):
        yield Batch(number, total, work[start : start + size])


def even_size(calls: int, most: int, ways: int) -> int:
    """The size of batches, at most `most`, that gives each of `ways` processes equally many of them."""
    if ways <= 1 or not calls:
        return most
    batches = -(-calls // most)
    return -(-calls // (-(-batches // ways) * ways))


@dataclass(frozen=True, slots=True)
class Calls:
    """Requests that were made of an embedder.

    Attributes:
        calls: requests that are, or may be, charged.
        retries: requests made again after a transient failure.
        rate_limited: answers 429.
        texts: of the calls, those that were for a text.
        lost: requests whose answer never came.
        latencies: how long each answer took.
    """

    calls: int = 0
    retries: int = 0
    rate_limited: int = 0
    texts: int = 0
    lost: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    def __add__(self, other: Calls) -> Calls:
        return self._each(operator.add, other)

    def __sub__(self, other: Calls) -> Calls:
        return self._each(operator.sub, other)

    def _each(self, operation: Callable[[Any, Any], Any], other: Calls) -> Calls:
        return Calls(*(operation(getattr(self, item.name), getattr(other, item.name)) for item in fields(self)))

    def cost(self, price: Price) -> float:
        """US dollars."""
        return (self.calls - self.texts) * price.per_image + self.texts * price.of_text(CHECK_TEXT)

    @classmethod
    def of(cls, embedder: Embedder) -> Calls:
        """Those of an embedder of this process, so far."""
        counted = embedder.statistics()
        return cls(counted.calls, counted.retries, counted.rate_limited, counted.texts, counted.lost, counted.latencies)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """What `dataclasses.asdict` gave."""
        return cls(**{**document, "latencies": Latencies.read(document["latencies"])})


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch, counted in images (`answers` in rows of the checkpoint).

    Attributes:
        embedded: images that got a vector.
        failed: images that got a failure.
        deferred: images that were not reached because the run was stopping.
        answers: rows written.
        error: why the embedder cannot go on at all, or the checkpoint cannot be written; or None.
        lost: answers of pictures and regions that arrived and could not be kept; those are deferred.
        elsewhere: requests that the embedder of another process made for it; this process's embedder counts its own.
        timed: how long a model on this machine took for a picture, as the average of its batch, since it sees several at
            once. A provider's answers are timed one by one, with its requests.
        regions: what became of the regions among its calls.
    """

    embedded: int = 0
    failed: int = 0
    deferred: int = 0
    answers: int = 0
    error: str | None = None
    lost: int = 0
    elsewhere: Calls = field(default_factory=Calls)
    timed: Latencies = field(default_factory=Latencies)
    regions: Regions = NO_REGIONS

    def __add__(self, other: BatchResult) -> BatchResult:
        counts = [each.name for each in fields(self) if each.name != "error"]
        sums = {name: getattr(self, name) + getattr(other, name) for name in counts}
        return BatchResult(**sums, error=self.error or other.error)

    @property
    def why_unfinished(self) -> str | None:
        """The error, with how many answers were lost of it; None if there is none."""
        return lost_sentence(self.error, self.lost) if self.error and self.lost else self.error

    def as_dict(self) -> dict[str, Any]:
        """As a plain document."""
        return asdict(self)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """What `as_dict` gave."""
        elsewhere, timed = Calls.read(document["elsewhere"]), Latencies.read(document["timed"])
        return cls(**{**document, "elsewhere": elsewhere, "timed": timed, "regions": Regions(**document["regions"])})

    def without(self, lost: AnswersLostError) -> Self:
        """The same, but for answers that could not be kept in the end."""
        images = [answer for answer in lost.answers if not is_region(answer.fingerprint)]
        ok = sum(answer.failure is None for answer in images)
        count = len(images)
        return replace(
            self,
            embedded=self.embedded - ok,
            failed=self.failed - (count - ok),
            deferred=self.deferred + count,
            answers=self.answers - len(lost.answers),
            error=lost.cause,
            lost=len(lost.answers),
            regions=sum((-_became(a.failure, 1) for a in lost.answers if is_region(a.fingerprint)), self.regions)
            + Regions(deferred=len(lost.answers) - count),
        )


def _became(failure: Failure | None, count: int) -> Regions:
    """Regions that got an answer."""
    if failure is None:
        return Regions(embedded=count)
    return Regions(failed=count, transient=0 if failure.final else count)


def reconcile(work: Sequence[Work], ledger: Ledger, since: datetime) -> tuple[BatchResult, list[Work]]:
    """What the checkpoint holds of the work of a process that died, and what is left of it.

    Args:
        work: what it was given.
        ledger: of the checkpoint as it is now.
        since: a failure that is older was there before.

    Returns:
        The counts, with one request for each call that brought a vector (at least that many were made), and the calls
        that are left.
    """
    embedded = failed = calls = 0
    regions = Regions()
    left = []
    for item in work:
        # A copy may lack its row: a part can end between images of equal bytes. Then only those that lack it are left.
        open_images: list[Image] = []
        ok = 0
        for image in (item.image, *item.also):
            row = ledger.get(image.image_id, image.fingerprint)
            # The plan already knew an older failure and has the picture tried again.
            if row is None or not (row.ok or row.embedded_at >= since):
                open_images.append(image)
                continue
            ok += row.ok
            if item.regions:
                regions += _became(row.failure, 1)
            else:
                embedded += row.ok
                failed += not row.ok
        # A failure may have cost a request or none, e.g. where the picture could not be read.
        calls += ok > 0
        if open_images:
            left.append(Work(open_images[0], item.attempts, open_images[1:]))
    answers = embedded + failed + regions.embedded + regions.failed
    return BatchResult(embedded, failed, answers=answers, elsewhere=Calls(calls), regions=regions), left


def embed_batch(
    batch: Batch,
    read: Callable[[Image], bytes],
    embedder: Embedder,
    checkpoint: Checkpoint,
    *,
    stopping: Callable[[], bool],
    abandon: Callable[[], object],
    advance: Callable[[int], object],
) -> BatchResult:
    """Embed a batch into the checkpoint.

    Args:
        batch: the calls to make.
        read: gives the bytes of a picture; see `Source.read`.
        embedder: makes the vectors.
        checkpoint: keeps every answer, within seconds of its arrival.
        stopping: called between pictures; once it returns True the rest is deferred.
        abandon: called when the checkpoint cannot be written, so that nothing new is begun: `stopping` is true from
            then on. What is in flight is still waited for, and kept if the checkpoint can be written again by then.
        advance: called after each answer with the number of images and regions that it served.

    Returns:
        The counts, with an `error` when the embedder cannot work at all, its vectors do not fit its space, or the
        checkpoint could not be written; answers that are lost in the end are counted.
    """
    work = batch.work
    reader = RegionReader(read, [item.image for item in work])
    pictures = [Picture(item.image, partial(reader.read, item.image)) for item in work]
    version = embedder.facts.space.version
    embedded = failed = 0
    regions = Regions()
    open_items = dict(enumerate(work))
    error: str | None = None
    began = time.monotonic()
    lost: AnswersLostError | None = None
    try:
        with CheckpointWriter(checkpoint) as writer:
            try:
                for index, outcome in embedder.embed_images(pictures):
                    item = open_items[index]
                    checked = outcome if isinstance(outcome, Failure) else _checked(outcome, item, embedder)
                    for answer in _answers(item, checked, version, reader.answered):
                        try:
                            writer.add(answer)
                        except RefusedWriteError as exc:  # the writer still has the answer, and tries again
                            error = error or f"{exc} Run the same command again to resume."
                            abandon()
                    del open_items[index]
                    failure = checked if isinstance(checked, Failure) else None
                    if item.regions:
                        regions += _became(failure, item.regions)
                    elif failure is None:
                        embedded += item.images
                    else:
                        failed += item.images
                    advance(item.answers)
                    # A paid embedder ends by itself: leaving it earlier would lose the answers in flight.
                    if stopping() and not embedder.paid:
                        break
                # Otherwise these pictures would be neither embedded, failed nor deferred.
                if open_items and not stopping():
                    error = _unanswered(embedder, batch, open_items)
            except EmbedderError as exc:
                # What was answered before counts all the same; what was not is deferred, and the run ends.
                error = error or str(exc)
    except AnswersLostError as exc:
        if exc.during is not None:  # something else ended the batch, and nobody will count what it came to
            raise
        lost = exc
        abandon()
    left = Batch(batch.number, batch.total, list(open_items.values()))
    done = len(work) - len(open_items)
    timed = Latencies() if embedder.paid or not done else Latencies.each((time.monotonic() - began) / done, done)
    answers = embedded + failed + regions.embedded + regions.failed
    result = BatchResult(embedded, failed, answers=answers, error=error, timed=timed, regions=regions) + left.deferred
    return result if lost is None else result.without(lost)


def _unanswered(embedder: Embedder, batch: Batch, open_items: Mapping[int, Work]) -> str:
    names = ", ".join(repr(item.image.image_id) for item in list(open_items.values())[:3])
    return (
        f"the embedder {embedder.facts.space.provider} gave no answer for {len(open_items)} of {len(batch.work)} pictures,"
        f" among them {names}."
    )


def _answers(item: Work, outcome: Vector | Failure, version: str, answered: Callable[[str], str]) -> list[Answer]:
    vector, failure = (None, outcome) if isinstance(outcome, Failure) else (outcome, None)
    fingerprint = answered(item.image.fingerprint)
    return [
        Answer(image.image_id, fingerprint, vector, failure, item.attempts + 1, version)
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
    # A wrong shape condemns the embedder, above; a vector that cannot be compared fails its own picture alone.
    vector = np.ascontiguousarray(vector, dtype=np.float32)
    if not np.isfinite(vector).all():
        return Failure(ErrorClass.INTERNAL, "the embedder answered with a vector that holds NaN or infinity")
    if not vector.any():
        return Failure(ErrorClass.ZERO_VECTOR, "the embedder answered with a zero vector, which has no direction")
    return vector
