"""`pinakes search` from a cold shell: against a running database, and with the embedded one stopped.

`python -m benchmarks.cold_search [--images 240]`
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.common import machine, scratch_home, seconds
from gallery import write_gallery
from pinakes.ingest.answers import embed_here
from pinakes.ingest.listing import list_and_plan
from pinakes.ingest.loading import load
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.request import IngestRequest
from pinakes.settings import load_settings
from pinakes.store.embedded.server import embedded_server

ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=48)
    asked = parser.parse_args()
    print(f"{asked.images} pictures; {machine()}")
    with scratch_home() as home:
        gallery = write_gallery(home / "gallery", count=asked.images)
        environment = os.environ | {"PINAKES_HOME": str(home)}
        settings = load_settings(environment)
        request = IngestRequest.of(
            source=str(gallery.directory / "Images"), collection="pictures", checkpoint=settings.checkpoint
        )
        with open_ingestion(request, settings) as run:
            planned = list_and_plan(run)
            embed_here(run, planned)
            load(run, planned)
        command = [str(Path(sys.executable).with_name("pinakes")), "search", "dark blue and gold"]

        def search() -> None:
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)

        stopped = statistics.median(seconds(search) for _ in range(ROUNDS))
        with embedded_server(home):
            running = statistics.median(seconds(search) for _ in range(ROUNDS))
    print(f"database running   p50 {running:.2f} s (wanted: under 1 s)")
    print(f"embedded, stopped  p50 {stopped:.2f} s")


if __name__ == "__main__":
    main()
