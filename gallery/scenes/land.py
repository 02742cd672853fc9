"""Mountains, fields and dunes."""

from __future__ import annotations

import math

import numpy as np

from gallery import scenery
from gallery.colour import WHITE, mix, rgb
from gallery.light import Light
from gallery.noise import Colours, bell, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.story import SUBJECTS, Facts


def mountains(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """Ranges behind ranges with mist between them, often with a lake in front."""
    dice = panel.dice
    night = light.name == "night"
    low = 0.5 if night else 1.0  # so that the moon stands above the mountains
    lake, snowy = night or dice.chance(0.5), dice.chance(0.6)
    horizon = dice.between(0.62, 0.7) if lake else dice.between(0.7, 0.8)
    sun_x = scenery.sky(panel, light, horizon)
    rock, layers = dice.colour("#6c7486 #7d7268 #5f7468 #84748c"), dice.count(4, 5)
    for k in range(layers):
        far = 1 - (k + 0.35) / layers
        top = horizon - (0.34 - 0.26 * (k / (layers - 1))) * low + dice.normal(0.02) * low
        edge = scenery.ridge(panel, top, 0.085 * (0.45 + far) * low, 0.42 - 0.05 * k, gain=0.52)
        if k == 0:
            # One summit stands out of the farthest range.
            cone = np.maximum(0, 1 - np.abs(panel.x[0] - dice.between(0.3, 0.7)) / 0.34) ** 1.5
            edge = edge - cone * dice.between(0.12, 0.2) * low
        tone = mix(rock, rgb("#43583a"), 0.85 * (k / layers) ** 1.3)
        scenery.slope(panel, edge, tone, light, far=far * 0.8, snow=0.22 if snowy and k < 2 else 0.0, rock=0.55)
        if k < layers - 1:
            # Banks of mist between the ranges keep them apart.
            drift = smoothstep(-0.3, 1.5, panel.noise(0.12, stretch=7))
            panel.lay(drift * bell(panel.y - top - 0.13, 0.05) * 0.75, mix(light.haze, WHITE, 0.12))
    bank = scenery.ridge(panel, horizon + 0.1, 0.02, 0.5)
    hut = dice.between(0.15, 0.85)
    if night:
        with panel.pen() as pen:
            scenery.house(pen, hut, horizon + 0.004, 0.085, rgb("#4a4038"), rgb("#2a2624"), light, lit=True)
        panel.glow(hut, horizon - 0.02, 0.09, rgb("#ffb45c"), 0.4)
    if lake:
        scenery.water(panel, horizon, light, rgb("#4c6a74"), dice.between(0.75, 0.95), sun_x)
        bank = scenery.ridge(panel, 0.95, 0.018, 0.3)
    scenery.ground(panel, bank, rgb("#4c5632"), rgb("#7b8350"), light, rough=0.22)
    side = dice.pick(0, 1)
    with panel.pen() as pen:
        for k in range(dice.count(6, 12)):
            away = float(dice.rng.beta(1.1, 3.2))
            x, tall = abs(side - away), dice.between(0.14, 0.34) * (1.15 - 0.6 * away)
            green = dice.vary(light.on(rgb("#2c4634"), 0.55), 0.08)
            scenery.pine(pen, x, panel.height_at(bank, x) + 0.03 + 0.003 * k, tall, green)
        if night:
            x, y = sun_x + dice.normal(0.03), dice.between(0.78, 0.84)
            scenery.rowing_boat(pen, x, y, 0.17, rgb("#3a2f2a"), light)
            scenery.figure(pen, x, y, 0.08, rgb("#2a2a30"), light)
    return {"night": night, "snowy": snowy, "lake": lake, "right": bool(side), "haze": light.haze}


_CROPS = SUBJECTS["meadow"]["crops"]
"""By title: what a description calls it, and the colours of the field, of the field far away, and of what grows on it."""


def meadow(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """Flowering or ripe fields under a wide sky, with trees and a farmhouse."""
    dice = panel.dice
    horizon = dice.between(0.36, 0.52)
    scenery.sky(panel, light, horizon)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.045, 0.022, 0.5), "#6d8790", light, far=0.75)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.01, 0.016, 0.4), "#5f7f56", light, far=0.4)
    title = dice.pick(*_CROPS)
    crop, field, far_field, spots = _CROPS[title]
    wheat, lavender = "wheat" in crop, "lavender" in crop
    scenery.ground(panel, horizon + 0.015, rgb(field), rgb(far_field), light, rough=0.13)
    vanish = dice.between(0.3, 0.7)
    depth = np.clip((panel.y - horizon) / (1 - horizon), 0.001, 1)
    # Furrows run towards one point on the horizon.
    fan = (panel.x - vanish) / (depth + 0.12)
    furrow = np.sin(fan * (46 if lavender else 26) + 0.35 * panel.noise(0.2, 2)) * (panel.y > horizon + 0.02)
    panel.shade(smoothstep(0.1, 0.8, furrow) * (0.5 if lavender else 0.22), light.shadow)
    # A path that bends to one side and widens towards us.
    path = bell(panel.x - vanish - 0.3 * depth**1.4, 0.012 + 0.075 * depth) * (panel.y > horizon + 0.03)
    panel.lay(smoothstep(0.35, 0.7, path) * 0.8, rgb("#cfae7c") * light.tint)
    trees, cypress = dice.count(2, 4), dice.chance(0.4)
    with panel.pen() as pen:
        for _ in range(26):
            size, bush = dice.between(0.012, 0.03), dice.vary(light.on(rgb("#4b6b3c"), 0.6), 0.15)
            pen.dab(dice.between(0, 1), horizon + 0.008, size * 2.4, size, bush)
        x, wide, wall = dice.between(0.15, 0.85), dice.between(0.1, 0.16), dice.colour("#e6d6b8 #d9a98a #efe9dd")
        scenery.house(pen, x, horizon + 0.05, wide, wall, rgb("#a4482e"), light, lit=light.dark)
        for k in range(trees):
            place = (x + 0.14 + 0.2 * k + dice.normal(0.04)) % 1.0, horizon + dice.between(0.05, 0.14)
            leaf = rgb("#34573a" if cypress else "#5d8440")
            scenery.leafy(pen, *place, dice.between(0.2, 0.36), leaf, light, slim=0.3 if cypress else 1.0)
        for _ in range(900):
            # Plants are near more often than far, and larger there.
            d = dice.between(0, 1) ** 0.65
            plant = pen.at(dice.between(0, 1), horizon + 0.05 + d * (0.97 - horizon), 0.004 + 0.017 * d * d)
            bloom = dice.vary(rgb(spots if not wheat or dice.chance(0.6) else "#a9781f") * light.tint, 0.12)
            if wheat:
                plant.stroke("0,0 .5,3.5", 0.24, bloom, 0.05)
            else:
                plant.stroke("0,0 0,-1.8", 0.2, dice.vary(light.on(rgb("#5c7d38"), 0.5), 0.1))
                plant.dab(0, 0, 0.9 if lavender else 1.3, 1, bloom, math.pi / 2 if lavender else 0.0)
    return {"title": title, "crop": crop, "trees": trees, "cypress": cypress, "sky": light.middle}


