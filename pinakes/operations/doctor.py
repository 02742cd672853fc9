"""The checks of `pinakes doctor` on the library's side: database, embedders, source, checkpoint, disks and memory.

They change nothing, except that the embedded database is started and that an empty file is written to the checkpoint and
removed. The checks of a Prefect server are in `deployments.server_health`.
"""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from pinakes.bigquery.address import SCHEME as BIGQUERY
from pinakes.buckets.addresses import in_bucket
from pinakes.checkpoints.base import PART_PREFIX
from pinakes.checkpoints.locations import open_storage
from pinakes.files import is_visible
from pinakes.metadata.opening_tables import check_table
from pinakes.operations.capacity import buffers_finding, build_memory_finding, disks
from pinakes.operations.checks import Check, Finding, State, clock_finding, findings
from pinakes.operations.credentials import call_finding, embedder_finding, embedders_meant, ready_embedders
from pinakes.settings import Settings
from pinakes.sources.kinds import IIIF, found_here
from pinakes.sources.object_table import ObjectTableSource
from pinakes.store import health
from pinakes.store.addresses import LIMITER_URL, address
from pinakes.store.connection import ITERATIVE_SCANS, MIN_PGVECTOR, SAFE_PARALLEL_BUILDS, Connection, connect
from pinakes.store.database import open_database
from pinakes.store.migrate import SYSTEM_SCHEMA
from pinakes.store.prepared_database import check_encoding, may_use_schema
from pinakes.store.restrictions import restrictions

SPARE_CONNECTIONS = 10
"""The free connections that the server should have. A run takes up to six: lease, load, limiter, and a search or two."""


@dataclass
class Examination:
    """What the checks examine, and what they learn for later ones.

    Attributes:
        settings: the settings.
        images: the expected number of pictures, if that is more than are stored.
        calls: embedders to call once each, with what costs least; no other embedder is called.
        connected: whether the check of the database has passed.
        sizes: the stored spaces; known once the check of the schema has passed.
    """

    settings: Settings
    images: int = 0
    calls: Sequence[str] = ()
    connected: bool = False
    sizes: list[health.Size] = field(default_factory=list)
    opened: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def conn(self) -> Connection:
        """A connection to the database.

        Raises:
            DatabaseError: there is none.
        """
        database = self.opened.enter_context(open_database(self.settings))
        return self.opened.enter_context(contextlib.closing(connect(database.dsn)))

    @cached_property
    def server(self) -> health.Server:
        """The database's server."""
        return health.server(self.conn)

    @cached_property
    def schemas(self) -> list[health.Schema]:
        """The schemas of Pinakes: the one that collections share, then one for each collection."""
        return list(health.schemas(self.conn))

    @property
    def collections(self) -> list[str]:
        """The collections that can be read: their schema and the shared one are as this version knows them."""
        if not self.schemas or self.schemas[0].applied != self.schemas[0].known:
            return []
        return [schema.name for schema in self.schemas[1:] if schema.applied == schema.known]


def examine(settings: Settings, *, images: int = 0, calls: Sequence[str] = ()) -> Iterator[Finding]:
    """Go through `CHECKS`; the arguments are those of `Examination`."""
    at = Examination(settings, images, calls)
    with at.opened:
        yield from findings(CHECKS, at)


def _database(at: Examination) -> Finding:
    url = at.settings.database_url
    check_encoding(at.conn)
    shown = f"PostgreSQL {at.server.version}, {'embedded' if url is None else address(url)}"
    # Only after what may fail: the other checks of the database would report the same error again.
    at.connected = True
    return Finding(State.OK, shown)


def _home(at: Examination) -> Iterator[Finding]:
    home = at.settings.home
    try:
        mode = home.stat().st_mode
    except FileNotFoundError:  # the first run makes it
        return
    except OSError as exc:
        fix = "let this user enter the folders above it, or correct PINAKES_HOME"
        yield Finding(State.ERROR, f"{home} cannot be read: {exc.strerror or exc}", fix)
        return
    if mode & (stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH):
        fix = f"if nobody else needs it: chmod -R go-rw {home}"
        yield Finding(State.WARN, f"{home} is open to other users of this machine", fix)
    else:
        yield Finding(State.OK, f"{home} is for its owner alone")


