"""Round things in the light of a window: fruit, and vessels turned on a wheel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gallery import noise
from gallery.colour import mix, rgb
from gallery.noise import Colours, Field
from gallery.panel import Panel

WHITE = rgb("#ffffff")
_LIGHT = np.array([-0.62, -0.58, 0.53], np.float32)
"""Towards the light: from the upper left, in front; unit length."""


def shaded(
    colour: Colours,
    nx: Field,
    ny: Field,
    nz: Field,
    *,
    gloss: float = 0.5,
    ambient: float = 0.2,
    shadow: Colours | None = None,
) -> Colours:
    """What a surface of `colour` looks like where its normal is (nx, ny, nz); shape (height, width, 3)."""
    facing = nx * _LIGHT[0] + ny * _LIGHT[1] + nz * _LIGHT[2]
    lit = noise.smoothstep(-0.35, 0.95, facing)
    dark = (colour * 0.2 + 0.02) if shadow is None else mix(colour * 0.25, shadow, 0.35)
    bounce = noise.smoothstep(0.3, 1.0, nx * 0.75 + ny * 0.3) * noise.smoothstep(0.6, 0.1, nz)
    body = mix(dark, colour, np.clip(lit + ambient * (1 - lit) + 0.16 * bounce, 0, 1))
    warm = np.clip(colour * 1.18 + 0.1, 0, 1)
    body = mix(body, np.broadcast_to(warm, body.shape), noise.smoothstep(0.65, 1.0, facing) * 0.5)
    half = np.array([-0.36, -0.34, 0.87], np.float32)
    shine = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0, 1) ** 38
    return mix(body, np.broadcast_to(WHITE, body.shape), (shine * gloss).astype(np.float32))


def ball(
    panel: Panel,
    x: float,
    y: float,
    radius: float,
    colour: Colours,
    *,
    flat: float = 1.0,
    gloss: float = 0.5,
    blush: Colours | None = None,
    pores: float = 0.0,
    shadow: Colours | None = None,
) -> None:
    """A fruit: `radius` in short sides, `flat` its height over its width, `blush` a second colour on one cheek."""
    window = _window(panel, x, y, radius * 1.05, radius * flat * 1.05)
    if window is None:
        return
    rows, columns, across, down = window
    u, v = across / radius, down / (radius * flat)
    square = u * u + v * v
    mask = np.clip((1 - np.sqrt(square)) * radius * panel.short / 1.3 + 0.5, 0, 1).astype(np.float32)
    nz = np.sqrt(np.clip(1 - square, 0, 1))
    grain = noise.fractal(panel.rng, mask.shape[0], mask.shape[1], max(radius * panel.short * 0.28, 3), octaves=4)
    skin: Colours = colour
    if blush is not None:
        skin = mix(colour, blush, noise.smoothstep(-0.5, 0.9, (u * 0.9 - v * 0.5 + 0.3 * grain).astype(np.float32)))
    if pores:
        dots = noise.fractal(panel.rng, mask.shape[0], mask.shape[1], 4, octaves=1)
        u, v = u + pores * dots * 0.12, v + pores * noise.shifted(dots, 2, 2) * 0.12
        nz = np.clip(nz + 0.04 * pores * dots, 0, 1)
    body = shaded(skin if skin.ndim == 1 else np.asarray(skin), *_as_fields(u, v, nz), gloss=gloss, shadow=shadow)
    body = body * (1 + 0.05 * grain)[..., None]
    here = panel.rgb[rows, columns]
    here += (np.clip(body, 0, 1) - here) * mask[..., None]


def turned(
    panel: Panel,
    x: float,
    foot: float,
    tall: float,
    profile: Sequence[tuple[float, float]],
    colour: Colours,
    *,
    gloss: float = 0.7,
    band: Colours | None = None,
    bands: Sequence[float] = (),
    clear: float = 0.0,
    mouth: bool = True,
    shadow: Colours | None = None,
    crackle: float = 0.04,
) -> None:
    """A vessel turned on a wheel, standing on `foot`.

    Args:
        panel: where to.
        x: its axis.
        foot: its lower edge.
        tall: its height in short sides.
        profile: (height from 0 at the foot to 1 at the rim, radius in heights) in rising order.
        colour: of the glaze.
        gloss: how bright the reflection is.
        band: colour of painted rings.
        bands: heights of those rings.
        clear: 1 for glass that shows what is behind it.
        mouth: show the inside of the rim.
        shadow: what the dark side leans to.
        crackle: unevenness of the glaze.
    """
    heights = np.array([h for h, _ in profile])
    radii = np.array([r for _, r in profile])
    widest = float(radii.max()) * tall
    middle = foot - panel.dy(tall / 2)
    window = _window(panel, x, middle, widest * 1.1, tall * 0.62 + widest * 0.3)
    if window is None:
        return
    rows, columns, across, down = window
    up = (tall / 2 - down) / tall
    fine = np.linspace(0, 1, 200)
    smooth = np.interp(fine, heights, radii)
    kernel = np.hanning(17)
    smooth = np.convolve(np.pad(smooth, 8, mode="edge"), kernel / kernel.sum(), mode="valid")
    tilt = np.gradient(smooth, fine)
    bulge = np.interp(np.clip(up, 0, 1), fine, smooth) * tall
    u = across / np.maximum(bulge, 1e-4)
    curve = 0.2 * np.sqrt(np.clip(1 - u * u, 0, 1)) * bulge / tall
    lower = up + curve
    r = np.interp(np.clip(lower, 0, 1), fine, smooth) * tall
    u = across / np.maximum(r, 1e-4)
    inside = np.clip((1 - np.abs(u)) * r * panel.short / 1.3 + 0.5, 0, 1)
    inside *= np.clip((lower) * tall * panel.short / 1.3 + 0.5, 0, 1)
    rim = float(smooth[-1]) * tall
    ellipse = (across / max(rim, 1e-4)) ** 2 + ((tall / 2 + down) / max(rim * 0.22, 1e-4)) ** 2
    inside *= np.clip((1 - up) * tall * panel.short / 1.3 + 0.5, 0, 1)
    mask = np.maximum(inside, (ellipse < 1) * 1.0).astype(np.float32)
    nx = np.clip(u, -1, 1)
    nz = np.sqrt(np.clip(1 - nx * nx, 0, 1))
    ny = -np.interp(np.clip(lower, 0, 1), fine, tilt) * 0.55
    size = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-6
    glaze: Colours = colour
    grain = noise.fractal(panel.rng, mask.shape[0], mask.shape[1], 22, octaves=4)
    if band is not None:
        ring = sum((np.exp(-(((lower - place + 0.004 * grain) / 0.018) ** 2)) for place in bands), np.zeros(mask.shape))
        glaze = mix(colour, band, np.clip(ring * 1.4, 0, 1).astype(np.float32))
    body = shaded(glaze, *_as_fields(nx / size, ny / size, nz / size), gloss=gloss, shadow=shadow)
    body = body * (1 + crackle * grain)[..., None]
    streak = (
        np.exp(-(((nx + 0.52) / 0.07) ** 2))
        * noise.smoothstep(0.1, 0.3, np.asarray(lower, np.float32))
        * noise.smoothstep(0.95, 0.7, np.asarray(lower, np.float32))
    )
    body = mix(body, np.broadcast_to(WHITE, body.shape), (streak * gloss * 0.5).astype(np.float32))
    here = panel.rgb[rows, columns]
    if clear:
        edge = noise.smoothstep(0.55, 1.0, np.abs(nx).astype(np.float32))
        part = np.clip(1 - clear * (1 - edge * 0.8) + streak * 0.8, 0, 1)
        body = mix(here * (0.75 + 0.25 * colour), body, part.astype(np.float32))
    if mouth:
        hollow = np.clip((1 - ellipse / 0.8) * 6, 0, 1).astype(np.float32)
        body = mix(body, np.broadcast_to(colour * 0.16, body.shape), hollow * (1 - clear * 0.6))
        lip = np.exp(-(((ellipse - 0.92) / 0.12) ** 2)).astype(np.float32) * 0.6
        body = mix(body, np.broadcast_to(np.clip(colour * 1.3 + 0.1, 0, 1), body.shape), lip)
    here += (np.clip(body, 0, 1) - here) * mask[..., None]


def cast(panel: Panel, x: float, foot: float, wide: float, *, strength: float = 0.7, long: float = 1.0) -> None:
    """The shadow that a thing `wide` short sides across throws to the right on its table."""
    away = panel.distance(x + panel.dx(wide * 0.4 * long), foot, squash=3.6) / (wide * (0.6 + 0.25 * long))
    soft = np.exp(-(away**3.0)).astype(np.float32)
    panel.shade(soft * strength, rgb("#3a2c30"))
    touch = panel.distance(x, foot, squash=5.0) / (wide * 0.46)
    panel.shade(np.exp(-(touch**4)).astype(np.float32) * 0.6, rgb("#2a2024"))


def _as_fields(*values: Field) -> tuple[Field, ...]:
    return tuple(np.asarray(value, np.float32) for value in values)


def _window(panel: Panel, x: float, y: float, wide: float, high: float) -> tuple[slice, slice, Field, Field] | None:
    """The part of the panel around a place, and there the distances from it, across and down, in short sides."""
    left, right = (round((x + side * panel.dx(wide)) * panel.width) for side in (-1, 1))
    top, bottom = (round((y + side * panel.dy(high)) * panel.height) for side in (-1, 1))
    rows = slice(max(top - 1, 0), min(bottom + 2, panel.height))
    columns = slice(max(left - 1, 0), min(right + 2, panel.width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    across = (panel.x[:, columns] - x) * (panel.width / panel.short)
    down = (panel.y[rows] - y) * (panel.height / panel.short)
    across, down = np.broadcast_arrays(across, down)
    return rows, columns, np.asarray(across, np.float32), np.asarray(down, np.float32)
