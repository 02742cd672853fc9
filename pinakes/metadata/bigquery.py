"""Tables and queries of BigQuery as tables of text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pinakes.bigquery.address import parse_bigquery_address
from pinakes.bigquery.client import BigQueryClient, Reading
from pinakes.errors import MetadataError
from pinakes.metadata.excel import text_of

BETWEEN_VALUES = "|"
"""Stands between the values of an array, as in museums' own tables, so that --split takes them apart."""


@dataclass(frozen=True, slots=True)
class BigQueryTable:
    """A table whose columns are known; its members are those of `records.Table`.

    Attributes:
        path: its address, or the file with the query.
        reading: its rows, and the bytes that reading them scans.
    """

    path: str
    reading: Reading

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""
        return self.reading.columns

    @property
    def form(self) -> str:
        """That it is BigQuery, for a report."""
        return "BigQuery"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row as (its number, one text per column).

        Raises:
            MetadataError: BigQuery does not give them.
        """
        for number, row in enumerate(self.reading.rows(), start=1):
            yield number, [_text(value) for value in row]


def open_bigquery_table(address: str) -> BigQueryTable:
    """The table that `bigquery://project/dataset/table` names; its rows are listed without a query, and cost nothing.

    Raises:
        UsageError: the address names no table.
        MetadataError: BigQuery does not show it.
    """
    table = parse_bigquery_address(address)
    return BigQueryTable(address, BigQueryClient(MetadataError, table.project).read_table(table))


def open_query(path: Path) -> BigQueryTable:
    """The answer to the query in a file, which runs when its rows are read.

    Raises:
        UsageError: it is no SELECT, or nothing names the project that pays.
        MetadataError: the file cannot be read, or BigQuery refuses the query.
    """
    try:
        sql = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise MetadataError(f"the query {path} cannot be read: {exc}.") from exc
    return BigQueryTable(str(path), BigQueryClient(MetadataError).read_query(sql))


def _text(value: object) -> str:
    if isinstance(value, list):
        return BETWEEN_VALUES.join(map(_text, value))
    # A STRUCT may hold dates and decimals, for which JSON has no form of its own.
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return text_of(value)
