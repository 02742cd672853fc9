"""The table of a space's regions: which kind it holds, and taking out those that are no longer wanted.

It has the columns of the table of wholes and the same kind of index. Only its key differs: an image has several rows, with
different fingerprints, which name the frames.
"""

from __future__ import annotations

from psycopg import sql

from pinakes.images.regions import RegionKind, kind_of, names
from pinakes.spaces import RegionSpace, Space
from pinakes.store.connection import Connection, translated, value_of


def picture_of(vector: str) -> sql.Composed:
    """The fingerprint of the picture of a vector, given the alias of its table: a region's frame follows after a #."""
    # In any other collation this would take ten times as long as comparing the vectors.
    return sql.SQL("split_part({}.fingerprint COLLATE \"C\", '#', 1)").format(sql.Identifier(vector))


def has_table(conn: Connection, collection: str, space: Space) -> bool:
    """Whether a space has a table of regions, which may be empty."""
    table = sql.Identifier(collection, RegionSpace.of(space).name)
    with translated(f"looking for the regions of {space.name}"):
        return value_of(conn, "SELECT to_regclass(%s)", (table.as_string(conn),)) is not None


def is_loaded(conn: Connection, collection: str, space: Space) -> bool:
    """Whether the last load of regions into the table has ended."""
    statement = sql.SQL("SELECT loaded_at IS NOT NULL FROM {} WHERE space = %s")
    with translated(f"looking for the regions of {space.name}"):
        return bool(
            value_of(conn, statement.format(sql.Identifier(collection, "spaces")), (RegionSpace.of(space).name,))
        )


def stored_kind(conn: Connection, collection: str, space: Space) -> RegionKind | None:
    """The kind of regions that a space holds; `none` where they were removed.

    None where it never had any, or where the load that was to bring them was interrupted.
    """
    if not has_table(conn, collection, space):
        return None
    table = sql.Identifier(collection, RegionSpace.of(space).name)
    with translated(f"looking for the regions of {space.name}"):
        found = value_of(conn, sql.SQL("SELECT fingerprint FROM {} LIMIT 1").format(table))
    if found is not None:
        return kind_of(found)
    return "none" if is_loaded(conn, collection, space) else None


def drop_other_regions(conn: Connection, collection: str, space: Space, kind: RegionKind) -> int:
    """Inside a transaction under the lease: delete the regions that are of another kind, or that no image has now.

    If none is left and some are wanted, the table counts as not loaded until the load that follows has ended.
    """
    regions = sql.Identifier(collection, RegionSpace.of(space).name)
    # By the names of their frames, which follow the # in a fingerprint and end at an &.
    wanted = [name.removeprefix("#") for name in names(kind)]
    dropped = conn.execute(
        sql.SQL(
            """
            DELETE FROM {regions} AS r
            WHERE split_part(split_part(r.fingerprint COLLATE "C", '#', 2), '&', 1) <> ALL(%s)
                OR NOT EXISTS (
                    SELECT FROM {images} AS i
                    WHERE i.image_id = r.image_id AND i.fingerprint = {picture}
                )
            """
        ).format(regions=regions, images=sql.Identifier(collection, "images"), picture=picture_of("r")),
        (wanted,),
    ).rowcount
    if dropped and kind != "none":
        conn.execute(
            sql.SQL(
                """
                UPDATE {spaces} SET loaded_at = NULL
                WHERE space = %s AND NOT EXISTS (SELECT FROM {regions})
                """
            ).format(spaces=sql.Identifier(collection, "spaces"), regions=regions),
            (RegionSpace.of(space).name,),
        )
    return dropped
