"""Fields in flower or ripe for the harvest."""

from __future__ import annotations

import math

import numpy as np

from gallery import scenery, staffage
from gallery.colour import rgb
from gallery.light import Light
from gallery.noise import bell, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.story import Story, some

_CROPS = {
    "Poppies in the Meadow": ("red poppies in the grass", "#6e8f3e", "#a3b257", "#d92b1f"),
    "The Wheat Field": ("ripe golden wheat", "#d3a437", "#e6c668", "#f3dd8c"),
    "Lavender Rows": ("rows of lavender", "#7d68b0", "#9f94c2", "#b49be0"),
    "Rapeseed in Flower": ("yellow rape in flower", "#d9c42c", "#e6dc6a", "#f7ec57"),
}
"""By title: what a description calls it, and the colours of the field, of the field far away, and of what grows on it."""


def meadow(panel: Panel, light: Light, painter: Painter) -> Story:
    """Flowering or ripe fields under a wide sky, with trees and a farmhouse."""
    dice = panel.dice
    horizon = dice.between(0.36, 0.52)
    scenery.sky(panel, light, horizon)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.045, 0.022, 0.5), "#6d8790", light, far=0.75)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.01, 0.016, 0.4), "#5f7f56", light, far=0.4)
    title = dice.pick(*_CROPS)
    what, field, far_field, spots = _CROPS[title]
    wheat, lavender = "wheat" in what, "lavender" in what
    scenery.ground(panel, horizon + 0.015, rgb(field), rgb(far_field), light, rough=0.13)
    vanish = dice.between(0.3, 0.7)
    depth = np.clip((panel.y - horizon) / (1 - horizon), 0.001, 1)
    fan = (panel.x - vanish) / (depth + 0.12)
    furrow = np.sin(fan * (46 if lavender else 26) + 0.35 * panel.noise(0.2, 2)) * (panel.y > horizon + 0.02)
    panel.shade(smoothstep(0.1, 0.8, furrow) * (0.5 if lavender else 0.22), light.shadow)
    path = bell(panel.x - vanish - 0.3 * depth**1.4, 0.012 + 0.075 * depth) * (panel.y > horizon + 0.03)
    panel.lay(smoothstep(0.35, 0.7, path) * 0.8, rgb("#cfae7c") * light.tint)
    trees, cypress = dice.count(2, 4), dice.chance(0.4)
    with panel.pen() as pen:
        for _ in range(26):
            size, bush = dice.between(0.012, 0.03), dice.vary(light.on(rgb("#4b6b3c"), 0.6), 0.15)
            pen.dab(dice.between(0, 1), horizon + 0.008, size * 2.4, size, bush)
        x, wide, wall = dice.between(0.15, 0.85), dice.between(0.1, 0.16), dice.colour("#e6d6b8 #d9a98a #efe9dd")
        staffage.house(pen, x, horizon + 0.05, wide, wall, rgb("#a4482e"), light, lit=light.dark)
        for k in range(trees):
            place = (x + 0.14 + 0.2 * k + dice.normal(0.04)) % 1.0, horizon + dice.between(0.05, 0.14)
            leaf = rgb("#34573a" if cypress else "#5d8440")
            staffage.leafy(pen, *place, dice.between(0.2, 0.36), leaf, light, slim=0.3 if cypress else 1.0)
        for _ in range(900):
            d = dice.between(0, 1) ** 0.65
            plant = pen.at(dice.between(0, 1), horizon + 0.05 + d * (0.97 - horizon), 0.004 + 0.017 * d * d)
            bloom = dice.vary(rgb(spots if not wheat or dice.chance(0.6) else "#a9781f") * light.tint, 0.12)
            if wheat:
                plant.stroke("0,0 .5,3.5", 0.24, bloom, 0.05)
            else:
                plant.stroke("0,0 0,-1.8", 0.2, dice.vary(light.on(rgb("#5c7d38"), 0.5), 0.1))
                plant.dab(0, 0, 0.9 if lavender else 1.3, 1, bloom, math.pi / 2 if lavender else 0.0)
    description = (
        f"A field of {what} stretches to the hills {light.phrase}. A path leads past {some(trees, 'one tree', 'trees')}"
        f"{' slender as cypresses' if cypress else ''} to a farmhouse with a tiled roof, under a wide"
        f" {painter.word(light.middle)} sky."
    )
    return Story(f"{title} {light.when}", description)
