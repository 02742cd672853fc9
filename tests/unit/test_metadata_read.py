"""Reading metadata files: everything that stands in them, or the line that cannot be read."""

from __future__ import annotations

import csv
import gzip
import io
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinakes.errors import MetadataError, UsageError
from pinakes.metadata.column_map import ColumnMap
from pinakes.metadata.columns import COLUMNS
from pinakes.metadata.records import MAX_RECORD_LINES, open_text
from pinakes.metadata.rows import MORE
from pinakes.metadata.semart import SEMART_COLUMNS
from pinakes.metadata.table import Metadata, read_metadata

HEADER = "\t".join(SEMART_COLUMNS)
ROW = (
    "19873-1darmst.jpg",
    "The Madonna is the last, most mature work",
    "HOLBEIN, Hans the Younger",
    "Darmstadt Madonna",
    "Oil on limewood, 147 x 102 cm",
    "1526 and after 1528",
    "religious",
    "German",
    "1501-1550",
)


def semart(*rows: Sequence[str]) -> str:
    return "\n".join([HEADER, *("\t".join(row) for row in rows), ""])


def changed(**cells: str) -> list[str]:
    return [cells.get(name, cell) for name, cell in zip(SEMART_COLUMNS, ROW, strict=True)]


def read(path: Path, content: str | bytes, *, key: str | None = None) -> Metadata:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_metadata([path], columns=ColumnMap(key=key))


def row(metadata: Metadata, key: str) -> Mapping[str, object]:
    found = metadata.frame[metadata.frame["key"] == key]
    assert len(found) == 1
    return {str(name): value for name, value in found.iloc[0].to_dict().items()}


def cells(metadata: Metadata) -> Iterator[object]:
    for name in metadata.frame.columns:
        yield from metadata.frame[name]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.csv"


# -- what becomes of the text ------------------------------------------------------------------------------------------


def test_semarts_columns_become_the_columns_of_the_table(tmp_path: Path) -> None:
    metadata = read(tmp_path / "semart_val.csv", semart(ROW))
    assert list(metadata.frame.columns) == ["key", *COLUMNS, *MORE]
    assert row(metadata, ROW[0]) == {
        "key": ROW[0],
        "description": ROW[1],
        "author": ROW[2],
        "title": ROW[3],
        "technique": ROW[4],
        "medium": "Oil on limewood",
        "size": "147 x 102 cm",
        "date": ROW[5],
        "type": ROW[6],
        "school": ROW[7],
        "timeframe": ROW[8],
        "extra": {"split": "val"},
        "several": None,
        "dated": None,
    }


def test_what_is_missing_is_none_everywhere(path: Path) -> None:
    metadata = read(path, "file,title,date,colour\na.jpg,,  ,\nb.jpg,B,1500,red\n")
    assert row(metadata, "a.jpg") == {"key": "a.jpg", **dict.fromkeys((*COLUMNS, *MORE))}
    assert row(metadata, "b.jpg")["extra"] == {"colour": "red"}
    assert all(value is None or (isinstance(value, str | dict) and value) for value in cells(metadata))
    assert set(metadata.frame.dtypes.astype(str)) == {"object"}


@pytest.mark.parametrize("word", ["NA", "N/A", "None", "null", "NULL", "nan", "NaN", "-", "0", "1e5", "007", "True"])
def test_words_that_look_like_nothing_or_numbers_stay_text(path: Path, word: str) -> None:
    metadata = read(path, f"file,title,author,colour\na.jpg,{word},{word},{word}\n")
    found = row(metadata, "a.jpg")
    assert (found["title"], found["author"], found["extra"]) == (word, word, {"colour": word})


def test_text_is_trimmed_at_its_ends_only(path: Path) -> None:
    metadata = read(path, "file,title,note\n  a.jpg ,\t A  \t B \u00a0,  c   d \n")
    found = row(metadata, "a.jpg")
    assert (found["title"], found["extra"]) == ("A  \t B", {"note": "c   d"})


def test_damaged_names_are_corrected_counted_and_kept_as_written(path: Path) -> None:
    rows = [changed(IMAGE_FILE=f"{n}.jpg", AUTHOR="TURA, Cosm?") for n in range(3)]
    metadata = read(path, semart(*rows, changed(AUTHOR="DELACROIX, Eug?ne"), changed(IMAGE_FILE="q", AUTHOR="WHO?")))
    assert row(metadata, "1.jpg")["author"] == "TURA, Cosmè"
    assert row(metadata, "1.jpg")["extra"] == {"author_as_written": "TURA, Cosm?"}
    assert (row(metadata, "q")["author"], row(metadata, "q")["extra"]) == ("WHO?", None)
    assert metadata.report.corrected == {"TURA, Cosm?": 3, "DELACROIX, Eug?ne": 1}
    assert "names corrected: TURA, Cosm? (3), DELACROIX, Eug?ne (1)" in metadata.report.lines()


