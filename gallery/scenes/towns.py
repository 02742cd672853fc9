"""Towns at the water, and the same again in it: a fishing harbour, a city of domes, and a city at night."""

from __future__ import annotations

import math

import numpy as np

from gallery import scenery
from gallery.colour import WHITE, mix, rgb
from gallery.light import Light
from gallery.noise import Colours, bell, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.scenery import COATS, LAMP, SAILS
from gallery.story import Facts


def harbour(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """A quay with coloured houses, boats and their reflections."""
    dice = panel.dice
    shore = dice.between(0.52, 0.6)
    sun_x = scenery.sky(panel, light, shore)
    scenery.slope(panel, scenery.ridge(panel, shore - 0.13, 0.05, 0.5), "#6c7f78", light, far=0.65)
    walls = "#d9a066 #c8573f #e8d8b0 #7f9fb3 #d98f8a #a8b07a #efe6d4"
    first, roof = dice.colour(walls), rgb("#9a4a34")
    end = dice.between(0.62, 0.92) if dice.chance(0.7) else 1.1
    with panel.pen() as pen:
        x = -0.02
        while x < end:
            wide, wall = dice.between(0.1, 0.17), first if x < 0.1 else dice.colour(walls)
            place, storeys, gable = x + panel.dx(wide / 2), dice.count(2, 3), dice.chance(0.7)
            scenery.house(
                pen, place, shore - 0.01, wide, wall, roof, light, storeys=storeys, lit=light.dark, gable=gable
            )
            # Overlapping a little, so that no gap is left between them.
            x += panel.dx(wide) * 0.93
        _tower(pen, dice.between(0.15, 0.6) * end, shore, 0.42, 0.06, rgb("#d8c7a4"), roof, light, 0.0)
        pen.box(-0.1, shore - 0.018, end + 0.03, shore + 0.002, light.on(rgb("#8d8172"), 0.5))
        for _ in range(7):
            scenery.figure(pen, dice.between(0.02, min(end, 1.0)), shore - 0.005, 0.04, dice.colour(COATS), light)
        boats = dice.count(3, 5)
        for k in range(boats):
            bx, hull = (k + 0.5) / boats + dice.normal(0.06), dice.colour("#345b7a #7a2f2a #3f5f45 #e6dcc8")
            scenery.boat(pen, bx, shore + panel.dy(0.004), 0.16 - 0.04 * (k % 2), light, dice.colour(SAILS), hull)
    scenery.water(panel, shore + 0.004, light, rgb("#3d6670"), 0.85, sun_x)
    hull = dice.colour("#2f6a8a #9a3328 #3f7050 #e9dcc0")
    with panel.pen() as pen:
        scenery.rowing_boat(pen, dice.between(0.2, 0.8), 0.9, dice.between(0.28, 0.38), hull, light)
    return {"walls": first * light.tint, "hull": hull * light.tint}


def gold_city(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """Domes and towers across a lagoon, with barges."""
    dice = panel.dice
    shore = dice.between(0.56, 0.64)
    sun_x = scenery.sky(panel, light, shore)
    stone, copper = dice.colour("#e3c9a0 #d9b48c #d8b8b0"), dice.colour("#7f9f96 #b9763f #8f96a8 #c9a24a")
    domes = dice.count(2, 4)
    with panel.pen() as pen:
        x = 0.0
        while x < 1.0:
            wide, tall = dice.between(0.06, 0.12), dice.between(0.08, 0.17)
            tone = dice.vary(light.far(stone, 0.35), 0.06)
            home = pen.at(x, shore)
            home.box(0, 0, wide, tall, tone)
            home.fill([(0, tall), (wide / 2, tall + 0.03), (wide, tall)], light.far(rgb("#b0603f"), 0.35))
            for k in range(int(wide / 0.025)):
                for y in np.arange(tall - 0.038, 0.01, -0.05).tolist():
                    home.box(0.009 + 0.025 * k, y, 0.019 + 0.025 * k, y + 0.02, LAMP if light.dark else tone * 0.6)
            x += panel.dx(wide)
        main = dice.between(0.3, 0.7)
        for k in range(domes):
            x, side = main + (0.0, 0.2, -0.19, 0.33)[k] + dice.normal(0.02), k > 0
            _dome(pen.at(x, shore, 0.115 - 0.045 * side), 1.74 + 0.4 * side, stone, copper, light, 0.12 + 0.12 * side)
        for _ in range(dice.count(2, 3)):
            x, tall, wide = dice.between(0.06, 0.94), dice.between(0.3, 0.46), dice.between(0.04, 0.055)
            _tower(pen, x, shore, tall, wide, stone, copper, light, 0.1)
        pen.box(-0.1, shore - 0.014, 1.1, shore + 0.004, light.far(stone, 0.1, shadow=1.0))
    # Haze before the foot of the town.
    panel.lay(bell(panel.y - shore, 0.07) * (panel.y < shore + 0.01) * 0.38, light.haze)
    scenery.water(panel, shore, light, rgb("#4f7a7a"), 0.72, sun_x)
    with panel.pen() as pen:
        for k in range(dice.count(2, 4)):
            x, y, long = (0.18 + 0.37 * k + dice.normal(0.06)) % 1.0, shore + 0.06 + 0.08 * k, 0.13 + 0.06 * k
            if k % 2:
                scenery.boat(pen, x, y, long, light, dice.colour("#e6a24c #c9583c #f0e3c4"), rgb("#4a3426"))
            else:
                scenery.barge(pen, x, y, long, rgb("#7a2f2a"), light)
    return {"domes": domes, "stone": stone * light.tint}


def night_city(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """Houses along a canal or a wet street: lit windows, lamps, and all of it again in the water."""
    dice = panel.dice
    shore = dice.between(0.58, 0.66)
    scenery.sky(panel, light, shore)
    far, dark = mix(light.zenith, light.haze, 0.55), mix(light.shadow, light.tint, 0.28)
    # Behind the houses a silhouette with steps, as of more roofs.
    roofs = np.sign(np.sin(panel.x[0] * 40 + 3 * panel.line(0.2, 2)))
    panel.lay(panel.below(shore - 0.2 + dice.between(0, 0.05) * roofs - 0.02 * panel.line(0.05, 2)), far * 0.85)
    count = dice.count(5, 7)
    lamps = [(k + 0.5) / count + dice.normal(0.02) for k in range(count)]
    with panel.pen() as pen:
        x = -0.03
        while x < 1.0:
            wide = dice.between(0.09, 0.18)
            wall = dice.colour("#6d5a58 #5a5468 #74604c #4f5a66 #7d5248") * dark
            _block(pen.at(x, shore), wide, dice.between(0.24, 0.5), wall, light)
            x += panel.dx(wide)
        spire, tip = pen.at(dice.between(0.2, 0.8), shore), dice.between(0.62, 0.72)
        outline = [(-0.035, 0), (-0.035, 0.3), (0, tip), (0.035, 0.3), (0.035, 0)]
        spire.fill(outline, mix(far, light.shadow, 0.6) * 0.8)
        spire.disc(0, 0.24, 0.016, LAMP)
        pen.box(-0.1, shore - 0.012, 1.1, shore + 0.02, rgb("#6a625e") * dark)
        for x in lamps:
            pen.at(x, shore).stroke("0,0 0,.13", 0.006, rgb("#14141a"))
            pen.at(x, shore).disc(0, 0.13, 0.012, mix(LAMP, WHITE, 0.6))
        for _ in range(dice.count(2, 5)):
            coat = dice.vary(rgb("#3a3440"), 0.2)
            scenery.figure(pen, dice.between(0.05, 0.95), shore + 0.004, 0.065, coat, light)
    for x in lamps:
        panel.glow(x, shore - panel.dy(0.13), 0.13, LAMP, 0.42)
        panel.glow(x, shore - panel.dy(0.13), 0.035, LAMP, 0.7)
    scenery.water(panel, shore + 0.02, light, mix(light.zenith, rgb("#1c2c3c"), 0.5), 0.78)
    depth = np.clip((panel.y - shore) / (1 - shore), 0, 1)
    # The lamps in the water: broken up by ripples, and weaker the nearer they are.
    broken = smoothstep(-0.3, 0.9, panel.noise(0.016, 2, stretch=7)) * (depth > 0.02) * (1 - 0.75 * depth)
    for x in lamps:
        panel.screen(bell(panel.x - x, 0.012 + 0.02 * depth) * broken * 0.75, LAMP)
    boat = dice.chance(0.55)
    if boat:
        with panel.pen() as pen:
            scenery.barge(pen, dice.between(0.2, 0.8), 0.86, 0.3, rgb("#20202a"), light)
    return {"lamps": count, "water": light.zenith, "boat": boat}


def _tower(
    pen: Pen, x: float, shore: float, tall: float, wide: float, stone: Colours, roof: Colours, light: Light, far: float
) -> None:
    wall, dim, half, tower = light.far(stone, far), light.far(stone, far, 1.15), wide / 2, pen.at(x, shore)
    tower.box(-half, 0, half, tall, wall)
    tower.box(half * 0.2, 0, half, tall, dim)
    tower.box(-half * 1.2, tall - 0.014, half * 1.2, tall, mix(wall, WHITE, 0.2))
    for y in (0.03, 0.08):
        tower.box(-half * 0.45, tall - y, half * 0.05, tall - y - 0.032, dim * 0.6)
    tip = tall + wide * 1.6
    tower.fill([(-half * 1.1, tall), (0, tip), (half * 1.1, tall)], light.far(roof, far))
    tower.fill([(half * 0.1, tall), (0, tip), (half * 1.1, tall)], light.far(roof, far, 1.0))


def _dome(dome: Pen, base: float, stone: Colours, copper: Colours, light: Light, far: float) -> None:
    """A church with a dome whose radius is 1, on walls up to `base`."""
    wall, drum = light.far(stone, far), base + 0.35
    bright, dim = light.far(copper * 1.1, far), light.far(copper, far, 1.0)
    dome.box(-0.95, 0, 0.95, base, wall * 0.95)
    dome.box(0.3, 0, 0.95, base, light.far(stone, far, 1.15))
    dome.box(-0.82, base, 0.82, drum, mix(wall, WHITE, 0.12))
    for x in np.linspace(-0.65, 0.65, 6):
        dome.box(x - 0.06, base + 0.05, x + 0.06, drum - 0.08, wall * 0.55)
    arc = [(0.85 * math.cos(a), drum + abs(math.sin(a)) ** 0.9) for a in np.linspace(math.pi, 0, 22)]
    dome.fill(arc, mix(bright, dim, 0.45))
    dome.fill([*arc[:10], (-0.12, drum)], bright)
    dome.fill([*arc[15:], (0.4, drum)], dim)
    dome.box(-0.13, drum + 0.92, 0.13, drum + 1.28, wall)
    dome.stroke([(0, drum + 1.25), (0, drum + 1.62)], 0.08, bright, 0.01)


def _block(house: Pen, wide: float, tall: float, wall: Colours, light: Light) -> None:
    """A tall town house with a pointed, a sloping or a stepped gable, and some of its windows lit."""
    dice = house.dice
    house.box(0, 0, wide, tall, wall)
    style = dice.between(0, 1)
    if style < 0.4:
        gable = [(0.0, tall), (wide / 2, tall + wide * 0.55), (wide, tall)]
        house.fill(gable, wall * 0.92)
        house.stroke(gable, 0.008, wall * 0.6)
    elif style < 0.7:
        house.fill([(0, tall), (wide * 0.15, tall + 0.05), (wide * 0.85, tall + 0.05), (wide, tall)], wall * 0.6)
    else:
        for k in range(3):
            inset = wide * 0.15 * (k + 1)
            house.box(inset, tall + 0.025 * k, wide - inset, tall + 0.025 * k + 0.027, wall * 0.95)
    house.box(wide * 0.92, 0, wide, tall, wall * 0.75)
    rows, columns = max(3, int(tall / 0.075)), max(2, int(wide / 0.042))
    for place in range(rows * columns):
        x = wide * (place % columns + 0.5) / columns * 0.94
        y = tall - 0.03 - (tall - 0.05) * (place // columns) / rows
        lit = dice.vary(mix(LAMP, rgb("#ff9a4a"), dice.between(0, 0.5)), 0.06)
        house.box(
            x - 0.0095, y - 0.034, x + 0.0095, y, lit if dice.chance(0.45) else mix(wall * 0.45, light.zenith, 0.3)
        )
        house.stroke([(x, y), (x, y - 0.034)], 0.003, wall * 0.5)
