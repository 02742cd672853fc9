"""Databases that an administrator has prepared, and those that cannot be used: a sentence, before anything is made."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pinakes.errors import DatabaseError
from pinakes.operations.checks import State
from pinakes.operations.doctor import examine
from pinakes.settings import Settings, load_settings
from pinakes.store.collections import collection_names
from pinakes.store.connection import connect
from pinakes.store.database import Database
from pinakes.store.health import schemas
from tests.running import find, gallery, run

pytestmark = pytest.mark.empty


@dataclass(frozen=True)
class Prepared:
    """A database, its administrator, and a user who may do in it only what was granted."""

    admin: psycopg.Connection[tuple[object, ...]]
    user: str
    settings: Settings

    @property
    def database(self) -> Database:
        assert self.settings.database_url
        return Database(self.settings.database_url)

    def grant(self, *statements: str) -> None:
        for statement in statements:
            self.admin.execute(statement.format(user=self.user, database=self.admin.info.dbname))

    def made(self) -> list[str]:
        """What is in the schemas of the database but those of PostgreSQL."""
        rows = self.admin.execute(
            "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname !~ '^(pg_|information_schema)' AND c.relkind IN ('r', 'S', 'v') ORDER BY 1"
        )
        return [name for (name,) in rows]


@pytest.fixture
def prepared(database_url: str, tmp_path: Path) -> Iterator[Prepared]:
    user = f"user_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(user)))
        admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(admin.info.dbname)))
        admin.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        admin.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(*map(sql.Identifier, (admin.info.dbname, user)))
        )
        environ = {
            "PINAKES_HOME": str(tmp_path / "home"),
            "PINAKES_DATABASE_URL": make_conninfo(database_url, user=user, password="x"),
            "PINAKES_LEASE_SECONDS": "3",
        }
        yield Prepared(admin, user, load_settings(environ, tmp_path))
        admin.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(sql.Identifier(user)))


ALL = (
    "CREATE SCHEMA ext",
    "CREATE EXTENSION vector SCHEMA ext",
    "GRANT USAGE ON SCHEMA ext TO {user}",
    "CREATE SCHEMA pinakes",
    "GRANT USAGE, CREATE ON SCHEMA pinakes TO {user}",
    "CREATE SCHEMA pictures AUTHORIZATION {user}",
    "GRANT TEMPORARY ON DATABASE {database} TO {user}",
)


def test_where_the_schemas_are_there_no_right_to_create_them_is_needed(prepared: Prepared, tmp_path: Path) -> None:
    prepared.grant(*ALL)
    source = gallery(tmp_path / "in", 3)
    assert run(prepared.settings, source).account.embedded == 3
    assert run(prepared.settings, source).account.calls == 0
    assert len(find(prepared.database, "red", k=3).hits) == 3
    rights = {check.what: check for check in examine(prepared.settings)}["database rights"]
    assert (rights.state, "CREATE SCHEMA" in rights.fix) == (State.WARN, True)


@pytest.mark.parametrize(
    ("without", "told"),
    [
        (0, None),
        (1, r"may not create the extension: as an administrator run CREATE EXTENSION vector"),
        (2, r"pgvector is in the schema 'ext', .* GRANT USAGE ON SCHEMA ext TO user_\w+ in the database"),
        (3, r"may not create the schema 'pinakes' .* run CREATE SCHEMA pinakes AUTHORIZATION user_\w+\."),
        (4, r"tables in the schema 'pinakes': as an administrator run GRANT USAGE, CREATE ON SCHEMA pinakes TO user_"),
        (5, r"may not create the schema 'pictures' .* run CREATE SCHEMA pictures AUTHORIZATION user_"),
        (6, r"may not create temporary tables .* run GRANT TEMPORARY ON DATABASE test_\w+ TO user_"),
    ],
)
def test_what_is_missing_is_one_sentence_with_the_statement(
    prepared: Prepared, tmp_path: Path, without: int, told: str | None
) -> None:
    granted = [statement for number, statement in enumerate(ALL) if number != without]
    if without == 0:
        granted = [statement.replace("SCHEMA ext", "SCHEMA public") for statement in granted]
    if without == 1:
        granted = [statement for statement in granted if "EXTENSION" not in statement]
    if without == 3:
        granted = [statement for statement in granted if "SCHEMA pinakes" not in statement]
    prepared.grant(*granted)
    source = gallery(tmp_path / "in", 2)
    if told is None:
        assert run(prepared.settings, source).account.embedded == 2
        return
    with pytest.raises(DatabaseError, match=told) as refused:
        run(prepared.settings, source)
    assert "\n" not in str(refused.value)
    assert not [name for name in prepared.made() if name.startswith("pictures.")]
    prepared.grant(*(statement for statement in ALL if statement not in granted))
    assert run(prepared.settings, source).account.embedded == 2


def test_collections_of_other_users_are_not_looked_into(prepared: Prepared, tmp_path: Path) -> None:
    prepared.grant(*ALL)
    prepared.grant(
        "CREATE SCHEMA theirs",
        "CREATE TABLE theirs.collection (source_root text)",
        "CREATE TABLE theirs.spaces (space text)",
        "CREATE SCHEMA songs AUTHORIZATION {user}",
        "CREATE TABLE songs.collection (name text)",
        "CREATE TABLE songs.spaces (name text)",
    )
    run(prepared.settings, gallery(tmp_path / "in", 2))
    with connect(prepared.database.dsn) as conn:
        assert collection_names(conn) == ["pictures"]
        assert [schema.name for schema in schemas(conn)] == ["pinakes", "pictures"]


@pytest.mark.parametrize(
    ("schema", "table"),
    [
        ("pictures", "images (id int)"),
        ("pictures", "migrations (version text)"),
        ("pictures", "spaces (name text)"),
        ("pinakes", "migrations (version text)"),
        ("pinakes", "runs (id int)"),
    ],
)
def test_somebody_elses_table_is_named_and_left_alone(
    prepared: Prepared, tmp_path: Path, schema: str, table: str
) -> None:
    prepared.grant(*ALL, f"CREATE TABLE {schema}.{table}", f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {{user}}")
    name = table.split()[0]
    with pytest.raises(
        DatabaseError,
        match=rf"^the schema '{schema}' of this database holds a table '{name}' that Pinakes did not create",
    ):
        run(prepared.settings, gallery(tmp_path / "in", 2))
    assert [made for made in prepared.made() if made.startswith(f"{schema}.")] == [f"{schema}.{name}"]


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_another_encoding_than_utf8_is_refused_before_anything_is_made(
    server: str, tmp_path: Path, encoding: str
) -> None:
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C' LOCALE_PROVIDER libc"
        )
        try:
            dsn = make_conninfo(server, dbname=name)
            settings = load_settings({"PINAKES_HOME": str(tmp_path / "home"), "PINAKES_DATABASE_URL": dsn}, tmp_path)
            with pytest.raises(DatabaseError, match=rf"keeps its text in {encoding}, and Pinakes needs UTF8"):
                run(settings, gallery(tmp_path / "in", 2))
            with psycopg.connect(dsn) as conn:
                assert conn.execute("SELECT FROM pg_extension WHERE extname = 'vector'").fetchone() is None
                assert (
                    conn.execute("SELECT FROM pg_namespace WHERE nspname IN ('pinakes', 'pictures')").fetchone() is None
                )
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
