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
"""A body of up to this size, such as any without a picture, is never refused; connections limit the number of these."""

BODIES: Final = 32
"""The most larger bodies at once."""

BYTES_IN_FLIGHT: Final = 96 << 20
"""The most bytes of these together, from the first byte until the answer. Base64 takes twice as much again for a moment."""

WAIT_SECONDS: Final = 20.0
"""How long a visitor waits for a turn: refusing them is then better than a longer wait."""

WORK_SECONDS: Final = 30.0
"""How long the work on one picture may take. With the wait before it, every visitor is answered before programs give up,
which they do after 60 s. The slowest pictures that fit into memory take about 10 s of a processor."""

WAITING_LINE: Final = 8
"""The most visitors who wait for one kind of work: each occupies one of the 40 threads that answer everybody."""

_FULL: Final = "too many pictures are being sent at this moment; try again in a few seconds."


class Body:
    """One request's body, as far as it has arrived."""

    def __init__(self, all_bodies: Bodies) -> None:
        self._all = all_bodies
        self.size = 0

    def took(self, size: int) -> int:
        """Count bytes that have just arrived; returns the size so far.

        Raises:
            HTTPException: the bodies of all requests are too many or too large.
        """
        before, self.size = self.size, self.size + size
        # A body is counted from the moment when it grows beyond a small one, then with all that came before.
        if self.size > SMALL_BYTES:
            self._all.count += before <= SMALL_BYTES
            self._all.size += size if before > SMALL_BYTES else self.size
            if self._all.count > BODIES or self._all.size > BYTES_IN_FLIGHT:
                raise HTTPException(503, _FULL, headers={"Connection": "close"})
        return self.size


class Bodies:
    """The larger bodies of all requests. Only the server's event loop counts them, so there is no lock."""

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
                # The C library would otherwise keep the freed memory, 100 MB and more after many uploads.
                if not self.count:
                    give_memory_back()


@asynccontextmanager
async def departures(scope: Scope, receive: Receive) -> AsyncIterator[Receive]:
    """For the length of the block, `WAITING` tells the threads that work for this request whether its visitor has left."""
    # A server reports that a visitor left only to somebody who calls `receive`, and the route stops calling it once it has
    # the body. From then on the watcher calls it. A route for GET does not read a body at all.
    complete, left = asyncio.Event(), threading.Event()
    gone = asyncio.Event()
    if scope["method"] not in {"POST", "PUT", "PATCH"}:
        complete.set()

    async def watch() -> None:
        await complete.wait()
        with contextlib.suppress(HTTPException):  # a body that nobody reads is too long, or does not end
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()
        gone.set()

    async def received() -> Message:
        if complete.is_set():
            await gone.wait()
            return {"type": "http.disconnect"}
        message = await receive()
        if not message.get("more_body", False):
            complete.set()
        return message

    token = WAITING.set(Waiting(WAIT_SECONDS, left.is_set, WAITING_LINE, WORK_SECONDS))
    watcher = asyncio.create_task(watch())
    try:
        yield received
    finally:
        watcher.cancel()
        WAITING.reset(token)
