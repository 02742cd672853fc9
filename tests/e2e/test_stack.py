"""The whole stack as `pinakes up` brings it up: ingested, re-indexed and searched by deployment runs, and by the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from deployments.prefect_server import free_port
from pinakes.store.database import Database
from tests.running import gallery, paint, stored
from tests.stack import Stack, program, table

pytestmark = pytest.mark.timeout(900)  # a server, a worker and a page, from nothing

IMAGES = 30


def change(source: Path) -> None:
    """Two pictures are new, one is another, one has a new name, one is gone, and one is torn."""
    paint(source / "new" / "one.png", (10, 200, 30))
    paint(source / "new" / "two.png", (90, 60, 255))
    paint(source / "p02.png", (255, 0, 0))
    (source / "p01.png").rename(source / "renamed.png")
    (source / "p00.png").unlink()
    torn = source / "p03.png"
    torn.write_bytes(torn.read_bytes()[:50])


def test_the_stack_ingests_reindexes_and_searches(
    environment: dict[str, str], database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", IMAGES)
    about = tmp_path / "about.csv"
    about.write_text("file,title,author\np02.png,Étude in red,Müller\np04.png,Nocturne,Ada\n")
    environment |= {"PINAKES_SOURCE": str(source), "PINAKES_METADATA": str(about), "PREFECT_WORKER_QUERY_SECONDS": "1"}
    port = free_port()
    with program("Ctrl-C ends everything", environment, "up", "--port", str(port)):
        stack = Stack(f"http://127.0.0.1:{port}/api")

        ingested = stack.run("ingest/ingest")
        assert ingested["state_type"] == "COMPLETED"
        assert set(ingested["artifacts"]) == {"plan", "progress", "statuses", "provider", "failures", "pictures"}
        plan, statuses = table(ingested, "plan"), table(ingested, "statuses")
        assert (plan["listed"], plan["new"], plan["calls"]) == (IMAGES, IMAGES, IMAGES)
        assert (statuses["embedded"], statuses["failed"], statuses["listed"]) == (IMAGES, 0, IMAGES)
        assert ingested["artifacts"]["progress"] == 100.0
        assert table(ingested, "provider")["calls made"] == IMAGES
        assert "nothing failed" in ingested["artifacts"]["failures"]
        assert "data:image/jpeg;base64," in ingested["artifacts"]["pictures"]

        change(source)
        reindexed = stack.run("ingest/reindex", allow_failures="1")
        assert reindexed["state_type"] == "COMPLETED"
        plan, statuses = table(reindexed, "plan"), table(reindexed, "statuses")
        assert (plan["listed"], plan["new"], plan["changed"], plan["calls"]) == (IMAGES + 1, 2, 2, 4)
        assert (statuses["embedded"], statuses["failed"], statuses["reused"]) == (3, 1, IMAGES - 3)
        assert (statuses["vanished"], statuses["pruned"]) == (2, 2)
        (failure,) = json.loads(reindexed["artifacts"]["failures"])
        assert failure["image_id"] == "p03.png"
        listed = {path.relative_to(source).as_posix() for path in source.rglob("*.png")}
        assert {i for (i,) in stored(database, "SELECT image_id FROM pictures.images")} == listed
        (space,) = [name for (name,) in stored(database, "SELECT space FROM pictures.spaces")]
        vectors = {i for (i,) in stored(database, f"SELECT image_id FROM pictures.{space}")}
        assert vectors == listed - {"p03.png"}

        # The nightly run as it is scheduled: what is known to have failed does not fail it.
        unchanged = stack.run("ingest/reindex")
        assert unchanged["state_type"] == "COMPLETED"
        statuses = table(unchanged, "statuses")
        assert (statuses["calls"], statuses["rows_written"], statuses["embedded"], statuses["failed"]) == (0, 0, 0, 1)

        searched = stack.run("search/search", text="red", k=5)
        assert searched["state_type"] == "COMPLETED"
        hits = searched["artifacts"]["hits"]
        assert "data:image/jpeg;base64," in hits
        shown = [line.split("|")[5].strip() for line in hits.splitlines() if line.startswith("| ")][1:]
        assert len(shown) == 5
        assert shown[0] == "p02.png"
        assert "Étude in red" in hits

        with program("Serving pictures at ", environment, "serve", "--port", "0") as line:
            page = line.split()[-1].rstrip("/")
            answer = requests.get(f"{page}/api/search", params={"q": "red", "k": 5}, timeout=60).json()
            assert [hit["image_id"] for hit in answer["hits"]] == shown
            html = requests.get(f"{page}/", params={"q": "red"}, timeout=60)
            assert html.status_code == 200
            assert all(image_id in html.text for image_id in shown)
            thumbnail = requests.get(f"{page}/thumbnails/320/p02.png", timeout=60)
            assert thumbnail.headers["content-type"].startswith("image/")
