"""Laying vectors out in the plane."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from pinakes.maps import layout
from pinakes.maps.layout import Matrix, lay_out, principal_components
from tests.clustered import clustered

CLUSTERS = 6


def blocks_of(vectors: Matrix, size: int = 100) -> Callable[[], Iterable[Matrix]]:
    return lambda: (vectors[start : start + size] for start in range(0, len(vectors), size))


def neighbours_kept(vectors: Matrix, places: Matrix, k: int = 5) -> float:
    """The share of the nearest on the map that are of the same cluster."""
    apart = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = np.argsort(apart, axis=1)[:, :k]
    same: float = (nearest % CLUSTERS == np.arange(len(vectors))[:, None] % CLUSTERS).mean()
    return same


@pytest.mark.parametrize("method", ["t-SNE", "PCA"])
def test_what_looks_alike_lies_together_and_one_seed_gives_one_map(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "has_tsne", lambda: method == "t-SNE")
    vectors = clustered(240, 64, rank=8, clusters=CLUSTERS)
    first, again = (lay_out(blocks_of(vectors, size), seed=3) for size in (100, 100))
    assert first.method == method
    assert np.array_equal(first.places, again.places)
    assert np.array_equal(first.clusters, again.clusters)
    assert first.places.min() >= 0
    assert first.places.max() <= 1
    # By chance it would be a sixth; t-SNE gives 0.89.
    assert neighbours_kept(vectors, first.places) > (0.8 if method == "t-SNE" else 0.4)
    assert len(set(first.clusters.tolist())) == round(240**0.5 / 3)


def test_more_than_are_laid_out_are_put_among_their_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MOST_FITTED", 120)
    vectors = clustered(241, 32, rank=8, clusters=CLUSTERS)
    found = lay_out(blocks_of(vectors), seed=0)
    assert np.isfinite(found.places).all()
    assert neighbours_kept(vectors, found.places) > 0.7


def test_components_are_those_of_the_singular_values() -> None:
    vectors = clustered(150, 20, rank=6)
    centred = vectors - vectors.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    found = principal_components(blocks_of(vectors, 64))
    assert found.shape == (150, 20)
    assert np.abs(found[:, :5]) == pytest.approx(np.abs((left * values)[:, :5]), abs=1e-4)


@pytest.mark.parametrize("count", [1, 3, 9, 11])
def test_few_pictures_have_a_map_as_well(count: int) -> None:
    found = lay_out(blocks_of(clustered(count, 16)), seed=0)
    assert found.places.shape == (count, 2)
    assert np.isfinite(found.places).all()
    assert found.method == ("t-SNE" if count >= layout.LEAST_FITTED else "PCA")


def test_equal_pictures_lie_in_one_place() -> None:
    found = lay_out(blocks_of(np.ones((5, 8), dtype=np.float32)), seed=0)
    assert np.isfinite(found.places).all()
    assert len(set(found.clusters.tolist())) == 1
