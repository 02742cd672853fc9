"""Pictures that visitors search by: checked, reduced, and kept for a while under the MD5 of the file that was sent.

Only a small copy is kept, but the MD5 still tells whether a stored picture is the very file.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pinakes.errors import PictureError, UsageError
from pinakes.images.decoding import thumbnail_jpeg
from pinakes.sources.thumbnails import DiskCache
from pinakes.types import ErrorClass

MAX_UPLOAD_BYTES = 15 << 20
"""The largest picture: those of phones and of most cameras are smaller."""

KEPT_LONG_SIDE = 1600
"""The long side of the copy in pixels: more than any embedder uses, even of a crop."""

KEPT_BYTES = 100 << 20
"""The limit for all copies: about 300. A link to a search by an older one says that it is gone."""

_TOKEN = re.compile(r"[0-9a-f]{32}")


class Uploads:
    """Uploaded pictures on disk, without the metadata (place, camera, owner) that they came with.

    Args:
        folder: the folder of the copies.
    """

    def __init__(self, folder: Path) -> None:
        self._kept = DiskCache(folder, KEPT_BYTES)

    def keep(self, data: bytes) -> str:
        """Check and keep a picture; returns its token.

        Raises:
            PictureError: it cannot be decoded, or has too many bytes or pixels.
            BusyError: too many pictures are waiting to be decoded.
        """
        check_length(data)
        # Without the metadata: a phone's pictures say where they were taken.
        copy = thumbnail_jpeg(data, long_side=KEPT_LONG_SIDE, quality=92)
        token = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self._kept.put(token, copy)
        return token

    @staticmethod
    def fingerprint(token: str) -> str:
        """The fingerprint of the file that was sent."""
        return f"md5:{token}"

    def get(self, token: str) -> bytes:
        """The kept copy of the picture, a JPEG.

        Raises:
            UsageError: it is no longer kept, or never was.
        """
        # The token becomes the name of a file, so nothing but a digest may pass.
        data = self._kept.get(token) if _TOKEN.fullmatch(token) else None
        if data is None:
            raise UsageError("the uploaded picture is no longer kept; choose it again.")
        return data


def check_length(data: bytes) -> None:
    """Refuse an upload that is too large.

    Raises:
        PictureError: it is.
    """
    if len(data) > MAX_UPLOAD_BYTES:
        raise PictureError(
            f"the picture has {len(data):,} bytes; the limit is {MAX_UPLOAD_BYTES:,}", ErrorClass.TOO_LARGE
        )