def test_a_files_own_column_of_written_names_is_no_correction(path: Path) -> None:
    metadata = read(path, "file,author,author_as_written\na.jpg,A,B\n")
    assert row(metadata, "a.jpg")["extra"] == {"author_as_written": "B"}
    assert metadata.report.corrected == {}


def test_a_file_with_its_own_medium_or_size_keeps_its_technique_whole(path: Path) -> None:
    metadata = read(path, 'file,technique,size\na.jpg,"Oil, 2 x 3 cm",\n')
    found = row(metadata, "a.jpg")
    assert (found["technique"], found["medium"], found["size"]) == ("Oil, 2 x 3 cm", None, None)


def test_three_files_are_one_table_with_their_splits(tmp_path: Path) -> None:
    paths = []
    for number, name in enumerate(("semart_train.csv", "semart_val.csv", "semart_test.csv.gz")):
        content = semart(changed(IMAGE_FILE=f"{number}.jpg"), changed(IMAGE_FILE="shared.jpg")).encode("cp1252")
        paths.append(tmp_path / name)
        paths[-1].write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    metadata = read_metadata(paths)
    assert metadata.frame["key"].tolist() == ["0.jpg", "shared.jpg", "1.jpg", "2.jpg"]
    assert metadata.frame["extra"].tolist() == [{"split": "train"}, None, {"split": "val"}, {"split": "test"}]
    assert [file.rows for file in metadata.report.files] == [2, 2, 2]
    assert (metadata.report.rows, metadata.report.used, metadata.report.duplicates) == (6, 4, 2)
    assert metadata.report.lines()[0] == f"{paths[0]}: 2 rows (SemArt, utf-8, tab), key IMAGE_FILE"


# -- the ways in which a file is written ------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("separator", ["\t", ",", ";"])
def test_one_table_however_it_is_written(path: Path, separator: str, packed: bool, encoding: str, end: str) -> None:
    lines = [["Title", "File", "Note"], ["Café – “Soir”", "é.jpg", "…"], ["B", "b.jpg", ""], ["", "c.jpg", "ü"]]
    raw = end.join([*(separator.join(line) for line in lines), "", ""]).encode(encoding)
    metadata = read(path, gzip.compress(raw) if packed else raw)
    assert metadata.frame[["key", "title", "extra"]].to_numpy().tolist() == [
        ["é.jpg", "Café – “Soir”", {"Note": "…"}],
        ["b.jpg", "B", None],
        ["c.jpg", None, {"Note": "ü"}],
    ]
    (file,) = metadata.report.files
    names = {"\t": "tab", ",": "comma", ";": "semicolon"}
    assert file.form == f"{'cp1252' if encoding == 'cp1252' else 'utf-8'}, {names[separator]}"
    assert (file.rows, file.key, file.semart) == (3, "File", False)


def test_a_last_line_without_a_line_end_is_a_row(path: Path) -> None:
    assert read(path, "file,title\r\na,A\r\nb,B").frame["title"].tolist() == ["A", "B"]


def test_a_header_alone_is_an_empty_table(path: Path) -> None:
    metadata = read(path, "file,title\n")
    assert list(metadata.frame.columns) == ["key", *COLUMNS, *MORE]
    assert (len(metadata.frame), metadata.report.rows) == (0, 0)


# -- the key -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["IMAGE_FILE", "image_file", "File", "FILENAME", "image", "Image_ID", "path"])
def test_the_usual_columns_are_taken_as_the_key(path: Path, name: str) -> None:
    metadata = read(path, f"title,{name}\nA,a.jpg\n")
    assert row(metadata, "a.jpg")["extra"] is None
    assert metadata.report.files[0].key == name


@pytest.mark.parametrize("key", ["Object ID", "object id", "OBJECT ID", " object id "])
def test_the_key_asked_for_is_found_in_any_case_and_stays_in_extra(path: Path, key: str) -> None:
    metadata = read(path, "file,Object ID,title\na.jpg,17,A\n", key=key)
    assert row(metadata, "17")["extra"] == {"file": "a.jpg", "Object ID": "17"}


@pytest.mark.parametrize("key", [None, "Object"])
def test_without_a_key_the_message_lists_the_columns(path: Path, key: str | None) -> None:
    with pytest.raises(MetadataError, match=r"columns are Number, title, column_3: .*--key COLUMN") as caught:
        read(path, "Number,title,\n1,2,3\n", key=key)
    assert str(path) in str(caught.value)
    assert key is None or f"no column {key!r}" in str(caught.value)


