"""The sea with its ships and cliffs, a river under a bridge, and a pond with water lilies."""

from __future__ import annotations

import math

import numpy as np

from gallery import scenery
from gallery.colour import WHITE, mix, rgb
from gallery.light import Light
from gallery.noise import bell, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.scenery import COATS, SAILS
from gallery.story import Facts


def ships(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """Sailing ships on a calm or a rough sea."""
    dice = panel.dice
    horizon = dice.between(0.58, 0.68)
    rough = light.name == "storm" or dice.chance(0.3)
    sun_x = scenery.sky(panel, light, horizon)
    count, sail, x = dice.count(2, 4), dice.colour(SAILS), dice.between(0.3, 0.7)
    keel, long, masts = horizon + dice.between(0.1, 0.15), dice.between(0.34, 0.46), 3 if dice.chance(0.7) else 1
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.012, 0.012, 0.5), "#6d7f86", light, far=0.8)
    with panel.pen() as pen:
        for k in range(count):
            # Multiples of the golden ratio keep the ships apart, however many there are.
            place, size = float(np.clip((x + (k + 1) * 0.61803) % 1.0, 0.08, 0.92)), dice.between(0.07, 0.15)
            far, hull = mix(sail, light.haze, 0.3), rgb("#4f3a2c")
            scenery.boat(pen, place, horizon + panel.dy(0.006), size, light, far, hull, dice.pick(1, 3))
    scenery.water(panel, horizon, light, rgb("#34504c" if rough else "#2f5a60"), 0.25 if rough else 0.72, sun_x)
    # The reflection of the ship in front, which is painted after the water that mirrors all others.
    depth = smoothstep(keel - 0.01, keel + 0.02, panel.y) * smoothstep(keel + 0.2, keel, panel.y)
    mirrored = bell(panel.x - x, panel.dx(long * 0.42)) * depth
    ripple = 0.6 + 0.4 * smoothstep(-0.5, 0.5, panel.noise(0.012, 2, stretch=9))
    panel.shade(mirrored * ripple * 0.75, mix(light.shadow, rgb("#5a5a50"), 0.4))
    panel.lay(np.clip(mirrored * (1 - ripple) * 1.5, 0, 0.6), sail * light.tint)
    with panel.pen() as pen:
        scenery.boat(pen, x, keel, long, light, sail, rgb("#5a3a26"), masts)
        for _ in range(60 if rough else 24):
            foam, wide = dice.vary(mix(WHITE, light.middle, 0.35), 0.06), dice.between(0.015, 0.05)
            pen.at(x, keel, long).dab(dice.normal(0.35), -0.01 - dice.between(0, 0.04), wide / long, 0.015, foam)
        for _ in range(260 if rough else 0):
            d = dice.between(0, 1) ** 0.8
            crest = mix(WHITE, light.middle, dice.between(0.2, 0.6))
            y = horizon + 0.02 + d * (1 - horizon)
            pen.dab(dice.between(0, 1), y, 0.015 + 0.06 * d, 0.004 + 0.008 * d, crest, dice.normal(0.25))
        grey = 0.15 if light.name in {"storm", "night", "dusk"} else 0.75
        scenery.gulls(pen, dice.count(4, 10), horizon, mix(WHITE, light.shadow, grey))
    return {"masts": masts, "sail": sail * light.tint, "rough": rough, "others": count, "sky": light.middle}


