"""Runs with a table of metadata: a first one, one in which nothing has changed, and one in which one title has.

`python -m benchmarks.described [--images 20000]`

The table is like SemArt's, the embedder does nothing, and no index is built. Times are processor time of Pinakes and
PostgreSQL together. Each run has a process of its own, as a command has.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import nothing  # noqa: F401 - registers the embedder
from benchmarks.common import Figure, arguments, images, record, scratch_home
from benchmarks.metering import Cost
from benchmarks.rehearsal import apart, ingest, make_files, request_for
from pinakes.store.embedded.server import embedded_server


def main() -> None:
    options = arguments(__doc__, images=20_000)
    record("described", f"{options.images:,} pictures with metadata like SemArt's", described(options.images))


def described(count: int) -> list[Figure]:
    """What each run costs for a picture, without the reading of the table, which is none of its stages."""
    costs: dict[str, list[Cost]] = {}
    with scratch_home() as home, embedded_server(home), tempfile.TemporaryDirectory(dir="/tmp") as folder:
        source, table = Path(folder) / "in", Path(folder) / "semart.csv"
        make_files(source, count)
        frame = images(count).drop(columns=["uri", "fingerprint", "extra"])
        frame["image_id"] = [f"{number:07}.jpg" for number in range(count)]
        frame = frame.rename(columns=str.upper).rename(columns={"IMAGE_ID": "IMAGE_FILE"})
        request = request_for(source, home, embedder="nothing", index="none", metadata=(str(table),))
        for what in ("first run", "unchanged run", "run with one title changed"):
            if what == "run with one title changed":
                frame.loc[0, "TITLE"] = "another"
            frame.to_csv(table, sep="\t", index=False)
            costs[what] = apart(ingest, home, request)
    return [
        Figure(
            f"{what}: all stages, and loading alone, for a picture",
            f"{sum(cost.cpu for cost in run) / count * 1e6:.0f} µs,"
            f" {sum(cost.cpu for cost in run if cost.stage == 'load') / count * 1e6:.0f} µs of processor",
        )
        for what, run in costs.items()
    ]


if __name__ == "__main__":
    main()
