"""Whether disks and memory suffice for the stored collections, and for more pictures."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pinakes.buckets.addresses import in_bucket
from pinakes.files import is_visible
from pinakes.operations.checks import Finding, State
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.store.health import Size
from pinakes.store.index_settings import HNSW_M
from pinakes.store.indexes import build_memory, wanted_kind

LEAST_FREE = 1 << 30
"""The bytes that a disk should have free for a collection of any size: PostgreSQL's log, parts being merged, pictures."""
QUICK_ANYWHERE = 1 << 30
"""The size in bytes up to which a space is searched quickly from the system's cache as well."""
NO_ROOM = 128 << 20
"""With less than this free, in bytes, a run stops within minutes."""

TEMPORARY = "of temporary files"

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps what parallel workers share

_UNKNOWN = Space("", "", "", 1024, "")
"""Stands for the space of a collection that has none yet: most embedders give about as many components."""


def disks(settings: Settings, sizes: Sequence[Size], images: int) -> Iterator[Finding]:
    """The free space at home, at the checkpoint and for temporary files, against what the collections need."""
    dimension = max((size.space.dimension for size in sizes), default=_UNKNOWN.dimension)
    more = max(images - max((size.rows for size in sizes), default=0), 0)
    # Merged parts, a second load and a new index exist for a while together with what they replace.
    kept = max((4 * size.rows * size.space.dimension for size in sizes), default=0) + 8 * more * dimension
    tables = max((size.table_bytes for size in sizes), default=0) + 8 * more * dimension
    places: list[tuple[str, Path, int]] = [
        ("of PINAKES_HOME", settings.home, tables if settings.database_url is None else 0),
    ]
    if not in_bucket(settings.checkpoint):
        places.append(("of the checkpoint", Path(settings.checkpoint).expanduser().absolute(), kept))
    lacking = None
    try:
        places.append((TEMPORARY, Path(tempfile.gettempdir()), 0))
    except OSError as exc:  # it writes a file into each folder that may be the one
        fix = "make room there, or set TMPDIR to a folder that this user may write to"
        lacking = Finding(State.ERROR, str(exc.strerror or exc), fix, TEMPORARY)
    for what, path, _ in places:
        folder = _existing(path)
        device = folder.stat().st_dev
        # Each of several folders on one disk would find enough room for itself.
        need = LEAST_FREE + sum(need for _, other, need in places if _existing(other).stat().st_dev == device)
        yield disk_finding(what, folder, shutil.disk_usage(folder).free, need)
    if lacking is not None:
        yield lacking


def disk_finding(what: str, path: Path, free: int, need: int) -> Finding:
    """The free bytes of a disk against those that are needed."""
    shown = f"{_size(free)} free at {path}, {_size(need)} needed"
    if free >= need:
        return Finding(State.OK, shown, what=what)
    state = State.ERROR if free < NO_ROOM else State.WARN
    return Finding(state, shown, "make room, or move it (PINAKES_HOME, PINAKES_CHECKPOINT, TMPDIR)", what)


def build_memory_finding(sizes: Sequence[Size], images: int, *, local: bool) -> Finding:
    """The graph of the largest index against the memory that building it gets.

    Args:
        sizes: the spaces.
        images: the expected number of pictures.
        local: whether the database is on this machine.
    """
    stored = [(size.space, size.rows) for size in sizes] or [(_UNKNOWN, 0)]
    graphs = [
        _graph_bytes(max(rows, images), space.dimension)
        for space, rows in stored
        if wanted_kind("auto", space, max(rows, images)) == "hnsw"
    ]
    if not graphs:
        return Finding(State.OK, "searches are exact at this size; no index is built")
    graph = max(graphs)
    machine = build_memory()
    shown = f"building the index takes {_size(graph)}"
    if graph > machine:
        return Finding(
            State.WARN,
            f"{shown}, and it may use at most {_size(machine)}: a quarter of this machine's memory, but no more than 4 GiB",
            "give the machine that runs pinakes more memory, or use fewer dimensions; without it the build is slow",
        )
    # Too little shared memory is an error, not a slow build: PostgreSQL fails with "No space left on device".
    if local and SHARED_MEMORY.is_dir():
        shared = shutil.disk_usage(SHARED_MEMORY).total
        if shared < graph:
            return Finding(
                State.ERROR,
                f"{shown}, and {SHARED_MEMORY}, which parallel workers share, has {_size(shared)}",
                "raise it (docker: --shm-size, compose: shm_size)",
            )
    return Finding(State.OK, shown if local else f"{shown}; the server needs as much, and a container as shm_size")


def buffers_finding(sizes: Sequence[Size], buffers: int) -> Finding:
    """The largest space against the memory in which a server of the user's own keeps what it reads.

    What does not fit comes from the system's cache at best: a search of 600,000 vectors took 8.0 ms of processor with 1 GB,
    and 4.6 with 6.
    """
    largest = max((size.table_bytes for size in sizes), default=0)
    shown = (
        f"the largest space takes {_size(largest)} with its indexes, and the server's shared_buffers {_size(buffers)}"
    )
    if largest <= max(buffers, QUICK_ANYWHERE):
        return Finding(State.OK, shown)
    return Finding(
        State.WARN, shown, "set shared_buffers to a quarter of the server's memory; searches take half as long"
    )


def _graph_bytes(rows: int, dimension: int) -> int:
    """The memory that building an HNSW index over so many vectors takes, as `store.indexes` estimates it."""
    return rows * (dimension * 2 + HNSW_M * 2 * 8 + 200) * 3 // 2


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    # A folder that is still to be made will be on the disk of the folder above it.
    return next(folder for folder in (path, *path.parents) if is_visible(folder))


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:,.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
