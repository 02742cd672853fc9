"""The sample gallery of an installation: `make demo` and `pinakes up` ingest the same pictures from the same root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from gallery import PICTURES, SEED, Gallery, painted_before, write_gallery
from pinakes.errors import UsageError
from pinakes.settings import Settings
from pinakes.store.bulk_reads import stored_images
from pinakes.store.collections import collection_names, require_collection
from pinakes.store.database import open_database

COLLECTION: Final = "sample"
"""What the gallery is ingested into."""

_EARLIER: Final = Path("demo") / "gallery"
"""Where `make demo` painted the gallery before it was shared with `pinakes up`."""


def sample_gallery(settings: Settings, collection: str = COLLECTION) -> Gallery:
    """The gallery that a collection is ingested from; it is painted, under a progress bar, where it is missing.

    A collection has one source root. One that already holds a sample gallery keeps it where it is, with as many pictures
    as it has; a new one takes the gallery in Pinakes' own folder.

    Args:
        settings: where things are.
        collection: the collection to ingest into; it need not exist.

    Raises:
        UsageError: the collection holds other pictures, or the gallery cannot be written.
        DatabaseError: the database does not answer.
    """
    home = settings.home / "sample"
    root = _root(settings, collection)
    directory = home if root is None else _directory(root, (home, _EARLIER))
    if directory is None:
        raise UsageError(
            f"the collection {collection!r} holds the pictures of {root}, where there is no sample gallery: set"
            " PINAKES_SOURCE (and PINAKES_METADATA) to the pictures that pinakes up is to ingest, or use another"
            " PINAKES_HOME or database for the sample gallery. A sample gallery that was deleted is painted again by"
            " pinakes sample DIRECTORY, with the folder above Images as DIRECTORY."
        )
    count, seed = painted_before(directory) or (PICTURES, SEED)
    return write_gallery(directory, count=count, seed=seed)


def _root(settings: Settings, collection: str) -> str | None:
    """The source root of a collection; None if it does not exist or holds nothing, when any root will do."""
    with open_database(settings) as database, database.connection() as (conn, _):
        if collection not in collection_names(conn) or not stored_images(conn, collection).num_rows:
            return None
        return require_collection(conn, collection)


def _directory(root: str, usual: tuple[Path, ...]) -> Path | None:
    """The folder of the gallery whose pictures a collection holds; None if the root belongs to no gallery of ours.

    A gallery is known by its marker. In a usual place it may be missing: it is painted there again, to the same bytes.
    """
    if not root.startswith("file://"):
        return None
    # By bytes: a folder's name need not be UTF-8.
    pictures = Path(os.fsdecode(unquote_to_bytes(root.removeprefix("file://"))))
    for directory in usual:
        if (directory / "Images").resolve() == pictures:
            return directory
    has_marker = pictures.name == "Images" and painted_before(pictures.parent) is not None
    return pictures.parent if has_marker else None
