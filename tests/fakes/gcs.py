"""A fake of Google Cloud Storage's JSON API: listing in pages, metadata, downloads, uploads, copies, deletions.

It is strict where an emulator is lenient: pages end at `maxResults`, `fields` is a projection, a generation that does not
match is a 412, checksums that do not fit are refused, and so are unknown parameters.
"""

from __future__ import annotations

import base64
import bisect
import contextlib
import json
import mimetypes
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import requests

from tests.fakes.fake import Fake
from tests.fakes.faults import Fault, Faults, Kind, Latency
from tests.fakes.gcs_uploads import Refusal, Sessions, Upload, crc32c_of, md5_of, multipart
from tests.fakes.quota import Quota

TOKEN = "fake-token"
"""The bearer token that private buckets accept."""
_LARGEST_PAGE = 1000
_LIST = re.compile(r"/storage/v1/b/([^/]+)/o\Z")
_UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o\Z")
_COPY = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)/copyTo/b/([^/]+)/o/([^/]+)\Z")
_OBJECT = re.compile(r"(/download)?/storage/v1/b/([^/]+)/o/([^/]+)\Z")
_COMMON = {"fields", "userProject", "prettyPrint", "projection"}
_LIST_PARAMETERS = _COMMON | {"prefix", "matchGlob", "pageToken", "maxResults", "startOffset", "endOffset", "delimiter"}
_OBJECT_PARAMETERS = _COMMON | {"alt", "generation", "ifGenerationMatch"}
_UPLOAD_PARAMETERS = _COMMON | {"uploadType", "upload_id", "name", "ifGenerationMatch"}
_DELETE_PARAMETERS = _COMMON | {"generation", "ifGenerationMatch"}
_COPY_PARAMETERS = _COMMON | {"ifGenerationMatch", "ifSourceGenerationMatch", "sourceGeneration"}
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
        writable: False answers 403 to uploads and copies.
        deletable: False answers 403 to deletions.
        available: False answers 503 to uploads, copies and deletions.
    """

    public: bool = True
    readable: bool = True
    requester_pays: bool = False
    writable: bool = True
    deletable: bool = True
    available: bool = True
    objects: dict[str, Stored] = field(default_factory=dict)
    names: list[bytes] = field(default_factory=list)


def reader(url: str) -> Callable[[str], bytes | None]:
    """What another service reads at `gs://bucket/name` of the storage at `url`, with an agent of its own.

    As `GcsFake.fetch`, over HTTP: None where there is no such object; PermissionError where the agent may not read it.
    """

    def fetch(uri: str) -> bytes | None:
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        address = f"{url}/download/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}?alt=media"
        answer = requests.get(address, timeout=30)
        if answer.status_code in (401, 403):
            raise PermissionError(uri)
        return answer.content if answer.ok else None

    return fetch


class GcsFake(Fake["_Server"]):
    """One fake on one port; use it as a context manager.

    Args:
        port: 0 takes a free one.
        latency: seconds a request takes, or a `Latency`.
        quota: None lifts it.
        faults: None: nothing goes wrong.
        page: most entries of a page, whatever `maxResults` asks for.

    Attributes:
        url: `http://127.0.0.1:<port>`.
        counts: `requests`, `lists`, `gets`, `downloads`, `bytes` (of them), `uploads`, `copies`, `deletions`,
            `refused`, `throttled`, `fault-<kind>`.
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
        self._holding = threading.RLock()
        self._sessions = Sessions()
        super().__init__(_Server(self, port))

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
        with self._holding:
            return self._store(bucket, name, data, content_type, composite=composite)

    def fill(self, bucket: str, folder: Path) -> None:
        """Write the files of a folder, those below it included, with the content types that their names tell."""
        self.bucket(bucket)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.put(bucket, file.relative_to(folder).as_posix(), file.read_bytes(), mimetypes.guess_type(file.name)[0])

    def _store(self, bucket: str, name: str, data: bytes, content_type: str | None, *, composite: bool = False) -> int:
        self._generation += 1
        generation = self._generation
        resource = {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "size": str(len(data)),
            "generation": str(generation),
            "metageneration": "1",
            "crc32c": crc32c_of(data),
            "storageClass": "STANDARD",
            "updated": "2026-01-01T00:00:00.000Z",
        }
        if content_type is not None:
            resource["contentType"] = content_type
        if not composite:
            resource["md5Hash"] = md5_of(data)
        kept = self.bucket(bucket)
        if name not in kept.objects:
            bisect.insort(kept.names, name.encode())
        kept.objects[name] = Stored(data, resource)
        return generation

    def delete(self, bucket: str, name: str) -> None:
        """Remove an object."""
        with self._holding:
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

    def count(self, *names: str) -> None:
        """Add one to each of these counts."""
        with self._lock:
            self._counts.update(names)

    def serve(self, method: str, path: str, headers: Any, content: bytes, line: _Line) -> None:
        """Answer one request."""
        self.count("requests")
        try:
            fault = self._fate()
            self._closing.wait(self.latency.draw())
            if fault is not None and fault.kind is Kind.RESET and not fault.charged:
                line.send(200, b"", {}, fault=Kind.RESET)
                return
            status, body, extra = self._answer(method, path, headers, content)
            if fault is not None and fault.kind is Kind.ERROR:
                raise _outage()
            line.send(status, body, extra, fault=fault.kind if fault else None)
        except Refusal as refusal:
            self.count("throttled" if refusal.status == 429 else "refused")
            error = {"reason": refusal.reason, "message": refusal.message, "domain": "global"}
            body = {"error": {"code": refusal.status, "message": refusal.message, "errors": [error]}}
            line.send(refusal.status, json.dumps(body).encode(), {})

    def _fate(self) -> Fault | None:
        if self.quota is not None and self.quota.take():
            raise Refusal(429, "rateLimitExceeded", "The rate of requests is too high; slow down.")
        fault = self.faults.next()
        if fault is not None:
            self.count(f"fault-{fault.kind}")
            if fault.kind is Kind.ERROR and not fault.charged:
                raise _outage()
        return fault

    def _answer(self, method: str, path: str, headers: Any, content: bytes) -> tuple[int, bytes, dict[str, str]]:
        url = urlsplit(path)
        query = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        if method != "GET":
            return self._change(method, url.path, query, headers, content)
        if match := _LIST.match(url.path):
            self._check(query, _LIST_PARAMETERS)
            bucket = self._allowed(unquote(match[1]), query, headers)
            self.count("lists")
            self.seen.append(query)
            with self._holding:
                page = self._page(bucket, query)
            return 200, json.dumps(_projected(page, query.get("fields"))).encode(), {}
        if match := _OBJECT.match(url.path):
            self._check(query, _OBJECT_PARAMETERS)
            bucket_name, name = unquote(match[2]), unquote(match[3])
            bucket = self._allowed(bucket_name, query, headers)
            return self._object(bucket, bucket_name, name, query, headers, media=query.get("alt") == "media")
        raise Refusal(404, "notFound", "Not Found")

    def _change(
        self, method: str, path: str, query: dict[str, str], headers: Any, content: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        if match := _UPLOAD.match(path):
            self._check(query, _UPLOAD_PARAMETERS)
            bucket_name = unquote(match[1])
            self._may(bucket_name, "create", query, headers)
            if method == "PUT":
                return self._session(query.get("upload_id", ""), headers, content)
            condition, kind = query.get("ifGenerationMatch"), query.get("uploadType")
            if kind == "resumable":
                session = self._sessions.begin(bucket_name, condition, headers, content)
                location = f"{self.url}{path}?uploadType=resumable&upload_id={session}"
                return 200, b"", {"Location": location, "X-GUploader-UploadID": session}
            if kind == "multipart":
                upload = multipart(bucket_name, condition, headers.get("Content-Type", ""), content)
                return 200, self._finish(upload), {}
            raise Refusal(400, "invalid", f"Invalid upload type {kind}.")
        if method == "POST" and (match := _COPY.match(path)):
            self._check(query, _COPY_PARAMETERS)
            source, name, target, new = map(unquote, match.groups())
            self._may(target, "create", query, headers)
            with self._holding:
                found = self._found(source, name)
                self._matches(found, query.get("ifSourceGenerationMatch"))
                self._matches(self.buckets[target].objects.get(new), query.get("ifGenerationMatch"))
                self._store(target, new, found.data, found.resource.get("contentType"))
                self.count("copies")
                return 200, json.dumps(self.buckets[target].objects[new].resource).encode(), {}
        if method == "DELETE" and (match := _OBJECT.match(path)):
            self._check(query, _DELETE_PARAMETERS)
            bucket_name, name = unquote(match[2]), unquote(match[3])
            self._may(bucket_name, "delete", query, headers)
            with self._holding:
                self._matches(self._found(bucket_name, name), query.get("ifGenerationMatch"))
                self.delete(bucket_name, name)
                self.count("deletions")
            return 204, b"", {}
        raise Refusal(404, "notFound", "Not Found")

    def _sent(self, size: int) -> None:
        with self._lock:
            self._counts["bytes"] += size

    def _session(self, session: str, headers: Any, content: bytes) -> tuple[int, bytes, dict[str, str]]:
        upload, whole = self._sessions.add(session, headers, content)
        if whole:
            return 200, self._finish(upload), {}
        if upload.generation is not None:
            stored = self._found(upload.bucket, upload.resource["name"])
            return 200, json.dumps(stored.resource).encode(), {}
        return 308, b"", {"Range": f"bytes=0-{len(upload.data) - 1}"} if upload.data else {}

    def _finish(self, upload: Upload) -> bytes:
        name = upload.resource["name"]
        with self._holding:
            kept = self.buckets[upload.bucket].objects
            self._matches(kept.get(name), upload.condition)
            content_type = upload.resource.get("contentType")
            upload.generation = self._store(upload.bucket, name, bytes(upload.data), content_type)
            self.count("uploads")
            return json.dumps(kept[name].resource).encode()

    def _may(self, name: str, what: str, query: dict[str, str], headers: Any) -> None:
        bucket = self._allowed(name, query, headers)
        if not (bucket.deletable if what == "delete" else bucket.writable):
            raise Refusal(
                403, "forbidden", f"me@example.org does not have storage.objects.{what} access to the bucket {name}."
            )
        if not bucket.available:
            raise _outage()

    def _found(self, bucket: str, name: str) -> Stored:
        stored = self.buckets[bucket].objects.get(name)
        if stored is None:
            raise Refusal(404, "notFound", f"No such object: {bucket}/{name}")
        return stored

    def _matches(self, stored: Stored | None, condition: str | None) -> None:
        generation = "0" if stored is None else stored.resource["generation"]
        if condition not in {None, generation}:
            raise Refusal(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")

    def _check(self, query: dict[str, str], known: set[str]) -> None:
        if unknown := set(query) - known:
            raise Refusal(400, "invalidParameter", f"Unknown parameters: {', '.join(sorted(unknown))}")

    def _allowed(self, name: str, query: dict[str, str], headers: Any) -> Bucket:
        bucket = self.buckets.get(name)
        if bucket is None:
            raise Refusal(404, "notFound", "The specified bucket does not exist.")
        authorised = headers.get("Authorization") == f"Bearer {TOKEN}"
        if not bucket.readable:
            raise Refusal(
                403, "forbidden", f"me@example.org does not have storage.objects.list access to the bucket {name}."
            )
        if not bucket.public and not authorised:
            raise Refusal(
                401, "required", f"Anonymous caller does not have storage.objects.list access to the bucket {name}."
            )
        if bucket.requester_pays and "userProject" not in query:
            raise Refusal(400, "required", "Bucket is a requester pays bucket but no user project provided.")
        return bucket

    def _page(self, bucket: Bucket, query: dict[str, str]) -> dict[str, Any]:
        prefix = query.get("prefix", "").encode()
        last = base64.urlsafe_b64decode(query["pageToken"]) if "pageToken" in query else None
        at = bisect.bisect_left(bucket.names, prefix) if last is None else bisect.bisect_right(bucket.names, last)
        size = min(int(query.get("maxResults", _LARGEST_PAGE)), _LARGEST_PAGE, self.page)
        glob = _glob(query["matchGlob"]) if "matchGlob" in query else None
        delimiter = query.get("delimiter", "")
        items: list[dict[str, str]] = []
        folders: list[str] = []
        while at < len(bucket.names) and bucket.names[at].startswith(prefix) and len(items) + len(folders) < size:
            name = bucket.names[at].decode()
            head, cut, _ = name[len(prefix.decode()) :].partition(delimiter) if delimiter else ("", "", "")
            if cut:
                folder = prefix.decode() + head + cut
                if folder not in folders:
                    folders.append(folder)
            elif glob is None or glob.fullmatch(name):
                items.append(bucket.objects[name].resource)
            at += 1
        answer: dict[str, Any] = {"kind": "storage#objects"}
        if items:
            answer["items"] = items
        if folders:
            answer["prefixes"] = folders
        if at < len(bucket.names) and bucket.names[at].startswith(prefix):
            answer["nextPageToken"] = base64.urlsafe_b64encode(bucket.names[at - 1]).decode()
        return answer

    def _object(
        self, bucket: Bucket, bucket_name: str, name: str, query: dict[str, str], headers: Any, *, media: bool
    ) -> tuple[int, bytes, dict[str, str]]:
        stored = bucket.objects.get(name)
        wanted = query.get("generation")
        if stored is None or (wanted is not None and wanted != stored.resource["generation"]):
            raise Refusal(404, "notFound", f"No such object: {bucket_name}/{name}")
        self._matches(stored, query.get("ifGenerationMatch"))
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
        if part is None:
            self._sent(len(stored.data))
            return 200, stored.data, extra
        start, end = int(part[1]), min(int(part[2] or len(stored.data) - 1), len(stored.data) - 1)
        if start > end:
            raise Refusal(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
        self._sent(end + 1 - start)
        extra["Content-Range"] = f"bytes {start}-{end}/{len(stored.data)}"
        return 206, stored.data[start : end + 1], extra


def _outage() -> Refusal:
    return Refusal(503, "backendError", "We encountered an internal error. Please try again.")


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
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.fake.serve(self.command, self.path, self.headers, content, self)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that the base class looks for

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
