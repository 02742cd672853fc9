"""A fake of Google Cloud Storage's JSON API, the reading half: listing in pages, metadata, media downloads.

It is strict where an emulator is lenient: pages end at `maxResults`, `fields` is a projection, a generation that does not
match is a 412, and unknown parameters are refused.
"""

from __future__ import annotations

import base64
import bisect
import contextlib
import hashlib
import json
import re
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

import google_crc32c

from tests.fakes.faults import Fault, Faults, Kind, Latency
from tests.fakes.quota import Quota

TOKEN = "fake-token"
"""The bearer token that private buckets accept."""
_LARGEST_PAGE = 1000
_LIST = re.compile(r"/storage/v1/b/([^/]+)/o\Z")
_OBJECT = re.compile(r"(/download)?/storage/v1/b/([^/]+)/o/([^/]+)\Z")
_COMMON = {"fields", "userProject", "prettyPrint", "projection"}
_LIST_PARAMETERS = _COMMON | {"prefix", "matchGlob", "pageToken", "maxResults", "startOffset", "endOffset"}
_OBJECT_PARAMETERS = _COMMON | {"alt", "generation", "ifGenerationMatch"}
_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")


@dataclass(frozen=True, slots=True)
class Stored:
    """One object: its bytes and what the API says of it."""

    data: bytes
    resource: dict[str, str]


@dataclass(slots=True)
class Bucket:
    """Objects by name.

    Attributes:
        public: whether callers without credentials may read it; others get 401.
        readable: False answers 403 to everyone, credentials or not.
        requester_pays: whether `userProject` is needed.
    """

    public: bool = True
    readable: bool = True
    requester_pays: bool = False
    objects: dict[str, Stored] = field(default_factory=dict)
    names: list[bytes] = field(default_factory=list)


class _Refusal(Exception):  # noqa: N818 - the service's own answer
    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


