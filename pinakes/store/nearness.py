"""The distances by which the kinds of index order vectors."""

from __future__ import annotations

from psycopg import sql


def signs(vector: sql.Composable, dimension: int) -> sql.Composed:
    """The signs of a `halfvec`'s components as bits, as a binary index holds them."""
    return sql.SQL("(binary_quantize({})::bit({}))").format(vector, sql.Literal(dimension))


def nearness(kind: str, vector: sql.Composable, query: sql.Composable, dimension: int) -> sql.Composed:
    """The distance by which an index of `kind` orders a space's vectors."""
    if kind == "binary":
        return sql.SQL("{} <~> {}").format(signs(vector, dimension), signs(query, dimension))
    return sql.SQL("{} <=> {}").format(vector, query)
