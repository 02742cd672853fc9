"""What landscapes are made of: skies, ridges, land and water, and the trees, houses, boats and figures in them.

What stands in a landscape is drawn in a frame of its own (`Pen.at`): `x` and `foot` say where it is on the panel, the
unit is its size in short sides, and heights go up from the foot.
"""

from __future__ import annotations

import math

import numpy as np

from gallery import noise
from gallery.colour import WHITE, mix, ramp, rgb
from gallery.light import Light
from gallery.noise import Colours, Field, bell, smoothstep
from gallery.panel import Panel, Pen


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
                # The power puts more of them high up.
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
    # Towards the horizon clouds are seen from the side: flatter, and closer together.
    form += panel.noise(cell * 0.4, stretch=6) * (0.25 + 0.6 * depth)
    cover = 1.15 - 2.3 * light.clouds
    mask = smoothstep(cover, cover + 1.3, form) * smoothstep(1.02, 0.72, depth)
    reach = max(3, panel.short // 28)
    # The slope towards the sun: the form against itself, moved away from it.
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
    # Mist lies at the foot of a range, and more of it the farther away it is.
    mist = smoothstep(0.0, 0.34, deep) * (0.25 + 0.6 * far) * (0.4 + far)
    panel.lay(panel.below(edge, soft=1.4 + 2 * far), mix(body, light.haze, np.clip(far * 0.85 + mist, 0, 0.96)))


def ground(panel: Panel, edge: Field | float, near: Colours, far: Colours, light: Light, *, rough: float = 0.2) -> None:
    """Land from `edge` down to the lower edge, its marks growing coarser towards us."""
    depth = np.clip((panel.y - edge) / np.maximum(1 - np.asarray(edge, np.float32), 0.05), 0, 1)
    fine, broad = panel.noise(0.02, 3, stretch=5), panel.noise(0.16, stretch=3.5)
    # Fine marks can be seen only near us.
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
    # Waves bend the mirror: a place in the water shows what is as far above the shore, moved by the wave there.
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
        # Glitter: the crests below the sun, in a band that widens towards us.
        sparkle = smoothstep(-0.2, 0.9, form) * bell(panel.x - sun_x, 0.025 + 0.1 * depth)
        body = mix(body, mix(light.sun, WHITE, 0.15), np.clip(sparkle * 0.85, 0, 0.9))
    panel.rgb[first:] = np.clip(body, 0, 1)


SAILS = "#efe3c8 #e6d3a8 #c9683c #f4efe2"
COATS = "#8a2f2a #2f3f5c #4a3a2c #b58a3a #3d5540 #efe4d0"
LAMP = rgb("#ffc763")


def pine(pen: Pen, x: float, foot: float, tall: float, colour: Colours, *, snow: bool = False) -> None:
    """A fir with hanging boughs."""
    dice, tree = pen.dice, pen.at(x, foot, tall)
    wide = dice.between(0.17, 0.24)
    tree.stroke("0,0 0,.98", 0.03, colour * 0.6, 0.004)
    for part in np.arange(8) / 8:
        y, drop = 0.07 + 0.86 * part, -0.035
        left = wide * (1 - part) ** 0.85 * dice.between(0.8, 1.15) + 0.03
        right = left * dice.between(0.8, 1.15)
        lower = [(-left, y + drop), (-left * 0.4, y - drop * 0.4), (0, y + drop * 0.5), (left * 0.4, y - drop * 0.4)]
        tree.fill([(0, y + 0.21), *lower, (right, y + drop)], dice.vary(colour, 0.1))
        if snow:
            tree.fill(
                [(0, y + 0.21), (-left, y + drop), (-left * 0.3, y - drop * 2)], mix(rgb("#e9f0fa"), colour, 0.08)
            )


def leafy(pen: Pen, x: float, foot: float, tall: float, leaf: Colours, light: Light, *, slim: float = 1.0) -> None:
    """A broad-leaved tree: trunk, boughs, and a crown of dabs that are dark below and light towards the sun."""
    dice, tree = pen.dice, pen.at(x, foot, tall)
    bark, lean = rgb("#4d3a2a") * light.shadow, dice.normal(0.06)
    tree.stroke([(0, 0), (lean * 0.5, 0.3), (lean, 0.64)], 0.07, bark, 0.03)
    for side in (-0.17, 0.17):
        tree.stroke([(0, 0.34), (side * slim, 0.7)], 0.03, bark, 0.01)
    # The lower ones first, so that the upper ones overlap them.
    clumps = [(dice.normal(0.15) * slim, dice.normal(0.13), dice.between(0.12, 0.2)) for _ in range(9)]
    for cx, cy, size in sorted(clumps, key=lambda clump: clump[1]):
        for k in range(22):
            angle, away = dice.between(0, 2 * math.pi), math.sqrt(dice.between(0, 1)) * size
            u, v = cx + math.cos(angle) * away * slim, cy + math.sin(angle) * away * 0.8
            bright = float(np.clip(0.5 + 2.1 * (v - cy * 0.2) - 0.6 * u + 0.012 * k, 0, 1))
            tone = mix(leaf * light.shadow * 0.75, leaf * light.tint * 1.15, bright)
            length, thick = dice.between(0.05, 0.1), dice.between(0.03, 0.05)
            tree.dab(u + lean, 0.64 + v, length, thick, dice.vary(tone, 0.07), dice.normal(0.8))


def house(
    pen: Pen,
    x: float,
    foot: float,
    wide: float,
    wall: Colours,
    roof: Colours,
    light: Light,
    *,
    storeys: int = 1,
    lit: bool = False,
    gable: bool = True,
    snow: bool = False,
    smoke: bool = False,
) -> None:
    """A house seen slightly from the side."""
    dice, home = pen.dice, pen.at(x, foot, wide)
    eaves = 0.42 + 0.4 * storeys
    peak = eaves + 0.34
    front, side = wall * light.tint, wall * light.shadow * 1.25
    home.box(-0.5, 0, 0.12, eaves, front)
    home.box(0.12, 0, 0.5, eaves, side)
    top = mix(roof * light.tint, rgb("#f1f5fb") * (0.35 + 0.65 * light.tint), 0.92 if snow else 0.0)
    if gable:
        home.fill([(-0.5, eaves), (0.12, eaves), (-0.19, peak)], front)
        home.fill([(-0.19, peak), (0.35, peak), (0.55, eaves), (0.12, eaves)], top * 0.82)
        home.stroke([(-0.55, eaves - 0.05), (-0.19, peak), (0.12, eaves)], 0.06, top)
    else:
        home.fill([(-0.55, eaves), (-0.38, peak), (0.38, peak), (0.55, eaves)], top)
    home.stroke([(0.16, peak - 0.12), (0.16, peak + 0.1)], 0.08, side * 0.9)
    for k in range(9 if smoke else 0):
        drift = 0.05 * k + 0.0075 * k * k
        home.disc(0.16 + drift, peak + 0.1 + 0.09 * k, 0.04 + 0.016 * k, mix(light.haze, light.middle, 0.5 + 0.05 * k))
    pane = rgb("#ffcf70") if lit else mix(wall * 0.35, light.zenith * 0.6, 0.35)
    for storey in range(storeys):
        y = 0.3 + 0.4 * storey
        for column in range(3 if wide > 0.08 else 2):
            left = -0.36 + 0.17 * column
            if not lit or dice.chance(0.75):
                home.box(left, y, left + 0.09, y + 0.16, dice.vary(pane, 0.08))
        home.box(0.27, y, 0.35, y + 0.16, pane * 0.85)


def boat(
    pen: Pen, x: float, keel: float, long: float, light: Light, sail: Colours, hull: Colours, masts: int = 1
) -> None:
    """A sailing vessel of `long` with billowing sails; one mast is a fishing smack, three a ship."""
    ship = pen.at(x, keel, long, flip=pen.dice.chance(0.5))
    shade, shine = sail * light.shadow * 1.25, sail * light.tint
    for mast, size in ((0.0, 0.95),) if masts == 1 else ((-0.27, 0.67), (0.02, 0.82), (0.29, 0.67)):
        ship.stroke([(mast, 0.05), (mast + 0.01, size + 0.1)], 0.022, hull * 0.7, 0.008)
        if masts == 1:
            ship.fill("-.02,.95 -.02,.16 -.3,.2 -.36,.26 -.22,.6", shine)
            ship.fill("-.02,.95 -.02,.16 -.09,.16 -.1,.6", mix(shine, shade, 0.5))
            ship.fill("0.03,.9 .03,.18 .42,.14 .22,.42", shade)
        low = 0.16
        for tier in range(3 if masts > 1 else 0):
            high, wide = low + size * (0.3 - 0.05 * tier), 0.15 - 0.03 * tier
            luff = [(mast - wide, low), (mast - wide * 0.86, high)]
            leech = [(mast + wide * 1.12, (low + high) / 2), (mast + wide, low), (mast, low + 0.035)]
            ship.fill([*luff, (mast + wide * 0.8, high), *leech], shine if tier != 1 else mix(shine, shade, 0.18))
            fold = [(mast - wide * 0.35, high), (mast - wide * 0.4, low + 0.02)]
            ship.fill([*luff, *fold], mix(shine, shade, 0.75))
            low = high + 0.012
        pennant = [(mast, size + 0.1), (mast - 0.1, size + 0.085), (mast, size + 0.06)]
        ship.fill(pennant, rgb("#b3342a") * light.tint)
    if masts > 1:
        ship.stroke("0.45,.17 .66,.29", 0.016, hull * 0.7, 0.006)
        ship.fill("0.6,.28 .36,.17 .31,.62", mix(shine, sail * light.shadow, 0.35))
    ship.fill("-.5,.19 -.47,0 .36,-.01 .5,.17 .2,.11 -.28,.12", hull * light.tint * 0.8)
    ship.fill("-.48,.07 -.47,0 .36,-.01 .42,.06", hull * light.shadow * 0.7)
    ship.stroke("-.49,.14 0,.085 .46,.13", 0.014, mix(hull, WHITE, 0.45) * light.tint)


def figure(pen: Pen, x: float, foot: float, tall: float, coat: Colours, light: Light) -> None:
    """A walker, small enough to be a few touches."""
    body, man = coat * mix(light.shadow, light.tint, 0.65), pen.at(x, foot, tall)
    man.stroke("-.05,.45 -.11,0", 0.09, body * 0.5)
    man.stroke("0.05,.45 .11,0", 0.09, body * 0.5)
    man.fill("-.084,.84 .084,.84 .16,.26 -.15,.28", body)
    man.disc(0, 0.92, 0.08, rgb("#d9ab88") * light.tint)
    man.dab(0, 0.98, 0.24, 0.08, pen.dice.vary(body * 0.55, 0.05))


def rowing_boat(pen: Pen, x: float, y: float, long: float, hull: Colours, light: Light) -> None:
    """A rowing boat with its oars shipped, `long` short sides from stem to stern."""
    skiff, dark = pen.at(x, y, long), mix(light.shadow, rgb("#2a2a2a"), 0.5)
    for k in range(9):
        skiff.dab(pen.dice.normal(0.22), -0.1 - 0.02 * k, 0.5, 0.03, mix(hull * 0.5, dark, 0.5))
    skiff.fill("-.5,.1 -.4,-.08 .36,-.08 .52,.12", hull * light.tint)
    skiff.fill("-.44,0 -.4,-.08 .36,-.08 .43,0", hull * light.shadow)
    skiff.fill("-.5,.1 -.2,.035 .25,.035 .52,.12 .25,.1 -.2,.1", rgb("#6b4c34") * light.shadow)
    skiff.stroke("-.5,.1 -.2,.035 .25,.035 .52,.12", 0.022, mix(hull, WHITE, 0.6) * light.tint)
    for u in (-0.18, 0.12):
        skiff.stroke([(u, 0.035), (u + 0.02, 0.1)], 0.05, rgb("#b58f62") * light.tint)
    skiff.stroke("-.3,.14 .1,.02 .34,-.14", 0.02, rgb("#c9a678") * light.tint)


def barge(pen: Pen, x: float, y: float, long: float, coat: Colours, light: Light) -> None:
    """A narrow black boat, and a man with an oar who stands in its stern."""
    hull = pen.at(x, y, long, flip=pen.dice.chance(0.5))
    hull.fill("-.6,.2 -.4,-.05 .4,-.05 .62,.28 .38,.07 -.38,.06", rgb("#1f1a1c"))
    figure(hull, 0.3, 0.02, 0.5, coat, light)
    hull.stroke("0.42,.45 .1,-.18", 0.03, rgb("#5a4030"))


def gulls(pen: Pen, count: int, horizon: float, colour: Colours) -> None:
    """Birds in the sky above `horizon`."""
    for _ in range(count):
        x, y = pen.dice.between(0, 1), pen.dice.between(0.1, 0.8) * horizon
        pen.at(x, y, pen.dice.between(0.012, 0.024)).stroke("-1,.35 0,0 1,.45", 0.25, colour, 0.06)
