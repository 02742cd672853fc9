"""A bounded window of task runs: as many at once as there is use for, never a queue of thousands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import TypeVar

from prefect.futures import PrefectFuture

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_window(submit: Callable[[Item], PrefectFuture[Result]], items: Iterable[Item], width: int) -> Iterator[Result]:
    """Submit the items, at most `width` unfinished at a time, and yield the results as they come.

    Raises:
        BaseException: what a task run raised; those in flight go on.
    """
    finished: SimpleQueue[PrefectFuture[Result]] = SimpleQueue()
    running = 0
    for item in items:
        if running == width:
            yield finished.get().result()
            running -= 1
        submit(item).add_done_callback(finished.put)
        running += 1
    for _ in range(running):
        yield finished.get().result()
