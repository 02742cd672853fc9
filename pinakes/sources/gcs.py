"""A bucket of Google Cloud Storage as the sources use it: for listing and for downloads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pinakes.errors import SourceError, UsageError
from pinakes.gcs.client import TIMEOUT, BucketClient, Wording, retry
from pinakes.gcs.uri import GsObject

FIELDS = "items(name,md5Hash,crc32c,size,contentType,generation),nextPageToken"
"""What a listing asks for: about 300 bytes an object instead of 1 kB."""

_LOGIN = "gcloud auth application-default login"
_WORDING = Wording(
    SourceError,
    no_login=f"run {_LOGIN}, or read a public bucket with --anonymous.",
    denied=f"log in with {_LOGIN} as somebody who may (the role roles/storage.objectViewer), or use --anonymous if the"
    " bucket is public.",
    no_payer="name the project that pays with --user-project.",
)


class GcsBucket:
    """One bucket, for listing and for downloads; thread-safe. The client is made by the first request.

    Args:
        name: the bucket.
        anonymous: True: without credentials; False: with the application default credentials; None: with them if
            there are any.
        user_project: the project that pays where the requester has to.
        endpoint: another address of the service.
    """

    def __init__(
        self, name: str, *, anonymous: bool | None, user_project: str | None, endpoint: str | None = None
    ) -> None:
        if anonymous and user_project:
            raise UsageError("a requester-pays bucket is read with credentials; leave out --anonymous.")
        self._name = name
        self._client = BucketClient(name, _WORDING, anonymous=anonymous, user_project=user_project, endpoint=endpoint)

    def list(self, prefix: str, glob: str | None) -> Iterator[Any]:
        """Objects (`google.cloud.storage.Blob`, with `FIELDS` only) below `prefix`, by name; 1,000 a request.

        Raises:
            SourceError: the bucket cannot be listed.
        """
        bucket = self._client.bucket()
        with self._client.errors(f"the bucket {self._name!r} cannot be listed"):
            yield from bucket.client.list_blobs(
                bucket, prefix=prefix or None, match_glob=glob, fields=FIELDS, timeout=TIMEOUT, retry=retry()
            )

    def holds(self, name: str) -> bool:
        """Whether there is an object of exactly that name."""
        bucket = self._client.bucket()
        with self._client.errors(f"the bucket {self._name!r} cannot be asked for {name!r}"):
            return bool(bucket.blob(name).exists(timeout=TIMEOUT, retry=retry()))

    def download(self, found: GsObject, *, max_bytes: int | None = None) -> bytes | None:
        """The bytes of an object, of the generation that is pinned; None if it has another one by now.

        With `max_bytes`, no more than so many and one are downloaded.

        Raises:
            SourceError: it is gone or cannot be read.
        """
        from google.api_core.exceptions import NotFound, PreconditionFailed

        blob = self._client.bucket().blob(found.name)
        with self._client.errors(f"{found.plain!r} cannot be read"):
            try:
                return bytes(
                    blob.download_as_bytes(
                        if_generation_match=found.generation,
                        end=max_bytes,
                        timeout=TIMEOUT,
                        retry=retry(),
                    )
                )
            except PreconditionFailed:
                return None
            except NotFound as exc:
                raise SourceError(f"{found.plain!r} cannot be read any more: there is no such object.") from exc
