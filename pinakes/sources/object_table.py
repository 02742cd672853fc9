"""Pictures of an object table of BigQuery: listed by a query, read from Google Cloud Storage."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import partial
from itertools import takewhile
from types import SimpleNamespace
from typing import Any

from pinakes.bigquery.address import TableAddress, parse_bigquery_address
from pinakes.bigquery.client import BigQueryClient, Reading
from pinakes.errors import SourceError
from pinakes.gcs.uri import SCHEME, GsObject
from pinakes.sources.base import Listing
from pinakes.sources.bucket import BucketSource, GcsBucket
from pinakes.types import Entry

COLUMNS = ("uri", "generation", "content_type", "size", "md5_hash")
"""https://cloud.google.com/bigquery/docs/object-table-introduction"""


class ObjectTableSource(BucketSource):
    """Every picture of an object table, in the order of its uris; which of its objects are pictures, `BucketSource` says.

    An image_id is the object's name below the folder that the table's `uris` have in common, so it is the same as with
    the bucket itself as the source; with several buckets it begins with the bucket's name. The same holds for a view and
    for any other table with `COLUMNS`. Fingerprints and generations are those of the table: where its cache of the bucket
    is older than a picture, that picture fails as changed until the table is refreshed.

    Args:
        address: `bigquery://project/dataset/table`.
        where: a condition in BigQuery's SQL, over the table's columns; BigQuery applies it.
        content_type: as for a bucket; where it holds no `[`, BigQuery applies it.
        limit: see `pinakes.sources.base.Listing`. A query scans the same bytes with a limit, so it has none.
        anonymous, user_project: for the buckets of the pictures; see `BucketSource`.
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
        table = parse_bigquery_address(address)
        Listing.__init__(self, table.uri, limit)
        self._prefix = self._folder = ""
        self._glob, self._content_type = None, content_type
        self._bucket = self._table = _ObjectTable(table, where, content_type, anonymous, user_project)

    def reading(self) -> Reading:
        """The query that lists; asking costs nothing.

        Raises:
            SourceError: BigQuery refuses it, or there is no such table.
        """
        return self._table.reading()

    def _listed(self) -> Iterator[Entry]:
        self._folder = self._table.folder()
        yield from super()._listed()

    def _is_below(self, _found: GsObject) -> bool:
        return True  # wherever the table's uris lead

    def _uri(self, blob: Any) -> str:
        bucket, _, name = blob.name.partition("/")
        return GsObject(bucket, name, blob.generation).uri

    def _empty(self) -> str:
        return f"no row of {self.root} fits; check the table, --where and --content-type."


class _ObjectTable:
    """The table as `BucketSource` sees a bucket; its objects are called `bucket/name`."""

    def __init__(
        self,
        table: TableAddress,
        where: str | None,
        content_type: str | None,
        anonymous: bool | None,
        user_project: str | None,
    ) -> None:
        self.name = table.uri
        self._table = table
        self._where = where
        self._content_type = content_type
        self._client = BigQueryClient(SourceError, table.project)
        self._open = partial(GcsBucket, anonymous=anonymous, user_project=user_project)
        self._buckets: dict[str, GcsBucket] = {}
        self._lock = threading.Lock()

    def folder(self) -> str:
        """`bucket/folder/`, which the table's uris have in common; "" for several buckets, and where it has no uris."""
        external = self._client.describe(self._table).external_data_configuration
        uris = [uri.removeprefix(SCHEME) for uri in (external.source_uris if external else None) or []]
        folders = [uri.partition("*")[0].rpartition("/")[0].split("/") for uri in uris]
        common = takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
        return "".join(f"{parts[0]}/" for parts in common)

    def within(self, bucket: str) -> GcsBucket:
        """One of the buckets that the pictures are in."""
        with self._lock:
            return self._buckets.setdefault(bucket, self._open(bucket))

    def reading(self) -> Reading:
        """The query that lists the objects."""
        conditions = [f"(\n{self._where}\n)"] if self._where else []
        parameters = {}
        if self._content_type and "[" not in self._content_type:
            parameters["content_type"] = _like(self._content_type)
            conditions.append("LOWER(content_type) LIKE @content_type")
        where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
        return self._client.read_query(
            f"SELECT {', '.join(COLUMNS)}\nFROM {self._table.sql}{where}\nORDER BY uri", parameters
        )

    def list(self, _prefix: str, _glob: str | None) -> Iterator[Any]:
        """The rows as objects; one without an MD5 (a composite one) gets the checksum that the bucket gives."""
        for uri, generation, content_type, size, md5 in self.reading().rows():
            if not uri.startswith(SCHEME):
                raise SourceError(f"the column uri of {self.name} holds {uri!r}; an object table has gs://bucket/name.")
            name = uri.removeprefix(SCHEME)
            found = {"name": name, "generation": generation, "content_type": content_type, "size": size}
            if md5 is None:
                bucket, _, path = name.partition("/")
                yield SimpleNamespace(**found, md5_hash=None, crc32c=self.within(bucket).checksum(path))
            else:
                yield SimpleNamespace(**found, md5_hash=md5, crc32c=None)

    def holds(self, name: str) -> bool:
        """See `GcsBucket.holds`."""
        bucket, _, path = name.partition("/")
        return self.within(bucket).holds(path)

    def download(self, found: GsObject) -> bytes | None:
        """See `GcsBucket.download`."""
        return self.within(found.bucket).download(found)


def _like(pattern: str) -> str:
    """A pattern with `*` and `?` as one of LIKE."""
    escaped = re.sub(r"([\\%_])", r"\\\1", pattern.lower())
    return escaped.replace("*", "%").replace("?", "_")
