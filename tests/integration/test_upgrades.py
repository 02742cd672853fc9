"""Upgrades: from every earlier schema, with data in it, to the newest; and schemas of a newer Pinakes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from pgvector import HalfVector

from pinakes.cli.main import COMMANDS, cli
from pinakes.errors import DatabaseError, EmbedderError
from pinakes.ingest.opening import dry_run, open_ingestion
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.store import migrate as migrating
from pinakes.store.collections import open_collection, prepare
from pinakes.store.connection import Connection, Pgvector, ensure_pgvector
from pinakes.store.database import Database
from pinakes.store.images import listed
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.migrate import SYSTEM_SCHEMA, Kind, migrate, scripts
from pinakes.store.restrictions import visible
from pinakes.store.space_registry import activate, register_space, spaces
from pinakes.web.service import Service
from tests.counting import Counting
from tests.homes import new_database, settings_of
from tests.running import find, gallery, request_of, run, run_stages, stored, using

pytestmark = pytest.mark.empty

SPACE = Space("made", "up", "1", 4, "")
NEWEST = {kind: len(scripts(kind)) for kind in ("system", "collection")}

# What each version brought, filled as a Pinakes of that time did: version, statement.
SYSTEM_DATA = (
    (1, "INSERT INTO pinakes.locks VALUES ('old/made_up_1_4', 'process 1', 7, now(), now() + interval '1 hour')"),
    (1, "SELECT setval('pinakes.fencing_tokens', 7)"),
    (
        1,
        "INSERT INTO pinakes.runs (run_id, collection, space, holder, state, started_at, ended_at, account, message)"
        " SELECT gen_random_uuid(), 'old', 'made_up_1_4', 'process 1', state, now(), now(), '{\"listed\": 3}', 'é'"
        " FROM unnest(ARRAY['running', 'completed', 'stopped', 'failed']) AS state",
    ),
    (
        2,
        "INSERT INTO pinakes.limits (quota, seconds, count, burst, pinned, spacing, head_start, lead, lateness, owed)"
        " VALUES ('vertex', 60, 120, 10, true, 0.5, 0, 1, 0, '{1.5, 2.5}'), ('vertex', 1, 5, 1, false, 0.2, 0, 1, 0, '{}')",
    ),
    (3, "INSERT INTO pinakes.query_vectors VALUES ('made_up_1_4', '\\x00ff', '{1, 2, 3, 4}', '{blue}', '{deep}')"),
    (
        4,
        "INSERT INTO pinakes.batches (run_id, number, shard, work) SELECT run_id, 1, 0, '[]' FROM pinakes.runs"
        " WHERE state = 'running'",
    ),
    (5, "UPDATE pinakes.runs SET state = 'died' WHERE state = 'failed'"),
    (6, "UPDATE pinakes.limits SET recovery = 60"),
    (
        7,
        "INSERT INTO pinakes.limits (quota, unit, seconds, count, burst, spacing, head_start, lead, lead_units, lateness)"
        " VALUES ('vertex', 'tokens', 60, 1000000, 20000, 0.00006, 0, 1, 258, 0)",
    ),
    (8, "UPDATE pinakes.limits SET given = 2, starts = '{1, 2}', steps = '{0.1, 0.2}' WHERE unit = 'tokens'"),
    (9, "UPDATE pinakes.limits SET seen_at = 3"),
)
COLLECTION_DATA = (
    (1, "INSERT INTO old.collection (source_root, language) VALUES ('file:///old/', 'english')"),
    (
        1,
        "INSERT INTO old.images (image_id, uri, fingerprint, title, date, timeframe, extra, folded) VALUES"
        " ('a.jpg', 'file:///old/a.jpg', 'md5:a', 'Bátôt: ships at night', 'c. 1530-35', NULL, '{\"shelf\": \"7\"}',"
        "  'a jpg batot: ships at night c. 1530-35 7'),"
        " ('b/c.jpg', 'file:///old/b/c.jpg', 'md5:b', NULL, NULL, '1651-1700', '{}', 'b c jpg 1651-1700'),"
        " ('torn.jpg', 'file:///old/torn.jpg', '', NULL, 'no date', NULL, '{}', 'torn jpg no date')",
    ),
    (
        1,
        "INSERT INTO old.spaces (space, provider, model, version, dimension, preprocessing, active, loaded_at, rows,"
        " index_kind, index_rows, index_built_at)"
        " VALUES ('made_up_1_4', 'made', 'up', '1', 4, '', true, now(), 2, 'hnsw', 2, now())",
    ),
    (
        1,
        'CREATE TABLE old.made_up_1_4 (image_id text COLLATE "C" PRIMARY KEY REFERENCES old.images ON DELETE CASCADE,'
        " fingerprint text NOT NULL, norm real NOT NULL, embedding halfvec(4) NOT NULL)",
    ),
    (1, "ALTER TABLE old.made_up_1_4 ALTER COLUMN embedding SET STORAGE PLAIN"),
    (
        1,
        "INSERT INTO old.made_up_1_4"
        " VALUES ('a.jpg', 'md5:a', 2, '[0.5,0.5,0.5,0.5]'), ('b/c.jpg', 'md5:b', 1, '[1,0,0,0]')",
    ),
    (1, "CREATE INDEX made_up_1_4_hnsw ON old.made_up_1_4 USING hnsw (embedding halfvec_cosine_ops)"),
    (2, "INSERT INTO old.hidden (condition) VALUES ('type=portrait')"),
    (2, "UPDATE old.spaces SET ef_search = 80, ef_search_recall = 0.98"),
    (3, "INSERT INTO old.forgotten (image_id, fingerprint) VALUES ('gone.jpg', 'md5:g'), ('away.jpg', '')"),
    (
        4,
        "UPDATE old.images SET foldings = jsonb_build_object(md5(title), 'batot: ships at night') WHERE image_id = 'a.jpg'",
    ),
    (
        5,
        "UPDATE old.images SET description = '«night»', folded = 'torn jpg  night  no date',"
        " foldings = jsonb_build_object(md5('«night»'), '«night»') WHERE image_id = 'torn.jpg'",
    ),
    (6, "INSERT INTO old.pixels (fingerprint, width, height) VALUES ('md5:a', 640, 480), ('md5:b', 1, 1)"),
    (7, "UPDATE old.images SET several = '{\"shelf\": [\"7\"]}', dated = '[1530,1536)' WHERE image_id = 'a.jpg'"),
    (8, "UPDATE old.collection SET earlier_languages = '{dutch}', language_open = true"),
    (
        9,
        "UPDATE old.spaces SET ef_search_filtered = 90, ef_search_wanted = 0.98, ef_search_rows = 2,"
        " ef_search_built = index_built_at",
    ),
    (10, "INSERT INTO old.maps (space, method, seed, images) SELECT space, 'PCA', 0, 1 FROM old.spaces"),
    (10, "INSERT INTO old.map_points SELECT space, 'a.jpg', 'md5:a', 0.5, 0.5, 0 FROM old.spaces"),
    (
        11,
        "INSERT INTO old.sketches VALUES ('md5:a', '\\xff', 307200, NULL, 'by hand'), ('md5:b', '\\xff', 1, NULL, NULL)",
    ),
    (11, "INSERT INTO old.alike VALUES ('md5:a', 'md5:b', 'crop', 0.25)"),
    (11, "INSERT INTO old.decisions VALUES ('a.jpg', 'b/c.jpg', 'same', now()), ('a.jpg', '', 'preferred', now())"),
    (
        11,
        "INSERT INTO old.duplicates VALUES ('a.jpg', 'a.jpg', 'same-work', true, false),"
        " ('b/c.jpg', 'a.jpg', 'same-work', false, false)",
    ),
    (12, "INSERT INTO old.image_changes VALUES (1) ON CONFLICT DO NOTHING"),
    (
        12,
        "INSERT INTO old.counted_values VALUES ('several', 'shelf', 0, '{7}', '\\x01', '\\x010000000000000000000000')",
    ),
    (12, "UPDATE old.collection SET counted_at = now(), metadata_digest = '\\xff', listing_digest = '\\xff'"),
    (13, "UPDATE old.spaces SET ef_search_far = 0.5"),
    (
        14,
        "ALTER TABLE old.made_up_1_4 DROP CONSTRAINT made_up_1_4_pkey, ADD PRIMARY KEY (image_id) INCLUDE (fingerprint)",
    ),
    (15, "UPDATE old.sketches SET compared = 'in this way' WHERE fingerprint = 'md5:b'"),
)
PREPARED = {"system": SYSTEM_DATA, "collection": COLLECTION_DATA}


@contextmanager
def at_version(kind: Kind, version: int) -> Iterator[None]:
    """Let this Pinakes be one that knows no later migration of that kind."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            migrating, "scripts", lambda asked: scripts(asked)[:version] if asked == kind else scripts(asked)
        )
        yield


