"""A collection from its first listing to its rebuilding, at several sizes: what each stage costs, and whether that grows.

`python -m benchmarks.rehearsal [--images 20000 60000 200000 600000] [--dimension 1024] [--indexed 60000] [--paid 4000]
[--kept FILE]`

The embedder does nothing, so that what is left is the project's own cost; a fake of Azure AI Vision answers the `--paid`
pictures. An HNSW index is built up to `--indexed` pictures; `benchmarks.search` measures it beyond. The library runs
without Prefect, whose cost `benchmarks.prefect_side` measures. Each run has a process of its own, as a command has. The
files are small, and nobody decodes them. Small sizes are rehearsed several times, and the median counts.

What was measured is kept in `--kept`, so that a rehearsal that was interrupted goes on with the sizes that it lacks.

Processor time is what is judged: it means something on a busy machine too. "Listing alone" is done once more before an
unchanged run, so that the figures can say what the run costs besides it.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, astuple, fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from benchmarks import nothing
from benchmarks.common import Figure, arguments, commented, noise_jpeg, record, scratch_home
from benchmarks.metering import Cost, Meter
from benchmarks.remote import fake, fake_service
from pinakes.ingest.garbage import OBJECTS_BETWEEN
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.stages import Stages, run_stages
from pinakes.ingest.summary import summarise
from pinakes.operations.export import export
from pinakes.operations.status import status
from pinakes.settings import Settings, load_settings
from pinakes.sources.kinds import open_source
from pinakes.store.database import open_database
from pinakes.store.embedded.server import embedded_server
from pinakes.store.removal import collection_size

FILES_IN_A_FOLDER = 10_000
COLLECTION = "rehearsal"
GROWTH = 1.2
"""The processor time of a stage for an image may grow by so much from the smallest size to the largest."""

PEAKS = {200_000: 600, 600_000: 1000}
"""MB that a process may need, by images."""

AGAIN_US = 25
"""Microseconds that an unchanged run may take for an image besides the listing."""

LEAST_US = 1.0
"""Stages that cost less for a picture are not judged: what else the machine does weighs as much."""

REPEATED = 100_000
"""Small sizes are rehearsed until there are as many pictures in all: their stages are over in milliseconds."""

Result = TypeVar("Result")


def main() -> None:
    options = arguments(
        __doc__, images=[20_000, 60_000, 200_000, 600_000], dimension=1024, indexed=60_000, paid=4000, kept=""
    )
    file = Path(options.kept) if options.kept else None
    measured: dict[int, list[Cost]] = {}
    if file is not None and file.exists():
        known = json.loads(file.read_text("utf-8")).items()
        measured = {int(count): [Cost(**cost) for cost in costs] for count, costs in known}
    for count in options.images:
        if count not in measured:
            rounds = max(1, REPEATED // count)
            rehearsed = [rehearse(count, options.dimension, with_index=count <= options.indexed) for _ in range(rounds)]
            measured[count] = [median(stage) for stage in zip(*rehearsed, strict=True)]
            if file is not None:
                file.write_text(json.dumps({each: list(map(asdict, costs)) for each, costs in measured.items()}))
    figures = [figure for count in sorted(measured) for figure in rules(count, options.dimension, measured[count])]
    figures += growth(measured)
    if options.paid:
        figures += paid(options.paid)
    record("rehearsal", f"A collection of up to {max(measured):,} pictures, stage by stage", figures, REMARK)


REMARK = (
    "The embedder does nothing. Times are processor time of Pinakes and PostgreSQL together, for one picture; memory is the"
    " peak of the process of Pinakes."
)


def rehearse(count: int, dimension: int, *, with_index: bool) -> list[Cost]:
    """Every stage of a collection of so many pictures."""
    found: list[Cost] = []
    with scratch_home() as home, embedded_server(home) as dsn, tempfile.TemporaryDirectory(dir="/tmp") as folder:
        source = Path(folder) / "in"
        make_files(source, count)

        def do(prefix: str, action: Callable[..., list[Cost]], *given: Any) -> None:
            for cost in apart(action, home, *given):
                found.append(replace(cost, stage=f"{prefix}{cost.stage}"))
                print(
                    f"{count:>8,}  {found[-1].stage:<40}{cost.wall:8.1f} s  {cost.own / count * 1e6:8.1f} µs ours"
                    f" {cost.postgres / count * 1e6:8.1f} µs PostgreSQL  {cost.peak:6.0f} MB",
                    flush=True,
                )

        index = "hnsw" if with_index else "none"
        request = request_for(source, home, embedder="nothing", dimension=dimension, index=index)
        do("first run: ", ingest, request)
        do("", list_alone, str(source), "folder")
        do("unchanged: ", ingest, request)
        change(source, count // 100)
        do("1 % changed: ", ingest, request)
        do("", show_status)
        do("", export_all, dimension, Path(folder) / "out.parquet")
        with psycopg.connect(dsn, autocommit=True) as conn:
            found += kept(conn, home)
            # What is left is the checkpoint, from which everything can be made again.
            conn.execute(f"DROP SCHEMA {COLLECTION} CASCADE")
        do("rebuild: ", ingest, request)
        with fake("gcs", "--bucket", f"gallery={source}", exports=1) as environment:
            do("", list_alone, "gs://gallery", "bucket", environment)
    return found


def median(costs: Sequence[Cost]) -> Cost:
    """What one stage took in several rehearsals."""
    return Cost(costs[0].stage, *map(statistics.median, zip(*(astuple(cost)[1:] for cost in costs), strict=True)))


def kept(conn: psycopg.Connection[Any], home: Path) -> list[Cost]:
    """The bytes that the database and the checkpoint take, as costs of nothing else."""
    checkpoint = sum(file.stat().st_size for file in (home / "checkpoints").rglob("*") if file.is_file())
    stored = {"database": collection_size(conn, COLLECTION)[1], "checkpoint": checkpoint}
    return [Cost(what, 0, 0, 0, 0, taken) for what, taken in stored.items()]


def rules(count: int, dimension: int, measured: list[Cost]) -> list[Figure]:
    """What holds at one size: memory, what an unchanged run costs besides its listing, and what is stored.

    The database keeps vectors in half precision, the checkpoint in single precision.
    """
    found = {cost.stage: cost for cost in measured}
    most = max(measured, key=lambda cost: cost.peak)
    allowed = next((f"< {limit:,} MB" for images, limit in PEAKS.items() if count <= images), "")
    listing = found["listing alone (folder)"]
    again = [cost for cost in measured if cost.stage.startswith("unchanged: ")]

    def without_listing(of: str) -> float:
        return (sum(getattr(cost, of) for cost in again) - getattr(listing, of)) / count * 1e6

    def against(what: str, bytes_each: int) -> str:
        taken = found[what].stored
        return f"{what} {taken / 2**20:,.0f} MB ({taken / count / dimension / bytes_each:.2f} ×)"

    return [
        Figure(f"{count:,} pictures: most memory of a process ({most.stage})", f"{most.peak:,.0f} MB", allowed),
        Figure(
            f"{count:,} pictures: an unchanged run besides its listing, for a picture",
            f"{without_listing('wall'):.0f} µs, {without_listing('cpu'):.0f} µs of processor",
            f"≤ {AGAIN_US} µs",
        ),
        Figure(
            f"{count:,} pictures: stored, against the bare vectors",
            f"{against('database', 2)}, {against('checkpoint', 4)}",
        ),
    ]


def growth(measured: dict[int, list[Cost]]) -> list[Figure]:
    """How the processor time for a picture changes from the smallest size to the largest, by stage."""
    small, large = min(measured), max(measured)
    before = {cost.stage: cost.cpu / small * 1e6 for cost in measured[small]}
    figures = []
    for cost in measured[large]:
        each, former = cost.cpu / large * 1e6, before.get(cost.stage, 0)
        if former and not cost.stage.endswith("build index") and each >= LEAST_US:
            what = f"{cost.stage}, for a picture of {small:,} and of {large:,}"
            figures.append(Figure(what, f"{former:.1f} µs, {each:.1f} µs ({each / former:.2f} ×)", f"≤ {GROWTH} ×"))
    return figures


def paid(count: int) -> list[Figure]:
    """A first and an unchanged run with a paid embedder, which a fake answers at once."""
    costs: list[list[Cost]] = []
    with scratch_home() as home, embedded_server(home), tempfile.TemporaryDirectory(dir="/tmp") as folder:
        source = Path(folder) / "in"
        make_files(source, count)
        request = request_for(source, home, embedder="azure", rate="none", index="none")
        with fake_service("azure", 0.0) as environment:
            costs += [apart(ingest, home, request, environment) for _ in range(2)]
    return [
        Figure(
            f"{count:,} pictures answered by a fake of Azure AI Vision, {what} run, for a picture",
            f"{sum(cost.cpu for cost in run) / count * 1e6:,.0f} µs of processor,"
            f" {max(cost.peak for cost in run):.0f} MB",
        )
        for what, run in zip(("first", "unchanged"), costs, strict=True)
    ]


def request_for(source: Path, home: Path, **options: Any) -> IngestRequest:
    """The request of a run into the collection of this rehearsal."""
    return IngestRequest.of(source=str(source), checkpoint=str(home / "checkpoints"), collection=COLLECTION, **options)


def apart(action: Callable[..., Result], *given: Any) -> Result:
    """The result of a function in a process of its own, which looks for garbage as seldom as a command does."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, spawn, gc.set_threshold, (OBJECTS_BETWEEN,)) as pool:
        return pool.submit(action, *given).result()


