"""`pinakes doctor`: what a collection needs, looked at one by one, each with what was found and what mends it.

Looking changes nothing, except that the embedded database is started and that an empty file is written to the checkpoint
and removed. What concerns Prefect is looked at by `deployments.server_health`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from pinakes.checkpoints.base import PART_PREFIX
from pinakes.checkpoints.locations import open_storage
from pinakes.errors import DatabaseError, PinakesError
from pinakes.gcs.uri import SCHEME
from pinakes.metadata.files import open_bytes
from pinakes.operations.checks import Check, State, clock_check
from pinakes.operations.credentials import call_check, embedder_checks
from pinakes.settings import Settings
from pinakes.sources.kinds import found_here
from pinakes.spaces import Space
from pinakes.store import health
from pinakes.store.connection import (
    ITERATIVE_SCANS,
    LIMITER_URL,
    MIN_PGVECTOR,
    SAFE_PARALLEL_BUILDS,
    Connection,
    address,
    connect,
)
from pinakes.store.database import open_database
from pinakes.store.indexes import HNSW_M, build_memory, wanted_kind
from pinakes.store.migrate import SYSTEM_SCHEMA
from pinakes.store.prepared_database import check_encoding, may_use_schema
from pinakes.store.restrictions import restrictions

LEAST_FREE = 1 << 30
"""Bytes that a disk should have left whatever the collection's size: PostgreSQL's log, parts that are merged, pictures."""
NO_ROOM = 128 << 20
"""With less, a run stops within minutes."""

SPARE_CONNECTIONS = 10
"""A run takes up to six: lease, load, limiter, and a search or two beside it."""

_UNKNOWN = Space("", "", "", 1024, "")
"""Where nothing is stored yet: of as many components as most embedders give."""

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps what parallel workers share


def examine(settings: Settings, *, images: int = 0, calls: Sequence[str] = ()) -> Iterator[Check]:
    """Look at the database, its clock, the embedders, source and metadata, the checkpoint, the disks and the memory.

    Args:
        settings: where things are.
        images: how many pictures there are going to be, where that is more than there are.
        calls: embedders that are asked once, for what costs least; nothing is asked of the others.
    """
    found: list[health.Size] = []
    yield from _database(settings, found)
    yield from embedder_checks(settings, {size.space for size in found})
    for name in calls:
        yield call_check(settings, name)
    if settings.limiter_url:
        yield from _limiter(settings.limiter_url)
    yield from source_checks(settings)
    yield checkpoint_check(settings)
    yield from disks(settings, found, images)
    yield build_memory_check(found, images, local=settings.database_url is None)


def _database(settings: Settings, found: list[health.Size]) -> Iterator[Check]:
    where = "embedded" if settings.database_url is None else address(settings.database_url)
    with ExitStack() as stack:
        try:
            database = stack.enter_context(open_database(settings))
            conn = connect(database.dsn)
        except PinakesError as exc:
            yield Check("database", State.ERROR, str(exc), "start PostgreSQL, or mend PINAKES_DATABASE_URL")
            return
        stack.callback(conn.close)
        try:
            server = health.server(conn)
            yield Check("database", State.OK, f"PostgreSQL {server.version}, {where}")
            check_encoding(conn)
            yield from _rights(server, prepared=may_use_schema(conn, SYSTEM_SCHEMA))
            yield _connections(server)
            yield pgvector_check(server)
            yield clock_check("clock of PostgreSQL", *health.clock(conn))
            yield from _schemas(conn, found)
        except DatabaseError as exc:
            yield Check(
                "database", State.ERROR, str(exc), "give this user a UTF8 database, and the schemas of Pinakes in it"
            )


def _rights(server: health.Server, *, prepared: bool) -> Iterator[Check]:
    if not server.may_create:
        yield Check(
            "database rights",
            State.WARN if prepared else State.ERROR,
            "this user may not create schemas in this database, and every collection is one",
            "as an administrator: GRANT CREATE ON DATABASE … TO …, or CREATE SCHEMA … AUTHORIZATION … for each collection",
        )


def _connections(server: health.Server) -> Check:
    free = server.most_connections - server.connections
    shown = f"{server.connections} of {server.most_connections} in use"
    if free >= SPARE_CONNECTIONS:
        return Check("connections", State.OK, shown)
    return Check("connections", State.WARN, shown, "raise max_connections, or end what holds them (pg_stat_activity)")


def pgvector_check(server: health.Server) -> Check:
    """The extension's version against what Pinakes needs."""
    what = "pgvector"
    if server.pgvector is None:
        if server.available is None:
            return Check(
                what,
                State.ERROR,
                "the server does not have it",
                "install it there (Debian: postgresql-NN-pgvector; image pgvector/pgvector; Azure: azure.extensions)",
            )
        return Check(
            what,
            State.OK if server.may_create else State.WARN,
            f"{server.available} is there and not created in this database; the first run does that",
            "" if server.may_create else "as an administrator: CREATE EXTENSION vector in this database",
        )
    version = server.pgvector.version
    upgrade = "install 0.8.4 or later on the server, then ALTER EXTENSION vector UPDATE in this database"
    if version < MIN_PGVECTOR:
        return Check(what, State.ERROR, f"{server.pgvector.text}; Pinakes needs 0.7 (halfvec)", upgrade)
    if version < SAFE_PARALLEL_BUILDS:
        slow = "indexes are built serially"
        slow += "" if version >= ITERATIVE_SCANS else ", filtered searches are exact"
        return Check(what, State.WARN, f"{server.pgvector.text} has faults mended in 0.8.4: {slow}", upgrade)
    return Check(what, State.OK, server.pgvector.text)


