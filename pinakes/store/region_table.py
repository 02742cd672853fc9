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


def stored_kind(conn: Connection, collection: str, space: Space) -> RegionKind | None:
    """The kind of regions that a space holds; `none` where they were removed, None where it never had any."""
    table = sql.Identifier(collection, RegionSpace.of(space).name)
    with translated(f"looking for the regions of {space.name}"):
        if value_of(conn, "SELECT to_regclass(%s)", (table.as_string(conn),)) is None:
            return None
        found = value_of(conn, sql.SQL("SELECT fingerprint FROM {} LIMIT 1").format(table))
    return "none" if found is None else kind_of(found)


def drop_other_regions(conn: Connection, collection: str, space: Space, kind: RegionKind) -> int:
    """Inside a transaction under the lease: delete the regions that are of another kind, or that no image has now."""
    # By the names of their frames, which follow the # in a fingerprint and end at an &.
    wanted = [name.removeprefix("#") for name in names(kind)]
    return conn.execute(
        sql.SQL(
            """
            DELETE FROM {regions} AS r
            WHERE split_part(split_part(r.fingerprint COLLATE "C", '#', 2), '&', 1) <> ALL(%s)
                OR NOT EXISTS (
                    SELECT FROM {images} AS i
                    WHERE i.image_id = r.image_id AND i.fingerprint = {picture}
                )
            """
        ).format(
            regions=sql.Identifier(collection, RegionSpace.of(space).name),
            images=sql.Identifier(collection, "images"),
            picture=picture_of("r"),
        ),
        (wanted,),
    ).rowcount
