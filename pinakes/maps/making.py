"""Making the map of a space: every vector is read twice and laid out, and its place is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pinakes.errors import UsageError
from pinakes.maps.layout import Matrix, lay_out_components, principal_components
from pinakes.store.bulk_reads import one_state, vectors_in_order
from pinakes.store.connection import Connection
from pinakes.store.map_table import changed_share, map_of, write_map
from pinakes.store.space_registry import RegisteredSpace

OUTDATED = 0.1
"""A map is made again when more than this share of the vectors has changed since."""

LEAST_IMAGES = 3
"""The fewest pictures that make a map."""


@dataclass(frozen=True, slots=True)
class Made:
    """A map that was made.

    Attributes:
        space: whose vectors it shows.
        method: `t-SNE` or `PCA`.
        images: how many are on it.
        clusters: how many groups of pictures that are near each other it has.
        seed: the seed that it was made with.
    """

    space: str
    method: str
    images: int
    clusters: int
    seed: int


def make_map(conn: Connection, collection: str, registered: RegisteredSpace, seed: int = 0) -> Made:
    """Lay the vectors of a space out and store the map; until then the earlier map is shown.

    Raises:
        UsageError: there are fewer than `LEAST_IMAGES` vectors.
        DatabaseError: PostgreSQL failed.
    """
    pairs: list[tuple[str, str]] = []

    def blocks() -> Iterator[Matrix]:
        pairs.clear()  # the vectors are read once more for each pass over them
        for some, vectors in vectors_in_order(conn, collection, registered.name):
            pairs.extend(some)
            yield vectors

    if registered.rows < LEAST_IMAGES:
        raise UsageError(
            f"{registered.name} has {registered.rows} vectors, too few for a map; {LEAST_IMAGES} are the least."
        )
    # Every pass must give the same vectors, whatever is written meanwhile. Laying them out takes a minute for 50,000: an
    # open transaction would keep dead rows for as long, those of forgotten pictures among them.
    with one_state(conn):
        reduced = principal_components(blocks)
    layout = lay_out_components(reduced, seed)
    places = zip(pairs, layout.places.tolist(), layout.clusters.tolist(), strict=True)
    rows = [(*pair, x, y, cluster) for pair, (x, y), cluster in places]
    write_map(conn, collection, registered, rows, method=layout.method, seed=seed)
    return Made(registered.name, layout.method, len(rows), len(set(layout.clusters.tolist())), seed)


def renew_map(conn: Connection, collection: str, registered: RegisteredSpace) -> tuple[float, Made | None] | None:
    """Make a map that is out of date again, with the same seed.

    Returns:
        The share of the vectors that had changed, and the new map or None where it was not due; None without a map.
    """
    known = map_of(conn, collection, registered.name)
    if known is None:
        return None
    changed = changed_share(conn, collection, registered.name)
    due = changed > OUTDATED and registered.rows >= LEAST_IMAGES
    return changed, make_map(conn, collection, registered, known.seed) if due else None
