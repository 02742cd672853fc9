"""Checkpoints in Google Cloud Storage: a part is one object, there as a whole or not at all.

google-cloud-storage is used, and not pyarrow's own file system: that publishes half an object when an exception ends its
stream, and it would look for credentials in another way than the sources do.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import tempfile
from collections.abc import Callable
from typing import IO, Any
from urllib.parse import unquote

import pyarrow as pa

from pinakes.checkpoints.folder import SET_ASIDE, explain
from pinakes.errors import CheckpointError, UsageError
from pinakes.gcs.client import READ_WRITE, TIMEOUT, BucketClient, Wording, retry
from pinakes.gcs.uri import GsObject, split_gs_address

FIELDS = "items(name,size),nextPageToken"
"""What a listing asks for: about 100 bytes a part."""

FOLDER_FIELDS = "items(name),prefixes,nextPageToken"

READERS = 16
"""Parts read or deleted at once: each takes a round trip of some 50 ms, most of it waiting."""

WHOLE_BYTES = 4 * 2**20
"""Up to so many bytes an object is downloaded in one request; of a larger one only what is asked for."""

PIECE_BYTES = 2**20
"""Read at least, of a larger one: without its vectors, a merged part of 64 MB then takes six requests, and 6 MB."""

SPOOL_BYTES = 16 * 2**20
"""A part that is longer than this is put together in a temporary file instead of memory."""

MAX_NAMESAKES = 100
"""How many foreign files of one name are kept."""

_TYPES = {".parquet": "application/vnd.apache.parquet", ".csv": "text/csv", ".json": "application/json"}

_LOGIN = "gcloud auth application-default login"
_WORDING = Wording(
    CheckpointError,
    no_login=f"run {_LOGIN}.",
    denied=f"log in with {_LOGIN} as somebody who may read, write and delete there (the role roles/storage.objectUser),"
    " or set PINAKES_CHECKPOINT to another place.",
    no_payer="keep checkpoints in a bucket whose owner pays.",
)


class GcsStorage:
    """The files of one checkpoint below one prefix of a bucket. Thread-safe; the first request opens the client.

    Every object is uploaded on the condition that there is none of its name (`ifGenerationMatch=0`), so that an upload
    can safely be repeated.

    Args:
        root: `gs://bucket` or `gs://bucket/folder`; `%XX` stands for a byte.
        below: the checkpoint's own folder in it.

    Raises:
        UsageError: the root names no bucket.
    """

    readers = READERS

    def __init__(self, root: str, below: str) -> None:
        try:
            name, path = split_gs_address(root)
        except ValueError as exc:
            raise UsageError(f"checkpoints cannot be kept there: {exc}") from exc
        folder = unquote(path).rstrip("/")
        self._prefix = f"{folder}/{below}/" if folder else f"{below}/"
        self._client = BucketClient(name, _WORDING, scope=READ_WRITE)
        self._sizes: dict[str, int] = {}
        self.location = GsObject(name, self._prefix.rstrip("/")).uri

    def names(self) -> set[str]:
        """See `Storage.names`; one request for 1,000 objects."""
        sizes, _ = self._listed(FIELDS)
        # A name without anything in it is the placeholder of the folder itself, which Google's console makes.
        self._sizes = {name: size for name, size in sizes.items() if name and not name.startswith(".")}
        return set(self._sizes)

    def folders(self) -> set[str]:
        """See `FolderStorage.folders`: what stands between this prefix and the next slash."""
        _, found = self._listed(FOLDER_FIELDS)
        return {name for name in found if name and not name.startswith(".")}

    def _listed(self, fields: str) -> tuple[dict[str, int], set[str]]:
        """The objects with their sizes, where `fields` asks for them, and the folders."""
        bucket = self._client.bucket()
        with self._client.errors(f"the checkpoint {self.location} cannot be listed"):
            blobs = bucket.client.list_blobs(
                bucket, prefix=self._prefix, delimiter="/", fields=fields, timeout=TIMEOUT, retry=retry()
            )
            sizes = {blob.name.removeprefix(self._prefix): int(blob.size or 0) for blob in blobs}
            # The prefixes are known only when every page has been read.
            return sizes, {name.removeprefix(self._prefix).rstrip("/") for name in blobs.prefixes}

    def open(self, name: str) -> pa.NativeFile:
        """See `Storage.open`."""
        size = self._sizes.get(name)
        if size is None:
            size = self._size(name)
        if size <= WHOLE_BYTES:
            return pa.BufferReader(self.download(name))
        return pa.PythonFile(io.BufferedReader(_Pieces(self, name, size), PIECE_BYTES), mode="r")

    def download(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """An object's bytes from `start` to before `end`; the whole one is compared with its checksum.

        Raises:
            FileNotFoundError: there is no such object.
            CheckpointError: it cannot be read.
        """
        from google.api_core.exceptions import NotFound

        whole = start is None
        with self._client.errors(f"{name} in {self.location} cannot be read"):
            try:
                return bytes(
                    self._blob(name).download_as_bytes(
                        start=start,
                        end=None if end is None else end - 1,
                        checksum="auto" if whole else None,  # the service knows only that of the whole
                        timeout=TIMEOUT,
                        retry=retry(),
                    )
                )
            except NotFound as exc:
                raise FileNotFoundError(f"there is no {name} in {self.location}") from exc

    def write(self, name: str, fill: Callable[[IO[bytes]], object]) -> None:
        """See `Storage.write`. A store that refuses is asked again for up to `pinakes.gcs.client.DEADLINE` seconds."""
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            try:
                fill(spool)
                size = spool.tell()
            except OSError as exc:
                raise CheckpointError(
                    f"{name} cannot be put together in the folder {tempfile.gettempdir()}: {explain(exc)}"
                ) from exc
            with self._client.errors(f"{name} cannot be written to the checkpoint {self.location}"):
                # Always from its beginning: whether an attempt arrived is only known when its condition fails.
                retry()(self._upload)(name, spool, size)

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        from google.api_core.exceptions import NotFound

        with self._client.errors(f"{name} cannot be deleted from the checkpoint {self.location}"):
            try:
                self._blob(name).delete(timeout=TIMEOUT, retry=retry())
            except NotFound:
                return

    def set_aside(self, name: str) -> str | None:
        """See `Storage.set_aside`. A second object of one name gets a number behind it; nothing is overwritten."""
        try:
            with self._client.errors(f"{name} cannot be moved in {self.location}"):
                return self._move_aside(name)
        except CheckpointError:  # a reader without the right to write goes on without it
            return None

    def remove_leftovers(self) -> int:
        """See `Storage.remove_leftovers`: 0; of an upload that ended half-way nothing can be seen, and nothing stays."""
        return 0

    def _blob(self, name: str) -> Any:
        return self._client.bucket().blob(self._prefix + name)

    def _size(self, name: str) -> int:
        bucket = self._client.bucket()
        with self._client.errors(f"{name} in {self.location} cannot be read"):
            blob = bucket.get_blob(self._prefix + name, timeout=TIMEOUT, retry=retry())
        if blob is None:
            raise FileNotFoundError(f"there is no {name} in {self.location}")
        return int(blob.size)

    def _upload(self, name: str, file: IO[bytes], size: int) -> None:
        from google.api_core.exceptions import PreconditionFailed

        try:
            self._blob(name).upload_from_file(
                file,
                rewind=True,
                size=size,
                content_type=_TYPES.get(name[name.rfind(".") :], "application/octet-stream"),
                if_generation_match=0,
                timeout=TIMEOUT,
                retry=None,
            )
        except PreconditionFailed:
            # The name is of our own making: an earlier attempt arrived whose answer was lost.
            if not self._is_kept(name, file, size):
                raise

    def _is_kept(self, name: str, file: IO[bytes], size: int) -> bool:
        there = self._client.bucket().get_blob(self._prefix + name, timeout=TIMEOUT, retry=None)
        if there is None or there.size != size:
            return False
        file.seek(0)
        md5 = hashlib.md5(usedforsecurity=False)
        while piece := file.read(PIECE_BYTES):
            md5.update(piece)
        return bool(there.md5_hash == base64.b64encode(md5.digest()).decode())

    def _move_aside(self, name: str) -> str | None:
        from google.api_core.exceptions import NotFound, PreconditionFailed

        bucket = self._client.bucket()
        foreign = bucket.get_blob(self._prefix + name, timeout=TIMEOUT, retry=retry())
        for number in range(MAX_NAMESAKES):
            aside = f"{SET_ASIDE}/{name}.{number}" if number else f"{SET_ASIDE}/{name}"
            if foreign is None:  # another process has just moved it
                return f"{self.location}/{aside}"
            try:
                bucket.copy_blob(
                    foreign,
                    bucket,
                    self._prefix + aside,
                    if_generation_match=0,
                    if_source_generation_match=foreign.generation,
                    timeout=TIMEOUT,
                    retry=retry(),
                )
            except NotFound:
                return f"{self.location}/{aside}"
            except PreconditionFailed:
                there = bucket.get_blob(self._prefix + aside, timeout=TIMEOUT, retry=retry())
                if there is None or (there.crc32c, there.size) != (foreign.crc32c, foreign.size):
                    continue
            with contextlib.suppress(NotFound, PreconditionFailed):  # gone, or written again since it was looked at
                foreign.delete(if_generation_match=foreign.generation, timeout=TIMEOUT, retry=retry())
            return f"{self.location}/{aside}"
        return None


class _Pieces(io.RawIOBase):
    """An object that is downloaded as far as it is read."""

    def __init__(self, storage: GcsStorage, name: str, size: int) -> None:
        self._storage = storage
        self._name = name
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
        data = self._storage.download(self._name, self._at, end)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
