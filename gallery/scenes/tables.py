"""Things on a table: fruit, vessels and a cloth, or a bouquet in a vase."""

from __future__ import annotations

import math

import numpy as np

from gallery import solids
from gallery.colour import mix, rgb
from gallery.light import Light
from gallery.noise import Colours, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.story import SUBJECTS, Facts

_FRUIT, _VESSELS = SUBJECTS["still_life"]["fruit"], SUBJECTS["still_life"]["vessels"]
_BLOOMS = SUBJECTS["flowers"]["blooms"]


def still_life(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """Fruit, a vessel or two, and a cloth on a table."""
    dice = panel.dice
    table_y, middle = dice.between(0.6, 0.68), dice.between(0.4, 0.6)
    wall, linen = dice.colour("#4a3d30 #5d5a48 #3a4650 #6b4a3a #7a7868"), dice.colour("#efe8d8 #dfe6ea #c9404a #3f5f8a")
    solids.room(panel, wall, dice.colour("#6b4326 #8a5a34 #54402e #a07a50"), table_y)
    covered, bowl, grapes = dice.chance(0.65), dice.chance(0.6), dice.chance(0.45)
    if covered:
        solids.cloth(panel, linen, table_y)
    side, vessel = dice.pick(-1, 1), dice.pick(*_VESSELS)
    glass = vessel == "bottle" or (vessel == "goblet" and dice.chance(0.7))
    glaze = dice.colour("#3f5f7f #8a4a2c #5f6f4a #d9cfb8 #2c4a44 #a8a49c")
    colour = rgb("#2f4a34") if vessel == "bottle" else rgb("#cfd8d4") if glass else glaze
    x = middle + side * panel.dx(0.25)
    _paint_vessel(panel, x, table_y + panel.dy(0.035), vessel, colour, glass=glass, handle=-side)
    kinds = dice.some(dice.count(2, 3), list(_FRUIT))
    if bowl:
        bx, by = middle - side * panel.dx(0.11), table_y + panel.dy(0.1)
        solids.cast(panel, bx, by, 0.42, long=1.2)
        for row, count in ((1, 2), (0, 4)):
            for k in range(count):
                fx = bx + panel.dx((k - (count - 1) / 2) * 0.102 + dice.normal(0.006))
                fy = by - panel.dy(0.074 + 0.078 * row + dice.normal(0.006))
                _paint_fruit(panel, fx, fy, dice.pick(*kinds), 0.067)
        dish, bands = dice.colour("#e6dfce #7a5232 #c9cfd4 #466a86"), dice.pick((0.8,), ())
        profile, blue = "0,.55 .08,.6 .5,1.15 1,1.5", rgb("#35548a")
        solids.turned(panel, bx, by, 0.145, profile, dish, gloss=0.45, mouth=False, band=blue, bands=bands)
    spots = [(table_y + panel.dy(dice.between(0.1, 0.25)), dice.between(-0.42, 0.42)) for _ in range(dice.count(4, 6))]
    # From the back of the table to the front, so that near things cover far ones.
    for k, (fy, away) in enumerate(sorted(spots)):
        _paint_fruit(panel, middle + panel.dx(away), fy, kinds[k % len(kinds)], dice.between(0.068, 0.084))
    if grapes:
        gx, gy = middle + panel.dx(dice.between(-0.15, 0.15)), table_y + panel.dy(0.14)
        _paint_grapes(panel, gx, gy, dice.colour("#3a2448 #93a84a #5a1f3a"))
    panel.glow(0.0, 0.0, 0.9, light.sun, 0.1)
    facts = {"bowl": bowl, "covered": covered, "linen": linen, "glass": glass, "glaze": colour, "grapes": grapes}
    words = {"First": kinds[0].title(), "Vessel": vessel.title(), "fruit": kinds, "vessel": vessel}
    return facts | words | {"dark": wall.mean() < 0.32}


def _paint_vessel(
    panel: Panel, x: float, foot: float, vessel: str, colour: Colours, *, glass: bool, handle: int
) -> None:
    profile, tall, gloss = _VESSELS[vessel]
    tall *= 1.28
    solids.cast(panel, x, foot - panel.dy(0.01), tall * 0.54, long=1.5)
    clear = 0.0 if not glass else 0.75 if vessel == "goblet" else 0.35
    bands = (0.3, 0.52) if panel.dice.chance(0.5) and not glass else ()
    solids.turned(panel, x, foot, tall, profile, colour, gloss=gloss, clear=clear, band=rgb("#2f4f8a"), bands=bands)
    if vessel == "goblet" and glass:
        wine, y = "0,.3 .4,.72 1,.86", foot - panel.dy(tall * 0.8)
        with panel.pen() as pen:
            pen.disc(x, y, 0.085, rgb("#6a1422"), 0.26)
        solids.turned(panel, x, y + panel.dy(0.09), 0.1, wine, rgb("#7a1626"), gloss=0.5, mouth=False, clear=0.2)
    if vessel == "jug":
        angles = np.linspace(0.1, math.pi, 12).tolist()
        bow = [(0.07 + 0.1 * math.sin(a), tall * (0.88 - 0.55 * a / math.pi)) for a in angles]
        with panel.pen() as pen:
            grip = pen.at(x, foot, flip=handle < 0)
            grip.stroke(bow, 0.035, colour * 0.55, 0.028)
            grip.stroke([(u - 0.003, v) for u, v in bow[:9]], 0.012, colour * 1.25 + 0.05)


def _paint_fruit(panel: Panel, x: float, foot: float, kind: str, size: float) -> None:
    dice = panel.dice
    code, cheek, flat = _FRUIT[kind]
    size *= 0.82 if kind == "plums" else 1.0
    tone, blush = dice.vary(rgb(code), 0.06), rgb(cheek)
    y, top = foot - panel.dy(size * flat), foot - panel.dy(size * flat * 1.86)
    solids.cast(panel, x, foot - panel.dy(size * 0.12), size * 1.9)
    # A pear is three balls.
    if kind == "pears":
        top = foot - panel.dy(size * 2.6)
        for up, wide, high, gloss in ((0.95, 0.56, 1.35, 0.2), (0, 1, 0.95, 0.35), (0.62, 0.68, 0.9, 0.0)):
            solids.ball(panel, x, y - panel.dy(size * up), size * wide, tone, flat=high, gloss=gloss, blush=blush)
    else:
        gloss, pores = 0.12 if kind in {"peaches", "plums"} else 0.5, 0.9 if kind in {"oranges", "lemons"} else 0.0
        solids.ball(panel, x, y, size, tone, flat=flat, gloss=gloss, blush=blush, pores=pores)
    if kind == "lemons":
        solids.ball(panel, x + panel.dx(size * 1.02), y + panel.dy(size * 0.1), size * 0.2, tone, gloss=0.1)
    elif kind != "oranges":
        with panel.pen() as pen:
            stalk = pen.at(x, top, size)
            stalk.disc(0.03, -0.06, 0.17, tone * 0.45, 0.4)
            stalk.stroke("0,-.05 .2,.36", 0.1, rgb("#4a3520"), 0.08)
            if dice.chance(0.35):
                stalk.dab(0.5, 0.2, 0.9, 0.34, dice.vary(rgb("#5d7a35"), 0.12), 0.4)


def _paint_grapes(panel: Panel, x: float, y: float, colour: Colours) -> None:
    dice = panel.dice
    solids.cast(panel, x, y + panel.dy(0.06), 0.26)
    with panel.pen() as pen:
        bunch = pen.at(x, y)
        bunch.stroke("0,.07 .04,.12 .02,.16", 0.009, rgb("#5a4428"), 0.006)
        for side in (-1, 1):
            bunch.dab(0.07 * side, 0.09, 0.13, 0.075, dice.vary(rgb("#56713a"), 0.14), -0.5 * side)
    spots = [(dice.normal(0.055) * (1.2 - 0.9 * d), d * 0.17 - 0.06) for d in dice.rng.random(26).tolist()]
    for u, v in sorted(spots, key=lambda spot: -abs(spot[0])):
        grape = dice.vary(colour, 0.12)
        solids.ball(panel, x + panel.dx(u), y + panel.dy(v), dice.between(0.022, 0.028), grape, gloss=0.6, flat=1.08)


def flowers(panel: Panel, _light: Light, painter: Painter) -> Facts:
    """A bouquet in a vase."""
    dice = panel.dice
    table_y, x = dice.between(0.76, 0.83), 0.5 + dice.normal(0.04)
    dark = painter.touch.shape == "brush" and painter.touch.relief < 0.5
    wall = dice.colour("#2f2a26 #3a3a34 #2a3238" if dark else "#8fb3b0 #d9cfae #a8a2c4 #7fa0b8 #e0c48a")
    solids.room(panel, wall, dice.colour("#6b4326 #a8825a #7a6a5a"), table_y)
    if not dark:
        panel.lay(smoothstep(0.6, 1.4, panel.noise(0.2)) * 0.3 * (panel.y < table_y), np.clip(wall * 1.2, 0, 1))
    foot, glaze = table_y + panel.dy(0.08), dice.colour("#3f5f8f #e8e2d2 #7a9a8a #a5502f #2f3f3a")
    shape = dice.pick("0,.22 .05,.2 .4,.36 .7,.3 .9,.17 1,.22", "0,.2 .1,.22 .6,.27 1,.33")
    solids.cast(panel, x, foot - panel.dy(0.015), 0.26, long=1.6)
    rings = (0.35, 0.62) if dice.chance(0.5) else ()
    solids.turned(panel, x, foot, 0.32, shape, glaze, gloss=0.8, band=rgb("#c8a44a"), bands=rings)
    kinds, leaf = dice.some(dice.count(2, 3), list(_BLOOMS)), dice.colour("#4f7a3f #3f6a4f #6b8a45")
    total, fallen, heads = dice.count(15, 22), dice.count(0, 3), []
    for k in range(total):
        # The golden angle spreads the heads evenly, as seeds of a sunflower.
        angle, away = k * 2.39996 + dice.normal(0.3), math.sqrt((k + 0.5) / total)
        heads.append((away, math.cos(angle) * away * 0.33, 0.25 - math.sin(angle) * away * 0.27))
    with panel.pen() as pen:
        bouquet = pen.at(x, foot - panel.dy(0.31))
        for _, u, v in heads:
            stem = [(u * 0.12, -0.02), (u / 2, v / 2 - 0.03), (u, v)]
            bouquet.stroke(stem, 0.008, dice.vary(leaf * 0.6, 0.1), 0.006)
        for _ in range(95):
            angle, away = dice.between(0, 6.3), math.sqrt(dice.between(0, 1))
            lit = (0.5 - 0.5 * math.cos(angle + 0.7) * away) * dice.between(0.5, 1)
            green, wide = dice.vary(mix(leaf * 0.3, leaf * 1.15, lit), 0.1), dice.between(0.06, 0.13)
            u, v = math.cos(angle) * away * 0.36, 0.2 - math.sin(angle) * away * 0.29
            bouquet.dab(u, v, wide, dice.between(0.02, 0.04), green, dice.normal(0.5) - angle)
        # From the outside in: the flowers in the middle are nearest to us.
        for k, (away, u, v) in enumerate(sorted(heads, reverse=True)):
            lit = min(max(0.62 + 0.38 * (1 - away) - 0.35 * u + 0.25 * (v - 0.22), 0.35), 1.05)
            kind = kinds[0] if k % 3 else kinds[1 + k % (len(kinds) - 1)]
            code, form = _BLOOMS[kind]
            colour, bloom = dice.vary(rgb(code), 0.06) * lit, bouquet.at(u, v, dice.between(0.055, 0.085))
            _paint_bloom(bloom, form, colour * 0.45, np.clip(colour * 1.1, 0, 1), lit, dark_heart=kind == "sunflowers")
        for _ in range(fallen * 2):
            place = x + panel.dx(dice.normal(0.3)), table_y + panel.dy(dice.between(0.05, 0.13))
            pen.dab(*place, 0.045, 0.02, rgb(_BLOOMS[kinds[0]][0]) * 0.85, dice.normal(0.3))
    words = {"First": kinds[0].title(), "Second": kinds[1].title(), "kinds": kinds}
    return words | {"glaze": glaze, "dark": dark, "wall": wall, "fallen": fallen > 0}


def _paint_bloom(bloom: Pen, form: str, deep: Colours, bright: Colours, lit: float, *, dark_heart: bool) -> None:
    """A flower of radius 1: `ray` like a daisy, `cup` like a tulip, or `rose`."""
    dice = bloom.dice
    if form == "ray":
        for ring in (1.0, 0.8):
            for k in range(17):
                angle = 2 * math.pi * (k + 0.5 * (ring < 1)) / 17 + dice.normal(0.1)
                tone = mix(deep, bright, dice.between(0.6, 1) * (0.8 if ring == 1 else 1))
                bloom.dab(math.cos(angle) * 0.62 * ring, math.sin(angle) * 0.55 * ring, 0.85, 0.26, tone, angle)
        heart = rgb("#4a2c14" if dark_heart else "#e8b830") * lit
        bloom.disc(0, 0, 0.42 if dark_heart else 0.26, heart * 0.7)
        bloom.disc(-0.06, 0.06, 0.3 if dark_heart else 0.18, heart)
    elif form == "cup":
        for k in range(6):
            angle = math.pi / 2 + (k - 2.5) * 0.42
            tone = mix(deep, bright, 0.35 + 0.65 * dice.between(0, 1))
            bloom.dab(math.cos(angle) * 0.4, math.sin(angle) * 0.4 - 0.2, 1.35, 0.62, tone, angle)
        bloom.dab(0, -0.1, 1.2, 0.6, mix(deep, bright, 0.8), math.pi / 2)
        bloom.disc(0, -0.05, 0.12, deep * 0.6)
    else:
        bloom.disc(0, 0, 0.9, mix(deep, bright, 0.35))
        for ring in range(4):
            radius = 0.85 - 0.2 * ring
            for k in range(8 - ring):
                angle = 2 * math.pi * k / (8 - ring) + ring * 0.7 + dice.normal(0.15)
                shine = min(max(0.55 - 0.3 * math.cos(angle + 0.8) + dice.normal(0.12), 0), 1)
                u, v = math.cos(angle) * radius * 0.72, math.sin(angle) * radius * 0.66
                bloom.dab(u, v, radius * 0.95, radius * 0.5, mix(deep, bright, shine), angle + math.pi / 2)
        bloom.disc(0, 0, 0.13, deep)
