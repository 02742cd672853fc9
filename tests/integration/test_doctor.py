"""`pinakes doctor` as a monitor runs it, against a real database and a real Prefect server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import load_flow_from_entrypoint
from prefect.states import Scheduled

from deployments import schedule_health, server_health
from deployments.constants import EMBED_TAG
from deployments.prefect_server import free_port, running_server
from deployments.server_setup import AUTOMATION, set_up
from pinakes.embedders.registry import EMBEDDERS
from pinakes.operations.checks import Finding, State, findings
from pinakes.operations.credentials import call_finding
from pinakes.operations.doctor import CHECKS, Examination, examine
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.store.restrictions import hide
from tests.fakes.azure import KEY, AzureFake
from tests.fakes.bigquery import BigQueryFake
from tests.fakes.gcs import GcsFake
from tests.prefect_homes import prefect_home
from tests.programs import ended
from tests.running import gallery, run
from tests.trials import trial

PROJECT = Path(__file__).parents[2]


def doctor(environment: Mapping[str, str], *arguments: str, code: int) -> dict[str, Any]:
    done = ended("pinakes.cli.main", "doctor", "--json", *arguments, env=environment, cwd=environment["HOME"])
    assert done.returncode == code, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def states(document: Mapping[str, Any]) -> dict[str, str]:
    return {check["what"]: check["state"] for check in document["checks"]}


def by_name(checks: Iterator[Finding]) -> dict[str, Finding]:
    return {check.what: check for check in checks}


@pytest.mark.empty
def test_all_is_well_without_a_prefect_server_and_nothing_is_changed(
    environment: dict[str, str], settings: Settings, database_url: str
) -> None:
    document = doctor(environment, code=0)
    assert (document["errors"], states(document)["Prefect"]) == (0, "ok")
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'pinakes'").fetchone() == (0,)
        assert conn.execute("SELECT count(*) FROM pg_extension WHERE extname = 'vector'").fetchone() == (0,)
    assert not settings.home.exists()


def test_what_does_not_answer_is_an_error_and_the_rest_is_looked_at(environment: dict[str, str]) -> None:
    environment["PINAKES_DATABASE_URL"] = f"postgresql://pinakes:hidden@127.0.0.1:{free_port()}/pinakes"
    document = doctor(environment | {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"}, code=1)
    found = states(document)
    assert (document["errors"], found["database"], found["Prefect"], found["checkpoint"]) == (2, "error", "error", "ok")
    assert "hidden" not in json.dumps(document)
    assert all(check["fix"] for check in document["checks"] if check["state"] != "ok")


def test_what_is_stored_counts_and_a_newer_schema_is_an_error(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    run(settings, gallery(tmp_path / "in", 4))
    found = by_name(examine(settings))
    assert found["schema"].found.endswith("; 1 collection")
    assert found["pgvector"].state is State.OK
    assert found["memory for searches"].state is State.OK
    with database.connection() as (conn, _):
        conn.execute("INSERT INTO pictures.migrations (number, name) VALUES (999, 'of the future')")
    found = by_name(examine(settings))
    assert (found["schema"].state, "999" in found["schema"].found) == (State.ERROR, True)


def test_a_restriction_that_hides_nothing_is_warned_of(settings: Settings, database: Database, tmp_path: Path) -> None:
    run(settings, gallery(tmp_path / "in", 4))
    assert "restrictions of pictures" not in by_name(examine(settings))
    with database.connection() as (conn, _):
        hide(conn, "pictures", "image_id~P01")
    assert by_name(examine(settings))["restrictions of pictures"].state is State.OK
    with database.connection() as (conn, _):
        hide(conn, "pictures", "author~titian")
    check = by_name(examine(settings))["restrictions of pictures"]
    assert (check.state, "'author~titian' matches no picture" in check.found) == (State.WARN, True)


def test_the_source_and_the_metadata_of_the_deployments_are_looked_at(settings: Settings, tmp_path: Path) -> None:
    source, metadata = gallery(tmp_path / "in", 1), tmp_path / "semart.csv"
    metadata.write_text("IMAGE_FILE\n")

    def looked_at(settings: Settings) -> list[tuple[str, State]]:
        checks = [check for check in CHECKS if check.name in {"source", "metadata"}]
        return [(each.what, each.state) for each in findings(checks, Examination(settings))]

    def found(folder: Path) -> list[tuple[str, State]]:
        return looked_at(replace(settings, source=str(folder), metadata=(str(metadata),)))

    assert found(source) == [("source", State.OK), ("metadata", State.OK)]
    unmounted = tmp_path / "unmounted"
    unmounted.mkdir()
    metadata.unlink()
    assert found(unmounted) == [("source", State.WARN), ("metadata", State.ERROR)]
    assert found(tmp_path / "gone")[0] == ("source", State.ERROR)
    assert not looked_at(replace(settings, source="gs://bucket/in"))
    assert not looked_at(replace(settings, source="iiif+https://museum.example/collection.json"))


def test_folders_that_this_user_may_not_enter_are_findings(settings: Settings, tmp_path: Path) -> None:
    closed = tmp_path / ("x" * 300)  # too long for the system, whose error even root gets
    at = Examination(replace(settings, home=closed / "home", checkpoint=str(closed / "kept")))
    checks = [check for check in CHECKS if check.name in {"home", "checkpoint", "disk"}]
    states = {found.what: found.state for found in findings(checks, at)}
    assert (states["home"], states["checkpoint"]) == (State.ERROR, State.ERROR)
    assert {"disk of PINAKES_HOME", "disk of the checkpoint"} <= states.keys()


def test_an_object_table_as_the_source_is_asked_for_nothing_but_a_dry_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with GcsFake() as gcs, BigQueryFake() as bigquery:
        for name, value in bigquery.environment.items():
            monkeypatch.setenv(name, value)
        gcs.bucket("pics")
        bigquery.object_table("museum.met.pictures", gcs, "gs://pics/*")
        (check,) = [check for check in CHECKS if check.name == "source"]
        for table, state in (("pictures", State.OK), ("none", State.ERROR)):
            at = Examination(replace(settings, source=f"bigquery://museum/met/{table}"))
            assert [found.state for found in findings([check], at)] == [state]
        assert bigquery.ran == []


def test_a_call_is_made_only_on_request_and_is_one(settings: Settings) -> None:
    with AzureFake() as fake:
        paid = replace(settings, values={**settings.values, **fake.environment})
        assert by_name(examine(paid))["embedder azure"].state is State.OK
        assert fake.tally.counts["requests"] == 0
        check = by_name(examine(paid, calls=["azure"]))["call of azure"]
        assert (check.state, fake.tally.counts["requests"]) == (State.OK, 1)
        refused = replace(paid, values={**paid.values, "PINAKES_AZURE_KEY": KEY[::-1]})
        check = by_name(examine(refused, calls=["azure"]))["call of azure"]
        assert (check.state, check.fix) == (State.ERROR, "see docs/azure.md")
        assert KEY[::-1] not in check.found


@pytest.mark.parametrize("name", ["palette", "onnx"])
def test_a_call_asks_an_embedder_for_what_it_can_answer(settings: Settings, tmp_path: Path, name: str) -> None:
    with trial(name, tmp_path) as values:
        check = call_finding(replace(settings, values={**settings.values, **values}), name)
    assert check.state is State.OK
    assert check.found.startswith("a word" if EMBEDDERS[name].reads_words else "a picture")


# -- Prefect -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server of this module's own that nothing was set up on, and that schedules nothing."""
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    home = prefect_home(tmp_path_factory.mktemp("prefect-doctor"))
    environment = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_UI_ENABLED": "0",
        "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    }
    with (
        running_server(log=home / "server.log", environment=environment) as server,
        temporary_settings({PREFECT_API_URL: server.api_url, PREFECT_HOME: home}),
    ):
        yield server.api_url


