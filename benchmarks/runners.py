"""What one image costs on one machine, as two shards, and on a local Dask cluster.

`python -m benchmarks.runners [--images 600] [--ways threads,shards,dask] [--embedder palette] [--rate 30/s]`

With `--embedder palette` the pictures are JPEGs of 800 x 600 and the work is this machine's own; with `--embedder azure` a
fake answers in 0.15 s and allows `--rate`. Tells, for each way: the milliseconds an image over the middle half of its
answers, when all processes are working; the wall seconds of the run as its flow reports them; how many of them it does not
embed (mostly starting processes, once a run); and the CPU seconds of all its processes without Prefect's server, which are
meaningful on a busy machine too. All of them share this machine's cores.
"""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from benchmarks.common import Figure, arguments, noise_jpeg, record
from benchmarks.metering import children_seconds
from benchmarks.runs import measured, prefect
from deployments.constants import POOL, RUNS
from deployments.guard import Guarded
from deployments.server_setup import set_up
from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.registry import open_embedder
from tests.fakes.azure import AzureFake
from tests.fakes.quota import Quota

PROJECT = Path(__file__).parents[1]
WAYS = {"threads": [], "shards": ["--shards", "2"], "dask": ["--runner", "dask"], "ray": ["--runner", "ray"]}
LATENCY = 0.15
BATCH = 64


def main() -> None:
    options = arguments(__doc__, images=600, ways="threads,shards,dask", embedder="palette", rate="30/s")
    record(
        f"runners-{options.embedder}",
        f"{options.images:,} pictures by {options.embedder}, on one machine as if on several",
        measure(options),
        "All ways share the cores of one machine: this is what each costs, not what a second machine brings.",
    )


def measure(options: Namespace) -> Iterator[Figure]:
    """Each way over the same pictures, into a collection of its own."""
    with prefect(**RUNS) as (home, _, environment), ExitStack() as stack:
        source = home / "in"
        source.mkdir()
        for number in range(options.images):
            (source / f"p{number:06}.jpg").write_bytes(noise_jpeg((800, 600), (20, 15), quality=85, seed=number))
        more = ["--embedder", options.embedder, "--batch-size", str(BATCH)]
        if options.embedder == "azure":
            fake = stack.enter_context(AzureFake(quota=Quota(options.rate, burst=5), latency=LATENCY, blind=True))
            environment |= fake.environment
            more += ["--rate", f"{options.rate} burst 5"]
        for way in options.ways.split(","):
            before = children_seconds()
            with workers(environment) if way == "shards" else nullcontext():
                account = measured(["ingest", str(source), "--collection", way, *more, *WAYS[way]], environment)
            yield figure(way, account, children_seconds() - before, home / "checkpoints", environment)


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


def figure(way: str, account: dict[str, Any], used: float, checkpoints: Path, environment: dict[str, str]) -> Figure:
    """What one way took."""
    provider = account["space"].partition("_")[0]
    space = open_embedder(Choice(provider), Surroundings(environment, checkpoints.parent)).facts.space
    moments = sorted(row.embedded_at for row in open_checkpoint(str(checkpoints), way, space).ledger())
    quarter = len(moments) // 4
    middle = moments[quarter : 3 * quarter + 1]
    each = (middle[-1] - middle[0]).total_seconds() * 1000 / (len(middle) - 1)
    before = account["seconds"] - (moments[-1] - moments[0]).total_seconds()
    return Figure(
        " ".join(["pinakes ingest", *WAYS[way]]),
        f"{each:.1f} ms an image; the run {account['seconds']:.0f} s, {before:.0f} s of it not embedding;"
        f" {used:.0f} s of processor; {account['rate_limited']} × 429",
    )


if __name__ == "__main__":
    main()
