"""A stored picture's bytes by its uri: what sheets and pages show."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote_to_bytes

from pinakes.errors import SourceError

_FILE = "file://"


def read_uri(uri: str) -> bytes:
    """The bytes at a uri that a source has listed.

    Raises:
        SourceError: they are gone or unreadable, or the uri is of a kind that this version does not read.
    """
    if not uri.startswith(_FILE):
        raise SourceError(f"the picture at {uri} cannot be shown: this version reads file:// only.")
    path = unquote_to_bytes(uri[len(_FILE) :])
    try:
        return Path(path.decode("utf-8", "surrogateescape")).read_bytes()
    except OSError as exc:
        raise SourceError(f"the picture at {uri} cannot be read: {exc.strerror}.") from exc
