"""A painter: a palette, a hand, a ground, and favourite subjects. They are listed in `painters.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageFilter

from gallery import noise
from gallery.brush import Touch
from gallery.colour import luminance, name_of, rgb
from gallery.noise import Colours
from gallery.surface import Surface

_GRID = 17
"""Steps per axis of the colour table; Pillow interpolates between them."""


@dataclass(frozen=True)
class Palette:
    """What a painter makes of colours.

    Attributes:
        pigments: the tubes, each as `#rrggbb`; colours are drawn towards them.
        pull: how strongly, 0…1.
        shadows: what black becomes.
        lights: what white becomes.
        contrast: around the middle grey; 1 leaves it.
        saturation: 1 leaves it.
        gamma: above 1 darkens.
    """

    pigments: list[str]
    pull: float
    shadows: str
    lights: str
    contrast: float
    saturation: float
    gamma: float

    @cached_property
    def _table(self) -> ImageFilter.Color3DLUT:
        steps = np.linspace(0, 1, _GRID, dtype=np.float32)
        # Red last, because Pillow reads the table with red changing fastest.
        blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
        graded = self._grade(np.stack([red, green, blue], axis=-1))
        return ImageFilter.Color3DLUT(_GRID, graded.reshape(-1).tolist())

    def grade(self, colours: Colours) -> Colours:
        """A picture of shape (height, width, 3) in this palette."""
        return np.asarray(noise.as_image(colours).filter(self._table), np.float32) / 255

    def word(self, colour: Colours) -> str:
        """The plain word for a colour as this palette turns it out, e.g. `dark blue`."""
        return name_of(self._grade(colour[None, None])[0, 0])

    def _grade(self, colours: Colours) -> Colours:
        bright = luminance(colours)[..., None]
        toned = np.clip(bright + (colours - bright) * self.saturation, 0, 1)
        toned = np.clip(0.5 + (toned**self.gamma - 0.5) * self.contrast, 0, 1)
        bright = luminance(toned)[..., None]
        tubes = np.array([rgb(code) for code in self.pigments])
        difference = toned[..., None, :] - tubes
        light = luminance(difference)
        away = ((difference - light[..., None]) ** 2).sum(axis=-1) * 3.2 + light**2 * 0.7
        near = np.exp(-away / 0.045) + 1e-9
        target = (near[..., None] * tubes).sum(axis=-2) / near.sum(axis=-1)[..., None]
        target = target + (bright - luminance(target)[..., None]) * 0.8
        black, white = rgb(self.shadows), rgb(self.lights)
        pulled = np.clip(toned + (target - toned) * self.pull, 0, 1)
        return np.asarray(np.clip(black + (white - black) * pulled, 0, 1))


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
        palette: the colours.
        words: what the catalogue says about this painter's manner.
        outline: strength of drawn contours, 0…1, in the colour of the palette's shadows.
        wash: transparent watercolour instead of body colour.
        flatten: number of tone steps of a print-like simplification; 0 for none.
        approximate: the catalogue dates the works with `c.`.
    """

    author: str
    school: str
    years: list[int]
    technique: str
    kinds: list[str]
    lights: list[str]
    touch: Touch
    surface: Surface
    palette: Palette
    words: str
    outline: float = 0.0
    wash: bool = False
    flatten: int = 0
    approximate: bool = False


def _painter(touch: dict[str, Any], surface: dict[str, Any], palette: dict[str, Any], **person: Any) -> Painter:
    return Painter(touch=Touch(**touch), surface=Surface(**surface), palette=Palette(**palette), **person)


_LISTED = tomllib.loads(Path(__file__).with_name("painters.toml").read_text(encoding="utf-8"))
PAINTERS = [_painter(**entry) for entry in _LISTED["painters"]]
