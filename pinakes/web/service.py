"""The library as the page and the API use it: a collection with a pool of connections and two folders of pictures."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pinakes.duplicates.decisions import Verdict, decide
from pinakes.duplicates.groups import groups_of
from pinakes.errors import UsageError
from pinakes.images.turns import Turns
from pinakes.maps.drawing import MAX_BYTES, Sheets
from pinakes.query.filters import Filter, columns_of
from pinakes.query.query import Query
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.answer import SearchResult, search
from pinakes.search.iiif import PAGE_URL, Shown
from pinakes.settings import Settings
from pinakes.sources.thumbnails import MAP_SHEETS, DiskCache, Thumbnail, Thumbnails
from pinakes.store.collections import collection_names, open_collection
from pinakes.store.connection import Connection
from pinakes.store.database import Database
from pinakes.store.duplicates import Member, read_groups, stored_decisions
from pinakes.store.facets import Facets
from pinakes.store.images import Row, stored_image
from pinakes.store.index_state import IndexState, index_state
from pinakes.store.map_table import has_map
from pinakes.store.pixels import Size, sizes_of
from pinakes.store.pool import Connections
from pinakes.store.restrictions import visible
from pinakes.store.space_registry import RegisteredSpace, spaces
from pinakes.types import Decision
from pinakes.web.facet_counts import FacetCounts
from pinakes.web.uploads import Uploads, check_length

CONNECTIONS = 8
"""The most connections: more than two cores can keep busy, and few of the 100 that PostgreSQL allows by default."""
WAIT_SECONDS = 5.0
"""How long a request waits for a connection."""

PRIVATE_COLUMNS = frozenset({"uri"})
"""Columns that visitors may not use in conditions: they would learn the server's folders letter by letter."""

SEARCHES_BY_PICTURE = CONNECTIONS // 2
"""The most searches by picture at once: each may fetch or decode a picture while it holds a connection. Half of the
connections is left for searches by words."""


def _check_columns(names: Iterable[str | None]) -> None:
    for name in names:
        if name in PRIVATE_COLUMNS:
            raise UsageError(f"the column {name!r} says where pictures are stored, and is not for visitors.")


