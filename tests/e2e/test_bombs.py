"""Pictures near the limits, of every kind, through a whole ingest and through the page: within 1 GB, each accounted for.

The memory of all processes together is measured, as a container counts it: pages that they share count once (PSS).
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.bombs import KINDS
from tests.running import stored
from tests.sites import PROJECT, Site
from tests.waiting import PATIENCE

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(sys.platform != "linux", reason="measured with /proc"),
]

LIMIT = 1 << 30
LATE = "was not decoded within"
WHY = r"the limit is|takes more than \d+ s of a processor"


class Memory:
    """The most memory that a process and its children have had together; use it as a context manager."""

    def __init__(self, process: int) -> None:
        self.most = 0
        self._process = psutil.Process(process)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(0.05):
            with suppress(psutil.NoSuchProcess):
                total = 0
                for each in (self._process, *self._process.children(recursive=True)):
                    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                        total += each.memory_full_info().pss
                self.most = max(self.most, total)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bombs")
    subprocess.run([sys.executable, "-m", "tests.bombs", str(folder)], cwd=PROJECT, check=True, timeout=900)
    return folder


def pinakes(site: Site, *command: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "pinakes.cli.main", *command],
        cwd=PROJECT,
        env=site.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    site.processes.append(process)
    return process


def test_an_ingest_of_them_accounts_for_each_within_a_gigabyte(
    site: Site, on_the_session_server: str, bombs: Path
) -> None:
    names = {path.name: path for path in bombs.iterdir()}
    for name, path in names.items():
        (site.source / f"{name}.jpg").parent.mkdir(exist_ok=True)
        (site.source / f"{name}.jpg").symlink_to(path)
    run = pinakes(site, "ingest", str(site.source), "--allow-failures", "100%", "--json")
    with Memory(run.pid) as memory:
        out, err = run.communicate(timeout=1500)
    print(f"ingest: {memory.most >> 20} MB at most; {out[:300]}")
    assert run.returncode == 0, err
    ((space,),) = stored(site.database, "SELECT space FROM pictures.spaces")
    embedded = {name for (name,) in stored(site.database, f"SELECT image_id FROM pictures.{space}")}
    assert embedded == {f"{kind}-below.jpg" for kind in KINDS}
    status = pinakes(site, "status", "--failures")
    said, _ = status.communicate(timeout=PATIENCE)
    for name in [f"{kind}-above.jpg" for kind in KINDS] + ["endless.jpg"]:
        assert name in said
    assert len(re.findall(WHY, said)) >= len(KINDS) + 1, said
    assert memory.most < LIMIT


def test_the_page_answers_for_each_upload_within_a_gigabyte(
    site: Site, on_the_session_server: str, bombs: Path
) -> None:
    from tests.running import gallery

    gallery(site.source, 5)
    site.end(site.begin())
    page = subprocess.Popen(
        [sys.executable, "-m", "tests.counting", "serve", "--port", "0"],
        cwd=PROJECT,
        env=site.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    site.processes.append(page)
    assert page.stdout is not None
    address = page.stdout.readline().split(" at ")[1].strip()
    busy = 0

    def upload(path: Path) -> tuple[str, int, str]:
        nonlocal busy
        while True:
            answer = httpx.post(address, files={"picture": path.read_bytes()}, timeout=PATIENCE)
            # One that takes too long is refused in any case; where the machine is busy, the page cannot know why.
            if answer.status_code != 503 or (path.name == "endless" and LATE in answer.text):
                return path.name, answer.status_code, answer.text
            busy += 1

    with Memory(page.pid) as memory, ThreadPoolExecutor(4) as visitors:
        answers = list(visitors.map(upload, sorted(bombs.iterdir())))
        assert httpx.get(f"{address}healthz", timeout=PATIENCE).status_code == 200
    print(f"page: {memory.most >> 20} MB at most; told to come again: {busy}; {[answer[:2] for answer in answers]}")
    for name, status, text in answers:
        if name.endswith("-below"):
            assert status == 303, (name, text)
        else:
            assert re.search(WHY if status < 500 else LATE, text), (name, status, text)
    assert memory.most < LIMIT
