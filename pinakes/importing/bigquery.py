"""Embeddings in a table of BigQuery, as `AI.GENERATE_EMBEDDING` and `ML.GENERATE_EMBEDDING` made them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pinakes.bigquery.address import parse_bigquery_address
from pinakes.bigquery.client import BigQueryClient
from pinakes.errors import MetadataError
from pinakes.importing.records import BadRowError, Records


class BigQueryRecords(Records):
    """A table, whose rows are listed without a query and cost nothing; a view is read by a query.

    Raises:
        UsageError: the address names no table.
        MetadataError: BigQuery does not show it.
    """

    def __init__(self, address: str) -> None:
        self._table = parse_bigquery_address(address)
        self._client = BigQueryClient(MetadataError, self._table.project)
        self.name, self.path = address, Path(self._table.table)
        whole = self._client.read_table(self._table)
        self.columns = whole.columns
        kinds = zip(whole.columns, whole.kinds, strict=True)
        self.vectors = tuple(name for name, kind in kinds if kind in {"FLOAT[]", "FLOAT64[]"})

    def records(self, wanted: Sequence[str]) -> Iterator[tuple[str, Sequence[Any] | BadRowError]]:
        """See `Records.records`."""
        for number, row in enumerate(self._client.read_table(self._table, wanted).rows(), start=1):
            yield f"row {number}", row
