"""As much of a model hub as a download needs: what a repository holds, and its files, over loopback."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

COMMIT = "0" * 40
LARGE = 5_000
"""Bytes from which a file is named by its SHA-256, as Git LFS does; smaller ones by Git's own SHA-1."""


class Hub:
    """A running hub.

    Attributes:
        repositories: name → the folder of its files.
        asked: the paths of all requests, in order.
        send: called with a path and its bytes; gives the bytes that are sent. A test may change them, or wait in it.
        claims: bytes that each large file is said to have; None: as many as it has.
    """

    def __init__(self, repositories: Mapping[str, Path]) -> None:
        self.repositories = repositories
        self.asked: list[str] = []
        self.send: Callable[[str, bytes], bytes] = lambda _path, data: data
        self.claims: int | None = None
        self.endpoint = ""

    def entry(self, root: Path, file: Path) -> dict[str, object]:
        """A file in the listing of its repository."""
        data = file.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        found: dict[str, object] = {"type": "file", "path": str(file.relative_to(root)), "size": len(data), "oid": blob}
        if len(data) >= LARGE:
            size = self.claims or len(data)
            lfs = {"oid": hashlib.sha256(data).hexdigest(), "size": size, "pointerSize": 134}
            found |= {"size": size, "lfs": lfs}
        return found


@contextmanager
def hub(repositories: Mapping[str, Path]) -> Iterator[Hub]:
    """A hub on a free port of this machine; `HF_ENDPOINT` is to be its `endpoint`."""
    served = Hub(repositories)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            served.asked.append(self.path)
            parts = self.path.partition("?")[0].strip("/").split("/")
            listing = parts[:2] == ["api", "models"]
            root = served.repositories.get("/".join(parts[2:4] if listing else parts[:2]))
            file = None if root is None or listing else root.joinpath(*parts[4:])
            if root is None or (file is not None and not file.is_file()):
                self.send_error(404)
                return
            if file is None:
                files = [served.entry(root, one) for one in sorted(root.rglob("*")) if one.is_file()]
                info = {
                    "id": "/".join(parts[2:4]),
                    "sha": COMMIT,
                    "siblings": [{"rfilename": f["path"]} for f in files],
                }
                data = json.dumps(files if "tree" in parts else info).encode()
                headers = {"Content-Type": "application/json"}
            else:
                data = file.read_bytes()
                entry = served.entry(root, file)
                lfs = entry.get("lfs")
                headers = {
                    "ETag": f'"{lfs["oid"] if isinstance(lfs, dict) else entry["oid"]}"',
                    "X-Repo-Commit": COMMIT,
                }
            self.send_response(200)
            for name, value in (headers | {"Content-Length": str(len(data))}).items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(data if file is None else served.send(self.path, data))

        def log_message(self, *args: object) -> None:
            """Nothing is printed."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
