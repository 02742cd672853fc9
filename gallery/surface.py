"""What happens after the last stroke: paper and canvas, varnish, cracks, and the darkening of the edges."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from gallery import noise
from gallery.colour import luminance, rgb
from gallery.noise import Colours, Field


@dataclass(frozen=True, slots=True)
class Surface:
    """What a picture is painted on, and what time has done to it.

    Attributes:
        kind: `canvas`, `panel`, `paper`, `silk` or `gesso`.
        grain: how much of the ground shows, 0…1.
        varnish: how brown the varnish has become, 0…1.
        cracks: how much the paint has cracked, 0…1.
        vignette: how dark the edges are, 0…1.
        margin: width of the bare margin as a fraction of the short side (paper only).
    """

    kind: str
    grain: float
    varnish: float = 0.0
    cracks: float = 0.0
    vignette: float = 0.0
    margin: float = 0.0


PAPER = rgb("#f4eee0")

_TILE = 512
"""Side in pixels of the piece of ground that is prepared once and then repeated."""


def age(colours: Colours, surface: Surface, rng: np.random.Generator) -> Colours:
    """`colours` (height, width, 3) as they look on their ground today."""
    height, width = colours.shape[:2]
    light = 1 + _spread(_ground(surface.kind), height, width, rng) * surface.grain
    if surface.cracks:
        here = noise.smoothstep(-0.2, 1.6, noise.fractal(rng, (height, width), 140, octaves=3))
        light *= 1 - _spread(_cracks(), height, width, rng) * here * (surface.cracks * 0.24)
    if surface.vignette:
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        away = np.asarray(x * x + y * y, np.float32)
        light *= 1 - surface.vignette * 0.55 * np.clip(away ** np.float32(0.75) - 0.35, 0, 2)
    out = colours * light[..., None]
    if surface.varnish:
        stain = 1 + 0.12 * noise.fractal(rng, (height, width), min(height, width) * 0.6, octaves=3)
        part = surface.varnish * 0.85 * np.clip(stain, 0.4, 1.6)
        for channel, clear in enumerate(rgb("#f2c77a")):
            out[..., channel] *= 1 - part * (1 - clear)
    if surface.margin:
        out = _margin(out, surface.margin, rng)
    return np.clip(out, 0, 1)


def wash(drawing: Colours, rng: np.random.Generator) -> Colours:
    """The drawing in transparent washes on white paper: pools, hard edges where a wash dried, and granulation."""
    height, width = drawing.shape[:2]
    short, levels = min(height, width), 6
    soft = noise.blur(drawing, short * 0.004)
    bright = np.clip(luminance(soft), 0.02, 1)
    level = bright * levels + 0.1 * noise.fractal(rng, (height, width), short * 0.09)
    part = level - np.floor(level)
    stepped = (np.floor(level) + noise.smoothstep(0.55, 0.95, part)) / levels
    body = soft * (0.62 + 0.38 * np.clip(stepped, 0.03, 1) / bright)[..., None]
    dried = noise.smoothstep(0.62, 0.8, part) * noise.smoothstep(0.98, 0.84, part)
    grain = noise.fractal(rng, (height, width), short * 0.016, octaves=2)
    bloom = noise.fractal(rng, (height, width), short * 0.3)
    density = 0.85 * (1 + 0.035 * grain + 0.1 * bloom) + 0.13 * dried
    stain = 1 - (1 - body) * np.clip(density, 0, 1.15)[..., None]
    return np.asarray(np.clip(stain * (0.2 + 0.8 * PAPER), 0, 1))


def _spread(tile: Field, height: int, width: int, rng: np.random.Generator) -> Field:
    """A tile repeated from a random place on, every second time mirrored, so that no seam shows."""
    rows, columns = (
        np.abs((np.arange(length) + start) % (2 * _TILE) - _TILE + 0.5).astype(np.intp)
        for length, start in zip((height, width), rng.integers(0, 2 * _TILE, 2).tolist(), strict=True)
    )
    return np.asarray(tile[rows][:, columns])


@functools.cache
def _ground(kind: str) -> Field:
    """The relief of the ground as a change of brightness, around 0."""
    rng = np.random.default_rng(len(kind))  # not the picture's, since one tile serves all pictures on this ground
    fine = rng.standard_normal((_TILE, _TILE), np.float32)
    if kind in {"canvas", "silk"}:
        y, x = (axis * (2 * np.pi * (164 if kind == "canvas" else 222) / _TILE) for axis in np.ogrid[0:_TILE, 0:_TILE])
        slack = 0.4 * noise.fractal(rng, (_TILE, _TILE), 60, octaves=2)
        woven = np.sin(x + slack) * np.cos(y / 2) + np.sin(y - slack) * np.cos(x / 2)
        return np.asarray(woven * 0.04 + fine * 0.012, np.float32)
    cell, octaves, stretch, coarse, dust = {
        "paper": (4, 2, 1, 0.022, 0.008),
        "gesso": (14, 3, 1, 0.02, 0.01),
        "panel": (3, 1, 26, 0.018, 0.009),
    }[kind]
    return noise.fractal(rng, (_TILE, _TILE), cell, octaves=octaves, stretch=stretch) * coarse + fine * dust


@functools.cache
def _cracks() -> Field:
    """A net of lines: the borders between the cells that are nearest to scattered points."""
    rng = np.random.default_rng(11)
    cell = 11.0
    y, x = np.mgrid[0:_TILE, 0:_TILE].astype(np.float32)
    bend = noise.fractal(rng, (_TILE, _TILE), 24, octaves=3) * 2.2
    x, y = (x + bend) / cell, (y + bend[::-1, ::-1]) / cell
    cells = int(_TILE / cell) + 4
    jitter = rng.random((cells, cells, 2), np.float32)
    first = second = np.full(x.shape, 9.0, np.float32)
    for k in range(9):
        cy, cx = (y.astype(np.intp) + k // 3 - 1).clip(0, cells - 1), (x.astype(np.intp) + k % 3 - 1).clip(0, cells - 1)
        away = np.hypot(x - cx - jitter[cy, cx, 0], y - cy - jitter[cy, cx, 1])
        second = np.minimum(second, np.maximum(first, away))
        first = np.minimum(first, away)
    return noise.smoothstep(0.12, 0.02, second - first)


def _margin(colours: Colours, margin: float, rng: np.random.Generator) -> Colours:
    height, width = colours.shape[:2]
    short = min(height, width)
    y, x = np.ogrid[0:height, 0:width]
    edge = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y)) / short
    ragged = edge + 0.0016 * noise.fractal(rng, (height, width), short * 0.09)
    inside = noise.smoothstep(margin - 0.004, margin + 0.003, ragged)
    rim = noise.smoothstep(margin + 0.014, margin + 0.003, ragged) * inside * 0.1
    sheet = PAPER * (1 + 0.012 * noise.fractal(rng, (height, width), 5, octaves=2))[..., None]
    return np.asarray(sheet * (1 - inside[..., None]) + colours * (inside * (1 - rim))[..., None])
