"""A client that costs next to nothing: one request repeated over many connections by a single `selectors` loop.

Threads would wait for one another's interpreter lock, and so measure themselves instead of the server.
"""

from __future__ import annotations

import selectors
import socket
import time
from urllib.parse import urlsplit


def rate(request: bytes, url: str, *, connections: int, count: int) -> float:
    """Answers a second.

    Args:
        request: the whole request, as it goes over the wire; its answers must have a Content-Length.
        url: of the server; only host and port are used.
        connections: with one request in flight each.
        count: of requests in all.
    """
    where = urlsplit(url)
    with selectors.DefaultSelector() as selector:
        lines = [_Line(socket.create_connection((where.hostname, where.port)), request) for _ in range(connections)]
        for line in lines:
            selector.register(line.socket, line.event, line)
        started, begun, answered = time.perf_counter(), connections, 0
        while answered < count:
            for key, _ in selector.select():
                line = key.data
                before = line.event
                if line.proceed():
                    answered += 1
                    if begun < count:
                        begun += 1
                        line.begin()
                if line.event != before:
                    selector.modify(line.socket, line.event, line)
        taken = time.perf_counter() - started
        for line in lines:
            line.socket.close()
    return answered / taken


class _Line:
    """One connection; `event` is the event that it waits for."""

    def __init__(self, connection: socket.socket, request: bytes) -> None:
        self.socket = connection
        self.socket.setblocking(False)
        self._request = request
        self.begin()

    def begin(self) -> None:
        """Send the request from its start."""
        self._unsent = memoryview(self._request)
        self._answer = b""
        self.event = selectors.EVENT_WRITE

    def proceed(self) -> bool:
        """Send or receive what is possible now; whether the answer is complete."""
        if self.event == selectors.EVENT_WRITE:
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
            if not self._unsent:
                self.event = selectors.EVENT_READ
            return False
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionError("the server closed the connection")
        self._answer += part
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"the server answered {self._answer[:80]!r}")
        return bool(blank) and len(body) >= int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
