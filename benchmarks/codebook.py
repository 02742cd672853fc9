"""Learns the codebook of the built-in descriptor from the painted sample gallery.

`python -m benchmarks.codebook` writes `pinakes/embedders/palette/codebook.npz`; with --check it compares it with
what is learnt. A new codebook is a new version of the model (`pinakes/embedders/palette/declaration.py`).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import pinakes.embedders.palette as package
from gallery.gallery import write_gallery
from pinakes.embedders.palette.blocks import SHORT_SIDE, Doubles, Views
from pinakes.embedders.palette.fisher import CELLS, DIRECTIONS, Codebook, local_descriptors
from pinakes.images.decoding import decode

FILE = Path(package.__file__).with_name("codebook.npz")
MIXTURES = {256: (8, 5), 512: (16, 4), 1024: (24, 8)}
"""For each dimension of a vector the principal axes and the Gaussians."""

SAMPLE = 120
"""Local descriptors of each picture and scale that are learnt from."""

ROUNDS = 50
COMPONENTS = DIRECTIONS * CELLS**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        found = learnt(write_gallery(Path(folder)).pictures)
    if not check:
        np.savez_compressed(FILE, allow_pickle=False, **found)
        print(f"{FILE.name}: {FILE.stat().st_size:,} bytes")
        return
    with np.load(FILE) as kept:
        furthest = max(float(np.abs(kept[name] - values).max()) for name, values in found.items())
    print(f"{FILE.name} is within {furthest:.1e} of what the gallery teaches")
    if furthest > 1e-3:
        raise SystemExit(1)


def learnt(folder: Path) -> dict[str, Doubles]:
    """The arrays of the codebook's file, from the pictures of a folder."""
    random = np.random.RandomState(0)
    parts = []
    for path in sorted(folder.glob("*.jpg")):
        views = Views.of(decode(path.read_bytes(), at_least=SHORT_SIDE))
        found = local_descriptors(views, np.eye(COMPONENTS))
        parts.append(found[random.permutation(len(found))[: 2 * SAMPLE]])
    descriptors = np.concatenate(parts)
    mean = descriptors.mean(0)
    values, vectors = np.linalg.eigh(np.cov((descriptors - mean).T))
    axes = vectors[:, np.argsort(-values)][:, : max(axes for axes, _ in MIXTURES.values())]
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])  # a sign of its own is arbitrary
    arrays = {"mean": mean, "axes": axes}
    for dimension, (kept, gaussians) in MIXTURES.items():
        book = mixture(descriptors, mean, axes[:, :kept], gaussians, random)
        arrays |= {
            f"centres_{dimension}": book.centres,
            f"variances_{dimension}": book.variances,
            f"shares_{dimension}": book.shares,
        }
    return arrays


def mixture(
    descriptors: Doubles, mean: Doubles, axes: Doubles, gaussians: int, random: np.random.RandomState
) -> Codebook:
    """A mixture of Gaussians by expectation and maximisation, started from descriptors drawn at random."""
    reduced = (descriptors - mean) @ axes
    spread = reduced.var(0)
    centres = reduced[random.permutation(len(reduced))[:gaussians]]
    book = Codebook(mean, axes, centres, np.tile(spread / 4, (gaussians, 1)), np.full(gaussians, 1 / gaussians))
    for _ in range(ROUNDS):
        weights = book.responsibilities(reduced)
        total = weights.sum(0)[:, None] + 1e-9
        centres = weights.T @ reduced / total
        variances = np.maximum(weights.T @ (reduced * reduced) / total - centres**2, spread / 20)
        book = Codebook(mean, axes, centres, variances, total[:, 0] / total.sum())
    return book


if __name__ == "__main__":
    main()
