"""One home as a person uses it: `pinakes up`, a second terminal, the page, the schedule, and a kill.

The tests share one stack, since a server, a worker and a page take half a minute of processor to start; the last one kills
it. That `up` goes on where `make demo` ended, and ends by Ctrl-C, is seen where the README is typed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from deployments.prefect_server import free_port
from gallery import write_gallery
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.store.lease import Lease
from tests.homes import environment_of, new_database, settings_of
from tests.prefect_homes import prefect_home
from tests.programs import ended
from tests.running import gallery, paint, stored
from tests.signals import AS_A_BACKGROUND_JOB
from tests.stack import PATIENCE, Stack, program, table, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a server, a worker and a page, from nothing

PROJECT = Path(__file__).parents[2]
PICTURES = 12
"""Of the sample gallery: one of them is there twice, and one file is no picture."""
LISTED = PICTURES + 2
IMAGES = 30
REINDEX = "ingest/reindex"
SECONDS = 90
"""Between two runs of the schedule, so that it fires when the test says so, or once more where Prefect was too busy."""

SOON = {
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
}
"""What Prefect looks for every ten seconds, and every minute for schedules that were changed, it looks for at once."""


@dataclass(frozen=True)
class Home:
    """A home with a sample gallery."""

    folder: Path
    settings: Settings
    database: Database
    environment: dict[str, str]


class Up(Stack):
    """`pinakes up` in a home."""

    def __init__(self, api: str, home: Home, process: subprocess.Popen[str]) -> None:
        super().__init__(api)
        self.home = home
        self.process = process
        self.environment = home.environment | {"PREFECT_API_URL": api}

    def prefect(self, *arguments: str, code: int = 0) -> str:
        """What a person types into the second terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def posted(self, path: str) -> Any:
        return self.ask("POST", path, {})

    def schedules(self) -> dict[str, Any]:
        """What `pinakes doctor` finds about schedules."""
        done = ended("pinakes.cli.main", "doctor", "--json", env=self.environment, cwd=self.home.folder)
        (check,) = [check for check in json.loads(done.stdout)["checks"] if check["what"] == "schedules"]
        assert isinstance(check, dict)
        return check

    def ahead(self, deployment: str) -> list[datetime]:
        """When the runs are to begin that the server has made for a schedule."""
        begins = [datetime.fromisoformat(run["expected_start_time"]) for run in self.scheduled(deployment, "SCHEDULED")]
        return [begin for begin in begins if begin > datetime.now(UTC)]

    def fire_at_once(self, deployment: str) -> None:
        """Let the schedule that prefect.yaml gives a deployment begin a run now, and then one every `SECONDS`."""
        found = self.deployment(deployment)
        (schedule,) = found["schedules"]
        assert schedule["active"]
        begin = datetime.now(UTC) + timedelta(seconds=5)
        often = {"schedule": {"interval": SECONDS, "anchor_date": begin.isoformat()}}
        self.ask("PATCH", f"deployments/{found['id']}/schedules/{schedule['id']}", often)


