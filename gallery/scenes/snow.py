"""A village in winter."""

from __future__ import annotations

import math

import numpy as np

from gallery import noise, scenery, staffage
from gallery.colour import mix, rgb
from gallery.light import Light
from gallery.noise import Colours
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.scenery import WHITE
from gallery.story import Story, listed, some


def snow(panel: Panel, light: Light, _painter: Painter) -> Story:
    """A village in winter: white roofs, smoke, bare trees, tracks, people on the ice."""
    rng = panel.rng
    horizon = float(rng.uniform(0.42, 0.52))
    scenery.sky(panel, light, horizon)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.07, 0.035, 0.45), rgb("#9aa6b8"), light, far=0.7, snow=0.3)
    white = mix(rgb("#eef3fa"), light.horizon, 0.22)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.01, 0.02, 0.4), rgb("#6d7d86"), light, far=0.35, snow=0.1)
    top = scenery.ridge(panel, horizon + 0.03, 0.012, 0.6)
    shade = mix(white * light.shadow, rgb("#8ea4cc"), 0.35)
    drift = panel.noise(0.2, octaves=4, stretch=4)
    body = mix(shade, white * mix(light.tint, WHITE, 0.45), noise.smoothstep(-1.1, 0.7, drift + 0.3))
    panel.lay(panel.below(top), np.clip(body, 0, 1))
    pond = rng.random() < 0.5
    if pond:
        ice = panel.disc(float(rng.uniform(0.35, 0.65)), 0.8, 0.42, squash=3.4, soft=5)
        panel.lay(ice * 0.85, mix(light.middle, rgb("#9fb4c8"), 0.5) * mix(light.shadow, WHITE, 0.55))
        scratches = noise.smoothstep(1.2, 2.0, panel.noise(0.03, octaves=3, stretch=12))
        panel.lay(ice * scratches * 0.7, white)
    else:
        depth = np.clip((panel.y - horizon) / (1 - horizon), 0, 1)
        road = np.abs(panel.x - 0.5 - 0.25 * np.sin(depth * 2.6 + rng.random() * 6) * depth)
        for side in (-1, 1):
            rut = np.exp(-(((road - 0.02 * side - 0.05 * depth) / (0.004 + 0.012 * depth)) ** 2)) * (depth > 0.08)
            panel.shade((rut * 0.55).astype(np.float32), light.shadow)
    houses = int(rng.integers(3, 6))
    lit = light.dark or rng.random() < 0.3
    church = rng.random() < 0.6
    people = int(rng.integers(2, 8))
    with panel.pen() as pen:
        for _ in range(22):
            x = float(rng.random())
            staffage.pine(
                pen, panel, x, horizon + 0.025, float(rng.uniform(0.05, 0.12)), rgb("#3d5560") * light.tint, snow=True
            )
        if church:
            cx = float(rng.uniform(0.3, 0.7))
            _church(pen, panel, cx, horizon + 0.05, light, lit=lit)
        places = np.sort(rng.random(houses)) * 0.9 + 0.05
        for x in places:
            foot = horizon + float(rng.uniform(0.06, 0.15))
            wall = rgb(str(rng.choice(["#a35a3c", "#c9a070", "#8c6a52", "#b9ab97", "#7d3e33"])))
            staffage.house(
                pen,
                panel,
                float(x),
                foot,
                float(rng.uniform(0.13, 0.21)),
                wall,
                rgb("#6b4a3a"),
                light,
                lit=lit,
                snow=True,
                smoke=rng.random() < 0.6,
            )
        for _ in range(3):
            _bare_tree(
                pen,
                panel,
                float(rng.random()),
                float(rng.uniform(horizon + 0.16, 0.86)),
                float(rng.uniform(0.28, 0.5)),
                rgb("#3a302c") * mix(light.shadow, light.tint, 0.5),
            )
        for _ in range(people):
            y = float(rng.uniform(horizon + 0.2, 0.93))
            coat = rgb(str(rng.choice(["#8a2f2a", "#2f3f5c", "#4a3a2c", "#b58a3a", "#3d5540"])))
            staffage.figure(pen, panel, float(rng.uniform(0.12, 0.88)), y, 0.045 + 0.1 * (y - horizon), coat, light)
    if lit:
        for x in places:
            panel.glow(float(x), horizon + 0.08, 0.1, rgb("#ffb45c"), 0.28)
    if light.name in {"overcast", "fog", "dusk", "storm"} or rng.random() < 0.3:
        with panel.pen() as pen:
            for _ in range(420):
                pen.disc(
                    float(rng.random()), float(rng.random()), float(rng.uniform(0.0012, 0.0042)), mix(white, WHITE, 0.5)
                )
    things = [some(houses, "a house", "houses") + " with snow on the roofs"]
    if church:
        things.append("a church with a pointed tower")
    out = "are out on the frozen pond" if pond else "walk along the white road"
    description = (
        f"A village lies deep in snow {light.phrase}: {listed(things)}, bare trees and firs."
        f" {some(people, 'One person', 'people').capitalize()} {out} in the winter cold"
        f"{', and the windows are lit' if lit else ''}."
    )
    return Story(
        str(
            rng.choice(
                [
                    "Winter Village",
                    "Snow in the Village",
                    "Deep Winter",
                    "The Frozen Pond" if pond else "The Snowy Road",
                ]
            )
        ),
        description,
        "landscape",
    )


def _church(pen: Pen, panel: Panel, x: float, foot: float, light: Light, *, lit: bool) -> None:
    wall = rgb("#cbbfae")
    staffage.house(pen, panel, x + panel.dx(0.08), foot, 0.16, wall, rgb("#5b4a48"), light, lit=lit, snow=True)
    wide, tall = panel.dx(0.028), panel.dy(0.2)
    pen.polygon(
        [(x - wide, foot), (x - wide, foot - tall), (x + wide, foot - tall), (x + wide, foot)], wall * light.tint
    )
    pen.polygon(
        [(x + wide * 0.2, foot), (x + wide * 0.2, foot - tall), (x + wide, foot - tall), (x + wide, foot)],
        wall * light.shadow * 1.2,
    )
    pen.polygon(
        [(x - wide * 1.2, foot - tall), (x, foot - tall - panel.dy(0.15)), (x + wide * 1.2, foot - tall)],
        rgb("#5b6470") * light.tint,
    )
    pen.polygon(
        [(x - wide * 1.2, foot - tall), (x, foot - tall - panel.dy(0.15)), (x - wide * 0.2, foot - tall)],
        mix(WHITE, light.shadow, 0.2),
    )


def _bare_tree(pen: Pen, panel: Panel, x: float, foot: float, tall: float, colour: Colours) -> None:
    rng = panel.rng

    def grow(px: float, py: float, angle: float, long: float, thick: float, depth: int) -> None:
        nx, ny = px + panel.dx(math.cos(angle) * long), py - panel.dy(math.sin(angle) * long)
        pen.stroke([(px, py), (nx, ny)], thick, colour, end=thick * 0.65)
        if depth:
            for _ in range(2 if rng.random() < 0.7 else 3):
                grow(
                    nx,
                    ny,
                    angle + float(rng.normal()) * 0.42,
                    long * float(rng.uniform(0.62, 0.8)),
                    thick * 0.62,
                    depth - 1,
                )

    grow(x, foot, math.pi / 2 + 0.08 * float(rng.normal()), tall * 0.3, tall * 0.06, 5)
