"""A bounded window of task runs: as many at once as there is use for, never a queue of thousands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

from prefect.futures import PrefectFuture

Item = TypeVar("Item")


def in_window(
    submit: Callable[[Item], PrefectFuture[Any]], items: Iterable[Item], width: int
) -> Iterator[tuple[Item, PrefectFuture[Any]]]:
    """Submit the items, at most `width` unfinished at a time, and yield each with its finished future as they come."""
    finished: SimpleQueue[tuple[Item, PrefectFuture[Any]]] = SimpleQueue()
    running = 0
    for item in items:
        if running == width:
            yield finished.get()
            running -= 1

        def done(future: PrefectFuture[Any], item: Item = item) -> None:
            finished.put((item, future))

        submit(item).add_done_callback(done)
        running += 1
    for _ in range(running):
        yield finished.get()
