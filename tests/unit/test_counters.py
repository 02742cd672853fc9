"""Quantiles and throughput of requests, from counts alone."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinakes.embedders.counters import Counters, Latencies

SECONDS = st.floats(min_value=1e-4, max_value=600)


def test_without_a_request_all_is_zero() -> None:
    figures = Counters().statistics(4)
    assert (
        figures.latencies.quantile(0.5),
        figures.latencies.quantile(0.95),
        figures.per_second,
        figures.calls,
        figures.in_flight,
    ) == (0, 0, 0, 0, 4)


@given(st.lists(SECONDS, min_size=1, max_size=200))
def test_quantiles_are_within_one_percent_of_the_true_ones(latencies: list[float]) -> None:
    counters = Counters()
    for seconds in latencies:
        counters.answered(seconds)
    figures = counters.statistics(1)
    true = np.quantile(latencies, [0.5, 0.95], method="inverted_cdf")
    assert [figures.latencies.quantile(0.5), figures.latencies.quantile(0.95)] == pytest.approx(true, rel=0.0101)


def test_all_answers_of_a_long_run_count() -> None:
    counters = Counters()
    for number in range(20_000):
        counters.answered(0.1 if number < 15_000 else 2.0)
    assert counters.statistics(1).latencies.quantile(0.5) == pytest.approx(0.1, rel=0.01)


@given(st.lists(SECONDS, max_size=50), st.lists(SECONDS, max_size=50))
def test_latencies_of_two_processes_add_up_also_by_way_of_json(here: list[float], there: list[float]) -> None:
    def counted(latencies: list[float]) -> Latencies:
        counters = Counters()
        for seconds in latencies:
            counters.answered(seconds)
        return counters.statistics(1).latencies

    travelled = Latencies.read(json.loads(json.dumps(asdict(counted(there)))))
    together = counted(here) + travelled
    assert together == counted(here + there)
    assert together.answers == len(here) + len(there)
    assert together - counted(here) == counted(there)


def test_throughput_counts_from_the_beginning_of_the_first_request() -> None:
    counters = Counters()
    for _ in range(10):
        counters.answered(5.0)
    # Ten answers of five seconds each that came together.
    assert counters.statistics(1).per_second == pytest.approx(2.0, rel=0.05)
