"""A line to a server on loopback that breaks where a test wants it to."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from urllib.parse import urlsplit


class Line:
    """Forwards connections to a server.

    Args:
        server: its address, `http://127.0.0.1:PORT`.
        stall_after: a connection passes so many bytes on to the server, and then nothing more.
        lose: so many answers arrive at the line, which then hangs up instead of passing them on.
        cut: of so many long answers only the beginning is passed on.

    Attributes:
        url: its own address.
        stalled: set once a connection has stalled.
    """

    def __init__(self, server: str, *, stall_after: int | None = None, lose: int = 0, cut: int = 0) -> None:
        parts = urlsplit(server)
        self._server = (str(parts.hostname), int(parts.port or 80))
        self._stall_after = stall_after
        self._lose = lose
        self._cut = cut
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listening]
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.stalled = threading.Event()

    def __enter__(self) -> Line:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._open:
            _hang_up(each)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
                passed += len(data)
                if self._stall_after is not None and passed >= self._stall_after:
                    self.stalled.set()
                    return
        _hang_up(server)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self._lose and not data.startswith(b"HTTP/1.1 100"):
                    self._lose -= 1
                    break
                if self._cut and len(data) > 4000:
                    self._cut -= 1
                    client.sendall(data[:4000])
                    break
                client.sendall(data)
        _hang_up(client)


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
