"""A stone bridge over a river."""

from __future__ import annotations

import math

import numpy as np

from gallery import scenery, staffage
from gallery.colour import WHITE, mix, rgb
from gallery.light import Light
from gallery.noise import smoothstep
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.staffage import COATS
from gallery.story import Story, some


def bridge(panel: Panel, light: Light, painter: Painter) -> Story:
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
    swing = np.sqrt(np.clip(1 - (((part * arches) % 1.0 - 0.5) / 0.39) ** 2, 0, 1))
    opening = np.where(swing > 0, shore - (shore - top - panel.dy(0.04)) * swing * 0.94, 2.0)
    with panel.pen() as pen:
        for _ in range(5):
            x = abs(dice.pick(0.0, 1.0) - dice.between(0.0, 0.22))
            staffage.leafy(pen, x, shore - 0.01, dice.between(0.22, 0.36), dice.vary(leaf, 0.1), light)
        x, wall, roof = dice.pick(0.1, 0.9), rgb("#e0cba6"), rgb("#9a4a34")
        staffage.house(pen, x, shore - 0.03, 0.13, wall, roof, light, storeys=2, lit=light.dark)
    under = panel.below(opening)
    blocks = panel.noise(0.014, 2, stretch=2.4) * 0.07 + panel.noise(0.15, 3) * 0.07
    courses = 0.04 * (np.sin((panel.y - top) * panel.height / panel.short * 260) > 0.8)
    body = mix(stone * light.shadow, stone * light.tint, smoothstep(0.2, 0.0, panel.y - top - 0.02))
    panel.lay(panel.below(top) * (panel.y < shore) * (1 - under), body * (1 + blocks - courses)[..., None])
    soffit = under * (1 - panel.below(opening + panel.dy(0.02))) * (panel.y < shore)
    panel.lay(soffit * 0.9, stone * light.shadow * 0.6)
    panel.lay(panel.below(top) * (1 - panel.below(top + panel.dy(0.014))), mix(stone, WHITE, 0.25) * light.tint)
    with panel.pen() as pen:
        for k in range(walkers):
            x = 0.32 + 0.16 * k + dice.normal(0.03)
            staffage.figure(pen, x, panel.height_at(top, x) + panel.dy(0.01), 0.06, dice.colour(COATS), light)
    scenery.water(panel, shore, light, rgb("#4d6b5c"), 0.8)
    for away in (panel.x[0], 1 - panel.x[0]):
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
    crossed = some(walkers, "A walker crosses", "walkers cross").capitalize()
    description = (
        f"An old stone bridge with {some(arches, 'one arch', 'arches')} spans a quiet river {light.phrase}. {crossed} it;"
        f" {painter.word(leaf * light.tint)} {'autumn ' if autumn else ''}trees and the arches are mirrored in the water."
    )
    title = dice.pick("The Old Bridge", "Bridge over the River", "The River", "Stone Bridge")
    return Story(f"{title} {light.when}", description)
