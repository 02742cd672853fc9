"""A room with the light of a window."""

from __future__ import annotations

import math

import numpy as np

from gallery import solids
from gallery.colour import WHITE, mix, rgb
from gallery.light import Light
from gallery.noise import Colours, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel, Pen, Point
from gallery.story import Facts


def interior(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """A room with a window on the left whose light falls across the wall and the floor."""
    dice = panel.dice
    wall = dice.colour("#b8b09c #9fa8a4 #c4a882 #8a9a94 #a88a78 #c9bfae")
    boards = dice.colour("#8a6240 #6b4a34 #a07a54 #6f6a64")
    corner, floor, tiles = dice.between(0.2, 0.27), dice.between(0.72, 0.78), dice.chance(0.45)
    sun, sunny = mix(light.sun, light.horizon, 0.3), light.height > 0
    glow = np.clip(1.18 - panel.distance(0.28, 0.42) * 0.95, 0.22, 1.2) + 0.035 * panel.noise(0.3)
    panel.cover(wall * light.tint * glow[..., None])
    side = panel.polygon([(0, -0.1), (corner, 0.06), (corner, floor), (0, 1.06)])
    panel.lay(side, light.on(wall, 0.35) * (0.72 + 0.25 * panel.x / corner)[..., None])
    ground = panel.polygon([(corner, floor), (1.1, floor), (1.1, 1.1), (-0.06, 1.1), (0, 1.06)])
    depth = np.clip((panel.y - floor) / (1 - floor), 0.001, 1)
    fan = (panel.x - 0.42) / (0.45 + depth)
    if tiles:
        check = smoothstep(-0.06, 0.06, np.sin(fan * 34) * np.sin(16 / (0.35 + depth * 0.75)))
        plank = mix(boards * 0.55, mix(boards, rgb("#e4dccb"), 0.6), check)
    else:
        seam = smoothstep(0.86, 0.98, np.cos(fan * 62))
        plank = boards * (1 + 0.09 * panel.noise(0.015, 3, stretch=9) - 0.4 * seam)[..., None]
    panel.lay(ground, plank * light.tint * np.clip(glow * 0.85 - 0.15 * depth, 0.15, 1.1)[..., None])
    skirting = panel.polygon([(corner, floor - 0.025), (1.1, floor - 0.025), (1.1, floor), (corner, floor)])
    panel.lay(skirting, mix(wall, WHITE, 0.2) * light.tint * 0.62)
    _window(panel, light, corner, floor)
    if sunny:
        slant = dice.between(0.008, 0.016)
        for k in range(4):
            x, y = 0.4 + 0.14 * (k % 2), 0.2 + 0.17 * (k // 2) + 0.03 * (k % 2)
            pane = [(x, y), (x + 0.125, y + 0.03), (x + 0.125 - slant, y + 0.185), (x - slant, y + 0.15)]
            panel.screen(panel.polygon(pane, soft=0.006) * 0.42, sun)
        # The light of the window on the floor, drawn out.
        for x in (0.3, 0.47):
            patch = [(x, floor + 0.03), (x + 0.14, floor + 0.03), (x + 0.24, 0.93), (x + 0.06, 0.93)]
            panel.screen(panel.polygon(patch, soft=0.01) * 0.5 * ground, sun)
    # After the light on wall and floor, and before the beam, which brightens things as well.
    things = _furnish(panel, light, floor)
    beam = panel.polygon([(corner * 0.6, 0.18), (corner * 0.6, 0.45), (0.75, 1.0), (0.3, 1.0)], soft=0.07)
    panel.screen(beam * 0.13, sun)
    return {"wall": wall * light.tint, "tiles": tiles, "sunny": light.height > 0.3, **things}


def _window(panel: Panel, light: Light, corner: float, floor: float) -> None:
    """The window in the side wall: `u` goes from the picture's edge to the corner, `v` from ceiling to floor."""

    def at(u: float, v: float) -> Point:
        top, bottom = -0.1 + 0.16 * u, 1.06 + (floor - 1.06) * u
        return corner * u, top + (bottom - top) * v

    def pane(left: float, top: float, right: float, bottom: float) -> list[Point]:
        return [at(left, top), at(right, top), at(right, bottom), at(left, bottom)]

    dice, sunny = panel.dice, light.height > 0
    frame = mix(rgb("#e9e2d2"), light.haze, 0.3) * light.tint
    panel.lay(panel.polygon(pane(0.16, 0.17, 0.86, 0.69)), frame * 0.8)
    glass = panel.polygon(pane(0.21, 0.195, 0.81, 0.66))
    sky = mix(light.middle, light.horizon, np.clip((panel.y - 0.1) / 0.5, 0, 1))
    panel.lay(glass, mix(sky, WHITE, 0.35 if sunny else 0.1))
    trees = smoothstep(0.45, 0.5, panel.y + 0.03 * panel.noise(0.05, 3))
    panel.lay(glass * trees, mix(rgb("#5f7d55") * light.tint, light.haze, 0.5))
    with panel.pen() as pen:
        for u in (0.41, 0.61):
            pen.stroke([at(u, 0.19), at(u, 0.665)], 0.009, frame)
        for v in (0.31, 0.43, 0.55):
            pen.stroke([at(0.2, v), at(0.82, v)], 0.007, frame * 0.95)
        pen.fill(pane(0.12, 0.69, 0.94, 0.715), mix(frame, WHITE, 0.4))
        cloth = dice.colour("#f0eadc #b84a3c #6a8a9a #c9a85a")
        for k in range(14):
            (x, y), bulge = at(0.8 + 0.012 * k, 0.14), 0.012 * math.sin(k * 1.3)
            fold = [(x, y), (x + bulge, 0.45), (x + bulge * 1.6 + 0.004 * k, at(0.9, 0.8)[1])]
            pen.stroke(fold, 0.016, light.on(cloth, 0.35 + 0.6 * abs(math.sin(k * 1.15))), 0.02)
    panel.glow(corner * 0.5, 0.4, 0.42, mix(light.sun, light.horizon, 0.4), 0.35 if sunny else 0.15)


def _furnish(panel: Panel, light: Light, floor: float) -> Facts:
    """Put a table, a chair and what belongs to them into the room, and tell what is there."""
    dice = panel.dice
    wood, glaze = dice.colour("#5a3a24 #7a5232 #3f2c22"), dice.colour("#3f5f8a #e4dccb #8a4a2c #5f7a5a")
    bright, dim, top = wood * light.tint * 1.1, wood * light.shadow * 0.8, floor - 0.02
    names, x = ["a table"], dice.between(0.6, 0.74)
    shadow = [(0.5, floor + 0.14), (0.98, floor + 0.1), (1.02, floor + 0.16), (0.55, floor + 0.19)]
    panel.shade(panel.polygon(shadow, soft=0.02) * 0.6, rgb("#3a3038"))
    with panel.pen() as pen:
        if dice.chance(0.8):
            _picture(pen.at(dice.between(0.7, 0.76), dice.between(0.33, 0.39)), light, dim)
            names.append("a framed picture on the wall")
        for left, down in ((0.52, 0.16), (0.83, 0.16), (0.57, 0.09), (0.88, 0.09)):
            pen.stroke([(left, top), (left, floor + down)], 0.022, dim if down < 0.1 else mix(bright, dim, 0.4), 0.016)
        pen.fill([(0.48, top + 0.02), (0.55, top - 0.035), (0.92, top - 0.035), (0.87, top + 0.02)], bright)
        pen.box(0.48, top + 0.02, 0.87, top + 0.045, dim)
    if dice.chance(0.75):
        profile = "0,.24 .06,.26 .4,.38 .7,.22 .9,.16 1,.22"
        solids.turned(panel, x, top, 0.16, profile, glaze * light.tint, gloss=0.6)
        petal = dice.colour("#d9657a #f2b41f #f4ece0")
        with panel.pen() as pen:
            bunch = pen.at(x, top)
            for _ in range(26):
                a, r = dice.between(0, 6.3), 0.075 * math.sqrt(dice.between(0, 1))
                u, v = math.cos(a) * r, 0.22 + math.sin(a) * r * 0.9
                bunch.stroke([(0, 0.15), (u, v)], 0.004, rgb("#3f5a38") * light.tint)
                tone = light.on(petal if dice.chance(0.55) else rgb("#55703f"), dice.between(0.4, 1))
                bunch.dab(u, v, 0.036, 0.02, dice.vary(tone, 0.08), a)
        names.append("a vase with flowers")
    if dice.chance(0.6):
        for k, skin in enumerate(("#b8442f", "#d9a12f", "#b8442f")):
            place = x + panel.dx(0.12 + 0.055 * k), top - panel.dy(0.018)
            solids.ball(panel, *place, 0.03, rgb(skin) * light.tint, gloss=0.4)
        names.append("some fruit")
    names.append("a chair")
    dress = dice.colour("#2f3f5f #7a3a34 #c9a24a #4a4a50")
    with panel.pen() as pen:
        _chair(
            pen.at(dice.between(0.4, 0.47), floor), panel.height / panel.short, light, mix(wood, rgb("#8a5a34"), 0.3)
        )
        empty = dice.chance(0.4)
        if not empty:
            _reader(pen.at(dice.between(0.5, 0.56), floor + 0.12, 0.56), light, dress)
    return {"things": names, "empty": empty, "dress": dress * light.tint}


def _picture(frame: Pen, light: Light, dark: Colours) -> None:
    """A small landscape in a gilded frame."""
    tone = frame.dice.colour("#5f7f8a #7a8a55 #a8734a")
    frame.box(0.008, -0.014, 0.23, 0.16, dark * 0.6)
    frame.box(0, 0, 0.22, 0.17, rgb("#b08a3f") * light.tint * 0.9)
    frame.box(0.02, 0.06, 0.2, 0.153, mix(tone, WHITE, 0.45) * light.tint * 0.8)
    frame.fill("0.02,.07 .11,.085 .2,.065 .2,.017 .02,.017", tone * light.tint * 0.6)


def _chair(chair: Pen, tall: float, light: Light, wood: Colours) -> None:
    """A chair with a rush seat; `tall` is the picture's height in short sides."""
    bright, dim = wood * light.tint, wood * light.shadow * 0.75
    for u, v in ((-0.07, 0.15), (0.07, 0.14), (-0.035, 0.1), (0.091, 0.09)):
        chair.stroke([(u, 0), (u, -v * tall)], 0.014, dim, 0.01)
    low, high = -0.012 * tall, 0.022 * tall
    chair.fill([(-0.077, low), (-0.035, high), (0.098, high), (0.077, low)], rgb("#c9a868") * light.tint)
    chair.box(-0.077, low, 0.077, low - 0.014 * tall, dim)
    for u in (-0.035, 0.0945):
        chair.stroke([(u, 0), (u - 0.008, 0.19)], 0.014, bright, 0.012)
    for k in range(3):
        chair.stroke([(-0.035, 0.17 - 0.045 * k), (0.0945, 0.17 - 0.045 * k)], 0.012, mix(bright, dim, 0.2 + 0.2 * k))


def _reader(woman: Pen, light: Light, dress: Colours) -> None:
    """A standing woman in profile, turned to the window with a letter in her hands."""
    bright, dim = dress * light.tint * 1.15, dress * light.shadow * 0.7
    skin, hair = rgb("#e0b08c") * light.tint, rgb("#5a3a22") * light.tint
    woman.fill("-.17,0 -.13,.25 -.075,.53 .08,.53 .15,.25 .2,0", mix(bright, dim, 0.45))
    woman.fill("-.17,0 -.13,.25 -.075,.53 -.03,.53 -.06,.2 -.08,0", bright)
    woman.fill("0.06,.53 .08,.53 .15,.25 .2,0 .08,0", dim)
    for k in range(4):
        woman.stroke([(-0.03 + 0.02 * k, 0.5), (-0.06 + 0.06 * k, 0.02)], 0.0125, dim, 0.021)
    woman.fill("-.08,.53 -.1,.68 -.06,.8 .06,.81 .095,.7 .08,.53", mix(bright, dim, 0.25))
    woman.fill("0.03,.8 .06,.81 .095,.7 .08,.53 .04,.53", dim)
    woman.stroke("0.03,.77 .04,.63 -.1,.645", 0.07, mix(bright, dim, 0.15), 0.046)
    woman.disc(-0.125, 0.65, 0.025, skin)
    woman.fill("-.2,.7 -.11,.675 -.1,.62 -.19,.64", rgb("#f9f4ea"))
    woman.stroke("0,.8 -.005,.86", 0.064, skin * 0.8)
    woman.dab(-0.018, 0.905, 0.18, 0.134, skin, -1.45)
    woman.fill("-.055,.91 -.078,.885 -.055,.875", skin)
    woman.dab(0.018, 0.935, 0.19, 0.15, hair, -0.5)
    woman.disc(0.065, 0.9, 0.046, hair * 0.9)
    woman.fill("-.075,.805 .06,.82 .075,.775 -.07,.77", rgb("#efe8da") * light.tint)
