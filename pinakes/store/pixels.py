"""How large pictures are, under the fingerprints of their bytes; a page need not read a picture for it."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from pinakes.store.connection import Connection, translated

Size = tuple[int, int]
"""Width and height in pixels, as the picture is shown upright."""


def keep_sizes(conn: Connection, collection: str, sizes: Mapping[str, Size]) -> None:
    """Enter the sizes of pictures by fingerprint; those that are known stay as they are."""
    with translated("entering the sizes of pictures"):
        conn.execute(
            sql.SQL(
                """
                INSERT INTO {pixels} (fingerprint, width, height)
                SELECT * FROM unnest(%s::text[], %s::integer[], %s::integer[])
                ON CONFLICT DO NOTHING
                """
            ).format(pixels=_table(collection)),
            (list(sizes), [width for width, _ in sizes.values()], [height for _, height in sizes.values()]),
        )


def size_of(conn: Connection, collection: str, fingerprint: str) -> Size | None:
    """The size of the picture with these bytes; None where it is not known."""
    with translated("reading the size of a picture"):
        row = conn.execute(
            sql.SQL("SELECT width, height FROM {} WHERE fingerprint = %s").format(_table(collection)), (fingerprint,)
        ).fetchone()
    return None if row is None else (row[0], row[1])


def drop_unused_sizes(conn: Connection, collection: str) -> None:
    """Delete the sizes of bytes that no image has any more."""
    conn.execute(
        sql.SQL(
            """
            DELETE FROM {pixels} AS p
            WHERE NOT EXISTS (SELECT FROM {images} AS i WHERE i.fingerprint = p.fingerprint)
            """
        ).format(pixels=_table(collection), images=sql.Identifier(collection, "images"))
    )


def _table(collection: str) -> sql.Identifier:
    return sql.Identifier(collection, "pixels")
