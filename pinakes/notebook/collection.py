"""A collection in Python and in notebooks: view it, search it, read its vectors.

`Collection("semart").search("a blue house")` is a grid of pictures; `docs/tour.ipynb` shows the rest.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from pinakes.errors import DatabaseError, UsageError
from pinakes.ids import check_collection
from pinakes.images.decoding import decode
from pinakes.notebook.arguments import CropLike, More, Picture, Where, conditions_of, query_of
from pinakes.notebook.frames import TEXT, frame_of, spaces_frame
from pinakes.notebook.html import collection_card
from pinakes.notebook.results import Answers, Results
from pinakes.query.filters import columns_of, parse_filters
from pinakes.query.query import DEFAULT_K, Metric, Mode, Query
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.answer import SearchResult, search
from pinakes.settings import Settings, load_settings
from pinakes.sources.reading import read_uri
from pinakes.store import bulk_reads
from pinakes.store.collections import open_collection, require_collection
from pinakes.store.column_check import check_columns
from pinakes.store.connection import Connection, Pgvector
from pinakes.store.counted_values import read_counted
from pinakes.store.database import Database, open_database
from pinakes.store.facets import facets
from pinakes.store.images import stored_image
from pinakes.store.space_registry import RegisteredSpace, resolve_space, spaces
from pinakes.types import Vector

if TYPE_CHECKING:
    import pandas as pd

IMAGE_COLUMNS = {"image_id": TEXT, "uri": TEXT, "first_year": "Int64", "last_year": "Int64"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Open:
    """Everything that stays open between calls."""

    database: Database
    conn: Connection
    pgvector: Pgvector
    embedders: Embedders


class Collection:
    """A collection that `pinakes ingest` has made.

    Nothing is opened before the first call that needs the database. The database (the embedded one is started if
    necessary) then stays open until `close()`, the end of a ``with`` block or the end of the object, and is opened again
    for a later call. Threads may share a collection: their calls wait for one another. Nothing it returns contains what
    `pinakes hide` restricts.

    Args:
        name: the name of the collection; default: `PINAKES_COLLECTION`, or `pictures`.
        settings: instead of the environment and `.env` in the working directory.

    Raises:
        UsageError: no collection can have this name; from the first call: there is no such collection.
        SettingsError: a setting cannot be used.
        DatabaseError: from any call: the database cannot be reached.
    """

    def __init__(self, name: str | None = None, *, settings: Settings | None = None) -> None:
        self._settings = settings or load_settings()
        self.name = check_collection(name or self._settings.collection)
        self._lock = threading.RLock()  # reentrant: to open a lost connection again, `_ask` calls `close`
        self._opened: _Open | None = None
        self._close: Callable[[], object] = lambda: None

    def search(
        self,
        text: str | None = None,
        *,
        image: Picture | None = None,
        like: str | None = None,
        vector: npt.ArrayLike | None = None,
        plus: More = (),
        minus: More = (),
        crop: CropLike | None = None,
        where: Where = (),
        group_by: str | None = None,
        max_distance: float | None = None,
        k: int = DEFAULT_K,
        after: str | None = None,
        mode: Mode = "auto",
        effort: int | None = None,
        space: str | None = None,
        hybrid: float | None = None,
        metric: Metric = "cosine",
        exclude_query: bool = False,
        collapse_duplicates: bool = False,
    ) -> Results:
        """Search by words, pictures, stored images and vectors, or by several of them together.

        With nothing to look for, it lists the images that pass the filters, by image_id.

        Args:
            text: words.
            image: a picture. The stored picture that is the very file comes first; a Pillow image is not a file.
            like: the image_id of a stored image, which is left out of the hits.
            vector: shape (dimension,), from the space that is searched.
            plus: what else to look for.
            minus: what to move away from.
            crop: the part of `image`, or of the picture of `like`, to search by: x, y, width, height as fractions.
            where: conditions on the metadata.
            group_by: a column; only the best hit for each of its values is returned.
            max_distance: the largest distance of a hit, in `metric`.
            k: hits on a page, 1 to 1,000.
            after: the cursor of the previous page; `Results.next` does the same.
            mode: `exact` compares every vector, `index` asks the index, `auto` chooses.
            effort: how far the index looks: ef_search of HNSW, probes of IVFFlat, 1 to 1,000; None: what was measured.
            space: instead of the active one.
            hybrid: the share of full text, from 0 (only vectors) to 1 (only words).
            metric: how distances are shown: `cosine`, `l2`, `ip`.
            exclude_query: leave out the very file of `image`.
            collapse_duplicates: of copies that `pinakes duplicates` has found, show the preferred one, else the nearest.

        Raises:
            UsageError: the query cannot be carried out; the message says why.
            PictureError: a picture to search by cannot be decoded.
            SourceError: a picture to search by cannot be read.
            EmbedderError: the embedder of the space cannot be used.
        """
        query = query_of(
            text,
            image=image,
            vector=vector,
            plus=plus,
            minus=minus,
            crop=crop,
            where=where,
            like=like,
            group_by=group_by,
            max_distance=max_distance,
            k=k,
            after=after,
            mode=mode,
            effort=effort,
            space=space,
            hybrid=hybrid,
            metric=metric,
            exclude_query=exclude_query,
            collapse_duplicates=collapse_duplicates,
        )
        # A page holds methods of this object, and so keeps it open while `Results.next` may be called.
        return Results(Answers(self.answer, self.uri), query, self.answer(query))

    def answer(self, query: Query) -> SearchResult:
        """The plain answer to a query.

        Raises:
            PinakesError: as `search`.
        """
        return self._ask(lambda o: search(o.conn, o.pgvector, self.name, query, o.embedders))

    def images(self, where: Where = ()) -> pd.DataFrame:
        """The metadata of the images that pass the conditions, by image_id.

        Columns: image_id, uri, first_year and last_year (Int64: what DATE or TIMEFRAME means), the ten metadata columns,
        fingerprint, then extra columns; all but the years have the dtype `string`. Unknown values are pandas.NA.

        Raises:
            UsageError: a condition cannot be read, or names a column that no image has.
        """
        filters = parse_filters(conditions_of(where))

        def read(o: _Open) -> list[bulk_reads.Dated]:
            check_columns(o.conn, self.name, columns_of(filters))
            return list(bulk_reads.read_images(o.conn, self.name, filters))

        dated = self._ask(read)
        return frame_of(
            IMAGE_COLUMNS,
            (
                {
                    **item.row.metadata,
                    "image_id": item.row.image_id,
                    "uri": item.row.uri,
                    "first_year": item.first_year,
                    "last_year": item.last_year,
                }
                for item in dated
            ),
        )

    @property
    def spaces(self) -> pd.DataFrame:
        """The embedding spaces, the active one first.

        Columns: space (its name), provider, model and index (`string`; pandas.NA while every search is exact), active
        (bool), dimension and rows (int64; rows are images with a current vector), coverage (float64: their share of the
        images, 0 to 1), created_at (datetime64[s, UTC]).
        """
        images, spaces = self._ask(lambda o: (bulk_reads.count_images(o.conn, self.name), self._counted_spaces(o)))
        return spaces_frame(spaces, images)

    def vector(self, image_id: str, space: str | None = None) -> Vector:
        """The vector of an image: shape (dimension,), float32, unit length.

        Raises:
            UsageError: there is no such image, or it has no vector in this space.
        """
        self._require_uri(image_id)  # a mistyped id gets a message of its own
        found, vectors = self.vectors(space, [image_id])
        if not found:
            raise UsageError(
                f"the image {image_id!r} has no vector in the space {space or 'that is active'}: it failed, or was not"
                " embedded yet; see pinakes status."
            )
        first: Vector = vectors[0]
        return first

    def vectors(
        self, space: str | None = None, ids: Iterable[str] | None = None
    ) -> tuple[list[str], npt.NDArray[np.float32]]:
        """The vectors of a space, the active one by default.

        Args:
            space: its name.
            ids: only of these images, in this order; those without a current vector are left out. Default: of all, by
                image_id.

        Returns:
            The image_ids, and an array of shape (image_ids, dimension), float32. Its rows have unit length (stored
            as `halfvec`, to about 1e-4), so the cosine similarities of all with all are ``v @ v.T``.
        """
        if isinstance(ids, str):  # which is also an iterable, of letters
            raise UsageError("ids is a list of image_ids; one image's vector is given by .vector(image_id).")
        wanted = None if ids is None else [str(image_id) for image_id in ids]

        def read(o: _Open) -> tuple[list[str], npt.NDArray[np.float32]]:
            return bulk_reads.read_vectors(o.conn, self.name, resolve_space(o.conn, self.name, space), wanted)

        return self._ask(read)

    def picture(self, image_id: str) -> Image.Image:
        """The picture of an image as it is now: upright, sRGB, at its full size.

        Raises:
            UsageError: there is no such image.
            SourceError: its file is gone or unreadable.
            PictureError: it cannot be decoded.
        """
        return decode(read_uri(self._require_uri(image_id)))

    def uri(self, image_id: str) -> str | None:
        """The address of an image's picture; None if there is no such image."""
        row = self._ask(lambda o: stored_image(o.conn, self.name, image_id))
        return None if row is None else row.uri

    @property
    def source(self) -> str:
        """The source that `pinakes ingest` lists: `file:///…/`, `gs://bucket/folder/`."""
        return self._ask(lambda o: require_collection(o.conn, self.name))

    def close(self) -> None:
        """Close the database; the embedded one stops with its last user."""
        with self._lock:
            self._opened = None
            self._close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._ask(lambda o: bulk_reads.count_images(o.conn, self.name))

    def __bool__(self) -> bool:
        return True  # otherwise `if collection:` would call __len__, which asks the database

    def __repr__(self) -> str:
        return f"Collection({self.name!r})"

    def _repr_html_(self) -> str:
        def read(o: _Open) -> str:
            found = facets(o.conn, self.name, top=6, kept=read_counted(o.conn, self.name))
            return collection_card(self.name, require_collection(o.conn, self.name), found, self._counted_spaces(o))

        return self._ask(read)

    def _counted_spaces(self, o: _Open) -> list[tuple[RegisteredSpace, int]]:
        """The spaces, each with how many current vectors it has."""
        return [
            (registered, bulk_reads.count_vectors(o.conn, self.name, registered.name))
            for registered in spaces(o.conn, self.name)
        ]

    def _require_uri(self, image_id: str) -> str:
        uri = self.uri(image_id)
        if uri is None:
            raise UsageError(f"the collection {self.name!r} has no image {image_id!r}; .images() lists them.")
        return uri

    def _ask(self, question: Callable[[_Open], T]) -> T:
        """Answer a question, and a second time over a new connection if the first one turns out to be lost."""
        with self._lock:
            kept = self._opened
            opened = self._open() if kept is None or kept.conn.closed else kept
            # A notebook stays open for days, in which servers restart. Questions only read, so repeating one is safe.
            try:
                return question(opened)
            except DatabaseError:
                if not opened.conn.closed:
                    raise
                return question(self._open())

    def _open(self) -> _Open:
        self.close()
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(open_database(self._settings))
            conn, _ = stack.enter_context(database.connection())
            pgvector = open_collection(conn, self.name)
            embedders = Embedders(self._settings, database.dsn)
            stack.callback(embedders.close)
            # At the end of the object or of the interpreter, whichever comes first; then `__del__` would be too late.
            self._close = weakref.finalize(self, stack.pop_all().close)
        self._opened = _Open(database, conn, pgvector, embedders)
        return self._opened
