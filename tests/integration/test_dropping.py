"""Collections listed and dropped, and none left behind by a first run that failed."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from pinakes.cli.main import cli
from pinakes.errors import CheckpointError, DatabaseError, LockHeldError, SourceError, UsageError
from pinakes.settings import Settings
from pinakes.store.collections import collection_names
from pinakes.store.database import Database
from pinakes.store.lease import Lease
from pinakes.store.removal import drop_collection
from tests.running import find, gallery, run

SPACE = "counting_colours_1_27"


def names(database: Database) -> list[str]:
    with database.connection() as (conn, _):
        return collection_names(conn)


def ask(environment: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), env=environment)


def test_collections_are_listed_with_pictures_spaces_size_and_last_run(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    assert ask(environment, "collections").output == "no collection yet; pinakes ingest makes one\n"
    run(settings, gallery(tmp_path / "in", 3))
    run(settings, gallery(tmp_path / "other", 2), collection="other")
    first, second = json.loads(ask(environment, "collections", "--json").output)["collections"]
    assert (first["collection"], first["pictures"], first["spaces"], first["active"]) == ("other", 2, [SPACE], SPACE)
    assert (second["collection"], second["pictures"]) == ("pictures", 3)
    assert second["bytes"] > 2**13
    assert second["last_run"]["state"] == "completed"
    shown = ask(environment, "collections").output.splitlines()
    assert shown[2].split()[:3] == ["other", "2", "1"]
    assert shown[3] == f"  active: {SPACE}"


def test_a_dropped_collection_comes_back_from_its_checkpoint_without_a_call(
    settings: Settings, environment: dict[str, str], database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 3)
    run(settings, source)
    asked = ask(environment, "drop", "pictures")
    assert isinstance(asked.exception, UsageError)
    assert "add --yes" in str(asked.exception)
    assert names(database) == ["pictures"]

    kept = Path(settings.checkpoint) / "pictures"
    told = ask(environment, "drop", "pictures", "--yes").output
    assert told.startswith("pictures is dropped\n")
    assert f"To delete them too: rm -r {kept}\n" in told
    assert (names(database), kept.is_dir()) == ([], True)

    again = run(settings, source)
    assert (again.account.reused, again.account.calls) == (3, 0)
    assert len(find(database, "red").hits) == 3


def test_what_a_run_writes_is_not_dropped(settings: Settings, database: Database, tmp_path: Path) -> None:
    run(settings, gallery(tmp_path / "in", 1))
    with (
        Lease(database.dsn, "pictures/other_space", seconds=15),
        database.connection() as (conn, _),
        pytest.raises(LockHeldError, match="is being written by process"),
    ):
        drop_collection(conn, "pictures")
    assert names(database) == ["pictures"]


def test_whoever_reads_any_table_of_a_collection_is_named_and_not_waited_for_without_a_limit(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    run(settings, gallery(tmp_path / "in", 1))
    with (
        psycopg.connect(database.dsn, application_name="a backup") as reader,
        database.connection() as (conn, _),
    ):
        reader.execute("SELECT FROM pictures.hidden")
        conn.execute("SET statement_timeout TO '20s'")  # so that the test ends if it waits
        with pytest.raises(DatabaseError, match=r"dropping the collection 'pictures' needs .* \(a backup, "):
            drop_collection(conn, "pictures", patience=0)
    assert names(database) == ["pictures"]


def test_a_first_run_that_fails_leaves_no_collection(settings: Settings, database: Database, tmp_path: Path) -> None:
    empty = tmp_path / "in"
    empty.mkdir()
    (empty / "notes.txt").write_text("no picture")
    with pytest.raises(SourceError):
        run(settings, empty)
    assert names(database) == []
    good = gallery(tmp_path / "good", 1)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError):
        run(settings, good, checkpoint=str(tmp_path / "file"))
    assert names(database) == []

    run(settings, gallery(empty, 2))
    (empty / "p00.png").unlink()
    (empty / "p01.png").unlink()
    with pytest.raises(SourceError):
        run(settings, empty)
    assert names(database) == ["pictures"], "one that was there before stays as it is"


def test_skipped_entries_are_named_with_their_reasons(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 1)
    for name in ("a.txt", "b.txt", "c.txt", "d.txt", "e.pdf"):
        (source / name).write_text("no picture")
    summary = run(settings, source).summary
    texts = [{"name": f"{letter}.txt", "reason": "not an image by its name (.txt)"} for letter in "abcd"]
    document = {"name": "e.pdf", "reason": "not an image by its name (.pdf)"}
    assert summary["skipped_entries"] == [*texts, document]
    assert summary["notes"] == [
        "skipped: 4 not an image by its name (.txt) (a.txt, b.txt, c.txt, 1 more); 1 not an image by its name (.pdf)"
        " (e.pdf)"
    ]
    state = json.loads(ask(environment, "status", "--json").output)
    assert (state["skipped"], state["skipped_entries"]) == (5, [*texts, document])
    assert "e.pdf    not an image by its name (.pdf)" in ask(environment, "status").output
