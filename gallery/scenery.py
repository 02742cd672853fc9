"""What landscapes are made of: skies, ridges, land and water."""

from __future__ import annotations

import numpy as np

from gallery import noise
from gallery.colour import mix, ramp, rgb
from gallery.light import Light
from gallery.noise import Colours, Field
from gallery.panel import Panel

WHITE = rgb("#ffffff")


BLACK = rgb("#0b0b10")


def sky(panel: Panel, light: Light, horizon: float, *, sun_x: float | None = None) -> tuple[float, float]:
    """Paint the sky down to `horizon` with its sun or moon and clouds; returns where the sun stands (x, y)."""
    rng = panel.rng
    x = float(rng.uniform(0.2, 0.8)) if sun_x is None else sun_x
    y = horizon * (1 - max(light.height, 0.0) * 0.8) - 0.01
    drift = 0.03 * panel.noise(0.5, octaves=2, stretch=4)
    at = np.clip(panel.y / max(horizon, 0.05) + drift, 0, 1.2)
    stops = [(0.0, light.zenith), (0.55, light.middle), (0.97, light.horizon), (1.2, light.haze)]
    panel.rgb[:] = ramp(stops, at)
    if light.height >= 0:
        panel.glow(x, y, 0.75, light.sun, 0.28)
        panel.glow(x, y, 0.24, light.sun, 0.5)
        size = 0.045 if light.name == "night" else 0.034 if light.height < 0.5 else 0.0
        if light.name == "fog":
            size = 0.05
        if size:
            panel.lay(panel.disc(x, y, size) * 0.97, mix(light.sun, WHITE, 0.4))
    if light.name == "night":
        _stars(panel, horizon)
    if light.clouds > 0.1:
        _clouds(panel, light, horizon, x)
    return x, y


def _stars(panel: Panel, horizon: float) -> None:
    rng = panel.rng
    with panel.pen() as pen:
        for _ in range(70):
            x, y = rng.random(), rng.random() ** 1.4 * horizon * 0.9
            pen.disc(x, y, 0.0014 + 0.0026 * rng.random() ** 3, rgb("#e9e6cf") * float(rng.uniform(0.6, 1)))


