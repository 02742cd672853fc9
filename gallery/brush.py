"""Brushwork: turns a drawn panel into paint.

Strokes follow the forms (the smoothed structure tensor of the brightness) where there are forms, and the painter's own
habit of the hand elsewhere. They are laid from broad to fine, and the fine ones only where the drawing has detail, after
Hertzmann, "Painterly Rendering with Curved Brush Strokes of Multiple Sizes" (SIGGRAPH 1998); each stroke ends where the
colour under it changes. The height of the paint is kept in a fourth channel, so that light can rake over it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from gallery import noise
from gallery.colour import luminance
from gallery.noise import Colours, Field


@dataclass(frozen=True, slots=True)
class Touch:
    """A painter's hand.

    Attributes:
        widths: of the strokes from broad to fine, as fractions of the short side.
        length: of a stroke, in widths.
        shape: `brush` (tapered, curved), `dot`, `knife` (straight-edged) or `tile` (mosaic).
        jitter: how much the strokes differ in brightness.
        hue: how much they differ in hue (broken colour).
        flow: `free`, `level`, `upright`, `slant` or `swirl`: where the hand goes when no form leads it.
        follow: how strictly forms lead the hand, 0…1.
        detail: how readily fine strokes are set, 0…1.
        relief: how strongly the paint stands out of the canvas.
        bristle: how strongly the hairs of the brush show.
    """

    widths: tuple[float, ...] = (0.035, 0.016, 0.007)
    length: float = 4.0
    shape: str = "brush"
    jitter: float = 0.03
    hue: float = 0.015
    flow: str = "free"
    follow: float = 0.8
    detail: float = 0.5
    relief: float = 0.5
    bristle: float = 0.5


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
    short = min(height, width)
    image = Image.fromarray((np.clip(drawing, 0, 1) * 255 + 0.5).astype(np.uint8))
    field = _directions(image, touch, rng)
    canvas = _soft(image, touch.widths[0] * short * 0.8).convert("RGBA")
    canvas.putalpha(96)
    canvas = canvas.resize((width * 2, height * 2), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(canvas)
    for layer, size in enumerate(touch.widths):
        _lay_strokes(draw, image, field, touch, layer, max(size * short, 2.2), rng)
    # Apart, because Pillow takes a fourth channel for transparency and would weigh the colours with it.
    painted = np.asarray(canvas.convert("RGB").reduce(2), np.float32) / 255
    thickness = np.asarray(canvas.getchannel("A").reduce(2), np.float32) / 255
    relief = thickness - noise.blur(thickness, touch.widths[0] * short)
    hairs = noise.resize(_bristles(field, rng), height, width)
    relief = relief + touch.bristle * 0.09 * hairs
    return painted, np.asarray(relief, np.float32)


def rake(colours: Colours, relief: Field, strength: float) -> Colours:
    """Light from the upper left over the relief of the paint."""
    slope = np.zeros_like(relief)
    slope[1:, 1:] = relief[1:, 1:] - relief[:-1, :-1]
    light = np.clip(slope * 1.6, -0.5, 0.5) * strength
    gain, shine = 1 + light, np.clip(light - 0.06, 0, 1) * 0.25
    lit = np.empty_like(colours)
    for channel in range(3):
        lit[..., channel] = colours[..., channel] * gain + shine
    return lit


def contours(drawing: Colours, radius: float, strength: float) -> Field:
    """Where a draughtsman would draw a line: 1 on dark sides of edges, by a difference of two blurs of the brightness."""
    bright = luminance(drawing)
    away = noise.blur(bright, radius * 2.2) - noise.blur(bright, radius)
    return noise.smoothstep(0.02, 0.02 + 0.1 / max(strength, 0.1), away)


def _directions(image: Image.Image, touch: Touch, rng: np.random.Generator) -> npt.NDArray[np.complex64]:
    """The direction of the hand at every fourth pixel, as unit complex numbers of twice the angle."""
    width, height = image.width // 4, image.height // 4
    grey = image.convert("L").reduce(4).crop((0, 0, width, height))
    small = noise.blur(np.asarray(grey, np.float32) / 255, 1.2)
    down, across = np.gradient(small)
    tensor = (across * across - down * down) + 2j * across * down
    radius = max(height, width) * 0.012 + 1.5
    energy = noise.blur(np.asarray(across * across + down * down, np.float32), radius)
    real = noise.blur(np.asarray(tensor.real, np.float32), radius)
    imaginary = noise.blur(np.asarray(tensor.imag, np.float32), radius)
    along = -(real + 1j * imaginary)  # twice the angle turned by 180°: along the edge, not across it
    sureness = np.abs(along) / (energy + 1e-5) * noise.smoothstep(2e-6, 2e-4, energy)
    y, x = np.mgrid[0:height, 0:width] / min(height, width)
    wander = noise.fractal(rng, height, width, min(height, width) * 0.35, octaves=2)
    angle: Field
    if touch.flow == "swirl":
        angle = np.asarray(0.9 * wander)
        for _ in range(4):
            cx, cy, size = rng.random() * x.max(), rng.random() * y.max() * 0.7, 0.15 + 0.2 * rng.random()
            away = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / size**2)
            angle = angle * (1 - away) + away * (np.arctan2(y - cy, x - cx) + np.pi / 2)
    else:
        base = {"level": 0.0, "upright": math.pi / 2, "slant": -0.9}.get(touch.flow)
        angle = 1.4 * wander if base is None else base + 0.22 * wander
    habit = np.exp(2j * angle)
    weight = np.clip(sureness * touch.follow, 0, 1)
    both = weight * along / (np.abs(along) + 1e-9) + (1 - weight) * habit
    return np.asarray(both / (np.abs(both) + 1e-9), np.complex64)


def _lay_strokes(
    draw: ImageDraw.ImageDraw,
    image: Image.Image,
    field: npt.NDArray[np.complex64],
    touch: Touch,
    layer: int,
    size: float,
    rng: np.random.Generator,
) -> None:
    """One layer of strokes `size` pixels wide onto a canvas of twice the drawing's size."""
    width, height = image.size
    source = np.asarray(_soft(image, size * 0.45))
    step = size * (0.98 if touch.shape == "tile" else 0.66 if touch.shape == "dot" else 0.9 if layer == 0 else 0.88)
    rows, columns = int(height / step) + 2, int(width / step) + 2
    gy, gx = np.mgrid[0:rows, 0:columns].reshape(2, -1).astype(np.float32)
    loose = 0.18 if touch.shape == "tile" else 0.9
    at_x = (gx + (gy % 2) * 0.5 + loose * (rng.random(gx.size) - 0.5)) * step
    at_y = (gy + loose * (rng.random(gy.size) - 0.5)) * step
    x, y = np.clip(at_x, 0, width - 1), np.clip(at_y, 0, height - 1)
    if layer:
        half = image.reduce(2)
        coarse = np.asarray(_soft(half, size * 1.3), np.int16)
        busy = noise.blur(_largest(np.abs(np.asarray(half, np.int16) - coarse)) / np.float32(255), size * 0.35)
        need = np.clip(busy[(y / 2).astype(np.intp), (x / 2).astype(np.intp)] * (4 + 22 * touch.detail) - 0.2, 0, 1)
        keep = rng.random(need.size) < need
        x, y = x[keep], y[keep]
    if not x.size:
        return
    order = rng.permutation(x.size)
    x, y = x[order], y[order]
    colour = source[y.astype(np.intp), x.astype(np.intp)] / np.float32(255)
    value = rng.normal(size=(x.size, 1)) * touch.jitter
    colour = colour * (1 + value) + rng.normal(size=colour.shape) * touch.hue + value * 0.25
    inks = np.empty((x.size, 4), np.uint8)
    inks[:, :3] = (np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8)
    inks[:, 3] = np.clip(96 + layer * 30 + rng.normal(size=x.size) * 34, 0, 255)
    if touch.shape == "dot":
        radius = size * (0.5 + 0.16 * rng.normal(size=x.size)).clip(0.25, 0.9)
        boxes = np.stack([x - radius, y - radius, x + radius, y + radius], axis=1) * 2
        _fill(draw.ellipse, boxes, inks)
        return
    path = _paths(source, field, touch, size, x, y, rng)
    outline = _outlines(path, touch.shape, size, rng) * 2
    _fill(draw.polygon, outline.reshape(x.size, -1), inks)


