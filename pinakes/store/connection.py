"""Connections to PostgreSQL: made in one place, with pgvector checked and the driver's errors translated."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from pgvector.psycopg.bit import register_bit_info
from pgvector.psycopg.halfvec import register_halfvec_info
from pgvector.psycopg.sparsevec import register_sparsevec_info
from pgvector.psycopg.vector import register_vector_info
from psycopg import sql
from psycopg.abc import Params
from psycopg.types import TypeInfo

from pinakes.errors import DatabaseError
from pinakes.store.addresses import DATABASE_URL, LIMITER_URL, address, check_address, reason
from pinakes.store.cloudsql import SCHEME, connect_cloudsql
from pinakes.store.embedded.server import revived
from pinakes.store.prepared_database import check_encoding, check_extension
from pinakes.store.scoped_connection import ScopedConnection
from pinakes.store.strong_locks import one_at_a_time

logger = logging.getLogger(__name__)

Connection = ScopedConnection

# libpq itself sets no limit: an address that swallows every packet would hold a command for minutes.
CONNECT_SECONDS = 10
MIN_SERVER = 130000
"""PostgreSQL 13: the oldest that pgvector 0.8 supports."""
MIN_PGVECTOR = (0, 7, 0)
"""0.7.0 brought `halfvec`."""
ITERATIVE_SCANS = (0, 8, 0)
SAFE_PARALLEL_BUILDS = (0, 8, 4)
"""0.8.2 to 0.8.4 fix an overflow in parallel HNSW builds and a corruption by vacuum."""

_UNSET = {DATABASE_URL: "Pinakes runs a database of its own", LIMITER_URL: "the rate limits are kept in the database"}
"""What happens where a setting names no server."""

_FULL = " Free some space on the database's disk and run the same command again: a checkpoint keeps what was answered."
_LOST = (
    " The server was stopped, restarted or killed meanwhile, or cannot be reached any more. Once it runs, run the same"
    " command again: a checkpoint keeps what was answered."
)


@dataclass(frozen=True, slots=True)
class Pgvector:
    """The extension as found in the database: its version and the schema that holds its types."""

    version: tuple[int, ...]
    schema: str

    @property
    def text(self) -> str:
        """The version as pgvector writes it."""
        return ".".join(map(str, self.version))


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the driver's errors inside the block into `DatabaseError`, saying `what` was being done."""
    try:
        yield
    except psycopg.Error as exc:
        # Without a state the server gave no answer; 08 is a broken connection, 57P a server that stops or starts.
        lost = isinstance(exc, psycopg.OperationalError) and (
            exc.sqlstate is None or exc.sqlstate.startswith(("08", "57P"))
        )
        fix = _LOST if lost else _FULL if isinstance(exc, psycopg.errors.DiskFull) else ""
        raise DatabaseError(f"PostgreSQL failed while {what}: {reason(exc)}.{fix}") from exc


def value_of(conn: Connection, statement: LiteralString | sql.SQL | sql.Composed, values: Params | None = None) -> Any:
    """The first column of the first row that a statement returns; None where it returns none."""
    row = conn.execute(statement, values).fetchone()
    return None if row is None else row[0]


def is_empty(conn: Connection, table: sql.Identifier) -> bool:
    """Whether a table has no row."""
    return not value_of(conn, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table))


def connect(dsn: str, *, setting: str = DATABASE_URL) -> Connection:
    """Connect in autocommit mode: transactions are opened where they are meant.

    Args:
        dsn: where to.
        setting: which setting says so, for messages: `DATABASE_URL`, `LIMITER_URL`, or words for something else.

    Raises:
        DatabaseError: the server cannot be reached or is too old, or `dsn` is not an address.
    """
    parts = check_address(dsn, setting)
    try:
        try:
            conn = _connected(dsn)
        except psycopg.OperationalError:
            # An embedded server that was killed while a run uses it is started again by whoever connects next.
            if dsn.startswith(SCHEME) or not revived(dsn):
                raise
            conn = _connected(dsn)
    except (psycopg.Error, UnicodeError) as exc:  # the latter for a host that is no name at all
        raise DatabaseError(
            f"PostgreSQL at {address(dsn, setting)} cannot be reached: {reason(exc, parts)}. Start it, or"
            f" {f'set {setting} (unset, {_UNSET[setting]})' if setting in _UNSET else f'correct {setting}'}."
        ) from exc
    if conn.info.server_version < MIN_SERVER:
        version = conn.info.server_version // 10000
        conn.close()
        raise DatabaseError(f"PostgreSQL at {address(dsn)} is version {version}; Pinakes needs {MIN_SERVER // 10000}.")
    return conn


def _connected(dsn: str) -> Connection:
    if dsn.startswith(SCHEME):
        conn = Connection.around(connect_cloudsql(dsn))
        conn.autocommit = True
        return conn
    return Connection.connect(
        dsn,
        autocommit=True,
        # psycopg sets its own threshold after the constructor, so that of `ScopedConnection` would not stay.
        prepare_threshold=None,
        # Else PGCLIENTENCODING decides, and names of pictures that it lacks fail in the middle of a load.
        client_encoding="UTF8",
        connect_timeout=CONNECT_SECONDS,
        application_name="pinakes",
    )