class GcsFake:
    """One fake on one port; use it as a context manager.

    Args:
        port: 0 takes a free one.
        latency: seconds a request takes, or a `Latency`.
        quota: None lifts it.
        faults: None: nothing goes wrong.
        page: most entries of a page, whatever `maxResults` asks for.

    Attributes:
        url: `http://127.0.0.1:<port>`.
        counts: `requests`, `lists`, `gets`, `downloads`, `refused`, `throttled`, `fault-<kind>`.
        calls: downloads by `gs://bucket/name`.
        seen: the parameters of every listing.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        latency: float | Latency = 0.0,
        quota: Quota | None = None,
        faults: Faults | None = None,
        page: int = _LARGEST_PAGE,
    ) -> None:
        self.latency = latency if isinstance(latency, Latency) else Latency(latency)
        self.quota = quota
        self.faults = faults or Faults()
        self.page = page
        self.buckets: dict[str, Bucket] = {}
        self.seen: list[dict[str, str]] = []
        self._counts: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self._generation = 1_700_000_000_000_000
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(self, port)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="GcsFake"
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point Google's client at this fake."""
        return {"STORAGE_EMULATOR_HOST": self.url}

    @property
    def counts(self) -> Counter[str]:
        """A copy of the counts so far."""
        with self._lock:
            return self._counts.copy()

    @property
    def calls(self) -> Counter[str]:
        """A copy of how often each object was downloaded."""
        with self._lock:
            return self._calls.copy()

    def bucket(self, name: str, **options: bool) -> Bucket:
        """The bucket of that name, made if there is none; options as in `Bucket`."""
        bucket = self.buckets.setdefault(name, Bucket())
        for option, value in options.items():
            setattr(bucket, option, value)
        return bucket

    def put(
        self, bucket: str, name: str, data: bytes, content_type: str | None = "image/jpeg", *, composite: bool = False
    ) -> int:
        """Write an object and return its generation; a composite one has no MD5."""
        with self._lock:
            self._generation += 1
            generation = self._generation
        resource = {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "size": str(len(data)),
            "generation": str(generation),
            "metageneration": "1",
            "crc32c": _b64(google_crc32c.Checksum(data).digest()),
            "storageClass": "STANDARD",
            "updated": "2026-01-01T00:00:00.000Z",
        }
        if content_type is not None:
            resource["contentType"] = content_type
        if not composite:
            resource["md5Hash"] = _b64(hashlib.md5(data).digest())
        kept = self.bucket(bucket)
        if name not in kept.objects:
            bisect.insort(kept.names, name.encode())
        kept.objects[name] = Stored(data, resource)
        return generation

    def delete(self, bucket: str, name: str) -> None:
        """Remove an object."""
        del self.buckets[bucket].objects[name]
        self.buckets[bucket].names.remove(name.encode())

    def fetch(self, uri: str) -> bytes | None:
        """What another of Google's services reads at `gs://bucket/name` with an agent of its own.

        Raises:
            PermissionError: the bucket is not public.
        """
        name, _, path = uri.removeprefix("gs://").partition("/")
        bucket = self.buckets.get(name)
        if bucket is None:
            return None
        if not bucket.public or not bucket.readable:
            raise PermissionError(uri)
        stored = bucket.objects.get(path)
        return stored.data if stored else None

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

    def count(self, *names: str) -> None:
        """Add one to each of these counts."""
        with self._lock:
            self._counts.update(names)

    def serve(self, path: str, headers: Any, line: _Line) -> None:
        """Answer one GET."""
        self.count("requests")
        try:
            fault = self._fate()
            self._closing.wait(self.latency.draw())
            status, body, extra = self._answer(path, headers)
            line.send(status, body, extra, fault=fault.kind if fault else None)
        except _Refusal as refusal:
            self.count("throttled" if refusal.status == 429 else "refused")
            error = {"reason": refusal.reason, "message": refusal.message, "domain": "global"}
            body = {"error": {"code": refusal.status, "message": refusal.message, "errors": [error]}}
            line.send(refusal.status, json.dumps(body).encode(), {})

    def _fate(self) -> Fault | None:
        if self.quota is not None and self.quota.take():
            raise _Refusal(429, "rateLimitExceeded", "The rate of requests is too high; slow down.")
        fault = self.faults.next()
        if fault is not None:
            self.count(f"fault-{fault.kind}")
            if fault.kind is Kind.ERROR:
                raise _Refusal(503, "backendError", "We encountered an internal error. Please try again.")
        return fault

    def _answer(self, path: str, headers: Any) -> tuple[int, bytes, dict[str, str]]:
        url = urlsplit(path)
        query = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        if match := _LIST.match(url.path):
            self._check(query, _LIST_PARAMETERS)
            bucket = self._allowed(unquote(match[1]), query, headers)
            self.count("lists")
            self.seen.append(query)
            return 200, json.dumps(_projected(self._page(bucket, query), query.get("fields"))).encode(), {}
        if match := _OBJECT.match(url.path):
            self._check(query, _OBJECT_PARAMETERS)
            bucket_name, name = unquote(match[2]), unquote(match[3])
            bucket = self._allowed(bucket_name, query, headers)
            return self._object(bucket, bucket_name, name, query, headers, media=query.get("alt") == "media")
        raise _Refusal(404, "notFound", "Not Found")

    def _check(self, query: dict[str, str], known: set[str]) -> None:
        if unknown := set(query) - known:
            raise _Refusal(400, "invalidParameter", f"Unknown parameters: {', '.join(sorted(unknown))}")

    def _allowed(self, name: str, query: dict[str, str], headers: Any) -> Bucket:
        bucket = self.buckets.get(name)
        if bucket is None:
            raise _Refusal(404, "notFound", "The specified bucket does not exist.")
        authorised = headers.get("Authorization") == f"Bearer {TOKEN}"
        if not bucket.readable:
            raise _Refusal(
                403, "forbidden", f"me@example.org does not have storage.objects.list access to the bucket {name}."
            )
        if not bucket.public and not authorised:
            raise _Refusal(
                401, "required", f"Anonymous caller does not have storage.objects.list access to the bucket {name}."
            )
        if bucket.requester_pays and "userProject" not in query:
            raise _Refusal(400, "required", "Bucket is a requester pays bucket but no user project provided.")
        return bucket

    def _page(self, bucket: Bucket, query: dict[str, str]) -> dict[str, Any]:
        prefix = query.get("prefix", "").encode()
        last = base64.urlsafe_b64decode(query["pageToken"]) if "pageToken" in query else None
        at = bisect.bisect_left(bucket.names, prefix) if last is None else bisect.bisect_right(bucket.names, last)
        size = min(int(query.get("maxResults", _LARGEST_PAGE)), _LARGEST_PAGE, self.page)
        glob = _glob(query["matchGlob"]) if "matchGlob" in query else None
        items: list[dict[str, str]] = []
        while at < len(bucket.names) and bucket.names[at].startswith(prefix) and len(items) < size:
            name = bucket.names[at].decode()
            if glob is None or glob.fullmatch(name):
                items.append(bucket.objects[name].resource)
            at += 1
        answer: dict[str, Any] = {"kind": "storage#objects"}
        if items:
            answer["items"] = items
        if at < len(bucket.names) and bucket.names[at].startswith(prefix):
            answer["nextPageToken"] = base64.urlsafe_b64encode(bucket.names[at - 1]).decode()
        return answer

    def _object(
        self, bucket: Bucket, bucket_name: str, name: str, query: dict[str, str], headers: Any, *, media: bool
    ) -> tuple[int, bytes, dict[str, str]]:
        stored = bucket.objects.get(name)
        wanted = query.get("generation")
        if stored is None or (wanted is not None and wanted != stored.resource["generation"]):
            raise _Refusal(404, "notFound", f"No such object: {bucket_name}/{name}")
        if query.get("ifGenerationMatch", stored.resource["generation"]) != stored.resource["generation"]:
            raise _Refusal(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
        if not media:
            self.count("gets")
            return 200, json.dumps(_projected(stored.resource, query.get("fields"))).encode(), {}
        with self._lock:
            self._counts["downloads"] += 1
            self._calls[f"gs://{bucket_name}/{name}"] += 1
        hashes = [f"crc32c={stored.resource['crc32c']}"]
        if "md5Hash" in stored.resource:
            hashes.append(f"md5={stored.resource['md5Hash']}")
        extra = {
            "Content-Type": stored.resource.get("contentType", "application/octet-stream"),
            "X-Goog-Hash": ",".join(hashes),
            "X-Goog-Generation": stored.resource["generation"],
            "X-Goog-Stored-Content-Length": stored.resource["size"],
            "X-Goog-Stored-Content-Encoding": "identity",
        }
        part = _RANGE.match(headers.get("Range") or "")
        if part is None or not stored.data:
            return 200, stored.data, extra
        start, end = int(part[1]), min(int(part[2] or len(stored.data) - 1), len(stored.data) - 1)
        if start > end:
            raise _Refusal(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
        extra["Content-Range"] = f"bytes {start}-{end}/{len(stored.data)}"
        return 206, stored.data[start : end + 1], extra


def _b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _projected(resource: dict[str, Any], fields: str | None) -> dict[str, Any]:
    """What of `resource` the parameter `fields` selects: names, and names with a list in brackets."""
    if fields is None:
        return resource
    chosen: dict[str, Any] = {}
    for name, inner in re.findall(r"(\w+)(?:\(([\w,]+)\))?", fields):
        if name in resource:
            value = resource[name]
            chosen[name] = [_projected(item, inner) for item in value] if inner else value
    return chosen


def _glob(pattern: str) -> re.Pattern[str]:
    """Cloud Storage's globs: `*` within a folder, `**` across them, `?`, `[a-z]`, `{this,that}`."""
    out, depth = "", 0
    for token in re.findall(r"\*\*/?|\*|\?|\[[^]]+\]|[{},]|[^*?\[{},]+", pattern):
        if token in {"{", "}"}:
            depth += 1 if token == "{" else -1
            out += "(?:" if token == "{" else ")"
        elif token == "," and depth:
            out += "|"
        else:
            special = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
            out += special.get(token) or (token if token.startswith("[") else re.escape(token))
    return re.compile(out, re.DOTALL)


class _Line(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self.server.fake.serve(self.path, self.headers, self)

    def send(self, status: int, body: bytes, headers: dict[str, str], *, fault: Kind | None = None) -> None:
        """Write an answer, whole or spoilt by `fault`."""
        if fault is Kind.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if fault is Kind.MALFORMED:
            body = b"~~" + body[2:]
        all_headers = {"Content-Type": "application/json; charset=UTF-8"} | headers | {"Content-Length": str(len(body))}
        lines = [f"HTTP/1.1 {status} {responses.get(status, '')}"]
        lines += [f"{name}: {value}" for name, value in all_headers.items()]
        if fault in {Kind.TRUNCATED, Kind.SLOW}:
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):  # ValueError: a file that was closed under it
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *args: object) -> None:
        """Says nothing: the counts do."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True
    block_on_close = False

    def __init__(self, fake: GcsFake, port: int) -> None:
        self.fake = fake
        super().__init__(("127.0.0.1", port), _Line)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for this machine's name, which may take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])


def media_path(bucket: str, name: str) -> str:
    """The path at which an object's bytes are downloaded."""
    return f"/download/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}?alt=media"
