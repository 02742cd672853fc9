"""Finding copies in a collection: sketches of new pictures, candidates from two indexes, their comparison, and groups.

Each step is entered in the database when it is done. So a run that was killed continues where it was, and a later run
compares only new pictures.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pinakes.duplicates.comparison import compare
from pinakes.duplicates.groups import TWO_SIDES, grouped, newest
from pinakes.duplicates.sketch import Sketch, turned_shapes
from pinakes.errors import PictureError, SourceError
from pinakes.sources.fingerprints import fingerprint_bytes
from pinakes.sources.reading import read_uri
from pinakes.store.bulk_reads import stored_listing
from pinakes.store.connection import Connection
from pinakes.store.database import Database
from pinakes.store.duplicates import (
    Alike,
    alike_images,
    drop_earlier_pairs,
    drop_unused_sketches,
    equal_files,
    keep_alike,
    regrouping,
    replace_groups,
    stored_decisions,
)
from pinakes.store.sketches import (
    StoredSketch,
    index_shapes,
    keep_sketches,
    near_in_shape,
    near_in_space,
    not_compared,
    sketches_of,
    without_sketch,
)
from pinakes.store.space_registry import RegisteredSpace
from pinakes.store.tombstones import images_of
from pinakes.types import Decision, Vector

logger = logging.getLogger(__name__)

RECIPE = 2
"""Raised by hand when pictures are compared in another way, so that every picture is compared again."""

WITHIN = 0.4
"""Cosine distance in the space up to which neighbours are compared; see `docs/duplicates.md`."""

WITHIN_SHAPE = 0.06
"""The same for shapes: copies of the whole are nearer than 0.01, and those whose border was removed than 0.06."""

AT_ONCE = 64
"""Pictures of one step: a kill loses the work of no more than these."""

THREADS = 4
"""Pictures that are read at once, since each may have to be fetched over the network."""

REMEMBERED = 1000
"""Sketches in memory, with everything that was computed to compare them: 200 kB each."""

PAIRS_REMEMBERED = 500_000
"""Pairs that were compared, so that the second of two neighbours is not compared with the first again: 60 MB."""

Told = Callable[[str, int], None]
"""Called with the name of the step and the number of pictures that it has done."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a run has done, in numbers.

    Attributes:
        sketched: pictures with a new sketch.
        compared: pictures that were compared with their candidates.
        looked_at: pairs that were laid over each other.
        unreadable: pictures that cannot be read.
    """

    sketched: int
    compared: int
    looked_at: int
    unreadable: int


def find_copies(
    database: Database, collection: str, registered: RegisteredSpace, within: float = WITHIN, told: Told | None = None
) -> Looked:
    """Find out which pictures of a collection are copies; pictures that were compared before are not compared again.

    Raises:
        DatabaseError: PostgreSQL failed; the steps that were done are kept.
    """
    with database.connection() as (conn, pgvector):
        sketched, unreadable = _sketch(conn, collection, told)
        # Before comparing: an old sketch may be of bytes that no image has any more.
        drop_unused_sketches(conn, collection)
        index_shapes(conn, collection, pgvector)
        compared, looked_at = _compare(conn, collection, registered, within, told)
    return Looked(sketched, compared, looked_at, unreadable)


def regroup(database: Database, collection: str) -> None:
    """Make the groups from the copies that were found and from what people decided."""
    # Two connections, since the groups are written while what they are made of is still being read.
    with database.connection() as (conn, _), database.connection() as (other, _), regrouping(other, collection):
        decisions = newest(Decision(*row) for row in stored_decisions(conn, collection))
        named = {image_id for key in decisions for image_id in key if image_id}
        there = [image.image_id for image in images_of(conn, collection, named)]
        image_ids = (image_id for image_id, *_ in stored_listing(conn, collection))
        members = grouped(equal_files(conn, collection), alike_images(conn, collection), image_ids, decisions, there)
        replace_groups(other, collection, members, pairs=TWO_SIDES)


def _sketch(conn: Connection, collection: str, told: Told | None) -> tuple[int, int]:
    after, made, unreadable = "", 0, 0
    with ThreadPoolExecutor(THREADS) as threads:
        while new := without_sketch(conn, collection, after, AT_ONCE):
            found = list(threads.map(_sketch_of, new))
            keep_sketches(conn, collection, [each for each in found if each is not None])
            # Not simply the pictures without a sketch: those that cannot be read would come again without end.
            after = new[-1][0]
            unreadable += found.count(None)
            made += len(found) - found.count(None)
            if told is not None:
                told("looked at", made)
    return made, unreadable


def _sketch_of(picture: tuple[str, str]) -> StoredSketch | None:
    fingerprint, uri = picture
    try:
        data = read_uri(uri)
        sketch = Sketch.of(data)
    except (SourceError, PictureError) as exc:
        logger.warning("%s is compared by its name and its bytes alone: %s", uri, exc)
        return None
    if fingerprint.startswith("md5:") and fingerprint != fingerprint_bytes(data):
        logger.warning("%s was changed since it was ingested, so it is not compared; ingest it again.", uri)
        return None
    return StoredSketch(fingerprint, sketch.written(), sketch.pixels, None if sketch.flat else sketch.shape())


def _compare(
    conn: Connection, collection: str, registered: RegisteredSpace, within: float, told: Told | None
) -> tuple[int, int]:
    how = f"{RECIPE}:{registered.name}:{within:g}"
    drop_earlier_pairs(conn, collection, how)
    sketches = _Sketches(conn, collection)
    seen: set[int] = set()
    after, compared, looked_at = "", 0, 0
    while batch := not_compared(conn, collection, how, after, AT_ONCE):
        names = [each.fingerprint for each in batch]
        after = names[-1]
        read = sketches.put(batch)
        asked = [(name, shape) for name in names for shape in _shapes(read[name])]
        near = near_in_space(conn, collection, registered, names, within)
        near += near_in_shape(conn, collection, asked, WITHIN_SHAPE)
        # Hashes are remembered instead of pairs, since they take less memory.
        pairs = {hash(pair): pair for pair in sorted({(min(pair), max(pair)) for pair in near})}
        new = [pair for key, pair in pairs.items() if key not in seen]
        keep_alike(conn, collection, names, how, list(_alike(sketches, new)))
        compared += len(batch)
        looked_at += len(new)
        # Forgotten all at once: a pair that comes again is compared again, with the same result.
        if len(seen) > PAIRS_REMEMBERED:
            seen.clear()
        seen |= pairs.keys()
        if told is not None:
            told("compared", compared)
    return compared, looked_at


def _shapes(sketch: Sketch) -> list[Vector]:
    """The shapes that copies of a picture may have: upright, turned, and without its border if it has one."""
    if sketch.flat:
        return []
    shape, inner = sketch.shape(), sketch.trimmed
    return [shape, *turned_shapes(shape), *([] if inner is None or inner.flat else [inner.shape()])]


def _alike(sketches: _Sketches, pairs: Sequence[tuple[str, str]]) -> Iterator[Alike]:
    """The pairs that are copies."""
    read = sketches.of({name for pair in pairs for name in pair})
    for first, second in pairs:
        if first in read and second in read:
            match = compare(read[first], read[second])
            if match is not None:
                yield Alike(first, second, match.kind, match.difference)


class _Sketches:
    """Sketches by fingerprint, the latest in memory, since neighbours of a picture have neighbours in common."""

    def __init__(self, conn: Connection, collection: str) -> None:
        self._conn = conn
        self._collection = collection
        self._kept: OrderedDict[str, Sketch] = OrderedDict()

    def put(self, stored: list[StoredSketch]) -> dict[str, Sketch]:
        read = {each.fingerprint: Sketch.read(each.picture, each.pixels) for each in stored}
        self._kept |= read
        while len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
        return read

    def of(self, names: set[str]) -> dict[str, Sketch]:
        """The sketches with these fingerprints; those that the database no longer has are left out."""
        found = {name: self._kept[name] for name in names & self._kept.keys()}
        return found | self.put(sketches_of(self._conn, self._collection, names - found.keys()))
