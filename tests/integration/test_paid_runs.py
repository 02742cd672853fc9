"""Whole runs with a paid embedder, against fakes that count and refuse as the services do."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prefect.settings import PREFECT_HOME

from pinakes.cli.render import plan_table
from pinakes.embedders.registry import EMBEDDERS
from pinakes.embedders.remote.azure_declaration import AZURE, VISION
from pinakes.errors import EmbedderError
from pinakes.ingest import stages
from pinakes.ingest.answers import Embedded, EmbedStage
from pinakes.ingest.listing import Planned, list_and_plan
from pinakes.ingest.opening import dry_run, open_ingestion
from pinakes.ingest.run import Ingestion
from pinakes.ingest.summary import why_deferred
from pinakes.operations.runs import runs
from pinakes.rates import parse_rate
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.store.limits import change_limit, limits_connection, list_limits
from pinakes.store.runs import latest_runs
from pinakes.types import utc_now
from tasks.artifacts import _sheet
from tests.fakes.azure import AzureFake
from tests.fakes.faults import TRANSIENT, Faults
from tests.fakes.gcs import GcsFake
from tests.fakes.gemini import GeminiFake
from tests.fakes.quota import Quota
from tests.fakes.vertex import VertexFake
from tests.pictures import photo
from tests.postgres import postgres_programs
from tests.programs import Program, ended
from tests.running import Ended, request_of, run_stages, stored
from tests.waiting import PATIENCE, until

PROJECT = Path(__file__).parents[2]
CHECKS = 2
FAKES = {"azure": AzureFake, "gemini": GeminiFake}


def pictures(folder: Path, count: int, *, first: int = 0) -> Path:
    """Small JPEGs that differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        pixels = np.random.default_rng(number).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 48)).save(folder / f"p{number:05}.jpg", quality=80)
    return folder


def key_of(path: Path) -> str:
    return "md5:" + hashlib.md5(path.read_bytes()).hexdigest()


def with_fake(settings: Settings, fake: AzureFake) -> Settings:
    return replace(settings, values={**settings.values, **fake.environment})


def paid(settings: Settings, source: Path, fake: AzureFake, **options: Any) -> Ended:
    known = with_fake(settings, fake)
    with open_ingestion(request_of(known, source, embedder="azure", **options), known) as ingestion:
        return run_stages(ingestion)


def calls_of(fake: AzureFake, source: Path) -> list[int]:
    """How often each picture of a folder was charged."""
    return [fake.calls[key_of(path)] for path in sorted(source.iterdir())]


@pytest.fixture
def fake() -> Iterator[AzureFake]:
    with AzureFake() as started:
        yield started


def test_a_run_pays_for_each_picture_once_and_a_second_one_for_none(
    settings: Settings, database: Database, fake: AzureFake, tmp_path: Path
) -> None:
    source = pictures(tmp_path / "in", 40)
    first = paid(settings, source, fake, rate="none")
    assert calls_of(fake, source) == [1] * 40
    assert (first.account.embedded, first.account.calls) == (40, 40 + CHECKS)
    second = paid(settings, source, fake, rate="none")
    assert (second.account.calls, second.account.reused, second.account.rows_written) == (0, 40, 0)
    assert calls_of(fake, source) == [1] * 40
    ((held,),) = stored(database, "SELECT count(*) FROM pictures.azure_vision_multimodal_2023_04_15_1024_a1")
    assert held == 40


def test_equal_pictures_are_called_once_at_the_same_time(settings: Settings, fake: AzureFake, tmp_path: Path) -> None:
    source = pictures(tmp_path / "in", 5)
    for number in range(20):
        (source / f"copy{number}.jpg").write_bytes((source / "p00000.jpg").read_bytes())
    account = paid(settings, source, fake, rate="none").account
    assert (account.embedded, account.duplicates) == (25, 20)
    assert max(fake.calls.values()) == 1


def test_one_poisoned_picture_in_a_batch_costs_only_itself(settings: Settings, fake: AzureFake, tmp_path: Path) -> None:
    source = pictures(tmp_path / "in", 30)
    Image.new("RGB", (5, 5)).save(source / "tiny.png")
    (source / "torn.jpg").write_bytes((source / "p00000.jpg").read_bytes()[:200])
    run = paid(settings, source, fake, rate="none", batch_size=16)
    assert (run.account.embedded, run.account.failed) == (30, 2)
    reasons = {failure["image_id"]: failure["reason"] for failure in run.summary["failures"]}
    assert reasons == {"tiny.png": "unsupported", "torn.jpg": "undecodable"}
    assert fake.counts["refused"] == 0


