"""The one protocol of all sources: where pictures are listed and read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pinakes.types import Entry, Image


class Source(Protocol):
    """Lists pictures and reads their bytes.

    Attributes:
        root: the URI that identifies the source (`file:///…/`, `gs://bucket/prefix/`); one per collection.
        problems: after the listing, what could not be listed at all (an unreadable folder, a link loop), one sentence
            each; a listing with problems is not complete, so nothing may be pruned on its word.
    """

    root: str
    problems: list[str]

    def entries(self) -> Iterator[Entry]:
        """Every entry below the root, in the order of image_id within a folder; lazily.

        Raises:
            SourceError: the root is missing, is not readable, or holds nothing at all.
        """
        ...

    def read(self, image: Image) -> bytes:
        """The bytes of `image` as they were listed.

        Raises:
            SourceError: it is gone or unreadable.
        """
        ...
