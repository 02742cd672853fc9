"""The embedding spaces of a collection: their registry, their tables, and which of them searches use."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from datetime import datetime

import psycopg
from psycopg import sql

from pinakes.errors import DatabaseError, UsageError
from pinakes.ids import check_collection
from pinakes.spaces import REGIONS, RegionSpace, Space
from pinakes.store.collections import require_collection
from pinakes.store.connection import Connection, translated, value_of
from pinakes.store.index_settings import IndexKind
from pinakes.store.lease import Lease
from pinakes.store.strong_locks import START_PATIENCE, StrongLock

STORAGE = {"embedding": "p", "image_id": "m", "fingerprint": "m"}
"""pg_attribute.attstorage of a space's columns: PLAIN and MAIN keep them in their row."""


@dataclass(frozen=True, slots=True)
class RegisteredSpace:
    """A space as the registry of its collection shows it.

    Attributes:
        space: what makes its vectors comparable.
        active: whether searches use it when they name none.
        created_at, loaded_at: when it was registered, and when a load last ended.
        rows: vectors that it held then.
        index_kind: `hnsw`, `binary`, `ivfflat`, or None while searches are exact.
        index_rows: rows when the index was built.
        index_built_at: when.
        regions: the table of the regions of its images; None where there never were any.
        ef_search, ef_search_recall: the candidates of a scan of an HNSW or binary index, or the probes of an IVFFlat one,
            and the recall that was measured with them: after the build, or by `pinakes evaluate`.
        ef_search_filtered: as many where one image in `pinakes.store.search_plan.NARROW` passes a filter.
        ef_search_far: an answer whose nearest is farther is looked for once more; see `pinakes.store.search_plan.farther`.
        ef_search_wanted: the recall that both were to reach.
        ef_search_rows, ef_search_built: the rows there were then, and `index_built_at` of the index that was measured.
    """

    space: Space
    active: bool
    created_at: datetime
    loaded_at: datetime | None
    rows: int
    index_kind: IndexKind | None
    index_rows: int | None
    index_built_at: datetime | None
    ef_search: int | None = None
    ef_search_recall: float | None = None
    ef_search_filtered: int | None = None
    ef_search_wanted: float | None = None
    ef_search_rows: int | None = None
    ef_search_built: datetime | None = None
    ef_search_far: float | None = None
    regions: RegisteredSpace | None = None

    @property
    def name(self) -> str:
        """The space's name, which is its table's name."""
        return self.space.name

    @property
    def falls_short(self) -> bool:
        """Whether no setting of the index reaches the recall that is wanted, so that searches compare every vector."""
        return (self.ef_search_recall or 1) < (self.ef_search_wanted or 0)


def register_space(
    conn: Connection, collection: str, space: Space, *, lease: Lease | None = None, patience: float = START_PATIENCE
) -> None:
    """Enter a space and create its table; the first space of a collection becomes the active one.

    A space that is already registered is only read, so that no search waits for a run that starts.

    Args:
        conn: a connection in autocommit mode.
        collection: the collection.
        space: the space.
        lease: the run's; anything is created only while it is held.
        patience: how many seconds to wait for others who write images, or use a table that has to change.

    Raises:
        DatabaseError: what has to be locked was in use for too long; the message says by whom.
    """
    table = sql.Identifier(collection, space.name)
    with translated(f"registering the space {space.name}"):
        known = value_of(
            conn,
            sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE space = %s) AND to_regclass(%s) IS NOT NULL").format(
                sql.Identifier(collection, "spaces")
            ),
            (space.name, table.as_string(conn)),
        )
        if known and _kept_in_rows(conn, table):
            return
        with conn.transaction():
            if lease is not None:
                lease.guard(conn)
            if known:
                purpose = f"changing how the vectors of {space.name} are stored"
                StrongLock((table,), "ACCESS EXCLUSIVE", purpose).take(conn, patience=patience)
            else:
                _create(conn, collection, space, patience)
            if not _kept_in_rows(conn, table):
                # A scan that need not fetch toasted vectors is about five times as fast. The names next to a long vector
                # would be toasted in its stead, and fetched for each comparison.
                conn.execute(
                    sql.SQL(
                        """
                        ALTER TABLE {}
                            ALTER COLUMN embedding SET STORAGE PLAIN,
                            ALTER COLUMN image_id SET STORAGE MAIN,
                            ALTER COLUMN fingerprint SET STORAGE MAIN
                        """
                    ).format(table)
                )


