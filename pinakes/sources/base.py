"""The one protocol of all sources, what their listings have in common, and how a listing honours tombstones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pinakes.errors import SourceError, UsageError
from pinakes.sources.fingerprints import ChangedError
from pinakes.tombstones import FORGOTTEN, Tombstones
from pinakes.types import Entry, Image, Rejected, Skipped


class Source(Protocol):
    """Lists pictures and reads their bytes.

    Attributes:
        root: the URI that identifies the source (`file:///…/`, `gs://bucket/prefix/`); one per collection.
        problems: after the listing, what could not be listed at all (an unreadable folder, a link loop), one sentence
            each; a listing with problems is not complete, so nothing may be pruned because of it.
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
            SourceError: it is gone or unreadable, or is not part of this source.
            ChangedError: its bytes are not the ones that were listed.
        """
        ...


class Listing:
    """A source's listing with its limit and its counts; what is listed comes from `_listed`.

    Args:
        root: see `Source`.
        limit: stop after this many images; the listing then is not complete, and `problems` says so.

    Attributes:
        root, problems: see `Source`.
        leave_out: whether an image_id is to be listed as `FORGOTTEN` without reading its bytes.

    Raises:
        UsageError: the limit is less than 1.
    """

    def __init__(self, root: str, limit: int | None) -> None:
        if limit is not None and limit < 1:
            raise UsageError(f"a limit of {limit} images lists nothing; give at least 1.")
        self.root = root
        self.problems: list[str] = []
        self.leave_out: Callable[[str], bool] = lambda _image_id: False
        self._limit = limit

    @property
    def table(self) -> Any | None:
        """A table of what the source itself says of its pictures, or None.

        It is a `pinakes.metadata.opening_tables.AnyTable`, which sources may not import.
        """
        return None

    def paced_by(self, pace: Callable[[str, str], Any]) -> None:
        """Let a source that limits its requests use a rate that is kept elsewhere; others have nothing to do.

        Args:
            pace: opens the rate limit of a quota, given its name and its default rate.
        """

    def entries(self) -> Iterator[Entry]:
        """See `Source.entries`."""
        self.problems = []
        images = rejected = 0
        skipped: Counter[str] = Counter()
        for entry in self._listed():
            if isinstance(entry, Image):
                # Only one image more shows that the listing is cut short: a source of just so many is complete.
                if images == self._limit:
                    self.problems.append(f"the listing stopped at its limit of {self._limit:,}; there are more images")
                    return
                images += 1
            elif isinstance(entry, Rejected):
                rejected += 1
            else:
                skipped[entry.reason] += 1
            yield entry
        # Nothing but forgotten pictures is a complete listing too, or the last take-down would make each run fail.
        if images or rejected or skipped[FORGOTTEN]:
            return
        if self.problems:
            raise SourceError(f"{self.root} gave no picture: {self.problems[0]}.")
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.most_common(3))
        raise SourceError(
            f"no picture was found below {self.root}: all {skipped.total():,} entries were skipped ({reasons});"
            " check where the pictures are."
            if skipped
            else self._empty()
        )

    def _listed(self) -> Iterator[Entry]:
        """Every entry, without regard to the limit."""
        raise NotImplementedError

    def _empty(self) -> str:
        """The sentence about a source without a single entry."""
        return f"{self.root} is empty."

    def _foreign(self, image: Image) -> SourceError:
        return SourceError(f"{image.image_id!r} is not part of the source {self.root}: its uri is {image.uri}.")


def changed(image: Image) -> ChangedError:
    """What `Source.read` raises over bytes that are no longer the ones that were listed."""
    return ChangedError(f"{image.image_id!r} changed since it was listed; run again to embed its new bytes.")


def keep_out(source: Source, tombstones: Tombstones) -> Iterator[Entry]:
    """What a source lists, with pictures that have a tombstone skipped; where possible, their bytes are not even read."""
    if isinstance(source, Listing):
        source.leave_out = tombstones.ids.__contains__
    for entry in source.entries():
        fingerprint = entry.fingerprint if isinstance(entry, Image) else ""
        if isinstance(entry, Image | Rejected) and tombstones.cover(entry.image_id, fingerprint):
            yield Skipped(entry.image_id, FORGOTTEN)
        else:
            yield entry
