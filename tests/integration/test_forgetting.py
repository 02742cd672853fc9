"""Take-downs: a forgotten picture is nowhere, and no run brings it back."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict

from pinakes.checkpoints import open_checkpoint
from pinakes.checkpoints.lasting_list import tombstone_file
from pinakes.cli.main import cli
from pinakes.errors import CheckpointError, LockHeldError, PinakesError, UsageError
from pinakes.ingest.opening import dry_run
from pinakes.operations.export import export
from pinakes.settings import Settings
from pinakes.sources.fingerprints import FingerprintCache, fingerprint_file
from pinakes.sources.thumbnails import MAP_SHEETS, SIZES, DiskCache, Thumbnails
from pinakes.store.database import Database
from pinakes.store.lease import Lease
from pinakes.takedowns.forget import THUMBNAILS, Takedowns
from pinakes.tombstones import FORGOTTEN, Tombstone, Tombstones
from pinakes.types import utc_now
from tests.counting import Counting
from tests.fakes.gcs import GcsFake
from tests.fakes.web import WebFake
from tests.homes import new_database, settings_of
from tests.running import Ended, find, gallery, paint, request_of, run, stored, using

SPACE = Counting().facts.space
SMALL = Counting(6).facts.space
GONE = "p03.png"
FAR = 2**62
"""A moment long after any change of a file, in nanoseconds since 1970."""


def forgetting(settings: Settings, database: Database) -> Takedowns:
    return Takedowns(settings, database, "pictures")


def forget(settings: Settings, database: Database, *images: str, **options: Any) -> Any:
    own = forgetting(settings, database)
    return own.forget(own.find(images, **options))


def kept_bytes(settings: Settings) -> bytes:
    """Everything in the checkpoint's folders."""
    files = (path for path in Path(settings.checkpoint).rglob("part-*") if path.is_file())
    return b"".join(path.read_bytes() for path in files)


def known_ids(settings: Settings, space: Any = SPACE, root: str | None = None) -> set[str]:
    return {row.image_id for row in open_checkpoint(root or settings.checkpoint, "pictures", space).ledger()}


def balanced(ended: Ended) -> None:
    """Raises unless every listed entry is exactly one thing."""
    ended.account.check_sum()


@dataclass(frozen=True)
class Twelve:
    """Twelve pictures in two spaces: a database, and a folder as it is to be when a test begins."""

    database: str
    folder: Path
    as_it_was: Path


@pytest.fixture(scope="module")
def twelve(server: str, first_used: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twelve]:
    folder, as_it_was = tmp_path_factory.mktemp("twelve"), tmp_path_factory.mktemp("was") / "twelve"
    pictures = gallery(folder / "in")
    with new_database(server, like=first_used) as url:
        run(settings_of(url, folder), pictures)
        run(settings_of(url, folder), pictures, dimension=6)
        shutil.copytree(folder, as_it_was)
        yield Twelve(conninfo_to_dict(url)["dbname"], folder, as_it_was)


@pytest.fixture
def like(request: pytest.FixtureRequest, first_used: str) -> str:
    """The twelve pictures' database for a test that asks for `source`."""
    return request.getfixturevalue("twelve").database if "source" in request.fixturenames else first_used


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Settings:
    """Where `source` is asked for, those of the folder that its rows name."""
    asked = "source" in request.fixturenames
    return settings_of(database_url, request.getfixturevalue("twelve").folder if asked else tmp_path)


@pytest.fixture
def source(twelve: Twelve) -> Path:
    """The twelve pictures, with their checkpoint and caches in `settings.home`."""
    shutil.rmtree(twelve.folder)
    shutil.copytree(twelve.as_it_was, twelve.folder)
    return twelve.folder / "in"


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_forgotten_picture_is_in_no_table_checkpoint_or_search(
    settings: Settings, database: Database, tmp_path: Path, form: str
) -> None:
    pictures = gallery(tmp_path / "in")
    run(settings, pictures, format=form)
    run(settings, pictures, dimension=6, format=form)
    pairs = stored(database, "SELECT image_id, fingerprint FROM pictures.images")
    vectors = open_checkpoint(settings.checkpoint, "pictures", SPACE).vectors_of(pairs)
    before = {image_id: vector for (image_id, _), vector in vectors.items()}
    done = forget(settings, database, GONE)
    assert done.vectors == {SPACE.name: 1, SMALL.name: 1}
    assert done.answers == {SPACE.name: 1, SMALL.name: 1}
    for table in ("images", SPACE.name, SMALL.name):
        assert stored(database, f"SELECT count(*) FROM pictures.{table} WHERE image_id = '{GONE}'") == [(0,)]
    assert GONE not in {hit.image_id for hit in find(database, "red", k=50).hits}
    for space in (SPACE, SMALL):
        assert known_ids(settings, space) == set(before) - {GONE}
    checkpoint = open_checkpoint(settings.checkpoint, "pictures", SPACE)
    for chunk in checkpoint.vectors():
        for image_id, vector in zip(chunk.image_ids, chunk.vectors, strict=True):
            assert np.array_equal(vector, before[image_id]), "what stays is not touched"
    assert {path.suffix for path in Path(checkpoint.location).glob("part-*")} == {f".{form}"}
    assert stored(database, "SELECT rows FROM pictures.spaces") == [(11,), (11,)]