def _create(conn: Connection, collection: str, space: Space, patience: float) -> None:
    """Inside a transaction: enter the space, and create its table. Readers do not wait for it."""
    registry = sql.Identifier(collection, "spaces")
    images = sql.Identifier(collection, "images")
    # The registry, so that only one space becomes the first; the images, because the table refers to them.
    lock = StrongLock((images, registry), "SHARE ROW EXCLUSIVE", f"registering the space {space.name}")
    lock.take(conn, patience=patience)
    conn.execute(
        # Enters the space, active if no other is. It may be entered already, and only its table be lost.
        sql.SQL(
            """
            INSERT INTO {registry} (space, provider, model, version, dimension, preprocessing, active)
            VALUES (%s, %s, %s, %s, %s, %s, %s AND NOT EXISTS (SELECT FROM {registry} WHERE active))
            ON CONFLICT (space) DO NOTHING
            """
        ).format(registry=registry),
        (
            *(space.name, space.provider, space.model, space.version, space.dimension, space.preprocessing),
            not isinstance(space, RegionSpace),
        ),
    )
    conn.execute(
        # The table of the space's vectors: an image that goes takes its vector along.
        sql.SQL(
            """
            CREATE TABLE IF NOT EXISTS {table} (
                image_id text COLLATE "C" NOT NULL REFERENCES {images} ON DELETE CASCADE,
                fingerprint text {collation} NOT NULL,
                norm real NOT NULL,
                embedding halfvec({dimension}) NOT NULL,
                {primary_key}
            )
            """
        ).format(
            table=sql.Identifier(collection, space.name),
            images=images,
            dimension=sql.Literal(space.dimension),
            primary_key=primary_key(space),
            # Part of the key, compared and split often: in the database's own collation that takes ten times as long.
            collation=sql.SQL('COLLATE "C"' if "fingerprint" in space.key else ""),
        )
    )


def primary_key(space: Space) -> sql.Composed:
    """The primary key of a space's table.

    It holds the fingerprint in any case: what is compared with images or with a checkpoint is read from the index alone,
    which is a fiftieth of the table.
    """
    also = sql.SQL("" if "fingerprint" in space.key else " INCLUDE (fingerprint)")
    return sql.SQL("PRIMARY KEY ({}){}").format(sql.SQL(", ").join(map(sql.Identifier, space.key)), also)


def _kept_in_rows(conn: Connection, table: sql.Identifier) -> bool:
    """Whether PostgreSQL keeps vectors and names of a space in their rows, as `STORAGE` says."""
    rows = conn.execute(
        """
        SELECT attname, attstorage::text
        FROM pg_attribute
        WHERE attrelid = to_regclass(%s) AND attname = ANY(%s)
        """,
        (table.as_string(conn), list(STORAGE)),
    ).fetchall()
    return dict(rows) == STORAGE


def spaces(conn: Connection, collection: str) -> list[RegisteredSpace]:
    """The spaces of a collection, the active one first."""
    with translated("reading the spaces"):
        rows = conn.execute(
            sql.SQL(
                """
                SELECT provider, model, version, dimension, preprocessing, active, created_at, loaded_at, rows,
                    index_kind, index_rows, index_built_at, ef_search, ef_search_recall, ef_search_filtered,
                    ef_search_wanted, ef_search_rows, ef_search_built, ef_search_far, space
                FROM {}
                ORDER BY active DESC, created_at, space
                """
            ).format(sql.Identifier(collection, "spaces"))
        ).fetchall()
    # The regions of a space share its five facts; only the ending of their name tells them from it.
    regions = {row[:5]: RegisteredSpace(RegionSpace(*row[:5]), *row[5:-1]) for row in rows if row[-1].endswith(REGIONS)}
    wholes = (RegisteredSpace(Space(*row[:5]), *row[5:-1]) for row in rows if not row[-1].endswith(REGIONS))
    return [replace(found, regions=regions.get(astuple(found.space))) for found in wholes]


def vector_tables(conn: Connection, collection: str) -> list[str]:
    """The names of all tables of vectors: of each space, and of the regions of those that have some."""
    return [table.name for space in spaces(conn, collection) for table in (space, space.regions) if table is not None]


