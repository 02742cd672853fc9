"""HTTP for `pinakes serve`: uvicorn's, which by itself waits for ever for the first lines of a request."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol


class PatientProtocol(H11Protocol):
    """Hangs up on who has not sent the first lines of a request in time: they would hold a connection for nothing.

    How long a body may take is the application's affair (`pinakes.web.security.BODY_SECONDS`).
    """

    head_seconds: ClassVar[float] = 20.0
    """A browser sends them in one piece; one that connects ahead of need connects again."""

    _overdue: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._expect_head()
        else:
            self._head_came()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        if self._overdue is None:
            self._overdue = self.loop.call_later(self.head_seconds, self.transport.close)

    def _head_came(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
