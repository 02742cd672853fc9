"""The README as a newcomer types it: every command, in its order, in one home; and those for a folder by themselves."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from deployments.prefect_server import free_port
from gallery import write_gallery
from pinakes.embedders.local.clip_models import DEFAULT_PAIR
from pinakes.settings import Settings
from pinakes.store.database import Database
from tests import tiny_models
from tests.fakes.hub import hub
from tests.programs import ended
from tests.running import stored
from tests.signals import AS_A_BACKGROUND_JOB, AS_IN_A_TERMINAL
from tests.stack import Stack, table
from tests.waiting import PATIENCE, until

PROJECT = Path(__file__).parents[2]

INSTEAD = {
    "make demo": f"{sys.executable} -m deployments.demo",  # the environment that it would install is this one
    ". .venv/bin/activate": "true",
    ".venv/bin/python -m pip install -e '.[clip]'": "true",
}
LASTING = {
    "pinakes serve": ("Serving ", AS_IN_A_TERMINAL),
    "pinakes up": ("Ctrl-C ends everything", AS_A_BACKGROUND_JOB),
}
"""Commands that run until Ctrl-C, what they say when they are ready, and how they are started: also where a script has
started it with Ctrl-C ignored, `pinakes up` ends in order."""
PICTURES = 12
"""Of the sample gallery: one of them is there twice, and one file is no picture."""


def blocks() -> list[list[str]]:
    found = re.findall(r"```sh[^\n]*\n(.*?)```", (PROJECT / "README.md").read_text("utf-8"), re.DOTALL)
    return [[line for line in block.splitlines() if line.strip()] for block in found]


@contextmanager
def lasting(
    command: str, ready: str, before: Callable[[], None], environment: dict[str, str], folder: Path
) -> Iterator[int]:
    """A command that runs until the end of the block, when Ctrl-C must end it and all that it started; its port."""
    port = free_port()
    said = folder / f"{port}.log"
    with said.open("w") as log:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command} --port {port}"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=before,
        )
    try:
        until(lambda: ready in said.read_text() or process.poll() is not None, every=0.2)
        assert process.poll() is None, f"{command}\n{said.read_text()}"
        yield port
        below = psutil.Process(process.pid).children(recursive=True)
        assert below or command != "pinakes up"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 0, said.read_text()
        _, alive = psutil.wait_procs(below, timeout=PATIENCE)
        assert alive == []
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_the_commands_for_a_folder_and_a_spreadsheet_never_fail(environment: dict[str, str], tmp_path: Path) -> None:
    (typed,) = (block for block in blocks() if block[0].startswith("pinakes sample "))
    assert len(typed) >= 8
    typed[0] = re.sub(r"(?<=--count )\d+", "4", typed[0])  # for the sake of time
    for command in typed:
        pinakes, *arguments = shlex.split(command)
        assert pinakes == "pinakes"
        done = ended("pinakes.cli.main", *arguments, env=environment, cwd=tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    for made in ("like-this.png", "dataset.parquet"):
        assert (tmp_path / made).is_file()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_readme_in_its_order_never_fails(
    settings: Settings, database: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    """Worth its minute and a half: what a newcomer types works in its order and from nothing, with `make demo`, a Prefect
    server that migrates its own database, a model that is downloaded, and Ctrl-C in the end.
    """
    typed = [command for block in blocks() for command in block]
    assert len(typed) >= 17
    write_gallery(settings.home / "sample", count=PICTURES)  # `make demo` keeps a gallery that is there
    siglip = tiny_models.siglip(tmp_path / "hub")
    with hub({DEFAULT_PAIR.vision.repository: siglip}) as served, ExitStack() as running:
        environment |= {
            "PYTHONPATH": str(PROJECT),
            "TMPDIR": str(tmp_path),
            "HF_ENDPOINT": served.endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }
        for command in typed:
            if found := next((LASTING[begin] for begin in LASTING if command.startswith(begin)), None):
                port = running.enter_context(lasting(command, *found, environment, tmp_path))
                if command.startswith("pinakes serve"):
                    page = httpx.get(f"http://127.0.0.1:{port}/", params={"q": "midnight blue"}, trust_env=False)
                    assert page.status_code == 200
                    assert page.text.count("<img") > 5
                continue
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                assert re.fullmatch(r"http://127\.0\.0\.1:\d+/api", value)
                environment[name] = f"http://127.0.0.1:{port}/api"
                continue
            done = subprocess.run(
                ["bash", "-c", INSTEAD.get(command, command)],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        goes_on_with_what_the_demo_has_made(Stack(environment["PREFECT_API_URL"]))
    for made in ("demo/words.png", "demo/picture.png", "like-this.png", "dataset.parquet"):
        assert (tmp_path / made).is_file()
    assert len(list((tmp_path / "demo").iterdir())) == 2
    assert stored(database, "SELECT count(*) FROM sample.images") == [(PICTURES + 1,)]


def goes_on_with_what_the_demo_has_made(up: Stack) -> None:
    """The run of `ingest` on the server of `pinakes up` had everything reused."""
    runs = up.ask("POST", "flow_runs/filter", {"deployments": {"name": {"any_": ["ingest"]}}})
    (by_hand,) = (up.end_of(run["id"]) for run in runs)
    assert by_hand["state_type"] == "COMPLETED", by_hand["state"]["message"]
    statuses = table(by_hand, "statuses")
    assert (statuses["listed"], statuses["calls"], statuses["rows_written"]) == (PICTURES + 2, 0, 0)


def test_the_readme_names_targets_of_the_makefile() -> None:
    makefile = (PROJECT / "Makefile").read_text("utf-8")
    for target in re.findall(r"`?make (\w+)`?", (PROJECT / "README.md").read_text("utf-8")):
        assert f"\n{target}:" in makefile
