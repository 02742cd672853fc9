"""Numbered migrations, one schema at a time, under a lock.

A schema keeps its own list of what was applied, so that a collection can be dumped, restored or dropped by itself.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Literal

from psycopg import sql

from pinakes.errors import DatabaseError
from pinakes.store.connection import Connection, Pgvector, translated
from pinakes.store.folded_texts import fold_stored
from pinakes.store.prepared_database import has_migrations, make_schema, refuse_foreign
from pinakes.store.strong_locks import START_PATIENCE, StrongLock, one_at_a_time, short_waits

logger = logging.getLogger(__name__)

SYSTEM_SCHEMA = "pinakes"

Kind = Literal["system", "collection"]
Script = tuple[int, str, str]

FOLLOWED_BY: Mapping[tuple[Kind, int], Callable[[Connection, str], int]] = {
    ("collection", 4): fold_stored,
    ("collection", 5): fold_stored,
}
"""Migrations that end with work on the rows, in transactions of its own: a migration is entered when that is done. Until
then everyone who opens the schema does that work too, and processes of an older version continue as before."""

_ALTERED = re.compile(r"^ALTER TABLE (\w+)", re.MULTILINE)
"""The tables that a script changes, as the scripts write it."""


@cache
def scripts(kind: Kind) -> tuple[Script, ...]:
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

    A schema that is up to date is only read. Any other is changed in one transaction, which is tried again while a table
    that it changes is in use: readers wait for a second at most, and for the change itself.

    Args:
        conn: a connection in autocommit mode.
        schema: the schema's name, already checked.
        kind: which list of migrations it follows.
        pgvector: where the extension's types are; None for a "system" schema, which needs none of them.
        language: the text search configuration of a new collection.
        patience: how many seconds to wait for others who use what has to change.

    Raises:
        DatabaseError: the schema was made by a newer Pinakes, may not be created, or holds tables of others; its own
            tables stay in use; or PostgreSQL failed.
    """
    known = scripts(kind)
    applied = _applied(conn, schema)
    # Nearly every command finds nothing to do, and takes no lock to learn that.
    if applied == [number for number, _, _ in known]:
        return False
    with translated(f"migrating the schema {schema!r}"):
        _refuse_newer(schema, applied, known)
        todo = [script for script in known if script[0] not in applied]
        part: list[Script] = []
        for script in todo:
            part.append(script)
            follow = FOLLOWED_BY.get((kind, script[0]))
            # As many scripts as possible go into one transaction: each takes the strong locks once more.
            if follow is None and script is not todo[-1]:
                continue
            _apply(conn, schema, kind, part, pgvector, language, patience)
            if follow is not None:
                changed = follow(conn, schema)
                _enter(conn, schema, script)
                logger.info("%s: migration %s has brought %s rows up to date", schema, script[0], f"{changed:,}")
            part = []
    return bool(todo)


def _apply(
    conn: Connection,
    schema: str,
    kind: Kind,
    part: list[Script],
    pgvector: Pgvector | None,
    language: str,
    patience: float,
) -> None:
    """Carry out scripts, all or none of them, and enter those that nothing follows."""
    schemas = [schema] if pgvector is None else [schema, pgvector.schema]
    lock = StrongLock(
        _changed_tables(conn, schema, part), "ACCESS EXCLUSIVE", f"bringing the schema {schema!r} up to date"
    )

    def once() -> None:
        with one_at_a_time(conn, "migration", patience=patience):
            make_schema(conn, schema)
            applied = _applied(conn, schema)  # another process may have created it since
            missing = [script for script in part if script[0] not in applied]
            refuse_foreign(conn, schema, (script[2] for script in missing))
            # The scripts name their own tables and pgvector's types without a schema.
            conn.execute(
                sql.SQL("SET LOCAL search_path TO {}").format(sql.SQL(", ").join(map(sql.Identifier, schemas)))
            )
            conn.execute(
                """
                CREATE TABLE IF NOT EXISTS migrations (
                    number integer PRIMARY KEY,
                    name text NOT NULL,
                    applied_at timestamptz NOT NULL DEFAULT now()
                )
                """
            )
            # All of them before the first is rewritten: that must not be done again for the sake of another.
            lock.attempt(conn)
            with short_waits(conn):
                for script in missing:
                    conn.execute(sql.SQL(script[2]).format(language=sql.Literal(language)))
                    if (kind, script[0]) not in FOLLOWED_BY:
                        _enter(conn, schema, script)

    lock.persist(conn, once, patience=patience)


def _enter(conn: Connection, schema: str, script: Script) -> None:
    # Several processes may have done the work that follows a migration.
    conn.execute(
        sql.SQL("INSERT INTO {} (number, name) VALUES (%s, %s) ON CONFLICT DO NOTHING").format(
            sql.Identifier(schema, "migrations")
        ),
        script[:2],
    )


def _changed_tables(conn: Connection, schema: str, part: list[Script]) -> tuple[sql.Identifier, ...]:
    """The tables of a schema that these migrations change, by name."""
    named = {name for _, _, text in part for name in _ALTERED.findall(text)}
    rows = conn.execute(
        """
        SELECT c.relname
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind = 'r'
        ORDER BY c.relname
        """,
        (schema, sorted(named)),
    )
    return tuple(sql.Identifier(schema, name) for (name,) in rows)


def _applied(conn: Connection, schema: str) -> list[int]:
    with translated(f"reading the migrations of the schema {schema!r}"):
        if not has_migrations(conn, schema):
            return []
        table = sql.Identifier(schema, "migrations")
        rows = conn.execute(sql.SQL("SELECT number FROM {} ORDER BY number").format(table))
        return [number for (number,) in rows]


def _refuse_newer(schema: str, applied: list[int], known: tuple[Script, ...]) -> None:
    newest = known[-1][0]
    if applied and applied[-1] > newest:
        raise DatabaseError(
            f"the schema {schema!r} is at version {applied[-1]} and this Pinakes knows versions up to {newest}: it was"
            " made by a newer Pinakes; update this one: git pull in the checkout, then .venv/bin/python -m pip install -e ."
        )
