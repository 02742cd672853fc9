"""Checkpoints in a bucket: a part is one object, there as a whole or not at all.

The services' own clients are used, and not pyarrow's file systems: those publish half an object when an exception ends
their stream, overwrite what is there, and would look for credentials in another way than the sources do.
"""

from __future__ import annotations

import contextlib
import functools
import io
import shutil
import tempfile
from collections.abc import Callable
from typing import IO, Any
from urllib.parse import unquote

import pyarrow as pa

from pinakes.buckets.addresses import ObjectAddress, split_address
from pinakes.buckets.base import OverwrittenError, Purpose
from pinakes.buckets.opening import open_bucket
from pinakes.checkpoints.folder import SET_ASIDE, explain
from pinakes.errors import CheckpointError, UsageError

READERS = 16
"""Parts read or deleted at once: each takes a round trip of some 50 ms, most of it waiting."""

WHOLE_BYTES = 4 * 2**20
"""An object of up to this size is downloaded in one request; of a larger one only the ranges that are read."""

PIECE_BYTES = 2**20
"""Read at least, of a larger one: without its vectors, a merged part of 64 MB then takes six requests, and 6 MB."""

SPOOL_BYTES = 16 * 2**20
"""A part that is longer than this is assembled in a temporary file instead of memory."""

MAX_NAMESAKES = 100
"""How many foreign files of one name are kept."""

_TYPES = {".parquet": "application/vnd.apache.parquet", ".csv": "text/csv", ".json": "application/json"}


class NamesakeError(CheckpointError):
    """There is another object of that name."""