def test_a_refused_key_stops_at_once_and_costs_no_picture(settings: Settings, fake: AzureFake, tmp_path: Path) -> None:
    known = replace(settings, values={**fake.environment, "PINAKES_AZURE_KEY": "f" * 32})
    with (
        pytest.raises(EmbedderError, match="401"),
        open_ingestion(request_of(known, pictures(tmp_path / "in", 20), embedder="azure"), known) as ingestion,
    ):
        run_stages(ingestion)
    assert fake.calls.total() == 0


def last_run(database: Database) -> tuple[str, str | None]:
    """State and reason of the newest run, as `pinakes status --runs` shows them."""
    with database.connection() as (conn, _):
        (newest,) = latest_runs(conn, None, 1)
    return newest.state, newest.message


def test_a_key_that_is_withdrawn_in_mid_run_defers_the_rest_and_keeps_what_was_answered(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = pictures(tmp_path / "in", 60)
    with AzureFake(latency=0.02) as fake:
        known = with_fake(settings, fake)
        request = request_of(known, source, embedder="azure", rate="none", batch_size=20)

        def embed(run: Ingestion, planned: Planned) -> Embedded:
            stage = EmbedStage(run, planned)
            for number, batch in enumerate(stage.batches()):
                if number == 1:
                    fake.key = "withdrawn"
                stage.embed(batch)
            return stage.ended()

        with open_ingestion(request, known) as ingestion:
            outcome = stages.run_stages(ingestion, stages.Stages(embed=embed))
    account, stopped_by = outcome.account, outcome.embedded.results.error
    assert stopped_by is not None
    assert "401" in stopped_by
    assert (account.embedded, account.deferred, account.failed) == (20, 40, 0)
    assert last_run(database) == ("stopped", stopped_by)
    with AzureFake() as again:
        resumed = paid(settings, source, again, rate="none").account
    assert (resumed.embedded, resumed.reused) == (40, 20)


def test_max_cost_stops_before_it_is_exceeded(
    settings: Settings, database: Database, fake: AzureFake, tmp_path: Path
) -> None:
    source = pictures(tmp_path / "in", 50)
    run = paid(settings, source, fake, rate="none", max_cost=0.0030, batch_size=8)
    assert run.account.calls == 30
    assert fake.calls.total() == 30
    assert (run.account.embedded, run.account.deferred) == (28, 22)
    assert last_run(database) == ("stopped", why_deferred(run.run))
    rest = paid(settings, source, fake, rate="none").account
    assert (rest.embedded, rest.reused) == (22, 28)


def test_all_that_max_cost_pays_for_is_used_under_a_rate_too(
    settings: Settings, fake: AzureFake, tmp_path: Path
) -> None:
    """Those who wait for their slot when the money runs out have theirs; else a small cap buys the two checks for ever."""
    source = pictures(tmp_path / "in", 12)
    for calls in (6, 12):
        run = paid(settings, source, fake, rate="50/s", max_cost=0.0006)
        assert fake.calls.total() == calls
        assert run.account.embedded == 4


def test_max_cost_and_the_cost_in_the_end_count_a_text_at_its_own_price(
    settings: Settings, fake: AzureFake, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('["azure/vision-multimodal"]\nper_image = 0.001\nper_text = 0.0025\n')
    source = pictures(tmp_path / "in", 20)
    run = paid(replace(settings, prices=str(prices)), source, fake, rate="none", max_cost=0.01)
    assert run.account.embedded == sum(calls_of(fake, source)) == 6  # the text takes the price of three pictures
    assert run.summary["actual"]["cost"] == pytest.approx(0.001 + 0.0025 + 6 * 0.001)
    assert why_deferred(run.run).startswith("--max-cost 0.01 is spent: 14 pictures were not reached.")


@pytest.mark.parametrize("max_cost", [0, 0.0001, 0.0002])
def test_a_cap_that_leaves_nothing_for_a_picture_makes_no_call(
    settings: Settings, fake: AzureFake, tmp_path: Path, max_cost: float
) -> None:
    run = paid(settings, pictures(tmp_path / "in", 3), fake, rate="none", max_cost=max_cost)
    assert fake.counts["requests"] == 0
    assert (run.account.calls, run.account.embedded, run.account.deferred) == (0, 0, 3)
    assert f"--max-cost {max_cost:g} is less than USD 0.0003" in why_deferred(run.run)


def test_a_cap_of_any_size_is_a_cap(settings: Settings, fake: AzureFake, tmp_path: Path) -> None:
    assert paid(settings, pictures(tmp_path / "in", 3), fake, rate="none", max_cost=1e308).account.embedded == 3


def test_a_dry_run_calls_and_writes_nothing_and_says_the_price(
    settings: Settings, database: Database, fake: AzureFake, tmp_path: Path
) -> None:
    known = with_fake(settings, fake)
    source = pictures(tmp_path / "in", 20)
    document = dry_run(request_of(known, source, embedder="azure", rate="10/s"), known)
    assert fake.counts["requests"] == 0
    assert document["plan"]["calls"] == 20
    planned = document["planned"]
    assert planned["calls"] == 20 + CHECKS
    assert planned["cost"] == pytest.approx(0.0021, abs=0.0001)
    assert planned["seconds"] == pytest.approx(2.2)
    assert planned["price_source"]
    json.dumps(document)
    assert [note.partition(":")[0] for note in document["notes"]] == ["the price is not known"]  # its end is far
    shown = plan_table(document)
    assert planned["price_source"] in shown
    assert "not known; reckoned with USD 0.0001 an image" in " ".join(shown.split())
    assert stored(database, "SELECT count(*) FROM pg_class WHERE relname = 'images'") == [(0,)]
    paid(settings, source, fake, rate="none", limit=15)
    again = dry_run(request_of(known, source, embedder="azure"), known)
    assert (again["plan"]["reused"], again["plan"]["new"]) == (15, 5)


def test_a_dry_run_reckons_with_the_rate_in_force_and_changes_none(
    settings: Settings, database: Database, fake: AzureFake, tmp_path: Path
) -> None:
    known = with_fake(settings, fake)
    source = pictures(tmp_path / "in", 18)

    def seconds(**options: str) -> float | None:
        planned: dict[str, Any] = dry_run(request_of(known, source, embedder="azure", **options), known)["planned"]
        return planned["seconds"]

    assert seconds() == pytest.approx(2.0)  # the embedder's default, where nothing has run yet
    with limits_connection(database.dsn) as conn:
        assert list_limits(conn) == []
    assert paid(settings, source, fake, limit=1).account.embedded == 1
    with limits_connection(database.dsn) as conn:
        (limit,) = list_limits(conn)
        change_limit(conn, limit.quota, [parse_rate("1/s burst 3")])
        assert seconds() == pytest.approx(19.0)
        assert seconds(rate="100/s") == pytest.approx(0.2, abs=0.05)
        assert seconds(rate="none") is None
        (after,) = list_limits(conn)
        assert after.rate == parse_rate("1/s burst 3")
    with open_ingestion(request_of(known, source, embedder="azure"), known) as run:
        assert list_and_plan(run).estimate.seconds == pytest.approx(19.0)


def test_a_dry_run_warns_of_a_model_that_is_retired_within_a_year(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pictures(tmp_path / "in", 2)
    ending = replace(VISION, retires=utc_now().date().isoformat())
    monkeypatch.setitem(EMBEDDERS, "azure", replace(AZURE, models=(ending,)))
    with AzureFake() as fake:
        known = with_fake(settings, fake)
        *_, warning = dry_run(request_of(known, source, embedder="azure"), known)["notes"]
        run = paid(settings, source, fake, rate="none")
    assert "then pinakes activate" in warning
    assert warning in run.summary["notes"]


def test_spaces_show_the_end_of_a_model_without_its_settings(
    settings: Settings, environment: dict[str, str], fake: AzureFake, tmp_path: Path
) -> None:
    paid(settings, pictures(tmp_path / "in", 2), fake, rate="none")
    shown = ended("pinakes.cli.main", "spaces", "--json", env=environment, cwd=tmp_path).stdout
    assert [space["retires"] for space in json.loads(shown)["spaces"]] == ["2028-09-25"]


def test_a_bucket_that_the_provider_reads_is_not_downloaded_for_an_artifact_either(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with GcsFake() as gcs, VertexFake(objects=gcs.fetch) as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        for number in range(4):
            gcs.put("bkt", f"in/{number}.jpg", photo((number, 20, 20)))
        known = replace(settings, values={**settings.values, **fake.environment})
        with open_ingestion(request_of(known, "gs://bkt/in", embedder="vertex", rate="none"), known) as run:
            ended = run_stages(run)
            assert _sheet(run, ended.plan) is None
        assert (ended.account.embedded, gcs.counts["downloads"]) == (4, 0)


@pytest.mark.parametrize("provider", ["azure", pytest.param("gemini", marks=pytest.mark.slow)])
def test_a_key_reaches_nothing_that_a_run_leaves(
    environment: dict[str, str], prefect_api: str, database_url: str, tmp_path: Path, provider: str
) -> None:
    """The service repeats the key in its refusals, and all is searched: both streams, Prefect's database with logs and
    artifacts, the checkpoint, and a dump of PostgreSQL.
    """
    source = pictures(tmp_path / "in", 30)
    ingest = f"-m pinakes.cli.main --verbose ingest {source} --embedder {provider} --format csv"
    with FAKES[provider](latency=0.2) as fake:
        process = subprocess.Popen(
            [sys.executable, *ingest.split()],
            env=environment | fake.environment | {"PREFECT_API_URL": prefect_api, "PYTHONPATH": str(PROJECT)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        while fake.counts["delivered"] <= CHECKS and process.poll() is None:
            time.sleep(0.01)
        for status in (400, 500, 400, 429, 400):
            fake.refuse(status, "Unknown", f"You sent the key {fake.key}.")
        left = {"terminal": process.communicate(timeout=PATIENCE)[0]}
    assert process.returncode == 3, left["terminal"].decode()
    dump = [str(postgres_programs() / "pg_dump"), database_url]
    left["dump"] = subprocess.run(dump, capture_output=True, check=True).stdout
    for folder in (tmp_path, PREFECT_HOME.value()):
        left |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".jpg"}
    shown = re.compile(rb"You sent the key \W{0,8}\[redacted")  # tables of Prefect's escape the bracket
    told = "".join(name for name, content in left.items() if shown.search(content))
    assert "prefect.db" in told, "an artifact shows why a picture was refused"
    assert "checkpoints" in told, "and so does the ledger"
    assert all(left[name] for name in ("terminal", "dump"))
    assert [name for name, content in left.items() if fake.key.encode() in content] == []


def test_a_quota_at_half_of_ours_is_met_and_everything_completes(settings: Settings, tmp_path: Path) -> None:
    source = pictures(tmp_path / "in", 150)
    with AzureFake(quota=Quota(30, burst=15)) as fake:
        run = paid(settings, source, fake, rate="60/s burst 15")
        assert calls_of(fake, source) == [1] * 150
        assert run.account.embedded == 150
        statistics = run.run.embedder.statistics()
        assert statistics.rate_limited == fake.counts["throttled"] > 0
        # It settles under the quota instead of knocking at every turn.
        assert fake.counts["throttled"] < 150


def ingest(source: Path, collection: str, environment: dict[str, str], *options: str) -> subprocess.Popen[str]:
    what = ("ingest", source, "--embedder", "azure", "--collection", collection, "--json")
    return Program("pinakes.cli.main", *what, *options, env=environment)


def finished(process: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, f"{out}\n{err}"
    document: dict[str, Any] = json.loads(out)
    return document


@pytest.mark.alone
def test_three_processes_share_a_quota_exactly_and_pay_once_under_faults(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """900 pictures, 30 requests a second with a burst of 5, and 5 % transient faults."""
    sources = [pictures(tmp_path / f"in{n}", 300, first=n * 1000) for n in range(3)]
    with AzureFake(quota=Quota(30, burst=5), faults=Faults(seed=7, share=0.05, kinds=TRANSIENT), latency=0.1) as fake:
        # Nobody dies here, so a machine that stalls for some seconds must not cost a lease.
        known = environment | fake.environment | {"PINAKES_LEASE_SECONDS": "30"}
        runs = [ingest(s, f"c{n}", known, "--rate", "30/s burst 5") for n, s in enumerate(sources)]

        def charged(count: int) -> tuple[float, int]:
            while fake.counts["charged"] < count:
                for run in runs:
                    assert run.poll() in (None, 0), run.communicate()
                time.sleep(0.02)
            return time.monotonic(), fake.counts["requests"]

        # From when all three are at it; whoever started first may end before the last, and leaves its share to the others.
        started, first = charged(200)
        stopped, last = charged(650)
        accounts = [finished(run) for run in runs]
        assert [account["embedded"] for account in accounts] == [300] * 3
        assert [account["failed"] for account in accounts] == [0, 0, 0]
        assert fake.counts["throttled"] == 0
        assert last - first >= 0.97 * 30 * (stopped - started)
        # A picture is charged again only where the answer to it was lost on the way.
        again = sum(times - 1 for s in sources for times in calls_of(fake, s))
        assert again <= fake.counts["lost"]
        assert all(times >= 1 for s in sources for times in calls_of(fake, s))


def test_a_killed_paid_run_loses_nothing_and_doubles_nothing_but_what_was_in_flight(
    environment: dict[str, str], tmp_path: Path, database: Database
) -> None:
    source = pictures(tmp_path / "in", 300)
    chance = np.random.default_rng(5)
    with AzureFake(latency=0.05) as fake:
        known = environment | fake.environment
        for _ in range(2):
            process = ingest(source, "pictures", known, "--rate", "40/s")
            before = fake.counts["charged"]
            while fake.counts["charged"] == before and process.poll() is None:
                time.sleep(0.02)
            time.sleep(float(chance.uniform(0.5, 3.0)))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        account = finished(ingest(source, "pictures", known, "--rate", "none"))
        assert account["embedded"] + account["reused"] == 300
        calls = calls_of(fake, source)
        assert min(calls) == 1
        # Each kill may cost the answers of its last 5 s, at 40 a second, and what was in flight.
        assert sum(times - 1 for times in calls) <= 2 * (5 * 40 + 64)
    ((held,),) = stored(database, "SELECT count(*) FROM pictures.azure_vision_multimodal_2023_04_15_1024_a1")
    assert held == 300


def test_a_paid_run_that_is_told_to_end_shows_the_money_that_the_provider_has_charged(
    environment: dict[str, str], settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = pictures(tmp_path / "in", 300)
    with AzureFake(latency=0.2) as fake:
        known = environment | fake.environment
        process = ingest(source, "pictures", known, "--rate", "20/s", "--batch-size", "8")
        until(lambda: fake.counts["charged"] > 40, process)
        process.send_signal(signal.SIGTERM)
        account = finished(process, code=4)
        charged = fake.counts["charged"]
    assert account["calls"] == charged == account["embedded"] + CHECKS
    assert account["embedded"] + account["deferred"] == 300
    with database.connection() as (conn, _):
        (run,) = runs(conn, settings, None, 1)
    assert (run["state"], run["calls"]) == ("stopped", charged)
    # One of the two checks is a text, which has a price of its own.
    assert run["cost"] == account["actual"]["cost"] == pytest.approx((charged - 1) * 0.0001 + 0.000014)


def test_limits_are_shown_and_changed_while_a_run_is_going(environment: dict[str, str], tmp_path: Path) -> None:
    def pinakes(*arguments: str) -> str:
        done = ended("pinakes.cli.main", *arguments, env=known)
        assert done.returncode == 0, done.stderr
        return done.stdout

    source = pictures(tmp_path / "in", 120)
    with AzureFake() as fake:
        known = environment | fake.environment
        run = ingest(source, "pictures", known, "--rate", "2/s")
        while fake.counts["charged"] < 4:
            assert run.poll() is None
            time.sleep(0.05)
        (limit,) = json.loads(pinakes("limits", "--json"))["limits"]
        assert limit["quota"].startswith("azure:127.0.0.1")
        assert limit["effective_per_second"] == pytest.approx(2)
        pinakes("limits", limit["quota"], "500/s")
        assert finished(run)["embedded"] == 120
        assert "500/s" in pinakes("limits")
        pinakes("limits", limit["quota"], "2/day")
        assert "  2/day (set)  2/day  " in pinakes("limits")  # and not 0/s
    assert os.environ.get("PINAKES_AZURE_KEY") is None