def make_files(folder: Path, count: int) -> None:
    """Small pictures that differ in a comment."""
    picture = noise_jpeg((16, 16), (2, 2), quality=50, seed=1)
    for number in range(count):
        path = folder / f"{number // FILES_IN_A_FOLDER:04}" / f"{number:07}.jpg"
        if number % FILES_IN_A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(commented(picture, f"{number:08}"))


def change(folder: Path, count: int) -> None:
    """Give so many of the files other bytes, spread evenly."""
    files = sorted(folder.rglob("*.jpg"))
    for path in files[:: len(files) // count][:count]:
        path.write_bytes(path.read_bytes() + b" changed")


def settings_of(home: Path, **more: str) -> Settings:
    """Those of a home, whatever this process has."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PINAKES_")}
    return load_settings(kept | more | {"PINAKES_HOME": str(home)}, home)


def list_alone(home: Path, source: str, what: str, environment: dict[str, str] | None = None) -> list[Cost]:
    """List a source."""
    os.environ.update(environment or {})
    with open_database(settings_of(home)) as database:
        meter = Meter(database.dsn)
        opened = open_source(source, home=home)
        with meter.stage(f"listing alone ({what})"):
            deque(opened.entries(), maxlen=0)
    return meter.costs


def ingest(home: Path, request: IngestRequest, environment: dict[str, str] | None = None) -> list[Cost]:
    """A run, stage by stage."""
    settings = settings_of(home, **environment or {})
    with open_database(settings) as database:
        meter = Meter(database.dsn)
        with open_ingestion(request, settings) as run:

            def metered(name: str, stage: Callable[..., Any]) -> Callable[..., Any]:
                def carry_out(*given: Any) -> Any:
                    with meter.stage(name.replace("_", " ")):
                        return stage(*given)

                return carry_out

            plain = Stages()
            stages = Stages(**{item.name: metered(item.name, getattr(plain, item.name)) for item in fields(Stages)})
            outcome = run_stages(run, stages)
            with meter.stage("summary"):
                summarise(run, outcome)
    return meter.costs


def show_status(home: Path) -> list[Cost]:
    """`pinakes status`."""
    settings = settings_of(home)
    with open_database(settings) as database, database.connection() as (conn, _):
        meter = Meter(database.dsn)
        with meter.stage("status"):
            status(conn, settings, COLLECTION)
    return meter.costs


def export_all(home: Path, dimension: int, file: Path) -> list[Cost]:
    """`pinakes export`."""
    settings = settings_of(home)
    space = nothing.Nothing(dimension).facts.space
    with open_database(settings) as database:
        meter = Meter(database.dsn)
        with meter.stage("export"):
            export(file, collection=COLLECTION, space=space, checkpoint=str(home / "checkpoints"))
    return meter.costs


if __name__ == "__main__":
    main()
