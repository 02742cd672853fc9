"""What a database must allow, checked before anything is created in it.

An administrator may have prepared it: the schemas exist, and the user may create no others. So whatever is needed is looked
for first and created only where it is missing; a refusal gives the statement that an administrator has to run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from psycopg import sql

from pinakes.errors import DatabaseError
from pinakes.store.scoped_connection import ScopedConnection

ENCODING = "UTF8"

MIGRATIONS = frozenset({"number", "name", "applied_at"})
"""The columns of the list of migrations that each schema of Pinakes keeps."""

_MADE = re.compile(r"^CREATE (?:TABLE|SEQUENCE) (\w+)", re.MULTILINE)
"""The tables that a script creates, as the scripts write it."""


def check_encoding(conn: ScopedConnection) -> None:
    """Check that the database keeps its text in UTF8.

    Raises:
        DatabaseError: it does not: names and titles of pictures would be refused or damaged.
    """
    found = conn.info.parameter_status("server_encoding")
    if found != ENCODING:
        raise DatabaseError(
            f"the database {conn.info.dbname!r} keeps its text in {found}, and Pinakes needs {ENCODING}: create another with"
            f" CREATE DATABASE name ENCODING '{ENCODING}' TEMPLATE template0, and set PINAKES_DATABASE_URL to it."
        )


def check_extension(conn: ScopedConnection, schema: str) -> None:
    """Check that this user may use pgvector in the schema where it was created.

    Raises:
        DatabaseError: it may not; the message gives the GRANT.
    """
    row = conn.execute(
        "SELECT FROM pg_namespace WHERE nspname = %s AND has_schema_privilege(oid, 'USAGE')", (schema,)
    ).fetchone()
    if row is None:
        raise DatabaseError(
            f"pgvector is in the schema {schema!r}, which the user {conn.info.user!r} may not use: as an administrator run"
            f" GRANT USAGE ON SCHEMA {_quoted(conn, schema)} TO {_quoted(conn, conn.info.user)} in the database"
            f" {conn.info.dbname!r}."
        )


def check_temporary(conn: ScopedConnection) -> None:
    """Check that this user may create temporary tables, which loading needs.

    Raises:
        DatabaseError: it may not; the message gives the GRANT.
    """
    row = conn.execute("SELECT has_database_privilege(current_database(), 'TEMPORARY')").fetchone()
    if row != (True,):
        database = conn.info.dbname
        raise DatabaseError(
            f"the user {conn.info.user!r} may not create temporary tables in the database {database!r}, and loading needs"
            f" them: as an administrator run GRANT TEMPORARY ON DATABASE {_quoted(conn, database)} TO"
            f" {_quoted(conn, conn.info.user)}."
        )


def make_schema(conn: ScopedConnection, schema: str) -> None:
    """Create a schema, unless it exists.

    Raises:
        DatabaseError: this user may not create it, or may not create tables in it; the message gives the statement to run.
    """
    usable, user = _usable(conn, schema), conn.info.user
    may_create = "SELECT has_database_privilege(current_database(), 'CREATE')"
    if usable is None and conn.execute(may_create).fetchone() != (True,):
        raise DatabaseError(
            f"the user {user!r} may not create the schema {schema!r} in the database {conn.info.dbname!r}: as an"
            f" administrator run CREATE SCHEMA {_quoted(conn, schema)} AUTHORIZATION {_quoted(conn, user)}."
            " Pinakes needs the schema pinakes, and one for each collection with the collection's name."
        )
    if usable is None:
        # Only now: PostgreSQL asks for the right to create schemas even where IF NOT EXISTS finds one.
        conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    elif not usable:
        raise DatabaseError(
            f"the user {user!r} may not create tables in the schema {schema!r}: as an administrator run GRANT USAGE,"
            f" CREATE ON SCHEMA {_quoted(conn, schema)} TO {_quoted(conn, user)} in the database {conn.info.dbname!r}."
        )


def may_use_schema(conn: ScopedConnection, schema: str) -> bool:
    """Whether a schema exists in which this user may create tables."""
    return _usable(conn, schema) is True


def _usable(conn: ScopedConnection, schema: str) -> bool | None:
    """Whether this user may create tables in a schema; None where there is no such schema."""
    row = conn.execute(
        """
        SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')
        FROM pg_namespace
        WHERE nspname = %s
        """,
        (schema,),
    ).fetchone()
    return None if row is None else bool(row[0])


def has_migrations(conn: ScopedConnection, schema: str) -> bool:
    """Whether a schema has the list of migrations that Pinakes keeps in each of its own.

    Raises:
        DatabaseError: it has a table of that name that Pinakes did not create.
    """
    rows = conn.execute(
        """
        SELECT a.attname
        FROM pg_attribute AS a
        JOIN pg_class AS c ON c.oid = a.attrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = %s
            AND c.relname = 'migrations'
            AND a.attnum > 0
            AND NOT a.attisdropped
        """,
        (schema,),
    ).fetchall()
    columns = {name for (name,) in rows}
    if columns and not columns >= MIGRATIONS:
        raise _foreign(schema, "migrations")
    return bool(columns)


def refuse_foreign(conn: ScopedConnection, schema: str, scripts: Iterable[str]) -> None:
    """Check that a schema holds nothing yet of what scripts are going to create in it.

    Raises:
        DatabaseError: it holds a table of such a name, which Pinakes did not create.
    """
    made = sorted({name for script in scripts for name in _MADE.findall(script)})
    # Sequences, views and indexes too: all of them share one space of names.
    row = conn.execute(
        """
        SELECT c.relname
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = %s AND c.relname = ANY(%s)
        ORDER BY c.relname
        LIMIT 1
        """,
        (schema, made),
    ).fetchone()
    if row is not None:
        raise _foreign(schema, row[0])


def _foreign(schema: str, table: str) -> DatabaseError:
    return DatabaseError(
        f"the schema {schema!r} of this database holds a table {table!r} that Pinakes did not create: move that table to"
        " another schema, or use another name for the collection (--collection) or another database."
    )


def _quoted(conn: ScopedConnection, name: str) -> str:
    """A name as a statement has to write it: in quotation marks where it needs them."""
    return name if re.fullmatch("[a-z_][a-z0-9_]*", name) else sql.Identifier(name).as_string(conn)
