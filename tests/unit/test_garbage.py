"""How often Python looks for garbage: seldom inside, as before outside."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from pinakes.ingest.garbage import OBJECTS_BETWEEN, collecting_seldom


@pytest.fixture(autouse=True)
def as_python_begins() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_it_is_seldom_inside_and_as_before_afterwards_whatever_happens() -> None:
    @collecting_seldom()
    def fail() -> None:
        raise KeyError(gc.get_threshold())

    with pytest.raises(KeyError) as caught:
        fail()
    assert caught.value.args == ((OBJECTS_BETWEEN, 10, 10),)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("chosen", [0, 10 * OBJECTS_BETWEEN], ids=["never", "more seldom"])
def test_what_somebody_has_chosen_that_is_as_seldom_stays(chosen: int) -> None:
    gc.set_threshold(chosen, 5, 5)
    with collecting_seldom():
        assert gc.get_threshold() == (chosen, 5, 5)
    assert gc.get_threshold() == (chosen, 5, 5)


def test_blocks_within_one_another_and_functions_that_it_decorates() -> None:
    @collecting_seldom()
    def inner() -> int:
        return gc.get_threshold()[0]

    with collecting_seldom():
        assert inner() == OBJECTS_BETWEEN
        assert gc.get_threshold()[0] == OBJECTS_BETWEEN
    assert inner() == OBJECTS_BETWEEN
    assert gc.get_threshold()[0] == 700
