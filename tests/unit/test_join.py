"""The join: every image once and in order, no row ever guessed."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinakes.errors import AccountError, UsageError
from pinakes.ids import base_name
from pinakes.metadata.columns import COLUMNS
from pinakes.metadata.join import Join, merge_vectors
from pinakes.metadata.report import MetadataReport
from pinakes.metadata.rows import MORE
from pinakes.metadata.table import Metadata, read_metadata


def metadata_of(keys: Sequence[str]) -> Metadata:
    """A row for each key, whose title says which."""
    data: dict[str, list[object]] = {"key": list(keys)}
    for name in COLUMNS:
        data[name] = [f"row of {key}" if name == "title" else None for key in keys]
    data["extra"] = [{"k": key} if len(key) % 2 else None for key in keys]
    data["several"] = data["dated"] = [None for _ in keys]
    return Metadata(pd.DataFrame(data, dtype=object), MetadataReport(files=(), rows=len(keys), used=len(keys)))


def listing(image_ids: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({"image_id": pd.Series(image_ids, dtype=object), "bytes": range(len(image_ids))})


def titles(keys: Sequence[str], image_ids: Sequence[str], match: str | None = None) -> dict[str, str | None]:
    rows = Join(metadata_of(keys), image_ids, match=match).rows(listing(image_ids))
    return dict(
        zip(rows["image_id"], (title and title.removeprefix("row of ") for title in rows["title"]), strict=True)
    )


def test_a_base_name_finds_its_image_in_any_folder() -> None:
    assert titles(["a.jpg", "b.jpg"], ["x/y/a.jpg", "b.jpg", "c.jpg"]) == {
        "x/y/a.jpg": "a.jpg",
        "b.jpg": "b.jpg",
        "c.jpg": None,
    }


def test_a_relative_path_finds_its_image_only() -> None:
    assert titles(["x/a.jpg", "y/a.jpg"], ["x/a.jpg", "y/a.jpg", "z/a.jpg"]) == {
        "x/a.jpg": "x/a.jpg",
        "y/a.jpg": "y/a.jpg",
        "z/a.jpg": None,
    }
    assert titles(["a.jpg/"], ["a.jpg"]) == {"a.jpg": None}


def test_the_full_path_wins_over_the_base_name() -> None:
    join = Join(metadata_of(["a.jpg", "x/a.jpg"]), ["x/a.jpg"])
    assert join.rows(listing(["x/a.jpg"]))["title"].tolist() == ["row of x/a.jpg"]
    assert join.report.superseded == {"a.jpg": "x/a.jpg"}
    assert any("full path: a.jpg" in line for line in join.report.lines())


def test_an_ambiguous_base_name_is_reported_with_all_its_images_and_given_to_none() -> None:
    ids = ["x/a.jpg", "b.jpg", "y/a.jpg", "a.jpg"]
    join = Join(metadata_of(["a.jpg", "b.jpg"]), ids)
    assert join.rows(listing(ids))["title"].tolist() == [None, "row of b.jpg", None, None]
    assert join.report.ambiguous == {"a.jpg": ("x/a.jpg", "y/a.jpg", "a.jpg")}
    assert "ambiguous: a.jpg fits 3 images" in "\n".join(join.report.lines())


def test_relative_paths_as_keys_name_an_image_at_the_root_too() -> None:
    ids = ["a.jpg", "x/a.jpg", "y/a.jpg"]
    assert titles(ids, ids) == {name: name for name in ids}
    # But when one of the others has no row of its own, nobody knows which of the two is meant.
    assert titles(["a.jpg", "x/a.jpg"], ids) == {"a.jpg": None, "x/a.jpg": "x/a.jpg", "y/a.jpg": None}


def test_match_gives_one_row_to_many_images() -> None:
    ids = ["436535/0.jpg", "436535/1.jpg", "9/0.jpg", "cover.jpg"]
    keys = ["436535", "12"]
    assert titles(keys, ids, match=r"^(\d+)/") == dict(zip(ids, ["436535", "436535", None, None], strict=True))
    report = Join(metadata_of(keys), ids, match=r"^(\d+)/").report
    assert (report.matched, report.images_without_metadata, report.without_capture) == (2, 2, 1)
    assert report.metadata_without_image_examples == ("12",)
    assert "in 1 image ids the pattern of --match finds nothing" in report.lines()


def test_a_group_that_takes_no_part_captures_nothing() -> None:
    assert titles(["a", ""], ["a.jpg", "b.png"], match=r"(\w+)\.jpg|\w+\.png") == {"a.jpg": "a", "b.png": None}


@pytest.mark.parametrize(("match", "says"), [("(", "not a regular expression"), (r"\d+/", "captures nothing")])
def test_an_expression_that_cannot_match_is_refused(match: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Join(metadata_of(["a"]), ["a"], match=match)
    with pytest.raises(UsageError, match=says):
        Join(None, ["a"], match=match)


def test_both_kinds_of_orphans_are_counted_with_examples() -> None:
    ids = [f"{number}.jpg" for number in range(50)]
    keys = [f"{number}.jpg" for number in range(49, 100)]
    report = Join(metadata_of(keys), ids).report
    assert (report.images, report.matched, report.images_without_metadata) == (50, 1, 49)
    assert (report.metadata_without_image, len(report.metadata_without_image_examples)) == (50, 20)
    assert report.images_without_metadata_examples == tuple(ids[:20])
    assert report.lines() == [
        "1 of 50 images have metadata",
        "49 images have none: 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 44 more",
        "50 keys of the metadata fit no image: 50.jpg, 51.jpg, 52.jpg, 53.jpg, 54.jpg and 45 more",
    ]


def test_a_key_whose_rows_differ_gives_nothing_and_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("file,title\na.jpg,One\na.jpg,Two\nb.jpg,Three\nb.jpg,Three\n")
    metadata = read_metadata([path])
    join = Join(metadata, ["a.jpg", "b.jpg"])
    assert join.rows(listing(["a.jpg", "b.jpg"]))["title"].tolist() == [None, "Three"]
    assert (metadata.report.conflicting, metadata.report.duplicates) == ({"a.jpg": 2}, 1)
    assert "1 keys have rows that differ, none of which is used: a.jpg" in metadata.report.lines()


def test_without_metadata_the_images_stay_as_they_are() -> None:
    images = listing(["a.jpg", "b.jpg"])
    join = Join(None, ["a.jpg", "b.jpg"])
    assert join.rows(images) is images
    assert (join.report.matched, join.report.images_without_metadata) == (0, 2)


def test_empty_metadata_and_an_empty_listing_are_joined() -> None:
    assert titles([], ["a.jpg"]) == {"a.jpg": None}
    assert titles(["a.jpg"], []) == {}


def test_decomposed_names_meet_composed_ones() -> None:
    key = unicodedata.normalize("NFC", "Café.jpg")
    ids = [unicodedata.normalize("NFD", "x/Café.jpg")]
    assert titles([key], ids) == {ids[0]: key}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("match", [None, r"/(.)\d*\.jpg$"])
def test_chunks_of_any_size_give_the_same_rows_in_order_under_their_index(size: int, match: str | None) -> None:
    ids = [f"f/{letter}{number}.jpg" for number in range(5) for letter in "cab"]
    keys = ["a0.jpg", "c3.jpg", "f/b2.jpg"] if match is None else ["a", "c"]
    images = listing(ids).set_index(pd.Index([f"i{number}" for number in range(len(ids))], name="at"))
    join = Join(metadata_of(keys), ids, match=match)
    whole = join.rows(images)
    parts = [join.rows(images.iloc[start : start + size]) for start in range(0, len(ids), size)]
    pd.testing.assert_frame_equal(pd.concat(parts), whole)
    assert whole["image_id"].tolist() == ids
    assert whole.index.equals(images.index)
    assert list(whole.columns) == ["image_id", "bytes", *COLUMNS, *MORE]
    assert whole["bytes"].tolist() == list(range(len(ids)))
    added = [value for name in (*COLUMNS, *MORE) for value in whole[name]]
    assert all(value is None or isinstance(value, str | dict) for value in added)


def test_an_empty_chunk_has_all_columns() -> None:
    rows = Join(metadata_of(["a"]), ["a"]).rows(listing([]))
    assert (len(rows), list(rows.columns)) == (0, ["image_id", "bytes", *COLUMNS, *MORE])


def test_an_image_that_is_not_listed_or_stands_twice_is_refused() -> None:
    with pytest.raises(AccountError, match="each must be listed once"):
        Join(metadata_of(["a"]), ["a", "a"])
    join = Join(metadata_of(["a"]), ["a"])
    with pytest.raises(AccountError, match="'b' is not in the listing"):
        join.rows(listing(["b"]))
    with pytest.raises(AccountError, match="cannot be joined"):
        join.rows(listing(["a", "a"]))


NAMES = st.sampled_from(["a.jpg", "b.jpg", "é.jpg", "c"])
PATHS = st.builds(
    "/".join, st.tuples(st.lists(st.sampled_from(["x", "y"]), max_size=2), NAMES).map(lambda t: [*t[0], t[1]])
)
MANY = st.lists(PATHS, unique=True, max_size=12)


@settings(max_examples=80, deadline=None)
@given(MANY, st.lists(st.one_of(PATHS, NAMES), unique=True, max_size=10), st.integers(1, 5))
def test_every_image_comes_once_in_order_and_no_row_is_guessed(ids: list[str], keys: list[str], size: int) -> None:
    join = Join(metadata_of(keys), ids)
    report = join.report
    parts = [join.rows(listing(ids).iloc[start : start + size]) for start in range(0, len(ids), size)]
    rows = pd.concat(parts) if parts else join.rows(listing([]))
    assert rows["image_id"].tolist() == ids
    got = {name: None if title is None else str(title)[7:] for name, title in zip(ids, rows["title"], strict=True)}
    used = [key for key in got.values() if key is not None]
    assert len(used) == len(set(used)) == report.matched
    assert report.images == len(ids) == report.matched + report.images_without_metadata
    assert len(keys) == report.matched + report.metadata_without_image + len(report.ambiguous) + len(report.superseded)
    for name, key in got.items():
        assert key is None or f"/{name}".endswith(f"/{key}") or f"/{key}".endswith(f"/{name}")
        assert key is None or "/" not in key or key == name or report.nearly[key] == name
        if "/" in name and name in keys:
            assert key == name  # the full path wins
    for key, fitting in report.ambiguous.items():
        assert key not in used
        assert fitting == tuple(name for name in ids if f"/{name}".endswith(f"/{key}"))
        assert len(fitting) > 1
    for key in keys:
        fitting = tuple(name for name in ids if name == key or base_name(name) == key)
        if len(fitting) == 1:
            assert got[fitting[0]] is not None


@settings(max_examples=40, deadline=None)
@given(MANY, st.lists(st.sampled_from(["x", "y", "c"]), unique=True))
def test_a_captured_key_is_the_only_one_that_an_image_gets(ids: list[str], keys: list[str]) -> None:
    got = titles(keys, ids, match=r"^([^/]+)")
    assert list(got) == ids
    assert got == {name: first if (first := name.split("/")[0]) in keys else None for name in ids}


# -- rows and vectors --------------------------------------------------------------------------------------------------


def pairs(*named: tuple[str | None, str], **more: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"image_id": [i for i, _ in named], "fingerprint": [f for _, f in named], **more})


def test_vectors_meet_their_rows_by_image_and_bytes() -> None:
    rows = pairs(("b", "md5:1"), ("a", "md5:2"), ("c", "md5:3"), title=["B", None, "C"])
    vectors = pairs(("a", "md5:2"), ("b", "md5:0"), ("d", "md5:4"), ("c", "md5:3"), vector=[[1.0], [2.0], [3.0], [4.0]])
    merged = merge_vectors(rows, vectors)
    assert list(merged.columns) == ["image_id", "fingerprint", "title", "vector"]
    assert merged["image_id"].tolist() == ["a", "c"]  # the vector of b is of older bytes
    assert merged["vector"].tolist() == [[1.0], [4.0]]


def test_parts_of_the_vectors_add_up_to_the_whole() -> None:
    rows = pairs(*((f"i{number}", "md5:0") for number in range(10)))
    vectors = pairs(*((f"i{number}", "md5:0") for number in range(3, 13)), vector=[[float(n)] for n in range(10)])
    whole = merge_vectors(rows, vectors)
    parts = [merge_vectors(rows, vectors.iloc[start : start + 4]) for start in range(0, 10, 4)]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)
    assert len(whole) == 7
    assert len(merge_vectors(rows, vectors.iloc[:0])) == 0


@pytest.mark.parametrize("side", ["rows", "vectors"])
def test_what_is_not_one_to_one_is_refused(side: str) -> None:
    once = pairs(("a", "md5:1"))
    twice = pairs(("b", "md5:1"), ("a", "md5:1"), ("a", "md5:1"))
    rows, vectors = (twice, once) if side == "rows" else (once, twice)
    with pytest.raises(AccountError, match=rf"one to one: .*1 {side}.* first 'a'"):
        merge_vectors(rows, vectors.assign(vector=0.0))


@pytest.mark.parametrize("side", ["rows", "vectors"])
def test_a_missing_id_meets_nothing(side: str) -> None:
    # pandas would take two missing values for equal.
    rows, vectors = pairs(("a", "md5:1")), pairs(("a", "md5:1"), vector=[[1.0]])
    damaged = pairs((None, "md5:1"), vector=[[1.0]]) if side == "vectors" else pairs((None, "md5:1"))
    with pytest.raises(AccountError, match=f"1 of the {side} lack"):
        merge_vectors(*((damaged, vectors) if side == "rows" else (rows, damaged)))
