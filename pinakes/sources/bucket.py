"""Pictures in a bucket of Google Cloud Storage; listing them downloads nothing."""

from __future__ import annotations

import base64
import binascii
import sys
import unicodedata
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, Protocol
from urllib.parse import unquote

from pinakes import ids
from pinakes.errors import SourceError, UsageError
from pinakes.gcs.client import TIMEOUT, BucketClient, Wording, retry
from pinakes.gcs.uri import SCHEME, GsObject, parse_gs_uri, split_gs_address
from pinakes.images.formats import suffix, suffix_reason
from pinakes.sources.base import Listing, changed
from pinakes.sources.local import collision, spelled
from pinakes.types import Entry, ErrorClass, Failure, Image, Rejected, Skipped

DEFAULT_CONTENT_TYPE = "image/*"

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

_UNTYPED = frozenset({None, "", "application/octet-stream", "binary/octet-stream"})
"""The types of an upload whose program did not know better; the name then decides."""

_DRAWINGS = frozenset({"image/svg+xml", "image/x-icon", "image/vnd.microsoft.icon"})
"""Types of images that are never decoded."""

_MADE_BY_SYSTEMS = frozenset({"__MACOSX", "@eaDir"})


class GcsBucket(BucketClient):
    """One bucket, for listing and for downloads; the arguments are those of `BucketClient`."""

    def __init__(
        self,
        name: str,
        *,
        anonymous: bool | None = None,
        user_project: str | None = None,
        endpoint: str | None = None,
    ) -> None:
        if anonymous and user_project:
            raise UsageError("a requester-pays bucket is read with credentials; leave out --anonymous.")
        super().__init__(name, _WORDING, anonymous=anonymous, user_project=user_project, endpoint=endpoint)

    def list(self, prefix: str, glob: str | None) -> Iterator[Any]:
        """Objects (`google.cloud.storage.Blob`, with `FIELDS` only) below `prefix`, by name; 1,000 a request.

        Raises:
            SourceError: the bucket cannot be listed.
        """
        bucket = self.bucket()
        with self.errors(f"the bucket {self.name!r} cannot be listed"):
            yield from bucket.client.list_blobs(
                bucket, prefix=prefix or None, match_glob=glob, fields=FIELDS, timeout=TIMEOUT, retry=retry()
            )

    def holds(self, name: str) -> bool:
        """Whether there is an object of exactly that name."""
        blob = self.bucket().blob(name)
        with self.errors(f"the bucket {self.name!r} cannot be searched for {name!r}"):
            return bool(blob.exists(timeout=TIMEOUT, retry=retry()))

    def checksum(self, name: str) -> str | None:
        """The CRC32C of an object in base64; None if there is no such object."""
        with self.errors(f"the bucket {self.name!r} cannot be searched for {name!r}"):
            blob = self.bucket().get_blob(name, timeout=TIMEOUT, retry=retry())
        return None if blob is None else str(blob.crc32c)

    def download(self, found: GsObject, *, max_bytes: int | None = None) -> bytes | None:
        """The bytes of an object, of its pinned generation; None if it has been overwritten since.

        With `max_bytes`, at most one byte more than that is downloaded, which is enough to see that the object is larger.

        Raises:
            SourceError: it is gone or cannot be read.
        """
        from google.api_core.exceptions import NotFound, PreconditionFailed

        blob = self.bucket().blob(found.name)
        with self.errors(f"{found.plain!r} cannot be read"):
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
                raise SourceError(f"{found.plain!r} can no longer be read: there is no such object.") from exc


class Objects(Protocol):
    """Where the objects are listed and read: the members of `GcsBucket` that a source needs."""

    def list(self, prefix: str, glob: str | None) -> Iterator[Any]: ...  # noqa: D102
    def holds(self, name: str) -> bool: ...  # noqa: D102
    def download(self, found: GsObject) -> bytes | None: ...  # noqa: D102


