"""The upload protocols of Google Cloud Storage's JSON API: one multipart request, or a resumable session.

https://cloud.google.com/storage/docs/uploads-downloads
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from typing import Any

import google_crc32c

CHUNK = 256 * 1024
"""Every piece of a resumable upload but the last one is a multiple of this."""

_KNOWN = {"name", "contentType", "md5Hash", "crc32c", "metadata", "cacheControl", "storageClass"}
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)\Z")


class Refusal(Exception):  # noqa: N818 - the service's own answer
    """What the service says instead of doing what it was asked."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


def md5_of(data: bytes) -> str:
    """As `md5Hash` says it."""
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def crc32c_of(data: bytes) -> str:
    """As `crc32c` says it."""
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


@dataclass(slots=True)
class Upload:
    """A whole upload, or one that is on its way.

    Attributes:
        bucket: where it goes.
        condition: `ifGenerationMatch`, or None.
        resource: what the client says of the object: its name at least.
        data: what has arrived.
        generation: of the object that it became; a session that is asked again answers so.
    """

    bucket: str
    condition: str | None
    resource: dict[str, Any]
    data: bytearray = field(default_factory=bytearray)
    generation: int | None = None

    def check(self) -> None:
        """Refuse bytes that are not those whose checksums were announced."""
        data = bytes(self.data)
        for key, actual in (("md5Hash", md5_of), ("crc32c", crc32c_of)):
            told = self.resource.get(key)
            if told is not None and told != actual(data):
                raise Refusal(400, "invalid", f"Provided {key} {told!r} doesn't match calculated {actual(data)!r}.")


def multipart(bucket: str, condition: str | None, content_type: str, body: bytes) -> Upload:
    """The upload in a `multipart/related` body: the resource as JSON, then the bytes."""
    match = re.match(r'multipart/related; boundary="?([^";]+)"?\Z', content_type)
    if match is None:
        raise Refusal(400, "badContent", f"Unsupported content with type: {content_type}")
    edge = b"--" + match[1].encode()
    pieces = body.split(edge)
    if len(pieces) != 4 or pieces[0] or pieces[3].strip() != b"--":
        raise Refusal(400, "badRequest", "Malformed multipart body.")
    (headers, resource), (kind, data) = (piece[2:-2].split(b"\r\n\r\n", 1) for piece in pieces[1:3])
    if b"application/json" not in headers:
        raise Refusal(400, "badRequest", "The first part of a multipart upload is the object's metadata.")
    upload = Upload(bucket, condition, _resource(resource), bytearray(data))
    upload.resource.setdefault("contentType", kind.decode().partition(":")[2].strip())
    upload.check()
    return upload


class Sessions:
    """Resumable uploads by their id. Thread-safe."""

    def __init__(self) -> None:
        self._open: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def begin(self, bucket: str, condition: str | None, headers: Any, body: bytes) -> str:
        """Open a session; its id."""
        upload = Upload(bucket, condition, _resource(body))
        upload.resource.setdefault("contentType", headers.get("X-Upload-Content-Type"))
        with self._lock:
            name = f"upload-{len(self._open) + 1}"
            self._open[name] = upload
        return name

    def add(self, session: str, headers: Any, body: bytes) -> tuple[Upload, bool]:
        """Take a piece; the upload and whether it is whole now.

        Raises:
            Refusal: there is no such session, or the piece does not follow what has arrived.
        """
        with self._lock:
            upload = self._open.get(session)
            if upload is None:
                raise Refusal(410, "gone", "The upload session is gone; start again.")
            match = _RANGE.match(headers.get("Content-Range", ""))
            if match is None:
                raise Refusal(400, "badRequest", "Invalid Content-Range.")
            if match[1] is None or upload.generation is not None:
                return upload, False
            start, end = int(match[1]), int(match[2])
            whole = match[3] != "*" and end + 1 == int(match[3])
            if start != len(upload.data) or end + 1 - start != len(body) or (not whole and len(body) % CHUNK):
                raise Refusal(400, "badRequest", "The piece does not follow what has arrived, or has an odd length.")
            upload.data += body
            if whole:
                for told in filter(None, headers.get("X-Goog-Hash", "").split(",")):
                    kind, _, value = told.partition("=")
                    upload.resource[{"md5": "md5Hash"}.get(kind, kind)] = value
                upload.check()
            return upload, whole


def _resource(body: bytes) -> dict[str, Any]:
    try:
        resource: dict[str, Any] = json.loads(body)
    except ValueError as exc:
        raise Refusal(400, "parseError", "Parse Error") from exc
    if unknown := set(resource) - _KNOWN:
        raise Refusal(400, "invalid", f"Unknown fields: {', '.join(sorted(unknown))}")
    if not resource.get("name"):
        raise Refusal(400, "required", "Required")
    if len(resource["name"].encode()) > 1024 or "\n" in resource["name"] or "\r" in resource["name"]:
        raise Refusal(400, "invalid", "Invalid object name.")
    return resource