@contextmanager
def without_vectors() -> Iterator[None]:
    """Let this Pinakes have no migration that makes a column of vectors, for a server without pgvector."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            migrating, "scripts", lambda asked: tuple(script for script in scripts(asked) if "halfvec" not in script[2])
        )
        yield


def fill(conn: Connection, kind: Kind, version: int) -> None:
    for since, statement in PREPARED[kind]:
        if since <= version:
            conn.execute(statement.encode())


def content(conn: Connection, schema: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of a schema, but for the list of migrations."""
    tables = conn.execute(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind = 'r' AND c.relname <> 'migrations' ORDER BY 1",
        (schema,),
    ).fetchall()
    return {
        name: [row for (row,) in conn.execute(f"SELECT to_jsonb(t) FROM {name} t ORDER BY to_jsonb(t)::text".encode())]
        for (name,) in tables
    }


def take_back(conn: Connection, schema: str, kind: Kind, pgvector: Pgvector) -> None:
    """Leave a schema as the first Pinakes would have, with what its tables had room for then."""
    conn.execute(f"ALTER SCHEMA {schema} RENAME TO later".encode())
    with at_version(kind, 1):
        migrate(conn, schema, kind, pgvector, language="english")
    tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)).fetchall()
    for (table,) in tables:
        if table == "migrations":
            continue
        (columns,) = conn.execute(
            "SELECT string_agg(quote_ident(c.column_name), ', ') FROM information_schema.columns AS c"
            " JOIN information_schema.columns AS l USING (table_name, column_name)"
            " WHERE c.table_schema = %s AND l.table_schema = 'later' AND table_name = %s AND c.is_generated = 'NEVER'",
            (schema, table),
        ).fetchone() or ("",)
        conn.execute(f"INSERT INTO {schema}.{table} ({columns}) SELECT {columns} FROM later.{table}".encode())
    if kind == "system":
        conn.execute(f"SELECT setval('{schema}.fencing_tokens', nextval('later.fencing_tokens'))".encode())
    else:
        for (space,) in conn.execute(f"SELECT space FROM {schema}.spaces".encode()).fetchall():
            conn.execute(f"ALTER TABLE later.{space} SET SCHEMA {schema}".encode())
            conn.execute(
                f"ALTER TABLE {schema}.{space} DROP CONSTRAINT {space}_image_id_fkey,"
                f" ADD FOREIGN KEY (image_id) REFERENCES {schema}.images ON DELETE CASCADE".encode()
            )
    conn.execute("DROP SCHEMA later CASCADE")


