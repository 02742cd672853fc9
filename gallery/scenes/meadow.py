"""Fields in flower or ripe for the harvest."""

from __future__ import annotations

import math

import numpy as np

from gallery import noise, scenery, staffage
from gallery.colour import mix, rgb, vary
from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.story import Story, some


def meadow(panel: Panel, light: Light, painter: Painter) -> Story:
    """Flowering or ripe fields under a wide sky, with trees and a farmhouse."""
    rng = panel.rng
    horizon = float(rng.uniform(0.36, 0.52))
    scenery.sky(panel, light, horizon)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.045, 0.022, 0.5), rgb("#6d8790"), light, far=0.75)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.01, 0.016, 0.4), rgb("#5f7f56"), light, far=0.4)
    crop, field, far_field = [
        ("poppies", "#6e8f3e", "#a3b257"),
        ("wheat", "#d3a437", "#e6c668"),
        ("lavender", "#7d68b0", "#9f94c2"),
        ("yellow rape", "#d9c42c", "#e6dc6a"),
    ][int(rng.integers(4))]
    scenery.ground(panel, horizon + 0.015, rgb(field), rgb(far_field), light, rough=0.13)
    vanish = float(rng.uniform(0.3, 0.7))
    depth = np.clip((panel.y - horizon) / (1 - horizon), 0.001, 1)
    fan = (panel.x - vanish) / (depth + 0.12)
    furrow = np.sin(fan * (46 if crop == "lavender" else 26) + 0.35 * panel.noise(0.2, octaves=2))
    stripe = noise.smoothstep(0.1, 0.8, furrow.astype(np.float32)) * (panel.y > horizon + 0.02)
    panel.shade((stripe * (0.5 if crop == "lavender" else 0.22)).astype(np.float32), light.shadow)
    path = np.exp(-(((panel.x - vanish - 0.3 * depth**1.4) / (0.012 + 0.075 * depth)) ** 2)) * (
        panel.y > horizon + 0.03
    )
    panel.lay(noise.smoothstep(0.35, 0.7, path.astype(np.float32)) * 0.8, rgb("#cfae7c") * light.tint)
    trees = int(rng.integers(2, 5))
    cypress = rng.random() < 0.4
    wall = rgb(str(rng.choice(["#e6d6b8", "#d9a98a", "#efe9dd"])))
    with panel.pen() as pen:
        for _ in range(26):
            x, size = float(rng.random()), float(rng.uniform(0.012, 0.03))
            pen.dab(
                x,
                horizon + 0.008,
                size * 2.4,
                size,
                vary(rng, rgb("#4b6b3c") * mix(light.shadow, light.tint, 0.6), 0.15),
            )
        hx = float(rng.uniform(0.15, 0.85))
        staffage.house(
            pen, panel, hx, horizon + 0.05, float(rng.uniform(0.1, 0.16)), wall, rgb("#a4482e"), light, lit=light.dark
        )
        for k in range(trees):
            x = float((hx + 0.14 + 0.2 * k + 0.04 * rng.normal()) % 1.0)
            foot = horizon + float(rng.uniform(0.05, 0.14))
            tall = float(rng.uniform(0.2, 0.36))
            leaf = rgb("#34573a" if cypress else "#5d8440")
            staffage.leafy(
                pen, panel, x, foot, tall, leaf, light, bark=rgb("#4d3a2a") * light.shadow, slim=0.3 if cypress else 1.0
            )
        spots = {"poppies": "#d92b1f", "wheat": "#f3dd8c", "lavender": "#b49be0", "yellow rape": "#f7ec57"}[crop]
        for _ in range(900):
            d = float(rng.random() ** 0.65)
            y = horizon + 0.05 + d * (0.97 - horizon)
            x = float(rng.random())
            size = 0.004 + 0.017 * d * d
            if crop == "wheat":
                pen.stroke(
                    [(x, y), (x + panel.dx(size * 0.5), y - panel.dy(size * 3.5))],
                    size * 0.24,
                    vary(rng, rgb(spots if rng.random() < 0.6 else "#a9781f") * light.tint, 0.1),
                    end=0.001,
                )
            else:
                stem = rgb("#5c7d38") * mix(light.shadow, light.tint, 0.5)
                pen.stroke([(x, y), (x, y + panel.dy(size * 1.8))], size * 0.2, vary(rng, stem, 0.1))
                pen.dab(
                    x,
                    y,
                    size * (0.9 if crop == "lavender" else 1.3),
                    size,
                    vary(rng, rgb(spots) * light.tint, 0.12),
                    math.pi / 2 if crop == "lavender" else 0.0,
                )
    what = {
        "poppies": "red poppies in the grass",
        "wheat": "ripe golden wheat",
        "lavender": "rows of lavender",
        "yellow rape": "yellow rape in flower",
    }[crop]
    description = (
        f"A field of {what} stretches to the hills {light.phrase}. A path leads past {some(trees, 'one tree', 'trees')}"
        f"{' slender as cypresses' if cypress else ''} to a farmhouse with a tiled roof, under a wide"
        f" {painter.word(light.middle)} sky."
    )
    title = {
        "poppies": "Poppies in the Meadow",
        "wheat": "The Wheat Field",
        "lavender": "Lavender Rows",
        "yellow rape": "Rapeseed in Flower",
    }[crop]
    return Story(f"{title} {light.when}", description, "landscape")
