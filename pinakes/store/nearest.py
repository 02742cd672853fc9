"""Searching one space by a vector: its nearest images, page by page, each by the nearest of its vectors.

A first page takes the nearest by `halfvec`'s arithmetic, or the index's candidates, and then orders these few by their
distances in single precision. Where one of several is shown (one vector of each image, one image of each group) more are
taken. Later pages, and groups for which these are too few, compare every vector that passes in single precision.

Wholes and regions are taken apart, each as an index or a scan finds them, and merged. That is exact where both are: the
nearest vector of any of the k nearest images is among the one or the other. There are never fewer than k where k pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pgvector import HalfVector
from pgvector import Vector as PgVector

from pinakes.images.regions import MOST
from pinakes.query.cursor import Cursor
from pinakes.query.query import MAX_EFFORT, Mode
from pinakes.store.conditions import Conditions
from pinakes.store.connection import Connection, Pgvector, translated
from pinakes.store.images import Row
from pinakes.store.one_of_each import OneOfEach
from pinakes.store.search_plan import MARGIN, Plan, plan
from pinakes.store.space_registry import RegisteredSpace
from pinakes.store.vector_statement import Taken, VectorStatement
from pinakes.types import Vector

OF_EACH_GROUP = 4
"""Candidates that an index is asked for, for each group that is to be shown: more than a group of copies mostly has."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a search is to find in a space.

    Attributes:
        k: how many.
        passing: conditions on the images.
        exclude_ids: images left out.
        exclude_fingerprints: pictures of these bytes left out.
        max_distance: the largest cosine distance of a hit.
        group_by: a column; only the nearest image of each of its values is found.
        collapse: only the preferred, else the nearest, image of each group of copies is found.
        after: continue after this place.
        mode: how vectors are compared.
        effort: see `pinakes.query.query.Query`.
    """

    k: int
    passing: Conditions = field(default_factory=Conditions)
    exclude_ids: tuple[str, ...] = ()
    exclude_fingerprints: tuple[str, ...] = ()
    max_distance: float | None = None
    group_by: str | None = None
    collapse: bool = False
    after: Cursor | None = None
    mode: Mode = "auto"
    effort: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Rows in order, how they were found, and how many vectors or texts were candidates.

    Of texts, the first `whole` rows have all of the words.
    """

    rows: list[Row]
    mode: str
    scanned: int
    whole: int = 0


def nearest(
    conn: Connection, pgvector: Pgvector, collection: str, registered: RegisteredSpace, query: Vector, wanted: Wanted
) -> Found:
    """The images nearest to a vector with the whole or a part of them, by cosine distance, ties by image_id.

    Args:
        conn: a connection that knows pgvector's types.
        pgvector: its version decides what an index may be asked.
        collection: the collection.
        registered: the space that `query` belongs to.
        query: shape (dimension,), float32, not zero.
        wanted: which of them, and how many.

    Raises:
        UsageError: an index was asked for and there is none.
    """
    search = _Search(conn, pgvector, collection, registered, query, wanted)
    with translated(f"searching {collection}"):
        return (None if wanted.after else search.first_page()) or search.every_vector()


class _Search:
    """One search, in each of the ways in which it can be carried out."""

    def __init__(
        self,
        conn: Connection,
        pgvector: Pgvector,
        collection: str,
        registered: RegisteredSpace,
        query: Vector,
        wanted: Wanted,
    ) -> None:
        self._conn = conn
        self._pgvector = pgvector
        self._collection = collection
        self._space = registered
        self._regions = registered.regions if registered.regions and registered.regions.rows else None
        self._wanted = wanted
        after = wanted.after or Cursor(b"")
        values: dict[str, Any] = {
            **wanted.passing.values,
            "half": HalfVector(query),
            "full": PgVector(query),
            "k": wanted.k,
            "ids": list(wanted.exclude_ids),
            "fingerprints": list(wanted.exclude_fingerprints),
            "max": wanted.max_distance,
            "from_distance": after.position and after.position.distance,
            "from_id": after.position and after.position.image_id,
            "shown_distance": after.boundary and after.boundary.distance,
            "shown_id": after.boundary and after.boundary.image_id,
            "shown": [shown.hex() for shown in after.shown],
        }
        self._one = OneOfEach(collection, wanted.group_by, wanted.collapse, values)
        tables = [registered] if self._regions is None else [registered, self._regions]
        self._statement = VectorStatement(conn, collection, tables, wanted.passing, self._one, values)

    def first_page(self) -> Found | None:
        """The nearest of as many candidates as should be enough; None where they are not."""
        images = (OF_EACH_GROUP if self._one.groups else 1) * (self._wanted.k + len(self._wanted.exclude_ids))
        wholes = self._nearest_wholes(images + MARGIN)
        if wholes is None:
            return None
        rows, mode, scanned = wholes.rows, wholes.mode, wholes.scanned
        if self._regions is not None:
            # All regions of each nearer picture may come before the first region of the last.
            regions = self._nearest_regions(self._regions, MOST * images + MARGIN)
            rows = sorted((*rows, *regions.rows), key=_place)
            for number in range(len(self._one.names)):
                # A dictionary keeps the value that came last under a key.
                rows = sorted({keys[number]: (row, keys) for row, keys in reversed(rows)}.values(), key=_place)
            mode = regions.mode if mode == "exact" else mode
            scanned += regions.scanned
        return Found([row for row, _ in rows[: self._wanted.k]], mode, scanned)

    def every_vector(self) -> Found:
        """The nearest of all that pass, after a place, every distance in single precision."""
        taken = self._statement.every_vector()
        return Found([row for row, _ in taken.rows], taken.mode, taken.candidates)

    def _nearest_wholes(self, take: int) -> Taken | None:
        chosen = self._plan(self._space, take, self._wanted.mode)
        if chosen.index:
            taken = self._statement.by_index(self._space, chosen, chosen.candidates)
            # Beyond the largest distance there is nothing to be found.
            limit = self._wanted.max_distance
            enough = len(taken.rows) >= self._wanted.k or (limit is not None and taken.farthest > limit)
            if enough and taken.candidates >= chosen.candidates:
                return taken
        if self._one.groups:
            return None
        # The planner stops counting where the index is worth asking; if that answered too few, the full count is due now.
        matching = chosen.matching
        if matching is None:
            matching = self._plan(self._space, take, "exact").matching
        return self._statement.by_scan(self._space, take, matching or 0)

    def _nearest_regions(self, regions: RegisteredSpace, take: int) -> Taken:
        mode = self._wanted.mode
        chosen = self._plan(regions, take, "auto" if mode == "index" and regions.index_kind is None else mode)
        if chosen.index:
            # An index is asked for what one scan gives: further ones would cost more than these last regions are worth.
            return self._statement.by_index(regions, chosen, min(take, MAX_EFFORT))
        return self._statement.by_scan(regions, take, MOST * (chosen.matching or 0))

    def _plan(self, table: RegisteredSpace, take: int, mode: Mode) -> Plan:
        passing, effort = self._wanted.passing, self._wanted.effort
        return plan(self._conn, self._collection, table, passing, take, mode, self._pgvector, effort=effort)


def _place(keyed: tuple[Row, Sequence[str]]) -> tuple[float, str, bool]:
    row, _ = keyed
    assert row.distance is not None
    return row.distance, row.image_id, row.region is not None
