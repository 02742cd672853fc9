"""The sizes of the pictures that a batch reads, entered into the database for the page."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pinakes.errors import DatabaseError, PictureError
from pinakes.images.sizes import upright_size
from pinakes.store.connection import connect
from pinakes.store.pixels import Size, keep_sizes
from pinakes.types import Image

logger = logging.getLogger(__name__)

Read = Callable[[Image], bytes]


@contextmanager
def measuring(read: Read, dsn: str, collection: str) -> Iterator[Read]:
    """`read` for the length of the block, after which the sizes of what it has read are entered into the database.

    Only the page's layout depends on them: a failure to enter them does not stop a run that pays for answers.
    """
    sizes: dict[str, Size] = {}

    def measured(image: Image) -> bytes:
        data = read(image)
        with contextlib.suppress(PictureError):  # the embedder reports it, as the failure of this picture
            sizes[image.fingerprint] = upright_size(data)
        return data

    yield measured
    if sizes:
        try:
            # A connection of its own and only for a moment: batches run in several threads, and for minutes.
            with connect(dsn) as conn:
                keep_sizes(conn, collection, sizes)
        except DatabaseError as exc:
            logger.warning("the sizes of %d pictures were not entered: %s", len(sizes), exc)
