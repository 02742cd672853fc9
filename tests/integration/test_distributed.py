"""Batches that are embedded for a run which another process leads: one database, one fake, no Prefect."""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pinakes import logs
from pinakes.checkpoints import open_checkpoint
from pinakes.embedders.base import Picture
from pinakes.embedders.registry import EMBEDDERS
from pinakes.errors import DatabaseError, LeaseLostError, PinakesError, SettingsError, SourceError
from pinakes.images.regions import is_region
from pinakes.ingest.account import Account
from pinakes.ingest.answers import EmbedStage, verify_embedder
from pinakes.ingest.batch import Batch, BatchResult
from pinakes.ingest.distributed.assignment import Assignment
from pinakes.ingest.distributed.leader import Leader
from pinakes.ingest.distributed.worker import Worker, open_worker
from pinakes.ingest.listing import list_and_plan
from pinakes.ingest.loading import Pruned, build_index, close_account, load
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.summary import Outcome, summarise
from pinakes.settings import Settings
from pinakes.store.assignments import RunOfWorker
from pinakes.store.database import Database
from pinakes.types import Failure, Vector
from tests.counting import COUNTING, Counting
from tests.fakes.azure import AzureFake
from tests.fakes.faults import TRANSIENT, Faults
from tests.fakes.quota import Quota
from tests.integration.test_paid_runs import CHECKS, calls_of, pictures, with_fake
from tests.integration.test_regions import painted
from tests.running import Ended, gallery, request_of, run, stored, using
from tests.waiting import PATIENCE, until


@contextmanager
def led(settings: Settings, source: Path, ways: int, **options: Any) -> Iterator[tuple[EmbedStage, Leader]]:
    """A run as far as its leader's part of embedding."""
    with open_ingestion(request_of(settings, source, **options), settings) as run:
        planned = list_and_plan(run)
        verify_embedder(run, planned)
        stage = EmbedStage(run, planned, ways)
        with Leader(stage, ways) as leader:
            yield stage, leader


def finish(stage: EmbedStage) -> Ended:
    """The stages after embedding."""
    run, planned = stage.run, stage.planned
    loaded = load(run, planned)
    outcome = Outcome(planned, stage.ended(), loaded, Pruned(), build_index(run), close_account(run, planned))
    return Ended(run, outcome, summarise(run, outcome))


def embed_shards(leader: Leader, settings: Settings) -> None:
    """Each shard in a worker of its own, as its flow does it."""
    shards = leader.share_out()

    def one(shard: int) -> None:
        with open_worker(leader.assignment, settings) as worker:
            for batch in worker.batches(shard):
                worker.embed(batch)

    with ThreadPoolExecutor(len(shards)) as pool:
        list(pool.map(one, shards))
    leader.reconcile()


def left_behind(database: Database) -> int:
    ((rows,),) = stored(database, "SELECT count(*) FROM pinakes.batches")
    assert isinstance(rows, int)
    return rows