def resolve_space(conn: Connection, collection: str, name: str | None = None) -> RegisteredSpace:
    """The space that a search uses: the one named, or the active one.

    Raises:
        UsageError: there is no such collection or space, or none at all.
    """
    check_collection(collection)
    try:
        found = spaces(conn, collection)
    except DatabaseError as exc:
        if isinstance(exc.__cause__, psycopg.errors.UndefinedTable):
            require_collection(conn, collection)
        raise
    for registered in found:
        if registered.name == name or (name is None and registered.active):
            return registered
    if not found:
        raise UsageError(f"the collection {collection!r} has no embeddings yet; run pinakes ingest.")
    raise UsageError(
        f"the collection {collection!r} has no space {name!r}; there are: {', '.join(r.name for r in found)}."
    )


def activate(
    conn: Connection, collection: str, name: str, *, least_coverage: float, patience: float = START_PATIENCE
) -> RegisteredSpace:
    """Let searches use a space, and return the one that was active before.

    The space must hold current vectors of at least `least_coverage` of the images, 0 to 1.

    Raises:
        UsageError: there is no such space, or it holds too few.
        DatabaseError: somebody has been writing the registry of the spaces for `patience` seconds.
    """
    resolve_space(conn, collection, name)
    counted = coverage(conn, collection, name)
    if counted.share < least_coverage:
        raise UsageError(
            f"the space {name} holds {counted.current:,} of {counted.images:,} images ({counted.share:.1%}), less than"
            f" {least_coverage:.0%}: finish pinakes ingest into it; or, where the rest has failed (pinakes status says why),"
            " use --force."
        )
    registry = sql.Identifier(collection, "spaces")
    with translated(f"activating the space {name}"), conn.transaction():
        StrongLock((registry,), "SHARE ROW EXCLUSIVE", f"activating the space {name}").take(conn, patience=patience)
        before = resolve_space(conn, collection)
        # Two statements: an index allows one active space, and is checked row by row.
        conn.execute(sql.SQL("UPDATE {} SET active = false WHERE active").format(registry))
        conn.execute(sql.SQL("UPDATE {} SET active = true WHERE space = %s").format(registry), (name,))
    return before


def registered_as(conn: Connection, collection: str, space: Space) -> RegisteredSpace:
    """The entry of a space, or of its regions.

    Raises:
        UsageError: there is none.
    """
    if not isinstance(space, RegionSpace):
        return resolve_space(conn, collection, space.name)
    found = next(
        (whole.regions for whole in spaces(conn, collection) if whole.regions and whole.regions.space == space), None
    )
    if found is None:
        raise UsageError(
            f"the collection {collection!r} has no regions {space.name!r}; run pinakes ingest --regions grid."
        )
    return found


def count_rows(conn: Connection, collection: str) -> None:
    """Inside a transaction that took its turn: enter into the registry how many vectors each space holds now.

    All are counted before the first is entered: whoever puts a new index in place locks a space's table, and then its row.
    """
    registry = sql.Identifier(collection, "spaces")
    counted = [
        (value_of(conn, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(collection, name))), name)
        for name in vector_tables(conn, collection)
    ]
    for row in counted:
        conn.execute(sql.SQL("UPDATE {} SET rows = %s WHERE space = %s").format(registry), row)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a collection a space holds.

    Attributes:
        images: rows of the collection.
        vectors: rows of the space.
        current: rows of the space whose fingerprint is their image's.
        table_bytes: the space's table with its indexes.
    """

    images: int
    vectors: int
    current: int
    table_bytes: int

    @property
    def share(self) -> float:
        """The share of the images that the space holds current vectors of, 0 to 1."""
        return self.current / self.images if self.images else 0.0


def table_bytes(conn: Connection, collection: str, name: str) -> int:
    """The size of a table of vectors with its indexes."""
    table = sql.Identifier(collection, name).as_string(conn)
    with translated(f"measuring {name}"):
        size: int = value_of(conn, "SELECT pg_total_relation_size(to_regclass(%s))", (table,))
    return size


def coverage(conn: Connection, collection: str, space: str) -> Coverage:
    """Count a space against its collection."""
    table = sql.Identifier(collection, space)
    with translated(f"counting the space {space}"):
        row = conn.execute(
            sql.SQL(
                """
                SELECT
                    (SELECT count(*) FROM {images}),
                    (SELECT count(*) FROM {space}),
                    (SELECT count(*) FROM {space} AS v JOIN {images} AS i USING (image_id, fingerprint)),
                    pg_total_relation_size(%s::regclass)
                """
            ).format(images=sql.Identifier(collection, "images"), space=table),
            (table.as_string(conn),),
        ).fetchone()
    assert row is not None
    return Coverage(*row)