def test_keys_are_composed_so_that_they_meet_image_ids(path: Path) -> None:
    composed = unicodedata.normalize("NFC", "é.jpg")
    metadata = read(path, f"file,title\n{unicodedata.normalize('NFD', composed)},A\n{composed},A\n")
    assert metadata.frame["key"].tolist() == [composed]
    assert metadata.report.duplicates == 1


def test_identical_rows_count_once_and_rows_that_differ_not_at_all(path: Path) -> None:
    lines = ["a,A", "b,B", "a,A", "b,B", "b,C", "b,B", "c,C", ",D", " ,E", "a, A "]
    metadata = read(path, "\n".join(["file,title", *lines, ""]))
    assert metadata.frame["key"].tolist() == ["a", "c"]
    report = metadata.report
    assert (report.rows, report.used, report.duplicates, report.without_key) == (10, 2, 2, 2)
    assert report.conflicting == {"b": 4}
    assert report.without_key_at == f"{path}, line 9"
    assert report.lines()[1:] == [
        "metadata: 2 of 10 rows can be used",
        "2 identical rows were left out",
        "1 keys have rows that differ, none of which is used: b",
        f"2 rows have no key, the first at {path}, line 9",
    ]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", " a", ""]), st.sampled_from(["X", "Y", "", '"']))))
