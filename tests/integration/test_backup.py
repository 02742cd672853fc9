"""A backup by pg_dump, restored into a fresh database; docs/backup.md says the same commands to a person."""

from __future__ import annotations

import re
import shlex
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pinakes.errors import CheckpointError
from pinakes.settings import Settings, load_settings
from pinakes.store.connection import connect
from pinakes.store.database import Database
from pinakes.store.embedded.binaries import MAJOR
from pinakes.store.migrate import SYSTEM_SCHEMA, migrate
from pinakes.takedowns.forget import Takedowns
from tests.homes import new_database
from tests.integration.test_upgrades import without_vectors
from tests.postgres import PLAIN_POSTGRES, plain_postgres, postgres_programs
from tests.running import find, gallery, run, stored

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def restored_url(server: str) -> Iterator[str]:
    """A second, empty database on the same server."""
    with new_database(server) as url:
        yield url


def commands(section: str) -> list[str]:
    """The commands of the shell that the document shows under a heading."""
    text = (PROJECT / "docs" / "backup.md").read_text()
    body = text.split(f"## {section}\n")[1].split("\n## ")[0]
    return [line for block in re.findall(r"```sh\n(.*?)```", body, re.DOTALL) for line in block.strip().splitlines()]


def carry_out(command: str, programs: Path, places: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A command of the page, by the programs in a folder of PostgreSQL's."""
    program, *filled = shlex.split(command)
    for place, address in places.items():
        filled = [argument.replace(place, address) for argument in filled]
    return subprocess.run([programs / program, *filled], cwd=folder, capture_output=True, text=True, check=False)


def test_a_dump_of_one_collection_is_restored_and_searched_as_before(
    settings: Settings, database: Database, restored_url: str, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in")
    reader = f"reader_{uuid.uuid4().hex[:8]}"
    (tmp_path / "meta.csv").write_text(
        "file,title,date\n" + "".join(f"p{n:02}.png,Étude {n},18{n:02}\n" for n in range(12))
    )
    run(settings, source, metadata=[str(tmp_path / "meta.csv")], index="hnsw")
    forgetting = Takedowns(settings, database, "pictures")
    forgetting.forget(forgetting.find(["p03.png"]))
    with database.connection() as (conn, _):
        conn.execute("CREATE SCHEMA other")
        conn.execute("CREATE TABLE other.private (secret text)")
        conn.execute(f"CREATE ROLE {reader}")
        conn.execute(f"GRANT USAGE ON SCHEMA pictures TO {reader}")
        conn.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA pictures TO {reader}")
    before = find(database, "red", k=20)
    words = find(database, "étude", k=20, where=["years=1805..1807"])

    places = {
        "$PINAKES_DATABASE_URL": database.dsn,
        "$NEW_DATABASE_URL": restored_url,
    }
    shown = commands("By pg_dump")
    assert [command.split()[0] for command in shown] == ["pg_dump", "psql", "pg_restore"]
    for command in shown:
        ended = carry_out(command, postgres_programs(), places, tmp_path)
        assert (ended.returncode, ended.stderr) == (0, ""), command
        if command.startswith("pg_dump"):  # as on a new server, which has never heard of that user
            with database.connection() as (conn, _):
                conn.execute(f"DROP OWNED BY {reader}")
                conn.execute(f"DROP ROLE {reader}")

    restored = Database(restored_url)
    schemas = {name for (name,) in stored(restored, "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'")}
    assert schemas == {"public", "information_schema", "pinakes", "pictures"}
    assert find(restored, "red", k=20).hits == before.hits
    assert find(restored, "red", k=5, mode="index").hits == before.hits[:5]
    assert find(restored, "étude", k=20, where=["years=1805..1807"]).hits == words.hits
    assert stored(restored, "SELECT image_id FROM pictures.forgotten") == [("p03.png",)]
    again = load_settings(settings.values | {"PINAKES_DATABASE_URL": restored_url}, tmp_path)
    account = run(again, source).account
    assert (account.calls, account.rows_written, account.reused, account.skipped) == (0, 0, 11, 1)


def test_a_dump_alone_is_enough_to_search_and_the_next_run_says_what_the_checkpoint_lacks(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    """Without the checkpoint the next run refuses to pay again; the table gives the vectors back in half precision."""
    source = gallery(tmp_path / "in", 4)
    run(settings, source)
    elsewhere = load_settings(settings.values | {"PINAKES_HOME": str(tmp_path / "new home")}, tmp_path)
    assert len(find(database, "red", k=20).hits) == 4
    with pytest.raises(CheckpointError, match="is empty, and 4 vectors are stored"):
        run(elsewhere, source)
    account = run(elsewhere, source, from_table=True).account
    assert (account.calls, account.reused, account.rows_written) == (0, 4, 0)


@pytest.fixture
def debian_pair() -> Iterator[tuple[str, str]]:
    """Two databases of Debian's server, the first with a collection without vectors: it has no pgvector.

    The migrations that need none are enough to see what dumps and restores.
    """
    with without_vectors(), plain_postgres() as server:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute("CREATE DATABASE kept")
            admin.execute("CREATE DATABASE fresh")
            admin.execute("CREATE ROLE reader")
        kept, fresh = make_conninfo(server, dbname="kept"), make_conninfo(server, dbname="fresh")
        with connect(kept) as conn:
            migrate(conn, SYSTEM_SCHEMA, "system", None)
            migrate(conn, "pictures", "collection", None)
            conn.execute(
                "INSERT INTO pictures.images (image_id, uri, fingerprint, title, date)"
                " VALUES ('a.png', 'u', 'f', 'Étude', '1661')"
            )
            conn.execute("GRANT SELECT ON pictures.images TO reader")
        yield kept, fresh


def test_what_the_page_says_restores_on_debians_server_with_its_own_programs_and_not_with_newer_ones(
    debian_pair: tuple[str, str], tmp_path: Path
) -> None:
    places = dict(zip(("$PINAKES_DATABASE_URL", "$NEW_DATABASE_URL"), debian_pair, strict=True))
    dump, _, restore = commands("By pg_dump")
    own, newer = PLAIN_POSTGRES[-1].parent, postgres_programs()
    if int(own.parent.name) < int(MAJOR):
        assert carry_out(dump, newer, places, tmp_path).returncode == 0
        for programs, told in ((newer, "transaction_timeout"), (own, "unsupported version")):
            ended = carry_out(restore, programs, places, tmp_path)
            assert (ended.returncode, told in ended.stderr) == (1, True), ended.stderr
    with psycopg.connect(debian_pair[0], autocommit=True) as conn:
        assert carry_out(dump, own, places, tmp_path).stderr == ""
        conn.execute("DROP OWNED BY reader")
        conn.execute("DROP ROLE reader")
    ended = carry_out(restore, own, places, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    with connect(debian_pair[1]) as conn:
        assert not migrate(conn, "pictures", "collection", None)
        assert not migrate(conn, SYSTEM_SCHEMA, "system", None)
        rows = conn.execute("SELECT image_id, title, lower(years) FROM pictures.images").fetchall()
        assert rows == [("a.png", "Étude", 1661)]
