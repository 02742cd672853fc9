"""Numbered migrations, one schema at a time, under a lock.

A schema keeps its own list of what was applied, so that a collection can be dumped, restored or dropped by itself.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Literal

from psycopg import sql

from pinakes.errors import DatabaseError
from pinakes.store.connection import Connection, Pgvector, translated
from pinakes.store.strong_locks import START_PATIENCE, StrongLock, one_at_a_time, short_waits

SYSTEM_SCHEMA = "pinakes"

Kind = Literal["system", "collection"]

_ALTERED = re.compile(r"^ALTER TABLE (\w+)", re.MULTILINE)
"""The tables that a script changes, as the scripts write it."""


@cache
def scripts(kind: Kind) -> tuple[tuple[int, str, str], ...]:
    """The migrations of a kind of schema as (number, name, SQL), in order."""
    folder = resources.files("pinakes.store").joinpath("migrations", kind)
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return tuple((int(f.name[:4]), f.name[5:-4], f.read_text("utf-8")) for f in files)


def migrate(
    conn: Connection,
    schema: str,
    kind: Kind,
    pgvector: Pgvector | None,
    *,
    language: str = "simple",
    patience: float = START_PATIENCE,
) -> bool:
    """Bring `schema` up to date, creating it if need be; True if anything was applied.

    A schema that is up to date is only read. One that is not is changed in one transaction, which is tried again where
    somebody uses a table that it changes: whoever reads meanwhile waits for a second at most, and for the change itself.

    Args:
        conn: a connection in autocommit mode.
        schema: the schema's name, already checked.
        kind: which list of migrations it follows.
        pgvector: where the extension's types are; None for a "system" schema, which needs none of them.
        language: the text search configuration of a new collection.
        patience: how many seconds somebody is waited for who uses what has to change.

    Raises:
        DatabaseError: the schema was made by a newer Pinakes, its tables are not to be had, or PostgreSQL refused.
    """
    known = scripts(kind)
    if _applied(conn, schema) == [number for number, _, _ in known]:
        return False
    schemas = [schema] if pgvector is None else [schema, pgvector.schema]
    changed = _changed_tables(conn, schema, known)
    lock = StrongLock(changed, "ACCESS EXCLUSIVE", f"bringing the schema {schema!r} up to date")

    def apply() -> bool:
        with one_at_a_time(conn, "migration"), conn.transaction():
            conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
            conn.execute(
                sql.SQL("SET LOCAL search_path TO {}").format(sql.SQL(", ").join(map(sql.Identifier, schemas)))
            )
            conn.execute(
                "CREATE TABLE IF NOT EXISTS migrations"
                " (number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            applied = _applied(conn, schema)
            _refuse_newer(schema, applied, known)
            todo = [script for script in known if script[0] not in applied]
            if todo:
                # All of them before the first is rewritten: that must not be done again for the sake of another.
                lock.attempt(conn)
            with short_waits(conn):
                for number, name, text in todo:
                    statement = sql.SQL(text).format(language=sql.Literal(language))
                    conn.execute(statement)
                    conn.execute("INSERT INTO migrations (number, name) VALUES (%s, %s)", (number, name))
        return bool(todo)

    with translated(f"migrating the schema {schema!r}"):
        return lock.persist(conn, apply, patience=patience)


def _changed_tables(
    conn: Connection, schema: str, known: tuple[tuple[int, str, str], ...]
) -> tuple[sql.Identifier, ...]:
    """The tables of a schema that the migrations it lacks change, by name."""
    applied = _applied(conn, schema)
    named = {name for number, _, text in known if number not in applied for name in _ALTERED.findall(text)}
    rows = conn.execute(
        "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind = 'r' ORDER BY c.relname",
        (schema, sorted(named)),
    )
    return tuple(sql.Identifier(schema, name) for (name,) in rows)


def _applied(conn: Connection, schema: str) -> list[int]:
    table = sql.Identifier(schema, "migrations")
    row = conn.execute("SELECT to_regclass(%s)", (table.as_string(conn),)).fetchone()
    if row is None or row[0] is None:
        return []
    rows = conn.execute(sql.SQL("SELECT number FROM {} ORDER BY number").format(table))
    return [number for (number,) in rows]


def _refuse_newer(schema: str, applied: list[int], known: tuple[tuple[int, str, str], ...]) -> None:
    newest = known[-1][0]
    if applied and applied[-1] > newest:
        raise DatabaseError(
            f"the schema {schema!r} is at version {applied[-1]} and this Pinakes knows versions up to {newest}: it was"
            " made by a newer Pinakes; install that version (pip install --upgrade pinakes)."
        )
