"""Laying vectors out in the plane, so that pictures that look alike are near each other.

Vectors are first reduced to `COMPONENTS` principal components, which takes two passes over them and little memory. t-SNE
(van der Maaten and Hinton, JMLR 9, 2008, as openTSNE computes it) lays these out; without the extra `map` the first two
components are the map. The same vectors and the same seed give the same map.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int16]

Method = Literal["t-SNE", "PCA"]

COMPONENTS = 50
"""As t-SNE's authors propose."""

PERPLEXITY = 30.0
"""openTSNE's default: about how many neighbours a picture keeps."""

MOST_FITTED = 20_000
"""Pictures that t-SNE lays out by itself; each of the others is put among its nearest of these."""

LEAST_FITTED = 10
"""Fewer pictures are too few for t-SNE; their first two principal components are the map."""

MOST_CLUSTERS = 24
"""Nobody reads more names on a map."""

ROUNDS = 25
"""Rounds of k-means; later ones would hardly change anything."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A map.

    Attributes:
        places: shape (n, 2), float32, from 0 to 1; the same scale in both directions.
        clusters: shape (n,), int16: the number of the cluster that each is in, from 0.
        method: what made it.
    """

    places: Matrix
    clusters: Numbers
    method: Method


def lay_out(blocks: Callable[[], Iterable[Matrix]], seed: int) -> Layout:
    """Lay vectors out.

    Args:
        blocks: gives all vectors, in the same order at each call: shapes (n, dimension), float32.
        seed: of everything that is random.
    """
    return lay_out_components(principal_components(blocks), seed)


def lay_out_components(reduced: Matrix, seed: int) -> Layout:
    """Lay out what `principal_components` has returned; see `lay_out`."""
    method: Method = "PCA"
    places = np.zeros((len(reduced), 2), dtype=np.float32)
    places[:, : min(2, reduced.shape[1])] = reduced[:, :2]
    if len(reduced) >= LEAST_FITTED and has_tsne():
        method, places = "t-SNE", _tsne(reduced, seed)
    places = _within_the_unit_square(places)
    return Layout(places, _clusters(places, seed), method)


def has_tsne() -> bool:
    """Whether the extra `map` is installed."""
    return importlib.util.find_spec("openTSNE") is not None


def principal_components(blocks: Callable[[], Iterable[Matrix]]) -> Matrix:
    """Vectors on their principal components, largest first: shape (n, at most `COMPONENTS`), float32."""
    count = 0
    total: npt.NDArray[np.float64] = np.zeros(1)
    products: npt.NDArray[np.float64] = np.zeros((1, 1))
    for block in blocks():
        # Sums of many float32 would leave few exact digits for the difference below.
        exact = block.astype(np.float64)
        count += len(exact)
        total = total + exact.sum(axis=0)
        products = products + exact.T @ exact
    if not count:
        return np.empty((0, 2), dtype=np.float32)
    mean = total / count
    _, axes = np.linalg.eigh(products / count - np.outer(mean, mean))
    axes = axes[:, ::-1][:, :COMPONENTS]
    # An axis may as well point the other way. Its largest part is made positive, so that equal vectors give equal maps.
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    axes = axes * np.where(largest < 0, -1, 1)
    # Block by block in float32: all vectors in float64 would take twice the memory at once.
    return np.concatenate([((block - mean) @ axes).astype(np.float32) for block in blocks()])


def _tsne(reduced: Matrix, seed: int) -> Matrix:
    import openTSNE

    chosen = np.zeros(len(reduced), dtype=bool)
    chosen[np.random.default_rng(seed).permutation(len(reduced))[:MOST_FITTED]] = True
    fitted = reduced[chosen]
    # A picture has len(fitted) - 1 neighbours, and openTSNE looks at three times the perplexity.
    perplexity = min(PERPLEXITY, (len(fitted) - 1) / 3)
    # On several processors the order of sums, and with it the map, would differ from run to run.
    method = openTSNE.TSNE(perplexity=perplexity, random_state=seed, n_jobs=1)
    layout = method.fit(fitted)
    places = np.empty((len(reduced), 2), dtype=np.float32)
    places[chosen] = layout
    if not chosen.all():
        places[~chosen] = layout.prepare_partial(reduced[~chosen], initialization="median", k=5)
    return places


def _within_the_unit_square(places: Matrix) -> Matrix:
    if not len(places):
        return places
    low, high = places.min(axis=0), places.max(axis=0)
    scale = max(float((high - low).max()), 1e-9)
    within: Matrix = (0.5 + (places - (low + high) / 2) / scale).astype(np.float32)
    return within


def _clusters(places: Matrix, seed: int) -> Numbers:
    """k-means (Lloyd 1982) from the starts of k-means++ (Arthur and Vassilvitskii 2007)."""
    count = max(1, min(MOST_CLUSTERS, round(len(places) ** 0.5 / 3)))
    numbers = np.zeros(len(places), dtype=np.int16)
    if len(places) <= count:
        return numbers
    draw = np.random.default_rng(seed)
    centres = places[draw.integers(len(places), size=1)]
    for _ in range(count - 1):
        far = _squares(places, centres).min(axis=1)
        # With every picture in one of the centres there are no distances to draw by: then each is as likely.
        weights = far / far.sum() if far.sum() else None
        centres = np.concatenate([centres, places[draw.choice(len(places), size=1, p=weights)]])
    for _ in range(ROUNDS):
        numbers = _squares(places, centres).argmin(axis=1).astype(np.int16)
        for number in range(count):
            members = places[numbers == number]
            if len(members):  # a centre that is nearest to no picture stays where it is
                centres[number] = members.mean(axis=0)
    return numbers


def _squares(places: Matrix, centres: Matrix) -> npt.NDArray[np.float64]:
    squares: npt.NDArray[np.float64] = ((places[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2, dtype=np.float64)
    return squares
