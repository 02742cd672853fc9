"""Pictures in a bucket; listing them downloads nothing."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from fnmatch import fnmatchcase
from urllib.parse import unquote

from pinakes import ids
from pinakes.buckets.addresses import ObjectAddress, parse_uri, split_address
from pinakes.buckets.base import Bucket, OverwrittenError, Stored
from pinakes.buckets.opening import open_bucket
from pinakes.errors import SourceError, UsageError
from pinakes.images.formats import suffix, suffix_reason
from pinakes.sources.base import Listing, changed
from pinakes.sources.local import collision, spelled
from pinakes.types import Entry, ErrorClass, Failure, Image, Rejected, Skipped

DEFAULT_CONTENT_TYPE = "image/*"

_UNTYPED = frozenset({"application/octet-stream", "binary/octet-stream"})
"""The types of an upload whose program did not know better; the name then decides."""

_DRAWINGS = frozenset({"image/svg+xml", "image/x-icon", "image/vnd.microsoft.icon"})
"""Types of images that are never decoded."""

_MADE_BY_SYSTEMS = frozenset({"__MACOSX", "@eaDir"})
"""Folders that macOS (in archives) and Synology add; the files in them are named like pictures."""


class BucketSource(Listing):
    """Every picture below a prefix of a bucket, in the order of the objects' names.

    An image_id is the object's name below the root. Fingerprints come with the listing: `md5:<hex>`, or what else changes
    with the bytes where the service has no MD5 of them. An image's uri pins the version that was listed (see
    `pinakes.buckets.addresses.ObjectAddress`).

    Names that are the same text in two Unicode spellings would share an id: the one in NFC keeps it, and every other
    becomes a failure; without one in NFC they all do. Only names that are not in NFC are held in memory; they come last.

    Args:
        address: `gs://bucket`, `gs://bucket/folder` (a slash at the end changes nothing), or `gs://bucket/start*` for
            every object whose name begins with that; the root is then the folder above. `%XX` stands for a byte.
            `s3://bucket` and `az://account/container` likewise.
        glob: a pattern of whole names (`**/0.jpg`): Cloud Storage's `matchGlob`, which that service applies itself.
        content_type: a pattern (`image/jpeg`, `image/*`) that an object's type must match; its name is ignored. None means
            `image/*`, or, for objects without a type, a picture by its name. S3 lists no types.
        limit: see `pinakes.sources.base.Listing`.
        anonymous, user_project: see `pinakes.buckets.opening.open_bucket`.

    Raises:
        UsageError: the address names no bucket, or an option has no meaning for it.
    """

    def __init__(
        self,
        address: str,
        *,
        glob: str | None = None,
        content_type: str | None = None,
        limit: int | None = None,
        anonymous: bool | None = None,
        user_project: str | None = None,
    ) -> None:
        try:
            root, prefix = split_address(address)
        except ValueError as exc:
            raise UsageError(str(exc)) from exc
        # The star is looked for before decoding, so that a name that ends in one can be written as %2A.
        if prefix.endswith("*"):
            self._prefix = unquote(prefix[:-1])
            self._folder = self._prefix[: self._prefix.rfind("/") + 1]
        else:
            self._prefix = self._folder = unquote(prefix).rstrip("/") + "/" if prefix.rstrip("/") else ""
        self._glob, self._content_type = glob, content_type
        self._bucket = open_bucket(root, anonymous=anonymous, user_project=user_project)
        if content_type is not None and not self._bucket.lists_types:
            raise UsageError(f"--content-type has no meaning for {root}: S3 lists no content types; use --glob.")
        super().__init__(ObjectAddress(root, self._folder).uri, limit)

    def read(self, image: Image) -> bytes:
        """See `pinakes.sources.base.Source.read`."""
        try:
            address = parse_uri(image.uri)
        except ValueError as exc:
            raise self._foreign(image) from exc
        bucket = self._bucket_of(address)
        if bucket is None:
            raise self._foreign(image)
        try:
            return download(bucket, address.name, address.version)
        except OverwrittenError as exc:
            raise changed(image) from exc

    def _bucket_of(self, address: ObjectAddress) -> Bucket | None:
        """The bucket to read an object from; None if the object is not part of this source."""
        is_below = address.root == self._bucket.root and address.name.startswith(self._folder)
        return self._bucket if is_below else None

    def _listed(self) -> Iterator[Entry]:
        """One request for each 1,000 objects."""
        held: dict[str, list[Stored]] = {}
        taken: set[str] = set()
        for blob in self._objects():
            relative = blob.name[len(self._folder) :]
            reason = self._skip_reason(relative, blob)
            if reason:
                yield Skipped(ids.printable_name(relative) or self.root, reason)
                continue
            if not relative.isascii():
                composed = unicodedata.normalize("NFC", relative)
                if composed != relative:
                    held.setdefault(composed, []).append(blob)  # until it is known whether the name in NFC exists
                    continue
                if relative in held:
                    taken.add(relative)
            yield self._entry(relative, blob)
        for composed, blobs in held.items():
            yield from self._uncomposed(composed, blobs, is_taken=composed in taken)

    def _objects(self) -> Iterator[Stored]:
        with self._bucket.errors(f"the bucket {self._bucket.root} cannot be listed"):
            yield from self._bucket.list(self._prefix, self._glob)

    def _found(self, name: str) -> Stored | None:
        return found_in(self._bucket, name)

    def _uncomposed(self, composed: str, blobs: list[Stored], *, is_taken: bool) -> Iterator[Entry]:
        """Entries of objects whose names are not in NFC, and which would all have the id `composed`.

        An object of exactly that name has been listed if it sorts before them. A few compatibility characters (`Å` as
        U+212B) sort the other way round; for those the bucket is searched.
        """
        whole = self._folder + composed
        earlier = any(whole.encode() < blob.name.encode() for blob in blobs)
        if earlier and not is_taken:
            is_taken = self._found(whole) is not None
        if len(blobs) == 1 and not is_taken:
            yield self._entry(composed, blobs[0])
            return
        names = [blob.name[len(self._folder) :].encode() for blob in blobs]
        others = [composed.encode()] if is_taken else []
        for blob, name in zip(blobs, names, strict=True):
            failure = collision(name, [other for other in [*names, *others] if other != name])
            yield Rejected(ids.ledger_id(spelled(name), name), self._uri(blob), failure)

    def _entry(self, relative: str, blob: Stored) -> Image | Rejected:
        uri = self._uri(blob)
        try:
            image_id = ids.image_id(relative)
        except ids.BadNameError as exc:
            failure = Failure(ErrorClass.BAD_NAME, f"{exc}; rename the object")
            return Rejected(ids.ledger_id(ids.printable_name(relative), relative.encode()), uri, failure)
        if blob.fingerprint is None:
            return Rejected(
                image_id, uri, Failure(ErrorClass.UNREADABLE, "the bucket gives neither an MD5 nor a CRC32C for it")
            )
        kind = blob.content_type
        # Interned, because a listing of millions has a few types, and the client makes a new string of each.
        kind = "" if not kind or kind in _UNTYPED else sys.intern(kind.lower())
        return Image(image_id, uri, blob.fingerprint, blob.size, kind)

    def _uri(self, blob: Stored) -> str:
        return ObjectAddress(self._bucket.root, blob.name, blob.version).uri

    def _skip_reason(self, relative: str, blob: Stored) -> str | None:
        """Why an object is no picture, or None if it may be one."""
        # Consoles and Hadoop's programs store an empty object for a folder.
        if relative.endswith("/") or not relative or (relative.endswith("_$folder$") and not blob.size):
            return "the placeholder of a folder"
        parts = relative.split("/")
        if any(part.startswith(".") for part in parts):
            return "hidden (its name begins with a dot)"
        if clutter := _MADE_BY_SYSTEMS.intersection(parts[:-1]):
            return f"clutter of the system ({min(clutter)})"
        kind = blob.content_type
        if self._content_type is not None:
            fits = fnmatchcase((kind or "").lower(), self._content_type.lower())
            return None if fits else f"its content type is {kind or 'not set'}, not {self._content_type}"
        if not kind or kind in _UNTYPED:
            return suffix_reason(relative) or (None if suffix(relative) else "neither a type nor a name of an image")
        if kind in _DRAWINGS or not fnmatchcase(kind.lower(), DEFAULT_CONTENT_TYPE):
            return f"not an image by its content type ({kind})"
        return None

    def _empty(self) -> str:
        fitting = f" that fit {self._glob!r}" if self._glob else ""
        hint = ""
        if self._folder and self._prefix == self._folder:
            hint = f", or write {self.root.rstrip('/')}* for names that begin with it"
        return f"there are no objects{fitting} below {self._bucket.root}/{self._prefix}; check the address{hint}."


def found_in(bucket: Bucket, name: str) -> Stored | None:
    """The object of exactly that name, if there is one.

    Raises:
        SourceError: the bucket cannot be searched.
    """
    with bucket.errors(f"the bucket {bucket.root} cannot be searched for {name!r}"):
        return bucket.find(name)


def download(bucket: Bucket, name: str, version: str = "", end: int | None = None) -> bytes:
    """The bytes of an object, of that version and no other, up to before `end`.

    Raises:
        SourceError: it is gone or cannot be read.
        OverwrittenError: it is another version.
    """
    with bucket.errors(f"{f'{bucket.root}/{name}'!r} cannot be read"):
        try:
            return bucket.read(name, version=version, end=end)
        except FileNotFoundError as exc:
            raise SourceError(f"{f'{bucket.root}/{name}'!r} can no longer be read: there is no such object.") from exc