def _schemas(conn: Connection, found: list[health.Size]) -> Iterator[Check]:
    """The schemas against this version; where they fit, the sizes of what is in them go to `found`."""
    there = list(health.schemas(conn))
    current = [schema.name for schema in there[1:] if schema.applied == schema.known]
    yield schema_check(there)
    if there and there[0].applied == there[0].known:
        found += health.sizes(conn, current)
        for name in current:
            yield from restriction_checks(conn, name)


def restriction_checks(conn: Connection, collection: str) -> Iterator[Check]:
    """Restrictions of a collection: one that hides nothing may be a broken promise to a rights holder."""
    there_are = restrictions(conn, collection)
    problems = [each.problem for each in there_are if each.problem is not None]
    what = f"restrictions of {collection}"
    if problems:
        yield Check(what, State.WARN, " ".join(problems), "see pinakes hide")
    elif there_are:
        yield Check(what, State.OK, f"{len(there_are)}, and each hides pictures")


def schema_check(schemas: list[health.Schema]) -> Check:
    """The migrations of the schemas against those that this version knows."""
    what = "schema"
    newer = [f"{s.name} ({s.applied}, known {s.known})" for s in schemas if s.applied > s.known]
    if newer:
        return Check(
            what,
            State.ERROR,
            f"made by a newer Pinakes: {', '.join(newer)}",
            "install that version here (pip install --upgrade pinakes)",
        )
    behind = [s.name for s in schemas if s.applied < s.known]
    if behind:
        return Check(
            what, State.OK, f"of an older version, and brought up to date by the next use: {', '.join(behind)}"
        )
    if not schemas:
        return Check(what, State.OK, "none yet; the first pinakes ingest makes it")
    return Check(what, State.OK, f"up to date; {len(schemas) - 1} collections")


def _limiter(url: str) -> Iterator[Check]:
    what = "database of limits"
    try:
        connect(url, setting=LIMITER_URL).close()
    except PinakesError as exc:
        yield Check(what, State.ERROR, str(exc), "paid embedders wait for it; mend PINAKES_LIMITER_URL")
    else:
        yield Check(what, State.OK, address(url, LIMITER_URL))


def source_checks(settings: Settings) -> Iterator[Check]:
    """What the deployments ingest, as far as it is on this machine; no picture is read."""
    if settings.source and not settings.source.startswith(SCHEME):
        yield _source(settings.source)
    if settings.metadata:
        yield _metadata(settings.metadata)


def _source(source: str) -> Check:
    what, mend = "source", "mount it, let this user read it, or mend PINAKES_SOURCE"
    try:
        path, is_folder = found_here(source)
        if is_folder:
            with os.scandir(path) as entries:
                empty = next(entries, None) is None
        else:
            with path.open("rb") as file:
                empty = not file.read(1)
    except PinakesError as exc:
        return Check(what, State.ERROR, str(exc), mend)
    except OSError as exc:
        return Check(what, State.ERROR, f"{source} cannot be read: {exc.strerror or exc}", mend)
    if empty:
        return Check(what, State.WARN, f"{path} is empty: is its drive mounted?", mend)
    return Check(what, State.OK, f"{path} can be read")


def _metadata(files: Sequence[str]) -> Check:
    what = "metadata"
    for name in files:
        try:
            with open_bytes(Path(name)):
                pass
        except PinakesError as exc:
            return Check(what, State.ERROR, str(exc), "let this user read it, or mend PINAKES_METADATA")
    return Check(what, State.OK, f"{len(files)} files can be read")