def _clouds(panel: Panel, light: Light, horizon: float, sun_x: float) -> None:
    cell = float(panel.rng.uniform(0.28, 0.5))
    billow = panel.noise(cell, octaves=6, stretch=2.2, gain=0.55)
    streak = panel.noise(cell * 0.4, octaves=4, stretch=6)
    depth = np.clip(panel.y / max(horizon, 0.05), 0, 1)
    form = billow * (1 - 0.6 * depth) + streak * (0.25 + 0.6 * depth)
    cover = 1.15 - 2.3 * light.clouds
    mask = noise.smoothstep(cover, cover + 1.3, form) * noise.smoothstep(1.02, 0.72, depth + np.zeros_like(form))
    reach = max(3, panel.short // 28)
    toward = reach if sun_x > 0.5 else -reach
    lit = np.clip((form - noise.shifted(form, -toward, reach)) * 0.55 + 0.5, 0, 1)
    base = mix(light.middle, light.shadow, 0.45 if light.clouds < 0.7 else 0.6)
    top = mix(light.sun, light.horizon, 0.35) if light.name != "night" else mix(light.horizon, light.sun, 0.3)
    if light.clouds > 0.7:
        top = mix(top, light.middle, 0.35)
    panel.lay(mask * 0.9, mix(base, top, lit))


def ridge(panel: Panel, height: float, rough: float, cell: float, *, gain: float = 0.5) -> Field:
    """The upper edge of a range of hills: a place in the height for each column, shape (width,)."""
    return np.asarray(height - rough * panel.line(cell, gain=gain), np.float32)


def slope(
    panel: Panel, edge: Field, colour: Colours, light: Light, *, far: float, snow: float = 0.0, rock: float = 0.3
) -> Field:
    """A range of hills under `edge`, in the colour of its distance (`far` 1: the horizon); returns its mask."""
    mask = panel.below(edge, soft=1.4 + 2 * far)
    deep = np.maximum(panel.y - edge, 0)
    folds = panel.noise(0.16, octaves=5, stretch=0.8, gain=0.6)
    lit = np.clip(0.5 + rock * (folds - noise.shifted(folds, 4, 0)) * 2.2 + 0.16 * rock * folds, 0, 1)
    body = mix(colour * light.shadow * 1.1, colour * light.tint, lit)
    if snow:
        cap = noise.smoothstep(snow, snow * 0.25, deep + 0.03 * folds + 0.02)
        white = mix(mix(light.shadow, WHITE, 0.35), mix(light.tint, WHITE, 0.5), noise.smoothstep(0.25, 0.75, lit))
        body = mix(body, white, cap)
    mist = noise.smoothstep(0.0, 0.34, deep) * (0.25 + 0.6 * far)
    body = mix(body, light.haze, np.clip(far * 0.85 + mist * (0.4 + far), 0, 0.96))
    panel.lay(mask, body)
    return mask


def ground(panel: Panel, top: Field | float, near: Colours, far: Colours, light: Light, *, rough: float = 0.2) -> None:
    """Land from `top` down to the lower edge, its marks growing coarser towards us."""
    edge = np.asarray(top, np.float32)
    depth = np.clip((panel.y - edge) / np.maximum(1 - edge, 0.05), 0, 1)
    fine = panel.noise(0.02, octaves=3, stretch=5)
    broad = panel.noise(0.16, octaves=4, stretch=3.5)
    marks = (fine * (0.3 + 0.5 * depth) + broad) * rough
    body = mix(far, near, np.clip(depth**0.7, 0, 1)) * (1 + marks[..., None])
    body = body * mix(light.tint, light.shadow, np.clip(0.15 + 0.3 * depth + 0.25 * broad, 0, 1))
    panel.lay(panel.below(edge), np.clip(body, 0, 1).astype(np.float32))


def water(
    panel: Panel, shore: float, light: Light, *, tone: Colours, calm: float = 0.6, sun_x: float | None = None
) -> None:
    """Water from `shore` down, mirroring what is above it; `calm` 1 is a mirror, 0 a rough sea."""
    height, width = panel.height, panel.width
    first = round(shore * height)
    count = height - first
    if count < 4:
        return
    rows = np.arange(count, dtype=np.float32)[:, None]
    depth = rows / count
    size = 0.006 + 0.05 * (1 - calm)
    waves = noise.fractal(panel.rng, height, width, size * panel.short, octaves=3, stretch=7)[first:]
    swell = noise.fractal(panel.rng, height, width, size * 5 * panel.short, octaves=3, stretch=5)[first:]
    form = waves * (0.35 + 0.65 * depth) + swell * 0.8 * (1 - calm) * depth
    from_y = first - 1 - rows * (first / max(count, first)) * 0.95 - form * (2 + (30 - 24 * calm) * depth)
    columns = np.arange(width, dtype=np.float32)[None, :] + form * 2.5
    iy = np.clip(from_y, 0, max(first - 1, 0)).astype(np.intp)
    ix = np.clip(columns, 0, width - 1).astype(np.intp)
    mirrored = panel.rgb[iy, ix]
    deep = tone * light.tint
    part = np.clip(0.2 + 0.4 * depth + (1 - calm) * 0.3 - 0.13 * form, 0.05, 0.95)
    body = mix(mirrored * 0.96, np.broadcast_to(deep, mirrored.shape), part.astype(np.float32))
    crest = noise.smoothstep(1.1, 2.0, form) * (0.15 + 0.5 * depth) * (1.15 - calm)
    body = mix(body, mix(light.horizon, WHITE, 0.4), np.clip(crest, 0, 0.8).astype(np.float32))
    if sun_x is not None:
        away = np.abs(panel.x - sun_x) / (0.025 + 0.1 * depth)
        sparkle = noise.smoothstep(-0.2, 0.9, form) * np.exp(-away * away)
        body = mix(body, mix(light.sun, WHITE, 0.15), np.clip(sparkle * 0.85, 0, 0.9).astype(np.float32))
    panel.rgb[first:] = np.clip(body, 0, 1)
