"""What several spaces can be compared over: the images that all of them hold, with their metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg import sql

from pinakes.store.bulk_reads import IDS_AT_ONCE, streamed
from pinakes.store.conditions import column
from pinakes.store.connection import Connection, translated, value_of
from pinakes.store.restrictions import visible


class Comparable:
    """The images that several spaces hold current vectors of, without restricted ones."""

    def __init__(self, conn: Connection, collection: str, spaces: Sequence[str]) -> None:
        self._conn = conn
        self._shown = visible(conn, collection)
        # Only images of which every space has a vector of the present bytes: otherwise spaces would be judged by different
        # pictures.
        self._images = sql.SQL("{} AS i").format(sql.Identifier(collection, "images"))
        for number, space in enumerate(spaces):
            self._images += sql.SQL(
                " JOIN {space} AS {v} ON {v}.image_id = i.image_id AND {v}.fingerprint = i.fingerprint"
            ).format(space=sql.Identifier(collection, space), v=sql.Identifier(f"v{number}"))

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[str, str, tuple[str | None, ...]]]:
        """(image_id, fingerprint, the values of `columns`) of each image by image_id; call it inside `one_state`."""
        values = dict(self._shown.values)
        selected = [column(name, f"column{number}", values) for number, name in enumerate(columns)]
        statement = sql.SQL(
            """
            SELECT {columns}
            FROM {images}
            WHERE {shown}
            ORDER BY i.image_id
            """
        ).format(
            columns=sql.SQL(", ").join([sql.SQL("i.image_id"), sql.SQL("i.fingerprint"), *selected]),
            images=self._images,
            shown=self._shown.where,
        )
        for image_id, fingerprint, *rest in streamed(self._conn, statement, values, at_once=IDS_AT_ONCE):
            yield image_id, fingerprint, tuple(rest)

    def described(self, split: str | None) -> int:
        """How many have a description, in one split or in all."""
        with translated("counting the descriptions"):
            counted: int = value_of(
                self._conn,
                sql.SQL(
                    """
                    SELECT count(*)
                    FROM {images}
                    WHERE {shown}
                        AND i.description <> ''
                        AND (%(split)s::text IS NULL OR i.extra ->> 'split' = %(split)s)
                    """
                ).format(images=self._images, shown=self._shown.where),
                {**self._shown.values, "split": split},
            )
        return counted

    def descriptions(self, split: str | None, count: int, seed: int) -> list[tuple[str, str | None, str]]:
        """(image_id, title, description) of at most `count` of them by image_id, chosen by the seed."""
        with translated("reading the descriptions"):
            rows = self._conn.execute(
                sql.SQL(
                    """
                    SELECT i.image_id, i.title, i.description
                    FROM {images}
                    WHERE {shown}
                        AND i.description <> ''
                        AND (%(split)s::text IS NULL OR i.extra ->> 'split' = %(split)s)
                    ORDER BY md5(%(seed)s || i.image_id), i.image_id  -- the same sample on every server
                    LIMIT %(count)s
                    """
                ).format(images=self._images, shown=self._shown.where),
                {**self._shown.values, "split": split, "seed": f"{seed}/", "count": count},
            ).fetchall()
        return sorted(rows)

    def extra_columns(self) -> list[str]:
        """The names of the extra columns that any of the images has."""
        rows = self._conn.execute(
            sql.SQL(
                """
                SELECT DISTINCT jsonb_object_keys(i.extra) COLLATE "C" AS name
                FROM {images}
                WHERE {shown}
                ORDER BY name
                """
            ).format(images=self._images, shown=self._shown.where),
            self._shown.values,
        ).fetchall()
        return [name for (name,) in rows]
