"""`bigquery://` addresses: which table they name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pinakes.errors import UsageError

SCHEME = "bigquery://"

_ADDRESS = re.compile(r"bigquery://(?P<project>[a-z0-9][a-z0-9.:-]*)[/.](?P<dataset>\w+)[/.](?P<table>[\w -]+)\Z")
"""Of a table's name its letters, digits, spaces, dashes and underscores; it needs no quoting but backticks."""


@dataclass(frozen=True, slots=True)
class TableAddress:
    """A table, a view or an object table of BigQuery."""

    project: str
    dataset: str
    table: str

    @property
    def uri(self) -> str:
        """`bigquery://project/dataset/table`."""
        return f"{SCHEME}{self.project}/{self.dataset}/{self.table}"

    @property
    def id(self) -> str:
        """`project.dataset.table`, as Google's client takes it."""
        return f"{self.project}.{self.dataset}.{self.table}"

    @property
    def sql(self) -> str:
        """As it is written in a statement."""
        return f"`{self.id}`"


def parse_bigquery_address(address: str) -> TableAddress:
    """The table that `bigquery://project/dataset/table` names.

    Raises:
        UsageError: it names no table.
    """
    match = _ADDRESS.match(address)
    if match is None:
        raise UsageError(f"{address!r} names no table of BigQuery; write bigquery://project/dataset/table.")
    return TableAddress(match["project"], match["dataset"], match["table"])
