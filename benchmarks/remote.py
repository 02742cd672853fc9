"""A paid embedder against the tutorial's own way: 4 threads, an un-pooled `requests.post` each, a CSV appended to.

`python -m benchmarks.remote [--images 1200]`

Both ask one fake of Azure AI Vision, in a process of its own, which takes 150 ms for a picture of about 100 kB. No quota
holds either back. The last line says what the fake itself can do, so that it is seen not to be the limit.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from benchmarks.common import machine, scratch_home, seconds
from pinakes.opening import open_ingestion
from pinakes.request import IngestRequest
from pinakes.settings import load_settings

LATENCY = 0.15
THREADS = 4
TUTORIAL_IMAGES = 150
"""For the slow side; it is a rate that is compared."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1200)
    asked = parser.parse_args()
    print(f"{asked.images:,} pictures, {LATENCY * 1000:.0f} ms a request; {machine()}")
    with scratch_home() as home, tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in"
        size = paint(source, asked.images)
        fake, environment = start_fake()
        try:
            slow = TUTORIAL_IMAGES / seconds(lambda: tutorial(source, environment, Path(folder) / "out.csv"))
            started, cpu = time.perf_counter(), time.process_time()
            in_flight = ours(source, home, environment)
            fast = asked.images / (time.perf_counter() - started)
            cost = (time.process_time() - cpu) / asked.images
            bound = rate_of_the_fake(environment)
        finally:
            fake.terminate()
            fake.wait()
    print(f"pictures of {size / 1000:.0f} kB on average")
    print(f"the tutorial's way  {slow:8.1f} images/s")
    print(
        f"Pinakes             {fast:8.1f} images/s, {cost * 1000:.1f} ms CPU an image, {in_flight} in flight at the end"
    )
    print(f"Pinakes / tutorial: {fast / slow:.1f} (wanted: at least 8)")
    print(f"the fake alone      {bound:8.1f} requests/s of a tiny text over 64 connections")


def paint(folder: Path, count: int) -> float:
    """Noisy JPEGs of about 100 kB that all differ: their mean size in bytes."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    out = io.BytesIO()
    pixels = rng.integers(0, 255, (180, 240, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((720, 540), Image.Resampling.BICUBIC).save(out, format="JPEG", quality=62)
    for number in range(count):
        # A comment after the start marker makes other bytes of the same picture.
        comment = f"{number:08}".encode()
        data = out.getvalue()[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + out.getvalue()[2:]
        (folder / f"p{number:05}.jpg").write_bytes(data)
    return float(len(data))


def start_fake() -> tuple[subprocess.Popen[str], dict[str, str]]:
    """The fake in a process of its own, and the settings that point at it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes", "azure", "--latency", str(LATENCY)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    environment: dict[str, str] = {}
    while len(environment) < 2:
        found = re.search(r"(PINAKES_AZURE_\w+)=(\S+)", process.stdout.readline())
        if found:
            environment[found[1]] = found[2].strip("'\"")
    return process, environment


def tutorial(source: Path, environment: dict[str, str], out: Path) -> None:
    """What the tutorial's script does for each picture."""
    url = f"{environment['PINAKES_AZURE_ENDPOINT'].rstrip('/')}/computervision/retrieval:vectorizeImage"
    parameters = {"api-version": "2024-02-01", "model-version": "2023-04-15"}
    headers = {
        "Content-Type": "application/octet-stream",
        "Ocp-Apim-Subscription-Key": environment["PINAKES_AZURE_KEY"],
    }

    def embed(path: Path) -> None:
        answer = requests.post(url, params=parameters, headers=headers, data=path.read_bytes(), timeout=60)
        with out.open("a", newline="") as file:
            csv.writer(file).writerow([path.name, answer.json()["vector"]])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(embed, sorted(source.iterdir())[:TUTORIAL_IMAGES]))


def ours(source: Path, home: Path, environment: dict[str, str]) -> int:
    """Listing, embedding and checkpoint; how many requests were in flight at the end."""
    settings = load_settings(os.environ | environment | {"PINAKES_HOME": str(home)})
    request = IngestRequest.of(
        source=str(source), collection="pictures", checkpoint=settings.checkpoint, embedder="azure", rate="none"
    )
    with open_ingestion(request, replace(settings)) as run:
        run.list_and_plan()
        with ThreadPoolExecutor(run.embedder.facts.workers) as pool:
            for result in pool.map(run.embed, run.batches()):
                run.count(result)
        assert run.account.embedded == len(run.plan.images)
        statistics: Callable[[], object] = run.embedder.statistics  # type: ignore[attr-defined]  # a paid embedder has them
        return int(statistics().in_flight)  # type: ignore[attr-defined]


def rate_of_the_fake(environment: dict[str, str]) -> float:
    """Requests a second with nothing but a text in them, over many pooled connections."""
    url = f"{environment['PINAKES_AZURE_ENDPOINT'].rstrip('/')}/computervision/retrieval:vectorizeText"
    parameters = {"api-version": "2024-02-01", "model-version": "2023-04-15"}
    headers = {"Ocp-Apim-Subscription-Key": environment["PINAKES_AZURE_KEY"]}
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
    count = 640
    with ThreadPoolExecutor(64) as pool:

        def ask(number: int) -> None:
            session.post(url, params=parameters, headers=headers, json={"text": f"word {number}"}, timeout=60)

        return count / seconds(lambda: list(pool.map(ask, range(count))))


if __name__ == "__main__":
    main()
