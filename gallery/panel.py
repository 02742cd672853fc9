"""The panel that a scene is drawn on before it is painted: chance, masks, layers, light, and a pen with smooth edges."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw

from gallery import noise
from gallery.colour import rgb
from gallery.noise import Colours, Field

Option = TypeVar("Option")


class Dice:
    """Random choices as plain Python values, all from one generator.

    Each draw changes all that come after it: a scene that draws more, fewer, or in another order gives other pictures.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def between(self, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        return low + (high - low) * float(self.rng.random())

    def normal(self, spread: float = 1.0) -> float:
        """A number around 0."""
        return spread * float(self.rng.normal())

    def chance(self, part: float) -> bool:
        """Whether something happens that happens in `part` of all cases."""
        return bool(self.rng.random() < part)

    def count(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))

    def pick(self, *options: Option) -> Option:
        """One of the options."""
        return options[int(self.rng.integers(len(options)))]

    def some(self, count: int, options: list[str]) -> list[str]:
        """So many different ones of the options."""
        return [str(option) for option in self.rng.choice(options, size=count, replace=False)]

    def colour(self, codes: str) -> Colours:
        """One of the colours `#rrggbb #rrggbb …`."""
        return rgb(self.pick(*codes.split()))

    def vary(self, colour: Colours, amount: float) -> Colours:
        """`colour` a little lighter or darker and a little off in hue."""
        light, *hue = self.rng.normal(size=4)
        return np.asarray(np.clip(colour * (1 + amount * light) + amount * 0.22 * np.array(hue), 0, 1), np.float32)


Point = tuple[float, float]
Points = str | Sequence[Point]
"""Points, or the same as SVG writes them: `x,y x,y …`."""


