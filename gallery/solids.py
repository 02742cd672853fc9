"""Round things in the light of a window: fruit, and vessels turned on a wheel; and the table that they stand on."""

from __future__ import annotations

import numpy as np

from gallery import noise
from gallery.colour import WHITE, mix, rgb
from gallery.noise import Colours, Field, bell, smoothstep
from gallery.panel import Panel, Points


def _shaded(colour: Colours, nx: Field, ny: Field, nz: Field, gloss: float) -> Colours:
    """What a surface of `colour` looks like where its normal is (nx, ny, nz); shape (height, width, 3)."""
    facing = nx * -0.62 + ny * -0.58 + nz * 0.53  # towards a window on the upper left, in front
    lit = smoothstep(-0.35, 0.95, facing)
    bounce = smoothstep(0.3, 1.0, nx * 0.75 + ny * 0.3) * smoothstep(0.6, 0.1, nz)
    body = mix(colour * 0.2 + 0.02, colour, np.clip(lit + 0.2 * (1 - lit) + 0.16 * bounce, 0, 1))
    body = mix(body, np.clip(colour * 1.18 + 0.1, 0, 1), smoothstep(0.65, 1.0, facing) * 0.5)
    shine = np.clip(nx * -0.36 + ny * -0.34 + nz * 0.87, 0, 1) ** 38
    return mix(body, WHITE, shine * gloss)


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
) -> None:
    """A fruit: `radius` in short sides, `flat` its height over its width, `blush` a second colour on one cheek."""
    rows, columns, across, down = _window(panel, x, y, radius * 1.05, radius * flat * 1.05)
    if not across.size:
        return
    u, v = across / radius, down / (radius * flat)
    square = u * u + v * v
    mask = np.clip((1 - np.sqrt(square)) * radius * panel.short / 1.3 + 0.5, 0, 1)
    # The third component of the normal of a sphere.
    nz = np.sqrt(np.clip(1 - square, 0, 1))
    grain = noise.fractal(panel.dice.rng, u.shape, max(radius * panel.short * 0.28, 3))
    skin = colour
    if blush is not None:
        skin = mix(colour, blush, smoothstep(-0.5, 0.9, u * 0.9 - v * 0.5 + 0.3 * grain))
    if pores:
        # Pores tilt the surface, so that each has a light and a dark side.
        dots = noise.fractal(panel.dice.rng, u.shape, 4, octaves=1) * pores
        u, v, nz = u + dots * 0.12, v + noise.shifted(dots, 2, 2) * 0.12, np.clip(nz + 0.04 * dots, 0, 1)
    _put(panel, rows, columns, mask, _shaded(skin, u, v, nz, gloss) * (1 + 0.05 * grain)[..., None])


def turned(
    panel: Panel,
    x: float,
    foot: float,
    tall: float,
    profile: Points,
    colour: Colours,
    *,
    gloss: float = 0.7,
    band: Colours | None = None,
    bands: tuple[float, ...] = (),
    clear: float = 0.0,
    mouth: bool = True,
) -> None:
    """A vessel turned on a wheel, standing on `foot`.

    Args:
        panel: where to.
        x: its axis.
        foot: its lower edge.
        tall: its height in short sides.
        profile: `height,radius …`, the heights from 0 at the foot to 1 at the rim, the radii in heights.
        colour: of the glaze.
        gloss: how bright the reflection is.
        band: colour of painted rings.
        bands: heights of those rings.
        clear: 1 for glass that shows what is behind it.
        mouth: show the inside of the rim.
    """
    heights, radii = np.array([pair.split(",") for pair in str(profile).split()], float).T
    fine = np.linspace(0, 1, 200)
    # Smoothed, because a few points of a profile would give a vessel with edges.
    kernel = np.hanning(17) / np.hanning(17).sum()
    smooth = np.convolve(np.pad(np.interp(fine, heights, radii), 8, mode="edge"), kernel, mode="valid")
    widest, rim = float(radii.max()) * tall, float(smooth[-1]) * tall
    rows, columns, across, down = _window(panel, x, foot - panel.dy(tall / 2), widest * 1.1, tall * 0.62 + widest * 0.3)
    if not across.size:
        return

    def along(values: Field, at: Field) -> Field:
        return np.asarray(np.interp(np.clip(at, 0, 1), fine, values), np.float32)

    def soft(away: Field) -> Field:
        return np.clip(away * panel.short / 1.3 + 0.5, 0, 1)

    up = 0.5 - down / tall
    bulge = along(smooth, up)
    # A ring around the vessel is seen from above: in front it lies lower than at the sides.
    lower = up + 0.2 * np.sqrt(np.clip(1 - (across / np.maximum(bulge * tall, 1e-4)) ** 2, 0, 1)) * bulge
    r = np.maximum(along(smooth, lower) * tall, 1e-4)
    nx = np.clip(across / r, -1, 1)
    inside = soft((1 - np.abs(across / r)) * r) * soft(lower * tall) * soft((1 - up) * tall)
    ellipse = (across / max(rim, 1e-4)) ** 2 + ((tall / 2 + down) / max(rim * 0.22, 1e-4)) ** 2
    # The opening sticks out above the body.
    mask = np.maximum(inside, ellipse < 1)
    nz, ny = np.sqrt(np.clip(1 - nx * nx, 0, 1)), -along(np.gradient(smooth, fine), lower) * 0.55
    size = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-6
    grain = noise.fractal(panel.dice.rng, nx.shape, 22)
    glaze = colour
    if band is not None:
        rings = [bell(lower - place + 0.004 * grain, 0.018) for place in bands]
        glaze = mix(colour, band, np.clip(sum(rings, np.zeros_like(nx)) * 1.4, 0, 1))
    body = _shaded(glaze, nx / size, ny / size, nz / size, gloss) * (1 + 0.04 * grain)[..., None]
    streak = bell(nx + 0.52, 0.07) * smoothstep(0.1, 0.3, lower) * smoothstep(0.95, 0.7, lower)
    body = mix(body, WHITE, streak * gloss * 0.5)
    if clear:
        # Glass is thicker, and less clear, towards its outline.
        part = np.clip(1 - clear * (1 - smoothstep(0.55, 1.0, np.abs(nx)) * 0.8) + streak * 0.8, 0, 1)
        body = mix(panel.rgb[rows, columns] * (0.75 + 0.25 * colour), body, part)
    if mouth:
        body = mix(body, colour * 0.16, np.clip((1 - ellipse / 0.8) * 6, 0, 1) * (1 - clear * 0.6))
        body = mix(body, np.clip(colour * 1.3 + 0.1, 0, 1), bell(ellipse - 0.92, 0.12) * 0.6)
    _put(panel, rows, columns, mask, body)


