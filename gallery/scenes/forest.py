"""A wood with light between the trunks."""

from __future__ import annotations

import math

import numpy as np

from gallery import scenery
from gallery.colour import mix, ramp, rgb
from gallery.light import Light
from gallery.noise import Colours, bell, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.story import Story, article


def forest(panel: Panel, light: Light, painter: Painter) -> Story:
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
                if abs(x - glow_x) > 0.05 + 0.09 * near:
                    foot = horizon + 0.02 + 0.34 * near**1.5 + dice.normal(0.015)
                    thick = 0.009 + 0.058 * near**2.1 * dice.between(0.7, 1.15)
                    tone = mix(mix(bright, bark, 0.35), lit_bark, near**0.7)
                    side = panel.dx(thick * (0.22 if x < glow_x else -0.22))
                    _trunk(pen, x, foot, thick, tone, mix(tone, bright, 0.4), side, near, birch=birches)
            for _ in range(190):
                x, y, size = dice.between(0, 1), float(dice.rng.beta(1.0, 2.6)) * horizon, 0.012 + 0.024 * near
                dark, pale = (
                    (deep, leaf * light.tint)
                    if dice.chance(1 - math.exp(-(((x - glow_x) / 0.26) ** 2)))
                    else (leaf, bright)
                )
                tone = dice.vary(mix(dark, pale, dice.between(0, 1)) * (1.05 - 0.28 * near), 0.08)
                pen.dab(x, y, size * 1.6, size * 0.8, tone, dice.normal(0.9))
        for _ in range(240):
            x, d = dice.between(0, 1), dice.between(0, 1)
            y = horizon + 0.02 + d * (0.98 - horizon)
            if abs(x - float(bend[int(y * panel.height), 0])) > 0.03 + 0.14 * d:
                tone = dice.vary(mix(leaf * light.tint, deep, dice.between(0, 1)), 0.1)
                pen.dab(x, y, 0.008 + 0.03 * d, 0.003 + 0.012 * d, tone, -1.2 + dice.normal(0.9))
    for _ in range(5):
        x, wide = glow_x + dice.normal(0.2), dice.between(0.015, 0.045)
        beam = bell(panel.x - x - ((x - glow_x) * 0.9 + 0.12) * (panel.y - 0.3), wide)
        panel.screen(beam * smoothstep(0.95, 0.3, panel.y) * 0.22, mix(bright, light.sun, 0.5))
    kind, season = "birch" if birches else "beech" if autumn else "oak", "autumn" if autumn else "summer"
    description = (
        f"Tall {kind} trunks stand close together in {article(season)} forest {light.phrase}. Light falls between the"
        f" trees on {'a quiet stream' if stream else 'a winding path'}, and the {painter.word(leaf)} leaves glow where it"
        " passes."
    )
    return Story(f"{kind.title()} Wood in {season.title()}{', with a Stream' if stream else ''}", description)


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
