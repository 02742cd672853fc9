"""What the benchmarks measured: a JSON file each, written by `record` and read by `python -m benchmarks.report`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        what: what was measured, against which other way if it is a ratio.
        value: as it is printed, with its unit: "1.28 ×", "47 ms".
        aim: what it should be; "" where nothing was aimed at.
    """

    what: str
    value: str
    aim: str = ""


@dataclass(frozen=True)
class Result:
    """What one command measured.

    Attributes:
        name: the file's stem.
        title: the heading under which it is shown.
        command: what gives the figures.
        machine: one line about what they were measured on.
        measured: the day, in UTC.
        load: average number of processes that were running in the last five minutes, those of the benchmark included.
        remark: what a reader has to know, such as what it was compared with; "" for nothing.
        figures: in the order in which they are shown.
    """

    name: str
    title: str
    command: str
    machine: str
    measured: str
    load: float
    remark: str
    figures: tuple[Figure, ...]


def write(name: str, title: str, machine: str, figures: Sequence[Figure], remark: str = "") -> None:
    """Keep what this program has measured; an earlier result of the same name is replaced."""
    arguments = [_shown(argument) for argument in sys.argv[1:]]
    command = shlex.join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *arguments])
    day = datetime.now(UTC).date().isoformat()
    load = round(os.getloadavg()[1], 1)
    result = Result(name, title, command, machine, day, load, remark, tuple(figures))
    text = json.dumps(asdict(result), indent=2, ensure_ascii=False)
    (FOLDER / f"{name}.json").write_text(text + "\n", "utf-8")


def _shown(argument: str) -> str:
    """An argument of the command; where somebody keeps a folder or a file helps nobody else."""
    path = Path(argument)
    return "FOLDER" if path.is_dir() else "FILE" if path.is_absolute() else argument


def read() -> list[Result]:
    """Every result, by name."""
    documents = [json.loads(file.read_text("utf-8")) for file in sorted(FOLDER.glob("*.json"))]
    return [
        Result(**document | {"figures": tuple(Figure(**figure) for figure in document["figures"])})
        for document in documents
    ]
