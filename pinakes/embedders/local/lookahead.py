"""Decodes pictures in a few threads ahead of a model on this machine, and embeds them in batches.

Each picture is read, decoded and preprocessed on its own before it joins a batch, so that a bad one does not fail the batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from pinakes.embedders.base import Picture, with_bytes
from pinakes.errors import EmbedderError
from pinakes.images.decoding import decode
from pinakes.types import ErrorClass, Failure, Vector

Array = npt.NDArray[Any]
Prepare = Callable[[Pillow.Image], Array]
"""From a picture of mode RGB to the model's input without the batch axis: of one shape and dtype for all pictures."""
Run = Callable[[Array], Array]
"""From inputs of shape (n, …) to vectors of shape (n, dimension); called by one thread at a time."""
Stack = Callable[[Sequence[Array]], Array]
"""From n inputs of one shape to their batch, which is used no longer once the model has run on it."""

BATCH: Final = 16
"""Pictures in one run of a model: fastembed's own default, enough to keep the cores busy and few enough to answer soon."""

THREADS: Final = 4
"""Two keep a model on a CPU fed (a few ms to decode against tens of ms to embed); the others wait for the network when
pictures are read from a bucket."""

AHEAD: Final = 2
"""Batches of pictures in memory, decoded or being decoded: one is filled while the model works on another."""

BATCHES_AT_ONCE: Final = 2
"""Calls of `embed_images` that a run makes at once: the pictures of one are decoded while the model still works on the last
pictures of the other."""

OVERSAMPLING: Final = 2
"""A JPEG is decoded with at least this many times the pixels that the model needs: decoding straight to the model's size
would replace most of the model's own resampling filter with the decoder's."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    items: Iterable[Item], work: Callable[[Item], Result], *, threads: int = THREADS, depth: int = AHEAD * BATCH
) -> Iterator[Result]:
    """`work(item)` for each item, in order, computed by `threads` threads while the caller does something else.

    Never more than `depth` results are in memory or being computed. An exception of `work` is raised where its result would
    have been yielded. Closing the iterator early waits for what has begun and starts nothing more.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="lookahead")
    try:
        for item in items:
            # The context says who waits for the picture (`turns.WAITING`); a thread of the pool has none of its own.
            waiting.append(pool.submit(copy_context().run, work, item))
            if len(waiting) >= depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def embed_ahead(
    batch: Sequence[Picture],
    prepare: Prepare,
    run: Run,
    *,
    short_side: int | None,
    batch_size: int = BATCH,
    fixed: bool = False,
    stack: Stack = np.stack,
) -> Iterator[tuple[int, Vector | Failure]]:
    """One `(index, vector or failure)` for each picture of `batch`; failures come as soon as they are known.

    Args:
        batch: the pictures.
        prepare: preprocesses one picture; runs in several threads.
        run: embeds preprocessed pictures; runs in the caller's thread.
        short_side: pixels that the model needs on the short side (see `OVERSAMPLING`); None decodes every pixel.
        batch_size: pictures for one `run`.
        fixed: the model takes exactly `batch_size` at once: an incomplete batch is filled up with its last picture.
        stack: puts the pictures of a batch together; runs in the caller's thread, before each `run`.

    Raises:
        EmbedderError: the model failed on a whole batch, or did not give one vector for each picture.
    """
    at_least = None if short_side is None else OVERSAMPLING * short_side
    ready: list[tuple[int, Array]] = []

    def prepared(picture: Picture) -> Array | Failure:
        return with_bytes(picture, lambda data: prepare(decode(data, at_least=at_least)))

    # Not less than for a usual batch: a model that takes one picture at a time needs the threads as much.
    results = ahead(batch, prepared, depth=AHEAD * max(BATCH, batch_size))
    for index, result in enumerate(results):
        if isinstance(result, Failure):
            yield index, result
            continue
        ready.append((index, result))
        if len(ready) == batch_size:
            yield from _embedded(ready, stack, run, len(ready))
            ready = []
    if ready:
        yield from _embedded(ready, stack, run, batch_size if fixed else len(ready))


def _embedded(
    ready: Sequence[tuple[int, Array]], stack: Stack, run: Run, rows: int
) -> Iterator[tuple[int, Vector | Failure]]:
    inputs = [array for _, array in ready]
    vectors = run(stack(inputs + inputs[-1:] * (rows - len(inputs))))
    if vectors.ndim != 2 or len(vectors) != rows:
        raise EmbedderError(
            f"the model gave an output of shape {vectors.shape} for {rows} pictures, not one vector each."
        )
    for (index, _), vector in zip(ready, vectors, strict=False):  # vectors of the rows that fill up come last
        yield index, _checked(vector)


def _checked(vector: Array) -> Vector | Failure:
    """`vector` as float32, if it has a direction."""
    if not np.isfinite(vector).all():
        return Failure(ErrorClass.ZERO_VECTOR, "the model's vector holds values that are not finite")
    if not vector.any():
        return Failure(ErrorClass.ZERO_VECTOR, "all components of the model's vector are zero")
    return np.array(vector, dtype=np.float32)  # a copy: a view would keep the output of the whole batch in memory
