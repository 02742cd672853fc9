"""The reference of the `palette` embedder: its texture measures of noise that has the spectrum of pictures.

Most of a texture histogram is the same for all pictures, so that raw ones are all alike (cosines of 0.95). Pictures differ
in what they have beyond such noise, so each texture block is taken relative to it. The
amplitudes of pictures fall with frequency like f^-0.8 to f^-1.5 (Field, JOSA A 4(12), 1987; Tolhurst, Tadmor and Chao,
Ophthalmic and Physiological Optics 12, 1992); the steep end is taken, since paint and ink have less grain than photographs.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

SAMPLES: Final = 4
_SIZE: Final = (200, 152)
_OCTAVES: Final = 6
_GROWTH: Final = 1.4
"""Amplitude gained from one octave to the next coarser one: f^-1 for an equal share each, times f^-0.5."""
_COLOUR: Final = 0.35
"""Contrast of the colour channels against that of the lightness."""


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
