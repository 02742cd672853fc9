"""The counts next to the filters, shared by many visitors and a few seconds old while pictures are written."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from pinakes.query.filters import Filter
from pinakes.store.counted_values import CountedValues, read_counted
from pinakes.store.facets import Facets, facets
from pinakes.store.pool import Connections
from pinakes.store.restrictions import restriction_texts

FACETS_SECONDS = 5.0
"""The greatest age of counts that are shown."""
FACETS_KEPT = 256
"""The most sets of filters whose counts are remembered."""


class _Counted:
    """The latest facets; one visitor counts them while the others wait or get the previous ones."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: Facets | None = None
        self.at = 0.0

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.at < FACETS_SECONDS


class FacetCounts:
    """The facets of one collection; safe among threads."""

    def __init__(self, connections: Connections, collection: str) -> None:
        self._connections, self._collection = connections, collection
        self._counted: dict[tuple[object, ...], _Counted] = {}
        self._lock = threading.Lock()
        self._kept: CountedValues | None = None

    def of(self, filters: Sequence[Filter]) -> Facets:
        """The values to choose from, with counts; a restriction takes effect at once.

        Raises:
            UsageError: a filter names a column that no image has.
            DatabaseError: the database does not answer.
        """
        with self._connections.connection() as conn:
            restrictions = restriction_texts(conn, self._collection)
            self._kept = kept = read_counted(conn, self._collection, self._kept)
        # With the restrictions, so that counts from before one are never shown after it.
        key = (tuple(filters), tuple(restrictions), kept and kept.at)
        with self._lock:
            if len(self._counted) >= FACETS_KEPT:  # to forget all costs each visitor one count
                self._counted.clear()
            counted = self._counted.setdefault(key, _Counted())
        known = counted.known
        if known is not None and (counted.is_fresh or counted.lock.locked()):
            return known  # whoever holds the lock is counting again
        with counted.lock:
            if counted.known is None or not counted.is_fresh:
                with self._connections.connection() as conn:
                    counted.known = facets(conn, self._collection, filters, kept=kept)
                counted.at = time.monotonic()
            return counted.known