def cast(panel: Panel, x: float, foot: float, wide: float, *, long: float = 1.0) -> None:
    """The shadow that a thing `wide` short sides across throws to the right on its table."""
    away = panel.distance(x + panel.dx(wide * 0.4 * long), foot, squash=3.6) / (wide * (0.6 + 0.25 * long))
    panel.shade(np.exp(-(away**3)) * 0.7, rgb("#3a2c30"))
    touch = panel.distance(x, foot, squash=5.0) / (wide * 0.46)
    panel.shade(np.exp(-(touch**4)) * 0.6, rgb("#2a2024"))


def room(panel: Panel, wall: Colours, board: Colours, table_y: float) -> None:
    """A wall with light from the left, and a table top before it."""
    fall = np.clip(1.25 - panel.distance(0.12, 0.1) * 0.95 + 0.07 * panel.noise(0.3), 0.12, 1.4)
    panel.cover(wall * fall[..., None] * 1.25)
    shine = np.clip(1.15 - 0.55 * panel.x + 0.35 * (panel.y - table_y), 0.3, 1.5)
    panel.lay(panel.below(table_y, soft=2.5), board * (shine * (1 + 0.1 * panel.noise(0.02, 3, stretch=18)))[..., None])
    panel.shade(panel.below(0.955, soft=3), rgb("#5a4a44"))


def cloth(panel: Panel, linen: Colours, table_y: float) -> None:
    """A cloth with folds that hangs over the table's edge."""
    left, right = panel.dice.between(0.0, 0.25), panel.dice.between(0.6, 0.95)
    hem = panel.x[0] + 0.03 * panel.line(0.2)
    side = smoothstep(left - 0.02, left + 0.02, hem) * smoothstep(right + 0.03, right - 0.02, hem)
    wave = (panel.x * 1.3 + panel.y * 0.9) * 17 + 2 * panel.noise(0.3, 2)
    folds = panel.noise(0.16, 3, stretch=0.55) + 0.6 * np.sin(wave)
    lit = smoothstep(-0.5, 0.5, folds - noise.shifted(folds, 5, 4)) * 0.75 + 0.25 - 0.3 * panel.below(0.86, soft=20)
    mask = panel.below(table_y + 0.02 + 0.02 * panel.line(0.3, 3), soft=2) * side
    panel.shade(np.clip(noise.shifted(mask, 7, 6) - mask, 0, 1) * 0.6, rgb("#3a2c2c"))
    panel.lay(mask, mix(mix(linen * 0.42, rgb("#5f6680"), 0.2), linen * 1.05, np.clip(lit, 0, 1)))


def _put(panel: Panel, rows: slice, columns: slice, mask: Field, body: Colours) -> None:
    here = panel.rgb[rows, columns]
    here += (np.clip(body, 0, 1) - here) * mask[..., None]


def _window(panel: Panel, x: float, y: float, wide: float, high: float) -> tuple[slice, slice, Field, Field]:
    """The part of the panel around a place, and there the distances from it, across and down, in short sides."""
    # Only this part is computed: a fruit covers a small part of the panel.
    left, right = (round((x + side * panel.dx(wide)) * panel.width) for side in (-1, 1))
    top, bottom = (round((y + side * panel.dy(high)) * panel.height) for side in (-1, 1))
    rows, columns = slice(max(top - 1, 0), max(bottom + 2, 0)), slice(max(left - 1, 0), max(right + 2, 0))
    across = (panel.x[:, columns] - x) * (panel.width / panel.short)
    down = (panel.y[rows] - y) * (panel.height / panel.short)
    shape = down.size, across.size
    return rows, columns, np.broadcast_to(across, shape), np.broadcast_to(down, shape)