@pytest.fixture(scope="module")
def home(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("up")
    with new_database(server) as url:
        settings = settings_of(url, folder)
        write_gallery(settings.home / "sample", count=PICTURES)  # `up` takes what is painted, here for the sake of time
        prefect_home(folder / "prefect")
        yield Home(folder, settings, Database(url), environment_of(settings, folder))


@pytest.fixture(scope="module")
def up(home: Home) -> Iterator[Up]:
    """`pinakes up` as a script starts it in the background, with Ctrl-C ignored."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "pinakes.cli.main", "up", "--port", str(port)],
        cwd=PROJECT,
        env=home.environment | SOON,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=AS_A_BACKGROUND_JOB,
    )
    try:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C ends everything" in line:
                break
        else:
            pytest.fail(f"pinakes up ended with {process.wait()}: {''.join(said)}")
        yield Up(f"http://127.0.0.1:{port}/api", home, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def change(source: Path) -> None:
    """Two pictures are new, one is another, one has a new name, one is gone, and one is torn."""
    paint(source / "new" / "one.png", (10, 200, 30))
    paint(source / "new" / "two.png", (90, 60, 255))
    paint(source / "p02.png", (255, 0, 0))
    (source / "p01.png").rename(source / "renamed.png")
    (source / "p00.png").unlink()
    torn = source / "p03.png"
    torn.write_bytes(torn.read_bytes()[:50])


def test_deployments_ingest_reindex_and_search_and_the_page_finds_the_same(up: Up, home: Home, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", IMAGES)
    about = tmp_path / "about.csv"
    about.write_text("file,title,author\np02.png,Étude in red,Müller\np04.png,Nocturne,Ada\n")
    asked = {"source": str(source), "metadata": [str(about)], "collection": "pictures"}

    ingested = up.run("ingest/ingest", **asked)
    assert ingested["state_type"] == "COMPLETED"
    assert set(ingested["artifacts"]) == {"plan", "progress", "statuses", "provider", "failures", "pictures"}
    plan, statuses = table(ingested, "plan"), table(ingested, "statuses")
    assert (plan["listed"], plan["new"], plan["calls"]) == (IMAGES, IMAGES, IMAGES)
    assert (statuses["embedded"], statuses["failed"], statuses["listed"]) == (IMAGES, 0, IMAGES)
    assert ingested["artifacts"]["progress"] == 100.0
    assert table(ingested, "provider")["calls made"] == IMAGES
    assert "nothing failed" in ingested["artifacts"]["failures"]
    assert "data:image/jpeg;base64," in ingested["artifacts"]["pictures"]
    assert stored(home.database, "SELECT count(*) FROM pictures.images") == [(IMAGES,)]

    change(source)
    reindexed = up.run(REINDEX, allow_failures="1", **asked)
    assert reindexed["state_type"] == "COMPLETED"
    plan, statuses = table(reindexed, "plan"), table(reindexed, "statuses")
    assert (plan["listed"], plan["new"], plan["changed"], plan["calls"]) == (IMAGES + 1, 2, 2, 4)
    assert (statuses["embedded"], statuses["failed"], statuses["reused"]) == (3, 1, IMAGES - 3)
    assert (statuses["vanished"], statuses["pruned"]) == (2, 2)
    (failure,) = json.loads(reindexed["artifacts"]["failures"])
    assert failure["image_id"] == "p03.png"
    listed = {path.relative_to(source).as_posix() for path in source.rglob("*.png")}
    assert {i for (i,) in stored(home.database, "SELECT image_id FROM pictures.images")} == listed
    (space,) = [name for (name,) in stored(home.database, "SELECT space FROM pictures.spaces")]
    vectors = {i for (i,) in stored(home.database, f"SELECT image_id FROM pictures.{space}")}
    assert vectors == listed - {"p03.png"}

    # The nightly run as it is scheduled: what is known to have failed does not fail it.
    unchanged = up.run(REINDEX, **asked)
    assert unchanged["state_type"] == "COMPLETED"
    statuses = table(unchanged, "statuses")
    assert (statuses["calls"], statuses["rows_written"], statuses["embedded"], statuses["failed"]) == (0, 0, 0, 1)

    # As from the second terminal, where the README does it.
    hits = up.run("search/search", text="red", k=5, collection="pictures")["artifacts"]["hits"]
    assert "data:image/jpeg;base64," in hits
    shown = [line.split("|")[5].strip() for line in hits.splitlines() if line.startswith("| ")][1:]
    assert len(shown) == 5
    assert shown[0] == "p02.png"
    assert "Étude in red" in hits
    runs = up.posted("flow_runs/filter")
    assert {run["state_type"] for run in runs if not run["auto_scheduled"]} == {"COMPLETED"}

    serve = ("serve", "--port", "0", "--collection", "pictures")
    with program("Serving pictures at ", home.environment, *serve) as line:
        page = line.split()[-1].rstrip("/")
        answer = requests.get(f"{page}/api/search", params={"q": "red", "k": 5}, timeout=60).json()
        assert [hit["image_id"] for hit in answer["hits"]] == shown
        html = requests.get(f"{page}/", params={"q": "red"}, timeout=60)
        assert html.status_code == 200
        assert all(image_id in html.text for image_id in shown)
        thumbnail = requests.get(f"{page}/thumbnails/320/p02.png", timeout=60)
        assert thumbnail.headers["content-type"].startswith("image/")


def test_the_form_of_every_deployment_is_described_and_refuses_what_is_wrong(up: Up) -> None:
    deployments = {f"{d['name']}": d for d in up.posted("deployments/filter")}
    assert set(deployments) >= {"ingest", "reindex", "search", "evaluate"}
    (schedule,) = deployments["reindex"]["schedules"]
    assert schedule["schedule"]["timezone"]
    described = deployments["ingest"]["parameter_openapi_schema"]["properties"]
    assert all("description" in parameter for parameter in described.values())
    wrong = [
        ("ingest", {"batch_size": -5}),
        ("ingest", {"prune_share": 7}),
        ("reindex", {"embedder": "nope"}),
        ("ingest", {"collection": "Not A Name"}),
        ("reindex", {"nosuch": 1}),
        ("search", {"nosuch": 1}),
    ]
    for name, parameters in wrong:
        answer = up.asked("POST", f"deployments/{deployments[name]['id']}/create_flow_run", {"parameters": parameters})
        assert answer.status_code == 409, parameters
        assert next(iter(parameters)) in answer.json()["detail"]


def test_a_run_that_fails_says_why_in_a_sentence(up: Up, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    failed = up.prefect("deployment", "run", "ingest/ingest", "-p", f"source={nowhere}", "--watch", code=1)
    assert "there is no folder or file" in " ".join(failed.split())
    assert "Traceback" not in failed
    (end,) = (run["state"] for run in up.posted("flow_runs/filter") if run["state_type"] == "FAILED")
    assert end["message"].startswith(f"there is no folder or file '{nowhere}'")


def test_the_schedule_fires_and_does_not_overlap_a_run(up: Up, home: Home) -> None:
    # Both schedules of prefect.yaml have runs ahead, which the server has made, and doctor says when.
    for deployment in (REINDEX, "evaluate/evaluate"):
        until(lambda deployment=deployment: up.scheduled(deployment, "SCHEDULED"))
    runs = up.posted("flow_runs/filter")
    assert all(("auto-scheduled" in run["tags"]) is run["auto_scheduled"] for run in runs)
    both = {up.deployment(name)["id"] for name in (REINDEX, "evaluate/evaluate")}
    assert {run["deployment_id"] for run in runs if run["auto_scheduled"]} == both
    (nightly,) = up.deployment(REINDEX)["schedules"]
    assert nightly["schedule"]["cron"]
    check = up.schedules()
    assert check["state"] == "ok"
    assert REINDEX in check["found"]
    assert "evaluate/evaluate" in check["found"]

    # A run that does not get its turn while somebody else writes the collection: the schedule's run would overlap it.
    ((space,),) = stored(home.database, "SELECT space FROM pictures.spaces")
    with Lease(home.database.dsn, f"sample/{space}", seconds=home.settings.lease_seconds):
        going = up.begin("ingest/ingest")
        until(lambda: up.ask("GET", f"flow_runs/{going}")["state_type"] == "RUNNING")
        up.fire_at_once(REINDEX)
        refused = until(lambda: up.scheduled(REINDEX, "CANCELLED"))
    assert "is being written by process" in refused[0]["state"]["message"]
    assert "auto-scheduled" in refused[0]["tags"]
    # It waits for its turn, as its deployment says, and ingests the sample gallery unless it is told otherwise.
    by_hand = up.end_of(going)
    assert by_hand["state_type"] == "COMPLETED", by_hand["state"]["message"]
    statuses = table(by_hand, "statuses")
    assert (statuses["listed"], statuses["calls"]) == (LISTED, PICTURES)
    assert stored(home.database, "SELECT count(*) FROM sample.images") == [(PICTURES + 1,)]

    # With nothing in its way the next one completes, and those after it are scheduled.
    up.fire_at_once(REINDEX)
    fired = until(lambda: up.scheduled(REINDEX, "COMPLETED"))[0]
    statuses = table(up.end_of(fired["id"]), "statuses")
    assert (statuses["listed"], statuses["calls"], statuses["failed"], statuses["pruned"]) == (LISTED, 0, 0, 0)
    ahead = until(lambda: up.ahead(REINDEX))
    assert len(ahead) > 1
    assert {(later - earlier).total_seconds() for earlier, later in pairwise(ahead)} == {SECONDS}
    assert up.scheduled(REINDEX, "FAILED") == up.scheduled(REINDEX, "CRASHED") == []
    assert up.schedules()["state"] == "ok"


def test_killing_it_leaves_no_process(up: Up, home: Home) -> None:
    below = psutil.Process(up.process.pid).children(recursive=True)
    assert below
    up.process.send_signal(signal.SIGKILL)
    up.process.wait()
    _, alive = psutil.wait_procs(below, timeout=PATIENCE)
    assert alive == []
    log = (home.settings.home / "logs" / "prefect-server.log").read_text("utf-8")
    assert "schedule_" not in log, log  # the server's services that make runs tell there of their errors
