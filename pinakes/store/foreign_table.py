"""Tables that are not of Pinakes, read as they were at one moment and never written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Self

import psycopg
from psycopg import sql

from pinakes.errors import UsageError
from pinakes.store.connection import connect, translated

ROWS_AT_ONCE = 256
"""Rows that the server sends at once: with 3,072 numbers each as text, some 10 MB."""


class ForeignTable:
    """A table or view in any PostgreSQL, in a read-only transaction that lasts until it is closed.

    Args:
        dsn: the database.
        name: of the table, as `TABLE` or `SCHEMA.TABLE`; upper and lower case count.

    Attributes:
        name: as given.
        types: of its columns, by name, as PostgreSQL writes them: `vector(128)`, `text`.

    Raises:
        DatabaseError: the database cannot be reached, or the table may not be read.
        UsageError: there is no such table; the message lists those with vectors.
    """

    def __init__(self, dsn: str, name: str) -> None:
        self.name = name
        with ExitStack() as stack, translated(f"opening the table {name}"):
            self._conn = connect(dsn, setting="the address of the table to import")
            stack.callback(self._conn.close)
            # Rows are read in many batches, which must be of one moment, and nothing of somebody else's is written.
            self._conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self._conn.read_only = True
            stack.enter_context(self._conn.transaction())
            schema, _, table = name.rpartition(".")
            columns = self._conn.execute(
                """
                SELECT n.nspname, a.attname, format_type(a.atttypid, a.atttypmod)
                FROM pg_class AS c
                JOIN pg_namespace AS n ON n.oid = c.relnamespace
                JOIN pg_attribute AS a ON a.attrelid = c.oid
                WHERE c.relname = %(table)s
                    AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                    AND CASE %(schema)s WHEN '' THEN pg_table_is_visible(c.oid) ELSE n.nspname = %(schema)s END
                    AND a.attnum > 0
                    AND NOT a.attisdropped
                ORDER BY a.attnum
                """,
                {"table": table, "schema": schema},
            ).fetchall()
            if not columns:
                raise UsageError(f"the database has no table {name!r}; {self._with_vectors()}.")
            self._table = sql.Identifier(columns[0][0], table)
            self.types: dict[str, str] = {column: kind for _, column, kind in columns}
            # All went well: connection and transaction stay open until `close`.
            self._stack = stack.pop_all()

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The values of some columns of every row, a few rows at a time; vectors as text.

        Raises:
            DatabaseError: they cannot be read.
        """
        listed = sql.SQL(", ").join(map(sql.Identifier, columns))
        with translated(f"reading the table {self.name}"), self._conn.cursor("pinakes_import") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            cursor.execute(sql.SQL("SELECT {} FROM {}").format(listed, self._table))
            yield from cursor

    def close(self) -> None:
        """End the transaction and the connection."""
        self._stack.close()

    def _with_vectors(self) -> str:
        found = self._conn.execute(
            """
            SELECT DISTINCT n.nspname || '.' || c.relname
            FROM pg_class AS c
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            JOIN pg_attribute AS a ON a.attrelid = c.oid
            JOIN pg_type AS t ON t.oid = a.atttypid
            WHERE t.typname IN ('vector', 'halfvec')
                AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                AND NOT a.attisdropped
            ORDER BY 1
            LIMIT 20
            """
        ).fetchall()
        return f"those with vectors are {', '.join(name for (name,) in found)}" if found else "and none with vectors"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
