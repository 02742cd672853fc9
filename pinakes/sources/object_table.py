"""Pictures of an object table of BigQuery: listed by a query, read from Google Cloud Storage."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import partial
from itertools import takewhile

from pinakes.bigquery.address import parse_bigquery_address
from pinakes.bigquery.client import BigQueryClient, Reading
from pinakes.buckets.addresses import GOOGLE, ObjectAddress
from pinakes.buckets.base import Bucket, Stored
from pinakes.buckets.gcs import digits
from pinakes.buckets.opening import open_bucket
from pinakes.errors import SourceError
from pinakes.sources.base import Listing
from pinakes.sources.bucket import BucketSource, found_in
from pinakes.types import Entry

COLUMNS = ("uri", "generation", "content_type", "size", "md5_hash")
"""https://cloud.google.com/bigquery/docs/object-table-introduction"""


class ObjectTableSource(BucketSource):
    """Every picture of an object table, in the order of its uris; which of its objects are pictures, `BucketSource` says.

    An image_id is the object's name below the folder that the table's `uris` have in common, so it is the same as with
    the bucket itself as the source; with several buckets it begins with the bucket's name. The same holds for a view and
    for any other table with `COLUMNS`. Fingerprints and generations are those of the table: where its cache of the bucket
    is older than a picture, that picture fails as changed until the table is refreshed.

    While it lists, objects are called `bucket/name`, since they may be in several buckets.

    Args:
        address: `bigquery://project/dataset/table`.
        where: a condition in BigQuery's SQL, over the table's columns; BigQuery applies it.
        content_type: as for a bucket; where it holds no `[`, BigQuery applies it.
        limit: see `pinakes.sources.base.Listing`. A query scans the same bytes with a limit, so it has none.
        anonymous, user_project: for the buckets of the pictures; see `pinakes.buckets.opening.open_bucket`.
    """

    def __init__(
        self,
        address: str,
        *,
        where: str | None = None,
        content_type: str | None = None,
        limit: int | None = None,
        anonymous: bool | None = None,
        user_project: str | None = None,
    ) -> None:
        self._table = parse_bigquery_address(address)
        # Not BucketSource's own __init__, which opens the one bucket of an address; here each row may name another.
        Listing.__init__(self, self._table.uri, limit)
        self._folder, self._where, self._content_type = "", where, content_type
        self._client = BigQueryClient(SourceError, self._table.project)
        self._open = partial(open_bucket, anonymous=anonymous, user_project=user_project)
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()

    def reading(self) -> Reading:
        """The query that lists; asking costs nothing.

        Raises:
            SourceError: BigQuery refuses it, or there is no such table.
        """
        # On lines of its own, since a comment (--) at the end of what somebody wrote would swallow the bracket.
        conditions = [f"(\n{self._where}\n)"] if self._where else []
        parameters = {}
        if self._content_type and "[" not in self._content_type:
            parameters["content_type"] = _like(self._content_type)
            conditions.append("LOWER(content_type) LIKE @content_type")
        where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
        return self._client.read_query(
            f"SELECT {', '.join(COLUMNS)}\nFROM {self._table.sql}{where}\nORDER BY uri", parameters
        )

    def _listed(self) -> Iterator[Entry]:
        self._folder = self._common_folder()
        yield from super()._listed()

    def _common_folder(self) -> str:
        """`bucket/folder/`, which the table's uris have in common; "" for several buckets, and where it has no uris."""
        # From the table's definition and not from its rows, so that a condition or a limit changes no image_id.
        external = self._client.describe(self._table).external_data_configuration
        uris = [uri.removeprefix(GOOGLE) for uri in (external.source_uris if external else None) or []]
        folders = [uri.partition("*")[0].rpartition("/")[0].split("/") for uri in uris]
        common = takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
        return "".join(f"{parts[0]}/" for parts in common)

    def _objects(self) -> Iterator[Stored]:
        """The rows; one without an MD5 (of a composite object) gets the fingerprint that the bucket gives."""
        for uri, generation, content_type, size, md5 in self.reading().rows():
            if not uri.startswith(GOOGLE):
                raise SourceError(f"the column uri of {self.root} holds {uri!r}; an object table has gs://bucket/name.")
            name = uri.removeprefix(GOOGLE)
            fingerprint = f"md5:{digits(name, md5)}" if md5 else None
            if md5 is None and (stored := self._found(name)) is not None:
                fingerprint = stored.fingerprint
            yield Stored(name, int(size or 0), content_type, fingerprint, str(generation or ""))

    def _found(self, name: str) -> Stored | None:
        address = _address(name)
        return found_in(self._within(address.root), address.name)

    def _bucket_of(self, address: ObjectAddress) -> Bucket | None:
        return self._within(address.root) if address.root.startswith(GOOGLE) else None  # wherever the table's uris lead

    def _within(self, root: str) -> Bucket:
        # Under a lock, as `read` is called by many threads, and each bucket opened is a client with its connections.
        with self._lock:
            if root not in self._buckets:
                self._buckets[root] = self._open(root)
            return self._buckets[root]

    def _uri(self, blob: Stored) -> str:
        return _address(blob.name, blob.version).uri

    def _empty(self) -> str:
        return f"no row of {self.root} matches; check the table, --where and --content-type."


def _address(name: str, version: str = "") -> ObjectAddress:
    """The address of the object `bucket/name`."""
    bucket, _, path = name.partition("/")
    return ObjectAddress(f"{GOOGLE}{bucket}", path, version)


def _like(pattern: str) -> str:
    """A pattern with `*` and `?` as one of LIKE."""
    # % and _ are the wildcards of LIKE, and image/x_y must not match image/xay.
    escaped = re.sub(r"([\\%_])", r"\\\1", pattern.lower())
    return escaped.replace("*", "%").replace("?", "_")