def _fill(shape: Callable[..., None], places: npt.NDArray[np.floating], inks: npt.NDArray[np.uint8]) -> None:
    for place, ink in zip(places.tolist(), map(tuple, inks.tolist()), strict=True):
        shape(place, fill=ink)


def _paths(
    source: npt.NDArray[np.uint8],
    field: npt.NDArray[np.complex64],
    touch: Touch,
    size: float,
    x: Field,
    y: Field,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Centre lines, shape (strokes, points, 2): both ways from (x, y), each ending where the colour changes."""
    height, width = source.shape[:2]
    straight = touch.shape in {"knife", "tile"}
    half = 1 if straight or touch.length * size < 22 else 2 if touch.length < 5 else 3
    reach = 1.0 if touch.shape == "tile" else touch.length
    stride = size * reach / (2 * half) * (0.75 + 0.5 * rng.random(x.size))
    if touch.shape == "tile":
        stride = np.full(x.size, size * 0.5)
    own = source[y.astype(np.intp), x.astype(np.intp)].astype(np.int16)
    start = np.angle(field[(y / 4).astype(np.intp).clip(0, field.shape[0] - 1), _column(field, x)]) / 2
    path = np.empty((x.size, 2 * half + 1, 2), np.float32)
    path[:, half, 0], path[:, half, 1] = x, y
    for way in (1, -1):
        px, py = x.astype(np.float64), y.astype(np.float64)
        going = np.exp(1j * start) * way
        alive = np.ones(x.size, bool)
        for k in range(1, half + 1):
            nx = px + going.real * stride
            ny = py + going.imag * stride
            ix, iy = nx.clip(0, width - 1).astype(np.intp), ny.clip(0, height - 1).astype(np.intp)
            if touch.shape != "tile":
                alive &= _largest(np.abs(source[iy, ix] - own)) < _EDGE
            reachable = alive if k > 1 else np.ones(x.size, bool)
            step = np.where(alive, 1.0, 0.35 if k == 1 else 0.04)
            px = np.where(reachable, px + going.real * stride * step, px + going.real * 0.3)
            py = np.where(reachable, py + going.imag * stride * step, py + going.imag * 0.3)
            path[:, half + way * k, 0], path[:, half + way * k, 1] = px, py
            if not straight:
                turn = np.angle(field[(iy // 4).clip(0, field.shape[0] - 1), _column(field, ix)]) / 2
                ahead = np.exp(1j * turn)
                ahead = np.where((ahead * going.conj()).real < 0, -ahead, ahead)
                going = ahead
    return path


_EDGE = 28
"""A change of colour, of 255, at which a stroke ends."""


def _largest(colours: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """The largest of the three channels (NumPy's own `max` is slow along an axis of three)."""
    return np.asarray(np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2]))


