"""How long a command takes from a cold shell: the list of commands, a search, and a run up to its first pictures.

`python -m benchmarks.start_up [--images 8] [--rounds 10]`

The smallest of the rounds is shown, for a command can only be slowed down by what else the machine does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.common import Figure, arguments, record, scratch_home, seconds
from benchmarks.metering import children_seconds
from benchmarks.runs import measured
from gallery import write_gallery
from pinakes.store.embedded.server import embedded_server


def main() -> None:
    options = arguments(__doc__, images=8, rounds=10)
    with scratch_home() as home:
        environment = os.environ | {"PINAKES_HOME": str(home)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # set, it would have every command compile all that it imports
        source = write_gallery(home / "gallery", count=options.images).directory / "Images"
        measured(["ingest", str(source)], environment)

        def best(*arguments: str) -> str:
            command = [str(Path(sys.executable).with_name("pinakes")), *arguments]

            def once() -> tuple[float, float]:
                before = children_seconds()
                taken = seconds(lambda: subprocess.run(command, env=environment, capture_output=True, check=True))
                return taken, children_seconds() - before

            rounds = [once() for _ in range(options.rounds)]
            wall, processor = (min(values) for values in zip(*rounds, strict=True))
            return f"{processor:.2f} s of processor, {wall:.2f} s by the clock"

        stopped = best("search", "dark blue and gold")
        with embedded_server(home):
            figures = [
                Figure("`pinakes --help`", best("--help"), "≤ 0.25 s"),
                Figure("`pinakes search`, database running", best("search", "dark blue and gold"), "≤ 0.6 s"),
                Figure("`pinakes search`, embedded database stopped before and after", stopped),
                Figure(
                    "`pinakes ingest` of one new picture, database running: the whole run",
                    best("ingest", str(source), "--collection", "one", "--limit", "1"),
                    "first batch ≤ 2 s",
                ),
            ]
    record(
        "start_up",
        "Starting a command",
        figures,
        f"The smallest of {options.rounds} rounds; the clock counts what else the machine did.",
    )


if __name__ == "__main__":
    main()