def desert(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """Dunes with sharp crests, and a caravan or palms."""
    dice = panel.dice
    horizon, sand = dice.between(0.42, 0.54), dice.colour("#d9a45a #dd8e55 #e3bf80 #cf7d4c")
    scenery.sky(panel, light, horizon)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.035, 0.03, 0.3), "#a2746a", light, far=0.6, rock=0.5)
    panel.lay(panel.below(horizon), mix(sand, light.haze, 0.45) * light.tint)
    ripple, planes, crests = panel.noise(0.012, 2, stretch=9), dice.count(4, 5), []
    for k in range(planes):
        near = (k + 1) / planes
        swing, phase, speed = 0.02 + 0.085 * near, dice.between(0, 6.3), dice.between(3.0, 6.5) * (1.25 - 0.5 * near)
        at = panel.x[0] * speed + phase
        edge = horizon + 0.01 + 0.76 * near**1.5 * (1 - horizon) + 0.006 * near * panel.line(0.4, 2)
        edge += swing * (np.sin(at) - 0.5 * np.abs(np.sin(panel.x[0] * speed * 0.5 + phase)) ** 4)
        crests.append(edge)
        deep = np.maximum(panel.y - edge, 0) / (0.12 + 0.25 * near)
        border = deep - 0.375 - 0.375 * np.cos(at) - 0.05 * panel.noise(0.15, 3)
        # The lee side of a dune lies in shadow.
        lee = smoothstep(0.06, -0.1, border) * smoothstep(-0.35, 0.2, np.cos(at))
        dark = mix(sand, rgb("#8a4f4a"), 0.45) * light.shadow * 1.15
        body = mix(sand * light.tint * (1.1 - 0.12 * near), dark, lee * 0.85)
        body = body * (1 + (0.03 + 0.05 * near) * ripple * (1 - 0.6 * lee))[..., None]
        panel.lay(panel.below(edge), mix(body, light.haze, 0.5 * (1 - near)))
    camels = dice.count(3, 6) if dice.chance(0.65) else 0
    dark, flip = light.on(rgb("#4a2e26"), 0.5), dice.chance(0.5)
    with panel.pen() as pen:
        x = dice.between(0.15, 0.45) if camels else dice.between(0.15, 0.7)
        for _ in range(camels):
            camel = pen.at(x, panel.height_at(crests[planes - 3], x) + 0.008, 0.07, flip=flip)
            _camel(camel, dice.vary(dark, 0.06), dice.vary(rgb("#b5402e"), 0.3))
            x += panel.dx(0.085) + dice.normal(0.008)
        for _ in range(0 if camels else 5):
            palm = pen.at(x, panel.height_at(crests[planes - 2], x) + 0.02, dice.between(0.2, 0.32))
            _palm(palm, light.on(rgb("#4f7040"), 0.6), dark)
            x += panel.dx(0.055) + dice.normal(0.012)
    return {"camels": camels, "sand": sand}


