"""Where below the root of the checkpoints things are kept: a checkpoint's storage, and the spaces of a collection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pinakes.buckets.addresses import FORMS, in_bucket
from pinakes.checkpoints import csvformat, parquet
from pinakes.checkpoints.base import PART_PREFIX, ForeignPartError
from pinakes.checkpoints.bucket import BucketStorage
from pinakes.checkpoints.csvformat import CsvFormat
from pinakes.checkpoints.folder import FolderStorage, explain
from pinakes.checkpoints.parquet import ParquetFormat
from pinakes.errors import CheckpointError, UsageError
from pinakes.ids import check_collection
from pinakes.spaces import Space


def open_storage(root: str, collection: str, folder: str = "") -> FolderStorage | BucketStorage:
    """The storage at `<root>/<collection>`, or at a folder below it; nothing is made until a write.

    Args:
        root: the path of a folder, or the address of a folder in a bucket.
        collection: the collection.
        folder: the name of a space.

    Raises:
        UsageError: the root is neither, or the collection cannot have that name.
    """
    check_collection(collection)
    if in_bucket(root):
        return BucketStorage(root, f"{collection}/{folder}".rstrip("/"))
    # Otherwise a mistyped bucket would become a local folder of that name, which no other machine sees.
    if "://" in root or root.lower().startswith(("gs:", "s3:", "az:")):
        raise UsageError(f"checkpoints cannot be kept in {root!r}; give the path of a folder, or {FORMS}.")
    if not root:
        raise UsageError(f"the checkpoint's root is empty; give the path of a folder, or {FORMS}.")
    return FolderStorage(Path(root).expanduser().absolute() / collection / folder)


@dataclass(frozen=True, slots=True)
class KeptSpace(Space):
    """A space of which only the checkpoint is known: its name and its dimension.

    Attributes:
        kept_as: the name of its folder.
    """

    kept_as: str = ""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.kept_as


def kept_spaces(root: str, collection: str) -> Iterator[Space]:
    """The spaces in which a collection has answers in the checkpoint, known to the database or not.

    A folder without a part that Pinakes wrote is left out: nothing in it would be read in any case.

    Raises:
        UsageError, CheckpointError: see `open_storage`; they cannot be listed.
    """
    for name in sorted(open_storage(root, collection).folders()):
        dimension = _dimension(open_storage(root, collection, name))
        if dimension is not None:
            yield KeptSpace("", "", "", dimension, "", kept_as=name)


def _dimension(storage: FolderStorage | BucketStorage) -> int | None:
    """Components of the vectors in a checkpoint; 1 where it holds only failures; None where it holds no part."""
    found = None
    for name in sorted(storage.names()):
        read = next((reader for suffix, reader in _DIMENSION_OF.items() if name.endswith(suffix)), None)
        if read is None or not name.startswith(PART_PREFIX):
            continue
        try:
            with storage.open(name) as source:
                dimension = read(source)
        except FileNotFoundError:  # merged with others just now
            continue
        except (ForeignPartError, UnicodeDecodeError, pa.ArrowException):
            continue
        except OSError as exc:
            if exc.errno is not None:
                raise CheckpointError(f"{name} in {storage.location} cannot be read: {explain(exc)}") from exc
            continue  # torn: whoever opens the checkpoint sets it aside
        if dimension is not None:
            return dimension
        found = 1
    return found


_DIMENSION_OF = {ParquetFormat.suffix: parquet.dimension_of, CsvFormat.suffix: csvformat.dimension_of}