class Service:
    """One collection as visitors see it; safe among threads.

    Every method that reads or writes the collection raises `DatabaseError` if the database does not answer, or if no
    connection becomes free in `WAIT_SECONDS`.

    Args:
        settings: credentials, and the home where pictures are cached.
        database: the database of the collection.
        collection: its name.
        others: whether visitors may also see the other collections of the database.
        read_only: whether visitors can change nothing.
        cache: the folder of thumbnails and uploads; None: `<home>/cache`.

    Raises:
        UsageError: there is no such collection.
        DatabaseError: the server cannot be reached.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        collection: str,
        *,
        others: bool = False,
        read_only: bool = False,
        cache: Path | None = None,
    ) -> None:
        self.collection = self._first = collection
        self.read_only = read_only
        with database.connection() as (conn, _):
            self._pgvector = open_collection(conn, collection)
        cache = cache or settings.home / "cache"
        self.searches_by_picture = Turns(SEARCHES_BY_PICTURE)
        self.sheets = Turns(1)
        self.web_url = settings.values.get(PAGE_URL, "")
        self._thumbnails = Thumbnails(cache / "thumbnails")
        self.map_sheets = Sheets(self._thumbnails, DiskCache(cache / MAP_SHEETS, MAX_BYTES))
        self.uploads = Uploads(cache / "uploads")
        self._others_lock = threading.Lock()
        self._others: dict[str, Service] | None = {collection: self} if others else None
        self._embedders = Embedders(settings, database.dsn)
        self._database, self._settings = database, settings
        self._connections = Connections(database.dsn, most=CONNECTIONS, wait_seconds=WAIT_SECONDS)
        self._facets = FacetCounts(self._connections, collection)

    def close(self) -> None:
        """Close connections and embedders; requests that are being answered may fail."""
        self._connections.close()
        self._embedders.close()

    def collections(self) -> list[str]:
        """The names of the collections that visitors may see."""
        if self._others is None:
            return [self.collection]
        with self._connections.connection() as conn:
            return collection_names(conn)

    def offered(self) -> list[tuple[str, str]]:
        """The name and the address of each collection, if there are several to choose from."""
        names = self.collections()
        return [(name, "/" if name == self._first else f"/in/{name}/") for name in names] if len(names) > 1 else []

    def of(self, collection: str) -> Service | None:
        """The same service for another collection; None if visitors may see no such collection."""
        # A manifest that pinakes search wrote names its collection, whichever one is at the root here.
        if collection == self.collection:
            return self
        if self._others is None or collection not in self.collections():
            return None
        if collection not in self._others:
            # Nothing else may have brought its schema up to date since an upgrade. It may wait, so it holds no lock.
            with self._database.connection() as (conn, _):
                open_collection(conn, collection)
        with self._others_lock:
            if collection not in self._others:
                # A copy shares the pool, the embedders and the caches, which are limited for the whole process.
                other = copy.copy(self)
                other.collection = collection
                other._facets = FacetCounts(self._connections, collection)  # noqa: SLF001 - another of this class
                self._others[collection] = other
            return self._others[collection]

    def check(self) -> None:
        """Raise `DatabaseError` if the database does not answer."""
        with self._connections.connection():
            pass

    def search(self, query: Query) -> SearchResult:
        """Answer a query.

        Raises:
            UsageError: it has no answer in this collection: no such space, image, or page.
            PictureError: a picture of it cannot be used.
            BusyError: too many searches by picture are waiting.
            EmbedderError: the embedder does not.
        """
        _check_columns([*columns_of(query.filters), query.group_by])
        # A crop of a stored image is read and decoded as well; a whole one is compared by its stored vector.
        by_picture = [part for part in query.parts if part.picture is not None or (part.like and part.crop is not None)]
        for part in by_picture:
            check_length(part.picture or b"")
        # The turn comes first: whoever waits for one must not hold a connection meanwhile.
        turn = self.searches_by_picture.turn(1) if by_picture else contextlib.nullcontext()
        with turn, self._connections.connection() as conn:
            return search(conn, self._pgvector, self.collection, query, self._embedders)

    def duplicates(self, after: tuple[str, bool], count: int) -> list[list[tuple[Member, Row]]]:
        """The next groups of copies that visitors may see."""
        if "\0" in after[0]:  # which PostgreSQL's text cannot hold
            return []
        with self._connections.connection() as conn:
            shown = visible(conn, self.collection)
            return list(groups_of(read_groups(conn, self.collection, shown, after=after, count=count)))

    def decide(self, verdict: Verdict, images: Sequence[str]) -> None:
        """Keep a decision about copies.

        Raises:
            UsageError: there is no such image, or it is restricted; or their number does not fit.
            CheckpointError: it cannot be kept.
        """
        # Checked here: the library's own check would accept, and so reveal, pictures that are restricted.
        for image_id in images:
            if self.image(image_id) is None:
                raise UsageError(f"there is no image {image_id!r} in {self.collection}.")
        root, seconds = self._settings.checkpoint, self._settings.lease_seconds
        decide(self._database, self.collection, root, verdict, images, lease_seconds=seconds)

    def decisions(self) -> list[Decision]:
        """The decisions that hold, the latest first; they may be about restricted pictures."""
        with self._connections.connection() as conn:
            decisions = [Decision(*row) for row in stored_decisions(conn, self.collection) if row[2] != "undecided"]
        return sorted(decisions, key=lambda decision: decision.decided_at, reverse=True)

    def facets(self, filters: Sequence[Filter]) -> Facets:
        """The values to choose from, with counts a few seconds old; a restriction takes effect at once.

        Raises:
            UsageError: a filter names a column that no image has, or that is not for visitors.
        """
        _check_columns(columns_of(filters))
        return self._facets.of(filters)

    def image(self, image_id: str) -> Row | None:
        """A stored image; None when there is none of that id, or when it is restricted."""
        if "\0" in image_id:  # which PostgreSQL's text cannot hold
            return None
        with self._connections.connection() as conn:
            return stored_image(conn, self.collection, image_id)

    def thumbnail_of(self, row: Row, size: int) -> Thumbnail:
        """The thumbnail of an image, or a placeholder.

        Raises:
            BusyError: too many pictures are waiting to be decoded.
        """
        return self._thumbnails.of(row.metadata["fingerprint"], row.uri, size)

    def kept_thumbnail(self, row: Row, size: int) -> Thumbnail | None:
        """The thumbnail of an image if it exists; nothing is fetched or decoded."""
        return self._thumbnails.kept(row.metadata["fingerprint"], size)

    def size(self, row: Row, most: int) -> tuple[int, int]:
        """Width and height of a picture whose longer side has at most `most` pixels; a square if they are not known.

        Nothing is fetched or decoded, because the server of the picture may be slow. The browser corrects a wrong shape.
        """
        size = self.pixels(row)
        if size is not None:
            share = min(1.0, most / max(size))
            return max(1, round(size[0] * share)), max(1, round(size[1] * share))
        kept = self.kept_thumbnail(row, most)
        return (most, most) if kept is None else (kept.width, kept.height)

    def pixels(self, image: Shown) -> tuple[int, int] | None:
        """Width and height of a stored picture; None if it was never measured."""
        with self._connections.connection() as conn:
            return sizes_of(conn, self.collection, [image.metadata["fingerprint"]]).get(image.metadata["fingerprint"])

    def framed(self, result: SearchResult | None) -> dict[str, Size]:
        """The known sizes, by image_id, of the hits that match with a part: a frame cannot be drawn without."""
        hits = [hit for hit in result.hits if hit.region is not None] if result else []
        if not hits:
            return {}
        with self._connections.connection() as conn:
            sizes = sizes_of(conn, self.collection, [hit.metadata["fingerprint"] for hit in hits])
        return {hit.image_id: size for hit in hits if (size := sizes.get(hit.metadata["fingerprint"])) is not None}

    def spaces(self) -> list[RegisteredSpace]:
        """The embedding spaces, the active one first."""
        with self._connections.connection() as conn:
            return spaces(conn, self.collection)

    def searched_in(self, space: str) -> tuple[list[RegisteredSpace], RegisteredSpace | None, IndexState | None, bool]:
        """The spaces; the one of that name, else the active one; its index; and whether there is a map.

        One connection for all of it, because every page asks for it.
        """
        with self._connections.connection() as conn:
            found = spaces(conn, self.collection)
            asked = next((each for each in found if each.name == space), found[0] if found else None)
            index = index_state(conn, self.collection, asked) if asked else None
            return found, asked, index, has_map(conn, self.collection)

    def connection(self) -> AbstractContextManager[Connection]:
        """A connection of the pool, for the length of a block."""
        return self._connections.connection()
