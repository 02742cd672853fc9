"""The files of deployments/: what a Docker engine would refuse, found without one."""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deployments.constants import HEARTBEAT_SECONDS, POOL, RUN_TAG, SERVER, VARIABLES

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "deployments"
COMPOSE = FOLDER / "compose.yaml"

VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())


SERVICES = list(compose()["services"])


def explained() -> dict[str, str]:
    """The settings of .env.example with their values."""
    lines = [line for line in (FOLDER / ".env.example").read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def code_of(path: Path) -> str:
    """A YAML file without its comments."""
    return "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))


@pytest.mark.parametrize("which", ["compose.yaml", "the override of docs/deploy.md"])
def test_it_fits_the_schema_of_the_compose_specification(which: str) -> None:
    vendored = pytest.importorskip("check_jsonschema.builtin_schemas")
    schema = json.loads(resources.files(vendored).joinpath("vendor/compose-spec.json").read_text())
    jsonschema.validate(compose() if which == "compose.yaml" else overriding(), schema)


def overriding() -> dict[str, Any]:
    (found,) = re.findall(r"```yaml\n(services:.*?)```", (PROJECT / "docs/deploy.md").read_text(), re.DOTALL)
    return yaml.safe_load(found)


def test_the_override_of_the_docs_names_services_that_there_are() -> None:
    assert set(overriding()["services"]) <= set(SERVICES)


def test_every_variable_is_explained_and_nothing_else_is() -> None:
    used = {found["name"] for found in VARIABLE.finditer(code_of(COMPOSE))}
    assert used == set(explained())


def test_defaults_are_those_that_the_example_shows() -> None:
    for found in VARIABLE.finditer(code_of(COMPOSE)):
        if found["kind"] == "-":
            assert explained()[found["name"]] == found["rest"], found["name"]


def test_what_must_be_set_is_asked_for_by_name_and_empty_in_the_example() -> None:
    required = {found["name"] for found in VARIABLE.finditer(code_of(COMPOSE)) if found["kind"] == "?"}
    assert required == {
        "PICTURES",
        "POSTGRES_PASSWORD",
        "PINAKES_DB_PASSWORD",
        "PREFECT_DB_PASSWORD",
        "PINAKES_WEB_TOKEN",
    }
    assert all(explained()[name] == "" for name in required)


def test_each_setting_of_the_example_stands_below_a_sentence_about_it() -> None:
    lines = (FOLDER / ".env.example").read_text().splitlines()
    for above, line in itertools.pairwise(lines):
        assert not (re.match(r"\w+=", line) and not above), f"{line} stands below an empty line"


def test_no_secret_has_a_value() -> None:
    text = code_of(COMPOSE)
    for name, value in explained().items():
        if re.search("PASSWORD|TOKEN|KEY", name):
            assert value == ""
    for line in text.splitlines():
        if re.search(r"\w*(PASSWORD|TOKEN|_KEY)\w*:", line.split("$")[0]):
            assert "${" in line, line


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_watched_restarted_limited_and_logged_within_bounds(name: str) -> None:
    service = compose()["services"][name]
    assert service["restart"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["logging"]["options"]["max-size"]
    one_shot = str(service["restart"]).startswith("on-failure")
    assert ("test" in service["healthcheck"]) is not one_shot


@pytest.mark.parametrize("name", SERVICES)
def test_services_wait_for_others_that_can_say_that_they_are_ready(name: str) -> None:
    services = compose()["services"]
    for other, condition in services[name].get("depends_on", {}).items():
        if condition["condition"] == "service_healthy":
            assert "test" in services[other]["healthcheck"]
        else:
            assert condition["condition"] == "service_completed_successfully"
            assert str(services[other]["restart"]).startswith("on-failure")


@pytest.mark.parametrize("name", SERVICES)
def test_volumes_are_declared_and_ports_open_to_this_machine_alone(name: str) -> None:
    service = compose()["services"][name]
    for volume in service.get("volumes", []):
        source = re.split(r"(?<=[\w}]):", volume)[0] if volume.startswith("$") else volume.split(":")[0]
        if source.startswith("."):
            assert (FOLDER / source).is_file()
        elif not source.startswith("$"):
            assert source in compose()["volumes"]
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_our_containers_run_without_rights_on_a_read_only_file_system() -> None:
    for name, service in compose()["services"].items():
        if "build" in service:
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"]
            assert "no-new-privileges:true" in service["security_opt"]
            assert any(entry.startswith("/tmp") for entry in service["tmpfs"])
            assert "user" not in service  # the image's, which is not root


def test_images_are_pinned_by_version() -> None:
    services = compose()["services"]
    version = re.fullmatch(
        r"pgvector/pgvector:(\d+)\.(\d+)\.(\d+)-pg(\d+)-\w+(@sha256:\w{64})?", services["database"]["image"]
    )
    assert version is not None
    assert tuple(map(int, version.groups()[:3])) >= (0, 8, 4)
    ours = {service["image"] for service in services.values() if "build" in service}
    assert ours == {"pinakes:${PINAKES_VERSION:-0.1.0}"}
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert explained()["PINAKES_VERSION"] == project["version"]


def test_the_database_has_shared_memory_for_index_builds_and_keeps_its_data_on_a_volume() -> None:
    database = compose()["services"]["database"]
    assert explained()["POSTGRES_SHM_SIZE"].endswith("gb")
    assert "POSTGRES_SHM_SIZE" in database["shm_size"]
    # From 18 on the image refuses a volume at /var/lib/postgresql/data.
    assert "database:/var/lib/postgresql" in database["volumes"]


def test_prefect_and_its_runs_have_the_settings_that_pinakes_up_gives_them() -> None:
    services = compose()["services"]
    server = services["prefect"]["environment"]
    assert SERVER.items() <= server.items()
    assert "/var/lib/prefect" in server["PREFECT_HOME"]
    assert server["PREFECT_SERVER_DATABASE_CONNECTION_URL"].startswith(server["PREFECT_SERVER_DATABASE_DRIVER"])
    worker = services["worker"]
    assert worker["environment"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == str(HEARTBEAT_SECONDS)
    assert worker["command"][worker["command"].index("--pool") + 1] == POOL


def test_worker_and_page_see_the_same_collection() -> None:
    services = compose()["services"]
    worker, page = services["worker"]["environment"], services["page"]["environment"]
    shared = {name: value for name, value in page.items() if name != "PINAKES_WEB_TOKEN"}
    assert shared.items() <= worker.items()
    assert services["worker"]["volumes"] == services["page"]["volumes"]


# -- the image ---------------------------------------------------------------------------------------------------------


def dockerfile() -> list[list[str]]:
    """Instructions with their words; continued lines joined."""
    text = code_of(FOLDER / "Dockerfile").replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line.strip()]


def test_the_image_is_built_from_files_that_there_are() -> None:
    allowed = {
        line[1:] for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    for instruction, *words in dockerfile():
        if instruction == "COPY" and not words[0].startswith("--from"):
            for source in words[:-1]:
                assert (PROJECT / source).exists(), source
                assert source.split("/")[0] in allowed, source


def test_all_packages_are_in_the_image() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    copied = {word for instruction, *words in dockerfile() if instruction == "COPY" for word in words}
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= copied
    (extras,) = (
        words[0] for instruction, *words in dockerfile() if instruction == "ARG" and words[0].startswith("EXTRAS")
    )
    assert set(extras.split("=")[1].split(",")) <= set(project["project"]["optional-dependencies"])


def test_the_base_is_pinned_and_the_user_is_not_root() -> None:
    arguments = dict(words[0].split("=", 1) for instruction, *words in dockerfile() if instruction == "ARG")
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+(@sha256:\w{64})?", arguments["PYTHON_IMAGE"])
    assert {words[0] for instruction, *words in dockerfile() if instruction == "FROM"} == {"${PYTHON_IMAGE}"}
    (user,) = (words[0] for instruction, *words in dockerfile() if instruction == "USER")
    assert all(int(part) > 1000 for part in user.split(":"))


def test_entry_points_of_the_deployments_are_in_the_image() -> None:
    copied = {words[0] for instruction, *words in dockerfile() if instruction == "COPY"}
    for deployment in yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]:
        assert deployment["entrypoint"].split("/")[0] in copied


# -- what Prefect is told ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deployment", yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"])
def test_every_deployment_has_tags_a_description_and_job_variables(deployment: dict[str, Any]) -> None:
    assert RUN_TAG in deployment["tags"]
    assert len(deployment["description"].split()) > 10
    assert re.search(r"\*\*.+\*\*", deployment["description"]), "it is Markdown"
    assert not re.search(r"\n +\S", deployment["description"]), "Prefect's UI tears list items of several lines apart"
    pool = deployment["work_pool"]
    assert pool["name"] == POOL
    assert pool["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == str(HEARTBEAT_SECONDS)
    assert "scheduled" not in deployment["tags"], "Prefect tags the runs of a schedule auto-scheduled, and no others"
    for schedule in deployment.get("schedules", []):
        names = re.findall(r"{{ prefect\.variables\.(\w+) }}", f"{schedule['cron']} {schedule['timezone']}")
        assert names == [f"pinakes_{deployment['name']}_cron", "pinakes_timezone"]
        assert set(names) <= set(VARIABLES), "pinakes setup makes them"


def test_one_lock_a_collection_limits_the_runs_of_all_deployments_that_write() -> None:
    deployments = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
    ingests = {each["name"]: each for each in deployments if each["entrypoint"] == "flows/ingest.py:ingest"}
    assert set(ingests) == {"ingest", "reindex"}
    assert all("concurrency_limit" not in each for each in deployments)
    assert ingests["ingest"]["parameters"]["wait"] > 0
    assert "wait" not in ingests["reindex"]["parameters"]


def test_ends_of_runs_that_are_no_success_are_told() -> None:
    from prefect.events.schemas.automations import AutomationCore, EventTrigger

    automation = AutomationCore.model_validate(yaml.safe_load((FOLDER / "notify-on-failure.yaml").read_text()))
    assert isinstance(automation.trigger, EventTrigger)
    assert automation.trigger.expect == {f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")}
    related = automation.trigger.match_related
    assert not isinstance(related, list)
    assert related["prefect.resource.id"] == [f"prefect.tag.{RUN_TAG}"]
    (action,) = automation.actions
    assert action.type == "send-notification"
