"""A bounded window of work, so that no queue of thousands of items fills the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar


class Awaited(Protocol):
    """A future of the standard library, of Prefect or of another library, that calls back when it is done."""

    def add_done_callback(self, fn: Callable[[Any], object], /) -> object:
        """Let `fn` be called with the future once there is a result or an exception."""


Item = TypeVar("Item")
Future = TypeVar("Future", bound=Awaited)


def in_window(submit: Callable[[Item], Future], items: Iterable[Item], width: int) -> Iterator[tuple[Item, Future]]:
    """Submit the items, at most `width` unfinished at a time, and yield each with its finished future as they come."""
    # By callbacks and not by `concurrent.futures.wait`, which knows neither Prefect's futures nor those of a cluster.
    finished: SimpleQueue[tuple[Item, Future]] = SimpleQueue()
    running = 0
    for item in items:
        if running == width:
            yield finished.get()
            running -= 1

        # Bound as a default: `item` is another one by the time the future is done.
        def done(future: Any, item: Item = item) -> None:
            finished.put((item, future))

        submit(item).add_done_callback(done)
        running += 1
    for _ in range(running):
        yield finished.get()