def test_shards_share_quota_and_allowance_and_the_account_is_that_of_one_machine(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = pictures(tmp_path / "in", 90)
    for number in range(6):
        (source / f"copy{number}.jpg").write_bytes((source / f"p{number:05}.jpg").read_bytes())
    (source / "torn.jpg").write_bytes((source / "p00000.jpg").read_bytes()[:200])
    with AzureFake(quota=Quota(60, burst=5), faults=Faults(seed=3, share=0.04, kinds=TRANSIENT)) as fake:
        known = with_fake(settings, fake)
        options = {"embedder": "azure", "rate": "60/s burst 5", "batch_size": 8}
        with led(known, source, 3, **options) as (stage, leader):
            embed_shards(leader, known)
            ended = finish(stage)
        account, results = ended.account, ended.outcome.embedded.results
        assert (account.embedded, account.failed, account.deferred) == (96, 1, 0)
        assert account.duplicates == 6
        assert results.error is None
        assert fake.counts["throttled"] == 0
        assert fake.counts["delivered"] == 90 + CHECKS <= account.calls
        assert ended.summary["retries"] == results.elsewhere.retries > 0
    assert left_behind(database) == 0


def test_every_call_is_counted_once_and_every_picture_paid_for_once(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = pictures(tmp_path / "in", 60)
    with AzureFake() as fake:
        known = with_fake(settings, fake)
        with led(known, source, 2, embedder="azure", rate="none", batch_size=16) as (stage, leader):
            embed_shards(leader, known)
            ended = finish(stage)
            account, figures = ended.account, ended.summary["provider"]
        assert calls_of(fake, source) == [1] * 60
        assert (account.calls, account.embedded, account.answers) == (60 + CHECKS, 60, 60)
        assert (figures["answered"], figures["lost"]) == (60 + CHECKS, 0)
        assert 0 < figures["p50_ms"] <= figures["p95_ms"]
        assert figures["per_second"] > 0
        assert stage.progress.batches_done == stage.progress.batches == 4
    assert left_behind(database) == 0
    sizes = stored(
        database, "SELECT i.image_id, width, height FROM pictures.images i JOIN pictures.pixels USING (fingerprint)"
    )
    assert sorted(sizes) == [(f"p{number:05}.jpg", 48, 48) for number in range(60)]
    assert stored(database, "SELECT state, outposts FROM pinakes.runs") == [("completed", "closed")]


def test_max_cost_is_one_allowance_for_all_processes(settings: Settings, tmp_path: Path) -> None:
    source = pictures(tmp_path / "in", 50)
    with AzureFake() as fake:
        known = with_fake(settings, fake)
        options = {"embedder": "azure", "rate": "none", "batch_size": 5, "max_cost": 0.0030}
        with led(known, source, 2, **options) as (stage, leader):
            embed_shards(leader, known)
            account = finish(stage).account
        assert fake.calls.total() == account.calls == 30
        assert (account.embedded, account.deferred) == (30 - CHECKS, 50 + CHECKS - 30)
        assert stage.ended().results.error is None


def test_an_assignment_holds_no_secret_and_means_the_same_anywhere(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path / "in", 3)
    monkeypatch.chdir(tmp_path)
    with AzureFake() as fake:
        known = with_fake(settings, fake)
        options = {"embedder": "azure", "rate": "30/s", "checkpoint": "kept", "concurrency": 5}
        (tmp_path / "t.csv").write_text("file,title,from\nred.png,A,1500\n")
        (tmp_path / "ours.toml").write_text('key = "file"\n')
        options |= {
            "metadata": ("t.csv",),
            "match": "(.*)",
            "map": {"date": ""},
            "years": "from",
            "profile": "ours.toml",
        }
        with led(known, Path("in"), 2, **options) as (_, leader):
            assignment = leader.assignment
            shown = assignment.model_dump_json() + repr(pickle.dumps(assignment))
            assert fake.key not in shown
            assert "dbname" not in shown
            assert str(settings.database_url) not in shown
            monkeypatch.chdir("/")
            assert Assignment.model_validate_json(assignment.model_dump_json()) == assignment
            assert assignment.request.source == str(tmp_path / "in")
            assert assignment.request.checkpoint == str(tmp_path / "kept")
            assert (assignment.request.rate, assignment.request.concurrency) == (None, 2)


class Slow(Counting):
    """Waits in the middle of a batch until it is let go."""

    def __init__(self, dimension: int | None = None) -> None:
        super().__init__(dimension)
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.after = 2

    def _count(self, fingerprint: str) -> None:
        super()._count(fingerprint)
        if len(self.asked) == self.after + 1:
            self.reached.set()
            assert self.go_on.wait(PATIENCE)


def take_over(database: Database) -> None:
    """What another run does once the lease has run out."""
    with database.connection() as (conn, _):
        conn.execute("UPDATE pinakes.locks SET token = nextval('pinakes.fencing_tokens'), holder = 'another'")


def parts(settings: Settings) -> list[Path]:
    return sorted(Path(settings.checkpoint).rglob("part-*.parquet"))


def test_a_shard_whose_lease_was_taken_over_in_mid_batch_writes_nothing(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 8)
    slow = Slow()
    with (
        using(slow),
        led(settings, source, 1, batch_size=8) as (stage, leader),
        ThreadPoolExecutor(1) as pool,
    ):
        leader.share_out()
        with open_worker(leader.assignment, settings) as worker:
            (batch,) = worker.batches(1)
            embedding = pool.submit(worker.embed, batch)
            assert slow.reached.wait(PATIENCE)
            take_over(database)
            slow.go_on.set()
            with pytest.raises(LeaseLostError, match="another run has taken over"):
                embedding.result()
            with pytest.raises(LeaseLostError):
                worker.embed(batch)
            assert parts(settings) == []
        leader.reconcile()
    account = stage.run.tally.account()
    assert (account.embedded, account.deferred) == (0, 8)
    assert left_behind(database) == 0


def test_a_worker_of_a_run_that_is_over_closes_by_itself_and_nobody_gets_in(settings: Settings, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 4)
    with using(Counting()):
        with led(settings, source, 1) as (_, leader):
            assignment = leader.assignment
            worker = Worker(assignment, settings)
            (batch,) = leader.batches()
            leader.count(batch.number, worker.embed(batch))
            leader.reconcile()
        assert worker.over.wait(PATIENCE)
        with pytest.raises(LeaseLostError, match="over"):
            worker.embed(batch)
        with pytest.raises(LeaseLostError):
            Worker(assignment, settings)


def test_a_worker_whose_database_does_not_answer_keeps_what_was_answered(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: RunOfWorker) -> None:
        raise DatabaseError("the database does not answer.")

    monkeypatch.setattr("pinakes.ingest.distributed.worker.LOOK_SECONDS", 3600)
    slow = Slow()
    with using(slow), led(settings, gallery(tmp_path / "in", 4), 1) as (stage, leader), ThreadPoolExecutor(1) as pool:
        with open_worker(leader.assignment, settings) as worker, monkeypatch.context() as patch:
            (batch,) = leader.batches()
            embedding = pool.submit(worker.embed, batch)
            assert slow.reached.wait(PATIENCE)
            patch.setattr(RunOfWorker, "standing", away)
            slow.go_on.set()
            leader.count(batch.number, embedding.result())
        leader.reconcile()
        assert finish(stage).account.embedded == 4


def test_no_request_is_begun_for_a_run_that_has_been_asked_to_stop(settings: Settings, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 4)
    with AzureFake() as fake:
        paid = replace(settings, values={**settings.values, **fake.environment})
        with led(paid, source, 1, embedder="azure", rate="none") as (stage, leader):
            worker = Worker(leader.assignment, paid)
            (batch,) = leader.batches()
            charged = fake.counts["charged"]
            leader._store.ask_to_stop()
            result = worker.embed(batch)  # before it has looked by itself
            assert (result.embedded, result.deferred, fake.counts["charged"]) == (0, 4, charged)
            leader.count(batch.number, result)
            leader.reconcile()
            worker.close()
        assert stage.run.tally.account().calls == charged


def test_a_batch_that_is_handed_out_again_when_it_is_done_costs_nothing_and_counts_the_same(
    settings: Settings, log: Path, tmp_path: Path
) -> None:
    with led(settings, gallery(tmp_path / "in", 6), 1) as (stage, leader):
        with open_worker(leader.assignment, settings) as first, open_worker(leader.assignment, settings) as second:
            (batch,) = leader.batches()
            travelled: Batch = pickle.loads(pickle.dumps(batch))
            result = first.embed(travelled)
            assert second.embed(travelled) == result
            assert BatchResult.of(result.as_dict()) == pickle.loads(pickle.dumps(result)) == result
            leader.count(batch.number, result)
            leader.reconcile()
        assert finish(stage).account.calls == calls(log) == 6


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A line for each call of any `counting`: each process has an embedder of its own."""
    log = tmp_path / "calls"
    log.touch()
    monkeypatch.setenv("COUNTING_LOG", str(log))
    return log


def calls(log: Path) -> int:
    return len(log.read_text().splitlines())


class DeadError(Exception):
    """The process is gone."""


def test_what_a_dead_process_has_answered_is_gone_on_from_and_not_asked_again(
    settings: Settings, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = gallery(tmp_path / "in", 9)
    (source / "twin.png").write_bytes((source / "p00.png").read_bytes())
    with led(settings, source, 1) as (stage, leader):
        (batch,) = leader.batches()
        with open_worker(leader.assignment, settings) as dying:
            half = Batch(batch.number, batch.total, batch.work[:4])
            monkeypatch.setattr(dying._run, "end", lambda *_: (_ for _ in ()).throw(DeadError()))
            with pytest.raises(DeadError):
                dying.embed(half)
        with open_worker(leader.assignment, settings) as other:
            leader.count(batch.number, other.embed(batch))
        leader.reconcile()
        account = finish(stage).account
    assert calls(log) == 9
    assert (account.embedded, account.duplicates, account.calls) == (10, 1, 9)


def test_a_shard_that_died_leaves_a_run_that_is_unfinished_and_a_second_run_completes_it(
    settings: Settings, database: Database, log: Path, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 20)
    with led(settings, source, 2, batch_size=5) as (stage, leader):
        assert leader.share_out() == [1, 2]
        with open_worker(leader.assignment, settings) as alive:
            for batch in alive.batches(1):
                alive.embed(batch)
            first, _ = alive.batches(2)
            alive.embed(first)
        leader.lost_shard(2, "shard 2 of 2 ended Crashed.")
        leader.reconcile()
        account = finish(stage).account
    assert stage.ended().results.error == "shard 2 of 2 ended Crashed."
    assert (account.embedded, account.deferred, account.calls) == (15, 5, 15)
    assert left_behind(database) == 0
    with led(settings, source, 1) as (again, leader):
        embed_shards(leader, settings)
        second = finish(again).account
    assert (second.reused, second.embedded) == (15, 5)
    assert calls(log) == 20


def test_a_stop_reaches_the_other_processes_in_mid_batch(settings: Settings, tmp_path: Path) -> None:
    slow = Slow()
    with using(slow), led(settings, gallery(tmp_path / "in", 12), 1, batch_size=6) as (stage, leader):
        leader.share_out()
        with open_worker(leader.assignment, settings) as worker, ThreadPoolExecutor(1) as pool:
            embedding = pool.submit(lambda: [worker.embed(batch) for batch in worker.batches(1)])
            assert slow.reached.wait(PATIENCE)
            stage.run.stopping.abandon()
            until(worker.stopping)
            slow.go_on.set()
            assert len(embedding.result()) == 1
        leader.reconcile()
        account = finish(stage).account
    assert (account.embedded, account.deferred) == (3, 9)
    assert stage.ended().results.error is None


def test_more_shards_than_work_are_fewer_shards(settings: Settings, tmp_path: Path) -> None:
    with led(settings, gallery(tmp_path / "in", 3), 8) as (stage, leader):
        assert leader.share_out() == [1, 2, 3]
        assert stage.progress.batches == 3


def test_the_rows_of_a_run_whose_leader_was_killed_go_with_the_next_run(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 3)
    with using(Counting()):
        with led(settings, source, 1) as (stage, leader):
            leader.share_out()
            dead = stored(database, "SELECT * FROM pinakes.batches")
        with database.connection() as (conn, _):
            conn.execute("INSERT INTO pinakes.batches (run_id, number, shard) VALUES (%s, 1, 1)", (stage.run.run_id,))
        assert len(dead) == 1
        with led(settings, source, 1):
            assert left_behind(database) == 0


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"space": "palette_other"}, SettingsError, "same model"),
        ({"root": "file:///elsewhere/"}, SourceError, "under one path"),
        ({"run_id": "00000000-0000-0000-0000-000000000000"}, SettingsError, "one PINAKES_DATABASE_URL"),
    ],
)
def test_a_process_that_finds_something_else_than_the_run_says_so(
    settings: Settings, tmp_path: Path, change: dict[str, str], error: type[PinakesError], said: str
) -> None:
    with led(settings, gallery(tmp_path / "in", 3), 1) as (_, leader):
        assignment = Assignment.model_validate(leader.assignment.model_dump(mode="json") | change)
        with pytest.raises(error, match=said):
            Worker(assignment, settings)


def test_log_records_of_a_worker_belong_to_the_run_that_it_helps(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[logs.RunFields | None] = set()

    class Watched(Counting):
        def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
            seen.add(logs.current())
            yield from super().embed_images(batch)

    monkeypatch.setitem(EMBEDDERS, "counting", replace(COUNTING, open=lambda choice, _: Watched(choice.dimension)))
    with (
        led(settings, gallery(tmp_path / "in", 4), 2, embedder="counting", batch_size=1) as (stage, leader),
        logs.belonging_to(uuid4(), "another", "palette_1"),  # so that it is not the only run of the process
    ):
        embed_shards(leader, settings)
    assert seen == {logs.RunFields(str(stage.run.run_id), "pictures", stage.run.space.name)}


def test_a_missing_key_on_one_machine_is_named(settings: Settings, tmp_path: Path) -> None:
    with AzureFake() as fake:
        known = with_fake(settings, fake)
        with led(known, pictures(tmp_path / "in", 3), 1, embedder="azure", rate="none") as (_, leader):
            without = {name: value for name, value in known.values.items() if name != "PINAKES_AZURE_KEY"}
            with pytest.raises(SettingsError, match="PINAKES_AZURE_KEY"):
                Worker(leader.assignment, replace(known, values=without))


def test_a_worker_reads_a_list_by_the_column_that_the_run_names(settings: Settings, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 3)
    names = sorted(path.name for path in source.iterdir())
    rows = "".join(f"{name},https://museum.example/{name}\n" for name in names)
    (source / "list.csv").write_text(f"file,link\n{rows}")
    with using(Counting()), led(settings, source / "list.csv", 2, key="file", batch_size=2) as (stage, leader):
        embed_shards(leader, settings)
        assert finish(stage).account.embedded == 3


def test_how_long_a_model_on_this_machine_took_is_known_of_all_processes(settings: Settings, tmp_path: Path) -> None:
    with led(settings, gallery(tmp_path / "in", 20), 2, batch_size=5) as (stage, leader):
        embed_shards(leader, settings)
        figures = finish(stage).summary["provider"]
    assert (figures["answered"], figures["calls"]) == (20, 20)
    assert 0 < figures["p50_ms"] <= figures["p95_ms"]


@pytest.mark.parametrize("kind", ["grid", "salient"])
def test_regions_that_two_workers_embed_are_those_of_one_process(
    settings: Settings, database: Database, log: Path, tmp_path: Path, kind: str
) -> None:
    """Rows, ledger and account, also where a worker died and a second run went on."""
    source = tmp_path / "in"
    source.mkdir()
    for number in range(5):
        painted(number).save(source / f"p{number}.png")
    (source / "twin.png").write_bytes((source / "p1.png").read_bytes())
    (source / "torn.png").write_bytes((source / "p0.png").read_bytes()[:200])
    torn = "md5:" + hashlib.md5((source / "torn.png").read_bytes()).hexdigest()
    alone = run(settings, source, collection="alone", regions=kind).account

    def shared(collection: str) -> Account:
        options = {"collection": collection, "regions": kind, "batch_size": 6}
        with led(settings, source, 2, **options) as (stage, leader):
            embed_shards(leader, settings)
            return finish(stage).account

    def outcome(collection: str) -> tuple[Any, ...]:
        table = f'{collection}."counting_colours_1_27'
        ledger = open_checkpoint(settings.checkpoint, collection, Counting().facts.space).ledger()
        return (
            stored(database, f'SELECT image_id, fingerprint, embedding::text FROM {table}" ORDER BY 1'),
            stored(database, f'SELECT image_id, fingerprint, embedding::text FROM {table}~regions" ORDER BY 1, 2'),
            # A picture that is known to have failed for good is not cut up: a second run has no answers about its parts.
            sorted((r.image_id, r.fingerprint, str(r.failure)) for r in ledger if r.ok or not is_region(r.fingerprint)),
        )

    assert replace(shared("together"), seconds=alone.seconds) == alone
    assert outcome("together") == outcome("alone")

    with led(settings, source, 2, collection="resumed", regions=kind, batch_size=6) as (stage, leader):
        leader.share_out()
        with open_worker(leader.assignment, settings) as alive:
            for batch in alive.batches(1):
                alive.embed(batch)
        leader.lost_shard(2, "shard 2 of 2 ended Crashed.")
        leader.reconcile()
        broken = finish(stage).account
    assert min(broken.regions.embedded, broken.regions.deferred) > 0
    resumed = shared("resumed")
    assert resumed.regions.reused + resumed.regions.embedded == alone.regions.embedded + alone.regions.reused
    assert (resumed.reused + resumed.embedded, resumed.failed) == (alone.embedded, alone.failed)
    assert outcome("resumed") == outcome("alone")
    asked = Counter(line.split()[1] for line in log.read_text().splitlines())
    assert {times for what, times in asked.items() if not what.startswith(torn)} == {3}, "each is paid for once by each"
