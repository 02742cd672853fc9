"""One image of several that belong together: of each group of copies, and of each value of a column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from pinakes.store.conditions import column

NOTHING = sql.SQL("")


class OneOfEach:
    """The parts of a statement that let it show one image of each group.

    Of a group of copies only the preferred one is considered where it is among what is asked for. Where a column makes
    groups too, it makes them of what is left of the copies.
    """

    def __init__(self, collection: str, group_by: str | None, collapse: bool, values: dict[str, Any]) -> None:
        """`values` are the statement's parameters, to which this adds its own."""
        self._images = sql.Identifier(collection, "images")
        self._copies = sql.Identifier(collection, "duplicates")
        self._collapse = collapse
        self.keys: dict[str, sql.Composable] = {}
        # A group's key and an image's own name must never be taken for each other.
        if collapse:
            self.keys["work"] = sql.SQL("coalesce('w' || d.work, 'i' || image_id)")
        if group_by is not None:
            self.keys["value"] = sql.SQL("coalesce('v' || ({}), 'i' || image_id)").format(
                column(group_by, "group", values)
            )

    @property
    def names(self) -> Sequence[str]:
        """The columns of the keys."""
        return list(self.keys) or ["image_id"]

    @property
    def joined(self) -> sql.Composable:
        """What joins images `i` with their groups of copies `d`."""
        if not self._collapse:
            return NOTHING
        # A pair is of two pictures that belong together, such as the sides of a leaf, and not of copies.
        return sql.SQL(
            "LEFT JOIN (SELECT image_id, work, preferred FROM {} WHERE NOT pair) AS d USING (image_id)"
        ).format(self._copies)

    @property
    def columns(self) -> sql.Composable:
        """The keys under their names, to be selected after other columns."""
        return sql.SQL("").join(
            sql.SQL(", {} AS {}").format(key, sql.Identifier(name)) for name, key in self.keys.items()
        )

    def considered(self, asked_for: sql.Composable) -> sql.Composable:
        """The condition that an image is not passed over for the preferred one of its group.

        `asked_for` says which images `i` are asked for: what joins them with other tables, if anything, and a condition.
        """
        if not self._collapse:
            return sql.SQL("true")
        return sql.SQL(
            """
            (d.preferred IS NOT FALSE OR d.work NOT IN (
                SELECT work
                FROM {copies}
                JOIN {images} AS i USING (image_id) {asked_for} AND preferred AND NOT pair
            ))"""
        ).format(copies=self._copies, images=self._images, asked_for=asked_for)

    def of(self, rows: sql.Composable, order: sql.Composable) -> sql.Composable:
        """The first of each among `rows`, which have the keys."""
        # Copies first: `DISTINCT ON` the value then chooses among what is left of them.
        for name in self.names:
            rows = sql.SQL(
                "(SELECT DISTINCT ON ({name}) * FROM {rows} AS all_of_them ORDER BY {name}, {order})"
            ).format(name=sql.Identifier(name), rows=rows, order=order)
        return rows
