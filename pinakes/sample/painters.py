"""The invented painters: each has a palette, a hand, a ground and favourite subjects that show in every picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageFilter

from pinakes.sample.brush import Touch
from pinakes.sample.colour import luminance, rgb
from pinakes.sample.finish import Surface
from pinakes.sample.noise import Colours

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
        return self._grade(np.asarray(colour, np.float32)[None, None])[0, 0]

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
        return np.clip(black + (white - black) * np.clip(pulled, 0, 1), 0, 1).astype(np.float32)


PAINTERS = (
    Painter(
        "VAN LINDTHORST, Maarten",
        "Dutch",
        (1638, 1671),
        "Oil on panel",
        ("still_life", "ships", "portrait", "interior", "snow", "flowers"),
        ("storm", "overcast", "afternoon", "sunset"),
        Touch((0.03, 0.013, 0.0068), 3.6, jitter=0.02, hue=0.007, flow="slant", detail=0.95, relief=0.3, bristle=0.3),
        Surface("panel", 0.6, varnish=0.42, cracks=0.75, vignette=0.5),
        ("#3b2412", "#7a4a1e", "#b98a3e", "#e2c98c", "#5c5b3a", "#38424a", "#8a3420", "#d9cdb2"),
        pull=0.5,
        shadows="#150d07",
        lights_tint="#fdf0cf",
        contrast=1.22,
        saturation=0.86,
        gamma=1.12,
        words="The dark brown ground and the sharp fall of the light are typical of this hand.",
    ),
    Painter(
        "MONTCLERC, Zoé",
        "French",
        (1869, 1896),
        "Oil on canvas",
        ("pond", "meadow", "flowers", "bridge", "harbour", "snow", "still_life"),
        ("morning", "noon", "afternoon", "dawn"),
        Touch(
            (0.031, 0.0185, 0.0115),
            2.7,
            jitter=0.065,
            hue=0.045,
            flow="slant",
            follow=0.55,
            detail=0.75,
            relief=0.62,
            bristle=0.5,
        ),
        Surface("canvas", 0.7, vignette=0.0),
        ("#7d8fc9", "#b7a3d6", "#f1b9c0", "#f7dc8c", "#7fb069", "#3f7f7a", "#e9785a", "#fbf4e4", "#4d5aa0"),
        pull=0.48,
        shadows="#262a52",
        lights_tint="#fffaf0",
        contrast=0.96,
        saturation=1.25,
        gamma=0.86,
        words="Short broken touches of pure colour shimmer over the whole surface, and the shadows are lilac.",
    ),
    Painter(
        "LÖFGREN-STRÅLE, Ingrid",
        "Swedish",
        (1884, 1900),
        "Oil on canvas",
        ("night_city", "moonlight", "snow", "harbour", "ships", "interior"),
        ("night", "dusk", "fog", "night"),
        Touch(
            (0.045, 0.02, 0.008),
            6.5,
            jitter=0.02,
            hue=0.012,
            flow="level",
            follow=0.6,
            detail=0.7,
            relief=0.35,
            bristle=0.5,
        ),
        Surface("canvas", 0.55, vignette=0.35),
        ("#12203f", "#27406c", "#4b6b94", "#8fa6bd", "#d9d2bb", "#f2b766", "#1d3a45", "#5f6f8a"),
        pull=0.68,
        shadows="#070d1f",
        lights_tint="#f6f0dc",
        contrast=1.05,
        saturation=0.8,
        gamma=1.05,
        words="Broad level strokes in a narrow range of blues hold everything together.",
    ),
    Painter(
        "UNKNOWN MASTER, Flemish",
        "Flemish",
        (1470, 1525),
        "Tempera on panel",
        ("portrait", "flowers", "interior", "mountains", "still_life"),
        ("morning", "noon", "afternoon"),
        Touch(
            (0.024, 0.011, 0.0064), 3.2, jitter=0.012, hue=0.006, flow="upright", detail=1.0, relief=0.16, bristle=0.18
        ),
        Surface("gesso", 0.55, varnish=0.2, cracks=1.0, vignette=0.25),
        ("#7c1420", "#b92a26", "#1f3f7a", "#1d5a3c", "#c79a3c", "#f0dcb4", "#3a2318", "#e8c9a4"),
        pull=0.6,
        shadows="#1b100c",
        lights_tint="#fff3d8",
        contrast=1.18,
        saturation=1.25,
        outline=0.35,
        approximate=True,
        words="The colours are as deep as enamel, and every contour is drawn with a fine brush.",
    ),
    Painter(
        "VALDERRÍO, José",
        "Spanish",
        (1871, 1899),
        "Oil on canvas",
        ("desert", "still_life", "harbour", "portrait", "mountains", "bridge"),
        ("noon", "sunset", "afternoon"),
        Touch(
            (0.05, 0.026, 0.013),
            2.6,
            "knife",
            jitter=0.05,
            hue=0.025,
            flow="slant",
            follow=0.9,
            detail=0.75,
            relief=0.9,
            bristle=0.35,
        ),
        Surface("canvas", 0.35, vignette=0.05),
        ("#c8481e", "#e98a2b", "#f6c657", "#f9e7bd", "#2f6f8f", "#1b3a5c", "#7a2b1c", "#a9b48a"),
        pull=0.62,
        shadows="#2a1210",
        lights_tint="#fff4d6",
        contrast=1.14,
        saturation=1.3,
        gamma=0.95,
        words="The paint is laid on with the knife in thick, hot planes.",
    ),
    Painter(
        "WYNDLOW-ASHCOMBE, Florence",
        "English",
        (1796, 1838),
        "Watercolour on paper",
        ("coast", "botanical", "bridge", "mountains", "forest", "ships"),
        ("morning", "dawn", "fog", "afternoon"),
        Touch((0.05, 0.018, 0.0074), 3.4, jitter=0.018, hue=0.012, flow="free", detail=0.85, relief=0.05, bristle=0.05),
        Surface("paper", 1.0, vignette=0.0, margin=0.035),
        ("#8fa9b8", "#5f7f8a", "#b6b58a", "#d8b98a", "#a56b4c", "#6b7a4a", "#c9c2c8", "#f2e9d6"),
        pull=0.4,
        shadows="#2c2d38",
        lights_tint="#fbf6ea",
        contrast=1.3,
        saturation=1.5,
        gamma=0.98,
        wash=True,
        words="Transparent washes leave the white of the paper for the lights.",
    ),
    Painter(
        "MÜLLER-HOHENRAIN, Käthe",
        "German",
        (1881, 1900),
        "Gouache on board",
        ("night_city", "portrait", "mountains", "forest", "still_life", "abstract", "harbour"),
        ("sunset", "dusk", "noon", "overcast"),
        Touch(
            (0.04, 0.018, 0.008),
            5.0,
            jitter=0.025,
            hue=0.012,
            flow="slant",
            follow=0.95,
            detail=0.8,
            relief=0.3,
            bristle=0.5,
        ),
        Surface("paper", 0.8, vignette=0.0),
        ("#0f4c5c", "#e36414", "#9a031e", "#fb8b24", "#5f0f40", "#2a9d8f", "#f1dca7", "#22223b"),
        pull=0.72,
        shadows="#14101c",
        lights_tint="#fdf1d4",
        contrast=1.25,
        saturation=1.35,
        outline=1.0,
        flatten=5,
        words="Flat, strong colours meet in dark outlines, as in a woodcut.",
    ),
    Painter(
        "KÁRPÁTHEGYI, István",
        "Hungarian",
        (1876, 1898),
        "Oil on canvas",
        ("meadow", "moonlight", "mountains", "flowers", "forest", "portrait", "desert"),
        ("morning", "night", "sunset", "noon"),
        Touch(
            (0.036, 0.021, 0.0115),
            7.5,
            jitter=0.075,
            hue=0.035,
            flow="swirl",
            follow=0.45,
            detail=0.8,
            relief=0.95,
            bristle=0.7,
        ),
        Surface("canvas", 0.4, vignette=0.05),
        ("#1b3f8b", "#3f7fbf", "#8ac4c4", "#f4d03f", "#e0a021", "#3a6b35", "#8fae3c", "#f6efc8"),
        pull=0.5,
        shadows="#0e1a38",
        lights_tint="#fffbe0",
        contrast=1.12,
        saturation=1.35,
        words="Long curling strokes of thick paint set earth and air in motion.",
    ),
    Painter(
        "UNKNOWN MASTER, Italian",
        "Italian",
        (1330, 1390),
        "Tempera and gold on panel",
        ("portrait", "gold_city", "botanical", "desert", "mountains"),
        ("noon", "morning", "afternoon"),
        Touch(
            (0.022, 0.012, 0.0072), 2.4, jitter=0.02, hue=0.01, flow="upright", detail=0.9, relief=0.25, bristle=0.15
        ),
        Surface("gesso", 0.9, varnish=0.1, cracks=0.85, vignette=0.18),
        ("#d8a93a", "#f0cf76", "#b5482f", "#2d4f86", "#7f8f5a", "#e7b9a0", "#4a2a1c", "#f4e2b8"),
        pull=0.62,
        shadows="#2c1a10",
        lights_tint="#fff2cc",
        contrast=1.06,
        saturation=1.15,
        gamma=0.88,
        outline=0.5,
        approximate=True,
        words="The gilded ground is tooled and worn, with red clay shining through.",
    ),
    Painter(
        "FERREIRA-LOUÇÃ, Tomé",
        "Portuguese",
        (1771, 1812),
        "Ink and wash on silk",
        ("mountains", "botanical", "forest", "coast", "bridge", "moonlight"),
        ("fog", "dawn", "fog", "overcast"),
        Touch(
            (0.045, 0.02, 0.008),
            5.0,
            jitter=0.02,
            hue=0.002,
            flow="level",
            follow=0.7,
            detail=0.85,
            relief=0.04,
            bristle=0.12,
        ),
        Surface("silk", 0.85, varnish=0.28, vignette=0.22),
        ("#2b2723", "#5a5145", "#8f8571", "#c9bb9a", "#e4d8b8"),
        pull=0.92,
        shadows="#161413",
        lights_tint="#f2e6c6",
        contrast=1.42,
        saturation=0.2,
        gamma=0.74,
        outline=0.7,
        wash=True,
        words="It is painted in ink alone, from silver grey to black, on silk that has darkened to the colour of tea.",
    ),
    Painter(
        "ŽIVNÝ-DUBRAVA, Božena",
        "Bohemian",
        (1886, 1900),
        "Oil on canvas",
        ("coast", "meadow", "harbour", "forest", "flowers", "pond", "ships"),
        ("afternoon", "sunset", "morning", "dawn"),
        Touch(
            (0.022, 0.0145, 0.0105),
            1.0,
            "dot",
            jitter=0.06,
            hue=0.075,
            follow=0.4,
            detail=1.0,
            relief=0.5,
            bristle=0.05,
        ),
        Surface("canvas", 0.45, vignette=0.0),
        ("#2f5fb3", "#7e57c2", "#f48c3c", "#ffd24d", "#3fa66b", "#e0567a", "#fdf1d0", "#4fb3bf"),
        pull=0.42,
        shadows="#2b2858",
        lights_tint="#fffbe8",
        contrast=1.0,
        saturation=1.4,
        gamma=0.9,
        words="Thousands of separate dots of colour melt together only at a distance.",
    ),
    Painter(
        "ÅKERVIG-LUNDE, Søren",
        "Danish",
        (1888, 1900),
        "Oil on canvas",
        ("interior", "coast", "snow", "portrait", "botanical", "still_life"),
        ("overcast", "fog", "morning"),
        Touch(
            (0.034, 0.015, 0.0076),
            3.4,
            jitter=0.016,
            hue=0.008,
            flow="upright",
            follow=0.8,
            detail=0.9,
            relief=0.3,
            bristle=0.5,
        ),
        Surface("canvas", 0.75, vignette=0.2),
        ("#8a9096", "#b9bbb4", "#dcd8cb", "#5a6168", "#33393f", "#a89b86", "#6f7f86", "#c9b79a"),
        pull=0.66,
        shadows="#191c20",
        lights_tint="#f4f1e6",
        contrast=1.0,
        saturation=0.5,
        gamma=0.95,
        words="Silvery greys, soft edges and a great quiet fill the picture.",
    ),
    Painter(
        "D'ORSENAC, Hélène",
        "French",
        (1878, 1900),
        "Oil and gold leaf on canvas",
        ("abstract", "flowers", "portrait", "forest", "gold_city", "abstract", "pond"),
        ("afternoon", "sunset", "night"),
        Touch(
            (0.03, 0.02, 0.012),
            1.0,
            "tile",
            jitter=0.09,
            hue=0.03,
            flow="free",
            follow=0.9,
            detail=1.0,
            relief=1.1,
            bristle=0.1,
        ),
        Surface("gesso", 0.6, vignette=0.1),
        ("#c9982f", "#f0cf6a", "#7a4b16", "#17645f", "#2c9a8f", "#7b2d5b", "#d8574a", "#1c1b2e", "#f6ecd2"),
        pull=0.62,
        shadows="#140f1c",
        lights_tint="#fff3cf",
        contrast=1.15,
        saturation=1.25,
        words="The surface is built of small tesserae, many of them gold.",
    ),
    Painter(
        "BELLACQUARA, Niccolò",
        "Italian",
        (1741, 1779),
        "Oil on canvas",
        ("gold_city", "bridge", "ships", "desert", "interior", "portrait", "moonlight"),
        ("afternoon", "dawn", "sunset", "morning"),
        Touch(
            (0.034, 0.015, 0.0076), 3.8, jitter=0.024, hue=0.014, flow="level", detail=0.85, relief=0.45, bristle=0.45
        ),
        Surface("canvas", 0.6, varnish=0.22, cracks=0.25, vignette=0.2),
        ("#e8b96a", "#f3dca6", "#c9825a", "#7f93a6", "#5b7a78", "#8a5a3a", "#fbeccb", "#44546e"),
        pull=0.5,
        shadows="#2b1d18",
        lights_tint="#fff4d8",
        contrast=1.0,
        saturation=1.05,
        gamma=0.86,
        words="Everything is bathed in the warm, dusty light of the south.",
    ),
)