def checkpoint_check(settings: Settings) -> Check:
    """Whether the checkpoint can be written: an empty file is put beside the spaces' folders and removed."""
    what = "checkpoint"
    remote = settings.checkpoint.startswith(SCHEME)
    folder = Path(settings.checkpoint).expanduser().absolute() / settings.collection
    made = [] if remote else [path for path in (folder, *folder.parents) if not path.exists()]
    name = f".{PART_PREFIX}{uuid.uuid4()}.tmp"  # hidden, and a leftover if this dies in between
    try:
        storage = open_storage(settings.checkpoint, settings.collection)
        storage.write(name, lambda _: None)
        storage.delete(name)
    except PinakesError as exc:
        need = "give this account Storage Object User (roles/storage.objectUser) on the bucket; see docs/gcs.md"
        return Check(
            what, State.ERROR, str(exc), need if remote else "let this user write there, or set PINAKES_CHECKPOINT"
        )
    finally:
        with contextlib.suppress(OSError):  # somebody else has put something there meanwhile
            for path in made:
                path.rmdir()
    return Check(what, State.OK, f"{storage.location} can be written")


def disks(settings: Settings, found: Iterable[health.Size], images: int) -> Iterator[Check]:
    """The room at home, at the checkpoint and for temporary files, against what the collections need."""
    sizes = list(found)
    dimension = max((size.space.dimension for size in sizes), default=_UNKNOWN.dimension)
    more = max(images - max((size.rows for size in sizes), default=0), 0)
    # Parts are merged beside the old ones; a re-load and a new index stand beside what they replace.
    kept = max((4 * size.rows * size.space.dimension for size in sizes), default=0) + 8 * more * dimension
    tables = max((size.table_bytes for size in sizes), default=0) + 8 * more * dimension
    places: list[tuple[str, Path, int]] = [
        ("disk of PINAKES_HOME", settings.home, tables if settings.database_url is None else 0),
        ("disk of temporary files", Path(tempfile.gettempdir()), 0),
    ]
    if not settings.checkpoint.startswith(SCHEME):
        places.insert(1, ("disk of the checkpoint", Path(settings.checkpoint).expanduser().absolute(), kept))
    for what, path, _ in places:
        there = _existing(path)
        device = there.stat().st_dev
        need = LEAST_FREE + sum(need for _, other, need in places if _existing(other).stat().st_dev == device)
        yield disk_check(what, there, shutil.disk_usage(there).free, need)


def disk_check(what: str, path: Path, free: int, need: int) -> Check:
    """Free bytes of a disk against those that are needed."""
    shown = f"{_size(free)} free at {path}, {_size(need)} wanted"
    if free >= need:
        return Check(what, State.OK, shown)
    state = State.ERROR if free < NO_ROOM else State.WARN
    return Check(what, state, shown, "make room, or move it (PINAKES_HOME, PINAKES_CHECKPOINT, TMPDIR)")


def build_memory_check(found: Iterable[health.Size], images: int, *, local: bool) -> Check:
    """The graph of the largest index against the memory that a build gets.

    Args:
        found: the spaces.
        images: how many pictures there are going to be.
        local: whether the database is on this machine.
    """
    what = "memory for indexes"
    stored = [(size.space, size.rows) for size in found] or [(_UNKNOWN, 0)]
    graphs = [
        graph_bytes(max(rows, images), space.dimension)
        for space, rows in stored
        if wanted_kind("auto", space, max(rows, images)) == "hnsw"
    ]
    if not graphs:
        return Check(what, State.OK, "searches are exact at this size; no index is built")
    graph = max(graphs)
    machine = build_memory()
    shown = f"a build holds {_size(graph)}"
    if graph > machine:
        return Check(
            what,
            State.WARN,
            f"{shown}, and takes at most {_size(machine)}: a quarter of this machine's memory, 4 GiB at most",
            "give the machine that runs pinakes more memory, or use fewer dimensions; a build that spills is slow",
        )
    if local and SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).total < graph:
        return Check(
            what,
            State.ERROR,
            f"{shown}, and {SHARED_MEMORY}, which parallel workers share, has"
            f" {_size(shutil.disk_usage(SHARED_MEMORY).total)}",
            "raise it (docker: --shm-size, compose: shm_size)",
        )
    return Check(what, State.OK, shown if local else f"{shown}; the server needs as much, and a container as shm_size")


def graph_bytes(rows: int, dimension: int) -> int:
    """What building an HNSW index over so many vectors holds in memory, as `store.indexes` reckons."""
    return rows * (dimension * 2 + HNSW_M * 2 * 8 + 200) * 3 // 2


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:,.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
