"""Brushwork: turns a drawn panel into paint.

Strokes follow the forms (the smoothed structure tensor of the brightness) where there are forms, and the painter's own
habit of the hand elsewhere. They are laid from broad to fine, and the fine ones only where the drawing has detail, after
Hertzmann, "Painterly Rendering with Curved Brush Strokes of Multiple Sizes" (SIGGRAPH 1998); each stroke ends where the
colour under it changes. The height of the paint is kept in a fourth channel, so that light can rake over it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from gallery import noise
from gallery.colour import luminance
from gallery.noise import Colours, Field

Directions = npt.NDArray[np.complexfloating[Any, Any]]
"""The hand's direction at every fourth pixel, as unit complex numbers of twice the angle (a stroke has no head)."""


@dataclass(frozen=True, slots=True)
class Touch:
    """A painter's hand.

    Attributes:
        widths: of the strokes from broad to fine, as fractions of the short side.
        length: of a stroke, in widths.
        shape: `brush` (tapered, curved), `dot`, `knife` (straight-edged) or `tile` (mosaic).
        flow: `free`, `level`, `upright`, `slant` or `swirl`: where the hand goes when no form leads it.
        jitter: how much the strokes differ in brightness.
        hue: how much they differ in hue (broken colour).
        follow: how strictly forms lead the hand, 0…1.
        detail: how readily fine strokes are set, 0…1.
        relief: how strongly the paint stands out of the canvas.
        bristle: how strongly the hairs of the brush show.
    """

    widths: list[float]
    length: float
    shape: str
    flow: str
    jitter: float
    hue: float
    follow: float
    detail: float
    relief: float
    bristle: float


_HABITS = {
    "free": (0.0, 1.4),
    "level": (0.0, 0.22),
    "upright": (math.pi / 2, 0.22),
    "slant": (-0.9, 0.22),
    "swirl": (0.0, 0.9),
}
"""By `flow`: the angle of the hand in radians, and how far it wanders from that."""

_EDGE = 28
"""A change of colour, of 255, at which a stroke ends."""

_FINEST = 2.8
"""The finest stroke in pixels: finer ones take most of the time and show nothing."""


