"""Rates: read from text, and shared out so that a token bucket never runs dry, whatever the delays within the limits."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinakes.errors import UsageError
from pinakes.rates import CALL_TOKENS, Rate, allowed, parse_rate, parse_rates
from tests.gcra import Reference, refusals

rates = st.builds(
    Rate,
    count=st.floats(0.5, 5000),
    seconds=st.sampled_from([1.0, 60.0, 3600.0]),
    burst=st.integers(1, 200) | st.integers(1, 4),
)


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [
        ("30/s", 30, 1),
        (" 20 / min ", 20, 60),
        ("120/min", 120, 60),
        ("5/h", 5, 3600),
        ("0.5/sec", 0.5, 1),
        ("7/Minutes", 7, 60),
        ("5000/day", 5000, 86400),
    ],
)
def test_a_rate_is_read(text: str, count: float, seconds: float) -> None:
    rate = parse_rate(text)
    assert (rate.count, rate.seconds) == (count, seconds)


def test_tokens_are_read_next_to_calls() -> None:
    calls, tokens = parse_rates("120/min, 1000000 tokens/min")
    assert (calls.unit, tokens.unit, tokens.count, tokens.seconds) == ("calls", "tokens", 1e6, 60)
    assert tokens.burst >= 2 * 8192
    assert [str(rate) for rate in (calls, tokens)] == ["120/min", "1000000 tokens/min"]
    assert allowed([calls, tokens]) == pytest.approx(2)
    assert allowed([tokens]) == pytest.approx(1e6 / 60 / CALL_TOKENS)
    with pytest.raises(UsageError, match="two rates for one window"):
        parse_rates("5 tokens/s, 1 token/s")


def test_a_burst_is_read_or_assumed_with_caution() -> None:
    assert parse_rate("30/s burst 60").burst == 60
    assert [parse_rate(text).burst for text in ("1/s", "2/s", "30/s", "2000/s", "20/min")] == [1, 2, 8, 500, 3]


@pytest.mark.parametrize(
    "text",
    [
        *("", "30", "/s", "30/week", "-1/s", "0/s", "30/s burst", "thirty/s", "nan/s", "30/s burst 0"),
        *("99999999999999999999/s", "30/s burst 99999999999"),
    ],
)
def test_what_is_no_rate_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="rate"):
        parse_rate(text)


def test_a_rate_is_shown_as_it_is_written() -> None:
    assert [str(parse_rate(text)) for text in ("30/s", "20/min", "5/h", "5000/day")] == [
        "30/s",
        "20/min",
        "5/h",
        "5000/day",
    ]


@pytest.mark.parametrize("text", ["30/s", "200/s", "2000/s", "20/min", "120/min", "5/h"])
def test_the_whole_rate_is_used(text: str) -> None:
    rate = parse_rate(text)
    assert 1 / rate.spacing == pytest.approx(rate.per_second)


def test_a_bucket_that_is_too_small_for_any_delay_costs_some_of_the_rate() -> None:
    assert 1 / Rate(1, 1, 1).spacing == pytest.approx(0.985, abs=0.001)
    assert 1 / Rate(30, 1, 1).spacing < 30


@settings(deadline=None, max_examples=150)
@given(rates, st.integers(0, 2**32))
def test_no_call_within_its_lateness_is_ever_refused(rate: Rate, seed: int) -> None:
    chance = random.Random(seed)
    line = Reference([rate])
    now = 1000.0
    starts: list[float] = []
    for _ in range(60):
        now += chance.choice([0, 0, 0.3 * rate.spacing, 3 * rate.spacing, 100 * rate.spacing]) * chance.random()
        slots = [line.interactive(now)] if chance.random() < 0.3 else line.reserve(now, chance.randint(1, 9))
        # The worst delays are all or nothing.
        starts += [slot + rate.lateness * chance.choice([0, 0, 1, chance.random()]) for slot in slots]
    assert refusals(sorted(starts), rate) == 0


@settings(deadline=None, max_examples=100)
@given(rates)
def test_an_interactive_call_waits_for_nobody_while_few_are_ahead(rate: Rate) -> None:
    line = Reference([rate])
    line.reserve(1000.0, 20)
    assert [line.interactive(1000.0) for _ in range(rate.lead)] == [1000.0] * rate.lead
