"""A bucket of Google Cloud Storage."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Any

from pinakes.buckets.base import TIMEOUT, OverwrittenError, Purpose, Stored, once, wordings
from pinakes.buckets.gcs_client import READ_ONLY, READ_WRITE, google_errors, open_client, retry
from pinakes.errors import SourceError, UsageError

FIELDS = "items(name,md5Hash,crc32c,size,contentType,generation),nextPageToken"
"""What a listing asks for: about 300 bytes an object instead of 1 kB."""

FOLDER_FIELDS = "items(name,size),prefixes,nextPageToken"
"""What a listing of one folder asks for: about 100 bytes an object."""

_WORDING = wordings(
    "run gcloud auth application-default login",
    reader="the role roles/storage.objectViewer",
    writer="the role roles/storage.objectUser",
)


class GcsBucket:
    """See `pinakes.buckets.base.Bucket`; the arguments are those of `pinakes.buckets.opening.open_bucket`.

    An upload is made on the condition that there is no object of its name (`ifGenerationMatch=0`), so that it can safely be
    repeated. Fingerprints are `md5:<hex>`, or `crc32c:<hex>:<size>` for a composite object, which has no MD5.

    Raises:
        UsageError: `anonymous` and `user_project` are both given.
    """

    lists_types = True

    def __init__(
        self,
        root: str,
        purpose: Purpose = Purpose.READ,
        *,
        anonymous: bool | None = None,
        user_project: str | None = None,
    ) -> None:
        if anonymous and user_project:
            raise UsageError("a requester-pays bucket is read with credentials; leave out --anonymous.")
        self.root = root
        self._wording = _WORDING[purpose]
        self._user_project = user_project
        self._rights = READ_ONLY if purpose is Purpose.READ else READ_WRITE
        self._anonymous = anonymous
        self._bucket = once(self._open)

    def errors(self, what: str) -> AbstractContextManager[None]:
        """See `Bucket.errors`."""
        return google_errors(self._wording, what)

    def _open(self) -> Any:
        """The `google.cloud.storage.Bucket`."""
        client = open_client(self._wording, self._rights, anonymous=self._anonymous, user_project=self._user_project)
        return client.bucket(self.root.removeprefix("gs://"), user_project=self._user_project)

    def list(self, prefix: str, glob: str | None) -> Iterator[Stored]:
        """See `Bucket.list`; the bucket itself applies the glob."""
        bucket = self._bucket()
        blobs = bucket.client.list_blobs(
            bucket, prefix=prefix or None, match_glob=glob, fields=FIELDS, timeout=TIMEOUT, retry=retry()
        )
        for blob in blobs:
            yield _stored(blob)

    def folder(self, prefix: str) -> tuple[dict[str, int], set[str]]:
        """See `Bucket.folder`."""
        bucket = self._bucket()
        blobs = bucket.client.list_blobs(
            bucket, prefix=prefix, delimiter="/", fields=FOLDER_FIELDS, timeout=TIMEOUT, retry=retry()
        )
        sizes = {blob.name: int(blob.size or 0) for blob in blobs}
        return sizes, set(blobs.prefixes)  # which are known only when every page has been read

    def find(self, name: str) -> Stored | None:
        """See `Bucket.find`."""
        blob = self._bucket().get_blob(name, timeout=TIMEOUT, retry=retry())
        return None if blob is None else _stored(blob)

    def read(self, name: str, *, version: str = "", start: int | None = None, end: int | None = None) -> bytes:
        """See `Bucket.read`; the whole of an object is compared with its checksum."""
        from google.api_core.exceptions import RequestRangeNotSatisfiable

        blob = self._bucket().blob(name)
        try:
            with _conditions(name):
                data = blob.download_as_bytes(
                    if_generation_match=int(version) if version else None,
                    start=start,
                    end=None if end is None else end - 1,
                    checksum="auto" if start is None else None,  # the service knows only that of the whole
                    timeout=TIMEOUT,
                    retry=retry(),
                )
        except RequestRangeNotSatisfiable:
            if start:
                raise
            return b""  # only an empty object has no byte of a range from its beginning
        return bytes(data)

    def create(self, name: str, file: IO[bytes], size: int, content_type: str) -> None:
        """See `Bucket.create`; repeated for up to `pinakes.buckets.gcs_client.DEADLINE` seconds."""
        from google.api_core.exceptions import PreconditionFailed

        try:
            # Repeated here, as a whole and from the file's beginning, and not by the library (retry=None): only the failed
            # condition of a second attempt shows that the first one arrived although its answer was lost.
            retry()(self._bucket().blob(name).upload_from_file)(
                file,
                rewind=True,
                size=size,
                content_type=content_type,
                if_generation_match=0,
                timeout=TIMEOUT,
                retry=None,
            )
        except PreconditionFailed as exc:
            raise FileExistsError(name) from exc

    def delete(self, name: str, version: str = "") -> None:
        """See `Bucket.delete`."""
        generation = int(version) if version else None
        with _conditions(name):
            self._bucket().blob(name).delete(if_generation_match=generation, timeout=TIMEOUT, retry=retry())


@contextmanager
def _conditions(name: str) -> Iterator[None]:
    """The answers that the protocol has exceptions for."""
    from google.api_core.exceptions import NotFound, PreconditionFailed

    try:
        yield
    except PreconditionFailed as exc:
        raise OverwrittenError(name) from exc
    except NotFound as exc:
        raise FileNotFoundError(name) from exc


def _stored(blob: Any) -> Stored:
    fingerprint = None
    # A checksum of 32 bits with a size shows a change, but not that two objects are equal; so it is no MD5's equal.
    if blob.md5_hash:
        fingerprint = f"md5:{digits(blob.name, blob.md5_hash)}"
    elif blob.crc32c and blob.size is not None:
        fingerprint = f"crc32c:{digits(blob.name, blob.crc32c)}:{blob.size}"
    return Stored(blob.name, int(blob.size or 0), blob.content_type, fingerprint, str(blob.generation or ""))


def digits(name: str, checksum: str) -> str:
    """The checksum of an object, which Google writes in base64, in hexadecimal digits.

    Raises:
        SourceError: it is not base64.
    """
    try:
        return base64.b64decode(checksum, validate=True).hex()
    except binascii.Error as exc:
        raise SourceError(f"the listing gives {name!r} a checksum that is not base64 ({exc}).") from exc
