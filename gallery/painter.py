"""A painter: a palette, a hand, a ground, and favourite subjects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageFilter

from gallery.brush import Touch
from gallery.colour import luminance, name_of, rgb
from gallery.finish import Surface
from gallery.noise import Colours

_GRID = 17
"""Steps per axis of the colour table; Pillow interpolates between them."""


@dataclass(frozen=True)
class Painter:
    """One invented painter.

    Attributes:
        author: as the catalogue writes it, `SURNAME, Given`.
        school: as the catalogue writes it.
        years: first and last year of work.
        technique: what the catalogue says before the size.
        kinds: the subjects, favourite first.
        lights: names of the hours this painter works in.
        touch: the hand.
        surface: the ground and its age.
        pigments: the tubes on the palette; colours are drawn towards them.
        pull: how strongly, 0…1.
        shadows: what black becomes.
        lights_tint: what white becomes.
        contrast: around the middle grey; 1 leaves it.
        saturation: 1 leaves it.
        gamma: above 1 darkens.
        outline: strength of drawn contours, 0…1, and their colour is `shadows`.
        wash: transparent watercolour instead of body colour.
        flatten: number of tone steps of a print-like simplification; 0 for none.
        approximate: the catalogue dates the works with `c.`.
    """

    author: str
    school: str
    years: tuple[int, int]
    technique: str
    kinds: tuple[str, ...]
    lights: tuple[str, ...]
    touch: Touch
    surface: Surface
    pigments: tuple[str, ...]
    pull: float = 0.4
    shadows: str = "#1a1512"
    lights_tint: str = "#fff8ea"
    contrast: float = 1.05
    saturation: float = 1.0
    gamma: float = 1.0
    outline: float = 0.0
    wash: bool = False
    flatten: int = 0
    approximate: bool = False
    words: str = ""

    @cached_property
    def table(self) -> ImageFilter.Color3DLUT:
        """The palette as a table from any colour to what this painter makes of it."""
        steps = np.linspace(0, 1, _GRID, dtype=np.float32)
        blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
        graded = self._grade(np.stack([red, green, blue], axis=-1))
        return ImageFilter.Color3DLUT(_GRID, graded.reshape(-1).tolist())

    def grade(self, colours: Colours) -> Colours:
        """A picture of shape (height, width, 3) in this painter's palette."""
        pixels = Image.fromarray((np.clip(colours, 0, 1) * 255 + 0.5).astype(np.uint8))
        return np.asarray(pixels.filter(self.table), np.float32) / 255

    def see(self, colour: Colours) -> Colours:
        """What becomes of one colour."""
        return np.asarray(self._grade(np.asarray(colour, np.float32)[None, None])[0, 0])

    def word(self, colour: Colours) -> str:
        """The plain word for what becomes of one colour, e.g. `dark blue`."""
        return name_of(self.see(colour))

    def _grade(self, colours: Colours) -> Colours:
        bright = luminance(colours)[..., None]
        toned = np.clip(bright + (colours - bright) * self.saturation, 0, 1)
        toned = np.clip(0.5 + (toned**self.gamma - 0.5) * self.contrast, 0, 1)
        bright = luminance(toned)[..., None]
        tubes = np.array([rgb(code) for code in self.pigments])
        difference = toned[..., None, :] - tubes
        light = luminance(difference)
        hue = difference - light[..., None]
        away = (hue**2).sum(axis=-1) * 3.2 + light**2 * 0.7
        near = np.exp(-away / 0.045) + 1e-9
        target = (near[..., None] * tubes).sum(axis=-2) / near.sum(axis=-1)[..., None]
        target = target + (bright - luminance(target)[..., None]) * 0.8
        pulled = toned + (target - toned) * self.pull
        black, white = rgb(self.shadows), rgb(self.lights_tint)
        return np.asarray(np.clip(black + (white - black) * np.clip(pulled, 0, 1), 0, 1), np.float32)
