"""A wood with light between its trunks, and a village in winter."""

from __future__ import annotations

import math

import numpy as np

from gallery import scenery
from gallery.colour import WHITE, mix, ramp, rgb
from gallery.light import Light
from gallery.noise import Colours, bell, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.scenery import COATS
from gallery.story import Facts


def forest(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """Trunks, light between them, and a path or a stream."""
    dice = panel.dice
    birches, autumn, stream = dice.chance(0.45), dice.chance(0.45), dice.chance(0.4)
    leaf = dice.colour("#d98a2b #c9592b #e0b13a" if autumn else "#5f8a3c #7da04a #3f7350")
    glow_x, horizon = dice.between(0.35, 0.65), dice.between(0.56, 0.66)
    deep = light.on(mix(leaf, rgb("#22382c"), 0.62), 0.6)
    bright = mix(mix(leaf, rgb("#fff6c8"), 0.6), light.horizon, 0.35)
    stops = [(0.0, bright), (0.3, mix(bright, leaf * light.tint, 0.55)), (0.62, deep), (1.2, deep * 0.6)]
    panel.cover(ramp(stops, panel.distance(glow_x, horizon * 0.72) + 0.07 * panel.noise(0.16, 5)))
    soil, edge = mix(leaf, rgb("#3a3220"), 0.6), scenery.ridge(panel, horizon, 0.012, 0.4)
    scenery.ground(panel, edge, soil, mix(bright, leaf, 0.6), light, rough=0.3)
    depth = np.clip((panel.y - horizon) / (1 - horizon), 0, 1)
    # A path, or a stream, that comes out of the light.
    bend = glow_x + 0.16 * np.sin(depth * 3.0 + dice.between(0, 6)) * depth
    lane = bell(panel.x - bend, 0.02 + 0.15 * depth) * (panel.y > horizon) + 0.06 * panel.noise(0.06, stretch=3)
    floor = mix(bright, light.middle, 0.55) if stream else mix(bright, rgb("#b9925e"), 0.55) * light.tint
    panel.lay(smoothstep(0.4, 0.62, lane) * 0.88, floor)
    bark = rgb("#dcd6c6" if birches else "#4b382a")
    lit_bark = light.on(bark, 0.55 if birches else 0.4)
    with panel.pen() as pen:
        for plane, count in enumerate((15, 11, 8, 5, 3)):
            near = (plane + 1) / 5
            for x in (dice.between(0, 1) for _ in range(count)):
                # No trunk stands in the light itself.
                if abs(x - glow_x) > 0.05 + 0.09 * near:
                    foot = horizon + 0.02 + 0.34 * near**1.5 + dice.normal(0.015)
                    thick = 0.009 + 0.058 * near**2.1 * dice.between(0.7, 1.15)
                    tone = mix(mix(bright, bark, 0.35), lit_bark, near**0.7)
                    side = panel.dx(thick * (0.22 if x < glow_x else -0.22))
                    _trunk(pen, x, foot, thick, tone, mix(tone, bright, 0.4), side, near, birch=birches)
            for _ in range(190):
                x, y, size = dice.between(0, 1), float(dice.rng.beta(1.0, 2.6)) * horizon, 0.012 + 0.024 * near
                # Leaves are darker the farther they are from the light.
                shaded = dice.chance(1 - math.exp(-(((x - glow_x) / 0.26) ** 2)))
                dark, pale = (deep, leaf * light.tint) if shaded else (leaf, bright)
                tone = dice.vary(mix(dark, pale, dice.between(0, 1)) * (1.05 - 0.28 * near), 0.08)
                pen.dab(x, y, size * 1.6, size * 0.8, tone, dice.normal(0.9))
        for _ in range(240):
            x, d = dice.between(0, 1), dice.between(0, 1)
            y = horizon + 0.02 + d * (0.98 - horizon)
            # Nothing grows on the path.
            if abs(x - float(bend[int(y * panel.height), 0])) > 0.03 + 0.14 * d:
                tone = dice.vary(mix(leaf * light.tint, deep, dice.between(0, 1)), 0.1)
                pen.dab(x, y, 0.008 + 0.03 * d, 0.003 + 0.012 * d, tone, -1.2 + dice.normal(0.9))
    for _ in range(5):
        x, wide = glow_x + dice.normal(0.2), dice.between(0.015, 0.045)
        # Beams fall away from the light to both sides.
        beam = bell(panel.x - x - ((x - glow_x) * 0.9 + 0.12) * (panel.y - 0.3), wide)
        panel.screen(beam * smoothstep(0.95, 0.3, panel.y) * 0.22, mix(bright, light.sun, 0.5))
    return {"birches": birches, "autumn": autumn, "stream": stream, "leaf": leaf}


def _trunk(
    pen: Pen,
    x: float,
    foot: float,
    thick: float,
    tone: Colours,
    shine: Colours,
    side: float,
    near: float,
    *,
    birch: bool,
) -> None:
    """A trunk that leaves the picture at its upper edge, lit on one side: a birch with its marks, or a tree with boughs."""
    dice = pen.dice
    lean = dice.normal(0.03)
    path = [(x, foot), (x + lean * 0.4, foot * 0.5), (x + lean, -0.03)]
    pen.stroke(path, thick, tone * 0.8, thick * 0.55)
    pen.stroke([(u + side, v) for u, v in path], thick * 0.36, shine, thick * 0.2)
    for _ in range(int(5 + 10 * near) if birch else 0):
        part = dice.between(0, 1)
        mark = pen.at(x + lean * part, foot * (1 - part), thick)
        mark.dab(dice.normal(0.2), 0, dice.between(0.4, 0.9), 0.14, rgb("#2b2724"), 0.1)
    for way in () if birch else (-1, 1):
        part = 1 - dice.between(0.08, 0.4)
        bough = pen.at(x + lean * part, foot * (1 - part), near)
        bough.stroke([(0, 0), (0.12 * way, 0.09)], thick * 0.3 / near, tone * 0.8, 0.003)


def snow(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """A village in winter: white roofs, smoke, bare trees, tracks, people on the ice."""
    dice = panel.dice
    horizon, white = dice.between(0.42, 0.52), mix(rgb("#eef3fa"), light.horizon, 0.22)
    scenery.sky(panel, light, horizon)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.07, 0.035, 0.45), "#9aa6b8", light, far=0.7, snow=0.3)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.01, 0.02, 0.4), "#6d7d86", light, far=0.35, snow=0.1)
    drift = smoothstep(-1.1, 0.7, panel.noise(0.2, stretch=4) + 0.3)
    body = mix(mix(white * light.shadow, rgb("#8ea4cc"), 0.35), white * mix(light.tint, WHITE, 0.45), drift)
    panel.lay(panel.below(scenery.ridge(panel, horizon + 0.03, 0.012, 0.6)), body)
    pond = dice.chance(0.5)
    if pond:
        ice = panel.disc(dice.between(0.35, 0.65), 0.8, 0.42, squash=3.4, soft=5)
        panel.lay(ice * 0.85, mix(light.middle, rgb("#9fb4c8"), 0.5) * mix(light.shadow, WHITE, 0.55))
        panel.lay(ice * smoothstep(1.2, 2.0, panel.noise(0.03, 3, stretch=12)) * 0.7, white)
    else:
        depth = np.clip((panel.y - horizon) / (1 - horizon), 0, 1)
        # Two ruts of a road that winds towards us.
        road = np.abs(panel.x - 0.5 - 0.25 * np.sin(depth * 2.6 + dice.between(0, 6)) * depth)
        for side in (-1, 1):
            rut = bell(road - 0.02 * side - 0.05 * depth, 0.004 + 0.012 * depth) * (depth > 0.08)
            panel.shade(rut * 0.55, light.shadow)
    houses, people = dice.count(3, 5), dice.count(2, 7)
    lit, church = light.dark or dice.chance(0.3), dice.chance(0.6)
    places = sorted(dice.between(0.05, 0.95) for _ in range(houses))
    with panel.pen() as pen:
        for _ in range(22):
            tall = dice.between(0.05, 0.12)
            scenery.pine(pen, dice.between(0, 1), horizon + 0.025, tall, rgb("#3d5560") * light.tint, snow=True)
        if church:
            _church(pen, dice.between(0.3, 0.7), horizon + 0.05, light, lit=lit)
        for x in places:
            foot, wide, smoke = horizon + dice.between(0.06, 0.15), dice.between(0.13, 0.21), dice.chance(0.6)
            wall, roof = dice.colour("#a35a3c #c9a070 #8c6a52 #b9ab97 #7d3e33"), rgb("#6b4a3a")
            scenery.house(pen, x, foot, wide, wall, roof, light, lit=lit, snow=True, smoke=smoke)
        for _ in range(3):
            tree = pen.at(dice.between(0, 1), dice.between(horizon + 0.16, 0.86), dice.between(0.28, 0.5))
            _branch(tree, 0, 0, math.pi / 2 + dice.normal(0.08), 0.3, 5, light.on(rgb("#3a302c"), 0.5))
        for _ in range(people):
            x, y = dice.between(0.12, 0.88), dice.between(horizon + 0.2, 0.93)
            scenery.figure(pen, x, y, 0.045 + 0.1 * (y - horizon), dice.colour(COATS), light)
    for x in places if lit else []:
        panel.glow(x, horizon + 0.08, 0.1, rgb("#ffb45c"), 0.28)
    if light.name in {"overcast", "fog", "dusk", "storm"} or dice.chance(0.3):
        with panel.pen() as pen:
            for _ in range(420):
                flake = dice.between(0, 1), dice.between(0, 1), dice.between(0.0012, 0.0042)
                pen.disc(*flake, mix(white, WHITE, 0.5))
    return {"houses": houses, "people": people, "church": church, "pond": pond, "lit": lit}


def _church(pen: Pen, x: float, foot: float, light: Light, *, lit: bool) -> None:
    wall, church = rgb("#cbbfae"), pen.at(x, foot)
    scenery.house(church, 0.08, 0, 0.16, wall, rgb("#5b4a48"), light, lit=lit, snow=True)
    church.box(-0.028, 0, 0.028, 0.2, wall * light.tint)
    church.box(0.0056, 0, 0.028, 0.2, wall * light.shadow * 1.2)
    church.fill("-.034,.2 0,.35 .034,.2", rgb("#5b6470") * light.tint)
    church.fill("-.034,.2 0,.35 -.006,.2", mix(WHITE, light.shadow, 0.2))


def _branch(tree: Pen, x: float, y: float, angle: float, long: float, depth: int, colour: Colours) -> None:
    """A bough and all that grows out of it."""
    dice, thick = tree.dice, 0.06 * 0.62 ** (5 - depth)
    end = x + math.cos(angle) * long, y + math.sin(angle) * long
    tree.stroke([(x, y), end], thick, colour, thick * 0.65)
    for _ in range((2 if dice.chance(0.7) else 3) if depth else 0):
        _branch(tree, *end, angle + dice.normal(0.42), long * dice.between(0.62, 0.8), depth - 1, colour)