def kept(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> None:
    """Raises unless every row is there with every value that it had."""
    for name, rows in before.items():
        left = list(after[name])
        assert len(left) == len(rows), name
        for row in rows:
            same = [found for found in left if all(found[column] == value for column, value in row.items())]
            assert same, f"{name}: {row}"
            left.remove(same[0])


def shape(conn: Connection, schema: str) -> dict[str, list[tuple[Any, ...]]]:
    """Columns, constraints, indexes, sequences and functions of a schema, by the catalogues, its own name left out."""
    asked = {
        "columns": "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated::text,"
        " a.attstorage::text, co.collname, pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
        " LEFT JOIN pg_collation co ON co.oid = a.attcollation"
        " WHERE n.nspname = %s AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped",
        "constraints": "SELECT co.conrelid::regclass::text, co.conname, co.contype::text, co.convalidated,"
        " pg_get_constraintdef(co.oid) FROM pg_constraint co JOIN pg_namespace n ON n.oid = co.connamespace"
        " WHERE n.nspname = %s",
        "indexes": "SELECT i.relname, pg_get_indexdef(x.indexrelid), x.indisvalid FROM pg_index x"
        " JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace WHERE n.nspname = %s",
        "options": "SELECT c.relname, c.relkind::text, c.reloptions FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = c.relnamespace WHERE n.nspname = %s",
        "functions": "SELECT p.proname, pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n"
        " ON n.oid = p.pronamespace WHERE n.nspname = %s",
        "triggers": "SELECT t.tgrelid::regclass::text, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c"
        " ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND NOT t.tgisinternal",
    }
    found = {}
    for what, statement in asked.items():
        rows = conn.execute(statement.encode(), (schema,)).fetchall()
        nameless = [tuple(v.replace(f"{schema}.", "*.") if isinstance(v, str) else v for v in row) for row in rows]
        found[what] = sorted(nameless, key=repr)
    return found


@pytest.mark.parametrize("version", range(1, NEWEST["collection"] + 1))
def test_a_collection_of_every_version_is_brought_up_to_date_with_all_it_holds(
    database: Database, version: int
) -> None:
    with database.connection() as (conn, pgvector):
        prepare(conn)
        with at_version("collection", version):
            migrate(conn, "old", "collection", pgvector, language="english")
        fill(conn, "collection", version)
        before = content(conn, "old")
        open_collection(conn, "old")
        kept(before, content(conn, "old"))
        assert not migrate(conn, "old", "collection", pgvector)

        migrate(conn, "fresh", "collection", pgvector, language="english")
        for schema in ("fresh", "old"):  # as the next run does
            register_space(conn, schema, SPACE)
        conn.execute(
            f"CREATE INDEX made_up_1_4_hnsw ON fresh.{SPACE.name} USING hnsw (embedding halfvec_cosine_ops)".encode()
        )
        assert shape(conn, "old") == shape(conn, "fresh")

        # And it works: the years and words of old rows, a search by the index, a load.
        years = conn.execute("SELECT image_id, lower(years) FROM old.images ORDER BY 1").fetchall()
        assert years == [("a.jpg", 1530), ("b/c.jpg", 1651), ("torn.jpg", None)]
        words = conn.execute("SELECT image_id FROM old.images WHERE words @@ to_tsquery('english', 'ship')").fetchall()
        assert words == [("a.jpg",)]
        query = HalfVector([1, 0, 0, 0])
        nearest = conn.execute(
            "SELECT image_id FROM old.made_up_1_4 ORDER BY embedding <=> %s LIMIT 1", (query,)
        ).fetchall()
        assert nearest == [("b/c.jpg",)]
        (registered,) = spaces(conn, "old")
        assert (registered.space, registered.rows, registered.active) == (SPACE, 2, True)
        with Lease(database.dsn, "old/made_up_1_4", seconds=3) as lease, database.reconnecting() as lasting:
            Loader(lasting, "old", SPACE, lease).finish()


@pytest.mark.parametrize("version", range(1, NEWEST["system"] + 1))
def test_the_shared_schema_of_every_version_is_brought_up_to_date_with_all_it_holds(
    database: Database, version: int
) -> None:
    with database.connection() as (conn, pgvector):
        ensure_pgvector(conn)
        with at_version("system", version):
            migrate(conn, SYSTEM_SCHEMA, "system", pgvector)
        fill(conn, "system", version)
        before = content(conn, SYSTEM_SCHEMA)
        prepare(conn)
        kept(before, content(conn, SYSTEM_SCHEMA))
        upgraded = shape(conn, SYSTEM_SCHEMA)
        token = conn.execute("SELECT nextval('pinakes.fencing_tokens')").fetchone()
        assert token == (8,), "a token is never given out twice"

        conn.execute(f"DROP SCHEMA {SYSTEM_SCHEMA} CASCADE".encode())
        prepare(conn)
        assert upgraded == shape(conn, SYSTEM_SCHEMA)


def test_the_data_of_every_version_is_part_of_these_tests() -> None:
    for kind in ("system", "collection"):
        assert {since for since, _ in PREPARED[kind]} == {number for number, _, _ in scripts(kind)}, kind


def test_a_migration_that_fails_leaves_the_schema_as_it_was(database: Database) -> None:
    with database.connection() as (conn, pgvector):
        prepare(conn)
        with at_version("collection", 1):
            migrate(conn, "old", "collection", pgvector)
        before = shape(conn, "old")
        broken = (*scripts("collection")[:2], (3, "broken", "CREATE TABLE half (a integer); SELECT 1/0"))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(migrating, "scripts", lambda _kind: broken)
            with pytest.raises(DatabaseError, match="migrating the schema 'old': division by zero"):
                migrate(conn, "old", "collection", pgvector)
        assert shape(conn, "old") == before
        assert conn.execute("SELECT number FROM old.migrations").fetchall() == [(1,)]
        assert migrate(conn, "old", "collection", pgvector)


# -- a newer Pinakes ---------------------------------------------------------------------------------------------------

WITHOUT_THE_DATABASE = {"sample", "export", "models", "up", "setup"}
"""Commands that read no schema: they need no database, or start others that do."""

ARGUMENTS: dict[str, Callable[[Path], list[str]]] = {
    "ingest": lambda source: [str(source), "--dry-run"],
    "search": lambda _source: ["red"],
    "activate": lambda _source: ["counting_colours_1_27"],
    "import": lambda source: [str(source.parent / "vectors.csv"), str(source), "--space", "imported/b/c"],
    "forget": lambda _source: ["p00.png", "--yes"],
    "language": lambda _source: ["pictures"],
    "space": lambda _source: ["add", "--dimension", "9"],
    "drop": lambda _source: ["pictures", "--yes"],
}


@pytest.fixture(scope="module")
def collected(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A collection that no test writes to."""
    folder = tmp_path_factory.mktemp("collected")
    with new_database(server) as url:
        settings = settings_of(url, folder)
        run(settings, gallery(folder / "in", 4))
        yield settings


@pytest.fixture
def newer(collected: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pictures of a collection; the vectors of one of them lie beside them in a file."""
    source = collected.home.parent / "in"
    (source.parent / "vectors.csv").write_text("p00.png,1,2,3\n")
    monkeypatch.chdir(source.parent)
    for name, value in (("HOME", collected.home), ("DATABASE_URL", collected.database_url), ("SOURCE", source)):
        monkeypatch.setenv(f"PINAKES_{name}", str(value))
    return source


@contextmanager
def at_version_999(conn: Connection, schema: str) -> Iterator[None]:
    conn.execute(f"INSERT INTO {schema}.migrations (number, name) VALUES (999, 'later')".encode())
    try:
        yield
    finally:
        conn.execute(f"DELETE FROM {schema}.migrations WHERE number = 999".encode())


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - WITHOUT_THE_DATABASE))
def test_every_command_refuses_a_schema_of_a_newer_version(
    collected: Settings, newer: Path, command: str, prefect_api: str
) -> None:
    arguments = [command, *ARGUMENTS.get(command, lambda _source: [])(newer)]
    with psycopg.connect(collected.database_url or "", autocommit=True) as conn:
        for schema in ("pinakes",) if command == "limits" else ("pinakes", "pictures"):
            with at_version_999(conn, schema):
                before = [content(conn, each) for each in ("pinakes", "pictures")]
                outcome = CliRunner().invoke(cli, arguments, standalone_mode=False)
                told = f"{outcome.exception}\n{outcome.output}"
                assert "made by a newer Pinakes" in told, told
                assert schema in told
                assert "999" in told
                assert ".venv/bin/python -m pip install -e ." in told
                assert [content(conn, each) for each in ("pinakes", "pictures")] == before, "nothing was written"


