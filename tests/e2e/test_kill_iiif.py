"""A run over a museum's manifests, killed and begun again, as commands that a person types."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pinakes.rates import parse_rates
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.store.limits import change_limit, limits_connection
from tests.fakes.iiif import IiifFake, image_3
from tests.programs import Program
from tests.running import stored
from tests.waiting import PATIENCE, until

PROJECT = Path(__file__).parents[2]
PICTURES = 60

Begin = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def museum(settings: Settings) -> Iterator[IiifFake]:
    """A museum that may be asked as fast as it answers."""
    with IiifFake() as started:
        with limits_connection(settings.database_url or "", "PINAKES_DATABASE_URL") as conn:
            change_limit(conn, f"iiif:{started.url.removeprefix('http://')}", parse_rates("5000/s"))
        yield started


def publish(museum: IiifFake, pictures: int, manifests: int = 3) -> str:
    """A collection of pictures in some manifests."""
    each = pictures // manifests
    return museum.collection(
        "/all.json",
        [
            museum.manifest(
                f"/{m}.json",
                (
                    museum.canvas(f"{m}/{n}", image_3(museum.picture(f"/{m}/{n}.jpg", m * each + n)))
                    for n in range(each)
                ),
            )
            for m in range(manifests)
        ],
    )


@pytest.fixture
def begin(environment: dict[str, str], tmp_path: Path) -> Begin:
    """Starts an ingest from an address."""
    (tmp_path / "calls").touch()
    own = {"COUNTING_LOG": str(tmp_path / "calls"), "COUNTING_HOLD": str(tmp_path / "hold"), "PYTHONPATH": str(PROJECT)}

    def started(address: str) -> subprocess.Popen[str]:
        command = ("tests.counting", "ingest", f"iiif+{address}", "--embedder", "counting", "--json")
        return Program(*command, cwd=PROJECT, env=environment | own)

    return started


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=10 * PATIENCE)
    assert process.returncode == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


@pytest.mark.slow
def test_a_killed_run_goes_on_without_asking_for_what_it_has(
    museum: IiifFake, begin: Begin, database: Database, tmp_path: Path
) -> None:
    address = publish(museum, PICTURES)
    hold = tmp_path / "hold"
    hold.touch()
    process = begin(address)
    until(lambda: (tmp_path / "calls").read_text().count("\n") > 0, process)
    process.kill()
    process.communicate()
    listed = museum.bodies.copy()
    assert all(listed[f"/{n}.json"] == 1 for n in range(3))
    hold.unlink()

    summary = ended(begin(address))
    assert summary["embedded"] == PICTURES
    assert {museum.bodies[path] for path in museum.bodies if path.endswith(".json")} == {1}
    # Listed once, and read to be embedded; those that were under way when the run was killed are read twice.
    assert museum.bodies.total() <= listed.total() + PICTURES
    ((images, titles),) = stored(database, "SELECT count(*), count(title) FROM pictures.images")
    assert (images, titles) == (PICTURES, PICTURES)

    museum.bodies.clear()
    again = ended(begin(address))
    assert again["reused"] == PICTURES
    assert again["calls"] == 0
    assert not museum.bodies


@pytest.mark.soak
def test_ten_thousand_canvases_take_no_more_memory_than_their_names(
    museum: IiifFake, begin: Begin, database: Database
) -> None:
    """Worth its minutes: only a whole run shows that neither documents nor pictures pile up in memory."""
    import psutil

    def peak(pictures: int) -> int:
        process = begin(publish(museum, pictures))
        watched, most = psutil.Process(process.pid), 0
        while process.poll() is None:
            most = max(most, watched.memory_info().rss if watched.status() != psutil.STATUS_ZOMBIE else 0)
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        assert ended(process)["failed"] == 0
        return most

    small, large = peak(999), peak(9_999)
    ((images,),) = stored(database, "SELECT count(*) FROM pictures.images")
    assert images == 9_999
    museum.bodies.clear()
    peak(9_999)
    assert not museum.bodies
    assert large - small < 120 << 20, f"{small >> 20} MB for 999, {large >> 20} MB for 9,999"
