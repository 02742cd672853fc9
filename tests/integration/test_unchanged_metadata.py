"""Runs with metadata write what is other than before, and stage nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.takedowns.forget import Takedowns
from tests.running import gallery, paint, run, stored


class Catalogue:
    """A collection of four pictures and a table about them."""

    def __init__(self, settings: Settings, database: Database, folder: Path) -> None:
        self.settings, self.database = settings, database
        self.source, self.table = gallery(folder / "in", 4), folder / "meta.csv"
        self.rows = {f"p{number:02}.png": f"Title {number}" for number in range(4)}

    def run(self, **options: Any) -> tuple[int, bool]:
        """A run: the rows that it wrote, and whether it or others wrote to the images (a trigger notices statements)."""
        self.table.write_text("file,title\n" + "".join(f"{key},{title}\n" for key, title in self.rows.items()))
        before = self._counted_at()
        options = {"metadata": (str(self.table),)} | options
        written = run(self.settings, self.source, **options).account.rows_written
        return written, self._counted_at() != before

    def titles(self) -> dict[str, str | None]:
        return dict(stored(self.database, "SELECT image_id, title FROM pictures.images ORDER BY 1"))  # type: ignore[arg-type]

    def execute(self, statement: str) -> None:
        with self.database.connection() as (conn, _):
            conn.execute(statement.encode())

    def _counted_at(self) -> Any:
        known = stored(self.database, "SELECT to_regclass('pictures.collection') IS NOT NULL")[0][0]
        return stored(self.database, "SELECT counted_at FROM pictures.collection") if known else None


def test_only_what_has_changed_is_staged_and_written(settings: Settings, database: Database, tmp_path: Path) -> None:
    catalogue = Catalogue(settings, database, tmp_path)
    assert catalogue.run() == (8, True)
    assert catalogue.run() == (0, False)
    # A cell.
    catalogue.rows["p00.png"] = "Another"
    assert catalogue.run() == (1, True)
    assert catalogue.titles() == catalogue.rows
    assert catalogue.run() == (0, False)
    # An option of the join, and back.
    assert catalogue.run(match="(p0[01].png)") == (2, True)
    assert catalogue.titles() == catalogue.rows | {"p02.png": None, "p03.png": None}
    assert catalogue.run(match="(p0[01].png)") == (0, False)
    assert catalogue.run() == (2, True)
    # Other bytes: the row, and the vector.
    paint(catalogue.source / "p01.png", (9, 9, 9))
    assert catalogue.run() == (2, True)
    assert catalogue.titles() == catalogue.rows
    # A new picture, which makes the name of an old one ambiguous; and its end.
    twin = paint(catalogue.source / "more" / "p00.png", (8, 8, 8))
    assert catalogue.run() == (3, True)
    assert catalogue.titles() == catalogue.rows | {"p00.png": None, "more/p00.png": None}
    assert catalogue.run() == (0, False)
    twin.unlink()
    assert catalogue.run(prune=True, prune_share=0.5) == (2, True)
    assert catalogue.titles() == catalogue.rows
    assert catalogue.run() == (0, False)


def test_whatever_others_have_done_is_noticed(settings: Settings, database: Database, tmp_path: Path) -> None:
    catalogue = Catalogue(settings, database, tmp_path)
    catalogue.run()
    # A run without metadata brings a picture, of which the table knows something.
    paint(catalogue.source / "p04.png", (7, 7, 7))
    catalogue.rows["p04.png"] = "Later"
    assert catalogue.run(metadata=()) == (2, True)
    assert catalogue.run() == (1, True)
    assert catalogue.titles() == catalogue.rows
    # Somebody writes to the table.
    catalogue.execute("UPDATE pictures.images SET title = 'Mine' WHERE image_id = 'p02.png'")
    assert catalogue.run(metadata=()) == (0, True)
    assert catalogue.run() == (1, True)
    assert catalogue.titles() == catalogue.rows
    # A take-down, whose values are gone from everywhere.
    takedowns = Takedowns(settings, database, "pictures")
    takedowns.forget(takedowns.find(["p03.png"]))
    assert stored(database, "SELECT count(*) FROM pictures.image_changes") == [(0,)], (
        "what it said is not counted any more"
    )
    del catalogue.rows["p03.png"]
    assert catalogue.run()[0] == 0
    assert catalogue.titles() == catalogue.rows
    assert catalogue.run() == (0, False)
    # A run that died before it had ended.
    catalogue.execute("INSERT INTO pictures.image_changes VALUES (1)")
    assert catalogue.run() == (0, True)
    assert catalogue.run() == (0, False)
    # A schema that was dropped.
    catalogue.execute("DROP SCHEMA pictures CASCADE")
    assert catalogue.run() == (8, True)
    assert catalogue.titles() == catalogue.rows