@pytest.fixture
def client(own_server: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


def test_a_prefect_server_is_looked_at_before_and_after_it_is_set_up(
    own_server: str, client: SyncPrefectClient
) -> None:
    before = by_name(server_health.examine())
    missing = {what for what, check in before.items() if check.state is State.ERROR}
    assert missing == {"work pool pinakes", "deployments", "dead runs", "limit of batches"}
    assert all(before[what].fix for what in missing)
    assert (before["Prefect's database"].state, "SQLite" in before["Prefect's database"].found) == (State.WARN, True)
    assert before["leases of limits"].state is State.OK
    assert before["clock of Prefect"].state is State.OK

    set_up(own_server)
    after = by_name(server_health.examine())
    assert after["dead runs"].state is after["limit of batches"].state is State.OK
    assert "no worker is online" in after["work pool pinakes"].found

    client.request(
        "POST",
        "/work_pools/{work_pool_name}/workers/heartbeat",
        path_params={"work_pool_name": "pinakes"},
        json={"name": "here", "heartbeat_interval_seconds": 30},
    )
    assert by_name(server_health.examine())["work pool pinakes"].state is State.OK

    (automation,) = client.read_automations_by_name(AUTOMATION)
    client.pause_automation(automation.id)
    assert by_name(server_health.examine())["dead runs"].state is State.WARN

    client.request(
        "POST",
        "/v2/concurrency_limits/increment",
        json={"names": [f"tag:{EMBED_TAG}"], "slots": 2, "mode": "concurrency"},
    )
    stranded = by_name(server_health.examine())["limit of batches"]
    assert (stranded.state, "2 of 8" in stranded.found) == (State.WARN, True)
    assert "--active-slots 0" in stranded.fix


def test_a_schedule_without_a_run_ahead_is_an_error_and_a_run_of_a_person_is_none(
    own_server: str, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(own_server)
    day = datetime.now(UTC) + timedelta(days=200)
    flow_id = client.create_flow_from_name("clock")
    deployments = {
        name: client.create_deployment(
            flow_id,
            name,
            work_pool_name="pinakes",
            paused=name == "paused",
            schedules=[
                DeploymentScheduleCreate(
                    schedule=CronSchedule(cron=f"0 0 {day.day} {day.month} *" if name == "yearly" else "* * * * *"),
                    active=name != "off",
                )
            ],
        )
        for name in ("paused", "off", "yearly", "minutely")
    }

    def found() -> Finding:
        return by_name(server_health.examine())["schedules"]

    just_made = found()
    assert (just_made.state, "clock/minutely" in just_made.found) == (State.WARN, True)
    assert "in 2 minutes" in just_made.fix

    monkeypatch.setattr(schedule_health, "SCHEDULED_WITHIN", timedelta(0))
    client.create_flow_run_from_deployment(
        deployments["minutely"], state=Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=1))
    )
    idle = found()
    assert (idle.state, idle.found) == (State.ERROR, "active, and no run is scheduled: clock/minutely")
    assert "schedule_deployments" in idle.fix
    assert "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED" in idle.fix

    (schedule,) = client.read_deployment(deployments["minutely"]).schedules
    client.update_deployment_schedule(deployments["minutely"], schedule.id, active=False)
    assert (found().state, found().found) == (State.OK, "none is active in the pool pinakes")


def test_the_deployments_that_are_looked_for_are_those_of_prefect_yaml() -> None:
    listed = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
    names = {f"{load_flow_from_entrypoint(str(PROJECT / made['entrypoint'])).name}/{made['name']}" for made in listed}
    assert names == set(server_health.DEPLOYMENTS)


@pytest.mark.parametrize(
    ("database", "kind"),
    [
        ({"driver": "postgresql+asyncpg", "host": None}, "postgresql+asyncpg"),
        ({"driver": None, "host": "db"}, "postgresql"),
        ({"driver": None, "host": None}, None),
    ],
)
def test_the_kind_of_a_distant_servers_database_is_what_it_says(database: dict[str, Any], kind: str | None) -> None:
    assert server_health._kind(database, "https://prefect.museum.example/api") == kind
