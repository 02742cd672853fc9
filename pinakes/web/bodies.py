"""The bodies of requests in memory, and visitors who leave before they are answered."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from pinakes.images.turns import WAITING, Waiting, give_memory_back

SMALL_BYTES: Final = 256 << 10
"""A body of up to this size, which is any without a picture, is never refused: connections limit how many there are."""

BODIES: Final = 32
"""Larger bodies at once."""

BYTES_IN_FLIGHT: Final = 96 << 20
"""Of them together, from their first byte until they are answered. Base64 takes twice as much again for a moment."""

WAIT_SECONDS: Final = 20.0
"""Then it is better to refuse a visitor than to keep them waiting."""

WORK_SECONDS: Final = 30.0
"""For one picture that has its turn. With the wait for it, every visitor is answered before programs give up, which is after
60 s. The slowest pictures that fit into memory take about 10 s of a processor."""

WAITING_LINE: Final = 8
"""Visitors who wait for one kind of work. Each holds one of the 40 threads that answer all the others."""

_FULL: Final = "too many pictures are being sent at this moment; try again in a few seconds."


class Body:
    """One request's body, as far as it has come."""

    def __init__(self, all_bodies: Bodies) -> None:
        self._all = all_bodies
        self.size = 0

    def took(self, size: int) -> int:
        """Count what has just come; how much there is.

        Raises:
            HTTPException: the bodies of all requests are too many or too large.
        """
        before, self.size = self.size, self.size + size
        if self.size > SMALL_BYTES:
            self._all.count += before <= SMALL_BYTES
            self._all.size += size if before > SMALL_BYTES else self.size
            if self._all.count > BODIES or self._all.size > BYTES_IN_FLIGHT:
                raise HTTPException(503, _FULL, headers={"Connection": "close"})
        return self.size


class Bodies:
    """The larger bodies of all requests. Only the server's one loop counts, so nothing is locked."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0

    @contextmanager
    def one(self) -> Iterator[Body]:
        """A body that is in memory for the length of the block."""
        body = Body(self)
        try:
            yield body
        finally:
            if body.size > SMALL_BYTES:
                self.count -= 1
                self.size -= body.size
                if not self.count:
                    give_memory_back()


@asynccontextmanager
async def departures(scope: Scope, receive: Receive) -> AsyncIterator[Receive]:
    """For the length of the block, `WAITING` tells the threads that work for this request whether its visitor has left.

    Only when the body has come is it asked for more, which then is that the visitor leaves. A request without a body is
    not read by its route at all.
    """
    came, left = asyncio.Event(), threading.Event()
    gone = asyncio.Event()
    if scope["method"] not in {"POST", "PUT", "PATCH"}:
        came.set()

    async def watch() -> None:
        await came.wait()
        with contextlib.suppress(HTTPException):  # a body that nobody reads is too long, or does not end
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()
        gone.set()

    async def received() -> Message:
        if came.is_set():
            await gone.wait()
            return {"type": "http.disconnect"}
        message = await receive()
        if not message.get("more_body", False):
            came.set()
        return message

    token = WAITING.set(Waiting(WAIT_SECONDS, left.is_set, WAITING_LINE, WORK_SECONDS))
    watcher = asyncio.create_task(watch())
    try:
        yield received
    finally:
        watcher.cancel()
        WAITING.reset(token)