def test_every_row_is_accounted_for(rows: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        metadata = read(Path(folder) / "m.csv", "".join(["file\ttitle\tn\n", *(f"{k}\t{t}\t1\n" for k, t in rows)]))
    report = metadata.report
    assert report.rows == len(rows)
    assert len(metadata.frame) == report.used == metadata.frame["key"].nunique()
    assert len(rows) == report.used + report.duplicates + sum(report.conflicting.values()) + report.without_key


# -- quotation marks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize(
    ("written", "title"),
    [
        ('"A, B; C"', "A, B; C"),
        ('"say ""no"" to it"', 'say "no" to it'),
        ('""', None),
        ('"Adam" and Eve', '"Adam" and Eve'),
        ('Adam and "Eve"', 'Adam and "Eve"'),
        ('A 5" nail', 'A 5" nail'),
        ('"Adam and Eve', '"Adam and Eve'),
        ('Adam and Eve"', 'Adam and Eve"'),
        ('"', '"'),
        ('"one\ntwo"', "one\ntwo"),
        ('"one\n\n""two"""', 'one\n\n"two"'),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_quotation_marks_are_syntax_only_where_they_balance(
    path: Path, separator: str, written: str, title: str | None, last: bool
) -> None:
    order = ["file", "note", "title"] if last else ["title", "file", "note"]
    lines = [
        separator.join(order),
        *(
            separator.join({"file": f, "note": "n", "title": t}[o] for o in order)
            for f, t in [("a", written), ("b", "B")]
        ),
    ]
    metadata = read(path, "\n".join([*lines, ""]))
    assert metadata.frame["key"].tolist() == ["a", "b"]
    assert metadata.frame["title"].tolist() == [title, "B"]


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
def test_a_quoted_separator_is_text(path: Path, separator: str) -> None:
    metadata = read(path, f'file{separator}title{separator}n\na{separator}"x{separator}y"{separator}1\n')
    assert row(metadata, "a")["title"] == f"x{separator}y"


def test_stray_marks_in_neighbouring_rows_swallow_no_row(path: Path) -> None:
    rows = [changed(IMAGE_FILE=f"{n}.jpg", DESCRIPTION=f"text {n}") for n in range(6)]
    rows[1][1], rows[3][1], rows[4][8] = '"opened and never closed', 'closed and never opened"', '"1501'
    metadata = read(path, semart(*rows))
    assert metadata.frame["key"].tolist() == [f"{n}.jpg" for n in range(6)]
    assert metadata.frame["description"].tolist() == [cells[1] for cells in rows]
    assert metadata.frame["timeframe"].tolist()[4:] == ['"1501', "1501-1550"]


def test_between_commas_a_pair_of_marks_quotes_what_any_csv_reader_takes_for_quoted(path: Path) -> None:
    metadata = read(path, 'file,title\na,"open\nb,closed"\nc,C\n')
    assert metadata.frame[["key", "title"]].to_numpy().tolist() == [["a", "open\nb,closed"], ["c", "C"]]


def test_a_mark_never_closed_gives_every_row_back(path: Path) -> None:
    count = 2 * MAX_RECORD_LINES
    metadata = read(path, "".join(['file,title\na,"open\n', *(f"{number},t\n" for number in range(count))]))
    assert metadata.report.used == count + 1
    assert row(metadata, "a")["title"] == '"open'


@pytest.mark.parametrize("separator", ["\t", ","])
def test_fields_that_are_quoted_lose_their_marks_next_to_a_stray_one(path: Path, separator: str) -> None:
    line = separator.join(['"a"', '"open', "n"])
    metadata = read(path, f"{separator.join(['file', 'title', 'note'])}\n{line}\n")
    assert row(metadata, "a")["title"] == '"open'


@settings(max_examples=150, deadline=None)
@given(
    separator=st.sampled_from("\t,;"),
    rows=st.lists(
        st.lists(st.text(st.sampled_from('ab ",;\t\n\ré“'), max_size=8), min_size=3, max_size=3), min_size=1, max_size=5
    ),
    end=st.sampled_from(["\n", "\r\n"]),
    everything=st.booleans(),
)
def test_what_a_csv_writer_writes_is_read_back(
    separator: str, rows: list[list[str]], end: str, everything: bool
) -> None:
    if separator == "\t":  # a tab and a line break in one row cannot be told from two rows
        rows = [[cell.replace("\t", " ") if "\n" in "".join(cells) else cell for cell in cells] for cells in rows]
    buffer = io.StringIO(newline="")
    writer = csv.writer(
        buffer, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL if everything else csv.QUOTE_MINIMAL
    )
    writer.writerow(["title", "one", "file", "two"])
    for number, (title, one, two) in enumerate(rows):
        writer.writerow([title, one, f"{number}.jpg", two])
    with tempfile.TemporaryDirectory() as folder:
        metadata = read(Path(folder) / "m.csv", buffer.getvalue())
    assert metadata.frame["key"].tolist() == [f"{number}.jpg" for number in range(len(rows))]
    assert metadata.frame["title"].tolist() == [title.strip() or None for title, _, _ in rows]
    extras = [{name: text.strip() for name, text in zip(("one", "two"), cells[1:], strict=True)} for cells in rows]
    assert metadata.frame["extra"].tolist() == [{n: t for n, t in extra.items() if t} or None for extra in extras]


# -- files that cannot be read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", ["\t", ","])
@pytest.mark.parametrize("fields", [1, 2, 4])
def test_a_wrong_number_of_fields_names_file_and_line(path: Path, separator: str, fields: int) -> None:
    header, good, bad = (separator.join(line) for line in (["file", "title", "n"], "abc", "x" * fields))
    with pytest.raises(MetadataError, match=rf"line 4: {fields} fields instead of 3") as caught:
        read(path, "\n".join([header, good, "", bad, good, ""]))
    assert str(path) in str(caught.value)


def test_an_undefined_byte_of_cp1252_is_named(path: Path) -> None:
    with pytest.raises(MetadataError, match=r"line 3: byte 0x81 at position 4 of the line is not defined in cp1252"):
        read(path, b"file,title\na,caf\xe9\nb,x\x81y\n")


@pytest.mark.parametrize(
    "damage",
    [b"\xe9", b"\xc3", b"\xe2\x80", b"\xf0\x9f\x98", b"\xed\xa0\x80"],
    ids=["cp1252", "cut-2", "cut-3", "cut-4", "surrogate"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_utf8_is_not_taken_for_cp1252(path: Path, damage: bytes, packed: bool) -> None:
    raw = "file,title\né,u\nb,".encode() + damage + b" cm\n"
    with pytest.raises(MetadataError, match=rf"looks like UTF-8, but byte 0x{damage[0]:02x} in line 3 is not UTF-8"):
        read(path, gzip.compress(raw) if packed else raw)


def test_a_byte_order_mark_settles_that_it_is_utf8(path: Path) -> None:
    with pytest.raises(MetadataError, match="byte 0xe9 in line 2"):
        read(path, b"\xef\xbb\xbffile,title\na,caf\xe9\n")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_utf16_is_refused_by_name(path: Path, encoding: str) -> None:
    with pytest.raises(MetadataError, match="is UTF-16; save it as UTF-8"):
        read(path, "file,title\na,A\n".encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_nul_is_refused_so_that_postgresql_never_meets_one(path: Path, encoding: str, packed: bool) -> None:
    raw = "file,title\nü,A\nb,B\0\n".encode(encoding)
    with pytest.raises(MetadataError, match=rf"NUL byte in line {1 if '16' in encoding else 3}"):
        read(path, gzip.compress(raw) if packed else raw)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.booleans())
def test_no_bytes_at_all_bring_a_nul_or_a_half_character_into_the_table(tail: bytes, packed: bool) -> None:
    raw = b"file,title\na,b\n" + tail
    with tempfile.TemporaryDirectory() as folder:
        try:
            metadata = read(Path(folder) / "m.csv", gzip.compress(raw) if packed else raw)
        except MetadataError:
            return
    for cell in cells(metadata):
        for text in cell.values() if isinstance(cell, dict) else [cell]:
            assert text is None or (isinstance(text, str) and "\0" not in text and text.encode("utf-8"))


@pytest.mark.parametrize(
    "raw", [b"", b"\n", b"  \r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\na,b\n", gzip.compress(b"", mtime=0)]
)
def test_an_empty_file_is_refused(path: Path, raw: bytes) -> None:
    with pytest.raises(MetadataError, match="is empty or its first line is blank"):
        read(path, raw)


def test_a_missing_file_a_folder_and_damaged_gzip_are_named(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match=r"none\.csv cannot be read: No such file"):
        read_metadata([tmp_path / "none.csv"])
    with pytest.raises(
        MetadataError, match="cannot be read: Is a directory; give each of its tables with a --metadata of its own"
    ):
        read_metadata([tmp_path])
    packed = gzip.compress(b"file,title\n" + b"a,b\n" * 1000)
    for damaged in (packed[:30], packed[:-8] + b"\0" * 8, packed[:12] + b"\xff" * 8 + packed[20:]):
        with pytest.raises(MetadataError, match="is damaged gzip"):
            read(tmp_path / "m.csv.gz", damaged)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("file,title\ra,A\r", "end in CR only"),
        ('file,"title\na,A\n', "quotation mark in the header"),
        ("file,Title,TITLE\na,b,c\n", "two columns named 'Title'"),
    ],
)
def test_a_header_that_cannot_be_right_is_refused(path: Path, content: str, says: str) -> None:
    with pytest.raises(MetadataError, match=says):
        read(path, content)


def test_no_file_and_an_unknown_cleaning_are_usage_errors(path: Path) -> None:
    with pytest.raises(UsageError, match="no metadata file"):
        read_metadata([])
    with pytest.raises(UsageError, match="'thorough' is unknown"):
        read_metadata([path], cleaning="thorough")  # type: ignore[arg-type]


def test_a_header_is_read_without_the_rows(path: Path) -> None:
    path.write_text(" file ;Title;\na;b;c\n")
    table = open_text(path)
    assert (table.columns, table.separator) == (("file", "Title", "column_3"), ";")


# -- size --------------------------------------------------------------------------------------------------------------


MEASURED = """
import sys, tracemalloc
from pathlib import Path
from pinakes.metadata.table import read_metadata
tracemalloc.start()
read_metadata([Path(name) for name in sys.argv[1:]])
print(tracemalloc.get_traced_memory()[1])
"""


def test_all_rows_of_semart_are_kept_in_bounded_memory(tmp_path: Path) -> None:
    counts = {"train": 19_244, "val": 1_069, "test": 1_069}
    paths, size, number = [], 0, 0
    for split, count in counts.items():
        paths.append(tmp_path / f"semart_{split}.csv")
        lines = [HEADER]
        for _ in range(count):
            number += 1
            # Stray marks, accents, empty cells: nothing of it may cost a row.
            text = f"{'“' * (number % 7 == 0)}{number} é " + "the picture shows " * 12 + '"' * (number % 5 == 0)
            author = f"PAINTER, {number % 3281}"
            technique = f"Oil on canvas, {number % 200} x 61 cm"
            school = "" if number % 11 == 0 else "Italian"
            lines.append(
                "\t".join((f"{number:05}-x.jpg", text, author, "Title", technique, "1500", "other", school, "x"))
            )
        paths[-1].write_bytes("\n".join([*lines, ""]).encode("cp1252"))
        size += paths[-1].stat().st_size
    metadata = read_metadata(paths)
    # In a process of its own: in this one the interpreter's table of shared strings, full from other tests, may grow.
    measured = [sys.executable, "-c", MEASURED, *map(str, paths)]
    peak = int(subprocess.run(measured, capture_output=True, text=True, check=True).stdout)
    assert [file.rows for file in metadata.report.files] == list(counts.values())
    assert len(metadata.frame) == metadata.report.used == 21_382
    assert metadata.frame["author"].nunique() == 3281
    assert metadata.frame["school"].isna().sum() == 21_382 // 11
    assert metadata.frame["extra"].map(lambda extra: extra["split"]).value_counts().to_dict() == counts
    assert peak < 5 * size
