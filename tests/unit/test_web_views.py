"""What the page says and shows: its own words for options, examples that can be read, values in order of time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pinakes.embedders.palette.declaration import PALETTE
from pinakes.embedders.palette.descriptor import Palette
from pinakes.embedders.registry import BUILT_IN
from pinakes.errors import UsageError
from pinakes.query.filters import parse_filters
from pinakes.query.query import ask
from pinakes.store.facets import Facet, Facets
from pinakes.store.images import Row
from pinakes.web import filter_views, views

FOUND = Facets(
    4,
    [
        Facet("type", [("landscape", 3), ("portrait", 1)], more=False),
        Facet("school", [("French", 3), ("Dutch", 1)], more=False),
        Facet("timeframe", [("1851-1900", 3), ("1501-1550", 2), ("1601-1650", 1)], more=False),
        Facet("split", [("train", 3)], more=False),
    ],
    None,
)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (lambda: ask("blue", k=5000), "“Pictures on a page” 5000 is out of range; a search answers 1 to 1000 hits."),
        (
            lambda: ask("blue", group_by="years"),
            "“One picture for each” takes a column, and years are a range that is read from date or timeframe.",
        ),
        (lambda: ask("blue", crop="0,0,1,1"), None),
        (lambda: ask("blue", crop="x"), None),
        (lambda: ask("blue", hybrid=2), None),
        (lambda: ask(like="a", hybrid=0.5), None),
        (lambda: ask(max_distance=0.5), None),
        (lambda: ask("blue", max_distance=0.5, hybrid=1), None),
        (lambda: ask("blue", minus=["-2*red"]), None),
        (lambda: ask("blue", plus=[" "]), None),
    ],
)
def test_an_error_names_what_the_page_shows_and_no_option(query: Callable[[], object], said: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        query()
    words = views.in_words_of_the_page(str(caught.value))
    assert said in (None, words)
    assert " -" not in f" {words}".replace(" - ", "")


def test_examples_are_words_that_the_active_embedder_reads() -> None:
    palette = Palette(256)
    for words in views.examples("palette", FOUND):
        assert not palette.embed_text(words).unread
    assert views.examples("palette", FOUND) == PALETTE.examples
    assert views.examples("clip", FOUND) == ("a ship at sea", "at night", "people")
    assert views.examples("vectors of somebody", FOUND) == ("landscape", "French", "portrait")
    for declaration in BUILT_IN:
        assert (views.examples(declaration.name, FOUND) == declaration.examples) is declaration.reads_words
    assert views.examples("onnx", Facets(0, [], None)) == ()


def test_periods_are_in_the_order_of_time_and_what_means_nothing_to_visitors_is_left_out() -> None:
    groups = {group.column: [option.value for option in group.options] for group in filter_views.groups(FOUND, ())}
    assert groups["timeframe"] == ["1501-1550", "1601-1650", "1851-1900"]
    assert groups["type"] == ["landscape", "portrait"]
    assert "split" not in groups
    image = Row("a.jpg", "file:///a.jpg", {"author": "Ada", "split": "train", "fingerprint": "md5:1"}, None)
    assert [name for name, _, _ in views.facts(image)] == ["author"]


def test_a_chosen_period_of_thousands_of_digits_is_one_of_the_periods() -> None:
    long = "1" * 4400
    groups = {group.column: group for group in filter_views.groups(FOUND, parse_filters([f"timeframe={long}"]))}
    options = {option.value: option.chosen for option in groups["timeframe"].options}
    assert options == {"1501-1550": False, "1601-1650": False, "1851-1900": False, long: True}


def test_the_picture_of_a_page_is_fitted_and_not_enlarged_to_its_pixels() -> None:
    assert views.shown_size((960, 720)) == (960, 720)
    assert views.shown_size((960, 300)) == (1200, 375)
    assert views.shown_size((100, 50)) == (200, 100)
