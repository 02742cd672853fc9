"""The SQL of the fake BigQuery: parsed as BigQuery's dialect by sqlglot, run by DuckDB, its types told as BigQuery's."""

from __future__ import annotations

import datetime
import io
import re
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from sqlglot import exp

Fields = list[dict[str, Any]]

_TO_DUCK = {
    "STRING": "VARCHAR",
    "JSON": "VARCHAR",
    "INTEGER": "BIGINT",
    "INT64": "BIGINT",
    "FLOAT": "DOUBLE",
    "FLOAT64": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "BOOL": "BOOLEAN",
    "TIMESTAMP": "TIMESTAMPTZ",
    "DATE": "DATE",
}
_FROM_DUCK = {
    "VARCHAR": "STRING",
    "BIGINT": "INTEGER",
    "INTEGER": "INTEGER",
    "HUGEINT": "INTEGER",
    "DOUBLE": "FLOAT",
    "BOOLEAN": "BOOLEAN",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    "DATE": "DATE",
}


class Refusal(Exception):  # noqa: N818 - the service's own answer
    """What the service says instead of doing what it was asked."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


def parse(text: str) -> exp.Expression:
    """The one statement of a text; several are a script, which is parsed as a `Block`."""
    try:
        statements = [each for each in sqlglot.parse(text, read="bigquery") if each is not None]
    except sqlglot.errors.SqlglotError as exc:
        raise Refusal(400, "invalidQuery", f"Syntax error: {str(exc).splitlines()[0]}") from exc
    if not statements:
        raise Refusal(400, "invalidQuery", "Syntax error: Unexpected end of statement")
    return statements[0] if len(statements) == 1 else exp.Command(this="SCRIPT")


def kind_of(statement: exp.Expression) -> str:
    """BigQuery's `statementType`."""
    if isinstance(statement, exp.Query):
        return "SELECT"
    if isinstance(statement, exp.Command) and statement.name.upper() == "CREATE":
        return "CREATE_VECTOR_INDEX"
    return "SCRIPT" if isinstance(statement, exp.Command) else type(statement).__name__.upper()


def tables_of(statement: exp.Expression) -> list[str]:
    """`project.dataset.table` of each table that a statement names."""
    if isinstance(statement, exp.Command):
        return re.findall(r"\bON `([^`]+)`\(embedding\)\s+OPTIONS ", str(statement.expression))
    within = {each.alias_or_name for each in statement.find_all(exp.CTE)}
    named = [_full_name(table) for table in statement.find_all(exp.Table) if table.name not in within]
    return [name for name in named if name.count(".") == 2]


def parameters_of(told: list[dict[str, Any]]) -> dict[str, Any]:
    """The values of a query's named parameters, which are texts."""
    return {each["name"]: each["parameterValue"]["value"] for each in told}


def run(duck: Any, statement: exp.Expression, parameters: dict[str, Any]) -> tuple[Fields, list[tuple[Any, ...]]]:
    """What a statement gives: BigQuery's fields, and the rows."""
    try:
        done = duck.execute(_for_duckdb(statement), parameters)
        return _fields(done.description), done.fetchall()
    except duckdb.Error as exc:
        raise Refusal(400, "invalidQuery", str(exc).splitlines()[0]) from exc


def schema_of(duck: Any, statement: exp.Expression, parameters: dict[str, Any]) -> Fields:
    """The fields of what a SELECT would give."""
    try:
        return _fields(duck.execute(f"SELECT * FROM ({_for_duckdb(statement)}) LIMIT 0", parameters).description)
    except duckdb.Error as exc:
        raise Refusal(400, "invalidQuery", str(exc).splitlines()[0]) from exc


