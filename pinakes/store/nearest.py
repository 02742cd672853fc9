"""Searching one space by a vector: its nearest images, page by page, each by the nearest of its vectors.

A first page takes the nearest by `halfvec`'s arithmetic, or the index's candidates, and then orders these few by their
distances in single precision. Where one of several is shown (one vector of each image, one image of each group) more are
taken. Later pages, and groups for which these are too few, compare every vector that passes in single precision.

Where both are scanned, wholes and regions are taken by one statement; else apart, each as an index or a scan finds them,
and merged. That is exact where both are: the nearest vector of any of the k nearest images is among the one or the other.
There are never fewer than k where k pass.
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
from pinakes.store.search_plan import MARGIN, Plan, farther, plan
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
    one = OneOfEach(collection, wanted.group_by, wanted.collapse, values)
    regions = [registered.regions] if registered.regions and registered.regions.rows else []
    statement = VectorStatement(conn, collection, [registered, *regions], wanted.passing, one, values)
    with translated(f"searching {collection}"):
        # A later page continues after a distance of exact order, which an index does not keep to.
        found = None if wanted.after else _FirstPage(statement, pgvector, wanted).found()
        if found is None:
            every = statement.every_vector()
            found = Found([row for row, _ in every.rows], every.mode, every.candidates)
        return found


@dataclass(frozen=True, slots=True)
class _FirstPage:
    """The nearest of as many candidates as should be enough."""

    statement: VectorStatement
    pgvector: Pgvector
    wanted: Wanted

    def found(self) -> Found | None:
        """The rows; None where the candidates are of too few groups."""
        one, (wholes, *regions) = self.statement.one, self.statement.tables
        images = (OF_EACH_GROUP if one.keys else 1) * (self.wanted.k + len(self.wanted.exclude_ids))
        # All regions of each nearer picture may come before the first region of the last.
        depths = [images, *(MOST * images for _ in regions)]
        plans = list(map(self._plan, self.statement.tables, depths))
        if not one.keys and not any(chosen.index for chosen in plans):
            # In one statement: parsing and planning take longer than a scan of a small table.
            taken = self.statement.by_scan(self.statement.tables, sum(depths) + MARGIN)
            return Found([row for row, _ in taken.rows], taken.mode, taken.scanned)
        of_wholes = self._of_wholes(wholes, images, plans[0])
        if of_wholes is None:
            return None
        rows, mode, scanned = of_wholes.rows, of_wholes.mode, of_wholes.scanned
        for table, deep, chosen in zip(regions, depths[1:], plans[1:], strict=True):
            more = self._of_regions(table, deep, chosen)
            rows = sorted((*rows, *more.rows), key=_place)
            for number in range(len(one.names)):
                # A dictionary keeps the value that came last under a key.
                rows = sorted({keys[number]: (row, keys) for row, keys in reversed(rows)}.values(), key=_place)
            mode = more.mode if mode == "exact" else mode
            scanned += more.scanned
        return Found([row for row, _ in rows[: self.wanted.k]], mode, scanned)

    def _of_wholes(self, table: RegisteredSpace, deep: int, chosen: Plan) -> Taken | None:
        if chosen.index:
            taken = self.statement.by_index(table, chosen, chosen.candidates)
            if _lost(taken, chosen.far):
                chosen = farther(chosen, str(table.index_kind))
                taken = self.statement.by_index(table, chosen, chosen.candidates)
            # Where the candidates reach beyond the largest distance, fewer than k are all that there are.
            limit = self.wanted.max_distance
            enough = len(taken.rows) >= self.wanted.k or (limit is not None and taken.farthest > limit)
            if enough and taken.candidates >= chosen.candidates:
                return taken
        # How many candidates make enough groups is not known: then every vector is compared.
        if self.statement.one.keys:
            return None
        return self.statement.by_scan([table], deep + MARGIN)

    def _of_regions(self, table: RegisteredSpace, deep: int, chosen: Plan) -> Taken:
        if chosen.index:
            # An index is asked for what one scan gives: further ones would cost more than these last regions are worth.
            return self.statement.by_index(table, chosen, min(deep + MARGIN, MAX_EFFORT))
        return self.statement.by_scan([table], deep + MARGIN)

    def _plan(self, table: RegisteredSpace, deep: int) -> Plan:
        of, mode, effort = self.statement, self.wanted.mode, self.wanted.effort
        # --mode index means the index of the wholes; regions may have none.
        if mode == "index" and table is not of.tables[0] and table.index_kind is None:
            mode = "auto"
        return plan(of.conn, of.collection, table, of.passing, deep, mode, self.pgvector, effort=effort)


def _lost(taken: Taken, far: float | None) -> bool:
    """Whether an index seems to have missed the right cluster: even the nearest of what it found is too far away."""
    return far is not None and (not taken.rows or (taken.rows[0][0].distance or 0) > far)


def _place(keyed: tuple[Row, Sequence[str]]) -> tuple[float, str, bool]:
    row, _ = keyed
    assert row.distance is not None
    return row.distance, row.image_id, row.region is not None
