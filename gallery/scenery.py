"""What landscapes are made of: skies, ridges, land and water."""

from __future__ import annotations

import numpy as np

from gallery import noise
from gallery.colour import WHITE, mix, ramp, rgb
from gallery.light import Light
from gallery.noise import Colours, Field, bell, smoothstep
from gallery.panel import Panel


def sky(panel: Panel, light: Light, horizon: float) -> float:
    """Paint the sky down to `horizon` with its sun or moon and clouds; returns where the sun stands."""
    x, y = panel.dice.between(0.2, 0.8), horizon * (1 - max(light.height, 0.0) * 0.8) - 0.01
    at = panel.y / max(horizon, 0.05) + 0.03 * panel.noise(0.5, 2, stretch=4)
    stops = [(0.0, light.zenith), (0.55, light.middle), (0.97, light.horizon), (1.2, light.haze)]
    panel.cover(ramp(stops, at))
    if light.height >= 0:
        panel.glow(x, y, 0.75, light.sun, 0.28)
        panel.glow(x, y, 0.24, light.sun, 0.5)
        size = {"night": 0.045, "fog": 0.05}.get(light.name, 0.034 if light.height < 0.5 else 0.0)
        panel.lay(panel.disc(x, y, size) * (0.97 if size else 0), mix(light.sun, WHITE, 0.4))
    if light.name == "night":
        with panel.pen() as pen:
            for _ in range(70):
                place = panel.dice.between(0, 1), panel.dice.between(0, 1) ** 1.4 * horizon * 0.9
                size = 0.0014 + 0.0026 * panel.dice.between(0, 1) ** 3
                pen.disc(*place, size, rgb("#e9e6cf") * panel.dice.between(0.6, 1))
    if light.clouds > 0.1:
        _clouds(panel, light, horizon, x)
    return x


def _clouds(panel: Panel, light: Light, horizon: float, sun_x: float) -> None:
    cell = panel.dice.between(0.28, 0.5)
    depth = np.clip(panel.y / max(horizon, 0.05), 0, 1)
    form = panel.noise(cell, 6, stretch=2.2, gain=0.55) * (1 - 0.6 * depth)
    form += panel.noise(cell * 0.4, stretch=6) * (0.25 + 0.6 * depth)
    cover = 1.15 - 2.3 * light.clouds
    mask = smoothstep(cover, cover + 1.3, form) * smoothstep(1.02, 0.72, depth)
    reach = max(3, panel.short // 28)
    lit = (form - noise.shifted(form, -reach if sun_x > 0.5 else reach, reach)) * 0.55 + 0.5
    base = mix(light.middle, light.shadow, 0.45 if light.clouds < 0.7 else 0.6)
    top = mix(light.sun, light.horizon, 0.7 if light.name == "night" else 0.35)
    if light.clouds > 0.7:
        top = mix(top, light.middle, 0.35)
    panel.lay(mask * 0.9, mix(base, top, np.clip(lit, 0, 1)))


def ridge(panel: Panel, height: float, rough: float, cell: float, *, gain: float = 0.5) -> Field:
    """The upper edge of a range of hills: a place in the height for each column, shape (width,)."""
    return np.asarray(height - rough * panel.line(cell, gain=gain), np.float32)


def slope(
    panel: Panel, edge: Field, code: str | Colours, light: Light, *, far: float, snow: float = 0.0, rock: float = 0.3
) -> None:
    """A range of hills under `edge`, in the colour of its distance (`far` 1: the horizon)."""
    colour = rgb(code) if isinstance(code, str) else code
    deep = np.maximum(panel.y - edge, 0)
    folds = panel.noise(0.16, 5, stretch=0.8, gain=0.6)
    lit = np.clip(0.5 + rock * (folds - noise.shifted(folds, 4, 0)) * 2.2 + 0.16 * rock * folds, 0, 1)
    body = mix(colour * light.shadow * 1.1, colour * light.tint, lit)
    if snow:
        white = mix(mix(light.shadow, WHITE, 0.35), mix(light.tint, WHITE, 0.5), smoothstep(0.25, 0.75, lit))
        body = mix(body, white, smoothstep(snow, snow * 0.25, deep + 0.03 * folds + 0.02))
    mist = smoothstep(0.0, 0.34, deep) * (0.25 + 0.6 * far) * (0.4 + far)
    panel.lay(panel.below(edge, soft=1.4 + 2 * far), mix(body, light.haze, np.clip(far * 0.85 + mist, 0, 0.96)))


def ground(panel: Panel, edge: Field | float, near: Colours, far: Colours, light: Light, *, rough: float = 0.2) -> None:
    """Land from `edge` down to the lower edge, its marks growing coarser towards us."""
    depth = np.clip((panel.y - edge) / np.maximum(1 - np.asarray(edge, np.float32), 0.05), 0, 1)
    fine, broad = panel.noise(0.02, 3, stretch=5), panel.noise(0.16, stretch=3.5)
    marks = (fine * (0.3 + 0.5 * depth) + broad) * rough
    body = mix(far, near, np.broadcast_to(depth**0.7, broad.shape)) * (1 + marks[..., None])
    shade = mix(light.tint, light.shadow, np.clip(0.15 + 0.3 * depth + 0.25 * broad, 0, 1))
    panel.lay(panel.below(edge), body * shade)


def water(
    panel: Panel, shore: float, light: Light, tone: Colours, calm: float = 0.6, sun_x: float | None = None
) -> None:
    """Water from `shore` down, mirroring what is above it; `calm` 1 is a mirror, 0 a rough sea.

    A low sun or moon at `sun_x` lays its glitter on it.
    """
    first = round(shore * panel.height)
    count = panel.height - first
    if count < 4:
        return
    rows = np.arange(count, dtype=np.float32)[:, None]
    depth = rows / count
    size = 0.006 + 0.05 * (1 - calm)
    waves, swell = panel.noise(size, 3, stretch=7)[first:], panel.noise(size * 5, 3, stretch=5)[first:]
    form = waves * (0.35 + 0.65 * depth) + swell * 0.8 * (1 - calm) * depth
    above = first - 1 - rows * (first / max(count, first)) * 0.95 - form * (2 + (30 - 24 * calm) * depth)
    aside = np.arange(panel.width, dtype=np.float32)[None, :] + form * 2.5
    mirrored = panel.rgb[
        np.clip(above, 0, max(first - 1, 0)).astype(np.intp), np.clip(aside, 0, panel.width - 1).astype(np.intp)
    ]
    part = np.clip(0.2 + 0.4 * depth + (1 - calm) * 0.3 - 0.13 * form, 0.05, 0.95)
    body = mix(mirrored * 0.96, tone * light.tint, part)
    crest = smoothstep(1.1, 2.0, form) * (0.15 + 0.5 * depth) * (1.15 - calm)
    body = mix(body, mix(light.horizon, WHITE, 0.4), np.clip(crest, 0, 0.8))
    if sun_x is not None and 0 <= light.height < 0.65:
        sparkle = smoothstep(-0.2, 0.9, form) * bell(panel.x - sun_x, 0.025 + 0.1 * depth)
        body = mix(body, mix(light.sun, WHITE, 0.15), np.clip(sparkle * 0.85, 0, 0.9))
    panel.rgb[first:] = np.clip(body, 0, 1)