def paint(drawing: Colours, touch: Touch, rng: np.random.Generator) -> tuple[Colours, Field]:
    """The drawing as paint, and the height of the paint.

    Args:
        drawing: shape (height, width, 3) in 0…1.
        touch: the painter's hand.
        rng: the picture's randomness.

    Returns:
        The colours, shape (height, width, 3), and the relief, shape (height, width), of mean 0.
    """
    height, width = drawing.shape[:2]
    broad = touch.widths[0] * min(height, width)
    image = noise.as_image(drawing)
    field = _directions(image, touch, rng)
    canvas = noise.soft(image, broad * 0.8).convert("RGBA")
    canvas.putalpha(96)  # the height of the paint, which the fourth channel holds
    canvas = canvas.resize((width * 2, height * 2), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(canvas)
    for layer, size in enumerate(touch.widths):
        _lay_strokes(draw, image, field, touch, layer, max(size * min(height, width), _FINEST), rng)
    # Apart, because Pillow takes a fourth channel for transparency and would weigh the colours with it.
    painted = np.asarray(canvas.convert("RGB").reduce(2), np.float32) / 255
    thickness = np.asarray(canvas.getchannel("A").reduce(2), np.float32) / 255
    hairs = noise.resize(_bristles(field, rng), height, width)
    return painted, thickness - noise.blur(thickness, broad) + np.float32(touch.bristle * 0.09) * hairs


def rake(colours: Colours, relief: Field, strength: float) -> Colours:
    """Light from the upper left over the relief of the paint."""
    slope = np.zeros_like(relief)
    slope[1:, 1:] = relief[1:, 1:] - relief[:-1, :-1]
    light = np.clip(slope * 1.6, -0.5, 0.5) * strength
    return colours * (1 + light)[..., None] + (np.clip(light - 0.06, 0, 1) * 0.25)[..., None]


def contours(drawing: Colours, radius: float, strength: float) -> Field:
    """Where a draughtsman would draw a line: 1 on dark sides of edges, by a difference of two blurs of the brightness."""
    bright = luminance(drawing)
    away = noise.blur(bright, radius * 2.2) - noise.blur(bright, radius)
    return noise.smoothstep(0.02, 0.02 + 0.1 / max(strength, 0.1), away)


def _directions(image: Image.Image, touch: Touch, rng: np.random.Generator) -> Directions:
    width, height = image.width // 4, image.height // 4
    grey = image.convert("L").reduce(4).crop((0, 0, width, height))
    down, across = np.gradient(noise.blur(np.asarray(grey, np.float32) / 255, 1.2))
    radius = max(height, width) * 0.012 + 1.5
    energy = noise.blur(across * across + down * down, radius)
    # Twice the angle turned by 180°: along the edge, not across it.
    along = noise.blur(down * down - across * across, radius) - 2j * noise.blur(across * down, radius)
    sureness = np.abs(along) / (energy + 1e-5) * noise.smoothstep(2e-6, 2e-4, energy)
    wander = noise.fractal(rng, (height, width), min(height, width) * 0.35, octaves=2)
    y, x = np.mgrid[0:height, 0:width] / min(height, width)
    base, loose = _HABITS[touch.flow]
    angle = base + loose * wander
    for _ in range(4 if touch.flow == "swirl" else 0):
        cx, cy, size = rng.random() * x.max(), rng.random() * y.max() * 0.7, 0.15 + 0.2 * rng.random()
        away = noise.bell(np.hypot(x - cx, y - cy), size)
        angle = angle * (1 - away) + away * (np.arctan2(y - cy, x - cx) + np.pi / 2)
    weight = np.clip(sureness * touch.follow, 0, 1)
    both = weight * along / (np.abs(along) + 1e-9) + (1 - weight) * np.exp(2j * angle)
    return np.asarray(both / (np.abs(both) + 1e-9))


def _lay_strokes(
    draw: ImageDraw.ImageDraw,
    image: Image.Image,
    field: Directions,
    touch: Touch,
    layer: int,
    size: float,
    rng: np.random.Generator,
) -> None:
    """One layer of strokes `size` pixels wide onto a canvas of twice the drawing's size."""
    width, height = image.size
    step = size * {"tile": 0.98, "dot": 0.66}.get(touch.shape, 0.89)
    gy, gx = np.mgrid[0 : int(height / step) + 2, 0 : int(width / step) + 2].reshape(2, -1).astype(np.float32)
    loose = 0.18 if touch.shape == "tile" else 0.9
    x = np.clip((gx + (gy % 2) * 0.5 + loose * (rng.random(gx.size) - 0.5)) * step, 0, width - 1)
    y = np.clip((gy + loose * (rng.random(gy.size) - 0.5)) * step, 0, height - 1)
    order = rng.permutation(x.size)
    if layer:  # the first one covers everything, the finer ones only what is busy
        half = image.reduce(2)
        change = np.asarray(half, np.int16) - np.asarray(noise.soft(half, size * 1.3), np.int16)
        busy = noise.blur(_largest(np.abs(change)) / np.float32(255), size * 0.35)
        need = np.clip(_look_up(busy, x / 2, y / 2) * (4 + 22 * touch.detail) - 0.2, 0, 1)
        order = order[rng.random(x.size) < need[order]]
    x, y = x[order], y[order]
    source = np.asarray(noise.soft(image, size * 0.45))
    value = rng.normal(size=(x.size, 1)) * touch.jitter
    colour = (
        _look_up(source, x, y) / np.float32(255) * (1 + value) + rng.normal(size=(x.size, 3)) * touch.hue + value * 0.25
    )
    inks = np.empty((x.size, 4), np.uint8)
    inks[:, :3] = np.clip(colour, 0, 1) * 255 + 0.5
    inks[:, 3] = np.clip(96 + layer * 30 + rng.normal(size=x.size) * 34, 0, 255)
    if touch.shape == "dot":
        radius = size * (0.5 + 0.16 * rng.normal(size=x.size)).clip(0.25, 0.9)
        outline, shape = np.stack([x - radius, y - radius, x + radius, y + radius], axis=1), draw.ellipse
    else:
        path = _paths(source, field, touch, size, x, y, rng)
        outline, shape = _outlines(path, touch.shape, size, rng), draw.polygon
    # Pillow reads coordinates fastest from a buffer of 32-bit floats, and colours from packed integers.
    places: Any = np.ascontiguousarray(outline.reshape(x.size, -1) * 2, np.float32)
    for place, ink in zip(places, inks.view("<u4")[:, 0].tolist(), strict=True):
        shape(place, fill=ink)


def _paths(
    source: npt.NDArray[np.uint8],
    field: Directions,
    touch: Touch,
    size: float,
    x: Field,
    y: Field,
    rng: np.random.Generator,
) -> Field:
    """Centre lines, shape (strokes, points, 2): both ways from (x, y), each ending where the colour changes."""
    tile, straight = touch.shape == "tile", touch.shape in {"knife", "tile"}
    half = 1 if straight or touch.length * size < 22 else 2 if touch.length < 5 else 3
    uneven = 0.75 + 0.5 * rng.random(x.size)
    stride = np.full(x.size, size * 0.5) if tile else size * touch.length / (2 * half) * uneven
    own = _look_up(source, x, y).astype(np.int16)
    path = np.empty((x.size, 2 * half + 1, 2), np.float32)
    path[:, half, 0], path[:, half, 1] = x, y
    for way in (1, -1):
        at, going = x + 1j * y, np.sqrt(_look_up(field, x / 4, y / 4)) * way
        alive = np.ones(x.size, bool)
        for k in range(1, half + 1):
            ahead = at + going * stride
            if not tile:
                before = alive
                alive = before & (_largest(np.abs(_look_up(source, ahead.real, ahead.imag) - own)) < _EDGE)
                # A stroke that has to end still reaches a little way, so that its outline stays open.
                ahead = np.where(
                    alive, ahead, at + going * (stride * 0.35 if k == 1 else np.where(before, stride * 0.04, 0.3))
                )
            at = ahead
            path[:, half + way * k, 0], path[:, half + way * k, 1] = at.real, at.imag
            if not straight:
                turned = np.sqrt(_look_up(field, at.real / 4, at.imag / 4))
                going = np.where((turned * going.conj()).real < 0, -turned, turned)
    return path


def _outlines(path: Field, shape: str, size: float, rng: np.random.Generator) -> Field:
    """Outlines of strokes, shape (strokes, 2 * points, 2)."""
    along = np.gradient(path, axis=1)
    along /= np.linalg.norm(along, axis=-1, keepdims=True) + 1e-6
    points = path.shape[1]
    tapered = 0.52 * np.sin(np.linspace(0.5, math.pi - 0.35, points)) ** 0.6
    profile = {"tile": np.full(points, 0.44), "knife": np.full(points, 0.62)}.get(shape, tapered)
    uneven = 0.8 + 0.4 * rng.random((path.shape[0], 1, 1)) if shape != "tile" else 1.0
    offset = np.stack([-along[..., 1], along[..., 0]], axis=-1) * (profile[None, :, None] * size * uneven)
    return np.concatenate([path + offset, (path - offset)[:, ::-1]], axis=1)


def _bristles(field: Directions, rng: np.random.Generator) -> Field:
    """Fine grooves along the hand's direction: white noise smeared along the field (line integral convolution)."""
    height, width = field.shape[0] * 2, field.shape[1] * 2
    grains = rng.standard_normal((height, width), np.float32)
    along = np.sqrt(field).repeat(2, axis=0).repeat(2, axis=1).astype(np.complex64)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    total = sum(_look_up(grains, x + along.real * k, y + along.imag * k) for k in (-5.5, -3.3, -1.6, 0, 1.6, 3.3, 5.5))
    return np.asarray(total / (np.std(total) + 1e-6), np.float32)


def _largest(colours: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """The largest of the three channels (NumPy's own `max` is slow along an axis of three)."""
    return np.asarray(np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2]))


def _look_up(table: npt.NDArray[Any], x: Field, y: Field) -> npt.NDArray[Any]:
    """The entries of `table` at places in pixels; outside the table, those at its edge."""
    rows, columns = y.astype(np.intp), x.astype(np.intp)
    return np.asarray(table[rows.clip(0, table.shape[0] - 1), columns.clip(0, table.shape[1] - 1)])
