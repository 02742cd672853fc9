"""The measures, as functions of numbers alone.

Two distances or similarities that differ by no more than `TIE` are equal. Where a measure depends on the order of equal
ones, its expected value over all their orders is taken (McSherry and Najork, "Computing Information Retrieval Performance
Measures Efficiently in the Presence of Tied Scores", ECIR 2008): so an embedder that finds all pictures alike scores what
chance scores, wherever the right picture happens to be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

TIE = 1e-6
"""Single precision sums some thousand products of unit vectors to about 2e-7, in an order that differs between libraries."""

Z_95 = 1.6449
"""Quantile of the normal distribution for a bound that holds on one side in 95 of 100 cases."""

UNLABELLED = -1
"""The label of an image that has no value in a column."""


def recall_at_k(found: Floats, kth: Floats) -> npt.NDArray[np.float64]:
    """The share of the k nearest that an index found, for each query.

    ANN-Benchmarks' definition (Aumüller, Bernhardsson and Faithfull, 2020, arXiv:1807.05614): what is found counts when it
    is no farther than the true k-th neighbour, so that any of several equally far neighbours will do.

    Args:
        found: shape (queries, k): distances of what was found, each image once; inf where there were fewer.
        kth: shape (queries,): the distance of the exact k-th neighbour.

    Returns:
        Shape (queries,), 0 to 1.
    """
    return np.asarray((found <= kth[:, None] + TIE).mean(axis=1), dtype=np.float64)


def lower_bound(shares: Floats, trials: int, *, population: int | None = None, z: float = Z_95) -> float:
    """A value that the mean share exceeds with 95 % confidence (one-sided).

    Wilson's score bound with the effective sample size of a cluster sample (Korn and Graubard, Survey Methodology 24, 1998):
    the k neighbours of one query are found or missed together more often than independent ones would be, which the
    variance between queries shows. Where all queries agree it shows nothing, and each query counts as a single trial.
    A sample that is a large part of its population says more, by the usual correction (Cochran, Sampling Techniques, 2.6).

    Args:
        shares: shape (queries,), 0 to 1: one mean for each query.
        trials: how many trials are behind each of them (k).
        population: how many queries there could be; None: far more.
        z: the quantile.
    """
    count = len(shares)
    mean = float(np.mean(shares))
    if population is not None and population <= count:  # all of them were asked: the mean is no estimate
        return mean
    variance = float(np.var(shares, ddof=1)) / count if count > 1 else 0.0
    effective = float(count)
    if variance > 0 and 0 < mean < 1:
        # Between the two extremes: all answers alike, and all trials independent.
        effective = min(max(mean * (1 - mean) / variance, 1.0), float(count * trials))
    if population is not None:
        effective *= (population - 1) / (population - count)
    centre = mean + z * z / (2 * effective)
    spread = z * math.sqrt(mean * (1 - mean) / effective + z * z / (4 * effective * effective))
    return max(0.0, (centre - spread) / (1 + z * z / effective))


def queries_needed(wanted: float) -> int:
    """How many queries without a single miss show a recall of `wanted`, by `lower_bound`."""
    # Where all queries agree, `lower_bound` is n / (n + z²).
    return math.ceil(Z_95 * Z_95 * wanted / (1 - wanted))


@dataclass(frozen=True, slots=True)
class Ranks:
    """Where the one right answer of each query stands.

    Attributes:
        closer: shape (queries,): wrong answers that are strictly better.
        equal: shape (queries,): wrong answers that are as good.
    """

    closer: Ints
    equal: Ints

    def recall_at(self, k: int) -> float:
        """R@k: the share of queries whose right answer is among the first k (expected, where it ties)."""
        return float(np.clip((k - self.closer) / (self.equal + 1), 0, 1).mean())

    @property
    def median(self) -> float:
        """The median rank, 1 for the first place; a tie counts as its middle place."""
        return float(np.median(1 + self.closer + self.equal / 2))


def ranks_of(similarities: Floats, right: Ints) -> Ranks:
    """The ranks of the right answers.

    Args:
        similarities: shape (queries, answers), more is better.
        right: shape (queries,): the column of the right answer.
    """
    own = similarities[np.arange(len(right)), right][:, None]
    closer = (similarities > own + TIE).sum(axis=1)
    equal = (np.abs(similarities - own) <= TIE).sum(axis=1) - 1  # without the right answer itself
    return Ranks(closer, equal)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """How many answers are nearer than the k-th of each query, and as near; all of shape (queries,).

    Attributes:
        closer: answers nearer than the k-th.
        closer_same: those of them that have the query's label.
        equal: answers at the same distance as the k-th.
        equal_same: those of them that have the query's label.
    """

    closer: Ints
    closer_same: Ints
    equal: Ints
    equal_same: Ints


def precision_at_k(found: Neighbours, k: int) -> npt.NDArray[np.float64]:
    """The share of the k nearest that have the query's label, shape (queries,), 0 to 1.

    Of the answers at the same distance as the k-th, k - closer are among the k nearest, any of them as likely as another.
    """
    # Where no answer is as far as the k-th, `equal_same` is 0 as well.
    from_tie = (k - found.closer) * found.equal_same / np.maximum(found.equal, 1)
    return np.asarray((found.closer_same + from_tie) / k, dtype=np.float64)


def chance_precision(labels: Ints, groups: Ints, queries: Ints) -> npt.NDArray[np.float64]:
    """The expected precision of a random ranking: the share of the candidates that have the query's label.

    The mean number of successes of a hypergeometric draw, divided by its size; it does not depend on k.

    Args:
        labels: shape (images,), `UNLABELLED` where there is none.
        groups: shape (images,): images of one group (equal bytes) are never candidates for each other.
        queries: positions of images that have a label.

    Returns:
        Shape (queries,), 0 to 1.
    """
    with_label = np.bincount(labels[labels != UNLABELLED])
    in_group = np.bincount(groups)
    # A group has few images, so that those of them which share the query's label are counted by pairs of numbers.
    pairs, counts = np.unique(np.stack((groups, labels)), axis=1, return_counts=True)
    both = {(int(group), int(label)): int(count) for group, label, count in zip(*pairs, counts, strict=True)}
    same = np.array([both[int(groups[q]), int(labels[q])] for q in queries])
    return np.asarray(
        (with_label[labels[queries]] - same) / (len(labels) - in_group[groups[queries]]), dtype=np.float64
    )


class KthNearest:
    """The k smallest distances of each query, gathered from blocks; memory is queries * (k + block)."""

    def __init__(self, queries: int, k: int) -> None:
        self._k = k
        self._smallest = np.full((queries, k), np.inf, dtype=np.float32)

    def add(self, distances: Floats) -> None:
        """Take in a block, shape (queries, n); inf for what is no candidate."""
        joined = np.concatenate((self._smallest, distances.astype(np.float32, copy=False)), axis=1)
        # Not sorted: only the largest of them is asked for, and partitioning takes linear time.
        self._smallest = np.partition(joined, self._k - 1, axis=1)[:, : self._k]

    @property
    def distances(self) -> npt.NDArray[np.float32]:
        """The distance of the k-th nearest, shape (queries,); inf where there were fewer than k."""
        return np.asarray(self._smallest.max(axis=1))


def unit(vectors: Floats) -> npt.NDArray[np.float32]:
    """Rows of length one, float32; a row of zeros stays one."""
    wide = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    return np.asarray(wide / np.where(norms == 0, 1, norms), dtype=np.float32)