def _soft(image: Image.Image, radius: float) -> Image.Image:
    """A quick blur, by way of a smaller picture."""
    if radius < 0.8:
        return image
    small = max(2, round(image.width / radius)), max(2, round(image.height / radius))
    return image.resize(small, Image.Resampling.HAMMING).resize(image.size, Image.Resampling.BICUBIC)


def _column(field: npt.NDArray[np.complex64], x: npt.NDArray[np.generic]) -> npt.NDArray[np.intp]:
    return np.asarray((np.asarray(x, np.float64) / 4).astype(np.intp).clip(0, field.shape[1] - 1))


def _outlines(
    path: npt.NDArray[np.float32], shape: str, size: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Outlines of strokes, shape (strokes, 2 * points, 2)."""
    along = np.gradient(path, axis=1)
    along /= np.linalg.norm(along, axis=-1, keepdims=True) + 1e-6
    normal = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    points = path.shape[1]
    if shape == "tile":
        profile = np.full(points, 0.44)
    elif shape == "knife":
        profile = np.full(points, 0.62)
    else:
        profile = 0.52 * np.sin(np.linspace(0.5, math.pi - 0.35, points)) ** 0.6
    uneven = 0.8 + 0.4 * rng.random((path.shape[0], 1, 1)) if shape != "tile" else 1.0
    offset = normal * (profile[None, :, None] * size * uneven)
    return np.concatenate([path + offset, (path - offset)[:, ::-1]], axis=1).astype(np.float32)


def _bristles(field: npt.NDArray[np.complex64], rng: np.random.Generator) -> Field:
    """Fine grooves along the hand's direction: white noise smeared along the field (line integral convolution)."""
    height, width = field.shape[0] * 2, field.shape[1] * 2
    grains = rng.normal(size=(height, width)).astype(np.float32)
    angle = np.repeat(np.repeat(np.angle(field) / 2, 2, axis=0), 2, axis=1)
    across, down = np.cos(angle), np.sin(angle)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    total = np.zeros((height, width), np.float32)
    for k in (-5, -3, -1.5, 0, 1.5, 3, 5):
        ix = (x + across * (k * 1.1)).astype(np.intp).clip(0, width - 1)
        iy = (y + down * (k * 1.1)).astype(np.intp).clip(0, height - 1)
        total += grains[iy, ix]
    total /= total.std() + 1e-6
    return total
