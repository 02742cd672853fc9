"""What every fake over TCP is: a server in a thread of its own, for as long as a block lasts."""

from __future__ import annotations

import threading
from socketserver import TCPServer
from types import TracebackType
from typing import Generic, Self, TypeVar

AnyServer = TypeVar("AnyServer", bound=TCPServer)


class Fake(Generic[AnyServer]):
    """What is served between `__enter__` and `close`; use it as a context manager.

    Args:
        server: bound to its port already.

    Attributes:
        url: `http://127.0.0.1:<port>`.
    """

    def __init__(self, server: AnyServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self._server = server
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, name=type(self).__name__
        )

    def close(self) -> None:
        """Stop serving."""
        self._closing.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
