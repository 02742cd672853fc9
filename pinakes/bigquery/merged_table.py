"""A table of BigQuery that repeats a dataset: loaded into a staging table, and merged from there by image_id."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO, Any

from pinakes.bigquery.address import TableAddress
from pinakes.bigquery.client import TIMEOUT, BigQueryClient
from pinakes.errors import PinakesError, UsageError

LEAST_FOR_AN_INDEX = 5000
"""Rows below which BigQuery refuses CREATE VECTOR INDEX ("Total rows … is smaller than min allowed 5000")."""

STAGING_HOURS = 24
"""A staging table that a killed export leaves behind expires after that."""


@dataclass(frozen=True, slots=True)
class Merged:
    """How many rows a merge has changed."""

    inserted: int
    updated: int
    deleted: int


class MergedTable:
    """A table with image_id, fingerprint, texts, and the array `embedding` of FLOAT64; clustered by image_id.

    Its labels say which collection and space it holds, so that no other is merged into it.

    Args:
        address: the table; it is created if there is none, its dataset is not.
        texts: the columns of text that the table has next to image_id and fingerprint.
        labels: `pinakes_collection` and `pinakes_space`.
    """

    def __init__(self, address: TableAddress, texts: Sequence[str], labels: dict[str, str]) -> None:
        self._address = address
        self._texts = tuple(texts)
        self._labels = labels
        self._client = BigQueryClient(PinakesError, address.project)

    def open(self) -> None:
        """Create the table, or check that an existing one belongs to this collection and space.

        Raises:
            UsageError: it holds another, or was not made by an export.
            PinakesError: BigQuery refuses, or there is no such dataset.
        """
        from google.cloud.bigquery import Table

        table = Table(self._address.id, schema=self._schema(("image_id", "fingerprint", *self._texts), "embedding"))
        table.clustering_fields = ["image_id"]
        table.labels = self._labels
        with self._client.errors(f"the table {self._address.uri} cannot be created"):
            labels = self._client.client().create_table(table, exists_ok=True, timeout=TIMEOUT).labels
        # A merge deletes the rows that the export does not have, which would be all those of another space.
        if not self._labels.items() <= labels.items():
            held, wanted = (", ".join(f"{k}={v}" for k, v in sorted(of.items())) for of in (labels, self._labels))
            raise UsageError(
                f"the table {self._address.uri} is not the one of this collection and space: its labels are"
                f" {held or 'none'}, and this export has {wanted}; name another table."
            )

    def merge(self, file: IO[bytes], size: int, columns: Sequence[str]) -> Merged:
        """Make the rows those of a Parquet file with a column `vector`; a row that is the same already is not written.

        Args:
            file: at its start.
            size: of the file, in bytes.
            columns: its texts; in rows that exist already, the other columns of the table stay as they are.

        Raises:
            PinakesError: BigQuery refuses; the table is then as it was.
        """
        from google.cloud.bigquery import Table

        # A name of its own, so that two exports at once do not share a staging table.
        staging = replace(self._address, table=f"{self._address.table}_staging_{uuid.uuid4().hex[:8]}")
        table = Table(staging.id, schema=self._schema(columns, "vector"))
        table.expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=STAGING_HOURS)
        client = self._client.client()
        with self._client.errors(f"the staging table {staging.uri} cannot be created"):
            client.create_table(table, timeout=TIMEOUT)
        try:
            self._client.load_parquet(file, size, staging, table.schema)
            job = self._client.execute(
                merge_statement(self._address, staging, columns), f"the rows cannot be merged into {self._address.uri}"
            )
        finally:
            # One that cannot be deleted expires, and must hide neither the merge nor why that failed.
            with suppress(PinakesError), self._client.errors("the staging table cannot be deleted"):
                client.delete_table(staging.id, not_found_ok=True, timeout=TIMEOUT)
        done = job.dml_stats
        return Merged(done.inserted_row_count, done.updated_row_count, done.deleted_row_count)

    @staticmethod
    def _schema(texts: Sequence[str], vector: str) -> list[Any]:
        from google.cloud.bigquery import SchemaField

        return [*(SchemaField(name, "STRING") for name in texts), SchemaField(vector, "FLOAT64", mode="REPEATED")]


def merge_statement(target: TableAddress, staging: TableAddress, columns: Sequence[str]) -> str:
    """The MERGE that makes the rows of `target` those of `staging`."""
    compared = [name for name in columns if name != "image_id"]
    # Vectors are left out: within a space they follow from the fingerprint, and BigQuery has no equality of arrays.
    differs = " OR ".join(f"target.{name} IS DISTINCT FROM source.{name}" for name in compared)
    return f"""\
MERGE {target.sql} AS target
USING {staging.sql} AS source
ON target.image_id = source.image_id
WHEN MATCHED AND ({differs})
  THEN UPDATE SET {", ".join(f"{name} = source.{name}" for name in compared)}, embedding = source.vector
WHEN NOT MATCHED BY TARGET
  THEN INSERT ({", ".join(columns)}, embedding) VALUES ({", ".join(f"source.{name}" for name in columns)}, source.vector)
WHEN NOT MATCHED BY SOURCE
  THEN DELETE"""  # noqa: S608 - names of our own, and addresses, which hold no backtick


def index_statement(table: TableAddress) -> str:
    """CREATE VECTOR INDEX; `TREE_AH` instead of `IVF` suits searches for many pictures at once."""
    return (
        f"CREATE VECTOR INDEX IF NOT EXISTS `{table.table}_embedding`\n"
        f"ON {table.sql}(embedding)\n"
        "OPTIONS (index_type = 'IVF', distance_type = 'COSINE');"
    )


def search_statement(table: TableAddress, image_id: str) -> str:
    """VECTOR_SEARCH for the pictures of the table that are most like one of them."""
    return f"""\
SELECT base.image_id, distance
FROM VECTOR_SEARCH(
  TABLE {table.sql}, 'embedding',
  (SELECT embedding FROM {table.sql} WHERE image_id = {json.dumps(image_id, ensure_ascii=False)}),
  top_k => 5, distance_type => 'COSINE')
ORDER BY distance;"""  # noqa: S608 - a text in JSON is one in GoogleSQL, and an address holds no backtick
