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
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pinakes.errors import CheckpointError
from pinakes.settings import Settings, load_settings
from pinakes.store.database import Database
from pinakes.takedowns.forget import Takedowns
from tests.postgres import postgres_programs
from tests.running import find, gallery, run, stored

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def restored_url(server: str) -> Iterator[str]:
    """A second, empty database on the same server."""
    name = f"restored_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield make_conninfo(server, dbname=name)
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def commands(section: str) -> list[str]:
    """The commands of the shell that the document shows under a heading."""
    text = (PROJECT / "docs" / "backup.md").read_text()
    body = text.split(f"## {section}\n")[1].split("\n## ")[0]
    return [line for block in re.findall(r"```sh\n(.*?)```", body, re.DOTALL) for line in block.strip().splitlines()]


def test_a_dump_of_one_collection_is_restored_and_searched_as_before(
    settings: Settings, database: Database, restored_url: str, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in")
    (tmp_path / "meta.csv").write_text(
        "file,title,date\n" + "".join(f"p{n:02}.png,Étude {n},18{n:02}\n" for n in range(12))
    )
    run(settings, source, metadata=[str(tmp_path / "meta.csv")], index="hnsw")
    forgetting = Takedowns(settings, database, "pictures")
    forgetting.forget(forgetting.find(["p03.png"]))
    with database.connection() as (conn, _):
        conn.execute("CREATE SCHEMA other")
        conn.execute("CREATE TABLE other.private (secret text)")
    before = find(database, "red", k=20)
    words = find(database, "étude", k=20, where=["years=1805..1807"])

    places = {
        "$PINAKES_DATABASE_URL": database.dsn,
        "$NEW_DATABASE_URL": restored_url,
    }
    shown = commands("By pg_dump")
    assert [command.split()[0] for command in shown] == ["pg_dump", "psql", "pg_restore"]
    for command in shown:
        program, *filled = shlex.split(command)
        for place, address in places.items():
            filled = [argument.replace(place, address) for argument in filled]
        ended = subprocess.run(
            [postgres_programs() / program, *filled], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (ended.returncode, ended.stderr) == (0, ""), command

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
