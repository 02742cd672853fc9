"""What people write as a query, read and refused."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pinakes.errors import UsageError
from pinakes.query.cursor import DIGEST_BYTES, Cursor, Position
from pinakes.query.filters import Contains, Equals, OnMap, Years, parse_filters, write_filters
from pinakes.query.query import Crop, Part, Query, ask
from pinakes.search.query_vector import cut_out


def test_conditions_on_one_column_are_alternatives_and_all_others_hold_together() -> None:
    assert parse_filters(["author=A = B", "title~blue", "author=C", "title~house", "years=1650..1700"]) == (
        Equals("author", ("A = B", "C")),
        Contains("title", "blue"),
        Contains("title", "house"),
        Years(1650, 1700),
    )


@pytest.mark.parametrize(
    ("condition", "years"),
    [
        ("years=1650..1700", Years(1650, 1700)),
        ("years= 1650 .. 1700 ", Years(1650, 1700)),
        ("years=1650..", Years(1650, 9999)),
        ("years=..1700", Years(0, 1700)),
        ("years=1661", Years(1661, 1661)),
        ("years=1601-1650", Years(1601, 1650)),
        ("YEARS=1601 – 1650", Years(1601, 1650)),
    ],
)
def test_a_range_of_years_may_be_open(condition: str, years: Years) -> None:
    assert parse_filters([condition]) == (years,)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("author", "not of the form"),
        ("=x", "not of the form"),
        ("a=\0", "not of the form"),
        ("title~", "gives no text"),
        ("years=soon", "not a range of years"),
        ("years=..", "not a range of years"),
        ("years=-500", "not a range of years"),
        ("years=1650-", "not a range of years"),
        ("years=c. 1650", "not a range of years"),
        ("years=1700..1650", "ends before it begins"),
        ("map=0.1,0.2;nan,1;0,1", "not a part of the map"),
        ("map=1e300,1e300;-1e300,-1e300;1,0", r"has a corner at 1e\+300, and corners lie between -1000 and 1000"),
        ("map=0,0;1,-1000.5;1,0", "has a corner at -1000.5"),
    ],
)
def test_a_condition_that_means_nothing_is_refused(condition: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_filters([condition])


def test_the_metadata_s_own_columns_are_named_in_any_case_and_others_as_they_stand() -> None:
    assert parse_filters(["TYPE=genre", "Author~bosch", "Type=portrait", "Inventory=7"]) == (
        Equals("type", ("genre", "portrait")),
        Equals("Inventory", ("7",)),
        Contains("author", "bosch"),
    )
    assert ask("a", group_by="AUTHOR").group_by == "author"
    assert ask("a", group_by="Object").group_by == "Object"


def test_a_thousand_conditions_are_refused() -> None:
    with pytest.raises(UsageError, match="at most 50"):
        parse_filters([f"a=b{n}" for n in range(1000)])


NAMES = st.text(st.characters(exclude_characters="=~\0", exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=10)
PLACES = st.floats(0, 1)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=20)


@given(
    st.lists(
        st.one_of(
            st.builds(Equals, NAMES.filter(lambda n: n not in ("years", "map")), st.tuples(TEXTS)),
            st.builds(Contains, NAMES.filter(lambda n: n not in ("years", "map")), TEXTS),
            st.builds(OnMap, st.integers(0, 9999)),
            st.builds(OnMap, st.none(), st.lists(st.tuples(PLACES, PLACES), min_size=3, max_size=5).map(tuple)),
            st.builds(Years, st.integers(0, 1000), st.integers(1000, 9999)),
        ),
        max_size=6,
        unique_by=lambda f: getattr(f, "column", "") + type(f).__name__ if isinstance(f, Equals) else repr(f),
    )
)
def test_conditions_can_be_written_and_read_back(filters: list[Any]) -> None:
    equals_first = [f for f in filters if isinstance(f, Equals)] + [f for f in filters if not isinstance(f, Equals)]
    assert list(parse_filters(write_filters(filters))) == equals_first


def test_a_query_is_put_together_from_its_parts() -> None:
    read: list[str] = []

    def read_picture(name: str) -> bytes:
        read.append(name)
        return name.encode()

    query = ask(
        " a harbour ",
        image="/tmp/a.jpg",
        plus=["0.5*at night", "like:a/b c.jpg", "1e1*gold", "4 by 5*6"],
        minus=["people", "2 * image:https://x/y.jpg"],
        crop="0,0.5,1,0.5",
        where=["type=landscape"],
        read_picture=read_picture,
        k=3,
    )
    assert query.parts == (
        Part(text="a harbour"),
        Part(picture=b"/tmp/a.jpg", crop=Crop(0, 0.5, 1, 0.5), name="a.jpg"),
        Part(text="at night", weight=0.5),
        Part(like="a/b c.jpg"),
        Part(text="gold", weight=10),
        Part(text="4 by 5*6"),
        Part(text="people", weight=-1.0),
        Part(picture=b"https://x/y.jpg", weight=-2.0, name="y.jpg"),
    )
    assert read == ["/tmp/a.jpg", "https://x/y.jpg"]
    assert query.label == (
        "a harbour + a.jpg [0,0.5,1,0.5] + 0.5 × at night + a/b c.jpg + 10 × gold + 4 by 5*6 − people − 2 × y.jpg"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "out of range"),
        ({"k": 1001}, "out of range"),
        ({"mode": "fast"}, "is unknown; it is one of auto, exact, index"),
        ({"metric": "l1"}, "is unknown; it is one of cosine, l2, ip"),
        ({"hybrid": 1.5}, "out of range"),
        ({"hybrid": 0.5}, "has no words"),
        ({"max_distance": float("nan")}, "not a number"),
        ({"group_by": " "}, "names no column"),
        ({"group_by": "Map"}, "--group-by takes a column, and map is a condition"),
        ({"crop": "0,0,1,1"}, "there is neither"),
        ({"like": "a", "crop": "0,0,1"}, "not four fractions"),
        ({"like": "a", "crop": "0.5,0,0.6,1"}, "not a part of the picture"),
        ({"like": "a", "crop": "0,0,0,1"}, "not a part of the picture"),
        ({"like": "a", "crop": "nan,0,1,1"}, "not a part of the picture"),
        ({"plus": ["0*a"]}, "does not count"),
        ({"plus": [" "]}, "one of them is empty"),
        ({"plus": ["image:/etc/passwd"]}, "send the file"),
        ({"image": "/etc/passwd"}, "send the file"),
        ({"text": "x" * 2001}, "may have 2,000 characters"),
        ({"text": "a\0b"}, "NUL"),
        ({"plus": ["x"] * 21}, "has 21 parts; a query takes at most 20"),
        ({"plus": ["-1*blue"]}, "is below 0; --minus takes a part away"),
        ({"minus": ["-.5 * like:a"]}, "is below 0"),
        ({"plus": ["1e999*blue"]}, "does not count"),
        ({"where": ["type=genre"], "max_distance": 0.5}, "nothing is compared here: give words"),
        ({"text": "a", "hybrid": 1, "max_distance": 0.5}, "--hybrid 1 is words alone"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ask(**options)


@pytest.mark.parametrize("given_parts", [{}, {"text": "a", "like": "b"}])
def test_a_part_is_one_thing(given_parts: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is one of words"):
        Part(**given_parts)


def test_a_crop_at_the_edge_holds_nothing_but_the_picture() -> None:
    white = BytesIO()
    Image.new("RGB", (100, 50), "white").save(white, "PNG")
    for crop in (Crop(0.999, 0.999, 0.001, 0.001), Crop(0, 0.999, 1, 0.001), Crop(0.5, 0.5, 0.501, 0.501)):
        with Image.open(BytesIO(cut_out(white.getvalue(), crop))) as cut:
            assert min(low for low, _ in cut.getextrema()) > 250, crop
    assert cut_out(white.getvalue(), None) == white.getvalue()


POSITIONS = st.none() | st.builds(Position, st.floats(0, 2), st.text(max_size=40).filter(lambda t: t.isprintable()))


DIGESTS = st.lists(st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES), max_size=20)


@given(POSITIONS, POSITIONS, DIGESTS, DIGESTS)
def test_a_cursor_is_read_back_as_it_was(
    position: Position | None, boundary: Position | None, shown: list[bytes], rest: list[bytes]
) -> None:
    cursor = Cursor(b"12345678", position, boundary, tuple(shown), tuple(rest))
    assert Cursor.decode(cursor.encode(), b"12345678") == cursor


@given(st.text() | st.binary(max_size=60).map(lambda b: b.hex()))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cursor"):
        Cursor.decode(text, b"12345678")


def test_a_cursor_after_what_no_database_can_hold_is_refused() -> None:
    forged = Cursor(b"12345678", Position(0.5, "a\0b")).encode()
    with pytest.raises(UsageError, match="is damaged"):
        Cursor.decode(forged, b"12345678")


def test_a_cursor_over_a_thousand_fits_into_an_address() -> None:
    longest = Cursor(b"12345678", rest=tuple(n.to_bytes(DIGEST_BYTES, "big") for n in range(1000)))
    assert len(longest.encode()) < 7_000


def test_all_queries_are_values() -> None:
    assert Query(parts=(Part(text="a"),)) == ask("a")


def test_a_range_of_one_year_is_a_range() -> None:
    assert parse_filters(["years=1650..1650"]) == (Years(1650, 1650),)


def test_an_alternative_that_is_given_twice_counts_once() -> None:
    assert parse_filters(["author=B", "author=A", "author=B"]) == (Equals("author", ("B", "A")),)