class Panel:
    """A picture in the making.

    Places are fractions of the width and of the height, (0, 0) at the top left; lengths are fractions of the short side.

    Attributes:
        width: pixels.
        height: pixels.
        short: pixels of the short side.
        dice: this picture's own randomness.
        rgb: shape (height, width, 3), float32 in 0…1.
        x: shape (1, width), the fraction of the width at each column.
        y: shape (height, 1), the fraction of the height at each row.
    """

    def __init__(self, width: int, height: int, rng: np.random.Generator) -> None:
        self.width, self.height, self.short = width, height, min(width, height)
        self.dice = Dice(rng)
        self.rgb: Colours = np.zeros((height, width, 3), np.float32)
        self.x: Field = ((np.arange(width, dtype=np.float32) + 0.5) / width)[None, :]
        self.y: Field = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]

    def dx(self, length: float) -> float:
        """A length (of the short side) as a fraction of the width."""
        return length * self.short / self.width

    def dy(self, length: float) -> float:
        """A length (of the short side) as a fraction of the height."""
        return length * self.short / self.height

    def noise(self, cell: float, octaves: int = 4, *, gain: float = 0.5, stretch: float = 1.0) -> Field:
        """Fractal noise over the panel; `cell` as a fraction of the short side."""
        cell *= self.short
        return noise.fractal(
            self.dice.rng, (self.height, self.width), cell, octaves=octaves, gain=gain, stretch=stretch
        )

    def line(self, cell: float, octaves: int = 5, *, gain: float = 0.5) -> Field:
        """Noise along the width, shape (width,); `cell` as a fraction of the short side."""
        return noise.line(self.dice.rng, self.width, cell * self.short, octaves=octaves, gain=gain)

    def height_at(self, edge: Field, x: float) -> float:
        """How high a line (a height for each column) stands at the place `x`."""
        return float(edge[min(max(int(x * self.width), 0), self.width - 1)])

    def cover(self, colours: Colours) -> None:
        """Cover the whole panel with a picture of its size."""
        self.rgb[:] = np.clip(colours, 0, 1)

    def lay(self, mask: Field, colour: Colours) -> None:
        """Cover the panel with `colour` (one colour, or a picture that fits its size) where `mask` is 1."""
        part, rows, columns = self._extent(mask)
        here = self.rgb[rows, columns]
        if colour.ndim == 3:
            picture = np.broadcast_to(colour, self.rgb.shape)[rows, columns]
            here += (np.clip(picture, 0, 1) - here) * part[..., None]
            return
        for channel in range(3):
            here[..., channel] += (colour[channel] - here[..., channel]) * part

    def shade(self, mask: Field, tint: Colours) -> None:
        """Glaze: multiply by `tint` where `mask` is 1."""
        part, rows, columns = self._extent(mask)
        for channel in range(3):
            self.rgb[rows, columns, channel] *= 1 + (tint[channel] - 1) * part

    def screen(self, mask: Field, colour: Colours) -> None:
        """Light: brighten towards `colour` where `mask` is 1."""
        part, rows, columns = self._extent(mask)
        for channel in range(3):
            here = self.rgb[rows, columns, channel]
            here += np.maximum(1 - here, 0) * (colour[channel] * part)

    def _extent(self, mask: Field) -> tuple[Field, slice, slice]:
        """A mask cut to the rows and columns outside which it is 0, and those; most masks cover a small part."""
        whole = np.broadcast_to(np.asarray(mask, np.float32), (self.height, self.width))
        rows, columns = np.flatnonzero(whole.max(axis=1) > 0.002), np.flatnonzero(whole.max(axis=0) > 0.002)
        if not rows.size:
            return whole[:0, :0], slice(0), slice(0)
        down, across = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        return whole[down, across], down, across

    def distance(self, x: float, y: float, *, squash: float = 1.0) -> Field:
        """Distance of every pixel from a place, in short sides; `squash` > 1 makes the circles of it flat."""
        across = (self.x - x) * (self.width / self.short)
        down = (self.y - y) * (self.height / self.short) * squash
        return np.asarray(np.sqrt(across * across + down * down), dtype=np.float32)

    def glow(self, x: float, y: float, radius: float, colour: Colours, strength: float = 1.0) -> None:
        """Soft light around a place, falling off like a Gaussian of `radius`."""
        self.screen(noise.bell(self.distance(x, y), radius) * strength, colour)

    def disc(self, x: float, y: float, radius: float, *, squash: float = 1.0, soft: float = 1.5) -> Field:
        """Mask of a disc; `soft` is the width of its edge in pixels."""
        edge = (radius - self.distance(x, y, squash=squash)) * self.short / soft
        return np.asarray(np.clip(edge + 0.5, 0, 1), np.float32)

    def below(self, edge: Field | float, *, soft: float = 1.4) -> Field:
        """Mask of all that is under a line: `edge` is a height, or one for each column (shape (width,))."""
        away = (self.y - np.asarray(edge, np.float32)) * self.height / soft
        return np.clip(np.broadcast_to(away, (self.height, self.width)) + 0.5, 0, 1).astype(np.float32)

    def polygon(self, points: Points, *, soft: float = 0.0) -> Field:
        """Mask of a polygon with smooth edges; `soft` blurs it by that fraction of the short side."""
        image = Image.new("L", (self.width * 2, self.height * 2))
        corners = [(x * image.width, y * image.height) for x, y in _points(points)]
        ImageDraw.Draw(image).polygon(corners, fill=255)
        return noise.blur(np.asarray(image.reduce(2), np.float32) / 255, soft * self.short)

    @contextmanager
    def pen(self) -> Iterator[Pen]:
        """Draw many small things straight onto the panel, with smooth edges."""
        # To the nearest and not blended: where nothing is drawn, `reduce` gives each pixel back.
        image = noise.as_image(self.rgb).resize((self.width * 2, self.height * 2), Image.Resampling.NEAREST)
        yield Pen(ImageDraw.Draw(image), self.dice, (0, 0), image.size, self.short * 2)
        self.rgb = np.asarray(image.reduce(2), np.float32) / 255


