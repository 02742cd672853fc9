"""How large pictures are, under the fingerprints of their bytes; a page need not read a picture for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql

from pinakes.store.connection import Connection, translated

Size = tuple[int, int]
"""Width and height in pixels, as the picture is shown upright."""


def keep_sizes(conn: Connection, collection: str, sizes: Mapping[str, Size]) -> None:
    """Enter the sizes of pictures by fingerprint; those that are known already stay as they are."""
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


def sizes_of(conn: Connection, collection: str, fingerprints: Sequence[str]) -> dict[str, Size]:
    """The sizes of the pictures with these bytes, by fingerprint, as far as they are known."""
    with translated("reading the sizes of pictures"):
        rows = conn.execute(
            sql.SQL("SELECT fingerprint, width, height FROM {} WHERE fingerprint = ANY(%s)").format(_table(collection)),
            (list(fingerprints),),
        ).fetchall()
    return {fingerprint: (width, height) for fingerprint, width, height in rows}


def drop_unused(conn: Connection, collection: str, table: str, column: str = "fingerprint") -> None:
    """Delete the rows of a table whose `column` names bytes that no image has any more."""
    conn.execute(
        sql.SQL(
            """
            DELETE FROM {table} AS t
            WHERE NOT EXISTS (SELECT FROM {images} AS i WHERE i.fingerprint = t.{column})
            """
        ).format(
            table=sql.Identifier(collection, table),
            images=sql.Identifier(collection, "images"),
            column=sql.Identifier(column),
        )
    )


def _table(collection: str) -> sql.Identifier:
    return sql.Identifier(collection, "pixels")
