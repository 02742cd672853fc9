"""The stages of a run against a real PostgreSQL and real files."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pinakes.checkpoints.base import VectorChunk
from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.errors import AccountError, EmbedderError, PruneRefusedError, SourceError, UsageError
from pinakes.ingest import stages
from pinakes.ingest.account import Account
from pinakes.ingest.answers import defer_the_rest
from pinakes.ingest.listing import Planned, list_and_plan
from pinakes.ingest.loading import close_account, load
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.plan import Plan
from pinakes.ingest.run import Ingestion
from pinakes.ingest.stopping import stop_requested
from pinakes.operations.status import status
from pinakes.settings import Settings
from pinakes.sources.base import Source
from pinakes.sources.kinds import open_source
from pinakes.store.collections import ensure_collection
from pinakes.store.database import Database
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.space_registry import activate, register_space, vector_tables
from pinakes.types import Answer, Entry, ErrorClass, Failure, Image, Rejected
from tests.counting import Counting
from tests.running import embed_one_by_one, find, gallery, paint, request_of, run, run_stages, stored, using

SPACE = "counting_colours_1_27"
VECTOR = np.ones(27, dtype=np.float32)
ODD_NAMES = [
    'it\'s "quoted".png',
    "two\nlines.png",
    "100%.png",
    "caf\u00e9.png",
    "cafe\u0301 nfd.png",
    "ns/" + "x" * 251 + ".png",
    "semi;colon--.png",
    "räksmörgås/日本語.png",
]


def counts(database: Database) -> tuple[int, int]:
    ((images, vectors),) = stored(
        database, f"SELECT (SELECT count(*) FROM pictures.images), (SELECT count(*) FROM pictures.{SPACE})"
    )
    return images, vectors


def writes(database: Database) -> list[tuple[object, ...]]:
    return stored(
        database,
        "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables"
        " WHERE schemaname = 'pictures' ORDER BY relname",
    )


def test_a_first_run_embeds_every_picture_once(settings: Settings, database: Database, tmp_path: Path) -> None:
    embedder = Counting()
    account = run(settings, gallery(tmp_path / "in"), embedder=embedder, batch_size=5).account
    assert (account.listed, account.embedded, account.calls, account.rows_written) == (12, 12, 12, 24)
    assert len(set(embedder.asked)) == 12
    assert counts(database) == (12, 12)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_an_unchanged_run_calls_nothing_and_writes_no_row(
    settings: Settings, database: Database, tmp_path: Path, kind: str
) -> None:
    source = gallery(tmp_path / "in")
    run(settings, source, format=kind)
    with database.connection() as (conn, _):
        conn.execute("SELECT pg_stat_force_next_flush()")
    before = writes(database)
    again = run(settings, source, format=kind).account
    with database.connection() as (conn, _):
        conn.execute("SELECT pg_stat_force_next_flush()")
    assert (again.calls, again.embedded, again.reused, again.rows_written, again.answers) == (0, 0, 12, 0, 0)
    assert writes(database) == before


def test_what_vectors_are_about_is_read_without_the_vectors(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    run(settings, gallery(tmp_path / "in", 3))
    ((space,),) = stored(database, "SELECT space FROM pictures.spaces")
    with database.connection() as (conn, _):
        conn.execute(f"VACUUM pictures.{space}".encode())
        conn.execute("SET enable_seqscan = off")
        plan = conn.execute(f"EXPLAIN SELECT image_id, fingerprint FROM pictures.{space}".encode()).fetchall()
    assert plan[0][0].startswith("Index Only Scan")


def test_vectors_are_vacuumed_after_the_first_load_alone(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    # Later it would clean the index as well, which takes minutes for a few dead rows.
    source = gallery(tmp_path / "in")
    for colour in ((200, 10, 10), (10, 10, 200)):
        paint(source / "more.jpg", colour)
        run(settings, source)
        ((space,),) = stored(database, "SELECT space FROM pictures.spaces")
        vacuumed = stored(database, "SELECT relname, vacuum_count FROM pg_stat_user_tables WHERE vacuum_count > 0")
        assert vacuumed == [(space, 1)]


def test_a_dropped_schema_is_rebuilt_from_the_checkpoint_without_a_call(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in")
    run(settings, source)
    with database.connection() as (conn, _):
        conn.execute("DROP SCHEMA pictures CASCADE")
        conn.execute("DROP SCHEMA pinakes CASCADE")
    account = run(settings, source).account
    assert (account.calls, account.reused) == (0, 12)
    assert counts(database) == (12, 12)


def test_names_of_every_kind_survive_the_round_trip(settings: Settings, database: Database, tmp_path: Path) -> None:
    for number, name in enumerate(ODD_NAMES):
        paint(tmp_path / "in" / name, (number * 30, 100, 50))
    account = run(settings, tmp_path / "in", format="csv").account
    assert account.embedded == len(ODD_NAMES)
    ids = {image_id for (image_id,) in stored(database, "SELECT image_id FROM pictures.images")}
    assert ids == {unicodedata.normalize("NFC", name) for name in ODD_NAMES}
    for image_id in ids:
        assert find(database, like=image_id, k=3).hits[0].image_id != image_id
    assert run(settings, tmp_path / "in").account.calls == 0


def test_equal_bytes_are_asked_for_once_and_stored_twice(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 3)
    shutil.copy(source / "p00.png", source / "copy.png")
    account = run(settings, source).account
    assert (account.embedded, account.calls, account.duplicates) == (4, 3, 1)
    assert counts(database) == (4, 4)


def test_a_renamed_picture_is_not_paid_for_again(settings: Settings, database: Database, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 3)
    run(settings, source)
    (source / "p00.png").rename(source / "renamed.png")
    account = run(settings, source).account
    assert (account.calls, account.reused, account.vanished) == (0, 3, 1)
    assert counts(database) == (4, 4)
    assert run(settings, source, prune=True, prune_share=0.5).account.pruned == 1
    assert counts(database) == (3, 3)


def test_a_changed_picture_is_embedded_anew_and_its_old_vector_is_gone(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 3)
    run(settings, source)
    paint(source / "p00.png", (1, 2, 3), size=(20, 20))
    account = run(settings, source).account
    assert (account.calls, account.embedded, account.reused, account.rows_written) == (1, 1, 2, 2)
    ((current,),) = stored(
        database, f"SELECT count(*) FROM pictures.{SPACE} v JOIN pictures.images i USING (image_id, fingerprint)"
    )
    assert current == 3


def test_a_picture_that_changed_and_failed_no_longer_answers_for_its_old_bytes(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 3)
    run(settings, source)
    (source / "p00.png").write_bytes(b"not a picture at all")
    account = run(settings, source).account
    assert (account.failed, account.reused) == (1, 2)
    assert counts(database) == (3, 2)


def test_a_failed_picture_keeps_its_row_and_its_reason(settings: Settings, database: Database, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 3)
    (source / "broken.png").write_bytes(b"broken")
    account = run(settings, source).account
    assert (account.embedded, account.failed, account.new_failures) == (3, 1, 1)
    assert counts(database) == (4, 3)
    hits = find(database, text="broken").hits
    assert [hit.image_id for hit in hits] == ["broken.png"]


def test_a_final_failure_is_not_tried_again_until_asked(settings: Settings, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 2)
    (source / "broken.png").write_bytes(b"broken")
    run(settings, source)
    again = run(settings, source).account
    assert (again.calls, again.failed, again.new_failures) == (0, 1, 0)
    asked = run(settings, source, retry_failed=True).account
    assert (asked.calls, asked.failed, asked.new_failures) == (1, 1, 1)


def test_a_transient_failure_is_tried_again_by_every_run(settings: Settings, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 3)
    embedder = Counting()
    embedder.fail["p01.png"] = Failure(ErrorClass.TIMEOUT, "no answer within 30 s")
    first = run(settings, source, embedder=embedder).account
    assert (first.embedded, first.failed) == (2, 1)
    second = run(settings, source).account
    assert (second.embedded, second.reused, second.failed, second.calls) == (1, 2, 0, 1)
    checkpoint = open_checkpoint(settings.checkpoint, "pictures", Counting().facts.space)
    assert {row.attempts for row in checkpoint.ledger() if row.image_id == "p01.png"} == {2}


def test_a_vector_of_a_wrong_dimension_stops_the_run(settings: Settings, tmp_path: Path) -> None:
    embedder = Counting()
    embedder._fitted = lambda values: values[:5]  # type: ignore[method-assign]  # a provider that changes its mind
    with pytest.raises(EmbedderError, match=r"shape \(5,\), and the space counting_colours_1_27 has 27"):
        run(settings, gallery(tmp_path / "in"), embedder=embedder)


def test_a_zero_vector_fails_that_picture_alone(settings: Settings, tmp_path: Path) -> None:
    embedder = Counting()
    fitted = embedder._fitted
    embedder._fitted = lambda values: fitted(values) * (values[0] > 0)  # type: ignore[method-assign]  # black is zero
    account = run(settings, gallery(tmp_path / "in"), embedder=embedder).account
    assert (account.embedded, account.failed) == (11, 1)


def test_a_stop_defers_what_was_not_reached_and_the_next_run_resumes(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in")
    embedder = Counting()
    with using(embedder), open_ingestion(request_of(settings, source, batch_size=4), settings) as ingestion:
        count = embedder._count

        def stop_at_the_sixth(fingerprint: str) -> None:
            count(fingerprint)
            if embedder.calls == 6:
                stop_requested.set()

        embedder._count = stop_at_the_sixth  # type: ignore[method-assign]
        try:
            account = run_stages(ingestion).account
        finally:
            stop_requested.clear()
    assert (account.embedded, account.deferred) == (6, 6)
    assert counts(database) == (12, 6)
    resumed = run(settings, source).account
    assert (resumed.embedded, resumed.reused, resumed.calls) == (6, 6, 6)


def test_pruning_needs_a_whole_listing_and_refuses_too_large_a_share(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in")
    run(settings, source)
    for number in range(4):
        (source / f"p{number:02}.png").unlink()
    with pytest.raises(PruneRefusedError, match="4 of 12 pictures are not listed any more"):
        run(settings, source, prune=True)
    with pytest.raises(UsageError, match="leave out --limit"):
        request_of(settings, source, prune=True, limit=3)
    assert counts(database) == (12, 12)
    assert run(settings, source, prune=True, prune_share=0.4).account.pruned == 4
    assert counts(database) == (8, 8)


def test_metadata_is_merged_and_kept_by_a_run_without(settings: Settings, database: Database, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 3)
    table = tmp_path / "meta.csv"
    table.write_text("file,title,author,shelf\np00.png,Étude,Müller,A 1\np01.png,Nuit,Müller,\nnone.png,x,y,z\n")
    first = run(settings, source, metadata=(str(table),))
    assert first.outcome.loaded.join_report is not None
    assert (first.outcome.loaded.join_report.matched, first.outcome.loaded.join_report.metadata_without_image) == (2, 1)
    assert run(settings, source).account.rows_written == 0
    assert [hit.image_id for hit in find(database, text="etude muller").hits] == ["p00.png", "p01.png"]
    hits = find(database, text="red", where=["author=Müller"]).hits
    assert {hit.image_id for hit in hits} == {"p00.png", "p01.png"}
    assert find(database, text="red", where=["shelf=A 1"]).hits[0].metadata["shelf"] == "A 1"


def test_a_corrected_title_touches_no_vector(settings: Settings, database: Database, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 3)
    table = tmp_path / "meta.csv"
    table.write_text("file,title\np00.png,Wrong\n")
    run(settings, source, metadata=(str(table),))
    table.write_text("file,title\np00.png,Right\n")
    account = run(settings, source, metadata=(str(table),)).account
    assert (account.rows_written, account.calls) == (1, 0)
    assert stored(database, "SELECT title FROM pictures.images WHERE image_id = 'p00.png'") == [("Right",)]


def test_a_second_dimension_is_a_second_space_beside_the_first(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 3)
    run(settings, source)
    second = run(settings, source, dimension=9)
    assert second.account.embedded == 3
    assert not second.outcome.indexed.active
    spaces = stored(database, "SELECT space, active FROM pictures.spaces ORDER BY space")
    assert spaces == [(SPACE, True), ("counting_colours_1_9", False)]
    assert counts(database) == (3, 3)


def test_a_second_source_root_for_a_collection_is_refused(settings: Settings, tmp_path: Path) -> None:
    run(settings, gallery(tmp_path / "one", 2))
    with pytest.raises(UsageError, match="a collection has one source root; name another with --collection"):
        run(settings, gallery(tmp_path / "two", 2))


def test_missing_and_empty_folders_are_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        run(settings, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="empty"):
        run(settings, tmp_path / "empty")


def test_a_run_is_entered_with_how_it_ended(settings: Settings, database: Database, tmp_path: Path) -> None:
    run(settings, gallery(tmp_path / "in", 2))
    (tmp_path / "in" / "p00.png").unlink()
    with pytest.raises(PruneRefusedError):
        run(settings, tmp_path / "in", prune=True)
    runs = stored(database, "SELECT state, account->>'embedded' FROM pinakes.runs ORDER BY started_at")
    assert runs == [("completed", "2"), ("failed", "0")]


def test_the_switch_of_spaces_is_atomic_refuses_a_thin_one_and_can_be_undone(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 4)
    run(settings, source)
    run(settings, source, dimension=9, limit=2)
    with database.connection() as (conn, _):
        with pytest.raises(UsageError, match=r"holds 2 of 4 images \(50.0%\), less than 99%"):
            activate(conn, "pictures", "counting_colours_1_9", least_coverage=0.99)
        assert activate(conn, "pictures", "counting_colours_1_9", least_coverage=0.5).name == SPACE
    assert find(database, text="red", k=4).plan.space == "counting_colours_1_9"
    with database.connection() as (conn, _):
        activate(conn, "pictures", SPACE, least_coverage=0.99)
    assert find(database, text="red", k=4).plan.space == SPACE


def test_status_says_that_the_answers_of_a_run_that_died_before_it_loaded_any_are_kept(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    with open_ingestion(request_of(settings, gallery(tmp_path / "in", 5)), settings) as begun:
        planned = list_and_plan(begun)
        embed_one_by_one(begun, planned)
        with database.connection() as (conn, _):
            (space,) = status(conn, settings, "pictures")["spaces"]
        assert "holds 5 answers, and none is loaded yet" in space["problems"][0]
        load(begun, planned)
    with database.connection() as (conn, _):
        (space,) = status(conn, settings, "pictures")["spaces"]
    assert space["problems"] == []


# -- the account against what is kept ----------------------------------------------------------------------------------


def closed_after(settings: Settings, source: Path, damage: Callable[[Ingestion, Plan], object]) -> None:
    """A run whose table or checkpoint is damaged before its account is closed."""
    with using(Counting()), open_ingestion(request_of(settings, source), settings) as ingestion:

        def close(run: Ingestion, planned: Planned) -> Account:
            damage(run, planned.plan)
            return close_account(run, planned)

        stages.run_stages(ingestion, stages.Stages(close_account=close))


@pytest.mark.parametrize(
    "statement",
    [
        f"DELETE FROM pictures.{SPACE} WHERE image_id = 'p00.png'",
        f"UPDATE pictures.{SPACE} SET fingerprint = 'md5:other' WHERE image_id = 'p00.png'",
    ],
)
def test_a_run_fails_where_the_table_disagrees_with_its_account(
    settings: Settings, database: Database, tmp_path: Path, statement: str
) -> None:
    def damage(_ingestion: Ingestion, _plan: Plan) -> None:
        with database.connection() as (conn, _):
            conn.execute(statement.encode())

    source = gallery(tmp_path / "in", 4)
    with pytest.raises(AccountError, match="4 images have a vector by the account and 3 by the table"):
        closed_after(settings, source, damage)
    assert stored(database, "SELECT state FROM pinakes.runs") == [("failed",)]
    assert run(settings, source).account.reused == 4
    assert counts(database) == (4, 4)


def test_a_run_fails_where_the_checkpoint_disagrees_with_its_account(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    def answer_the_failed_one(ingestion: Ingestion, plan: Plan) -> None:
        (broken,) = (image for image in plan.images if image.image_id == "broken.png")
        ingestion.checkpoint.write([Answer(broken.image_id, broken.fingerprint, VECTOR, None, 1, "1")])

    source = gallery(tmp_path / "in", 3)
    (source / "broken.png").write_bytes(b"broken")
    with pytest.raises(AccountError, match="1 images failed by the account and 0 by the checkpoint"):
        closed_after(settings, source, lambda ingestion, _plan: ingestion.checkpoint.erase({"broken.png"}))
    with pytest.raises(AccountError, match="3 images have a vector by the account and 4 by the checkpoint"):
        closed_after(settings, source, answer_the_failed_one)
    assert stored(database, "SELECT state FROM pinakes.runs") == [("failed",)] * 2


def test_bytes_that_failed_for_good_take_the_answer_that_another_name_got(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 3)
    embedder = Counting()
    embedder.fail["p00.png"] = Failure(ErrorClass.UNDECODABLE, "not a picture")
    assert run(settings, source, embedder=embedder).account.failed == 1
    (source / "p00.png").rename(source / "other.png")
    assert run(settings, source, embedder=embedder).account.embedded == 1
    shutil.copy(source / "other.png", source / "p00.png")
    account = run(settings, source, embedder=embedder).account
    assert (account.calls, account.reused, account.failed) == (0, 4, 0)
    assert counts(database) == (4, 4)
    assert find(database, like="p00.png", k=1).hits[0].distance == pytest.approx(0, abs=1e-6)


def test_a_retry_that_was_not_reached_is_deferred_and_no_failure_of_this_run(
    settings: Settings, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 3)
    embedder = Counting()
    embedder.fail["p01.png"] = Failure(ErrorClass.TIMEOUT, "no answer within 30 s")
    assert run(settings, source, embedder=embedder).account.failed == 1
    with using(embedder), open_ingestion(request_of(settings, source), settings) as stopped:
        account = stages.run_stages(stopped, stages.Stages(embed=defer_the_rest)).account
    assert (account.reused, account.failed, account.deferred) == (2, 0, 1)


# -- what is loaded ----------------------------------------------------------------------------------------------------


def test_changed_bytes_lose_their_vectors_in_every_space(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 3)
    run(settings, source)
    run(settings, source, dimension=9)
    paint(source / "p00.png", (1, 2, 3), size=(20, 20))
    run(settings, source)
    assert stored(database, "SELECT image_id FROM pictures.counting_colours_1_9 ORDER BY 1") == [
        ("p01.png",),
        ("p02.png",),
    ]


@pytest.mark.parametrize("empty", [True, False])
def test_a_vector_of_other_bytes_than_the_picture_has_is_not_loaded(
    settings: Settings, database: Database, empty: bool
) -> None:
    space = Counting().facts.space
    names = ["a.png", "b.png"]
    with database.connection() as (conn, _):
        ensure_collection(conn, "pictures", "file:///in")
        register_space(conn, "pictures", space)
        with Lease(database.dsn, "pictures/x", seconds=60) as lease, database.reconnecting() as lasting:
            loader = Loader(lasting, "pictures", space, lease)
            images = pd.DataFrame({"image_id": names, "uri": names, "fingerprint": ["md5:a", "md5:new"]})
            loader.load_images(lambda: [images], with_metadata=False)
            if not empty:
                loader.load_vectors([VectorChunk(["a.png"], ["md5:a"], np.ones((1, 27), np.float32))])
            written = loader.load_vectors([VectorChunk(names, ["md5:a", "md5:old"], np.ones((2, 27), np.float32))])
    assert written.rows == empty
    assert stored(database, f"SELECT image_id, fingerprint FROM pictures.{SPACE}") == [("a.png", "md5:a")]


class Unreadable:
    """A source of which some pictures cannot be read for a while."""

    def __init__(self, whole: Source, names: set[str]) -> None:
        self.root, self.problems, self.read = whole.root, whole.problems, whole.read
        self._whole, self._names = whole, names

    def entries(self) -> Iterator[Entry]:
        failure = Failure(ErrorClass.CONNECTION, "the service answered 503")
        for entry in self._whole.entries():
            bad = isinstance(entry, Image) and entry.image_id in self._names
            yield Rejected(entry.image_id, entry.uri, failure) if bad and isinstance(entry, Image) else entry


@pytest.mark.parametrize("regions", ["none", "grid"])
def test_a_picture_that_cannot_be_read_for_a_while_keeps_its_vectors(
    settings: Settings, database: Database, tmp_path: Path, regions: str
) -> None:
    source = gallery(tmp_path / "in", 3)
    before = run(settings, source, regions=regions)

    def counted() -> list[tuple[int, int]]:
        with database.connection() as (conn, _):
            tables = vector_tables(conn, "pictures")
        return [stored(database, f'SELECT count(*), 0 FROM pictures."{table}"')[0] for table in tables]

    held = counted()
    with using(Counting()):
        request = request_of(settings, source, regions=regions)
        whole = open_source(str(source), home=settings.home)
        with open_ingestion(request, settings, source=Unreadable(whole, {"p01.png"})) as ingestion:
            away = run_stages(ingestion)
    assert (away.account.failed, away.account.reused, away.account.listed) == (1, 2, 3)
    assert counted() == held
    assert [hit.image_id for hit in find(database, like="p01.png", k=2).hits], "it is still found"
    again = run(settings, source, regions=regions)
    assert (again.account.calls, again.account.rows_written, again.account.reused) == (0, 0, before.account.embedded)
