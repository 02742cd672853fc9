"""A search and its address say the same."""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import ImmutableMultiDict

from pinakes.errors import UsageError
from pinakes.query.filters import Contains, Equals, Years
from pinakes.web.address import DEFAULTS, LISTS, PAGE_SIZE, Address, is_tidy
from pinakes.web.place import MOST_KEPT, PLACE, Place, toggled

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(str.strip)


def sent(url: str) -> ImmutableMultiDict[str, str]:
    """What a server reads from an address."""
    return ImmutableMultiDict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def form(**values: str) -> Address:
    return Address.read(ImmutableMultiDict(values))


@given(
    st.fixed_dictionaries(
        {
            field.name: st.lists(TEXT.filter(bool), unique=True, max_size=4).map(tuple) if field.name in LISTS else TEXT
            for field in fields(Address)
        }
    )
)
def test_whatever_is_asked_comes_back_from_its_address(values: dict[str, Any]) -> None:
    asked = Address(**{name: "" if value == DEFAULTS.get(name) else value for name, value in values.items()}).pruned()
    assert Address.read(sent(asked.url)) == asked
    assert is_tidy(sent(asked.url))
    assert urlsplit(asked.url).netloc == ""


def test_a_full_shortlist_is_shown_instead_of_losing_a_picture() -> None:
    kept = tuple(f"{number}.jpg" for number in range(MOST_KEPT))
    token = PLACE.set(Place(kept=kept, path="/images/new.jpg"))
    try:
        assert toggled("new.jpg") == "/shortlist?" + "&".join(f"keep={name}" for name in kept)
        assert toggled("7.jpg").startswith("/images/new.jpg?keep=0.jpg&")
        assert "=7.jpg" not in toggled("7.jpg")
    finally:
        PLACE.reset(token)


@pytest.mark.parametrize("name", ["q", "like", "space", "group_by"])
def test_what_no_text_of_the_database_can_hold_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="may not contain the character NUL"):
        Address(**{name: "a\0b"}).query(lambda _token: b"")


def test_an_address_can_be_read_by_people() -> None:
    assert (
        Address(q="a blue house", where=("author=X", "years=1650..")).url
        == "/?q=a%20blue%20house&where=author=X&where=years=1650.."
    )
    assert Address().url == "/"


@pytest.mark.parametrize("url", ["/?q=", "/?k=24", "/?mode=auto&q=x", "/?from=1600", "/?add=", "/?picture=a.png"])
def test_what_the_form_sends_in_parts_is_not_tidy(url: str) -> None:
    assert not is_tidy(sent(url))


def test_a_parameter_of_somebody_else_is_let_through_and_passed_over() -> None:
    assert is_tidy(sent("/?q=x&utm_source=mail"))
    assert Address.read(sent("/?q=x&utm_source=mail")) == Address(q="x")


def test_years_of_the_form_replace_those_of_the_address() -> None:
    values = ImmutableMultiDict(
        [("where", "years=1500..1600"), ("where", "type=portrait"), ("from", "1650"), ("to", "")]
    )
    assert Address.read(values).where == ("type=portrait", "years=1650..")
    assert Address.read(values).years == ("1650", "")
    assert Address(where=("years=1650",)).years == ("1650", "1650")
    assert form(q="x", **{"from": "", "to": ""}) == Address(q="x")


@pytest.mark.parametrize("written", ["years=1601-1650", "YEARS = 1601..1650", "years=1601–1650"])
def test_years_are_shown_however_they_are_written_and_replaced_once(written: str) -> None:
    assert Address(where=(written,)).years == ("1601", "1650")
    changed = Address.read(ImmutableMultiDict([("where", written), ("from", "1700"), ("to", "")]))
    assert changed.where == ("years=1700..",)


def test_a_cut_off_goes_with_the_last_thing_that_is_looked_for() -> None:
    asked = Address(q="blue", max_distance="0.5", where=("type=genre",))
    assert asked.but(where=()).max_distance == "0.5"
    assert asked.but(q="") == Address(where=("type=genre",))


def test_sides_of_a_crop_become_fractions_and_reach_to_the_edge_where_none_is_named() -> None:
    sides = {"left": "", "top": "50", "width": "", "height": ""}
    assert form(like="a.jpg", **sides).crop == "0,0.5,1,0.5"
    assert form(like="a.jpg", **sides).sides == ("0", "50", "100", "50")
    assert form(like="a.jpg", left="0", top="0", width="100", height="100").crop == ""
    assert form(left="10").crop == "", "there is no picture to crop"
    with pytest.raises(UsageError, match="four fractions"):
        form(like="a.jpg", left="wide").query(lambda _token: b"")


def test_the_form_adds_to_what_is_asked() -> None:
    asked = form(q="x", add="gold", less="2*people", column="title", has="house")
    assert asked == Address(q="x", plus=("gold",), minus=("2*people",), where=("title~house",))
    assert asked.but(q="") == Address(plus=("gold",), minus=("2*people",), where=("title~house",))
    assert asked.without("plus", "gold").plus == ()


def test_a_change_leads_to_the_first_page() -> None:
    assert Address(q="x", after="cursor").but(k="6") == Address(q="x", k="6")


def test_an_address_becomes_a_query() -> None:
    asked = Address(
        q="x",
        upload="t",
        crop="0,0,1,0.5",
        where=("type=a", "type=b", "title~c", "years=1600..1610"),
        hybrid="0.5",
        max_distance="0.4",
    )
    query = asked.query(lambda token: token.encode())
    assert [part.text or part.picture for part in query.parts] == ["x", b"t"]
    assert query.filters == (Equals("type", ("a", "b")), Contains("title", "c"), Years(1600, 1610))
    assert (query.k, query.hybrid, query.max_distance) == (PAGE_SIZE, 0.5, 0.4)


@pytest.mark.parametrize(
    "wrong", [{"k": "many"}, {"k": "0"}, {"max_distance": "near"}, {"mode": "quick"}, {"hybrid": "2", "q": "x"}]
)
def test_what_has_no_meaning_is_named(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        Address(**wrong).query(lambda _token: b"")