def _rights(at: Examination) -> Iterator[Finding]:
    if not at.server.may_create:
        # An administrator may have prepared the schemas; then everything works but a new collection.
        yield Finding(
            State.WARN if may_use_schema(at.conn, SYSTEM_SCHEMA) else State.ERROR,
            "this user may not create schemas in this database, and every collection is one",
            "as an administrator: GRANT CREATE ON DATABASE … TO …, or CREATE SCHEMA … AUTHORIZATION … for each collection",
        )


def _connections(at: Examination) -> Finding:
    shown = f"{at.server.connections} of {at.server.most_connections} in use"
    if at.server.most_connections - at.server.connections >= SPARE_CONNECTIONS:
        return Finding(State.OK, shown)
    return Finding(State.WARN, shown, "raise max_connections, or end what holds them (pg_stat_activity)")


def pgvector_finding(server: health.Server) -> Finding:
    """The extension's version against the one that Pinakes needs."""
    if server.pgvector is None:
        if server.available is None:
            return Finding(
                State.ERROR,
                "the server does not have it",
                "install it there (Debian: postgresql-NN-pgvector; image pgvector/pgvector; Azure: azure.extensions)",
            )
        return Finding(
            State.OK if server.may_create else State.WARN,
            f"{server.available} is available but not created in this database; the first run creates it",
            "" if server.may_create else "as an administrator: CREATE EXTENSION vector in this database",
        )
    version, shown = server.pgvector.version, server.pgvector.text
    upgrade = "install 0.8.4 or later on the server, then ALTER EXTENSION vector UPDATE in this database"
    if version < MIN_PGVECTOR:
        return Finding(State.ERROR, f"{shown}; Pinakes needs 0.7 (halfvec)", upgrade)
    if version < SAFE_PARALLEL_BUILDS:
        slow = "indexes are built serially"
        slow += "" if version >= ITERATIVE_SCANS else ", every search is exact"
        return Finding(State.WARN, f"{shown} has bugs that 0.8.4 fixes, so {slow}", upgrade)
    return Finding(State.OK, shown)


def _schema(at: Examination) -> Finding:
    at.sizes += health.sizes(at.conn, at.collections)
    return schema_finding(at.schemas)


def schema_finding(schemas: Sequence[health.Schema]) -> Finding:
    """The migrations of the schemas against those that this version knows."""
    newer = [f"{s.name} ({s.applied}, known {s.known})" for s in schemas if s.applied > s.known]
    if newer:
        upgrade = "update Pinakes here: git pull in the checkout, then .venv/bin/python -m pip install -e ."
        return Finding(State.ERROR, f"made by a newer Pinakes: {', '.join(newer)}", upgrade)
    behind = [s.name for s in schemas if s.applied < s.known]
    if behind:
        return Finding(State.OK, f"of an older version, and brought up to date by the next use: {', '.join(behind)}")
    if not schemas:
        return Finding(State.OK, "none yet; the first pinakes ingest makes it")
    count = len(schemas) - 1  # without the one that all collections share
    return Finding(State.OK, f"up to date; {count} collection{'' if count == 1 else 's'}")


def _restrictions(at: Examination) -> Iterator[Finding]:
    """A restriction that hides no picture may be a mistyped one, and a promise to a rights holder that is not kept."""
    for name in at.collections:
        restricted = restrictions(at.conn, name)
        problems = [each.problem for each in restricted if each.problem is not None]
        if problems:
            yield Finding(State.WARN, " ".join(problems), "see pinakes hide", name)
        elif restricted:
            yield Finding(State.OK, f"{len(restricted)}, and each hides pictures", what=name)


def _limiter(at: Examination) -> Finding:
    url = at.settings.limiter_url
    assert url
    connect(url, setting=LIMITER_URL).close()
    return Finding(State.OK, address(url, LIMITER_URL))


def _source(at: Examination) -> Finding:
    source = at.settings.source
    assert source
    if source.startswith(BIGQUERY):
        ObjectTableSource(source).reading()  # a dry run, which is free and fails as the query would
        return Finding(State.OK, f"{source} can be read")
    try:
        path, is_folder = found_here(source)
        if is_folder:
            with os.scandir(path) as entries:
                empty = next(entries, None) is None
        else:
            with path.open("rb") as file:
                empty = not file.read(1)
    except OSError as exc:
        return Finding(State.ERROR, f"{source} cannot be read: {exc.strerror or exc}", _SOURCE_FIX)
    if empty:
        return Finding(State.WARN, f"{path} is empty: is its drive mounted?", _SOURCE_FIX)
    return Finding(State.OK, f"{path} can be read")


