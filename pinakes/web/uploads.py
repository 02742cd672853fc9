"""Pictures that visitors search by: checked, made small and plain, and kept for a while under the MD5 of what was sent.

So the token also tells whether a stored picture is the very file, of which only the small copy is kept.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

from PIL import Image

from pinakes.errors import PictureError, UsageError
from pinakes.images.decoding import decode
from pinakes.sources.thumbnails import DiskCache
from pinakes.types import ErrorClass

MAX_UPLOAD_BYTES = 15 << 20
"""Of one picture: phones and most cameras stay below."""

KEPT_LONG_SIDE = 1600
"""More than any embedder looks at, also of a crop."""

KEPT_BYTES = 100 << 20
"""About 300 uploads; a link to a search by an older one says so."""

_TOKEN = re.compile(r"[0-9a-f]{32}")


class Uploads:
    """Uploaded pictures on disk, without the metadata (place, camera, owner) that they came with.

    Args:
        folder: where they are kept.
        max_bytes: of all of them together.
    """

    def __init__(self, folder: Path, *, max_bytes: int = KEPT_BYTES) -> None:
        self._kept = DiskCache(folder, max_bytes)

    def keep(self, data: bytes) -> str:
        """Check and keep a picture; the token under which it is found.

        Raises:
            PictureError: it cannot be decoded, or has too many bytes or pixels.
        """
        check_length(data)
        picture = decode(data, at_least=KEPT_LONG_SIDE)
        picture.thumbnail((KEPT_LONG_SIDE, KEPT_LONG_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=92)
        token = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self._kept.put(token, out.getvalue())
        return token

    @staticmethod
    def fingerprint(token: str) -> str:
        """The fingerprint of the file that was sent."""
        return f"md5:{token}"

    def get(self, token: str) -> bytes:
        """The picture as it is kept, a JPEG.

        Raises:
            UsageError: there is none (any more).
        """
        data = self._kept.get(token) if _TOKEN.fullmatch(token) else None
        if data is None:
            raise UsageError("the uploaded picture is no longer kept; choose it again.")
        return data


def check_length(data: bytes) -> None:
    """Refuse an upload of too many bytes.

    Raises:
        PictureError: it has.
    """
    if len(data) > MAX_UPLOAD_BYTES:
        raise PictureError(
            f"the picture has {len(data):,} bytes; the limit is {MAX_UPLOAD_BYTES:,}", ErrorClass.TOO_LARGE
        )
