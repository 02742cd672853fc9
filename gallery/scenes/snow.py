"""A village in winter."""

from __future__ import annotations

import math

import numpy as np

from gallery import scenery, staffage
from gallery.colour import WHITE, mix, rgb
from gallery.light import Light
from gallery.noise import Colours, bell, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.staffage import COATS
from gallery.story import Story, listed, some


def snow(panel: Panel, light: Light, _painter: Painter) -> Story:
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
            staffage.pine(pen, dice.between(0, 1), horizon + 0.025, tall, rgb("#3d5560") * light.tint, snow=True)
        if church:
            _church(pen, dice.between(0.3, 0.7), horizon + 0.05, light, lit=lit)
        for x in places:
            foot, wide, smoke = horizon + dice.between(0.06, 0.15), dice.between(0.13, 0.21), dice.chance(0.6)
            wall, roof = dice.colour("#a35a3c #c9a070 #8c6a52 #b9ab97 #7d3e33"), rgb("#6b4a3a")
            staffage.house(pen, x, foot, wide, wall, roof, light, lit=lit, snow=True, smoke=smoke)
        for _ in range(3):
            tree = pen.at(dice.between(0, 1), dice.between(horizon + 0.16, 0.86), dice.between(0.28, 0.5))
            _branch(tree, 0, 0, math.pi / 2 + dice.normal(0.08), 0.3, 5, light.on(rgb("#3a302c"), 0.5))
        for _ in range(people):
            x, y = dice.between(0.12, 0.88), dice.between(horizon + 0.2, 0.93)
            staffage.figure(pen, x, y, 0.045 + 0.1 * (y - horizon), dice.colour(COATS), light)
    for x in places if lit else []:
        panel.glow(x, horizon + 0.08, 0.1, rgb("#ffb45c"), 0.28)
    if light.name in {"overcast", "fog", "dusk", "storm"} or dice.chance(0.3):
        with panel.pen() as pen:
            for _ in range(420):
                flake = dice.between(0, 1), dice.between(0, 1), dice.between(0.0012, 0.0042)
                pen.disc(*flake, mix(white, WHITE, 0.5))
    things = [some(houses, "a house", "houses") + " with snow on the roofs"]
    things += ["a church with a pointed tower"] if church else []
    description = (
        f"A village is deep in snow {light.phrase}: {listed(things)}, bare trees and firs."
        f" {some(people, 'One person', 'people').capitalize()} {'are out on the frozen pond' if pond else 'walk along the white road'}"
        f" in the winter cold{', and the windows are lit' if lit else ''}."
    )
    title = dice.pick(
        "Winter Village", "Snow in the Village", "Deep Winter", "The Frozen Pond" if pond else "The Snowy Road"
    )
    return Story(title, description)


def _church(pen: Pen, x: float, foot: float, light: Light, *, lit: bool) -> None:
    wall, church = rgb("#cbbfae"), pen.at(x, foot)
    staffage.house(church, 0.08, 0, 0.16, wall, rgb("#5b4a48"), light, lit=lit, snow=True)
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