def _camel(camel: Pen, colour: Colours, cloth: Colours) -> None:
    for u in (-0.34, -0.22, 0.2, 0.32):
        camel.stroke([(u, 0.5), (u + 0.03, 0.0)], 0.08, colour, 0.05)
    camel.fill("-.44,.5 -.4,.72 -.12,.82 0,1 .12,.82 .4,.7 .42,.5 0,.42", colour)
    camel.stroke("0.36,.62 .56,.6 .62,.98", 0.12, colour, 0.08)
    camel.dab(0.7, 1.0, 0.3, 0.13, colour)
    camel.fill("-.16,.8 .16,.8 .2,.54 -.2,.54", cloth)
    camel.fill("-.07,.95 .08,.95 .05,1.32 -.05,1.3", mix(cloth, WHITE, 0.6))
    camel.disc(0, 1.38, 0.07, colour)


def _palm(palm: Pen, leaf: Colours, bark: Colours) -> None:
    dice = palm.dice
    lean = dice.normal(0.2)
    palm.stroke([(0, 0), (lean * 0.3, 0.5), (lean, 1)], 0.06, bark, 0.035)
    for k in range(11):
        angle, reach = math.pi * k / 10 + dice.normal(0.1), dice.between(0.34, 0.48)
        u, v = math.cos(angle) * reach, math.sin(angle) * reach
        frond = [(lean, 1), (lean + u * 0.6, 1.04 + v * 0.5), (lean + u, 1 + v * 0.45 - reach * 0.3)]
        palm.stroke(frond, 0.06, dice.vary(leaf, 0.12), 0.012)
