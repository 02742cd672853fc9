"""HTTP for `pinakes serve`: uvicorn's own protocol with a limit on the time in which a request must begin."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):
    """Closes a connection on which the head of a request (its first line and headers) has not arrived in time.

    The same holds for the rest of a request that has been answered already, such as one that was refused.
    uvicorn has no such limit: its `timeout_keep_alive` begins after an answer and ends with the next byte, so that a
    client that connects and sends nothing, or half a line, could hold a connection forever. Starlette sees a request
    only when its head is complete. The time for a body is limited by `pinakes.web.security.BODY_SECONDS`.
    """

    head_seconds: ClassVar[float] = 20.0
    """How long a head may take. A browser sends it in one piece; one that connected in advance connects again."""

    most: ClassVar[int] = 512
    """The most connections at once: each may hold 64 kB that have not been read. A browser opens six and leaves them idle.
    Beyond that, the connection that has been idle for longest is closed, so that nobody can take them all."""

    overdue: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            waiting = [each for each in self.connections if isinstance(each, PatientProtocol) and each.overdue]
            idle = min(waiting, key=lambda each: each.overdue.when() if each.overdue else 0.0, default=self)
            idle.transport.abort()  # close() would first wait for the client to read what was sent
            idle.head_came()  # it no longer counts as waiting: `connection_lost` is called only later
        if not self.transport.is_closing():
            self._expect_head()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Asked of h11, since one packet may hold half a head, or several requests.
        if self.conn.their_state is h11.IDLE:
            self._expect_head()
        elif not self._answered_early():
            self.head_came()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._answered_early():
            self._expect_head()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.head_came()
        super().connection_lost(exc)

    def _answered_early(self) -> bool:
        """Whether a request that has been answered, such as a refused one, is still sending its body."""
        return self.conn.their_state is h11.SEND_BODY and self.cycle is not None and self.cycle.response_complete

    def _expect_head(self) -> None:
        # The time is not extended, or a client could send a byte now and then forever.
        if self.overdue is None:
            self.overdue = self.loop.call_later(self.head_seconds, self.transport.close)

    def head_came(self) -> None:
        """Stop waiting."""
        if self.overdue is not None:
            self.overdue.cancel()
            self.overdue = None