def ensure_pgvector(conn: Connection) -> Pgvector:
    """Find or create the extension, and register its types with the connection.

    Raises:
        DatabaseError: it is not installed on the server, may not be created or used by this user, or is older than 0.7;
            or the database does not keep its text in UTF8.
    """
    check_encoding(conn)
    # Looked for before it is created: a user may use an extension that an administrator has created.
    found = find_pgvector(conn) or _create_pgvector(conn)
    check_extension(conn, found.schema)
    if found.version < MIN_PGVECTOR:
        raise DatabaseError(
            f"the database has pgvector {found.text}, and Pinakes needs 0.7 or later (halfvec): install a newer one on"
            " the server, then run ALTER EXTENSION vector UPDATE in this database."
        )
    # The types and operators must be found by name in whichever schema the extension is.
    conn.settings["search_path"] = sql.Identifier(found.schema)
    _register_types(conn, found.schema)
    return found


def _register_types(conn: Connection, schema: str) -> None:
    """Do what pgvector's `register_vector` does with thirteen statements for each connection, with one."""
    rows = conn.execute(
        """
        SELECT t.typname, t.oid, t.typarray, t.oid::regtype::text
        FROM pg_type AS t
        JOIN pg_namespace AS n ON n.oid = t.typnamespace
        WHERE n.nspname = %s AND t.typname IN ('vector', 'halfvec', 'sparsevec')
        """,
        (schema,),
    )
    types = {name: TypeInfo(name, oid, array, regtype=regtype) for name, oid, array, regtype in rows}
    register_vector_info(conn, types["vector"])
    register_halfvec_info(conn, types["halfvec"])
    register_sparsevec_info(conn, types["sparsevec"])
    register_bit_info(conn, psycopg.adapters.types["bit"])


def warn_of_old_pgvector(found: Pgvector) -> None:
    """Log what an old but usable pgvector costs."""
    if found.version < SAFE_PARALLEL_BUILDS:
        logger.warning(
            "pgvector %s has known bugs in parallel HNSW builds (fixed in 0.8.4): indexes are built serially%s.",
            found.text,
            "" if found.version >= ITERATIVE_SCANS else ", and every search is exact",
        )


def find_pgvector(conn: Connection) -> Pgvector | None:
    """The extension as the database has it; None where it was not created."""
    row = conn.execute(
        """
        SELECT e.extversion, n.nspname
        FROM pg_extension AS e
        JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'vector'
        """
    ).fetchone()
    return Pgvector(tuple(int(part) for part in row[0].split(".")), row[1]) if row else None


def _create_pgvector(conn: Connection) -> Pgvector:
    available = value_of(conn, "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
    if available is None:
        major = conn.info.server_version // 10000
        raise DatabaseError(
            f"the PostgreSQL {major} at {conn.info.host or 'the local socket'} has no pgvector: install it on the server"
            f" (Debian: postgresql-{major}-pgvector; Cloud SQL has it; Azure: allow VECTOR in azure.extensions)."
        )
    try:
        with one_at_a_time(conn, "extension"):
            if find_pgvector(conn) is None:
                conn.execute("CREATE EXTENSION IF NOT EXISTS vector")
    # The second is raised where the user may create nothing in any schema of the search_path.
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidSchemaName) as exc:
        if not _create_by_function(conn):
            raise DatabaseError(
                f"the user {conn.info.user!r} may not create the extension: as an administrator run CREATE EXTENSION"
                f" vector in the database {conn.info.dbname!r} (Azure Cosmos DB: SELECT create_extension('vector'))."
            ) from exc
    except psycopg.Error as exc:
        fix = " Add VECTOR to the server parameter azure.extensions." if "allow-listed" in str(exc) else ""
        raise DatabaseError(f"pgvector {available} could not be created: {reason(exc)}.{fix}") from exc
    found = find_pgvector(conn)
    assert found is not None
    return found


def _create_by_function(conn: Connection) -> bool:
    """Create the extension as Azure Cosmos DB for PostgreSQL has it done; False where there is no such function.

    It is trusted only if a superuser owns it: anybody else could have created any function under that name.
    """
    offered = value_of(
        conn,
        """
        SELECT EXISTS (
            SELECT FROM pg_proc AS p
            JOIN pg_roles AS r ON r.oid = p.proowner
            WHERE p.proname = 'create_extension'
                AND r.rolsuper
                AND pg_function_is_visible(p.oid)
                AND has_function_privilege(p.oid, 'EXECUTE')
        )
        """,
    )
    if not offered:
        return False
    try:
        with one_at_a_time(conn, "extension"):
            if find_pgvector(conn) is None:
                conn.execute("SELECT create_extension('vector')")
    except psycopg.Error as exc:
        raise DatabaseError(f"SELECT create_extension('vector') failed: {reason(exc)}.") from exc
    return find_pgvector(conn) is not None