class BucketStorage:
    """The files of one checkpoint below one prefix of a bucket. Thread-safe; the first request opens the client.

    Every object is uploaded on the condition that there is none of its name, so that an upload can safely be repeated.

    Args:
        root: the address of a bucket or of a folder in one; `%XX` stands for a byte.
        below: the checkpoint's own folder in it.

    Raises:
        UsageError: the root names no bucket.
    """

    readers = READERS

    def __init__(self, root: str, below: str) -> None:
        try:
            bucket, path = split_address(root)
        except ValueError as exc:
            raise UsageError(f"checkpoints cannot be kept there: {exc}") from exc
        folder = unquote(path).rstrip("/")
        self._prefix = f"{folder}/{below}/" if folder else f"{below}/"
        self._bucket = open_bucket(bucket, Purpose.KEEP)
        self._sizes: dict[str, int] = {}
        self.location = ObjectAddress(bucket, self._prefix.rstrip("/")).uri

    def names(self) -> set[str]:
        """See `Storage.names`; one request for 1,000 objects."""
        sizes, _ = self._listed()
        # An empty name is the placeholder of the folder itself, which the services' consoles create.
        # The listing has the sizes anyway; without them each part would take one request more to open.
        self._sizes = {name: size for name, size in sizes.items() if name and not name.startswith(".")}
        return set(self._sizes)

    def folders(self) -> set[str]:
        """See `FolderStorage.folders`: what stands between this prefix and the next slash."""
        _, found = self._listed()
        return {name for name in found if name and not name.startswith(".")}

    def _listed(self) -> tuple[dict[str, int], set[str]]:
        """The objects with their sizes, and the folders."""
        with self._bucket.errors(f"the checkpoint {self.location} cannot be listed"):
            sizes, folders = self._bucket.folder(self._prefix)
        start = len(self._prefix)
        return {name[start:]: size for name, size in sizes.items()}, {name[start:].rstrip("/") for name in folders}

    def open(self, name: str) -> pa.NativeFile:
        """See `Storage.open`."""
        size = self._sizes.get(name)
        if size is None:
            with self._bucket.errors(f"{name} in {self.location} cannot be read"):
                found = self._bucket.find(self._prefix + name)
            if found is None:
                raise FileNotFoundError(f"there is no {name} in {self.location}")
            size = found.size
        # Parts are never changed, so that pieces read at different times fit together.
        if size <= WHOLE_BYTES:
            return pa.BufferReader(self._read(name))
        return pa.PythonFile(_pieces(functools.partial(self._read, name), size), mode="r")

    def _read(self, name: str, start: int | None = None, end: int | None = None, version: str = "") -> bytes:
        with self._bucket.errors(f"{name} in {self.location} cannot be read"):
            return self._bucket.read(self._prefix + name, version=version, start=start, end=end)

    def write(self, name: str, fill: Callable[[IO[bytes]], object]) -> None:
        """See `Storage.write`. A service that refuses is asked again for about two minutes."""
        what = f"{name} cannot be written to the checkpoint {self.location}"
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            try:
                fill(spool)
                size = spool.tell()
            except OSError as exc:
                raise CheckpointError(
                    f"{name} cannot be put together in the folder {tempfile.gettempdir()}: {explain(exc)}"
                ) from exc
            try:
                with self._bucket.errors(what):
                    kind = _TYPES.get(name[name.rfind(".") :], "application/octet-stream")
                    self._bucket.create(self._prefix + name, spool, size, kind)
            except FileExistsError as exc:
                # The name is of our own making: an earlier attempt may have arrived whose answer was lost.
                if not self._is_kept(name, spool, size):
                    raise NamesakeError(f"{what}: there is another object of that name; move it away.") from exc

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        with (
            self._bucket.errors(f"{name} cannot be deleted from the checkpoint {self.location}"),
            contextlib.suppress(FileNotFoundError),
        ):
            self._bucket.delete(self._prefix + name)

    def set_aside(self, name: str) -> str | None:
        """See `Storage.set_aside`. A second object of one name gets a number behind it; nothing is overwritten."""
        try:
            return self._move_aside(name)
        except FileNotFoundError:  # another process has just moved it
            return f"{self.location}/{SET_ASIDE}/{name}"
        except (CheckpointError, OverwrittenError):  # a reader without the right to write goes on without it
            return None

    def remove_leftovers(self) -> None:
        """See `Storage.remove_leftovers`: of an upload that ended half-way nothing can be seen, and nothing stays."""

    def _is_kept(self, name: str, file: IO[bytes], size: int) -> bool:
        """Whether an object holds these bytes."""
        with self._bucket.errors(f"{name} in {self.location} cannot be read"):
            found = self._bucket.find(self._prefix + name)
        if found is None or found.size != size:
            return False
        # Byte by byte and not by a checksum: not every service keeps the same one.
        file.seek(0)
        kept = _pieces(functools.partial(self._read, name), size)
        while piece := file.read(PIECE_BYTES):
            if kept.read(len(piece)) != piece:
                return False
        return True

    def _move_aside(self, name: str) -> str | None:
        with self._bucket.errors(f"{name} in {self.location} cannot be read"):
            foreign = self._bucket.find(self._prefix + name)
        if foreign is None:
            raise FileNotFoundError(name)
        read = functools.partial(self._read, name, version=foreign.version)
        for number in range(MAX_NAMESAKES):
            aside = f"{SET_ASIDE}/{name}.{number}" if number else f"{SET_ASIDE}/{name}"
            try:
                self.write(aside, lambda sink: _copy(_pieces(read, foreign.size), sink))
            except NamesakeError:
                continue
            with (
                self._bucket.errors(f"{name} cannot be moved in {self.location}"),
                # It has gone, or been written again since it was read: the new one is not ours to delete.
                contextlib.suppress(FileNotFoundError, OverwrittenError),
            ):
                self._bucket.delete(self._prefix + name, foreign.version)
            return f"{self.location}/{aside}"
        return None


def _copy(source: IO[bytes], sink: IO[bytes]) -> None:
    try:
        shutil.copyfileobj(source, sink, PIECE_BYTES)
    except FileNotFoundError as exc:
        raise OverwrittenError from exc


def _pieces(read: Callable[[int, int], bytes], size: int) -> io.BufferedReader:
    """An object that is downloaded as far as it is read, by a function of the first position and the one after the last."""
    return io.BufferedReader(_Pieces(read, size), PIECE_BYTES)


class _Pieces(io.RawIOBase):
    """An object that is downloaded as far as it is read."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read = read
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        data = self._read(self._at, end)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
