"""`pinakes search` from a cold shell: against a running database, and with the embedded one stopped.

`python -m benchmarks.cold_search [--images 240]`
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.common import arguments, scratch_home, seconds
from benchmarks.runs import measured
from gallery import write_gallery
from pinakes.store.embedded.server import embedded_server

ROUNDS = 7


def main() -> None:
    options = arguments(__doc__, images=48)
    with scratch_home() as home:
        gallery = write_gallery(home / "gallery", count=options.images)
        environment = os.environ | {"PINAKES_HOME": str(home)}
        measured(["ingest", str(gallery.directory / "Images")], environment)
        command = [str(Path(sys.executable).with_name("pinakes")), "search", "dark blue and gold"]

        def search() -> None:
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)

        stopped = statistics.median(seconds(search) for _ in range(ROUNDS))
        with embedded_server(home):
            running = statistics.median(seconds(search) for _ in range(ROUNDS))
    print(f"database running   p50 {running:.2f} s (target: under 1 s)")
    print(f"embedded, stopped  p50 {stopped:.2f} s")


if __name__ == "__main__":
    main()
