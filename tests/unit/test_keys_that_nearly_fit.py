"""Keys that nearly fit: pairs that leave no doubt are made and reported, for the rest the report says what would help."""

from __future__ import annotations

import shlex
from pathlib import Path

import pandas as pd
import pytest

from pinakes.metadata.column_map import ColumnMap
from pinakes.metadata.join import Join
from pinakes.metadata.table import read_metadata


def joined(
    tmp_path: Path, header: str, keys: list[str], ids: list[str], *options: str
) -> tuple[dict[str, str], list[str]]:
    """The titles that the images get, and the lines of the report; a row's title is its key."""
    table = tmp_path / "t.csv"
    table.write_text("\n".join([header, *(f"{key},{key.split(',')[0]}" for key in keys), ""]))
    said = dict(zip((name.removeprefix("--") for name in options[::2]), options[1::2], strict=True))
    join = Join(read_metadata([table], columns=ColumnMap(**said)), ids)  # type: ignore[arg-type]  # key and match
    rows = join.rows(pd.DataFrame({"image_id": ids}))
    titles = dict(zip(rows["image_id"], rows["title"], strict=True))
    return {name: title for name, title in titles.items() if title is not None}, join.report.lines()


@pytest.mark.parametrize(
    ("key", "image_id"),
    [
        ("WRM 1200 a", "WRM 1200 a.jpg"),
        ("MS2.JPG", "ms2.jpg"),
        ("1888.4.2", "prints/1888.4.2.tif"),
        ("00012.tif", "00012.jpg"),
        ("prints/00012", "2020/Prints/00012.JPG"),
        (r"D:\scans\prints\00012.jpg", "prints/00012.jpg"),
        ("./a/b.jpg", "a/b.jpg"),
    ],
)
def test_a_key_that_fits_one_name_but_for_case_ending_or_folders_gets_it(
    tmp_path: Path, key: str, image_id: str
) -> None:
    titles, lines = joined(tmp_path, "file,title", [key], [image_id, "other.png"])
    assert titles == {image_id: key}
    assert f"1 keys differ from the image's name in case, ending or folders: {key} = {image_id}" in lines


@pytest.mark.parametrize(
    ("keys", "ids", "titles"),
    [
        (["a"], ["a.jpg", "a.tif"], {}),
        (["a", "A"], ["a.jpg"], {}),
        (["a.jpg", "a"], ["a.jpg", "b.jpg"], {"a.jpg": "a.jpg"}),
        (["1200/recto"], ["1201/recto.jpg"], {}),
        (["1200/recto", "1201/recto"], ["recto.jpg"], {}),
        (["1888.4"], ["1888.jpg"], {}),
    ],
)
def test_where_two_would_fit_none_is_guessed(
    tmp_path: Path, keys: list[str], ids: list[str], titles: dict[str, str]
) -> None:
    assert joined(tmp_path, "file,title", keys, ids)[0] == titles


@pytest.mark.parametrize("ids", [["a.jpg", "y/a.jpg"], ["y/a.jpg", "a.jpg"], ["a.jpg", "a.tif", "y/a.jpg"]])
def test_a_key_with_folders_goes_to_the_picture_that_fits_most_of_them(tmp_path: Path, ids: list[str]) -> None:
    titles, lines = joined(tmp_path, "file,title", ["gs://b/y/a.jpg"], ids)
    assert titles == {"y/a.jpg": "gs://b/y/a.jpg"}
    assert not any(line.startswith("ambiguous") for line in lines)


def test_a_key_whose_picture_has_a_row_goes_to_no_other_picture(tmp_path: Path) -> None:
    titles, _ = joined(tmp_path, "file,title", ["y/a.jpg", "gs://b/y/a.jpg"], ["a.jpg", "y/a.jpg"])
    assert titles == {"y/a.jpg": "y/a.jpg"}


def test_a_name_with_two_endings_is_reported_with_both(tmp_path: Path) -> None:
    _, lines = joined(tmp_path, "file,title", ["a"], ["a.jpg", "a.tif"])
    assert "ambiguous: a fits 2 images, none of which got it: a.jpg, a.tif; use relative paths as keys" in lines


@pytest.mark.parametrize(
    ("header", "keys", "ids", "fits"),
    [
        ("file,title", ["436535", "9"], ["436535/0.jpg", "436535/1.jpg", "9/0.jpg"], 3),
        ("file,title", ["0", "1", "2", "3"], ["0/0.jpg", "1/0.jpg", "2/0.jpg", "3/0.jpg"], 4),
        ("file,title", ["1200", "1201"], ["WRM_1200_recto.jpg", "WRM_1201_verso.jpg"], 2),
        ("file,Nr,title", ["x,A 1", "y,A 2"], ["A 1.jpg", "A 2.jpg"], 2),
        ("file,Nr,title", ["x,A1", "y,A2"], ["s/A1_0001.jpg", "s/A2_0001.jpg", "s/none.jpg"], 2),
    ],
)
def test_the_report_names_the_options_that_help_and_they_do(
    tmp_path: Path, header: str, keys: list[str], ids: list[str], fits: int
) -> None:
    titles, lines = joined(tmp_path, header, keys, ids)
    assert titles == {}
    (advised,) = [line for line in lines if " would fit " in line]
    assert advised.endswith(f"would fit {fits} of the {len(ids)} images")
    options = shlex.split(advised.partition(" would fit ")[0])
    assert len(joined(tmp_path, header, keys, ids, *options)[0]) == fits


def test_where_nothing_helps_the_report_says_what_to_look_at(tmp_path: Path) -> None:
    _, lines = joined(tmp_path, "file,Nr,title", ["x,1", "y,2"], ["left.jpg", "right.jpg"])
    assert "2 images have none: left.jpg, right.jpg" in lines
    assert "2 keys of the metadata fit no image: x, y" in lines
    assert any("no other column" in line and "Nr" in line for line in lines)
