"""The panel that a scene is drawn on before it is painted: masks, layers, light, and a pen with smooth edges."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageDraw

from gallery import noise
from gallery.noise import Colours, Field

Point = tuple[float, float]


class Panel:
    """A picture in the making.

    Places are fractions of the width and of the height, (0, 0) at the top left; lengths are fractions of the short side.

    Attributes:
        width: pixels.
        height: pixels.
        short: pixels of the short side.
        rng: this picture's own randomness.
        rgb: shape (height, width, 3), float32 in 0…1.
        x: shape (1, width), the fraction of the width at each column.
        y: shape (height, 1), the fraction of the height at each row.
    """

    def __init__(self, width: int, height: int, rng: np.random.Generator) -> None:
        self.width = width
        self.height = height
        self.short = min(width, height)
        self.rng = rng
        self.rgb: Colours = np.zeros((height, width, 3), np.float32)
        self.x: Field = ((np.arange(width, dtype=np.float32) + 0.5) / width)[None, :]
        self.y: Field = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height

    def dx(self, length: float) -> float:
        """A length (of the short side) as a fraction of the width."""
        return length * self.short / self.width

    def dy(self, length: float) -> float:
        """A length (of the short side) as a fraction of the height."""
        return length * self.short / self.height

    def noise(self, cell: float, *, octaves: int = 4, gain: float = 0.5, stretch: float = 1.0) -> Field:
        """Fractal noise over the panel; `cell` as a fraction of the short side."""
        return noise.fractal(
            self.rng, self.height, self.width, cell * self.short, octaves=octaves, gain=gain, stretch=stretch
        )

    def line(self, cell: float, *, octaves: int = 5, gain: float = 0.5) -> Field:
        """Noise along the width, shape (width,); `cell` as a fraction of the short side."""
        return noise.line(self.rng, self.width, cell * self.short, octaves=octaves, gain=gain)

    def lay(self, mask: Field, colour: Colours) -> None:
        """Cover the panel with `colour` (one colour, or a picture of the panel's size) where `mask` is 1."""
        top, bottom, left, right = _extent(mask)
        if bottom <= top:
            return
        part = np.broadcast_to(mask, (self.height, self.width))[top:bottom, left:right]
        here = self.rgb[top:bottom, left:right]
        if colour.ndim == 3:
            here += (colour[top:bottom, left:right] - here) * part[..., None]
            return
        for channel in range(3):
            here[..., channel] += (colour[channel] - here[..., channel]) * part

    def shade(self, mask: Field, tint: Colours) -> None:
        """Glaze: multiply by `tint` where `mask` is 1."""
        top, bottom, left, right = _extent(mask)
        if bottom <= top:
            return
        part = np.broadcast_to(mask, (self.height, self.width))[top:bottom, left:right]
        here = self.rgb[top:bottom, left:right]
        for channel in range(3):
            here[..., channel] *= 1 + (tint[channel] - 1) * part

    def screen(self, mask: Field, colour: Colours) -> None:
        """Add light of `colour` where `mask` is 1; never beyond white."""
        top, bottom, left, right = _extent(mask)
        if bottom <= top:
            return
        part = np.broadcast_to(mask, (self.height, self.width))[top:bottom, left:right]
        here = self.rgb[top:bottom, left:right]
        for channel in range(3):
            here[..., channel] += np.maximum(1 - here[..., channel], 0) * (colour[channel] * part)

    def distance(self, x: float, y: float, *, squash: float = 1.0) -> Field:
        """Distance of every pixel from a place, in short sides; `squash` > 1 makes the circles of it flat."""
        across = (self.x - x) * (self.width / self.short)
        down = (self.y - y) * (self.height / self.short) * squash
        return np.asarray(np.sqrt(across * across + down * down), dtype=np.float32)

    def glow(self, x: float, y: float, radius: float, colour: Colours, strength: float = 1.0) -> None:
        """Soft light around a place, falling off like a Gaussian of `radius`."""
        away = self.distance(x, y) / radius
        self.screen(np.exp(-away * away).astype(np.float32) * strength, colour)

    def disc(self, x: float, y: float, radius: float, *, squash: float = 1.0, soft: float = 1.5) -> Field:
        """Mask of a disc; `soft` is the width of its edge in pixels."""
        edge = (radius - self.distance(x, y, squash=squash)) * self.short / soft
        return np.asarray(np.clip(edge + 0.5, 0, 1), np.float32)

    def below(self, edge: Field | float, *, soft: float = 1.4) -> Field:
        """Mask of all that lies under a line: `edge` is a height, or one for each column (shape (width,))."""
        away = (self.y - np.asarray(edge, np.float32)) * self.height / soft
        return np.clip(np.broadcast_to(away, (self.height, self.width)) + 0.5, 0, 1).astype(np.float32)

    def polygon(self, points: Sequence[Point], *, soft: float = 0.0) -> Field:
        """Mask of a polygon with smooth edges; `soft` blurs it by that fraction of the short side."""
        image = Image.new("L", (self.width * 2, self.height * 2))
        ImageDraw.Draw(image).polygon([(x * self.width * 2, y * self.height * 2) for x, y in points], fill=255)
        mask = np.asarray(image.reduce(2), np.float32) / 255
        return noise.blur(mask, soft * self.short) if soft else mask

    @contextmanager
    def pen(self) -> Iterator[Pen]:
        """Draw many small things straight onto the panel, with smooth edges."""
        pixels = (np.clip(self.rgb, 0, 1) * 255 + 0.5).astype(np.uint8)
        image = Image.fromarray(pixels).resize((self.width * 2, self.height * 2), Image.Resampling.NEAREST)
        pen = Pen(image, self.short * 2)
        yield pen
        drawn = np.asarray(image.reduce(2), np.float32) / 255
        self.rgb = drawn.copy()


class Pen:
    """Draws at twice the panel's size; places and lengths as in `Panel`."""

    def __init__(self, image: Image.Image, short: int) -> None:
        self._draw = ImageDraw.Draw(image)
        self._width, self._height = image.size
        self._short = short

    def polygon(self, points: Sequence[Point], colour: Colours) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * self._width, y * self._height) for x, y in points], fill=_ink(colour))

    def dab(self, x: float, y: float, length: float, thickness: float, colour: Colours, angle: float = 0.0) -> None:
        """A leaf-shaped touch of the brush around (x, y), `angle` in radians from the horizontal."""
        across, down = math.cos(angle), math.sin(angle)
        cx, cy = x * self._width, y * self._height
        points = []
        for along, aside in _LEAF:
            u, v = along * length * self._short * 0.5, aside * thickness * self._short * 0.5
            points.append((cx + u * across - v * down, cy + u * down + v * across))
        self._draw.polygon(points, fill=_ink(colour))

    def disc(self, x: float, y: float, radius: float, colour: Colours, flat: float = 1.0) -> None:
        """A disc, or with `flat` below 1 a lying ellipse."""
        cx, cy, r = x * self._width, y * self._height, radius * self._short
        if r >= 0.5:
            self._draw.ellipse((cx - r, cy - r * flat, cx + r, cy + r * flat), fill=_ink(colour))

    def stroke(self, points: Sequence[Point], thick: float, colour: Colours, *, end: float | None = None) -> None:
        """A line through `points`, `thick` at its start and `end` (default: the same) at its end."""
        last = thick if end is None else end
        path = [(x * self._width, y * self._height) for x, y in points]
        left: list[Point] = []
        right: list[Point] = []
        for i, (x, y) in enumerate(path):
            (x0, y0), (x1, y1) = path[max(i - 1, 0)], path[min(i + 1, len(path) - 1)]
            size = math.hypot(x1 - x0, y1 - y0) or 1.0
            half = max((thick + (last - thick) * i / max(len(path) - 1, 1)) * self._short * 0.5, 0.6)
            nx, ny = -(y1 - y0) / size * half, (x1 - x0) / size * half
            left.append((x + nx, y + ny))
            right.append((x - nx, y - ny))
        self._draw.polygon(left + right[::-1], fill=_ink(colour))


_LEAF = tuple(
    (math.cos(a), math.sin(a) * (0.75 + 0.25 * math.cos(2 * a + math.pi))) for a in np.linspace(0, 2 * math.pi, 11)[:-1]
)


def _ink(colour: Colours) -> tuple[int, int, int]:
    red, green, blue = (int(min(max(float(c), 0.0), 1.0) * 255 + 0.5) for c in colour)
    return red, green, blue


def _extent(mask: Field) -> tuple[int, int, int, int]:
    """Rows and columns outside which a mask is 0, as (top, bottom, left, right)."""
    rows = np.flatnonzero(mask.max(axis=1) > 0.002)
    if not rows.size:
        return 0, 0, 0, 0
    columns = np.flatnonzero(mask.max(axis=0) > 0.002)
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