def test_no_dead_row_holds_the_vector(settings: Settings, database: Database, source: Path) -> None:
    with database.connection() as (conn, _):
        conn.execute("ALTER TABLE pictures.images SET (autovacuum_enabled = false)")
        conn.execute(f"ALTER TABLE pictures.{SPACE.name} SET (autovacuum_enabled = false)".encode())
    assert forget(settings, database, GONE).notes == []
    for table in ("images", SPACE.name, SMALL.name):
        dead = f"SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'pictures.{table}'::regclass"
        assert stored(database, dead) == [(0,)]


def test_a_transaction_that_is_still_open_is_named(settings: Settings, database: Database, source: Path) -> None:
    with database.connection() as (conn, _), conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        conn.execute("SELECT count(*) FROM pictures.images")
        notes = forget(settings, database, GONE).notes
    assert any("still open keeps dead rows of images" in note for note in notes)


def test_re_indexing_never_brings_it_back_and_the_account_says_so(
    settings: Settings, database: Database, source: Path
) -> None:
    forget(settings, database, GONE)
    paint(source / GONE, (1, 2, 3))  # other bytes under the same name
    embedder = Counting()
    ended = run(settings, source, embedder=embedder, retry_failed=True)
    balanced(ended)
    assert embedder.calls == 0
    assert ended.plan.skipped == {FORGOTTEN: 1}
    assert (ended.account.listed, ended.account.skipped, ended.account.reused) == (12, 1, 11)
    assert ended.account.vanished == 0
    assert GONE not in known_ids(settings)
    assert stored(database, "SELECT count(*) FROM pictures.images") == [(11,)]


def test_it_stays_away_after_the_schema_is_dropped(settings: Settings, database: Database, source: Path) -> None:
    forget(settings, database, GONE)
    with database.connection() as (conn, _):
        conn.execute("DROP SCHEMA pictures CASCADE")
        conn.execute("DROP SCHEMA pinakes CASCADE")
    embedder = Counting()
    ended = run(settings, source, embedder=embedder)
    assert embedder.calls == 0
    assert ended.account.rows_written == 22
    assert stored(database, f"SELECT image_id FROM pictures.images WHERE image_id = '{GONE}'") == []
    assert stored(database, "SELECT image_id FROM pictures.forgotten") == [(GONE,)], "the table learns it from the file"


def test_a_checkpoint_begun_elsewhere_learns_it_from_the_table(
    settings: Settings, database: Database, source: Path, tmp_path: Path
) -> None:
    forget(settings, database, GONE)
    elsewhere = str(tmp_path / "elsewhere")
    ended = run(settings, source, checkpoint=elsewhere, pay_again=True)
    assert (ended.account.embedded, ended.account.skipped) == (11, 1)
    assert {each.image_id for each in tombstone_file(elsewhere, "pictures").read()} == {GONE}