class Pen:
    """Draws at twice the panel's size; places and lengths as in `Panel`, or those of a frame of its own (see `at`)."""

    def __init__(self, draw: ImageDraw.ImageDraw, dice: Dice, origin: Point, scale: Point, unit: float) -> None:
        self.dice = dice
        self._draw, self._origin, self._scale, self._unit = draw, origin, scale, unit

    def at(self, x: float, y: float, size: float = 1.0, *, flip: bool = False) -> Pen:
        """A pen whose origin is (x, y) and whose unit is `size`, to the right (with `flip`: to the left) and upwards."""
        unit = size * self._unit
        return Pen(self._draw, self.dice, self._pixel(x, y), (-unit if flip else unit, -unit), unit)

    def _pixel(self, x: float, y: float) -> Point:
        return self._origin[0] + x * self._scale[0], self._origin[1] + y * self._scale[1]

    def fill(self, points: Points, colour: Colours) -> None:
        """A filled polygon."""
        self._draw.polygon([self._pixel(x, y) for x, y in _points(points)], fill=_ink(colour))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colours) -> None:
        """A filled rectangle."""
        self.fill([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def dab(self, x: float, y: float, length: float, thickness: float, colour: Colours, angle: float = 0.0) -> None:
        """A leaf-shaped touch of the brush around (x, y), `angle` in radians from the horizontal."""
        (cx, cy), across, down = self._pixel(x, y), math.cos(angle), math.sin(angle)
        if self._scale[0] < 0:
            across = -across
        if self._scale[1] < 0:
            down = -down
        along, aside = length * self._unit * 0.5, thickness * self._unit * 0.5
        points = [
            (cx + u * along * across - v * aside * down, cy + u * along * down + v * aside * across) for u, v in _LEAF
        ]
        self._draw.polygon(points, fill=_ink(colour))

    def disc(self, x: float, y: float, radius: float, colour: Colours, flat: float = 1.0) -> None:
        """A disc, or with `flat` below 1 a lying ellipse."""
        (cx, cy), r = self._pixel(x, y), radius * self._unit
        if r >= 0.5:
            self._draw.ellipse((cx - r, cy - r * flat, cx + r, cy + r * flat), fill=_ink(colour))

    def stroke(self, points: Points, thick: float, colour: Colours, end: float | None = None) -> None:
        """A line through `points`, `thick` at its start and `end` (default: the same) at its end."""
        path = [self._pixel(x, y) for x, y in _points(points)]
        last = thick if end is None else end
        left, right = [], []
        for i, (x, y) in enumerate(path):
            (x0, y0), (x1, y1) = path[max(i - 1, 0)], path[min(i + 1, len(path) - 1)]
            half = max((thick + (last - thick) * i / max(len(path) - 1, 1)) * self._unit * 0.5, 0.6)
            half /= math.hypot(x1 - x0, y1 - y0) or 1.0
            left.append((x - (y1 - y0) * half, y + (x1 - x0) * half))
            right.append((x + (y1 - y0) * half, y - (x1 - x0) * half))
        self._draw.polygon(left + right[::-1], fill=_ink(colour))


_LEAF = [
    (math.cos(a), math.sin(a) * (0.75 + 0.25 * math.cos(2 * a + math.pi))) for a in np.linspace(0, 2 * math.pi, 11)[:-1]
]


@functools.cache
def _parsed(points: str) -> list[Point]:
    pairs = [pair.split(",") for pair in points.split()]
    return [(float(x), float(y)) for x, y in pairs]


def _points(points: Points) -> Sequence[Point]:
    return _parsed(points) if isinstance(points, str) else points


def _ink(colour: Colours) -> tuple[int, int, int]:
    red, green, blue = (int(min(max(c, 0.0), 1.0) * 255 + 0.5) for c in colour.tolist())
    return red, green, blue
