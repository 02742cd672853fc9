"""What one image costs on one machine, as two shards, and on a local Dask cluster.

`python -m benchmarks.runners [--images 600] [--ways threads,shards,dask] [--embedder palette] [--rate 30/s]`

With `--embedder palette` the pictures are JPEGs of 800 x 600 and the work is this machine's own; with `--embedder azure` a
fake answers in 0.15 s and allows `--rate`. Prints, for each way: the wall seconds of the run as its flow reports them; those
in which it does not embed (most of it starting processes, once a run); the milliseconds an image of the middle half of its
answers, when all processes are at it; and the processor seconds of all its processes, Prefect's server left out, which say
something on a busy machine too. All of them share this machine's cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import machine, scratch_home
from deployments.constants import NO_TELEMETRY, POOL, RUNS
from deployments.guard import Guarded
from deployments.prefect_server import running_server
from deployments.server_setup import set_up
from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.registry import open_embedder
from pinakes.store.embedded.server import embedded_server
from tests.fakes.azure import AzureFake
from tests.fakes.quota import Quota

PROJECT = Path(__file__).parents[1]
WAYS = {"threads": [], "shards": ["--shards", "2"], "dask": ["--runner", "dask"], "ray": ["--runner", "ray"]}
LATENCY = 0.15
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--ways", default="threads,shards,dask")
    parser.add_argument("--embedder", choices=["palette", "azure"], default="palette")
    parser.add_argument("--rate", default="30/s")
    asked = parser.parse_args()
    print(f"{asked.images:,} images, {asked.embedder}; {machine()}")
    with ExitStack() as stack:
        home = stack.enter_context(scratch_home())
        stack.enter_context(embedded_server(home))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = paint(folder / "in", asked.images)
        environment = os.environ | NO_TELEMETRY | RUNS | {"PINAKES_HOME": str(home), "PREFECT_HOME": str(folder / "p")}
        options = ["--embedder", asked.embedder, "--batch-size", str(BATCH)]
        if asked.embedder == "azure":
            fake = stack.enter_context(AzureFake(quota=Quota(asked.rate, burst=5), latency=LATENCY, blind=True))
            environment |= fake.environment
            options += ["--rate", f"{asked.rate} burst 5"]
        environment["PREFECT_API_URL"] = stack.enter_context(running_server(environment=environment)).api_url
        for way in asked.ways.split(","):
            before = processor_seconds()
            with workers(environment) if way == "shards" else ExitStack():
                command = ["ingest", str(source), "--collection", way, *options, *WAYS[way]]
                account = measured(command, environment)
            used = processor_seconds() - before
            show(way, account, used, home / "checkpoints", environment)


def paint(folder: Path, count: int) -> Path:
    """JPEGs of 800 x 600 that differ."""
    folder.mkdir()
    for number in range(count):
        small = np.random.default_rng(number).integers(0, 255, (15, 20, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((800, 600), Image.Resampling.BICUBIC)
        picture.save(folder / f"p{number:06}.jpg", quality=85)
    return folder


@contextmanager
def workers(environment: dict[str, str]) -> Iterator[None]:
    """Two workers of one pool with room for one shard each."""
    set_up(environment["PREFECT_API_URL"])
    subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--name", "shard"],
        cwd=PROJECT,
        env=environment | {"PWD": str(PROJECT)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--limit", "1", "--name"]
    started = [Guarded([*command, name], log=None, environment=environment) for name in ("one", "two")]
    try:
        yield
    finally:
        for worker in started:
            worker.stop()


def measured(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """What `--json` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "pinakes.cli.main", *command, "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def processor_seconds() -> float:
    """Of this process's children that have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show(way: str, account: dict[str, Any], used: float, checkpoints: Path, environment: dict[str, str]) -> None:
    """One line of the table."""
    provider = account["space"].partition("_")[0]
    space = open_embedder(Choice(provider), Surroundings(environment, checkpoints.parent)).facts.space
    moments = sorted(row.embedded_at for row in open_checkpoint(str(checkpoints), way, space).ledger())
    quarter = len(moments) // 4
    middle = moments[quarter : 3 * quarter + 1]
    each = (middle[-1] - middle[0]).total_seconds() * 1000 / (len(middle) - 1)
    before = account["seconds"] - (moments[-1] - moments[0]).total_seconds()
    print(
        f"{way:<10}{account['seconds']:8.1f} s the run  {before:8.1f} s of it not embedding  {each:7.2f} ms an image"
        f"  {used:6.1f} s of processor  429s {account['rate_limited']}  calls {account['calls']}",
        flush=True,
    )


if __name__ == "__main__":
    main()