def _metadata(at: Examination) -> Finding:
    for name in at.settings.metadata:
        check_table(name)
    count = len(at.settings.metadata)
    return Finding(State.OK, "the table can be read" if count == 1 else f"{count} tables can be read")


def _checkpoint(at: Examination) -> Finding:
    """Whether the checkpoint can be written: an empty file is put next to the folders of the spaces and removed."""
    settings = at.settings
    folder = Path(settings.checkpoint).expanduser().absolute() / settings.collection
    remote = in_bucket(settings.checkpoint)
    # Folders that the write makes are removed again, the innermost first: doctor leaves nothing behind.
    made = [] if remote else [path for path in (folder, *folder.parents) if not is_visible(path)]
    name = f".{PART_PREFIX}{uuid.uuid4()}.tmp"  # hidden, and treated as a leftover if this process dies in between
    try:
        storage = open_storage(settings.checkpoint, settings.collection)
        storage.write(name, lambda _: None)
        storage.delete(name)
    finally:
        with contextlib.suppress(OSError):  # a run may have put its parts there meanwhile
            for path in made:
                path.rmdir()
    return Finding(State.OK, f"{storage.location} can be written")


def _has_local_source(at: Examination) -> bool:
    """Whether the source can be checked without reading from a bucket or from somebody's server of documents."""
    source = (at.settings.source or "").strip()
    return bool(source) and not in_bucket(source) and not IIIF.match(source)


def _is_connected(at: Examination) -> bool:
    return at.connected


def _has_bucket(at: Examination) -> bool:
    return in_bucket(at.settings.checkpoint)


_READ_FIX: Final = "let this user read the schemas of Pinakes in this database"
_SOURCE_FIX: Final = "mount it, let this user read it, or correct PINAKES_SOURCE"

# In this order, because the later checks use what the earlier ones find: a connection, then the sizes of the spaces.
CHECKS: Final[tuple[Check[Examination], ...]] = (
    Check("database", _database, "start PostgreSQL, or correct PINAKES_DATABASE_URL"),
    Check("home", _home),
    Check("database rights", _rights, _READ_FIX, _is_connected),
    Check("connections", _connections, _READ_FIX, _is_connected),
    Check("pgvector", lambda at: pgvector_finding(at.server), _READ_FIX, _is_connected),
    Check("clock of PostgreSQL", lambda at: clock_finding(*health.clock(at.conn)), _READ_FIX, _is_connected),
    Check("schema", _schema, _READ_FIX, _is_connected),
    Check("restrictions of", _restrictions, _READ_FIX, _is_connected),
    Check(
        "embedders",
        lambda _: Finding(State.OK, f"ready without settings: {ready_embedders()}; no other embedder is set up"),
        applies=lambda at: not embedders_meant(at.settings, at.sizes),
    ),
    Check(
        "embedder",
        lambda at: [embedder_finding(at.settings, *meant) for meant in embedders_meant(at.settings, at.sizes)],
    ),
    Check("call of", lambda at: (call_finding(at.settings, name) for name in at.calls)),
    Check(
        "database of limits",
        _limiter,
        "paid embedders wait for it; start it, or correct PINAKES_LIMITER_URL",
        lambda at: at.settings.limiter_url,
    ),
    Check("source", _source, _SOURCE_FIX, _has_local_source),
    Check("metadata", _metadata, "let this user read it, or correct PINAKES_METADATA", lambda at: at.settings.metadata),
    Check(
        "checkpoint",
        _checkpoint,
        "let this user write there, or set PINAKES_CHECKPOINT",
        lambda at: not _has_bucket(at),
    ),
    Check(
        "checkpoint",
        _checkpoint,
        "let this account read, write and delete in the bucket; see docs/gcs.md and docs/object-stores.md",
        _has_bucket,
    ),
    Check(
        "memory for searches",
        lambda at: buffers_finding(at.sizes, health.buffers(at.conn)),
        _READ_FIX,
        lambda at: _is_connected(at) and at.settings.database_url is not None,
    ),
    Check("disk", lambda at: disks(at.settings, at.sizes, at.images)),
    Check(
        "memory for indexes",
        lambda at: build_memory_finding(at.sizes, at.images, local=at.settings.database_url is None),
    ),
)
"""Every check on the library's side."""
