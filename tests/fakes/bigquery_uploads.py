"""Uploads of BigQuery's load jobs: one multipart request, or a resumable session of pieces."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.fakes.bigquery_sql import Refusal

CHUNK = 256 * 1024
"""Every piece of a resumable upload but the last one is a multiple of this."""

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)\Z")


class Uploads:
    """Sessions by their id: the job's resource, and the bytes that have arrived."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[dict[str, Any], bytearray]] = {}

    def multipart(self, content_type: str, body: bytes) -> tuple[dict[str, Any], bytes]:
        """The job and the bytes in a `multipart/related` body."""
        match = re.match(r'multipart/related; boundary="?([^";]+)"?\Z', content_type)
        pieces = body.split(b"--" + match[1].encode()) if match else []
        if len(pieces) != 4 or pieces[0] or pieces[3].strip() != b"--":
            raise Refusal(400, "badRequest", "Malformed multipart body.")
        (_, resource), (_, data) = (piece[2:-2].split(b"\r\n\r\n", 1) for piece in pieces[1:3])
        return json.loads(resource), data

    def begin(self, body: bytes) -> str:
        """Open a session; its id."""
        session = f"upload-{len(self._open) + 1}"
        self._open[session] = json.loads(body), bytearray()
        return session

    def add(self, session: str, content_range: str, piece: bytes) -> tuple[dict[str, Any], bytes] | int:
        """Take a piece: how many bytes there are now, or the job and all bytes if it was the last one."""
        match = _RANGE.match(content_range)
        if session not in self._open or match is None:
            raise Refusal(400, "badRequest", "There is no such upload, or the Content-Range is invalid.")
        job, data = self._open[session]
        start, end = int(match[1]), int(match[2])
        whole = match[3] != "*" and end + 1 == int(match[3])
        if start != len(data) or end + 1 - start != len(piece) or (not whole and len(piece) % CHUNK):
            raise Refusal(400, "badRequest", "The piece does not follow what has arrived, or has an odd length.")
        data += piece
        return (job, bytes(data)) if whole else len(data)
