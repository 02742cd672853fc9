"""A paid embedder against the tutorial's own way: 4 threads, an un-pooled `requests.post` each, a CSV appended to.

`python -m benchmarks.remote [--images 4000]`

Both ask one fake of Azure AI Vision, in a process of its own, which takes 150 ms for a picture of about 100 kB and does not
look at it. There is no quota, and the number of requests in flight is not set. Pinakes' time runs from the listing to the
last answer in the checkpoint. Bare sockets measure what the fake itself can answer, to show that it is not the limit. The
last lines are the client's CPU time for an image, for each provider: reading, hashing and checking the picture, the
request, and the checkpoint.
"""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import requests

from benchmarks.bare_sockets import rate
from benchmarks.common import Figure, arguments, commented, noise_jpeg, record, scratch_home, seconds
from pinakes.ingest.answers import EmbedStage
from pinakes.ingest.listing import list_and_plan
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.request import IngestRequest
from pinakes.settings import load_settings

LATENCY = 0.15
THREADS = 4
TUTORIAL_IMAGES = 150
"""For the slow side; it is a rate that is compared."""

OTHERS = ("gemini", "vertex")
OTHERS_IMAGES = 500
CONNECTIONS = (64, 128)
"""As many as Pinakes opens at most, and twice that: the latency allows 427 and 853 answers a second."""

PATH = "/computervision/retrieval:vectorizeImage"
PARAMETERS = {"api-version": "2024-02-01", "model-version": "2023-04-15"}


def main() -> None:
    options = arguments(__doc__, images=4000)
    remark = f"A fake service on the same machine answers after {LATENCY * 1000:.0f} ms; its quota does not bind."
    record("remote", "A paid embedder", measured(options.images), remark)


def measured(images: int) -> Iterator[Figure]:
    """Azure against the tutorial and against bare sockets, then the client's processor time for each provider."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in"
        size = paint(source, images)
        with fake_service("azure") as environment:
            slow = TUTORIAL_IMAGES / seconds(lambda: tutorial(source, environment, Path(folder) / "out.csv"))
            fast = ours("azure", source, environment)
            yield Figure(
                f"azure, {images:,} pictures, against the tutorial's {THREADS} threads",
                f"{fast.rate / slow:.1f} × ({fast.rate:.0f} against {slow:.1f} images/s, {fast.in_flight} in flight at"
                " the end)",
                "≥ 12 ×",
            )
            for number, connections in enumerate(CONNECTIONS):
                answers = bare_rate(source, environment, connections)
                yield Figure(
                    f"the same against what the fake answers through {connections} bare sockets",
                    f"{fast.rate / answers:.2f} × ({answers:.0f} requests/s)",
                    "" if number else "≥ 0.8 ×",
                )
        what = f"processor time of the client for an image of {size / 1000:.0f} kB"
        yield Figure(f"azure: {what}", f"{fast.cpu * 1000:.1f} ms")
        for provider in OTHERS:
            few = Path(folder) / provider
            paint(few, min(OTHERS_IMAGES, images))
            with fake_service(provider) as environment:
                yield Figure(f"{provider}: the same", f"{ours(provider, few, environment).cpu * 1000:.1f} ms")


def paint(folder: Path, count: int) -> float:
    """Noisy JPEGs of about 100 kB that all differ: their mean size in bytes."""
    folder.mkdir(parents=True)
    picture = noise_jpeg((720, 540), (240, 180), quality=48, seed=1)
    for number in range(count):
        data = commented(picture, f"{number:08}")
        (folder / f"p{number:05}.jpg").write_bytes(data)
    return float(len(data))


def fake_service(provider: str, latency: float = LATENCY) -> AbstractContextManager[dict[str, str]]:
    """The fake of a provider, which does not look at pictures: the settings that point at it."""
    return fake(provider, "--blind", "--latency", str(latency), exports=2)


@contextmanager
def fake(*command: str, exports: int) -> Iterator[dict[str, str]]:
    """`python -m tests.fakes` in a process of its own: the first `exports` settings that it prints for a shell."""
    process = subprocess.Popen([sys.executable, "-m", "tests.fakes", *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        found = filter(None, (re.search(r"export (\w+)=(.+)", line) for line in process.stdout))
        yield {export[1]: shlex.split(export[2])[0] for export in islice(found, exports)}
    finally:
        process.terminate()
        process.wait()


def tutorial(source: Path, environment: dict[str, str], out: Path) -> None:
    """What the tutorial's script does for each picture."""
    url = environment["PINAKES_AZURE_ENDPOINT"] + PATH
    headers = {
        "Content-Type": "application/octet-stream",
        "Ocp-Apim-Subscription-Key": environment["PINAKES_AZURE_KEY"],
    }

    def embed(path: Path) -> None:
        answer = requests.post(url, params=PARAMETERS, headers=headers, data=path.read_bytes(), timeout=60)
        # Opened for each picture, as the tutorial does it.
        with out.open("a", newline="") as file:
            csv.writer(file).writerow([path.name, answer.json()["vector"]])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(embed, sorted(source.iterdir())[:TUTORIAL_IMAGES]))


@dataclass(frozen=True)
class Run:
    """Images a second, CPU seconds of this process an image, and requests allowed in flight at the end."""

    rate: float
    cpu: float
    in_flight: int


def ours(provider: str, source: Path, environment: dict[str, str]) -> Run:
    """Listing, embedding and checkpoint; the embedder's own check comes before, since it imports the provider's client."""
    with scratch_home() as home:
        settings = load_settings(os.environ | environment | {"PINAKES_HOME": str(home)})
        request = IngestRequest.of(
            source=str(source), collection="pictures", checkpoint=settings.checkpoint, embedder=provider, rate="none"
        )
        with open_ingestion(request, settings) as run:
            embedder = run.embedder
            embedder.check()
            started, cpu = time.perf_counter(), time.process_time()
            stage = EmbedStage(run, list_and_plan(run))
            with ThreadPoolExecutor(embedder.facts.workers) as pool:
                list(pool.map(stage.embed, stage.batches()))
            taken, cpu = time.perf_counter() - started, time.process_time() - cpu
            images = len(stage.planned.plan.images)
            assert run.tally.account().embedded == images
            return Run(images / taken, cpu / images, embedder.statistics().in_flight)


def bare_rate(source: Path, environment: dict[str, str], connections: int) -> float:
    """What the fake answers a second when the client costs next to nothing."""
    body = next(source.iterdir()).read_bytes()
    url = environment["PINAKES_AZURE_ENDPOINT"] + PATH
    request = requests.Request("POST", url, params=PARAMETERS, data=body).prepare()
    head = [
        f"POST {request.path_url} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Length: {len(body)}",
        "Content-Type: application/octet-stream",
        f"Ocp-Apim-Subscription-Key: {environment['PINAKES_AZURE_KEY']}",
    ]
    return rate("\r\n".join([*head, "", ""]).encode() + body, url, connections=connections, count=20 * connections)


if __name__ == "__main__":
    main()
