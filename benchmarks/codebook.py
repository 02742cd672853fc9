"""Learns the codebook of the built-in descriptor from the painted sample gallery.

`python -m benchmarks.codebook` writes `pinakes/embedders/palette/codebook.npz`; with --check it compares it with
what is learnt. A new codebook is a new version of the model (`pinakes/embedders/palette/declaration.py`).

The file holds the texture blocks of noise, too. Most of a texture histogram is the same for all pictures, so that raw
ones are all alike (cosines of 0.95). Pictures differ in what they have beyond such noise, so each texture block is
taken relative to it. The amplitudes of pictures fall with frequency like f^-0.8 to f^-1.5 (Field, JOSA A 4(12), 1987;
Tolhurst, Tadmor and Chao, Ophthalmic and Physiological Optics 12, 1992); the steep end is taken, since paint and ink
have less grain than photographs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

import pinakes.embedders.palette as package
from benchmarks.common import arguments
from gallery.gallery import write_gallery
from pinakes.embedders.palette.blocks import SHORT_SIDE, Doubles, Views
from pinakes.embedders.palette.descriptor import RECIPES, relative
from pinakes.embedders.palette.fisher import CELLS, DIRECTIONS, Codebook, local_descriptors
from pinakes.images.decoding import decode

FILE = Path(package.__file__).with_name("codebook.npz")
MIXTURES = {256: (8, 5), 512: (16, 4), 1024: (24, 8)}
"""For each dimension of a vector the principal axes and the Gaussians."""

SAMPLE = 120
"""Local descriptors of each picture and scale that are learnt from."""

ROUNDS = 50
COMPONENTS = DIRECTIONS * CELLS**2

SAMPLES = 4
_SIZE = (200, 152)
_OCTAVES = 6
_GROWTH = 1.4
"""Amplitude gained from one octave to the next coarser one: f^-1 for an equal share each, times f^-0.5."""
_COLOUR = 0.35
"""Contrast of the colour channels against that of the lightness."""


def main() -> None:
    check = arguments(__doc__, check=False).check
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
    random = np.random.RandomState(0)  # not `default_rng`, whose numbers may change with NumPy
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
        samples = [relative(Views.of(noise(sample)), RECIPES[dimension]) for sample in range(SAMPLES)]
        arrays |= {f"noise_{dimension}_{name}": np.mean([s[name] for s in samples], axis=0) for name in samples[0]}
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
        # Not below a twentieth: a Gaussian with few descriptors would shrink to one of them.
        variances = np.maximum(weights.T @ (reduced * reduced) / total - centres**2, spread / 20)
        book = Codebook(mean, axes, centres, variances, total[:, 0] / total.sum())
    return book


def noise(sample: int) -> Pillow.Image:
    """Noise picture number `sample`: RGB, the same on every machine."""
    width, height = _SIZE
    total = np.zeros((height, width, 4))
    for octave in range(_OCTAVES):
        step = 2**octave
        coarse = (-(-width // step), -(-height // step))
        for channel in range(4):
            seed = (sample * _OCTAVES + octave) * 4 + channel
            values = _hashed(coarse[0] * coarse[1], seed).reshape(coarse[1], coarse[0])
            smooth = np.asarray(Pillow.fromarray(values).resize(_SIZE, Pillow.Resampling.BICUBIC), np.float64)
            total[..., channel] += (smooth - 127.5) * _GROWTH ** (octave - 2)
    rgb = 118 + total[..., :1] / 2 + total[..., 1:] * _COLOUR / 2
    return Pillow.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))


def _hashed(count: int, seed: int) -> npt.NDArray[np.uint8]:
    """`count` even random bytes: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) over a counter."""
    state = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed << 32)
    state *= np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state >> np.uint64(56)).astype(np.uint8)


if __name__ == "__main__":
    main()
