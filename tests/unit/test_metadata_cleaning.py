"""The tutorial's subset of SemArt, step by step on a generated file with the traps of the real ones."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinakes.errors import MetadataError, UsageError
from pinakes.metadata.cleaning import MORE_THAN_PAINTINGS, transliterate
from pinakes.metadata.column_map import ColumnMap
from pinakes.metadata.report import Step
from pinakes.metadata.semart import SEMART_COLUMNS
from pinakes.metadata.table import Metadata, read_metadata

Painting = dict[str, str]


def painting(file: str, author: str, number: int, **cells: str) -> Painting:
    """One row: titles in pairs, three techniques by number, two types, three timeframes."""
    return {
        "IMAGE_FILE": file,
        "DESCRIPTION": f"“Café” {file}",
        "AUTHOR": author,
        "TITLE": f"Scène {number // 2}",
        "TECHNIQUE": ("Oil on canvas, 71 x 61 cm", "Fresco", "Oil on canvas, transferred, 2 x 3 m")[number % 3],
        "DATE": "c. 1500",
        "TYPE": ("religious", "portrait")[number % 2],
        "SCHOOL": "Italian",
        "TIMEFRAME": ("1451-1500", "1501-1550", "1551-1600")[number % 3],
        **cells,
    }


def paintings(author: str, count: int, tag: str) -> list[Painting]:
    return [painting(f"{tag}{number:02}.jpg", author, number) for number in range(count)]


def traps() -> list[Painting]:
    return [
        *paintings("BOSCH, Hieronymus", 16, "kept"),  # one more than 15
        *paintings("CAMPIN, Robert", 15, "fifteen"),  # exactly 15
        *paintings("DÜRER, Albrecht", 8, "accent"),  # 8 + 8 are 16 only in ASCII
        *paintings("DURER, Albrecht", 8, "plain"),
        *paintings("TURA, Cosm?", 17, "tura"),
        # Corrected before the count these two would be one painter with 16; after it each falls by itself.
        *paintings("DELACROIX, Eug?ne", 8, "damaged"),
        *paintings("DELACROIX, Eugène", 8, "whole"),
        *paintings("UNKNOWN MASTER, Flemish", 20, "unknown"),
        # 15 paintings and a duplicate: 16 rows only if duplicates are counted.
        *paintings("EYCK, Jan van", 15, "eyck"),
        painting("eyck00.jpg", "EYCK, Jan van", 40),
        # 15 paintings and one row that lacks its date: 16 only if it is not dropped first.
        *paintings("FOUQUET, Jean", 15, "fouquet"),
        painting("fouquet99.jpg", "FOUQUET, Jean", 41, DATE=""),
        painting("na.jpg", "BOSCH, Hieronymus", 42, TITLE="None"),  # pandas takes the word for nothing
        painting("quoted.jpg", "BOSCH, Hieronymus", 43, DESCRIPTION='He said "no" to it'),
    ]


def write(folder: Path, rows: list[Painting], files: tuple[str, ...] = ("semart_train.csv",)) -> list[Path]:
    paths = []
    for number, name in enumerate(files):
        lines = ["\t".join(row[column] for column in SEMART_COLUMNS) for row in rows[number :: len(files)]]
        paths.append(folder / name)
        paths[-1].write_bytes("\n".join(["\t".join(SEMART_COLUMNS), *lines, ""]).encode("cp1252"))
    return paths


def tutorial(folder: Path, rows: list[Painting]) -> Metadata:
    return read_metadata(write(folder, rows), cleaning="tutorial")


def test_each_step_is_reported_with_its_rows_before_and_after(tmp_path: Path) -> None:
    rows = traps()
    assert len(rows) == 134
    report = tutorial(tmp_path, rows).report
    assert report.steps == (
        Step("drop rows with a missing value", 134, 132),
        Step("drop duplicate IMAGE_FILE", 132, 131),
        Step("transliterate to ASCII", 131, 131),
        Step("cut TECHNIQUE at the first comma", 131, 131),
        Step("keep authors with more than 15 paintings", 131, 17 + 16 + 17 + 20),
        Step("correct damaged names", 70, 70),
        Step("drop unknown authors", 70, 50),
    )
    assert (report.rows, report.used) == (50, 50)
    assert report.files[0].rows == 134
    assert report.corrected == {"TURA, Cosm?": 17}
    assert report.distinct == {
        "IMAGE_FILE": 50,
        "DESCRIPTION": 50,
        "AUTHOR": 3,
        "TITLE": 10,  # pairs of 17 paintings, and number 43
        "TECHNIQUE": 2,
        "TYPE": 2,
        "TIMEFRAME": 3,
    }
    assert report.lines()[1:] == [
        "drop rows with a missing value: 134 -> 132 rows",
        "drop duplicate IMAGE_FILE: 132 -> 131 rows",
        "transliterate to ASCII: 131 -> 131 rows",
        "cut TECHNIQUE at the first comma: 131 -> 131 rows",
        "keep authors with more than 15 paintings: 131 -> 70 rows",
        "correct damaged names: 70 -> 70 rows",
        "drop unknown authors: 70 -> 50 rows",
        "distinct: IMAGE_FILE 50, DESCRIPTION 50, AUTHOR 3, TITLE 10, TECHNIQUE 2, TYPE 2, TIMEFRAME 3",
        "metadata: 50 of 50 rows can be used",
        "names corrected: TURA, Cosm? (17)",
    ]


def test_what_is_left_is_the_tutorials_text(tmp_path: Path) -> None:
    frame = tutorial(tmp_path, traps()).frame.set_index("key")
    assert frame["author"].value_counts().to_dict() == {
        "BOSCH, Hieronymus": 17,
        "TURA, Cosme": 17,
        "DURER, Albrecht": 16,
    }
    cut = frame.loc["kept02.jpg"]
    assert (cut["technique"], cut["medium"], cut["size"]) == ("Oil on canvas", "Oil on canvas", None)
    assert (cut["title"], cut["description"]) == ("Scene 1", '"Cafe" kept02.jpg')
    assert (cut["date"], cut["school"], cut["extra"]) == ("c. 1500", "Italian", {"split": "train"})
    assert frame.loc["quoted.jpg", "description"] == 'He said "no" to it'
    assert frame.loc["tura00.jpg", "extra"] == {"split": "train", "author_as_written": "TURA, Cosm?"}


@pytest.mark.parametrize(("count", "kept"), [(MORE_THAN_PAINTINGS, 0), (MORE_THAN_PAINTINGS + 1, 16)])
def test_more_than_fifteen_is_not_fifteen(tmp_path: Path, count: int, kept: int) -> None:
    assert len(tutorial(tmp_path, paintings("BOSCH, Hieronymus", count, "p")).frame) == kept


def test_authors_are_counted_after_transliteration(tmp_path: Path) -> None:
    rows = [*paintings("DÜRER, Albrecht", 8, "a"), *paintings("DURER, Albrecht", 8, "b")]
    frame = tutorial(tmp_path, rows).frame
    assert frame["author"].unique().tolist() == ["DURER, Albrecht"]
    assert len(frame) == 16


def test_names_are_corrected_after_authors_are_counted(tmp_path: Path) -> None:
    rows = [*paintings("DELACROIX, Eug?ne", 8, "a"), *paintings("DELACROIX, Eugène", 8, "b")]
    report = tutorial(tmp_path, rows).report
    assert (report.steps[4].before, report.steps[4].after, report.used) == (16, 0, 0)
    assert report.corrected == {}


@pytest.mark.parametrize(
    "extra",
    [painting("p00.jpg", "BOSCH, Hieronymus", 40), painting("p99.jpg", "BOSCH, Hieronymus", 41, DATE="NA")],
    ids=["duplicate", "missing"],
)
def test_duplicates_and_missing_values_go_before_authors_are_counted(tmp_path: Path, extra: Painting) -> None:
    assert tutorial(tmp_path, [*paintings("BOSCH, Hieronymus", 15, "p"), extra]).report.used == 0


def test_three_files_are_counted_together_and_keep_their_splits(tmp_path: Path) -> None:
    paths = write(tmp_path, traps(), ("semart_train.csv", "semart_val.csv", "semart_test.csv"))
    metadata = read_metadata(paths, columns=ColumnMap(key="image_file"), cleaning="tutorial")
    assert [file.rows for file in metadata.report.files] == [45, 45, 44]
    assert metadata.report.used == 50
    assert {extra["split"] for extra in metadata.frame["extra"]} == {"train", "val", "test"}


def test_the_lossless_cleaning_of_the_same_file_keeps_what_the_tutorial_drops(tmp_path: Path) -> None:
    metadata = read_metadata(write(tmp_path, traps()))
    report = metadata.report
    assert (report.rows, report.used, report.conflicting) == (134, 132, {"eyck00.jpg": 2})
    assert report.corrected == {"TURA, Cosm?": 17, "DELACROIX, Eug?ne": 8}
    frame = metadata.frame.set_index("key")
    assert (frame.loc["na.jpg", "title"], frame.loc["fouquet99.jpg", "date"]) == ("None", None)
    assert frame.loc["accent00.jpg", "author"] == "DÜRER, Albrecht"


def test_the_tutorials_cleaning_is_for_semart_by_image_file_only(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("file,title\na,A\n")
    with pytest.raises(MetadataError, match="is for SemArt only"):
        read_metadata([other], cleaning="tutorial")
    other.write_text(",".join(SEMART_COLUMNS) + "\n")
    with pytest.raises(MetadataError, match="tab-separated columns"):
        read_metadata([other], cleaning="tutorial")
    with pytest.raises(UsageError, match="leave out --key"):
        read_metadata(write(tmp_path, traps()), columns=ColumnMap(key="TITLE"), cleaning="tutorial")


@pytest.mark.parametrize("at", [0, 1])
def test_a_row_with_too_many_fields_is_refused(tmp_path: Path, at: int) -> None:
    rows = paintings("BOSCH, Hieronymus", 2, "p")
    rows[at]["TIMEFRAME"] += "\tmore"
    with pytest.raises(MetadataError, match=f"line {at + 2}"):
        tutorial(tmp_path, rows)


def test_a_byte_that_is_not_text_is_named_by_its_line(tmp_path: Path) -> None:
    (path,) = write(tmp_path, paintings("BOSCH, Hieronymus", 20, "p"))
    path.write_bytes(path.read_bytes().replace(b"p10.jpg\t", b"p10.jpg\x81\t"))
    with pytest.raises(MetadataError, match="line 12: byte 0x81"):
        read_metadata([path], cleaning="tutorial")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Cosmè Eugène Dürer Velázquez Šiška", "Cosme Eugene Durer Velazquez Siska"),
        ("Købke Łódź Đorđe Guðmundur Þór Æsop œuvre Straße", "Kobke Lodz Dorde Gudmundur Thor AEsop oeuvre Strasse"),
        ("“Soir” – ‘d’été’ — …", "\"Soir\" - 'd'ete' - ..."),
        ("71 × 61 cm, 12½", "71 x 61 cm, 121/2"),
        ("soft\u00adhyphen, 5 €, no\u00a0break", "softhyphen, 5 EUR, no break"),
        # Every character outside ASCII that SemArt holds, by the list that the tutorial prints.
        ("’ÁÇâÚéíÄÔõÖëüÉûžçúËÜóôèÓöîÍÂáä×", "'ACaUeiAOoOeuEuzcuEUooeOoiIAaax"),
        ("雪舟", "??"),
    ],
)
def test_text_is_transliterated(text: str, plain: str) -> None:
    assert transliterate(text) == plain


@given(st.text(max_size=40))
def test_transliteration_gives_ascii_and_changes_no_ascii(text: str) -> None:
    plain = transliterate(text)
    assert plain.isascii()
    assert transliterate(plain) == plain
    assert transliterate(string.printable) == string.printable