def bytes_scanned(duck: Any, statement: exp.Expression, schemas: dict[str, Fields]) -> int:
    """BigQuery's count: whole columns that a statement names, whatever its WHERE and LIMIT say.

    https://cloud.google.com/bigquery/docs/estimate-costs (a text has 2 bytes and its own, a number 8).
    """
    named = {column.name.lower() for column in statement.find_all(exp.Column)}
    named |= {each.name.lower() for join in statement.find_all(exp.Join) for each in join.args.get("using") or ()}
    whole = statement.find(exp.Star) is not None or isinstance(statement, exp.Merge)
    total = 0
    for table, fields in schemas.items():
        for each in fields:
            if whole or each["name"].lower() in named:
                column, kind = f'"{each["name"]}"', each["type"]
                size = f"2 + strlen({column})" if kind in {"STRING", "JSON"} else "1" if kind == "BOOLEAN" else "8"
                if each.get("mode") == "REPEATED":
                    size = f"8 * len({column})"
                total += duck.execute(f'SELECT coalesce(sum({size}), 0) FROM "{table}"').fetchall()[0][0]
    return int(total)


def columns_of(fields: Fields) -> str:
    """The columns of a table of DuckDB."""
    return ", ".join(
        f'"{each["name"]}" {_TO_DUCK[each["type"]]}{"[]" * (each.get("mode") == "REPEATED")}' for each in fields
    )


def spelled(fields: Fields, row: tuple[Any, ...]) -> dict[str, Any]:
    """A row as the API writes it."""
    cells = []
    for each, value in zip(fields, row, strict=True):
        many = each.get("mode") == "REPEATED"
        cells.append({"v": [{"v": _cell(item)} for item in value or ()] if many else _cell(value)})
    return {"f": cells}


def parquet_rows(data: bytes, fields: Fields, options: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a Parquet file for a table of these fields."""
    try:
        table = pq.read_table(io.BytesIO(data))
    except pa.ArrowException as exc:
        raise Refusal(400, "invalid", f"The file is not Parquet: {exc}") from exc
    for each in fields:
        if each["name"] not in table.column_names:
            raise Refusal(400, "invalid", f"No such field: {each['name']}")
        kind = table.schema.field(each["name"]).type
        is_list = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
        if is_list and not options.get("enableListInference"):
            raise Refusal(400, "invalid", f"Field {each['name']} has changed type from FLOAT to RECORD")
        if is_list != (each.get("mode") == "REPEATED"):
            raise Refusal(400, "invalid", f"Field {each['name']} has changed mode.")
    if extra := set(table.column_names) - {each["name"] for each in fields}:
        raise Refusal(400, "invalid", f"Fields that the schema lacks: {', '.join(sorted(extra))}")
    columns = [table.column(each["name"]).to_pylist() for each in fields]
    return list(zip(*columns, strict=True))


def _for_duckdb(statement: exp.Expression) -> str:
    def renamed(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Table) and _full_name(node).count(".") == 2:
            return exp.Table(this=exp.to_identifier(_full_name(node), quoted=True), alias=node.args.get("alias"))
        if isinstance(node, exp.VectorSearch):
            return _brute_force(node, queries=node.args["query_table"].transform(renamed))
        if isinstance(node, exp.Parameter):
            return exp.Placeholder(this=node.name)
        return node

    sql = statement.transform(renamed).sql(dialect="duckdb")
    return f"{sql} RETURNING merge_action" if isinstance(statement, exp.Merge) else sql


def _brute_force(search: exp.VectorSearch, queries: exp.Expression) -> exp.Expression:
    """VECTOR_SEARCH over all rows, for one vector to search for."""
    words = {each.this.name: each.expression for each in search.find_all(exp.Kwarg)}
    base, column = search.this, search.args["column_to_search"].name
    if words["distance_type"].name != "COSINE":
        raise Refusal(400, "invalidQuery", "The fake knows the distance COSINE only.")
    return sqlglot.parse_one(
        f'(SELECT base, list_cosine_distance(base."{column}", query."{column}") AS distance'
        f' FROM "{_full_name(base)}" AS base, {queries.sql(dialect="duckdb")} AS query'
        f" ORDER BY distance LIMIT {words['top_k'].name})",
        read="duckdb",
    )


def _full_name(table: exp.Table) -> str:
    return ".".join(part.name for part in table.parts)


def _fields(description: Any) -> Fields:
    fields = []
    for name, kind, *_ in description:
        told = str(kind)
        mode = "REPEATED" if told.endswith("[]") else "NULLABLE"
        fields.append({"name": name, "type": _FROM_DUCK[told.removesuffix("[]")], "mode": mode})
    return fields


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        return str(round(value.timestamp() * 1e6))
    return str(value)