class BucketSource(Listing):
    """Every picture below a prefix of a bucket, in the order of the objects' names.

    An image_id is the object's name below the root. Fingerprints come with the listing: `md5:<hex>`, or
    `crc32c:<hex>:<size>` for a composite object, which has no MD5. An image's uri pins the generation that was listed
    (see `pinakes.gcs.uri.GsObject`).

    Names that are the same text in two Unicode spellings would share an id: the one in NFC keeps it, and every other
    becomes a failure; without one in NFC they all do. Only names that are not in NFC are held in memory; they come last.

    Args:
        address: `gs://bucket`, `gs://bucket/folder` (a slash at the end changes nothing), or `gs://bucket/start*` for
            every object whose name begins with that; the root is then the folder above. `%XX` stands for a byte.
        glob: Cloud Storage's `matchGlob` over whole names (`**/0.jpg`); the bucket itself applies it.
        content_type: a pattern (`image/jpeg`, `image/*`) that an object's type must match; its name is ignored. None means
            `image/*`, or, for objects without a type, a picture by its name.
        limit: see `pinakes.sources.base.Listing`.
        anonymous: True for public buckets without credentials, False for credentials only; None tries the application
            default credentials and goes without where there are none.
        user_project: the project that pays for reading a bucket whose owner does not ("requester pays").
        endpoint: another address of the service; default: `STORAGE_EMULATOR_HOST`, or Google's.

    """

    _bucket: Objects

    def __init__(
        self,
        address: str,
        *,
        glob: str | None = None,
        content_type: str | None = None,
        limit: int | None = None,
        anonymous: bool | None = None,
        user_project: str | None = None,
        endpoint: str | None = None,
    ) -> None:
        try:
            self._name, prefix = split_gs_address(address)
        except ValueError as exc:
            raise UsageError(str(exc)) from exc
        if prefix.endswith("*"):
            self._prefix = unquote(prefix[:-1])
            self._folder = self._prefix[: self._prefix.rfind("/") + 1]
        else:
            self._prefix = self._folder = unquote(prefix).rstrip("/") + "/" if prefix.rstrip("/") else ""
        self._glob, self._content_type = glob, content_type
        self._bucket = GcsBucket(self._name, anonymous=anonymous, user_project=user_project, endpoint=endpoint)
        super().__init__(GsObject(self._name, self._folder).uri, limit)

    def read(self, image: Image) -> bytes:
        """See `pinakes.sources.base.Source.read`."""
        try:
            found = parse_gs_uri(image.uri)
        except ValueError as exc:
            raise self._foreign(image) from exc
        if not self._is_below(found):
            raise self._foreign(image)
        data = self._bucket.download(found)
        if data is None:
            raise changed(image)
        return data

    def _is_below(self, found: GsObject) -> bool:
        return found.bucket == self._name and found.name.startswith(self._folder)

    def _listed(self) -> Iterator[Entry]:
        """One request for each 1,000 objects."""
        held: dict[str, list[Any]] = {}
        taken: set[str] = set()
        for blob in self._bucket.list(self._prefix, self._glob):
            relative = blob.name[len(self._folder) :]
            reason = self._skip_reason(relative, blob)
            if reason:
                yield Skipped(ids.printable_name(relative) or self.root, reason)
                continue
            if not relative.isascii():
                composed = unicodedata.normalize("NFC", relative)
                if composed != relative:
                    held.setdefault(composed, []).append(blob)
                    continue
                if relative in held:
                    taken.add(relative)
            yield self._entry(relative, blob)
        for composed, blobs in held.items():
            yield from self._uncomposed(composed, blobs, is_taken=composed in taken)

    def _uncomposed(self, composed: str, blobs: list[Any], *, is_taken: bool) -> Iterator[Entry]:
        """Entries of objects whose names are not in NFC, and which would all have the id `composed`.

        An object of exactly that name has been listed if it sorts before them. A few compatibility characters (`Å` as
        U+212B) sort the other way round; for those the bucket is asked.
        """
        whole = self._folder + composed
        earlier = any(whole.encode() < blob.name.encode() for blob in blobs)
        is_taken = is_taken or (earlier and self._bucket.holds(whole))
        if len(blobs) == 1 and not is_taken:
            yield self._entry(composed, blobs[0])
            return
        names = [blob.name[len(self._folder) :].encode() for blob in blobs]
        others = [composed.encode()] if is_taken else []
        for blob, name in zip(blobs, names, strict=True):
            failure = collision(name, [other for other in [*names, *others] if other != name])
            yield Rejected(ids.ledger_id(spelled(name), name), self._uri(blob), failure)

    def _entry(self, relative: str, blob: Any) -> Image | Rejected:
        uri = self._uri(blob)
        try:
            image_id = ids.image_id(relative)
        except ids.BadNameError as exc:
            failure = Failure(ErrorClass.BAD_NAME, f"{exc}; rename the object")
            return Rejected(ids.ledger_id(ids.printable_name(relative), relative.encode()), uri, failure)
        fingerprint = _fingerprint(blob)
        if fingerprint is None:
            return Rejected(
                image_id, uri, Failure(ErrorClass.UNREADABLE, "the bucket gives no MD5 and no CRC32C of it")
            )
        kind = "" if blob.content_type in _UNTYPED else sys.intern(blob.content_type.lower())
        return Image(image_id, uri, fingerprint, int(blob.size or 0), kind)

    def _uri(self, blob: Any) -> str:
        return GsObject(self._name, blob.name, int(blob.generation) if blob.generation else None).uri

    def _skip_reason(self, relative: str, blob: Any) -> str | None:
        """Why an object is no picture, or None if it may be one."""
        if relative.endswith("/") or not relative or (relative.endswith("_$folder$") and not blob.size):
            return "the placeholder of a folder"
        parts = relative.split("/")
        if any(part.startswith(".") for part in parts):
            return "hidden (its name begins with a dot)"
        if found := _MADE_BY_SYSTEMS.intersection(parts[:-1]):
            return f"clutter of the system ({min(found)})"
        kind = blob.content_type
        if self._content_type is not None:
            fits = fnmatchcase((kind or "").lower(), self._content_type.lower())
            return None if fits else f"its content type is {kind or 'not set'}, not {self._content_type}"
        if kind in _UNTYPED:
            return suffix_reason(relative) or (None if suffix(relative) else "neither a type nor a name of an image")
        if kind in _DRAWINGS or not fnmatchcase(kind.lower(), DEFAULT_CONTENT_TYPE):
            return f"not an image by its content type ({kind})"
        return None

    def _empty(self) -> str:
        fitting = f" that fit {self._glob!r}" if self._glob else ""
        hint = ""
        if self._folder and self._prefix == self._folder:
            hint = f", or write {self.root.rstrip('/')}* for names that begin with it"
        return f"there are no objects{fitting} below {SCHEME}{self._name}/{self._prefix}; check the address{hint}."


def _fingerprint(blob: Any) -> str | None:
    try:
        if blob.md5_hash:
            return f"md5:{base64.b64decode(blob.md5_hash, validate=True).hex()}"
        if blob.crc32c and blob.size is not None:
            return f"crc32c:{base64.b64decode(blob.crc32c, validate=True).hex()}:{blob.size}"
    except binascii.Error as exc:
        raise SourceError(f"the listing gives {blob.name!r} a checksum that is not base64 ({exc}).") from exc
    return None