def coast(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """Cliffs and surf, with a lighthouse."""
    dice = panel.dice
    horizon = dice.between(0.42, 0.5)
    sun_x = scenery.sky(panel, light, horizon)
    sea, side = rgb("#39707a"), dice.pick(-1, 1)
    scenery.water(panel, horizon, light, sea, 0.45, sun_x)
    chalk, striped, boats = dice.chance(0.5), dice.chance(0.5), dice.count(1, 3)
    rock, white = dice.colour("#e6dfcf" if chalk else "#8a7460 #7b6f70 #9c7a5c"), rgb("#f3ede0")
    # The same coast from the left or from the right.
    inland = panel.x[0] if side < 0 else 1 - panel.x[0]
    foam = mix(WHITE, light.tint, 0.4)
    for near in (0.0, 0.5, 1.0):
        reach = 0.34 + 0.2 * near + dice.normal(0.06)
        top, foot = horizon - 0.13 + 0.1 * near, horizon + 0.06 + 0.2 * near
        fall = smoothstep(reach - 0.05, reach + 0.03, inland + 0.02 * panel.line(0.1))
        # Past the cliff's end the edge is below the picture, so that nothing is under it.
        edge = np.where(fall < 0.98, top + 0.015 * panel.line(0.3) + fall * (foot - top), 2.0)
        strata = panel.noise(0.05, stretch=0.3) * 0.6 + panel.noise(0.03, 3, stretch=5) * 0.5
        body = mix(rock * light.shadow * 1.1, rock * light.tint, np.clip(0.55 + 0.25 * strata, 0, 1))
        grass = smoothstep(0.05, 0.0, np.maximum(panel.y - edge, 0) + 0.012 * strata)
        body = mix(body, rgb("#7d9150") * light.tint, grass)
        mask = panel.below(edge) * (1 - panel.below(foot + 0.03 * (inland - reach)))
        panel.lay(mask, mix(body, light.haze, 0.55 * (1 - near)))
        surf = bell(panel.y - foot - 0.012 * panel.noise(0.06, stretch=3), 0.014) * (inland < reach + 0.12)
        panel.lay(smoothstep(0.25, 0.8, surf) * 0.85, foam)
    beach = 0.9 + 0.05 * np.sin(panel.x[0] * 2.5 + dice.between(0, 6))
    sand = rgb("#dcc79c") * light.tint * (1 + 0.05 * panel.noise(0.02, stretch=4))[..., None]
    panel.lay(panel.below(beach + 0.01 * panel.line(0.2)), sand)
    for k in range(3):
        wave = panel.y - beach + 0.02 + 0.06 * k**1.2 + 0.01 * panel.noise(0.07, stretch=4)
        panel.lay(smoothstep(0.3, 0.85, bell(wave, 0.012 - 0.002 * k)) * (0.9 - 0.22 * k), foam)
    x, foot = 0.13 if side < 0 else 0.87, horizon - 0.035
    with panel.pen() as pen:
        _lighthouse(pen.at(x, foot, 0.24), light, striped=striped)
        scenery.house(pen, x - side * panel.dx(0.09), foot + 0.008, 0.09, white, rgb("#6b5a52"), light)
        for k in range(boats):
            place = 0.5 - side * dice.between(0.05, 0.42), horizon + 0.01 + 0.09 * k
            scenery.boat(pen, *place, 0.07 + 0.05 * k, light, dice.colour(SAILS), rgb("#4f3a2c"))
        for _ in range(8):
            stone = pen.at(dice.between(0, 1), dice.between(0.78, 0.98), dice.between(0.015, 0.05))
            stone.dab(0, 0, 1.6, 1, rock * light.shadow)
            stone.dab(-0.15, 0.2, 1.1, 0.5, rock * light.tint)
        scenery.gulls(pen, 6, horizon, mix(WHITE, light.shadow, 0.5))
    return {"striped": striped, "chalk": chalk, "boats": boats, "sea": sea * light.tint}


def _lighthouse(tower: Pen, light: Light, *, striped: bool) -> None:
    white, red = rgb("#f3ede0"), rgb("#b93a2c")
    tower.fill("-.1,0 -.062,1 .062,1 .1,0", white * light.tint)
    if striped:
        tower.fill("-.096,.1 -.088,.32 .088,.32 .096,.1", red * light.tint)
        tower.fill("-.08,.54 -.071,.76 .071,.76 .08,.54", red * light.tint)
    tower.fill("0.025,0 .02,1 .062,1 .1,0", mix(white, red, 0.15) * light.shadow * 1.15)
    tower.box(-0.085, 1, 0.085, 1.04, rgb("#3a3a40"))
    tower.box(-0.045, 1.04, 0.045, 1.14, rgb("#ffe9a8"))
    tower.fill("-.06,1.14 0,1.24 .06,1.14", rgb("#8a2f2a") * light.tint)


def bridge(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """A stone bridge over a river between trees."""
    dice = panel.dice
    shore, autumn = dice.between(0.56, 0.62), dice.chance(0.4)
    scenery.sky(panel, light, shore)
    scenery.slope(panel, scenery.ridge(panel, shore - 0.15, 0.05, 0.5), "#7b8c94", light, far=0.7)
    scenery.slope(panel, scenery.ridge(panel, shore - 0.06, 0.025, 0.4), "#6d8452", light, far=0.35)
    leaf = dice.colour("#c9822f #b8552c" if autumn else "#557d3c #6f8f45")
    stone, arches, walkers = dice.colour("#b7a78c #a89c94 #c9a987"), dice.count(2, 4), dice.count(1, 3)
    part = np.clip((panel.x[0] - 0.06) / 0.88, 0, 1)
    rise = panel.dy(dice.between(0.07, 0.12)) * np.sin(part * math.pi)
    top = shore - panel.dy(0.15) - rise + panel.dy(0.04) * (np.abs(part - 0.5) * 2) ** 2
    # Half circles under the roadway; outside of them the opening is below the picture.
    swing = np.sqrt(np.clip(1 - (((part * arches) % 1.0 - 0.5) / 0.39) ** 2, 0, 1))
    opening = np.where(swing > 0, shore - (shore - top - panel.dy(0.04)) * swing * 0.94, 2.0)
    with panel.pen() as pen:
        for _ in range(5):
            x = abs(dice.pick(0.0, 1.0) - dice.between(0.0, 0.22))
            scenery.leafy(pen, x, shore - 0.01, dice.between(0.22, 0.36), dice.vary(leaf, 0.1), light)
        x, wall, roof = dice.pick(0.1, 0.9), rgb("#e0cba6"), rgb("#9a4a34")
        scenery.house(pen, x, shore - 0.03, 0.13, wall, roof, light, storeys=2, lit=light.dark)
    under = panel.below(opening)
    blocks = panel.noise(0.014, 2, stretch=2.4) * 0.07 + panel.noise(0.15, 3) * 0.07
    # Joints between the courses of stone.
    courses = 0.04 * (np.sin((panel.y - top) * panel.height / panel.short * 260) > 0.8)
    body = mix(stone * light.shadow, stone * light.tint, smoothstep(0.2, 0.0, panel.y - top - 0.02))
    panel.lay(panel.below(top) * (panel.y < shore) * (1 - under), body * (1 + blocks - courses)[..., None])
    # The underside of the arches.
    soffit = under * (1 - panel.below(opening + panel.dy(0.02))) * (panel.y < shore)
    panel.lay(soffit * 0.9, stone * light.shadow * 0.6)
    panel.lay(panel.below(top) * (1 - panel.below(top + panel.dy(0.014))), mix(stone, WHITE, 0.25) * light.tint)
    with panel.pen() as pen:
        for k in range(walkers):
            x = 0.32 + 0.16 * k + dice.normal(0.03)
            scenery.figure(pen, x, panel.height_at(top, x) + panel.dy(0.01), 0.06, dice.colour(COATS), light)
    scenery.water(panel, shore, light, rgb("#4d6b5c"), 0.8)
    for away in (panel.x[0], 1 - panel.x[0]):
        # Banks on both sides leave the river open in the middle.
        bank = shore + 0.02 + np.clip(away * 1.5, 0, 3) ** 0.8 * 0.5 + 0.012 * panel.line(0.1)
        tufts = smoothstep(-1.2, 1.4, panel.noise(0.05, stretch=2.5))
        turf = mix(mix(leaf, rgb("#6d7f3c"), 0.5) * light.tint, rgb("#3f4a2a") * light.shadow, tufts)
        panel.lay(panel.below(bank, soft=3), turf)
    with panel.pen() as pen:
        for _ in range(120):
            x, size = abs(dice.pick(0.0, 1.0) - float(dice.rng.beta(1, 5)) * 0.5), dice.between(0.02, 0.06)
            blade = pen.at(x, dice.between(0.74, 1.0), size)
            tone = dice.vary(light.on(leaf, dice.between(0, 1)), 0.1)
            blade.stroke([(0, 0), (dice.normal(0.3), 1)], 0.005 / size, tone, 0.02)
    return {"arches": arches, "walkers": walkers, "leaf": leaf * light.tint, "autumn": autumn}


def pond(panel: Panel, light: Light, _painter: Painter) -> Facts:
    """Water lilies, willows and their reflections."""
    dice = panel.dice
    shore, leaf = dice.between(0.14, 0.26), dice.colour("#5f8a4c #4f8270 #7c9a4a")
    petal, willow = dice.colour("#f2b8c6 #fbf4e8 #e887a0 #f7e08a"), dice.chance(0.6)
    scenery.sky(panel, light, shore + 0.3)
    bushes = smoothstep(-1.0, 1.2, panel.noise(0.05, 5, stretch=0.6))
    bank = mix(leaf * light.shadow * 0.8, leaf * light.tint, bushes)
    panel.lay(panel.below(scenery.ridge(panel, shore * 0.3, 0.06, 0.3)), bank)
    with panel.pen() as pen:
        for _ in range(260):
            tone = dice.vary(light.on(leaf, dice.between(0, 1)), 0.12)
            place = dice.between(0, 1), dice.between(-0.02, shore)
            pen.dab(*place, dice.between(0.03, 0.07), 0.02, tone, math.pi / 2 + dice.normal(0.4))
    scenery.water(panel, shore, light, mix(leaf, rgb("#3f6f86"), 0.6), 0.9)
    pool = panel.below(shore, soft=20)
    sheen = smoothstep(0.1, 1.4, panel.noise(0.35, 3, stretch=0.7))
    panel.lay(sheen * pool * 0.55, mix(light.middle, light.horizon, 0.4))
    panel.lay(smoothstep(0.4, 1.8, panel.noise(0.05, 3, stretch=0.35)) * pool * 0.35, leaf * light.shadow)
    with panel.pen() as pen:
        for _ in range(dice.count(5, 8)):
            near = 0.06 + 0.9 * dice.between(0, 1) ** 0.9
            island, spread = pen.at(dice.between(0, 1), shore + near * (1 - shore)), 0.07 + 0.13 * near
            for _ in range(int(14 + 14 * near)):
                x, y = dice.normal(spread), dice.normal(spread * 0.2)
                size = (0.018 + 0.03 * near) * dice.between(0.7, 1.2)
                pad = light.on(mix(leaf, rgb("#8fb38a"), dice.between(0, 0.7)), dice.between(0.4, 1))
                island.disc(x, y - size * 0.12, size, pad * 0.55, 0.34)
                island.disc(x, y, size, dice.vary(pad, 0.06), 0.34)
            for _ in range(dice.count(1, 3)):
                x, y = dice.normal(spread * 0.7), dice.normal(spread * 0.12)
                size = (0.016 + 0.03 * near) * dice.between(0.8, 1.2)
                for angle in (math.pi * (0.05 + 0.1125 * k) for k in range(9)):
                    u, v = math.cos(angle) * size, math.sin(angle) * size
                    tone = light.on(mix(petal, WHITE, dice.between(0, 0.5)), 0.5 + 0.5 * math.sin(angle))
                    island.dab(x + u * 0.5, y + v * 0.45, size, size * 0.42, tone, angle)
                island.disc(x, y + size * 0.2, size * 0.2, rgb("#f2c53d") * light.tint, 0.7)
        for _ in range(13 if willow else 0):
            twig, long, bend = pen.at(dice.between(0, 1), 0), dice.between(0.2, 0.6), dice.between(0, 6)
            for k in range(int(65 * long)):
                x, tone = 0.02 * math.sin(k * 0.4 + bend), dice.vary(light.on(leaf, dice.between(0, 1)), 0.1)
                twig.dab(x + dice.normal(0.012), -long * k / 26, 0.035, 0.009, tone, -1.3 + dice.normal(0.35))
    return {"petal": petal * light.tint, "leaf": leaf * light.tint, "willow": willow}
