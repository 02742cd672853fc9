"""The measures of an evaluation against cases worked out by hand, and against brute force."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pinakes.errors import UsageError
from pinakes.evaluation.measures import (
    KthNearest,
    Neighbours,
    Ranks,
    chance_precision,
    lower_bound,
    precision_at_k,
    queries_needed,
    ranks_of,
    recall_at_k,
    unit,
)
from pinakes.evaluation.plot import check_plot
from pinakes.evaluation.request import EvaluationRequest
from pinakes.evaluation.retrieval import both_directions


def test_recall_counts_what_is_no_farther_than_the_true_kth_neighbour() -> None:
    found = np.array([[0.1, 0.2, 0.3], [0.1, 0.4, 0.5], [0.2, np.inf, np.inf]])
    kth = np.array([0.3, 0.3, 0.3])
    assert recall_at_k(found, kth).tolist() == pytest.approx([1, 1 / 3, 1 / 3])


def test_any_of_several_equally_far_neighbours_counts() -> None:
    # The exact answer may have been 0.1 and one of three at 0.2; the index found another of these three.
    assert recall_at_k(np.array([[0.1, 0.2 + 1e-8]]), np.array([0.2])).tolist() == [1.0]


def test_the_lower_bound_of_single_trials_is_wilsons() -> None:
    # 9 of 10; their variance gives an effective size of 0.09 / 0.01 = 9. By hand, with z = 1.96 and z * z = 3.8416:
    # (0.9 + 3.8416 / 18 - 1.96 * sqrt(0.09 / 9 + 3.8416 / 324)) / (1 + 3.8416 / 9) = 0.82366 / 1.42684
    shares = np.array([1.0] * 9 + [0.0])
    assert lower_bound(shares, 1, z=1.96) == pytest.approx(0.57726, abs=1e-5)


def test_queries_that_agree_count_as_one_trial_each() -> None:
    assert lower_bound(np.ones(500), 10) == pytest.approx(500 / (500 + 1.6449**2))
    assert queries_needed(0.99) == 268
    assert lower_bound(np.ones(268), 10) >= 0.99 > lower_bound(np.ones(267), 10)


def test_asking_about_every_picture_leaves_nothing_uncertain() -> None:
    shares = np.array([1.0, 1.0, 0.5, 0.9])
    assert lower_bound(shares, 10, population=4) == pytest.approx(0.85)
    assert lower_bound(shares, 10, population=5) > lower_bound(shares, 10, population=50) > lower_bound(shares, 10)
    # 100 of 199 that agree: 100 * 198 / 99 = 200 trials.
    assert lower_bound(np.ones(100), 10, population=199) == pytest.approx(200 / (200 + 1.6449**2))


def test_misses_spread_over_queries_say_more_than_misses_of_one_query() -> None:
    spread = np.full(100, 1.0)
    spread[:10] = 0.9
    together = np.full(100, 1.0)
    together[0] = 0.0
    assert spread.mean() == pytest.approx(together.mean())
    assert lower_bound(spread, 10) > lower_bound(together, 10)


@given(arrays.arrays(np.float64, st.integers(1, 60), elements=st.sampled_from([n / 10 for n in range(11)])))
def test_the_lower_bound_lies_between_zero_and_the_mean(shares: np.ndarray) -> None:
    assert 0 <= lower_bound(shares, 10) <= shares.mean() + 1e-12


def test_ranks_of_a_case_worked_out_by_hand() -> None:
    similarities = np.array(
        [
            [0.9, 0.5, 0.1, 0.0],  # the right one is first
            [0.9, 0.5, 0.1, 0.7],  # two are better: third
            [0.3, 0.3, 0.3, 0.9],  # one is better, two tie with it: second to fourth
            [0.9, 0.8, 0.7, 0.1],  # last
        ]
    )
    ranks = ranks_of(similarities, np.arange(4))
    assert ranks.closer.tolist() == [0, 2, 1, 3]
    assert ranks.equal.tolist() == [0, 0, 2, 0]
    assert ranks.recall_at(1) == pytest.approx(1 / 4)
    assert ranks.recall_at(2) == pytest.approx((1 + 0 + 1 / 3 + 0) / 4)
    assert ranks.recall_at(3) == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)
    assert ranks.recall_at(4) == 1
    assert ranks.median == 3.0  # 1, 3, 3, 4


def test_an_embedder_that_finds_everything_alike_scores_what_chance_scores() -> None:
    ranks = ranks_of(np.ones((8, 8)), np.arange(8))
    assert [ranks.recall_at(k) for k in (1, 2, 8)] == pytest.approx([1 / 8, 2 / 8, 1])
    assert ranks.median == 4.5


def test_a_text_that_cannot_be_read_ties_with_everything() -> None:
    pictures = unit(np.array([[1, 0], [0, 1], [-1, 0.1]]))
    forth, back = both_directions(unit(np.array([[1, 0], [0.9, 1]])), np.array([0, 1, -1]), pictures)
    assert (forth.closer.tolist(), forth.equal.tolist()) == ([0, 0, 0], [0, 0, 2])
    # Each picture ranks two texts that were read; the third may stand anywhere among them.
    assert (back.closer.tolist(), back.equal.tolist()) == ([0, 0, 0], [1, 1, 2])
    assert back.recall_at(1) == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)


@given(st.integers(2, 7), st.integers(0, 2**32 - 1))
def test_ranks_agree_with_sorting_in_every_order_of_the_equal_ones(count: int, seed: int) -> None:
    similarities = np.random.default_rng(seed).integers(0, 3, (1, count)) / 4
    ranks = ranks_of(similarities, np.array([0]))
    row = similarities[0]
    places = [
        sorted(range(count), key=lambda i, order=order: (-row[i], order[i])).index(0)  # type: ignore[misc]
        for order in itertools.islice(itertools.permutations(range(count)), 5040)
    ]
    for k in range(1, count + 1):
        assert ranks.recall_at(k) == pytest.approx(np.mean([place < k for place in places]))
    assert ranks.median == pytest.approx(1 + np.mean(places))


def test_precision_of_a_case_worked_out_by_hand() -> None:
    # k = 4. First query: three nearer, two of them alike; two as far as the fourth, one of them alike.
    # Second query: none nearer; four at one distance, three of them alike.
    found = Neighbours(np.array([3, 0]), np.array([2, 0]), np.array([2, 4]), np.array([1, 3]))
    assert precision_at_k(found, 4).tolist() == pytest.approx([(2 + 1 * 1 / 2) / 4, 3 / 4])


def test_chance_of_a_case_worked_out_by_hand() -> None:
    #   image      0  1  2  3  4  5
    labels = np.array([0, 0, 0, 1, 1, -1])
    groups = np.array([0, 0, 1, 2, 3, 4])  # 0 and 1 are the same bytes
    chance = chance_precision(labels, groups, np.array([0, 2, 3]))
    # 0: four candidates, image 2 is alike. 2: five candidates, 0 and 1 are. 3: five candidates, 4 is.
    assert chance.tolist() == pytest.approx([1 / 4, 2 / 5, 1 / 5])


@given(st.integers(3, 20), st.integers(0, 2**32 - 1))
def test_chance_is_the_mean_over_all_candidates(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 3, count)
    groups = np.concatenate((np.arange(count - 1), [0]))  # the last is a copy of the first
    queries = np.flatnonzero(labels >= 0)
    expected = [np.mean([labels[i] == labels[q] for i in range(count) if groups[i] != groups[q]]) for q in queries]
    if len(queries):
        np.testing.assert_allclose(chance_precision(labels, groups, queries), expected)


@given(st.integers(1, 6), st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_the_kth_nearest_of_blocks_is_that_of_the_whole(k: int, sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = [rng.integers(0, 5, (3, size)).astype(np.float32) for size in sizes]
    nearest = KthNearest(3, k)
    for block in blocks:
        nearest.add(block)
    whole = np.sort(np.concatenate([*blocks, np.full((3, k), np.inf, dtype=np.float32)], axis=1), axis=1)
    assert nearest.distances.tolist() == whole[:, k - 1].tolist()


def test_median_rank_of_no_ties_is_the_middle_place() -> None:
    assert Ranks(np.array([0, 4, 9]), np.zeros(3, dtype=int)).median == 5.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "-k 0 is out of range"),
        ({"queries": 10_001}, "--queries 10001 is out of range"),
        ({"recall": 1.0}, "--recall 1 is out of range"),
        ({"pairs": 1}, "--pairs 1 is out of range"),
        ({"max_cost": float("nan")}, "--max-cost nan is out of range"),
        ({"collection": "Not A Name"}, "Not A Name"),
    ],
)
def test_what_cannot_be_evaluated_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EvaluationRequest(**({"collection": "pictures"} | options))  # type: ignore[arg-type]


def test_a_plot_that_cannot_be_made_is_said_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.evaluation.plot.drawable", lambda: False)
    with pytest.raises(UsageError, match=r"\.venv/bin/python -m pip install -e '\.\[notebook\]'"):
        check_plot(tmp_path / "plot.png")
    monkeypatch.setattr("pinakes.evaluation.plot.drawable", lambda: True)
    with pytest.raises(UsageError, match=r"must end in \.png, \.svg, \.pdf"):
        check_plot(tmp_path / "plot.gif")
    with pytest.raises(UsageError, match="its folder does not exist"):
        check_plot(tmp_path / "nowhere" / "plot.png")
