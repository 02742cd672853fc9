"""Writes the sample gallery: pictures painted by code, and their catalogue in SemArt's format."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from gallery import catalogue, studio, worker
from gallery.story import Story
from pinakes.errors import UsageError

VERSION = 1
"""Bumped by hand whenever the pictures or the tables change; a gallery of another version is painted anew."""

PICTURES = 240
"""How many different pictures a gallery has unless it is asked for another number."""

SEED = 20_260
MARKER = ".pinakes-sample.json"
_LOAN_OF = 2
"""The number of the picture of which a second copy is written, so that there is a duplicate to find."""

_FEWEST_PER_WORKER = 6
"""Starting a process takes about as long as painting one or two pictures."""

_NOTES = """\
This file is no image; it lies here on purpose, so that there is something to be skipped.

The pictures in this folder were painted by a program. The painters, the titles and the descriptions are invented;
any likeness to works of real painters is one of manner only. One picture is here twice, byte for byte, under two names.
"""


@dataclass(frozen=True, slots=True)
class Gallery:
    """What was written (or found already written).

    Attributes:
        directory: the gallery's folder.
        pictures: where the image files are.
        images: how many image files there are, the duplicate included.
        distinct: how many different pictures.
        metadata: the three tables: train, validation, test.
        painted: how many pictures were painted just now; 0 when the gallery was there already.
    """

    directory: Path
    pictures: Path
    images: int
    distinct: int
    metadata: tuple[Path, Path, Path]
    painted: int


def write_gallery(
    directory: Path,
    *,
    count: int = PICTURES,
    seed: int = SEED,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Gallery:
    """Paint `count` pictures into `directory/Images` and write their catalogue beside it.

    The same count, seed and library versions give the same bytes. A gallery that is there already is left as it is; one
    of another version, count or seed is replaced.

    Args:
        directory: a new or empty folder, or one that holds a gallery of this program.
        count: how many different pictures; one of them is written a second time as a duplicate.
        seed: chooses another gallery.
        progress: called with (painted so far, count) after each picture.
        workers: how many processes paint; by default as many as there are processors.

    Raises:
        UsageError: the folder holds something else or cannot be written, or `count` is below 1.
    """
    if count < 1:
        raise UsageError(f"a sample gallery of {count} pictures cannot be painted; ask for at least 1.")
    wanted: dict[str, object] = {"version": VERSION, "count": count, "seed": seed, "complete": True}
    try:
        found = _found(directory)
        files = found.pop("files", [])
        names = [name for name in files if isinstance(name, str)] if isinstance(files, list) else []
        if found == wanted and names and all((directory / name).is_file() for name in names):
            return _gallery(directory, count, painted=0)
        _clear(directory, names)
        return _write(directory, count, seed, wanted, progress, workers)
    except OSError as exc:
        raise UsageError(
            f"the sample gallery cannot be written to {directory}: {exc.strerror or exc}; choose another folder."
        ) from exc


def painted_before(directory: Path) -> tuple[int, int] | None:
    """Count and seed of the gallery that this program has painted into `directory`; None where it painted none."""
    try:
        found = json.loads((directory / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("count"), int) or not isinstance(found.get("seed"), int):
        return None
    return found["count"], found["seed"]


def _gallery(directory: Path, count: int, *, painted: int) -> Gallery:
    return Gallery(
        directory=directory,
        pictures=directory / "Images",
        images=count + 1,
        distinct=count,
        metadata=catalogue.paths(directory),
        painted=painted,
    )


def _found(directory: Path) -> dict[str, object]:
    """What the marker of an earlier gallery says; nothing for a folder that is new or empty."""
    if not directory.exists():
        return {}
    if not directory.is_dir():
        raise UsageError(f"the sample gallery cannot be written to {directory}: it is a file; choose a folder.")
    marker = directory / MARKER
    if marker.is_file():
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
    if any(not entry.name.startswith(".") for entry in directory.iterdir()):
        raise UsageError(
            f"the sample gallery is not written to {directory}, which holds other files; choose a new or an empty folder."
        )
    return {}


def _clear(directory: Path, names: list[str]) -> None:
    """Remove the files of an earlier gallery, and nothing that its marker did not list."""
    for name in names:
        path = PurePosixPath(name)
        if not path.is_absolute() and ".." not in path.parts:
            (directory / path).unlink(missing_ok=True)


def _write(
    directory: Path,
    count: int,
    seed: int,
    wanted: dict[str, object],
    progress: Callable[[int, int], None] | None,
    workers: int | None,
) -> Gallery:
    images = directory / "Images"
    (images / "loans").mkdir(parents=True, exist_ok=True)
    orders = [studio.commission(number, seed) for number in range(count)]
    original = orders[min(_LOAN_OF, count - 1)]
    loan = f"{count:05d}-loan.jpg"
    files = [f"Images/{catalogue.file_name(order)}" for order in orders]
    files += [f"Images/loans/{loan}", "Images/NOTES.txt", *catalogue.TABLES]
    # The marker comes first, so that a gallery that was interrupted is known as ours, and last, so that it is whole.
    _put(directory / MARKER, json.dumps({**wanted, "complete": False, "files": files}).encode())
    stories: dict[int, Story] = {}
    for number, story in _paint_all(images, seed, count, _workers(count, workers)):
        stories[number] = story
        if progress is not None:
            progress(len(stories), count)
    rows = {order.number: catalogue.row(order, stories[order.number], catalogue.file_name(order)) for order in orders}
    tables = catalogue.split(rows)
    copy = list(catalogue.row(original, stories[original.number], loan))
    copy[1] += " This is the copy that was made for a loan, byte for byte the same."
    tables[catalogue.TABLES[0]].append(tuple(copy))
    shutil.copyfile(images / catalogue.file_name(original), images / "loans" / loan)
    _put(images / "NOTES.txt", _NOTES.encode())
    for name, lines in tables.items():
        _put(directory / name, catalogue.encode(lines))
    _put(directory / MARKER, json.dumps({**wanted, "files": files}).encode())
    return _gallery(directory, count, painted=count)


def _put(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _workers(count: int, workers: int | None) -> int:
    if workers is None:
        known = hasattr(os, "sched_getaffinity")
        workers = len(os.sched_getaffinity(0)) if known else (os.cpu_count() or 1)
    return max(1, min(workers, count // _FEWEST_PER_WORKER))


def _paint_all(images: Path, seed: int, count: int, workers: int) -> Iterator[tuple[int, Story]]:
    """Every picture's number and story as it is painted, in any order.

    Processes of our own are started as commands rather than through `multiprocessing`, which would run the caller's
    main module again. What they do not deliver, because they cannot be started or fail, is painted here, where an error
    is raised in full.
    """
    missing = set(range(count))
    if workers > 1 and sys.executable:
        with contextlib.closing(_paint_apart(images, seed, count, workers)) as painted:
            for number, story in painted:
                missing.discard(number)
                yield number, story
    for number in sorted(missing):
        yield number, worker.paint(images, seed, number)


def _paint_apart(images: Path, seed: int, count: int, workers: int) -> Generator[tuple[int, Story], None, None]:
    """What processes of our own paint; they are gone when this ends, however it ends."""
    lines: queue.Queue[str | None] = queue.Queue()

    def forward(stream: IO[str]) -> None:
        for line in stream:
            lines.put(line)
        lines.put(None)

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    running: list[subprocess.Popen[str]] = []
    readers: list[threading.Thread] = []
    try:
        for first in range(workers):
            numbers = [str(number) for number in range(first, count, workers)]
            try:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [sys.executable, "-m", "gallery.worker", str(images), str(seed), *numbers],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    encoding="utf-8",
                    env=environment,
                )
            except OSError:
                break
            running.append(process)
            assert process.stdout is not None
            readers.append(threading.Thread(target=forward, args=(process.stdout,), daemon=True))
            readers[-1].start()
        ended = 0
        while ended < len(running):
            line = lines.get()
            if line is None:
                ended += 1
                continue
            number, story = json.loads(line)
            yield number, Story(**story)
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
        for process, reader in zip(running, readers, strict=True):
            process.wait()
            reader.join()
            if process.stdout is not None:
                process.stdout.close()