def test_by_id_a_picture_of_equal_bytes_stays_and_is_told_of(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    pictures = gallery(tmp_path / "in", 4)
    (pictures / "copy.png").write_bytes((pictures / GONE).read_bytes())
    run(settings, pictures)
    found = forgetting(settings, database).find([GONE])
    assert (found.image_ids, found.equal) == ([GONE], ["copy.png"])
    forget(settings, database, GONE)
    assert "copy.png" in known_ids(settings)
    assert run(settings, pictures).account.reused == 4


def test_the_size_of_a_picture_is_forgotten_with_the_last_one_that_has_its_bytes(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    pictures = gallery(tmp_path / "in", 4)
    paint(pictures / GONE, (1, 2, 3), (30, 20))
    (pictures / "copy.png").write_bytes((pictures / GONE).read_bytes())
    run(settings, pictures)
    large = "SELECT width, height FROM pictures.pixels WHERE width > 12"
    forget(settings, database, GONE)
    assert stored(database, large) == [(30, 20)]
    forget(settings, database, "copy.png")
    assert stored(database, large) == []
    assert stored(database, "SELECT count(*) FROM pictures.pixels") == [(3,)]


def test_by_bytes_every_copy_goes_and_a_renamed_one_is_kept_out(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    pictures = gallery(tmp_path / "in", 4)
    (pictures / "copy.png").write_bytes((pictures / GONE).read_bytes())
    run(settings, pictures)
    done = forget(settings, database, GONE, equal_bytes=True)
    assert done.image_ids == ["copy.png", GONE]
    (pictures / "copy.png").rename(pictures / "under another name.png")
    embedder = Counting()
    ended = run(settings, pictures, embedder=embedder)
    assert embedder.calls == 0
    assert ended.plan.skipped == {FORGOTTEN: 2}
    assert known_ids(settings) == {"p00.png", "p01.png", "p02.png"}
    paint(pictures / "copy.png", (9, 9, 9))
    assert run(settings, pictures).plan.skipped == {FORGOTTEN: 3}, "its name is kept out as well"


def test_by_bytes_a_picture_that_has_other_bytes_by_now_stays_and_what_is_known_of_its_former_ones_goes(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    pictures = gallery(tmp_path / "in", 4)
    for name in ("replaced.png", "unclear.png"):
        (pictures / name).write_bytes((pictures / GONE).read_bytes())
    run(settings, pictures)
    paint(pictures / "replaced.png", (200, 0, 0))
    run(settings, pictures)
    with database.connection() as (conn, _):
        conn.execute("UPDATE pictures.images SET fingerprint = 'crc32c:00000000:1' WHERE image_id = 'unclear.png'")
    own = forgetting(settings, database)
    assert own.find([GONE]).equal == ["unclear.png"], "only an MD5 says that the bytes are others"
    found = own.find([GONE], equal_bytes=True)
    assert found.image_ids == [GONE, "unclear.png"]
    (former,) = found.fingerprints
    assert own.forget(found).answers == {SPACE.name: 3}
    ledger = open_checkpoint(settings.checkpoint, "pictures", SPACE).ledger()
    assert former not in {row.fingerprint for row in ledger}
    assert "replaced.png" in {hit.image_id for hit in find(database, "red", k=50).hits}
    embedder = Counting()
    ended = run(settings, pictures, embedder=embedder)
    assert (ended.account.reused, ended.account.skipped, embedder.calls) == (4, 2, 0)


def test_by_bytes_the_copies_of_a_picture_go_that_cannot_be_read_any_more(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    pictures = gallery(tmp_path / "in", 4)
    (pictures / "copy.png").write_bytes((pictures / GONE).read_bytes())
    run(settings, pictures)
    with database.connection() as (conn, _):
        conn.execute("DROP SCHEMA pictures CASCADE")
    (pictures / GONE).unlink()
    (pictures / GONE).symlink_to("nowhere")
    run(settings, pictures)
    assert stored(database, f"SELECT fingerprint FROM pictures.images WHERE image_id = '{GONE}'") == [("",)]
    own = forgetting(settings, database)
    assert own.find([GONE]).equal == ["copy.png"]
    found = own.find([GONE], equal_bytes=True)
    assert (found.image_ids, found.notes) == (["copy.png", GONE], [])


def test_every_former_state_of_a_picture_is_forgotten(settings: Settings, database: Database, source: Path) -> None:
    paint(source / GONE, (200, 0, 0))
    run(settings, source)
    assert forget(settings, database, GONE).answers == {SPACE.name: 2, SMALL.name: 1}
    assert GONE.encode() not in kept_bytes(settings)


def test_a_failed_picture_is_forgotten_with_its_reason(settings: Settings, database: Database, source: Path) -> None:
    (source / "torn.png").write_bytes(b"\x89PNG no picture")
    run(settings, source)
    assert "torn.png" in known_ids(settings)
    forget(settings, database, "torn.png")
    assert "torn.png" not in known_ids(settings)
    ended = run(settings, source)
    assert (ended.account.failed, ended.account.skipped) == (0, 1)


def test_a_picture_may_be_kept_out_before_it_is_ever_listed(
    settings: Settings, database: Database, source: Path
) -> None:
    with pytest.raises(UsageError, match=r"no image 'new.png' in pictures.*--ahead"):
        forget(settings, database, "new.png")
    forget(settings, database, "new.png", ahead=True)
    paint(source / "new.png", (5, 5, 5))
    embedder = Counting()
    assert run(settings, source, embedder=embedder).plan.skipped == {FORGOTTEN: 1}
    assert embedder.calls == 0


def test_undone_it_is_embedded_again(settings: Settings, database: Database, source: Path) -> None:
    forget(settings, database, GONE, equal_bytes=True)
    own = forgetting(settings, database)
    with pytest.raises(UsageError, match=r"'p04\.png' was not forgotten"):
        own.undo(["p04.png"])
    assert own.undo([GONE]) == [GONE]
    assert len(own.tombstones()) == 0
    embedder = Counting()
    ended = run(settings, source, embedder=embedder)
    assert (ended.account.embedded, ended.account.skipped, embedder.calls) == (1, 0, 1)


def test_of_two_pictures_forgotten_together_by_their_bytes_one_is_let_in_and_the_other_stays_out(
    settings: Settings, database: Database, source: Path
) -> None:
    forget(settings, database, GONE, "p04.png", equal_bytes=True)
    own = forgetting(settings, database)
    assert own.undo([GONE], equal_bytes=True) == [GONE]
    ended = run(settings, source)
    assert (ended.account.embedded, ended.account.skipped) == (1, 1)
    assert own.tombstones().ids == {"p04.png"}


def test_undoing_one_of_several_copies_leaves_the_bytes_out_until_all_are_meant(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    pictures = gallery(tmp_path / "in", 4)
    (pictures / "copy.png").write_bytes((pictures / GONE).read_bytes())
    run(settings, pictures)
    forget(settings, database, GONE, equal_bytes=True)
    own = forgetting(settings, database)
    own.undo([GONE])
    assert run(settings, pictures).plan.skipped == {FORGOTTEN: 2}
    own.undo(["copy.png"], equal_bytes=True)
    assert run(settings, pictures).account.embedded == 2


def test_a_dry_run_an_export_and_an_import_honour_it(
    settings: Settings, database: Database, source: Path, tmp_path: Path, pinakes: Any
) -> None:
    before = tmp_path / "before.csv"
    export(before, collection="pictures", space=SPACE, checkpoint=settings.checkpoint)
    own = forgetting(settings, database)
    # As after a crash: the tombstone stands, and the checkpoint still has the answer.
    own._file.add(_tombstones(own, GONE))
    with using(Counting()):
        planned = dry_run(request_of(settings, source), settings)["plan"]
    assert (planned["skipped"], planned["reused"]) == (1, 11)
    after = tmp_path / "after.csv"
    assert export(after, collection="pictures", space=SPACE, checkpoint=settings.checkpoint).rows == 11
    assert GONE not in after.read_text()
    own.forget(own.find([GONE]))
    summary = json.loads(pinakes("import", str(before), str(source), "--json"))
    assert (summary["imported"], summary["skipped"]) == (11, 1)
    assert stored(database, f"SELECT count(*) FROM pictures.images WHERE image_id = '{GONE}'") == [(0,)]


def test_a_forgetting_that_died_is_finished_by_a_run_and_by_the_next_one(
    settings: Settings, database: Database, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    own = forgetting(settings, database)
    with monkeypatch.context() as patched:
        patched.setattr("pinakes.takedowns.forget.add_tombstones", dies)
        with pytest.raises(KeyboardInterrupt):
            own.forget(own.find([GONE]))
    assert stored(database, "SELECT count(*) FROM pictures.images") == [(12,)]
    ended = run(settings, source)
    assert (ended.account.skipped, ended.account.vanished, ended.account.rows_written) == (1, 0, 1)
    assert stored(database, "SELECT count(*) FROM pictures.images") == [(11,)]
    assert stored(database, "SELECT rows FROM pictures.spaces") == [(11,), (11,)]
    with monkeypatch.context() as patched:
        patched.setattr("pinakes.checkpoints.parts.Parts.delete", dies)
        with pytest.raises(KeyboardInterrupt):
            own.forget(own.find([GONE]))
    assert len(open_checkpoint(settings.checkpoint, "pictures", SPACE).ledger()) == 12, "doubles, which count once"
    own.forget(own.find([GONE]))
    assert len(open_checkpoint(settings.checkpoint, "pictures", SPACE).ledger()) == 11
    assert known_ids(settings, SMALL) == known_ids(settings)


def test_a_run_that_is_writing_is_waited_for_or_named(settings: Settings, database: Database, source: Path) -> None:
    with Lease(database.dsn, f"pictures/{SMALL.name}", seconds=3), pytest.raises(LockHeldError, match=SMALL.name):
        forget(settings, database, GONE)
    assert stored(database, "SELECT count(*) FROM pictures.images") == [(12,)]
    forget(settings, database, GONE)


def test_a_space_that_only_the_checkpoint_knows_is_cleared_too(
    settings: Settings, database: Database, source: Path
) -> None:
    with database.connection() as (conn, _):
        conn.execute("DROP SCHEMA pictures CASCADE")
    done = forget(settings, database, GONE)
    assert done.vectors == {}
    assert done.answers == {SPACE.name: 1, SMALL.name: 1}
    assert GONE.encode() not in kept_bytes(settings)
    assert run(settings, source).account.skipped == 1


def test_a_collection_that_nothing_knows_is_refused(settings: Settings, database: Database) -> None:
    with pytest.raises(UsageError, match="there is no collection 'pictures'"):
        forgetting(settings, database)


def test_a_list_of_tombstones_that_cannot_be_read_stops_every_run(
    settings: Settings, database: Database, source: Path
) -> None:
    forget(settings, database, GONE)
    (listed,) = (Path(settings.checkpoint) / "pictures").glob("forgotten-*.json")
    listed.write_text('{"format": 1, "forgot')
    with pytest.raises(CheckpointError, match="not a list of forgotten pictures"):
        run(settings, source)
    listed.write_text('{"format": 2, "forgotten": []}')
    with pytest.raises(CheckpointError, match=r"has format 2.*upgrade Pinakes"):
        run(settings, source)


def test_thumbnails_and_cached_fingerprints_are_gone(settings: Settings, database: Database, source: Path) -> None:
    folder = settings.home.joinpath(*THUMBNAILS)
    thumbnails = Thumbnails(folder)
    sheets = DiskCache(folder.parent / MAP_SHEETS, 1 << 20)
    sheets.put("a-sheet", b"small pictures, the forgotten one among them")
    for _, uri, fingerprint in stored(database, "SELECT image_id, uri, fingerprint FROM pictures.images"):
        for size in SIZES:
            thumbnails.of(fingerprint, uri, size)
    made = set(folder.rglob("*-*"))
    _cache_all(settings, source)
    ((_, _, fingerprint),) = stored(
        database, f"SELECT image_id, uri, fingerprint FROM pictures.images WHERE image_id = '{GONE}'"
    )
    done = forget(settings, database, GONE)
    assert done.thumbnails == len(SIZES)
    assert sheets.get("a-sheet") is None
    assert done.cached == 1
    assert len(made - set(folder.rglob("*-*"))) == len(SIZES)
    cache = (settings.home / "fingerprints.sqlite").read_bytes()
    assert bytes.fromhex(fingerprint.removeprefix("md5:")) not in cache, "overwritten, not only unlinked"
    run(settings, source)
    assert GONE.encode() not in (settings.home / "fingerprints.sqlite").read_bytes(), "nor is it hashed again"


def test_a_picture_whose_bytes_changed_since_it_was_looked_up_leaves_no_thumbnail(
    settings: Settings, database: Database, source: Path
) -> None:
    own = forgetting(settings, database)
    found = own.find([GONE])
    paint(source / GONE, (200, 0, 0))
    run(settings, source)
    ((uri, fingerprint),) = stored(database, f"SELECT uri, fingerprint FROM pictures.images WHERE image_id = '{GONE}'")
    thumbnails = Thumbnails(settings.home.joinpath(*THUMBNAILS))
    for size in SIZES:
        thumbnails.of(fingerprint, uri, size)
    assert own.forget(found).thumbnails == len(SIZES)


def test_a_forgotten_url_is_not_fetched_again(settings: Settings, database: Database, tmp_path: Path) -> None:
    pictures = gallery(tmp_path / "web", 3)
    with WebFake() as web:
        for path in pictures.iterdir():
            web.pages[f"/{path.name}"] = path.read_bytes()
            web.types[f"/{path.name}"] = "image/png"
        urls = tmp_path / "urls.txt"
        urls.write_text("".join(f"{web.url}/{path.name}\n" for path in sorted(pictures.iterdir())))
        run(settings, urls)
        ((image_id, uri),) = stored(
            database, "SELECT image_id, uri FROM pictures.images WHERE image_id LIKE '%p01.png'"
        )
        assert _etags(settings, uri) == 1
        forget(settings, database, image_id)
        assert _etags(settings, uri) == 0
        before = web.requests["/p01.png"]
        assert run(settings, urls).account.skipped == 1
        assert web.requests["/p01.png"] == before
        assert _etags(settings, uri) == 0


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsFake]:
    with GcsFake(page=7) as started:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", started.url)
        started.bucket("kept")
        yield started


def test_on_a_bucket_it_is_the_same(settings: Settings, database: Database, tmp_path: Path, bucket: GcsFake) -> None:
    pictures, root = gallery(tmp_path / "in"), "gs://kept/some/folder"
    run(settings, pictures, checkpoint=root)
    own = Takedowns(settings, database, "pictures", checkpoint=root)
    own.forget(own.find([GONE]))
    assert known_ids(settings, SPACE, root) == {f"p{n:02}.png" for n in range(12)} - {GONE}
    names = set(bucket.buckets["kept"].objects)
    assert sum("/pictures/forgotten-" in name for name in names) == 1
    with database.connection() as (conn, _):
        conn.execute("DROP SCHEMA pictures CASCADE")
    assert run(settings, pictures, checkpoint=root).account.skipped == 1
    own = Takedowns(settings, database, "pictures", checkpoint=root)
    own.undo([GONE])
    assert not any("/pictures/forgotten-" in name for name in bucket.buckets["kept"].objects)


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def pinakes(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PINAKES_HOME", str(settings.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", settings.database_url or "")

    def invoke(*arguments: str) -> str:
        outcome = CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)
        if outcome.exception:
            raise outcome.exception
        return outcome.output

    return invoke


def test_the_command_asks_lists_and_undoes(pinakes: Any, source: Path) -> None:
    with pytest.raises(UsageError, match="add --yes"):
        pinakes("forget", GONE)
    with pytest.raises(UsageError, match="--list by itself"):
        pinakes("forget")
    with pytest.raises(UsageError, match="--list by itself"):
        pinakes("forget", GONE, "--list")
    told = pinakes("forget", GONE, "--bytes", "--yes")
    assert told.startswith("1 picture of pictures forgotten\n  vectors out of the table        2\n")
    listed = pinakes("forget", "--list")
    assert all(len(line) <= 80 for line in listed.splitlines())
    assert GONE in listed
    (one,) = json.loads(pinakes("forget", "--list", "--json"))["forgotten"]
    assert one["image_id"] == GONE
    assert one["fingerprint"].startswith("md5:")
    assert "1 picture may come back" in pinakes("forget", GONE, "--undo")
    assert pinakes("forget", "--list") == "nothing was forgotten\n"
    assert json.loads(pinakes("forget", "p01.png", "--yes", "--json"))["forgotten"] == ["p01.png"]


def test_what_is_to_be_forgotten_is_named_before_it_is_done(
    pinakes: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(text: str, **_: object) -> bool:
        asked.append(text)
        return False

    monkeypatch.setattr("pinakes.cli.options.sys", _Terminal)
    monkeypatch.setattr("pinakes.cli.options.click.confirm", refuse)
    with pytest.raises(PinakesError, match=r"^nothing was removed\.$"):
        pinakes("forget", GONE)
    assert asked == ["Forget 1 picture of pictures for good?"]
    assert pinakes("forget", "--list") == "nothing was forgotten\n"


class _Terminal:
    class stdin:  # noqa: N801 - stands for the module's attribute
        @staticmethod
        def isatty() -> bool:
            return True


def _tombstones(own: Takedowns, image_id: str) -> Tombstones:
    return Tombstones([Tombstone(image_id, "", utc_now())])


def _cache_all(settings: Settings, source: Path) -> None:
    """Keep fingerprints at once; otherwise that is done of files that are a while old, and a ctime cannot be set back."""
    with FingerprintCache(settings.home) as cache:
        for path in source.iterdir():
            fingerprint, state = fingerprint_file(os.fsencode(path))
            cache.put(os.fsencode(f"{source}/"), os.fsencode(path.name), state, fingerprint, started_ns=FAR)


def _etags(settings: Settings, url: str) -> int:
    with sqlite3.connect(settings.home / "etags.sqlite") as conn:
        return int(conn.execute("SELECT count(*) FROM etags WHERE url = ?", (url,)).fetchone()[0])