@pytest.mark.parametrize("schema", ["pinakes", "pictures"])
def test_a_run_and_a_dry_run_refuse_a_schema_of_a_newer_version(collected: Settings, newer: Path, schema: str) -> None:
    embedder = Counting()
    with psycopg.connect(collected.database_url or "", autocommit=True) as conn, at_version_999(conn, schema):
        with pytest.raises(DatabaseError, match=f"the schema '{schema}' is at version 999"):
            run(collected, newer, embedder=embedder)
        with using(embedder), pytest.raises(DatabaseError, match=f"the schema '{schema}' is at version 999"):
            dry_run(request_of(collected, newer), collected)
    assert embedder.calls == 0


def test_an_upgraded_collection_is_searched_and_ingested_as_before(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in")
    run(settings, source)
    before = find(database, "red").hits
    with database.connection() as (conn, pgvector):
        for schema, kind in ((SYSTEM_SCHEMA, "system"), ("pictures", "collection")):
            take_back(conn, schema, kind, pgvector)
    assert find(database, "red").hits == before
    account = run(settings, source).account
    assert (account.calls, account.rows_written) == (0, 0)
    assert json.loads(json.dumps(account.as_dict()))["reused"] == 12
    assert stored(database, "SELECT count(*) FROM pictures.migrations") == [(NEWEST["collection"],)]


def test_the_page_brings_every_collection_that_it_offers_up_to_date(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    run(settings, gallery(tmp_path / "in"))
    run(settings, gallery(tmp_path / "more"), collection="more")
    with database.connection() as (conn, pgvector):
        take_back(conn, "more", "collection", pgvector)
    with closing(Service(settings, database, "pictures", others=True)) as served:
        other = served.of("more")
        assert other is not None
        assert other.image("p00.png") is not None
    assert stored(database, "SELECT count(*) FROM more.migrations") == [(NEWEST["collection"],)]


@contextmanager
def waiting_for_locks(conn: Connection, count: int) -> Iterator[None]:
    """Ends its block when so many sessions have been seen waiting for a lock."""
    yield
    deadline = time.monotonic() + 60
    while conn.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ).fetchone() < (count,):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_upgrade_keeps_nobody_from_reading_and_is_over_when_every_row_is_up_to_date(database: Database) -> None:
    with database.connection() as (conn, pgvector), database.connection() as (other, _), ThreadPoolExecutor() as pool:
        prepare(conn)
        with at_version("collection", 3):
            migrate(conn, "old", "collection", pgvector)
        fill(conn, "collection", 3)
        conn.execute("INSERT INTO old.hidden (condition) VALUES ('title~ships AT')")

        def shown(opened: Connection) -> list[str]:
            return [row.image_id for row in listed(opened, "old", 10, visible(opened, "old"))]

        def upgraded() -> list[str]:
            with database.connection() as (mine, _):
                open_collection(mine, "old")
                return shown(mine)

        def read() -> None:
            other.execute("SET statement_timeout = '60s'")
            assert other.execute("SELECT count(*) FROM old.images").fetchone() == (3,)

        # A reader that does not end yet: the new column waits for it, and lets other readers through.
        with conn.transaction():
            conn.execute("SELECT count(*) FROM old.images")
            with waiting_for_locks(other, 1):
                first = pool.submit(upgraded)
            for _ in range(5):
                read()
            assert not first.done()
        # A writer that does not end yet: the rows wait for it. Whoever comes meanwhile waits until all are right.
        with conn.transaction():
            conn.execute("UPDATE old.images SET uri = uri WHERE image_id = 'torn.jpg'")
            with waiting_for_locks(other, 1):  # the second does not wait in the server: it asks again and again
                second = pool.submit(upgraded)
            read()
            assert not first.done()
            assert not second.done()
            assert (4,) not in other.execute("SELECT number FROM old.migrations").fetchall()
        assert first.result(timeout=120) == second.result(timeout=120) == ["b/c.jpg", "torn.jpg"]
        assert (4,) in other.execute("SELECT number FROM old.migrations").fetchall()


def test_a_space_of_an_earlier_embedder_says_what_lets_searches_use_the_newer_one(
    settings: Settings, database: Database
) -> None:
    request = request_of(settings, gallery(settings.home / "in", 2), embedder="palette", dimension=256)
    with open_ingestion(request, settings) as first:
        run_stages(first)
    newer = first.space
    earlier = replace(newer, version="0")
    with database.connection() as (conn, _):
        register_space(conn, "pictures", earlier)
        activate(conn, "pictures", earlier.name, least_coverage=0.0)
    with pytest.raises(EmbedderError, match=f"pinakes activate {newer.name} to let searches use it"):
        find(database, text="blue")
    with open_ingestion(request, settings) as again:
        summary = run_stages(again).summary
    assert not summary["active"]
    assert any(f"pinakes activate {newer.name} --collection pictures" in note for note in summary["notes"])
