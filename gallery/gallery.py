"""Writes the sample gallery: pictures painted by code, and their catalogue in SemArt's format."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from gallery import catalogue, studio, worker
from gallery.painter import PAINTERS
from gallery.story import Story
from pinakes.errors import UsageError

VERSION = 2
"""Raised by hand whenever the pictures or the tables change; a gallery of another version is painted again."""

PICTURES = 140
"""How many different pictures a gallery has unless it is asked for another number: ten by each painter."""

SEED = 20_260
MARKER = ".pinakes-sample.json"
_LOAN_OF = 2
"""The number of the picture of which a second copy is written, so that there is a duplicate to find."""

_FEWEST_PER_WORKER = 6
"""Starting a process takes about as long as painting one or two pictures."""

_NOTES = """\
This file is not an image; it is here on purpose, so that there is something to be skipped.

The pictures in this folder were painted by a program. The painters, the titles and the descriptions are invented;
any likeness to works of real painters is one of manner only. One picture is here twice, byte for byte, under two names.
"""


@dataclass(frozen=True, slots=True)
class Gallery:
    """What was written (or found already written).

    Attributes:
        directory: the gallery's folder.
        distinct: how many different pictures there are.
        painted: how many pictures were painted just now; 0 when the gallery was there already.
    """

    directory: Path
    distinct: int
    painted: int

    @property
    def pictures(self) -> Path:
        """The folder of the image files."""
        return self.directory / "Images"

    @property
    def images(self) -> int:
        """How many image files there are, the duplicate included."""
        return self.distinct + 1

    @property
    def metadata(self) -> tuple[Path, ...]:
        """The three tables: train, validation, test."""
        return tuple(self.directory / name for name in catalogue.TABLES)


def write_gallery(directory: Path, *, count: int = PICTURES, seed: int = SEED, workers: int | None = None) -> Gallery:
    """Paint `count` pictures into `directory/Images` and write their catalogue next to it; a bar shows how far it is.

    The same count, seed and library versions give the same bytes. A gallery that is there already is left as it is; one
    of another version, count or seed is replaced.

    Args:
        directory: a new or empty folder, or one that holds a gallery of this program.
        count: how many different pictures; one of them is written a second time as a duplicate.
        seed: chooses another gallery.
        workers: how many processes paint; by default as many as there are processors.

    Raises:
        UsageError: the folder holds something else or cannot be written, or `count` is below 1.
    """
    if count < 1:
        raise UsageError(f"a sample gallery of {count} pictures cannot be painted; ask for at least 1.")
    target: dict[str, object] = {"version": VERSION, "count": count, "seed": seed, "complete": True}
    try:
        found = _found(directory)
        files = found.pop("files", [])
        names = [name for name in files if isinstance(name, str)] if isinstance(files, list) else []
        if found == target and names and all((directory / name).is_file() for name in names):
            return Gallery(directory, count, painted=0)
        for path in map(PurePosixPath, names):  # only what the marker lists, and nothing outside the gallery
            if not path.is_absolute() and ".." not in path.parts:
                (directory / path).unlink(missing_ok=True)
        _write(directory, count, seed, target, workers)
    except OSError as exc:
        raise UsageError(
            f"the sample gallery cannot be written to {directory}: {exc.strerror or exc}; choose another folder."
        ) from exc
    return Gallery(directory, count, painted=count)


def painted_before(directory: Path) -> tuple[int, int] | None:
    """Count and seed of the gallery that this program has painted into `directory`; None where it painted none."""
    found = _marker(directory)
    count, seed = found.get("count"), found.get("seed")
    return (count, seed) if isinstance(count, int) and isinstance(seed, int) else None


def _marker(directory: Path) -> dict[str, object]:
    """What the marker of an earlier gallery says; empty where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((directory / MARKER).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def _found(directory: Path) -> dict[str, object]:
    """The marker of an earlier gallery; empty for a folder that is new or empty."""
    if not directory.exists():
        return {}
    if not directory.is_dir():
        raise UsageError(f"the sample gallery cannot be written to {directory}: it is a file; choose a folder.")
    found = _marker(directory)
    if not found and any(not entry.name.startswith(".") for entry in directory.iterdir()):
        raise UsageError(
            f"the sample gallery is not written to {directory}, which holds other files; choose a new or an empty folder."
        )
    return found


def _write(directory: Path, count: int, seed: int, target: dict[str, object], workers: int | None) -> None:
    images = directory / "Images"
    (images / "loans").mkdir(parents=True, exist_ok=True)
    orders = [studio.commission(number, seed) for number in range(count)]
    names = [catalogue.file_name(order) for order in orders]
    loan = f"{count:05d}-loan.jpg"
    files = [f"Images/{name}" for name in (*names, f"loans/{loan}", "NOTES.txt")] + list(catalogue.TABLES)
    # The marker comes first, so that a gallery that was interrupted is known as ours, and last, so that it is whole.
    _put(directory / MARKER, json.dumps({**target, "complete": False, "files": files}).encode())
    stories: dict[int, Story] = {}
    with contextlib.closing(_paint_all(images, seed, count, workers or _processors())) as painted:
        # A log, where nothing can be drawn over, gets a line every ten seconds.
        seconds = 0.1 if sys.stderr.isatty() else 10
        bar = tqdm(painted, "painting", count, unit=" pictures", dynamic_ncols=True, mininterval=seconds)
        stories.update(bar)
    rows = [catalogue.row(order, stories[order.number], name) for order, name in zip(orders, names, strict=True)]
    tables = catalogue.split(rows)
    original = min(_LOAN_OF, count - 1)
    copy = list(catalogue.row(orders[original], stories[original], loan))
    copy[1] += " This is the copy that was made for a loan, byte for byte the same."
    tables[catalogue.TABLES[0]].append(tuple(copy))
    shutil.copyfile(images / names[original], images / "loans" / loan)
    _put(images / "NOTES.txt", _NOTES.encode())
    for name, lines in tables.items():
        _put(directory / name, catalogue.encode(lines))
    _put(directory / MARKER, json.dumps({**target, "files": files}).encode())


def _put(path: Path, data: bytes) -> None:
    with worker.draft_of(path) as draft:
        draft.write_bytes(data)


def _processors() -> int:
    # Those that this process may use: a container may have fewer than the machine. macOS does not tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _paint_all(images: Path, seed: int, count: int, workers: int) -> Generator[tuple[int, Story], None, None]:
    """Every picture's number and story as soon as its file is complete, in any order.

    The processes are started as commands, because `multiprocessing` would run the caller's main module again. Pictures
    that they do not deliver are painted here, where an error is raised in full.
    """
    missing = set(range(count))
    workers = min(workers, count // _FEWEST_PER_WORKER)
    # Each painter's pictures are dealt out in turn, because some painters take longer than others.
    shares = [[n for n in range(count) if (n + n // len(PAINTERS)) % workers == k] for k in range(workers)]
    # The processes find this package where this one does, however it was started.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with contextlib.ExitStack() as running:
        streams = []
        with contextlib.suppress(OSError):  # no process can be started: everything is painted here
            for share in shares if workers > 1 else []:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [sys.executable, "-m", "gallery.worker", str(images), str(seed), *map(str, share)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=environment,
                )
                running.enter_context(process)
                running.callback(process.terminate)
                streams.append(process.stdout)
        while streams:  # a line from each in turn: their shares are equal, and they go on painting meanwhile
            for stream in streams.copy():
                line = stream.readline() if stream else b""
                if line.endswith(b"\n"):
                    number, story = json.loads(line)
                    missing.discard(number)
                    yield number, Story(**story)
                else:
                    streams.remove(stream)
    for number in sorted(missing):
        yield number, worker.paint(images, seed, number)
